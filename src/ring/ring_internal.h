/*
 * For files of ring/ only: access to a ring's areas, wherever they are, and
 * the layouts behind the common interface.
 */
#ifndef UVDPA_RING_RING_INTERNAL_H
#define UVDPA_RING_RING_INTERNAL_H

#include <errno.h>
#include <stdatomic.h>

#include "ring/ring.h"
#include "util/bytes.h"
#include "wire/vhost.h"

/* Marks the ring broken; the first reason sticks. Returns RING_BROKEN. */
enum ring_pop_result ring_break(struct ring *ring, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Brings the areas up to date with the address space. False: a part of them is not mapped, or the
 * ring is broken. */
bool ring_resolve_slow(struct ring *ring);
static inline bool ring_resolve(struct ring *ring)
{
	if (ring->resolved && ring->generation == space_generation(ring->space))
		return true;
	return ring_resolve_slow(ring);
}

/* What was just written into one of the areas goes to the dirty log. */
static inline void area_mark(const struct ring *ring, const struct ring_area *area, uint32_t offset,
			     uint32_t size)
{
	if (!ring->used_log)
		return;
	dirty_mark(ring->used_log,
		   (area == &ring->device ? ring->used_log_at : area->iova) + offset, size);
}

/*
 * Words of areas that are not one mapped region: see area.c. `lower`: what the lower half of the
 * word of four bytes is known to be, of which this is the upper one; NULL: not known.
 */
int ring_load16(const struct ring *ring, const struct ring_area *area, uint32_t offset,
		uint16_t *value);
int ring_store16(const struct ring *ring, const struct ring_area *area, uint32_t offset,
		 const uint16_t *lower, uint16_t value);

/*
 * 16-bit loads (acquire) and stores (release) in an area. A mapped area was checked to be aligned,
 * so that they are single accesses (virtio 1.3, 2.7.13.4.1: the driver may look at any time).
 * Return 0 or -EFAULT.
 */
static inline int area_load16(const struct ring *ring, const struct ring_area *area,
			      uint32_t offset, uint16_t *value)
{
	if (area->host) {
		*value = atomic_load_explicit((_Atomic uint16_t *)(void *)(area->host + offset),
					      memory_order_acquire);
		return 0;
	}
	return ring_load16(ring, area, offset, value);
}

static inline int area_store16(const struct ring *ring, const struct ring_area *area,
			       uint32_t offset, uint16_t value)
{
	if (!area->host)
		return ring_store16(ring, area, offset, NULL, value);
	atomic_store_explicit((_Atomic uint16_t *)(void *)(area->host + offset), value,
			      memory_order_release);
	area_mark(ring, area, offset, sizeof(value));
	return 0;
}

/* Stores the upper half of a word whose lower half, ours as well, is known to be `lower`. */
static inline int area_store_upper(const struct ring *ring, const struct ring_area *area,
				   uint32_t offset, uint16_t lower, uint16_t value)
{
	return area->host ? area_store16(ring, area, offset, value)
			  : ring_store16(ring, area, offset, &lower, value);
}

static inline int area_read(const struct ring *ring, const struct ring_area *area, uint32_t offset,
			    void *to, uint32_t size)
{
	if (area->host) {
		memcpy(to, area->host + offset, size);
		return 0;
	}
	return space_read(ring->space, area->iova + offset, to, size);
}

static inline int area_write(const struct ring *ring, const struct ring_area *area, uint32_t offset,
			     const void *from, uint32_t size)
{
	if (area->host) {
		memcpy(area->host + offset, from, size);
		area_mark(ring, area, offset, size);
		return 0;
	}
	if (space_write(ring->space, area->iova + offset, from, size) < 0)
		return -EFAULT;
	area_mark(ring, area, offset, size);
	return 0;
}

/*
 * The driver can change a descriptor at any time: what is judged has to be what is used. A mapped
 * one is loaded with two loads that the compiler may neither repeat nor split.
 */
static inline struct ring_raw load_raw(const uint8_t *table, uint32_t index)
{
	typedef volatile uint64_t __attribute__((aligned(1), may_alias)) once;
	const once *from = (const once *)(table + (size_t)index * sizeof(struct ring_raw));

	return (struct ring_raw){from[0], from[1]};
}

static inline int area_load_raw(const struct ring *ring, const struct ring_area *area,
				uint32_t index, struct ring_raw *raw)
{
	if (area->host) {
		*raw = load_raw(area->host, index);
		return 0;
	}
	return space_read(ring->space, area->iova + (uint64_t)index * sizeof(*raw), raw,
			  sizeof(*raw));
}

static inline struct inflight_packed *ring_packed_record(const struct ring *ring)
{
	return (struct inflight_packed *)(void *)ring->setup.record;
}

/* One descriptor's worth of a chain, whatever table it came from. */
struct ring_buffer {
	uint64_t addr;
	uint32_t len;
	bool writable;
};

/*
 * Adds a buffer to the chain that is being taken (chain.c). `*segments` counts those filled so
 * far. Returns RING_CHAIN or RING_BROKEN.
 */
enum ring_pop_result ring_add_buffer(struct ring *ring, struct chain *chain, unsigned *segments,
				     const struct ring_buffer *buffer);

/* The same, quickly if it lies where others did. */
static inline enum ring_pop_result ring_add(struct ring *ring, struct chain *chain,
					    unsigned *segments, struct ring_buffer buffer)
{
	enum space_access access = buffer.writable ? SPACE_WRITE : SPACE_READ;
	uint8_t *host = space_cached(&ring->cache, buffer.addr, buffer.len, access);

	if (!host || !buffer.len || *segments >= chain->max_segments ||
	    (!buffer.writable && chain->writable_count) ||
	    chain->readable + chain->writable + buffer.len > CHAIN_MAX_BYTES)
		return ring_add_buffer(ring, chain, segments, &buffer);
	chain->segments[(*segments)++] = (struct segment){host, buffer.addr, buffer.len};
	if (buffer.writable) {
		chain->writable_count++;
		chain->writable += buffer.len;
	} else {
		chain->readable_count++;
		chain->readable += buffer.len;
	}
	return RING_CHAIN;
}

/* Before the first buffer of a chain. */
static inline void ring_begin_chain(const struct ring *ring, struct chain *chain)
{
	chain->space = ring->space;
	chain->entries = 0;
	chain->in_order = false;
	chain->at = ring->last_avail;
	chain->at_wrap = ring->avail_wrap;
	chain->resubmitted = false;
	chain->header = NULL;
	chain->readable_count = chain->writable_count = 0;
	chain->readable = chain->writable = 0;
}

/* What was prefetched of the descriptor at a position of the ring; NULL: nothing. */
static inline struct ring_prefetch_chain *ring_prefetch_at(const struct ring *ring, uint16_t at,
							   bool wrap)
{
	uint16_t i = (uint16_t)(at - ring->prefetch_at);

	return i < ring->prefetch_count && wrap == ring->prefetch_wrap
		       ? &ring->setup.prefetch->chains[i]
		       : NULL;
}

/* The same of the chain that is being taken from the ring. */
static inline struct ring_prefetch_chain *ring_prefetch_of(const struct ring *ring,
							   const struct chain *chain)
{
	return chain->resubmitted ? NULL : ring_prefetch_at(ring, chain->at, chain->at_wrap);
}

/* Its table, if that is the one; or NULL. */
static inline uint8_t *ring_prefetch_table(const struct ring *ring, const struct chain *chain,
					   uint64_t addr, uint32_t len)
{
	struct ring_prefetch_chain *prefetch = ring_prefetch_of(ring, chain);

	if (!prefetch || prefetch->table_size != len || prefetch->table_iova != addr)
		return NULL;
	return ring->setup.prefetch->tables + prefetch->table_at;
}

/*
 * Prefetches the chains from the ring's position on: see ahead.c. Split: they have these heads.
 * Packed: RING_CHAIN if there are any, else RING_EMPTY or RING_UNMAPPED; with setup.prefetch only.
 */
void ring_prefetch_fetch(struct ring *ring, const uint16_t *heads, unsigned count);
enum ring_pop_result ring_prefetch_fetch_packed(struct ring *ring);
/* Lets a chain that was just taken have its beginning, if that was prefetched. */
void ring_prefetch_give(const struct ring *ring, struct chain *chain);

/* Finds an indirect table of `len` bytes. Returns RING_CHAIN or RING_BROKEN. */
enum ring_pop_result ring_find_table(struct ring *ring, const struct chain *chain, uint64_t addr,
				     uint32_t len, struct ring_area *table);

/* Packed layout (virtio 1.3, 2.8): see packed.c. */
static inline bool packed_is_available(uint16_t flags, bool wrap)
{
	return !(flags & 1u << VRING_PACKED_DESC_F_AVAIL) != wrap &&
	       !(flags & 1u << VRING_PACKED_DESC_F_USED) == wrap;
}

int packed_start(struct ring *ring);
/*
 * A ring's areas are reached for the first time since its start: settles where it goes on. Returns
 * RING_CHAIN, RING_UNMAPPED or RING_BROKEN.
 */
enum ring_pop_result packed_place(struct ring *ring);
enum ring_pop_result packed_look(struct ring *ring);
enum ring_pop_result packed_pop(struct ring *ring, struct chain *chain);
void packed_complete(struct ring *ring, const struct ring_used *used);
bool packed_flush_used(struct ring *ring);
bool packed_enable_notify(struct ring *ring);
void packed_disable_notify(struct ring *ring);
uint32_t packed_base(const struct ring *ring);

/* Split layout (virtio 1.3, 2.7): see split.c. */
int split_start(struct ring *ring);
enum ring_pop_result split_place(struct ring *ring); /* as packed_place */
enum ring_pop_result split_look(struct ring *ring);
enum ring_pop_result split_pop(struct ring *ring, struct chain *chain);
void split_complete(struct ring *ring, const struct ring_used *used);
bool split_flush_used(struct ring *ring);
bool split_enable_notify(struct ring *ring);
void split_disable_notify(struct ring *ring);

#endif
