/* Copying out of and into the parts of a chain. */
#include "ring/chain.h"

#include <errno.h>
#include <string.h>

/* Walks [offset, offset + size) of `count` segments; one of `to` and `from` is given. */
static int copy(const struct chain *chain, const struct segment *segments, unsigned count,
		uint64_t offset, uint8_t *to, const uint8_t *from, size_t size)
{
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
			memcpy(s->host + offset, from, n);
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
	return copy(chain, chain->segments, chain->readable_count, offset, to, NULL, size);
}

int chain_write(const struct chain *chain, uint64_t offset, const void *from, size_t size)
{
	if (offset > chain->writable || size > chain->writable - offset)
		return -ERANGE;
	return copy(chain, chain->segments + chain->readable_count, chain->writable_count, offset,
		    NULL, from, size);
}
