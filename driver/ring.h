/*
 * A ring layout, as the queue sees it. The queue (queue.c) knows eventfds, waiting, and what a
 * chain may be; the layout (split.c, packed.c) knows what lies where in memory and which bytes tell
 * the device what. It is chosen once, when the queue is made. Adding and polling are one call each,
 * so that what is done per chain is in the layout's own loop, with chains.h inlined into it.
 */
#ifndef UVDPA_DRIVER_RING_H
#define UVDPA_DRIVER_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uvdpa/driver.h"

struct drv_ring {
	/* Bytes of the three areas for a ring of `size`. */
	void (*lengths)(uint16_t size, size_t *desc, size_t *driver, size_t *device);
	/* Where a ring begins on a virgin device. */
	uint32_t first_base;
	/* Whether an empty ring of `size` can begin at `base`. */
	bool (*can_start)(uint16_t size, uint32_t base);
	/* Empties the ring and lets it begin at `base`. */
	void (*start)(struct uvdpa_queue *q, uint32_t base);
	/* Writes a chain, for which there is room, unpublished. Returns its head. */
	uint16_t (*add)(struct uvdpa_queue *q, const struct uvdpa_segment *segments, unsigned count,
			bool indirect, uint64_t cookie);
	/* Shows added chains to the device with one store. Returns how many. */
	unsigned (*publish)(struct uvdpa_queue *q);
	/* Whether the device wants a kick for what was published since this was last asked. */
	bool (*kick_wanted)(struct uvdpa_queue *q);
	/* Whether the device says that it finished a chain; -EPROTO: more than it was given. */
	int (*pending)(struct uvdpa_queue *q);
	/* As uvdpa_queue_poll(), of a queue that is not broken. */
	int (*poll)(struct uvdpa_queue *q, struct uvdpa_completion *completions, unsigned max);
	/* Tells the device at which point it is to call: at the next completion, or not. */
	void (*arm)(struct uvdpa_queue *q, bool calls);
	/* As uvdpa_queue_base() and uvdpa_queue_debug_snapshot(). */
	uint32_t (*position)(const struct uvdpa_queue *q);
	void (*peek)(const struct uvdpa_queue *q, struct uvdpa_queue_view *view);
	/* As uvdpa_queue_descriptor(), within the ring. */
	void (*descriptor)(const struct uvdpa_queue *q, uint16_t index,
			   struct uvdpa_descriptor *descriptor);
};

extern const struct drv_ring drv_ring_split, drv_ring_packed;

#endif
