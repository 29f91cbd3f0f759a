/* Transfers between chains and backends: see transfer.h. */
#include "model/transfer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Bounce buffers are whole pages: any backend's alignment that matters is less. */
#define BOUNCE_ALIGNMENT 4096u

void transfer_pool_init(struct transfer_pool *pool, uint32_t alignment)
{
	assert(alignment && alignment <= TRANSFER_BOUNCE && !(alignment & (alignment - 1)));
	memset(pool, 0, sizeof(*pool));
	pool->alignment = alignment;
}

/* Free buffers hold the pointer to the next one. */
static void push(void **list, void *buffer)
{
	memcpy(buffer, list, sizeof(*list));
	*list = buffer;
}

static void *pop(void **list)
{
	void *buffer = *list;

	if (buffer)
		memcpy(list, buffer, sizeof(*list));
	return buffer;
}

void transfer_pool_free(struct transfer_pool *pool)
{
	void *buffer;

	while ((buffer = pop(&pool->bounces)))
		free(buffer);
	while ((buffer = pop(&pool->tables)))
		free(buffer);
	pool->bounce_count = pool->table_count = 0;
}

static int take_bounce(struct transfer *transfer)
{
	struct transfer_pool *pool = transfer->pool;
	uint32_t alignment =
		pool->alignment > BOUNCE_ALIGNMENT ? pool->alignment : BOUNCE_ALIGNMENT;

	transfer->bounce = pop(&pool->bounces);
	if (transfer->bounce)
		return 0;
	transfer->bounce = aligned_alloc(alignment, TRANSFER_BOUNCE);
	if (!transfer->bounce)
		return -ENOMEM;
	pool->bounce_count++;
	return 0;
}

static struct iovec *take_table(struct transfer *transfer)
{
	struct transfer_pool *pool = transfer->pool;

	transfer->table = pop(&pool->tables);
	if (!transfer->table) {
		transfer->table = calloc(CHAIN_MAX_SEGMENTS, sizeof(struct iovec));
		pool->table_count += transfer->table != NULL;
	}
	return transfer->table;
}

void transfer_give_back(struct transfer *transfer)
{
	if (transfer->bounce)
		push(&transfer->pool->bounces, transfer->bounce);
	if (transfer->table)
		push(&transfer->pool->tables, transfer->table);
	transfer->bounce = NULL;
	transfer->table = NULL;
}

/* Adds a region to the list, or to its last entry if it continues that one in memory. */
static unsigned add(struct iovec *iov, unsigned n, uint8_t *host, uint64_t size)
{
	if (n && (uint8_t *)iov[n - 1].iov_base + iov[n - 1].iov_len == host) {
		iov[n - 1].iov_len += size;
		return n;
	}
	iov[n] = (struct iovec){host, size};
	return n + 1;
}

/*
 * The range as the segments themselves. Returns false if one of them has no host address, or is not
 * aligned as the backend wants it.
 */
static bool list_segments(struct transfer *transfer, struct iovec *iov)
{
	const struct chain *chain = transfer->chain;
	const struct segment *s = chain->segments;
	unsigned count = chain->readable_count, n = 0;
	uint64_t skip = transfer->offset, left = transfer->left, bits = 0;

	if (transfer->to_chain) {
		s += count;
		count = chain->writable_count;
	}
	for (; count && left; count--, s++) {
		uint64_t size = s->size;

		if (skip >= size) {
			skip -= size;
			continue;
		}
		if (!s->host)
			return false;
		size = size - skip < left ? size - skip : left;
		bits |= (uintptr_t)(s->host + skip) | size;
		n = add(iov, n, s->host + skip, size);
		left -= size;
		skip = 0;
	}
	assert(!left); /* the part is as long as its segments */
	transfer->iov_count = n;
	return !(bits & (transfer->pool->alignment - 1));
}

/* The same for a range in one segment, as most are. Returns false if it is not one, or no use. */
static inline bool is_one(struct transfer *transfer)
{
	const struct chain *chain = transfer->chain;
	const struct segment *s =
		chain->segments + (transfer->to_chain ? chain->readable_count : 0);
	uint64_t skip = transfer->offset, length = transfer->left;

	if (!length)
		return false;
	while (skip >= s->size) /* not beyond the last: the part is longer */
		skip -= s++->size;
	if (!s->host || length > s->size - skip ||
	    ((uintptr_t)(s->host + skip) | length) & (transfer->pool->alignment - 1))
		return false;
	transfer->inline_iov[0] = (struct iovec){s->host + skip, length};
	transfer->iov = transfer->inline_iov;
	transfer->iov_count = 1;
	return true;
}

int transfer_start(struct transfer *transfer, struct transfer_pool *pool, const struct chain *chain,
		   bool to_chain, uint64_t offset, uint64_t length)
{
	uint64_t part = to_chain ? chain->writable : chain->readable;
	unsigned segments = to_chain ? chain->writable_count : chain->readable_count;
	struct iovec *iov = transfer->inline_iov;

	if (offset > part || length > part - offset)
		return -ERANGE;
	assert(segments <= CHAIN_MAX_SEGMENTS);
	transfer->pool = pool;
	transfer->chain = chain;
	transfer->to_chain = to_chain;
	transfer->offset = offset;
	transfer->left = length;
	transfer->size = 0;
	transfer->bounce = NULL;
	transfer->table = NULL;
	transfer->iov_behind = 0;
	transfer->cut = 0;
	if (is_one(transfer))
		return 0;
	if (segments > TRANSFER_INLINE_IOV)
		iov = take_table(transfer);
	if (!iov)
		return -ENOMEM;
	transfer->iov = iov;
	if (list_segments(transfer, iov))
		return 0;
	transfer_give_back(transfer);
	return take_bounce(transfer);
}

/* The list is the transfer's own, inline or a table of the pool: `iov` is const for the backend. */
static struct iovec *list_of(struct transfer *transfer)
{
	return (struct iovec *)(uintptr_t)transfer->iov;
}

void transfer_cut(struct transfer *transfer)
{
	struct iovec *iov = list_of(transfer);
	unsigned count = transfer->iov_count, n = 0;
	uint64_t room = TRANSFER_SLICE;

	while (room > iov[n].iov_len) /* the list is longer than a slice */
		room -= iov[n++].iov_len;
	transfer->cut = iov[n].iov_len - room;
	iov[n].iov_len = room;
	transfer->iov_count = n + 1;
	transfer->iov_behind = count - transfer->iov_count;
	transfer->size = TRANSFER_SLICE;
}

void transfer_advance(struct transfer *transfer)
{
	struct iovec *last = list_of(transfer) + transfer->iov_count - 1;

	transfer->iov = last + 1;
	transfer->iov_count = transfer->iov_behind;
	if (transfer->cut) {
		last->iov_base = (uint8_t *)last->iov_base + last->iov_len;
		last->iov_len = transfer->cut;
		transfer->iov = last;
		transfer->iov_count++;
	}
	transfer->iov_behind = 0;
	transfer->cut = 0;
}

int transfer_fill(struct transfer *transfer)
{
	if (transfer->size > TRANSFER_BOUNCE)
		transfer->size = TRANSFER_BOUNCE;
	transfer->inline_iov[0] = (struct iovec){transfer->bounce, transfer->size};
	transfer->iov = transfer->inline_iov;
	transfer->iov_count = 1;
	if (!transfer->to_chain &&
	    chain_read(transfer->chain, transfer->offset, transfer->bounce, transfer->size))
		return -EFAULT;
	return 0;
}

int transfer_drain(struct transfer *transfer)
{
	if (!transfer->to_chain || !transfer->size)
		return 0;
	if (chain_write(transfer->chain, transfer->offset, transfer->bounce, transfer->size))
		return -EFAULT;
	return 0;
}
