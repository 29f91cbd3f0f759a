/* Chains: putting them together while they are taken, copying out of and into their parts. */
#include "ring/chain.h"

#include <errno.h>
#include <string.h>

#include "ring/ring_internal.h"

/*
 * Walks [offset, offset + size) of `count` segments; one of `to` and `from` is given. What is
 * written may come out of a driver's memory, too, and overlap.
 */
static int copy(const struct chain *chain, const struct segment *segments, unsigned count,
		uint64_t offset, uint8_t *to, const uint8_t *from, size_t size)
{
	/* Mostly it is all in the first, mapped. */
	if (count && segments->host && offset < segments->size && size <= segments->size - offset) {
		if (to)
			memcpy(to, segments->host + offset, size);
		else
			memmove(segments->host + offset, from, size);
		return 0;
	}
	for (unsigned i = 0; i < count && size; i++) {
		const struct segment *s = &segments[i];
		size_t n;
		int r = 0;

		if (offset >= s->size) {
			offset -= s->size;
			continue;
		}
		n = s->size - offset < size ? s->size - offset : size;
		if (s->host && to)
			memcpy(to, s->host + offset, n);
		else if (s->host)
			memmove(s->host + offset, from, n);
		else if (to)
			r = space_read(chain->space, s->iova + offset, to, n);
		else
			r = space_write(chain->space, s->iova + offset, from, n);
		if (r < 0)
			return -EFAULT;
		to = to ? to + n : NULL;
		from = from ? from + n : NULL;
		size -= n;
		offset = 0;
	}
	return size ? -ERANGE : 0;
}

int chain_read(const struct chain *chain, uint64_t offset, void *to, size_t size)
{
	if (offset > chain->readable || size > chain->readable - offset)
		return -ERANGE;
	if (chain->header && chain->header->chain == chain &&
	    offset + size <= chain->header->size) {
		memcpy(to, chain->header->bytes + offset, size);
		return 0;
	}
	return copy(chain, chain->segments, chain->readable_count, offset, to, NULL, size);
}

int chain_write(const struct chain *chain, uint64_t offset, const void *from, size_t size)
{
	if (offset > chain->writable || size > chain->writable - offset)
		return -ERANGE;
	return copy(chain, chain->segments + chain->readable_count, chain->writable_count, offset,
		    NULL, from, size);
}

static const char *why_not(int error)
{
	switch (error) {
	case -EACCES:
		return "may not be accessed that way";
	case -EINVAL:
		return "wraps around";
	default:
		return "is not mapped";
	}
}

/* Puts a buffer's pieces behind the first `used` segments; goes to the larger table if need be. */
static int translate(struct ring *ring, struct chain *chain, unsigned used,
		     const struct ring_buffer *buffer)
{
	enum space_access access = buffer->writable ? SPACE_WRITE : SPACE_READ;
	int n = space_translate(ring->space, buffer->addr, buffer->len, access,
				chain->segments + used, chain->max_segments - used);

	if (n != -E2BIG || !chain->overflow_segs || chain->segments == chain->overflow_segs)
		return n;
	memcpy(chain->overflow_segs, chain->segments, used * sizeof(chain->segments[0]));
	chain->segments = chain->overflow_segs;
	chain->max_segments = CHAIN_MAX_SEGMENTS;
	return space_translate(ring->space, buffer->addr, buffer->len, access,
			       chain->segments + used, chain->max_segments - used);
}

enum ring_pop_result ring_add_buffer(struct ring *ring, struct chain *chain, unsigned *segments,
				     const struct ring_buffer *buffer)
{
	int n;

	if (!buffer->writable && chain->writable_count)
		return ring_break(ring, "chain %u: a readable buffer after a writable one",
				  chain->head);
	if (chain->readable + chain->writable + buffer->len > CHAIN_MAX_BYTES)
		return ring_break(ring, "chain %u: longer than 4 GiB", chain->head);
	n = translate(ring, chain, *segments, buffer);
	if (n == -E2BIG)
		return ring_break(ring, "chain %u: more than %u pieces", chain->head,
				  chain->max_segments);
	if (n < 0)
		return ring_break(ring, "chain %u: buffer 0x%llx+%u %s", chain->head,
				  (unsigned long long)buffer->addr, buffer->len, why_not(n));
	if (n == 1 && chain->segments[*segments].host)
		space_keep(ring->space, &ring->cache, buffer->addr);
	else if (n && !chain->segments[*segments].host)
		ring->copied = true;
	*segments += (unsigned)n;
	if (buffer->writable) {
		chain->writable_count += (uint16_t)n;
		chain->writable += buffer->len;
	} else {
		chain->readable_count += (uint16_t)n;
		chain->readable += buffer->len;
	}
	return RING_CHAIN;
}

enum ring_pop_result ring_find_table(struct ring *ring, const struct chain *chain, uint64_t addr,
				     uint32_t len, struct ring_area *table)
{
	struct segment segment;
	int n;

	*table = (struct ring_area){.iova = addr, .size = len};
	table->host = space_cached(&ring->cache, addr, len, SPACE_READ);
	if (table->host)
		return RING_CHAIN;
	n = space_translate(ring->space, addr, len, SPACE_READ, &segment, 1);
	if (n < 0 && n != -E2BIG)
		return ring_break(ring, "chain %u: indirect table 0x%llx+%u %s", chain->head,
				  (unsigned long long)addr, len, why_not(n));
	if (n == 1 && segment.host) {
		table->host = segment.host;
		space_keep(ring->space, &ring->cache, addr);
	} else if ((table->host = ring_prefetch_table(ring, chain, addr, len))) {
		return RING_CHAIN;
	} else if (len <= sizeof(ring->copies.table)) {
		if (space_read(ring->space, addr, ring->copies.table, len) < 0)
			return ring_break(ring, "chain %u: its indirect table cannot be read",
					  chain->head);
		table->host = ring->copies.table;
	}
	return RING_CHAIN;
}
