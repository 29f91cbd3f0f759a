/*
 * What all ring layouts share: life, the areas, and being broken.
 *
 * An area is used through a host pointer when all of it lies in one mapped,
 * aligned region; otherwise every access copies. Which of the two can change
 * with any change of the address space, so areas are resolved again whenever
 * its generation moved.
 */
#include "ring/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ring/ring_internal.h"
#include "wire/vhost.h"

void ring_init(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
}

bool ring_size_fits(uint32_t num, uint64_t features)
{
	bool packed = features & (1ull << VIRTIO_F_RING_PACKED);

	return num && num <= 32768 && (packed || !(num & (num - 1)));
}

/* One less than the power of two that is not below `num`. */
static uint16_t mask_for(uint16_t num)
{
	uint32_t size = 1;

	while (size < num)
		size *= 2;
	return (uint16_t)(size - 1);
}

int ring_start(struct ring *ring, const struct ring_setup *setup, struct space *space)
{
	if (!ring_size_fits(setup->num, setup->features))
		return -EINVAL;
	ring_init(ring);
	ring->turn_mask = mask_for(setup->num);
	if (setup->reorder)
		memset(setup->reorder, 0, (ring->turn_mask + 1u) * sizeof(setup->reorder[0]));
	ring->setup = *setup;
	ring->space = space;
	ring->packed = setup->features & (1ull << VIRTIO_F_RING_PACKED);
	ring->event_idx = setup->features & (1ull << VIRTIO_RING_F_EVENT_IDX);
	ring->indirect = setup->features & (1ull << VIRTIO_RING_F_INDIRECT_DESC);
	ring->started = (ring->packed ? packed_start(ring) : split_start(ring)) == 0;
	return ring->started ? 0 : -EINVAL;
}

void ring_stop(struct ring *ring)
{
	assert(ring->broken || (ring->used == ring->flushed && !ring->batch_entries));
	ring->started = false;
	ring->resolved = false;
}

void ring_set_log(struct ring *ring, struct dirty_log *data, struct dirty_log *used,
		  uint64_t used_at)
{
	ring->data_log = data;
	ring->used_log = used;
	ring->used_log_at = used_at;
}

/* The first `size` bytes of a chain's writable part were written. Rare: not inline. */
static __attribute__((noinline)) void mark(struct ring *ring, const struct chain *chain,
					   uint64_t size)
{
	const struct segment *s = chain->segments + chain->readable_count;

	for (unsigned i = 0; i < chain->writable_count && size; i++, s++) {
		uint64_t n = s->size < size ? s->size : size;

		dirty_mark(ring->data_log, s->iova, n);
		size -= n;
	}
}

void ring_mark_chain(struct ring *ring, const struct chain *chain)
{
	if (ring->data_log)
		mark(ring, chain, chain->writable);
}

unsigned ring_resubmits(const struct ring *ring)
{
	if (!ring->started || ring->broken)
		return 0;
	if (ring->setup.record && !ring->placed &&
	    ring->generation != space_generation(ring->space))
		return 1;
	return ring->resubmit;
}

bool ring_find_place(struct ring *ring)
{
	if (!ring->started || ring->broken || ring->placed)
		return true;
	return ring_resolve(ring) || ring->broken;
}

unsigned ring_pending(const struct ring *ring, uint16_t *heads)
{
	struct inflight_cursor cursor = ring->cursor;
	unsigned n = 0;
	int head;

	for (unsigned left = ring_resubmits(ring) ? ring->resubmit : 0; left; left--) {
		if (ring->resubmit_list)
			head = ring->setup.resubmit_list[ring->setup.resubmit_count - left];
		else if (ring->packed)
			head = inflight_packed_next(ring_packed_record(ring), ring->setup.num,
						    &cursor);
		else
			head = inflight_next(ring->setup.record, ring->setup.num, &cursor);
		if (head < 0)
			break; /* somebody else changed the record meanwhile */
		heads[n++] = (uint16_t)head;
	}
	return n;
}

void ring_resubmit(struct ring *ring, const uint16_t *heads, unsigned count)
{
	assert((!ring->packed || ring->setup.record) && count <= ring->setup.num);
	ring->setup.resubmit_list = ring->resubmit_list = heads;
	ring->setup.resubmit_count = ring->resubmit = count;
}

enum ring_pop_result ring_break(struct ring *ring, const char *format, ...)
{
	va_list args;

	if (ring->broken)
		return RING_BROKEN;
	ring->broken = true;
	ring->reason.code = -EINVAL;
	va_start(args, format);
	vsnprintf(ring->reason.text, sizeof(ring->reason.text), format, args);
	va_end(args);
	return RING_BROKEN;
}

/* Finds out how an area is reached. Returns false if (part of) it is not mapped. */
static bool resolve_area(struct ring *ring, struct ring_area *area, enum space_access access,
			 unsigned alignment)
{
	struct segment segment;
	int r;

	area->host = NULL;
	r = space_translate(ring->space, area->iova, area->size, access, &segment, 1);
	if (r == -E2BIG)
		return true; /* mapped in several regions: by copying */
	if (r < 0)
		return false;
	if (segment.host && (uintptr_t)segment.host % alignment == 0)
		area->host = segment.host;
	return true;
}

/* False: the ring's memory was not there after all, or it is broken. */
static bool find_place(struct ring *ring)
{
	enum ring_pop_result r = ring->packed ? packed_place(ring) : split_place(ring);

	ring->signal_pending = ring->signal_pending && !ring->setup.told;
	ring->placed = r == RING_CHAIN;
	return ring->placed;
}

bool ring_resolve_slow(struct ring *ring)
{
	uint64_t generation = space_generation(ring->space);

	ring->generation = generation;
	ring->cache = (struct space_cache){0};
	ring->copies.heads_count = ring->prefetch_count = 0;
	ring->notify_enabled = false; /* said in the old memory, perhaps */
	ring->resolved = resolve_area(ring, &ring->desc, SPACE_READ, 1) &&
			 resolve_area(ring, &ring->driver, SPACE_READ, 2) &&
			 resolve_area(ring, &ring->device, SPACE_WRITE, 4);
	/* packed: used descriptors are written into the descriptor ring itself */
	if (ring->resolved && ring->packed)
		ring->resolved = resolve_area(ring, &ring->desc, SPACE_WRITE, 2);
	if (ring->resolved && !ring->placed)
		ring->resolved = find_place(ring);
	ring->fast = ring->resolved && ring->desc.host && ring->driver.host && ring->device.host;
	ring->copied = !ring->desc.host || !ring->driver.host;
	return ring->resolved;
}

static enum ring_pop_result not_resolved(const struct ring *ring)
{
	return ring->broken ? RING_BROKEN : RING_UNMAPPED;
}

enum ring_pop_result ring_look(struct ring *ring)
{
	assert(ring->started);
	if (ring->broken)
		return RING_BROKEN;
	if (!ring_resolve(ring))
		return not_resolved(ring);
	return ring->packed ? packed_look(ring) : split_look(ring);
}

enum ring_pop_result ring_pop(struct ring *ring, struct chain *chain)
{
	enum ring_pop_result r;

	assert(ring->started);
	if (ring->broken)
		return RING_BROKEN;
	if (!ring_resolve(ring))
		return not_resolved(ring);
	chain->seq = ring->next_seq;
	r = ring->packed ? packed_pop(ring, chain) : split_pop(ring, chain);
	ring->next_seq += r == RING_CHAIN;
	return r;
}

void ring_unpop(struct ring *ring, const struct chain *chain)
{
	if (ring->broken)
		return;
	ring->next_seq--;
	if (chain->resubmitted) {
		ring->resubmit++;
		ring->cursor = (struct inflight_cursor){chain->at_counter, chain->at_head};
		return;
	}
	ring->last_avail = chain->at;
	ring->avail_wrap = chain->at_wrap;
	if (ring->setup.record && ring->packed)
		inflight_packed_unpop(ring_packed_record(ring), chain->entry);
	else if (ring->setup.record)
		inflight_unpop(ring->setup.record, chain->head);
}

static void use(struct ring *ring, const struct ring_used *used)
{
	if (ring->packed)
		packed_complete(ring, used);
	else
		split_complete(ring, used);
}

/* Keeps the chain until all before it have come back, too. */
static void use_in_order(struct ring *ring, uint16_t seq, const struct ring_used *used)
{
	uint16_t mask = ring->turn_mask;
	struct ring_used *due = &ring->setup.reorder[ring->due_seq & mask];

	ring->setup.reorder[seq & mask] = *used;
	for (; due->done && !ring->broken; due = &ring->setup.reorder[ring->due_seq & mask]) {
		due->done = false;
		ring->due_seq++;
		use(ring, due);
	}
}

/* Whether a chain can be shown as used; the ring is broken if not. */
static inline bool completable(struct ring *ring)
{
	if (ring->broken)
		return false;
	if (!ring_resolve(ring))
		ring_break(ring, "the used ring at 0x%llx is not mapped for writing",
			   (unsigned long long)ring->setup.device);
	return !ring->broken;
}

void ring_complete(struct ring *ring, const struct chain *chain, uint32_t written)
{
	const struct ring_used used = {.head = chain->head,
				       .entry = chain->entry,
				       .entries = chain->entries,
				       .written = written,
				       .writable = chain->writable,
				       .full = written == chain->writable,
				       .done = true};

	/* A model that failed half-way, or puts a status last, wrote somewhere in its part. */
	if (ring->data_log)
		mark(ring, chain, chain->in_order ? written : chain->writable);
	if (!completable(ring))
		return;
	if (ring->setup.reorder)
		use_in_order(ring, chain->seq, &used);
	else if (ring->packed)
		packed_complete(ring, &used);
	else
		split_complete(ring, &used);
}

bool ring_flush_used(struct ring *ring)
{
	bool due = ring->signal_pending;

	ring->signal_pending = false;
	if (ring->used == ring->flushed && !ring->batch_entries)
		return due;
	if (ring->broken || !ring_resolve(ring)) {
		ring->flushed = ring->used;
		ring->batch_entries = 0;
		ring->copies.used_count = 0;
		return false;
	}
	ring->tail_full = false;
	return (ring->packed ? packed_flush_used(ring) : split_flush_used(ring)) || due;
}

bool ring_enable_notify(struct ring *ring)
{
	/* what a record holds is found by a look, and taken again before anybody waits for kicks */
	if (ring->setup.record && !ring->placed)
		return false;
	if (ring->broken || !ring_resolve(ring))
		return false;
	return ring->packed ? packed_enable_notify(ring) : split_enable_notify(ring);
}

void ring_disable_notify(struct ring *ring)
{
	if (!ring->notify_enabled || ring->broken || !ring_resolve(ring))
		return;
	if (ring->packed)
		packed_disable_notify(ring);
	else
		split_disable_notify(ring);
}

uint32_t ring_first_base(uint64_t features)
{
	/* both wrap counters begin at 1 (virtio 1.3, 2.8.1) */
	return features & (1ull << VIRTIO_F_RING_PACKED) ? 0x80008000u : 0;
}

uint32_t ring_base(const struct ring *ring)
{
	return ring->packed ? packed_base(ring) : ring->last_avail;
}

const char *ring_reason(const struct ring *ring)
{
	return ring->broken ? ring->reason.text : "";
}
