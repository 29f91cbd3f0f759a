/*
 * The fault wrapper: another backend, with trouble. It delays, fails, tears or
 * never completes requests, as its options say, for tests and demonstrations.
 * It wraps any backend, itself included.
 *
 * Every request of the outside has a `struct trouble` with a request for the
 * inner backend:
 *
 *     fate        inner gets             the outside gets
 *     none        the request            its result
 *     torn        the first half         fail_error
 *     failed      nothing                fail_error
 *     never       nothing                nothing; after a cancel -ECANCELED
 *
 * A request may be held before it meets its fate, in `held`, as a slow disk does that has not come
 * to it yet: a cancel then gives it back undone.
 *
 * A result may wait in `late`. Both lists are in order of time (each delay is as long as
 * any other), and the timer says when the first of them is due. The channel's fd is an epoll
 * file descriptor over the timer and the inner channel's fd.
 */
#include "backend/backends.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "backend/iov.h"

struct fault_block {
	struct block block;
	struct block *inner;
	struct block_fault_options options;
};

struct trouble {
	struct block_request inner;
	struct fault_channel *channel;
	struct block_request *outer;
	struct iovec *half; /* what of a torn write is done */
	struct trouble *next;
	uint64_t due; /* nanoseconds; 0: now */
	int error;
	bool delayed, torn;
};

struct trouble_list {
	struct trouble *first, **end;
};

struct fault_channel {
	struct block_channel channel;
	struct block_channel *inner;
	struct trouble_list held, late, never;
	struct trouble *free;
	uint64_t count, writes;
	unsigned finished; /* counts up */
	int timer, epoll;
	struct trouble pool[];
};

static struct fault_block *of(struct block_channel *channel)
{
	return (struct fault_block *)channel->block;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void list_init(struct trouble_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct trouble_list *list, struct trouble *t)
{
	t->next = NULL;
	*list->end = t;
	list->end = &t->next;
}

static struct trouble *list_take(struct trouble_list *list)
{
	struct trouble *t = list->first;

	list->first = t->next;
	if (!list->first)
		list->end = &list->first;
	return t;
}

/* The timer fires when the first request that waits is due: at once if that is in the past. */
static void set_timer(struct fault_channel *ch)
{
	const struct trouble *late = ch->late.first, *held = ch->held.first;
	const struct trouble *first = !late || (held && held->due < late->due) ? held : late;
	uint64_t due = first ? first->due : 0;
	struct itimerspec at = {0};

	if (first) {
		at.it_value.tv_sec = (time_t)(due / 1000000000u);
		at.it_value.tv_nsec = due ? (long)(due % 1000000000u) : 1;
	}
	timerfd_settime(ch->timer, TFD_TIMER_ABSTIME, &at, NULL);
}

static void give_back(struct fault_channel *ch, struct trouble *t)
{
	struct block_request *outer = t->outer;
	int error = t->error;

	free(t->half);
	t->half = NULL;
	t->next = ch->free;
	ch->free = t;
	ch->finished++;
	block_done(&ch->channel, outer, error);
}

/* A result is there. */
static void settle(struct fault_channel *ch, struct trouble *t, int error)
{
	bool first = !ch->late.first;

	t->error = error;
	if (!t->delayed) {
		give_back(ch, t);
		return;
	}
	t->due = now() + of(&ch->channel)->options.delay_us * 1000ull;
	list_add(&ch->late, t);
	if (first)
		set_timer(ch);
}

static int fail_error(const struct block_fault_options *options)
{
	return options->fail_error ? -options->fail_error : -EIO;
}

static void inner_done(struct block_request *inner, int error)
{
	struct trouble *t = (struct trouble *)inner;

	if (t->torn)
		error = fail_error(&of(&t->channel->channel)->options);
	settle(t->channel, t, error);
}

static bool hits(uint64_t n, uint32_t every)
{
	return every && n % every == 0;
}

/* Does the first half of a write, in whole blocks. */
static void tear(struct fault_channel *ch, struct trouble *t)
{
	uint32_t block_size = ch->channel.block->limits.block_size;
	uint64_t half = t->outer->length / 2 / block_size * block_size;

	t->half = malloc((t->outer->iov_count + 1) * sizeof(*t->half));
	if (!half || !t->half) {
		settle(ch, t, fail_error(&of(&ch->channel)->options));
		return;
	}
	t->torn = true;
	t->inner.length = half;
	t->inner.iov = t->half;
	t->inner.memory.id = 0;
	t->inner.iov_count = iov_slice(t->half, t->outer->iov, t->outer->iov_count, 0, half);
	block_submit(ch->inner, &t->inner);
}

/* A request meets its fate. */
static void begin(struct fault_channel *ch, struct trouble *t)
{
	const struct block_fault_options *options = &of(&ch->channel)->options;
	uint64_t n = ++ch->count;

	t->delayed =
		options->delay_us && (options->delay_every <= 1 || hits(n, options->delay_every));
	if (hits(n, options->never_every))
		list_add(&ch->never, t);
	else if (hits(n, options->fail_every))
		settle(ch, t, fail_error(options));
	else if (t->outer->op == BLOCK_WRITE && hits(++ch->writes, options->tear_every))
		tear(ch, t);
	else
		block_submit(ch->inner, &t->inner);
}

static void hold(struct fault_channel *ch, struct trouble *t)
{
	bool first = !ch->held.first;

	t->due = now() + of(&ch->channel)->options.hold_us * 1000ull;
	list_add(&ch->held, t);
	if (first)
		set_timer(ch);
}

static void fault_submit(struct block_channel *channel, struct block_request *request)
{
	struct fault_channel *ch = (struct fault_channel *)channel;
	struct trouble *t = ch->free;

	assert(t); /* as many as the channel is deep */
	ch->free = t->next;
	t->inner = *request;
	t->inner.done = inner_done;
	t->outer = request;
	t->torn = t->delayed = false;
	if (of(channel)->options.hold_us)
		hold(ch, t);
	else
		begin(ch, t);
}

static void fault_kick(struct block_channel *channel)
{
	block_kick(((struct fault_channel *)channel)->inner);
}

static unsigned fault_poll(struct block_channel *channel)
{
	struct fault_channel *ch = (struct fault_channel *)channel;
	unsigned before = ch->finished;
	bool begun = false;
	uint64_t fired, until;

	block_poll(ch->inner);
	if (ch->late.first || ch->held.first) {
		/* Whether it has fired does not matter: the clock decides. */
		if (read(ch->timer, &fired, sizeof(fired)) < 0)
			fired = 0;
		until = now();
		for (; ch->held.first && ch->held.first->due <= until; begun = true)
			begin(ch, list_take(&ch->held));
		if (begun)
			block_kick(ch->inner);
		while (ch->late.first && ch->late.first->due <= until)
			give_back(ch, list_take(&ch->late));
		set_timer(ch);
	}
	return ch->finished - before;
}

static int fault_fd(struct block_channel *channel)
{
	return ((struct fault_channel *)channel)->epoll;
}

static bool fault_fd_edge(const struct block_channel *channel)
{
	return block_fd_edge(((const struct fault_channel *)channel)->inner);
}

static bool fault_needs_poll(const struct block_channel *channel)
{
	return block_needs_poll(((const struct fault_channel *)channel)->inner);
}

/* Those of a list come back as cancelled. */
static void cancel_list(struct fault_channel *ch, struct trouble_list *list)
{
	while (list->first) {
		struct trouble *t = list_take(list);

		t->error = -ECANCELED;
		t->due = 0;
		list_add(&ch->late, t);
	}
}

/* What is late is due now; what never came, and what was not begun, comes as cancelled. */
static void fault_cancel(struct block_channel *channel)
{
	struct fault_channel *ch = (struct fault_channel *)channel;

	for (struct trouble *t = ch->late.first; t; t = t->next)
		t->due = 0;
	cancel_list(ch, &ch->held);
	if (!of(channel)->options.stubborn)
		cancel_list(ch, &ch->never);
	set_timer(ch);
	block_cancel(ch->inner);
}

static void fault_region_invalidated(struct block_channel *channel, uint64_t id)
{
	block_region_invalidated(((struct fault_channel *)channel)->inner, id);
}

static void fault_channel_close(struct block_channel *channel)
{
	struct fault_channel *ch = (struct fault_channel *)channel;

	if (ch->inner)
		block_channel_close(ch->inner);
	if (ch->epoll >= 0)
		close(ch->epoll);
	if (ch->timer >= 0)
		close(ch->timer);
	free(ch);
}

/*
 * The epoll file descriptor that is readable when the timer or the inner channel is. Nobody waits
 * on it but through another, which hears of each of their edges, too.
 */
static int watch(struct fault_channel *ch, struct error *f)
{
	struct epoll_event event = {.events = EPOLLIN};
	int inner = block_fd(ch->inner);

	ch->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	ch->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ch->timer < 0 || ch->epoll < 0 ||
	    epoll_ctl(ch->epoll, EPOLL_CTL_ADD, ch->timer, &event) ||
	    (inner >= 0 && epoll_ctl(ch->epoll, EPOLL_CTL_ADD, inner, &event)))
		return error_set(f, -errno, "cannot watch a channel of the fault wrapper: %s",
				 strerror(errno));
	return 0;
}

static int fault_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
			      struct error *f)
{
	struct fault_channel *ch = calloc(1, sizeof(*ch) + depth * sizeof(ch->pool[0]));
	int error;

	if (!ch)
		return error_set(f, -ENOMEM, "no memory for a channel of the fault wrapper");
	ch->timer = ch->epoll = -1;
	list_init(&ch->held);
	list_init(&ch->late);
	list_init(&ch->never);
	for (unsigned i = 0; i < depth; i++) {
		ch->pool[i].channel = ch;
		ch->pool[i].next = ch->free;
		ch->free = &ch->pool[i];
	}
	error = block_channel_open(((struct fault_block *)block)->inner, depth, &ch->inner, f);
	if (!error)
		error = watch(ch, f);
	if (error)
		fault_channel_close(&ch->channel);
	else
		*channel = &ch->channel;
	return error;
}

static int fault_resize(struct block *block, uint64_t size, struct error *f)
{
	struct fault_block *wrapper = (struct fault_block *)block;
	int error = block_resize(wrapper->inner, size, f);

	block->limits = wrapper->inner->limits;
	return error;
}

static int fault_activate(struct block *block, struct error *f)
{
	return block_activate(((struct fault_block *)block)->inner, f);
}

static void fault_inactivate(struct block *block)
{
	block_inactivate(((struct fault_block *)block)->inner);
}

static void fault_close(struct block *block)
{
	block_close(((struct fault_block *)block)->inner);
	free(block);
}

static const struct block_ops fault_ops = {
	.name = "fault",
	.channel_open = fault_channel_open,
	.channel_close = fault_channel_close,
	.submit = fault_submit,
	.close = fault_close,
	.kick = fault_kick,
	.poll = fault_poll,
	.fd = fault_fd,
	.fd_edge = fault_fd_edge,
	.needs_poll = fault_needs_poll,
	.cancel = fault_cancel,
	.region_invalidated = fault_region_invalidated,
	.resize = fault_resize,
	.activate = fault_activate,
	.inactivate = fault_inactivate,
};

int block_fault_open(const struct block_fault_options *options, struct block *inner,
		     struct block **block, struct error *f)
{
	struct fault_block *wrapper = calloc(1, sizeof(*wrapper));

	if (!wrapper) {
		block_close(inner);
		return error_set(f, -ENOMEM, "no memory for the fault wrapper");
	}
	wrapper->block.ops = &fault_ops;
	wrapper->block.limits = inner->limits;
	wrapper->block.wants_memory = inner->wants_memory;
	wrapper->inner = inner;
	wrapper->options = *options;
	*block = &wrapper->block;
	return 0;
}
