/* The queue's insides, for its own file, for the ring layouts, and for attaching. */
#ifndef UVDPA_DRIVER_QUEUE_PRIVATE_H
#define UVDPA_DRIVER_QUEUE_PRIVATE_H

#include <stdbool.h>
#include <stdint.h>

#include "driver/ring.h"
#include "driver/poll_window.h"
#include "uvdpa/driver.h"
#include "wire/vhost.h"

/*
 * A chain in flight, found by its head (split: the first descriptor's number; packed: its id).
 * Everything that decides what a completion means is here and not in the ring, which the device can
 * write to.
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
	bool in_order;
	bool calls; /* wanted */
	bool attached;
	enum uvdpa_queue_break broken;
	char err[160]; /* why; empty: sound */

	/* In the arena. Which of them are used is the layout's affair. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *packed;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	union {
		struct vring_used *used;
		struct vring_packed_desc_event *device_event;
	};
	void *tables; /* size * indirect entries of 16 bytes */

	/* Out of the device's reach. */
	struct drv_chain *chains; /* by head */
	uint16_t *next;		  /* free list, and (split) the order inside a chain */
	uint16_t *order;	  /* in order only: the heads in flight, by serial and this mask: */
	uint16_t order_mask;
	uint16_t free_head;
	uint16_t free_count; /* descriptors */
	uint16_t in_flight;  /* chains */
	uint16_t added;	     /* split: available index with what is not published; packed: chains */
	uint16_t published;  /* the same, of what the device sees */
	uint16_t taken;	     /* the same, of what was collected, in the order of use */

	/* In order only: the used entry at `taken` stands for all chains up to that of `batch_id`.
	 */
	uint32_t batch_id, batch_len;
	bool in_batch;

	/* Split only. */
	uint16_t asked;	     /* published when a kick was last considered */
	uint16_t event_told; /* the used event */

	/* Packed only. Positions are an entry and, in bit 15, its wrap counter. */
	uint16_t next_avail;   /* where the next chain goes */
	uint16_t public_avail; /* behind what is published */
	uint16_t next_used;    /* the next used descriptor to collect; see packed_position() */
	uint16_t batch_slot;   /* the first unpublished descriptor, ... */
	uint16_t batch_flags;  /* ... and the flags that will publish it */
	uint32_t batch_count;  /* unpublished descriptors */
	uint32_t unasked;      /* descriptors published since a kick was last considered */
	uint32_t version;      /* odd while completions are being collected */

	struct drv_poll_window window; /* of uvdpa_queue_wait() */

	int kick_fd;
	int call_fd;
};

/* Sticks: the first reason is the one that matters. Returns -EPROTO. */
int __attribute__((format(printf, 3, 4), cold))
drv_break_queue(struct uvdpa_queue *q, enum uvdpa_queue_break how, const char *format, ...);

#endif
