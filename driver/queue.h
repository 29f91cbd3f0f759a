/* The queue's insides, for its own file, for the ring layouts, and for attaching. */
#ifndef UVDPA_DRIVER_QUEUE_PRIVATE_H
#define UVDPA_DRIVER_QUEUE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/ring.h"
#include "uvdpa/driver.h"
#include "wire/vhost.h"

/*
 * A chain in flight, found by its head descriptor. Everything that decides what a completion means
 * is here and not in the ring, which the device can write to.
 */
struct drv_chain {
	uint64_t cookie;
	uint64_t room;	 /* bytes the device may write */
	uint16_t count;	 /* descriptors taken from the ring; 0: not in flight */
	uint16_t serial; /* its place in the available order */
};

struct uvdpa_queue {
	const struct drv_ring *ring;
	struct uvdpa_memory *memory;
	uint64_t serial; /* no other queue of this process has it */
	uint16_t size;
	uint16_t indirect; /* segments per indirect table */
	bool event_idx;
	bool calls; /* wanted */
	bool attached;
	enum uvdpa_queue_break broken;
	char fault[160]; /* why; empty: sound */

	/* In the arena. */
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_desc *tables;

	/* Out of the device's reach. */
	struct drv_chain *chains; /* by head */
	uint16_t *next;		  /* free list, and the order inside a chain */
	uint16_t free_head;
	uint16_t free_count;
	uint16_t in_flight;
	uint16_t added;	    /* available index with what is not published */
	uint16_t published; /* available index the device sees */
	uint16_t asked;	    /* published when a kick was last considered */
	uint16_t taken;	    /* used index up to which completions were collected */

	int kick_fd;
	int call_fd;
};

#endif
