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
#include "driver/error.h"

/* Areas on cache lines of their own, so that each side's writes stay out of the other's way. */
#define AREA_ALIGN 64
#define SIZE_LIMIT 32768

static bool has(uint64_t features, unsigned bit)
{
	return features >> bit & 1;
}

static int check_options(const struct uvdpa_queue_options *o, struct uvdpa_error *error)
{
	if (o->size == 0 || (o->size & (o->size - 1)) || o->size > SIZE_LIMIT)
		return drv_error(error, -EINVAL,
				 "queue: size %u is not a power of two from 1 to %d", o->size,
				 SIZE_LIMIT);
	if (has(o->features, VIRTIO_F_RING_PACKED))
		return drv_error(error, -ENOTSUP,
				 "queue: packed rings are not there yet: do not "
				 "negotiate VIRTIO_F_RING_PACKED");
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
	tables = (size_t)q->size * q->indirect * sizeof(struct vring_desc);
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
	q->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	q->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (q->kick_fd < 0 || q->call_fd < 0)
		return drv_error(error, -errno, "queue: cannot get an eventfd: %s",
				 strerror(errno));
	if (!q->chains || !q->next)
		return drv_error(error, -ENOMEM, "queue: no memory for a queue of %u", q->size);
	return 0;
}

static atomic_uint_fast64_t serials;

int uvdpa_queue_new(struct uvdpa_memory *memory, const struct uvdpa_queue_options *options,
		    struct uvdpa_queue **out, struct uvdpa_error *error)
{
	struct uvdpa_queue *q;
	int r = check_options(options, error);

	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return drv_error(error, -ENOMEM, "queue: no memory for a queue");
	q->kick_fd = q->call_fd = -1;
	q->ring = &drv_ring_split;
	q->memory = drv_memory_get(memory);
	q->serial = atomic_fetch_add(&serials, 1) + 1;
	q->size = options->size;
	q->indirect = options->indirect;
	q->event_idx = has(options->features, VIRTIO_RING_F_EVENT_IDX);
	q->calls = true;
	r = allocate(q, error);
	if (r == 0)
		r = place(q, error);
	if (r < 0) {
		uvdpa_queue_free(q);
		return r;
	}
	uvdpa_queue_restart(q, options->base);
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
	drv_memory_put(q->memory);
	free(q);
}

int uvdpa_queue_restart(struct uvdpa_queue *q, uint16_t base)
{
	if (q->attached)
		return -EBUSY;
	memset(q->chains, 0, q->size * sizeof(*q->chains));
	for (unsigned i = 0; i < q->size; i++)
		q->next[i] = (uint16_t)(i + 1);
	q->free_head = 0;
	q->free_count = q->size;
	q->in_flight = 0;
	q->fault[0] = 0;
	q->broken = UVDPA_QUEUE_SOUND;
	q->ring->start(q, base);
	q->ring->arm(q, q->calls);
	return 0;
}

/* Sticks: the first reason is the one that matters. */
static int __attribute__((format(printf, 3, 4)))
break_queue(struct uvdpa_queue *q, enum uvdpa_queue_break how, const char *format, ...)
{
	va_list args;

	if (!q->broken) {
		q->broken = how;
		va_start(args, format);
		vsnprintf(q->fault, sizeof(q->fault), format, args);
		va_end(args);
	}
	return -EPROTO;
}

/* Takes `count` descriptors off the free list, as the chain that starts at the list's head. */
static void draw(struct uvdpa_queue *q, struct drv_chain *chain, uint16_t count)
{
	uint16_t at = q->free_head;

	assert(count > 0 && count <= q->free_count);
	for (uint16_t i = 1; i < count; i++)
		at = q->next[at];
	q->free_head = q->next[at];
	q->free_count -= count;
	chain->count = count;
	q->in_flight++;
}

static void put_back(struct uvdpa_queue *q, uint16_t head)
{
	struct drv_chain *chain = &q->chains[head];
	uint16_t last = head;

	assert(chain->count > 0 && q->in_flight > 0);
	for (uint16_t i = 1; i < chain->count; i++)
		last = q->next[last];
	q->next[last] = q->free_head;
	q->free_head = head;
	q->free_count += chain->count;
	q->in_flight--;
	chain->count = 0;
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
	bool indirect = flags & UVDPA_CHAIN_INDIRECT;
	struct drv_chain *chain;
	uint16_t head, serial = q->added;
	int r = check_chain(q, count, flags);

	if (r < 0)
		return r;
	head = q->ring->append(q, segments, count, indirect);
	chain = &q->chains[head];
	draw(q, chain, indirect ? 1 : (uint16_t)count);
	chain->cookie = cookie;
	chain->serial = serial;
	chain->room = 0;
	for (unsigned i = 0; i < count; i++)
		chain->room += segments[i].writable ? segments[i].len : 0;
	return head;
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

/* Whether the device was ever shown this chain: at most 32768 lie between. */
static bool is_published(const struct uvdpa_queue *q, const struct drv_chain *chain)
{
	return (uint16_t)(q->published - chain->serial - 1) < SIZE_LIMIT;
}

/* Judges what the device says about a chain (a hostile peer: virtio 2.7.8 says what it ought to
 * be). */
static int judge(struct uvdpa_queue *q, struct drv_used used)
{
	const struct drv_chain *chain;

	if (used.id >= q->size)
		return break_queue(q, UVDPA_QUEUE_HEAD_RANGE,
				   "used entry %u names head %u of a queue of %u",
				   (uint16_t)(q->taken - 1), used.id, q->size);
	chain = &q->chains[used.id];
	if (chain->count == 0 || !is_published(q, chain))
		return break_queue(q, UVDPA_QUEUE_NOT_IN_FLIGHT,
				   "used entry %u names head %u, which is not in flight",
				   (uint16_t)(q->taken - 1), used.id);
	if (used.len > chain->room)
		return break_queue(
			q, UVDPA_QUEUE_LENGTH, "used entry %u: %u bytes written where %llu fit",
			(uint16_t)(q->taken - 1), used.len, (unsigned long long)chain->room);
	return 0;
}

/* The number of completions that may be believed, or -EPROTO. */
static int believable(struct uvdpa_queue *q)
{
	unsigned pending = q->ring->pending(q);
	unsigned shown = (uint16_t)(q->in_flight - (uint16_t)(q->added - q->published));

	if (q->broken)
		return -EPROTO;
	if (pending > shown)
		return break_queue(q, UVDPA_QUEUE_USED_INDEX,
				   "the used index went from %u to %u with %u chains in flight",
				   q->taken, (uint16_t)(q->taken + pending), shown);
	return (int)pending;
}

int uvdpa_queue_poll(struct uvdpa_queue *q, struct uvdpa_completion *completions, unsigned max)
{
	int pending = believable(q);
	unsigned n;

	if (pending <= 0)
		return pending;
	for (n = 0; n < max && n < (unsigned)pending; n++) {
		struct drv_used used = q->ring->take(q);

		if (judge(q, used) < 0)
			break;
		completions[n].cookie = q->chains[used.id].cookie;
		completions[n].written = used.len;
		completions[n].head = (uint16_t)used.id;
		put_back(q, (uint16_t)used.id);
	}
	if (n == 0 && q->broken)
		return -EPROTO;
	q->ring->arm(q, q->calls);
	return (int)n;
}

uint64_t uvdpa_queue_drain_calls(struct uvdpa_queue *q)
{
	uint64_t count = 0;

	if (read(q->call_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
		return 0;
	return count;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sleeps for a call. 1: it came, 0: time over, or poll(2)'s error. */
static int sleep_for_call(struct uvdpa_queue *q, int timeout, int64_t end)
{
	struct pollfd p = {.fd = q->call_fd, .events = POLLIN};
	int64_t left = timeout < 0 ? -1 : end - now_ms();
	int r;

	if (timeout >= 0 && left < 0)
		left = 0;
	r = poll(&p, 1, (int)left);
	if (r < 0)
		return -errno;
	uvdpa_queue_drain_calls(q);
	return r;
}

int uvdpa_queue_wait(struct uvdpa_queue *q, int timeout)
{
	int64_t end = now_ms() + timeout;
	int r = 1, pending;

	for (;;) {
		pending = believable(q);
		if (pending != 0)
			break;
		/* armed first, then looked once more: virtio 2.7.10 */
		q->ring->arm(q, true);
		pending = believable(q);
		if (pending != 0 || r <= 0)
			break;
		r = sleep_for_call(q, timeout, end);
	}
	if (!q->calls)
		q->ring->arm(q, false);
	if (pending != 0)
		return pending < 0 ? pending : 1;
	return r;
}

void uvdpa_queue_want_calls(struct uvdpa_queue *q, int wanted)
{
	q->calls = wanted != 0;
	q->ring->arm(q, q->calls);
}
