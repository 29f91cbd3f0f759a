/*
 * Prefetching where memory is copied.
 *
 * Each read of such memory is a system call, and a chain takes three before its model has begun:
 * its descriptor, the table that one names, the request's header. None depends on the chain before,
 * so that they are fetched for many chains together, in three steps: all descriptors, all tables,
 * the first readable bytes of all.
 *
 * What may be fetched. Only chains that the driver has made available, which it may not change
 * until they are used (virtio 1.3, 2.7.13, 2.8.21): those before the available index that was
 * loaded last; in a packed ring those whose first descriptor was seen to be available, fetched once
 * more after that was seen, since one read of several descriptors has no order within itself.
 *
 * Nothing is judged here. A chain is put together from these copies when its turn comes, by the
 * same code as any other, so that the reasons of a bad one, and their order, are the same; what
 * could not be fetched is not there, and is read alone. Copies are good for one generation of the
 * space.
 */
#include "ring/ring_internal.h"

#include <string.h>

#include "wire/vhost.h"

#define RAW_SIZE ((uint32_t)sizeof(struct ring_raw))

_Static_assert(RING_PREFETCH <= SPACE_GATHER_MAX, "all chains are gathered at once");

static uint32_t raw_len(const struct ring_raw *raw)
{
	return (uint32_t)raw->rest;
}

static uint16_t raw_flags(const struct ring *ring, const struct ring_raw *raw)
{
	return (uint16_t)(raw->rest >> (ring->packed ? 48 : 32));
}

/* Pieces, and whose they are. */
struct wanted {
	unsigned count;
	struct space_piece pieces[RING_PREFETCH];
	uint8_t whose[RING_PREFETCH];
};

static void want(struct wanted *wanted, unsigned whose, uint64_t iova, uint32_t size, void *to)
{
	wanted->whose[wanted->count] = (uint8_t)whose;
	wanted->pieces[wanted->count++] =
		(struct space_piece){.iova = iova, .size = size, .to = to};
}

/* The tables that first descriptors name, as long as there is room for them. */
static void fetch_tables(struct ring *ring, struct ring_prefetch *prefetch, unsigned count)
{
	struct wanted wanted = {0};
	uint32_t used = 0;

	for (unsigned i = 0; i < count; i++) {
		struct ring_prefetch_chain *chain = &prefetch->chains[i];
		const struct ring_raw *raw = &chain->near[0];

		if (!chain->near_count || !(raw_flags(ring, raw) & VRING_DESC_F_INDIRECT) ||
		    raw_len(raw) < RAW_SIZE || raw_len(raw) > sizeof(prefetch->tables) - used)
			continue;
		chain->table_iova = raw->addr;
		chain->table_at = (uint16_t)used;
		want(&wanted, i, raw->addr, raw_len(raw), prefetch->tables + used);
		used += raw_len(raw);
	}
	space_gather(ring->space, wanted.pieces, wanted.count);
	for (unsigned i = 0; i < wanted.count; i++)
		if (wanted.pieces[i].done)
			prefetch->chains[wanted.whose[i]].table_size = wanted.pieces[i].size;
}

/* A chain's first buffer; false: it is not known. */
static bool first_buffer(const struct ring *ring, const struct ring_prefetch *prefetch,
			 const struct ring_prefetch_chain *chain, struct ring_raw *raw)
{
	if (chain->table_size)
		memcpy(raw, prefetch->tables + chain->table_at, sizeof(*raw));
	else
		*raw = chain->near[0];
	return chain->near_count && !(raw_flags(ring, raw) & VRING_DESC_F_INDIRECT);
}

static void prefetch_header(struct ring *ring, struct ring_prefetch *prefetch, unsigned count)
{
	struct wanted wanted = {0};

	for (unsigned i = 0; i < count; i++) {
		struct ring_prefetch_chain *chain = &prefetch->chains[i];
		struct ring_raw raw;

		if (!first_buffer(ring, prefetch, chain, &raw) || !raw_len(&raw) ||
		    raw_flags(ring, &raw) & VRING_DESC_F_WRITE)
			continue;
		chain->header_iova = raw.addr;
		want(&wanted, i, raw.addr,
		     raw_len(&raw) < CHAIN_PREFETCH ? raw_len(&raw) : CHAIN_PREFETCH,
		     chain->header.bytes);
	}
	space_gather(ring->space, wanted.pieces, wanted.count);
	for (unsigned i = 0; i < wanted.count; i++)
		if (wanted.pieces[i].done)
			prefetch->chains[wanted.whose[i]].header.size = wanted.pieces[i].size;
}

static void forget(struct ring_prefetch_chain *chain)
{
	chain->near_count = 0;
	chain->table_size = 0;
	chain->header.chain = NULL;
	chain->header.size = 0;
}

void ring_prefetch_fetch(struct ring *ring, const uint16_t *heads, unsigned count)
{
	struct ring_prefetch *prefetch = ring->setup.prefetch;
	struct wanted wanted = {0};

	ring->prefetch_count = 0;
	if (!prefetch)
		return;
	count = count < RING_PREFETCH ? count : RING_PREFETCH;
	for (unsigned i = 0; i < count; i++) {
		struct ring_prefetch_chain *chain = &prefetch->chains[i];
		uint32_t left = heads[i] < ring->setup.num ? ring->setup.num - heads[i] : 0;

		forget(chain);
		chain->head = heads[i];
		left = left < RING_PREFETCH_NEAR ? left : RING_PREFETCH_NEAR;
		if (left)
			want(&wanted, i, ring->desc.iova + (uint64_t)heads[i] * RAW_SIZE,
			     left * RAW_SIZE, chain->near);
	}
	space_gather(ring->space, wanted.pieces, wanted.count);
	for (unsigned i = 0; i < wanted.count; i++)
		if (wanted.pieces[i].done)
			prefetch->chains[wanted.whose[i]].near_count =
				(uint16_t)(wanted.pieces[i].size / RAW_SIZE);
	fetch_tables(ring, prefetch, count);
	prefetch_header(ring, prefetch, count);
	ring->prefetch_at = ring->last_avail;
	ring->prefetch_count = (uint16_t)count;
}

/* How many of the descriptors, from the first on, are available. */
static unsigned count_available(const struct ring *ring, const struct ring_raw *raws,
				unsigned count)
{
	unsigned n;

	for (n = 0; n < count; n++)
		if (!packed_is_available(raw_flags(ring, &raws[n]), ring->avail_wrap))
			break;
	return n;
}

enum ring_pop_result ring_prefetch_fetch_packed(struct ring *ring)
{
	struct ring_prefetch *prefetch = ring->setup.prefetch;
	unsigned count = ring->setup.num - ring->last_avail;
	uint32_t offset = ring->last_avail * RAW_SIZE;
	struct ring_raw raws[RING_PREFETCH];

	ring->prefetch_count = 0;
	count = count < RING_PREFETCH ? count : RING_PREFETCH;
	if (area_read(ring, &ring->desc, offset, raws, count * RAW_SIZE) < 0)
		return RING_UNMAPPED;
	count = count_available(ring, raws, count);
	if (!count)
		return RING_EMPTY;
	atomic_thread_fence(memory_order_acquire); /* the flags, then what they are the flags of */
	if (area_read(ring, &ring->desc, offset, raws, count * RAW_SIZE) < 0)
		return RING_UNMAPPED;
	for (unsigned i = 0; i < count; i++) {
		forget(&prefetch->chains[i]);
		prefetch->chains[i].near[0] = raws[i];
		prefetch->chains[i].near_count = 1;
	}
	fetch_tables(ring, prefetch, count);
	prefetch_header(ring, prefetch, count);
	ring->prefetch_at = ring->last_avail;
	ring->prefetch_wrap = ring->avail_wrap;
	ring->prefetch_count = (uint16_t)count;
	return RING_CHAIN;
}

void ring_prefetch_give(const struct ring *ring, struct chain *chain)
{
	struct ring_prefetch_chain *prefetch = ring_prefetch_of(ring, chain);
	const struct segment *first = chain->segments;

	if (!prefetch || !prefetch->header.size || !chain->readable_count ||
	    first->iova != prefetch->header_iova || first->size < prefetch->header.size)
		return;
	prefetch->header.chain = chain;
	chain->header = &prefetch->header;
}
