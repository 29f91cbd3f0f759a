/*
 * A ring layout, as the queue sees it. The queue (queue.c) knows cookies, free descriptors and
 * eventfds; the layout (split.c) knows what lies where in memory and which bytes tell the device
 * what.
 */
#ifndef UVDPA_DRIVER_RING_H
#define UVDPA_DRIVER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uvdpa/driver.h"

/* What the device said about one finished chain, not judged yet. */
struct drv_used {
	uint32_t id;
	uint32_t len;
};

struct drv_ring {
	/* Bytes of the three areas for a ring of `size`. */
	void (*lengths)(uint16_t size, size_t *desc, size_t *avail, size_t *used);
	/* Empties the ring and lets it begin at index `base`. */
	void (*start)(struct uvdpa_queue *q, uint16_t base);
	/* Writes a chain into descriptors drawn from the free list and appends it, unpublished. */
	uint16_t (*append)(struct uvdpa_queue *q, const struct uvdpa_segment *segments,
			   unsigned count, bool indirect);
	/* Shows appended chains to the device. Returns how many. */
	unsigned (*publish)(struct uvdpa_queue *q);
	/* Whether the device wants a kick for what was published since this was last asked. */
	bool (*kick_wanted)(struct uvdpa_queue *q);
	/* How many chains the device says it has finished, beyond those taken. */
	unsigned (*pending)(const struct uvdpa_queue *q);
	/* Takes the next one; only if one is pending. */
	struct drv_used (*take)(struct uvdpa_queue *q);
	/* Tells the device at which point it is to call: at the next completion, or not. */
	void (*arm)(struct uvdpa_queue *q, bool calls);
};

extern const struct drv_ring drv_ring_split;

#endif
