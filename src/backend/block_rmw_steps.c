/*
 * The steps of a request through the read-modify-write wrapper: how it is cut into pieces, and what
 * is read, changed and written for each. See block_rmw.c.
 */
#include "backend/block_rmw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void leave(struct rmw_request *r)
{
	if (r->entered)
		block_ranges_leave(&rmw_of(r->channel)->ranges, &r->range);
	r->entered = false;
}

void rmw_finish(struct rmw_request *r)
{
	struct rmw_channel *ch = r->channel;
	struct block_request *outer = r->outer;
	int error = r->error;

	leave(r);
	free(r->buffer);
	r->buffer = NULL;
	r->outer = NULL;
	r->next = ch->free;
	ch->free = r;
	ch->finished++;
	block_done(&ch->channel, outer, error);
}

static void submit_inner(struct rmw_request *r)
{
	r->inner.done = rmw_inner_done;
	r->channel->unkicked = true;
	block_submit(r->channel->inner, &r->inner);
}

/* `skip` bytes of the buffer's blocks are left out; `length` bytes from there. */
static void submit_buffer(struct rmw_request *r, enum block_op op, uint64_t skip, uint64_t length)
{
	r->iov = (struct iovec){r->buffer + skip, length};
	r->inner = (struct block_request){
		.op = op,
		.durable = op == BLOCK_WRITE && r->outer->durable,
		.offset = rmw_round_down(r->at, rmw_block_size(r)) + skip,
		.length = length,
		.iov = &r->iov,
		.iov_count = 1,
	};
	submit_inner(r);
}

/* A piece as the backend takes it. */
static void submit_straight(struct rmw_request *r)
{
	r->inner = *r->outer;
	if (r->inner.op != BLOCK_FLUSH) {
		r->inner.offset = r->at;
		r->inner.length = r->length;
	}
	submit_inner(r);
}

/* Between the request's memory and the buffer's piece; zeroes are written as such. */
static void copy(struct rmw_request *r)
{
	const struct block_request *outer = r->outer;
	uint8_t *bytes = r->buffer + (r->at - rmw_round_down(r->at, rmw_block_size(r)));
	uint64_t skip = r->at - outer->offset, left = r->length;

	if (outer->op == BLOCK_WRITE_ZEROES)
		memset(bytes, 0, left);
	for (const struct iovec *iov = outer->iov; outer->iov_count && left; iov++) {
		uint64_t n = iov->iov_len > skip ? iov->iov_len - skip : 0;
		uint8_t *memory = (uint8_t *)iov->iov_base + skip;

		skip -= n ? skip : iov->iov_len;
		n = n < left ? n : left;
		if (n && outer->op == BLOCK_READ)
			memcpy(memory, bytes, n);
		else if (n)
			memcpy(bytes, memory, n);
		bytes += n;
		left -= n;
	}
}

/* Whether the backend takes a read or write as it is: its range, and its memory. */
static bool is_aligned(const struct rmw_request *r)
{
	uint64_t memory = 0, range = r->outer->offset | r->outer->length;

	for (unsigned i = 0; i < r->outer->iov_count; i++)
		memory |= r->outer->iov[i].iov_len | (uintptr_t)r->outer->iov[i].iov_base;
	return !(range & (rmw_block_size(r) - 1)) &&
	       !(memory & (rmw_of(r->channel)->inner->limits.memory_alignment - 1));
}

/* How much is done next, and how. */
static void cut(struct rmw_request *r)
{
	uint64_t block = rmw_block_size(r), left = r->end - r->at, over = r->at % block;

	r->straight = true;
	r->length = left;
	switch (r->outer->op) {
	case BLOCK_FLUSH:
	case BLOCK_DISCARD:
		return;
	case BLOCK_READ:
	case BLOCK_WRITE:
		r->straight = is_aligned(r);
		if (!r->straight && left > RMW_PIECE - over)
			r->length = RMW_PIECE - over;
		return;
	case BLOCK_WRITE_ZEROES:
		r->straight = !over && left >= block;
		if (r->straight)
			r->length = rmw_round_down(left, block);
		else if (left > block - over)
			r->length = block - over;
		return;
	}
}

/* One that does for the pieces to come, too. */
static int get_buffer(struct rmw_request *r)
{
	const struct block_limits *below = &rmw_of(r->channel)->inner->limits;
	uint64_t block = below->block_size, most = RMW_PIECE;
	uint64_t size = rmw_round_up(r->end, block) - rmw_round_down(r->at, block);
	void *buffer;

	if (r->straight || r->buffer)
		return 0;
	if (r->outer->op == BLOCK_WRITE_ZEROES)
		most = block;
	if (posix_memalign(&buffer,
			   block > below->memory_alignment ? block : below->memory_alignment,
			   size < most ? size : most))
		return -ENOMEM;
	r->buffer = buffer;
	return 0;
}

/* Returns whether it is the piece's turn. */
static bool enter(struct rmw_request *r)
{
	uint64_t block = rmw_block_size(r);

	if (r->outer->op == BLOCK_READ || r->outer->op == BLOCK_FLUSH)
		return true;
	r->range.begin = rmw_round_down(r->at, block);
	r->range.end = rmw_round_up(r->at + r->length, block);
	r->range.exclusive = !r->straight;
	r->entered = true;
	return block_ranges_enter(&rmw_of(r->channel)->ranges, &r->range);
}

/*
 * Reads the piece's first or last block if only a part of it changes; they may be the same, which
 * is the first. Returns whether there was something to read.
 */
static bool read_block(struct rmw_request *r, bool last)
{
	uint64_t block = rmw_block_size(r), first = rmw_round_down(r->at, block),
		 end = r->at + r->length;
	uint64_t from = last ? rmw_round_down(end, block) : first;
	bool partial = last ? end % block && from > first : r->at % block || end < first + block;

	if (r->straight || r->outer->op == BLOCK_READ || !partial)
		return false;
	submit_buffer(r, BLOCK_READ, from - first, block);
	return true;
}

static void move(struct rmw_request *r)
{
	uint64_t block = rmw_block_size(r);
	uint64_t size = rmw_round_up(r->at + r->length, block) - rmw_round_down(r->at, block);

	if (r->straight) {
		submit_straight(r);
	} else if (r->outer->op == BLOCK_READ) {
		submit_buffer(r, BLOCK_READ, 0, size);
	} else {
		copy(r);
		submit_buffer(r, BLOCK_WRITE, 0, size);
	}
}

/* The piece is done. Returns whether it was the last. */
static bool piece_done(struct rmw_request *r)
{
	if (r->outer->op == BLOCK_READ && !r->straight)
		copy(r);
	leave(r);
	r->at += r->length;
	r->step = RMW_NEXT;
	return r->at == r->end;
}

/* Goes on until the request waits for something, or is over. */
void rmw_advance(struct rmw_request *r)
{
	bool over = !r->error && r->step == RMW_DONE && piece_done(r);

	if (!over && !r->error && r->cancelled)
		r->error = -ECANCELED;
	if (!over && !r->error && r->step == RMW_NEXT) {
		cut(r);
		r->error = get_buffer(r);
	}
	if (over || r->error) {
		rmw_finish(r);
		return;
	}
	switch (r->step) {
	case RMW_NEXT:
		r->step = RMW_FIRST;
		if (!enter(r))
			return;
		/* fall through */
	case RMW_FIRST:
		r->step = RMW_LAST;
		if (read_block(r, false))
			return;
		/* fall through */
	case RMW_LAST:
		r->step = RMW_MOVE;
		if (read_block(r, true))
			return;
		/* fall through */
	case RMW_MOVE:
		r->step = RMW_DONE;
		move(r);
		return;
	case RMW_DONE:
		return; /* piece_done has made it RMW_NEXT */
	}
}
