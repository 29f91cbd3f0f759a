/*
 * A driver's end made ready to run: memory, queues, and one or two devices between which the
 * queues can move with everything that is in flight.
 */
#ifndef UVDPA_LOAD_SESSION_H
#define UVDPA_LOAD_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"
#include "uvdpa/driver.h"

/* Descriptors of a block request: header, data, status. */
#define SESSION_CHAIN  3
#define SESSION_QUEUES 64

struct load_session_options {
	unsigned depth;	    /* requests in flight, in each queue */
	unsigned queues;    /* 1 to SESSION_QUEUES; 0: 1; of a network card: pairs */
	uint64_t data_size; /* bytes of memory for the requests of one queue (pair) */
	bool packed;	    /* packed rings, or it does not start */
	bool copied;	    /* private memory, which no other process can map */
	uint32_t poll_us;   /* as for uvdpa_queue_new() */
	bool indirect; /* one descriptor for each, if the device can: see load_session_chain_flags()
			*/
};

struct load_session {
	struct uvdpa_driver *devices[2]; /* opened by the caller, closed by load_session_stop() */
	unsigned count;			 /* of devices */
	unsigned current;		 /* the one that has the queues */
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[SESSION_QUEUES];
	unsigned queue_count;
	struct uvdpa_blk_config config; /* of devices[0], if it is a disk */
	struct uvdpa_queue *control;	/* of a card with more than one pair */
	void *command;			/* its, in the arena */
	uint64_t features;
};

/* Whether the devices are network cards, not disks. */
bool load_session_is_net(const struct load_session *session);

/*
 * Brings devices[0] to DRIVER_OK with the queues attached. 0 or a negative errno with the error
 * filled; load_session_stop() cleans up in both cases.
 */
int load_session_start(struct load_session *session, const struct load_session_options *options,
		       struct error *f);

/* The flags for chains of SESSION_CHAIN segments in these queues. */
uint32_t load_session_chain_flags(const struct load_session *session,
				  const struct load_session_options *options);

/*
 * Moves to the other device. The target is prepared before the standstill, and that is not part of
 * `times`.
 */
int load_session_move(struct load_session *session, struct uvdpa_handover_times *times,
		      struct error *f);

/* Closes the devices, and frees what was made. */
void load_session_stop(struct load_session *session);

#endif
