/*
 * A virtqueue from the driver's side: life, chains, completions, waiting.
 *
 * The state that matters is private: which descriptors are free, which heads are in flight with
 * what cookie and how much room for the device's bytes. The ring in the arena is only the letter
 * that the two sides exchange, so a device that scribbles over it can break the queue (a sticky
 * fault with its reason) but can neither make a chain complete twice nor lead an index astray.
 *
 * The queue does not know devices. It can be attached to one, taken off with everything in flight,
 * and attached to the next: nothing here changes by that.
 */
#include "driver/queue.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "driver/arena.h"
#include "driver/chains.h"
#include "driver/error.h"
#include "util/relax.h"

/* Areas on cache lines of their own, so that each side's writes stay out of the other's way. */
#define AREA_ALIGN 64
#define NS	   1000000000
#define NEVER	   UINT64_MAX
/* Looks at the ring for each at the clock, which takes as long as several of them. */
#define LOOKS 16

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static int check_options(const struct uvdpa_queue_options *o, struct uvdpa_error *error)
{
	bool packed = has(o->features, VIRTIO_F_RING_PACKED);

	if (o->size == 0 || o->size > DRV_QUEUE_LIMIT || (!packed && o->size & (o->size - 1)))
		return drv_error(error, -EINVAL, "queue: size %u is not %s from 1 to %d", o->size,
				 packed ? "a number" : "a power of two", DRV_QUEUE_LIMIT);
	if (o->indirect && !has(o->features, VIRTIO_RING_F_INDIRECT_DESC))
		return drv_error(error, -EINVAL,
				 "queue: indirect tables need "
				 "VIRTIO_RING_F_INDIRECT_DESC to be negotiated");
	return 0;
}

/* Places areas and tables in the arena; gives everything back if they do not fit. */
static int place(struct uvdpa_queue *q, struct uvdpa_error *error)
{
	size_t mark = uvdpa_memory_mark(q->memory);
	size_t desc, avail, used, tables;

	q->ring->lengths(q->size, &desc, &avail, &used);
	tables = (size_t)q->size * q->indirect * sizeof(struct vring_desc); /* of either kind */
	q->desc = uvdpa_memory_alloc(q->memory, desc, AREA_ALIGN);
	q->avail = uvdpa_memory_alloc(q->memory, avail, AREA_ALIGN);
	q->used = uvdpa_memory_alloc(q->memory, used, AREA_ALIGN);
	q->tables = uvdpa_memory_alloc(q->memory, tables, AREA_ALIGN);
	if (q->desc && q->avail && q->used && q->tables)
		return 0;
	uvdpa_memory_rewind(q->memory, mark);
	return drv_error(error, -ENOSPC,
			 "queue: a ring of %u needs %zu bytes, the arena has %zu left", q->size,
			 desc + avail + used + tables + 4 * AREA_ALIGN, q->memory->size - mark);
}

static int allocate(struct uvdpa_queue *q, struct uvdpa_error *error)
{
	q->chains = calloc(q->size, sizeof(*q->chains));
	q->next = calloc(q->size, sizeof(*q->next));
	while (q->in_order && q->order_mask + 1u < q->size)
		q->order_mask = (uint16_t)(2 * q->order_mask + 1);
	q->order = calloc(q->order_mask + 1u, sizeof(*q->order));
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0 || q->call_fd < 0)
		return drv_error(error, -errno, "queue: cannot get an eventfd: %s",
				 strerror(errno));
	if (!q->chains || !q->next || !q->order)
		return drv_error(error, -ENOMEM, "queue: no memory for a queue of %u", q->size);
	return 0;
}

static uint64_t poll_ns(const struct uvdpa_queue_options *options)
{
	if (options->poll_us == UVDPA_QUEUE_POLL_NEVER)
		return 0;
	return UINT64_C(1000) * (options->poll_us ? options->poll_us : UVDPA_QUEUE_POLL_US);
}

static atomic_uint_fast64_t serials;

int uvdpa_queue_new(struct uvdpa_memory *memory, const struct uvdpa_queue_options *options,
		    struct uvdpa_queue **out, struct uvdpa_error *error)
{
	bool packed = has(options->features, VIRTIO_F_RING_PACKED);
	const struct drv_ring *ring = packed ? &drv_ring_packed : &drv_ring_split;
	struct uvdpa_queue *q;
	int r = check_options(options, error);

	if (r == 0 && !ring->can_start(options->size, options->base))
		r = drv_error(error, -EINVAL, "queue: a %s ring of %u cannot begin at base 0x%x",
			      packed ? "packed" : "split", options->size, options->base);
	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return drv_error(error, -ENOMEM, "queue: no memory for a queue");
	q->kick_fd = q->call_fd = -1;
	q->ring = ring;
	q->memory = drv_memory_get(memory);
	q->serial = atomic_fetch_add(&serials, 1) + 1;
	q->size = options->size;
	q->indirect = options->indirect;
	q->event_idx = has(options->features, VIRTIO_RING_F_EVENT_IDX);
	q->in_order = has(options->features, VIRTIO_F_IN_ORDER);
	q->calls = true;
	drv_poll_window_init(&q->window, poll_ns(options));
	r = allocate(q, error);
	if (r == 0)
		r = place(q, error);
	if (r < 0) {
		uvdpa_queue_free(q);
		return r;
	}
	uvdpa_queue_restart(q, options->base ? options->base : ring->first_base);
	*out = q;
	return 0;
}

void uvdpa_queue_free(struct uvdpa_queue *q)
{
	if (!q)
		return;
	assert(!q->attached);
	if (q->kick_fd >= 0)
		close(q->kick_fd);
	if (q->call_fd >= 0)
		close(q->call_fd);
	free(q->chains);
	free(q->next);
	free(q->order);
	drv_memory_put(q->memory);
	free(q);
}

int uvdpa_queue_restart(struct uvdpa_queue *q, uint32_t base)
{
	if (q->attached)
		return -EBUSY;
	if (!q->ring->can_start(q->size, base))
		return -EINVAL;
	memset(q->chains, 0, q->size * sizeof(*q->chains));
	for (unsigned i = 0; i < q->size; i++)
		q->next[i] = (uint16_t)((i + 1) % q->size);
	q->free_head = 0;
	q->free_count = q->size;
	q->in_flight = 0;
	q->in_batch = false;
	q->err[0] = 0;
	q->broken = UVDPA_QUEUE_OK;
	q->ring->start(q, base);
	q->ring->arm(q, q->calls);
	return 0;
}

int drv_break_queue(struct uvdpa_queue *q, enum uvdpa_queue_break how, const char *format, ...)
{
	va_list args;

	if (!q->broken) {
		q->broken = how;
		va_start(args, format);
		vsnprintf(q->err, sizeof(q->err), format, args);
		va_end(args);
	}
	return -EPROTO;
}

int drv_refuse(struct uvdpa_queue *q, uint32_t id, uint32_t len)
{
	const struct drv_chain *chain;

	if (id >= q->size)
		return drv_break_queue(q, UVDPA_QUEUE_HEAD_RANGE,
				       "used entry %u names head %u of a queue of %u", q->taken, id,
				       q->size);
	chain = &q->chains[id];
	if (chain->count == 0 || !drv_is_published(q, chain))
		return drv_break_queue(q, UVDPA_QUEUE_NOT_IN_FLIGHT,
				       "used entry %u names head %u, which is not in flight",
				       q->taken, id);
	return drv_break_queue(q, UVDPA_QUEUE_LENGTH,
			       "used entry %u: %u bytes written where %llu fit", q->taken, len,
			       (unsigned long long)chain->room);
}

static int check_chain(const struct uvdpa_queue *q, unsigned count, unsigned flags)
{
	bool indirect = flags & UVDPA_CHAIN_INDIRECT;

	if (q->broken)
		return -EPROTO;
	if (count == 0 || (flags & ~UVDPA_CHAIN_INDIRECT) || (indirect && !q->indirect))
		return -EINVAL;
	if (count > (indirect ? q->indirect : q->size))
		return -E2BIG;
	if ((indirect ? 1 : count) > q->free_count)
		return -ENOSPC;
	return 0;
}

int uvdpa_queue_add(struct uvdpa_queue *q, const struct uvdpa_segment *segments, unsigned count,
		    unsigned flags, uint64_t cookie)
{
	int r = check_chain(q, count, flags);

	return r < 0 ? r : q->ring->add(q, segments, count, flags & UVDPA_CHAIN_INDIRECT, cookie);
}

unsigned uvdpa_queue_publish(struct uvdpa_queue *q)
{
	return q->ring->publish(q);
}

int uvdpa_queue_kick_always(struct uvdpa_queue *q)
{
	uint64_t one = 1;

	/* EAGAIN means that the counter is full, and so that the device is told in any case */
	if (write(q->kick_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		return -errno;
	return 0;
}

int uvdpa_queue_kick(struct uvdpa_queue *q)
{
	int r;

	if (!q->ring->kick_wanted(q))
		return 0;
	r = uvdpa_queue_kick_always(q);
	return r < 0 ? r : 1;
}

int uvdpa_queue_submit(struct uvdpa_queue *q)
{
	uvdpa_queue_publish(q);
	return uvdpa_queue_kick(q);
}

int uvdpa_queue_submit_chains(struct uvdpa_queue *q, const struct uvdpa_chain *chains,
			      unsigned count)
{
	int r = 0, kicked;
	unsigned n = 0;

	for (; n < count; n++) {
		const struct uvdpa_chain *c = &chains[n];

		r = uvdpa_queue_add(q, c->segments, c->count, c->flags, c->cookie);
		if (r < 0)
			break;
	}
	kicked = uvdpa_queue_submit(q);
	if (kicked < 0)
		return kicked;
	return n || !count ? (int)n : r;
}

int uvdpa_queue_poll(struct uvdpa_queue *q, struct uvdpa_completion *completions, unsigned max)
{
	return q->broken ? -EPROTO : q->ring->poll(q, completions, max);
}

/* Whether there is something to poll, or -EPROTO. */
static int look(struct uvdpa_queue *q)
{
	return q->broken ? -EPROTO : q->ring->pending(q);
}

uint64_t uvdpa_queue_drain_calls(struct uvdpa_queue *q)
{
	uint64_t count = 0;

	if (read(q->call_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return 0;
	return count;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * NS + (uint64_t)t.tv_nsec;
}

/* Looks at the ring for `time` ns from `begin` on, or until there is something. */
static int look_a_while(struct uvdpa_queue *q, uint64_t begin, uint64_t time)
{
	do {
		for (unsigned i = 0; i < LOOKS; i++) {
			int pending = look(q);

			if (pending != 0)
				return pending;
			relax();
		}
	} while (now_ns() - begin < time);
	return 0;
}

/* What the window allows of it, with calls switched off. As look(). */
static int look_first(struct uvdpa_queue *q, uint64_t begin, uint64_t end)
{
	uint64_t time = q->window.length;
	int pending;

	if (time > end - begin)
		time = end - begin;
	if (time == 0 || drv_shown(q) == 0)
		return 0;
	if (q->calls)
		q->ring->arm(q, false);
	pending = look_a_while(q, begin, time);
	if (pending > 0)
		drv_poll_window_hit(&q->window);
	return pending;
}

/* Sleeps for a call. 1: it came, 0: time over, or ppoll(2)'s error. */
static int sleep_for_call(struct uvdpa_queue *q, uint64_t end)
{
	struct pollfd p = {.fd = q->call_fd, .events = POLLIN};
	uint64_t now = end == NEVER ? 0 : now_ns(), left = end > now ? end - now : 0;
	struct timespec time = {.tv_sec = (time_t)(left / NS), .tv_nsec = (long)(left % NS)};
	int r = ppoll(&p, 1, end == NEVER ? NULL : &time, NULL);

	if (r < 0)
		return -errno;
	uvdpa_queue_drain_calls(q);
	return r;
}

/* Asleep until there is something. As uvdpa_queue_wait(), but what look() says if that is not 0. */
static int sleep_for_work(struct uvdpa_queue *q, uint64_t end)
{
	int r = 1, pending;

	for (;;) {
		/* armed first, then looked once more: virtio 2.7.10 */
		q->ring->arm(q, true);
		pending = look(q);
		if (pending != 0 || r <= 0)
			return pending != 0 ? pending : r;
		r = sleep_for_call(q, end);
		pending = look(q);
		if (pending != 0)
			return pending;
	}
}

/* Looks, then sleeps, and learns from which of them it was. */
static int look_and_sleep(struct uvdpa_queue *q, int timeout)
{
	uint64_t begin = now_ns();
	uint64_t end = timeout < 0 ? NEVER : begin + (uint64_t)timeout * (NS / 1000);
	int r = look_first(q, begin, end);

	if (r != 0)
		return r;
	r = sleep_for_work(q, end);
	if (r > 0)
		drv_poll_window_miss(&q->window, now_ns() - begin);
	else if (r == 0)
		drv_poll_window_gave_up(&q->window, now_ns() - begin);
	return r;
}

int uvdpa_queue_wait(struct uvdpa_queue *q, int timeout)
{
	int r = look(q);

	if (r == 0) {
		r = timeout == 0 ? sleep_for_work(q, 0) : look_and_sleep(q, timeout);
		q->ring->arm(q, q->calls);
	}
	return r > 0 ? 1 : r;
}

void uvdpa_queue_want_calls(struct uvdpa_queue *q, int wanted)
{
	q->calls = wanted != 0;
	q->ring->arm(q, q->calls);
}
