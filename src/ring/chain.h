/*
 * A chain: what the driver posted, as sanitized segments. Models see chains
 * and never descriptors. The readable part (driver to device) comes first,
 * then the writable part (virtio 1.3, 2.6.4.2).
 */
#ifndef UVDPA_RING_CHAIN_H
#define UVDPA_RING_CHAIN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "memory/space.h"

/* Segments of one chain after translation; a driver that needs more gets its device broken. */
#define CHAIN_MAX_SEGMENTS 1024
/* virtio 1.3, 2.7.5 and 2.8.10: the total length stays within 32 bits, as the used length does. */
#define CHAIN_MAX_BYTES UINT32_MAX
/* What most chains get by with: tables of this size lie close together in the cache. */
#define CHAIN_INLINE_SEGMENTS 8

struct chain;

/*
 * The beginning of a chain's readable part, where that is copied and was prefetched, until others
 * are: good while it says whose it is.
 */
#define CHAIN_PREFETCH 64

struct chain_prefetch {
	const struct chain *chain;
	uint32_t size;
	uint8_t bytes[CHAIN_PREFETCH];
};

struct chain {
	uint16_t head;		 /* id that goes back to the driver */
	uint16_t entries;	 /* descriptors of the ring it occupies (packed layout) */
	uint16_t readable_count; /* segments[0 .. readable_count) */
	uint16_t writable_count; /* segments[readable_count .. +writable_count) */
	uint64_t readable;	 /* bytes */
	uint64_t writable;	 /* bytes */
	struct space *space;	 /* where the copied segments live */
	struct segment *segments;
	uint16_t max_segments;		     /* room in `segments` */
	const struct chain_prefetch *header; /* or NULL */
	struct segment
		*overflow_segs; /* CHAIN_MAX_SEGMENTS, to go on in when these are full; or NULL */
	bool in_order;	/* the model writes from the beginning on: nothing beyond `written` is
			   touched */
	uint16_t entry; /* of the record (packed layout) */
	uint16_t seq;	/* among those in flight, for rings that are used in order */
	uint16_t at;	/* the ring's position before the chain was taken: see ring_unpop */
	bool at_wrap;
	bool resubmitted; /* taken again after a restart; then, where in the record it was found: */
	uint64_t at_counter;
	uint32_t at_head;
};

/*
 * A chain of one buffer, all of it mapped: what network drivers mostly post. It is taken and comes
 * back within one pass, with no more to it than this.
 */
struct batch_chain {
	uint8_t *host;
	uint32_t size; /* bytes, never 0 */
	uint16_t head; /* id that goes back to the driver */
};

/*
 * Copies `size` bytes out of the readable part, from byte `offset` of it, or into the writable
 * part. Return 0, -ERANGE (beyond the part) or -EFAULT.
 */
int chain_read(const struct chain *chain, uint64_t offset, void *to, size_t size);
int chain_write(const struct chain *chain, uint64_t offset, const void *from, size_t size);

/* The first bytes of the readable part, and the last byte of the writable part: in most chains they
 * lie in a mapped segment, in one piece. As chain_read and chain_write. */
static inline int chain_read_head(const struct chain *chain, void *to, size_t size)
{
	const struct segment *first = &chain->segments[0];

	if (!chain->readable_count || size > first->size || !first->host)
		return chain_read(chain, 0, to, size);
	memcpy(to, first->host, size);
	return 0;
}

static inline int chain_write_last(const struct chain *chain, uint8_t byte)
{
	const struct segment *last =
		&chain->segments[chain->readable_count + chain->writable_count - 1];

	if (!chain->writable_count || !last->host)
		return chain_write(chain, chain->writable - 1, &byte, 1);
	last->host[last->size - 1] = byte;
	return 0;
}

#endif
