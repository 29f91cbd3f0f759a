/*
 * The read-modify-write wrapper: a disk whose blocks are smaller than those of the backend below,
 * as a 4096-byte disk that is opened with direct=on and has to look like one of 512.
 *
 * What is whole blocks below goes there as it is. Any other request is done in pieces of RMW_PIECE
 * bytes at most, one after the other, through a buffer of whole blocks:
 *
 *     read            read the blocks, copy out what was asked for
 *     write           read the first and the last block if only a part of them changes, put the
 *                     data over them, write the blocks
 *     write zeroes    the whole blocks as such, the parts at both ends as a write
 *     discard         the whole blocks only: the parts keep their bytes
 *
 * Between reading a block and writing it back nothing else may change it: the other write would be
 * undone. So every piece that changes something enters its range (block_ranges.h): exclusively if
 * it reads first. Ranges are the whole disk's, since its other queues are other channels.
 *
 * A request's steps are taken by its channel's thread only. It is in one place: with the backend,
 * waiting for its turn, in `ready` (it had its turn, which another thread may have found out: under
 * `lock`, with a write to `event`), or in `steps`, which go() works off. go() does not nest, so a
 * backend that completes at once cannot exhaust the stack.
 *
 * Here are the channels and the disk; the steps are in block_rmw_steps.c.
 *
 * The channel's fd is an epoll file descriptor over `event` and the inner channel's fd.
 */
#include "backend/block_rmw.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend/backends.h"

static void list_init(struct rmw_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct rmw_list *list, struct rmw_request *r)
{
	r->next = NULL;
	*list->end = r;
	list->end = &r->next;
}

static struct rmw_request *list_take(struct rmw_list *list)
{
	struct rmw_request *r = list->first;

	if (!r)
		return NULL;
	list->first = r->next;
	if (!list->first)
		list->end = &list->first;
	return r;
}

/* Any thread. The channel cannot be closed meanwhile: r is outstanding until its owner has the
 * lock. */
static void make_ready(struct rmw_request *r)
{
	struct rmw_channel *ch = r->channel;
	uint64_t one = 1;

	pthread_mutex_lock(&ch->lock);
	list_add(&ch->ready, r);
	atomic_store_explicit(&ch->has_ready, true, memory_order_release);
	if (write(ch->event, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* it is readable already */
	pthread_mutex_unlock(&ch->lock);
}

static void range_granted(struct block_range *range)
{
	make_ready((struct rmw_request *)((char *)range - offsetof(struct rmw_request, range)));
}

static void take_ready(struct rmw_channel *ch)
{
	struct rmw_request *r;
	uint64_t count;

	if (!atomic_load_explicit(&ch->has_ready, memory_order_acquire))
		return;
	pthread_mutex_lock(&ch->lock);
	while ((r = list_take(&ch->ready)))
		list_add(&ch->steps, r);
	atomic_store_explicit(&ch->has_ready, false, memory_order_relaxed);
	if (read(ch->event, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	pthread_mutex_unlock(&ch->lock);
}

static void go(struct rmw_channel *ch)
{
	struct rmw_request *r;

	if (ch->going)
		return;
	ch->going = true;
	while ((r = list_take(&ch->steps)))
		rmw_advance(r);
	ch->going = false;
}

void rmw_inner_done(struct block_request *inner, int error)
{
	struct rmw_request *r = (struct rmw_request *)inner;

	r->error = error;
	list_add(&r->channel->steps, r);
	go(r->channel);
}

static void rmw_submit(struct block_channel *channel, struct block_request *request)
{
	struct rmw_channel *ch = (struct rmw_channel *)channel;
	struct rmw_request *r = ch->free;
	uint64_t block;

	assert(r); /* as many as the channel is deep */
	ch->free = r->next;
	r->outer = request;
	r->at = request->op == BLOCK_FLUSH ? 0 : request->offset;
	r->end = request->op == BLOCK_FLUSH ? 0 : request->offset + request->length;
	r->step = RMW_NEXT;
	r->error = 0;
	r->cancelled = false;
	if (request->op == BLOCK_DISCARD) {
		block = rmw_block_size(r);
		r->at = rmw_round_up(r->at, block);
		r->end = rmw_round_down(r->end, block);
	}
	if (r->at > r->end || (r->at == r->end && request->op != BLOCK_FLUSH)) {
		rmw_finish(r); /* a discard of less than a block */
		return;
	}
	list_add(&ch->steps, r);
	go(ch);
}

static void rmw_kick(struct block_channel *channel)
{
	struct rmw_channel *ch = (struct rmw_channel *)channel;

	ch->unkicked = false;
	block_kick(ch->inner);
}

static unsigned rmw_poll(struct block_channel *channel)
{
	struct rmw_channel *ch = (struct rmw_channel *)channel;
	unsigned before = ch->finished;

	ch->going = true; /* the backend is not entered again from within */
	block_poll(ch->inner);
	ch->going = false;
	take_ready(ch);
	go(ch);
	if (ch->unkicked)
		rmw_kick(channel);
	return ch->finished - before;
}

static int rmw_fd(struct block_channel *channel)
{
	return ((struct rmw_channel *)channel)->epoll;
}

static bool rmw_fd_edge(const struct block_channel *channel)
{
	return block_fd_edge(((const struct rmw_channel *)channel)->inner);
}

static bool rmw_silent(const struct block_channel *channel)
{
	return block_needs_poll(((const struct rmw_channel *)channel)->inner);
}

/* Who waits for its turn comes back undone; the others when the backend gives back what it has. */
static void rmw_cancel(struct block_channel *channel)
{
	struct rmw_channel *ch = (struct rmw_channel *)channel;

	for (unsigned i = 0; i < channel->depth; i++) {
		struct rmw_request *r = &ch->pool[i];

		if (!r->outer)
			continue;
		r->cancelled = true;
		if (r->entered && block_ranges_give_up(&rmw_of(ch)->ranges, &r->range)) {
			r->entered = false;
			make_ready(r);
		}
	}
	block_cancel(ch->inner);
}

static void rmw_region_invalidated(struct block_channel *channel, uint64_t id)
{
	block_region_invalidated(((struct rmw_channel *)channel)->inner, id);
}

static void rmw_channel_close(struct block_channel *channel)
{
	struct rmw_channel *ch = (struct rmw_channel *)channel;

	if (ch->inner)
		block_channel_close(ch->inner);
	if (ch->epoll >= 0)
		close(ch->epoll);
	if (ch->event >= 0)
		close(ch->event);
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

static int watch(struct rmw_channel *ch, struct error *f)
{
	struct epoll_event event = {.events = EPOLLIN};
	int inner = block_fd(ch->inner);

	ch->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ch->event < 0 || ch->epoll < 0 ||
	    epoll_ctl(ch->epoll, EPOLL_CTL_ADD, ch->event, &event) ||
	    (inner >= 0 && epoll_ctl(ch->epoll, EPOLL_CTL_ADD, inner, &event)))
		return error_set(f, -errno,
				 "cannot watch a queue of a disk with smaller blocks: %s",
				 strerror(errno));
	return 0;
}

static int rmw_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
			    struct error *f)
{
	struct rmw_channel *ch = calloc(1, sizeof(*ch) + depth * sizeof(ch->pool[0]));
	int error;

	if (!ch)
		return error_set(f, -ENOMEM, "no memory for a queue of a disk with smaller blocks");
	ch->event = ch->epoll = -1;
	pthread_mutex_init(&ch->lock, NULL);
	list_init(&ch->steps);
	list_init(&ch->ready);
	for (unsigned i = 0; i < depth; i++) {
		ch->pool[i].channel = ch;
		ch->pool[i].range.granted = range_granted;
		ch->pool[i].next = ch->free;
		ch->free = &ch->pool[i];
	}
	error = block_channel_open(((struct rmw_block *)block)->inner, depth, &ch->inner, f);
	if (!error)
		error = watch(ch, f);
	if (error)
		rmw_channel_close(&ch->channel);
	else
		*channel = &ch->channel;
	return error;
}

/* As below, but for the block; memory is not asked to hold more than a block of ours. */
static void set_limits(struct rmw_block *rmw, uint32_t block_size)
{
	struct block_limits *limits = &rmw->block.limits;

	*limits = rmw->inner->limits;
	limits->block_size = block_size;
	if (limits->memory_alignment > block_size)
		limits->memory_alignment = block_size;
}

static int rmw_resize(struct block *block, uint64_t size, struct error *f)
{
	struct rmw_block *rmw = (struct rmw_block *)block;
	int error = block_resize(rmw->inner, size, f);

	block->limits.size = rmw->inner->limits.size;
	return error;
}

static int rmw_activate(struct block *block, struct error *f)
{
	return block_activate(((struct rmw_block *)block)->inner, f);
}

static void rmw_inactivate(struct block *block)
{
	block_inactivate(((struct rmw_block *)block)->inner);
}

static void rmw_close(struct block *block)
{
	struct rmw_block *rmw = (struct rmw_block *)block;

	block_close(rmw->inner);
	block_ranges_destroy(&rmw->ranges);
	free(rmw);
}

static const struct block_ops rmw_ops = {
	.name = "read-modify-write",
	.channel_open = rmw_channel_open,
	.channel_close = rmw_channel_close,
	.submit = rmw_submit,
	.close = rmw_close,
	.kick = rmw_kick,
	.poll = rmw_poll,
	.fd = rmw_fd,
	.fd_edge = rmw_fd_edge,
	.needs_poll = rmw_silent,
	.cancel = rmw_cancel,
	.region_invalidated = rmw_region_invalidated,
	.resize = rmw_resize,
	.activate = rmw_activate,
	.inactivate = rmw_inactivate,
};

int block_rmw_open(uint32_t block_size, struct block *inner, struct block **block, struct error *f)
{
	struct rmw_block *rmw = calloc(1, sizeof(*rmw));

	if (!rmw) {
		block_close(inner);
		return error_set(f, -ENOMEM, "no memory for a disk with smaller blocks");
	}
	rmw->block.ops = &rmw_ops;
	rmw->block.wants_memory = inner->wants_memory;
	rmw->inner = inner;
	block_ranges_init(&rmw->ranges);
	set_limits(rmw, block_size);
	*block = &rmw->block;
	return 0;
}
