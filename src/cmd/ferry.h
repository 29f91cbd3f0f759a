/*
 * A driver's end made ready to run: memory, one queue, and one or two devices between which
 * that queue can move with everything that is in flight.
 */
#ifndef UVDPA_CMD_FERRY_H
#define UVDPA_CMD_FERRY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/fault.h"
#include "uvdpa/driver.h"

/* Descriptors of a block request: header, data, status. */
#define FERRY_CHAIN 3

struct ferry_options {
	unsigned depth;	    /* requests in flight */
	uint64_t data_size; /* bytes of memory for them */
	bool indirect; /* one descriptor for each, if the device can: see ferry_chain_flags() */
};

struct ferry {
	struct uvdpa_driver *devices[2]; /* opened by the caller, closed by ferry_stop() */
	unsigned count;			 /* of devices */
	unsigned current;		 /* the one that has the queue */
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct uvdpa_blk_config config; /* of devices[0] */
	uint64_t features;
};

/*
 * Brings devices[0] to DRIVER_OK with the queue attached. 0 or a negative errno with the fault
 * filled; ferry_stop() cleans up in both cases.
 */
int ferry_start(struct ferry *ferry, const struct ferry_options *options, struct fault *f);

/* The flags for chains of FERRY_CHAIN segments in this queue. */
uint32_t ferry_chain_flags(const struct ferry *ferry, const struct ferry_options *options);

/*
 * Moves to the other device. The target is prepared before the standstill, and that is not part of
 * `times`.
 */
int ferry_move(struct ferry *ferry, struct uvdpa_handover_times *times, struct fault *f);

/* Closes the devices, and frees what was made. */
void ferry_stop(struct ferry *ferry);

#endif
