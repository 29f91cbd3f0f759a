/*
 * For files of ring/ only: the usual chain, taken fast.
 *
 * Most chains have few buffers, each of which lies in a region of memory that the ring found
 * before, and most rings are mapped. Such a chain is put together here with little more than the
 * loads that it takes. It is judged by the same rules as any other; but where one of them fails, be
 * it that the chain is unusual or that it is nonsense, nothing is said and nothing has changed: it
 * is taken once more from its beginning, by the long way, which judges what it then loads and has
 * words for what is wrong with it.
 */
#ifndef UVDPA_RING_FAST_PATH_H
#define UVDPA_RING_FAST_PATH_H

#include "ring/ring_internal.h"

/* A chain being put together; the members are to be in registers. */
struct fast {
	struct space_hit hit; /* where most of the buffers are; size 0: none is */
	struct segment *next;
	unsigned room;	/* for so many segments */
	unsigned count; /* of segments */
	uint64_t bytes; /* of all of them: few times 32 bits, judged at the end */
	bool writing;	/* a writable one was there, before the first of which were: */
	unsigned readable_count;
	uint64_t readable;
};

/* `entries`: of the table that the buffers come from, of which no chain has more. */
static inline struct fast fast_begin(const struct ring *ring, const struct chain *chain,
				     uint32_t entries)
{
	struct fast s = {
		.hit = ring->cache.hits[0],
		.next = chain->segments,
		.room = entries < chain->max_segments ? entries : chain->max_segments,
	};

	if (s.hit.access != (SPACE_READ | SPACE_WRITE))
		s.hit.size = 0;
	return s;
}

/* The host address of a buffer; NULL: not this way. Nothing that is mapped is near 2^64 bytes. */
static inline uint8_t *fast_find(const struct ring *ring, const struct fast *s, uint64_t addr,
				 uint32_t len, bool writable)
{
	uint64_t offset = addr - s->hit.iova;

	if (offset < s->hit.size && offset + len <= s->hit.size)
		return s->hit.host + offset;
	return space_cached(&ring->cache, addr, len, writable ? SPACE_WRITE : SPACE_READ);
}

/* Adds a buffer. False: not this way. */
static inline bool fast_add(const struct ring *ring, struct fast *s, uint64_t addr, uint32_t len,
			    bool writable)
{
	uint8_t *host = fast_find(ring, s, addr, len, writable);

	if (!host || !len || s->count == s->room)
		return false;
	if (writable != s->writing) {
		if (!writable)
			return false; /* after a writable one */
		s->writing = true;
		s->readable_count = s->count;
		s->readable = s->bytes;
	}
	*s->next++ = (struct segment){host, addr, len};
	s->count++;
	s->bytes += len;
	return true;
}

/* The chain is whole. False: not this way. */
static inline bool fast_end(const struct ring *ring, struct fast *s, struct chain *chain)
{
	if (s->bytes > CHAIN_MAX_BYTES)
		return false;
	if (!s->writing) {
		s->readable_count = s->count;
		s->readable = s->bytes;
	}
	ring_begin_chain(ring, chain);
	chain->readable_count = (uint16_t)s->readable_count;
	chain->writable_count = (uint16_t)(s->count - s->readable_count);
	chain->readable = s->readable;
	chain->writable = s->bytes - s->readable;
	return true;
}

#endif
