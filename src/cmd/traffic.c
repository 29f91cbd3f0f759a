/* Traffic that is only counted: see traffic.h. */
#include "cmd/traffic.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd/ferry.h"

#define BATCH	 64
#define SECTOR	 512
#define DRAIN_MS 10000

struct slot {
	int64_t start;
	struct uvdpa_segment data;
};

struct traffic {
	struct traffic_options o;
	struct uvdpa_queue *queue;
	struct uvdpa_blk *blk;
	struct slot *slots;
	uint64_t random, next;
	uint64_t errors;
	struct histogram latency;

	int64_t last; /* when completions were collected last; 0: not yet */
	atomic_uint_fast64_t gap;
	atomic_uint_fast64_t done;
};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* xorshift: the same seed makes the same choices. */
static uint64_t choose(struct traffic *t, uint64_t below)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	/* a multiplication where it will do: a division is most of the cost of a request */
	return below <= UINT32_MAX ? (t->random >> 32) * below >> 32 : t->random % below;
}

/* Life ----------------------------------------------------------------------------------------- */

uint64_t traffic_memory_size(const struct traffic_options *o)
{
	return (uint64_t)o->depth * ((uint64_t)o->block_size + 64) + 8192;
}

static int get_buffers(struct traffic *t, struct ferry *ferry, struct fault *f)
{
	struct uvdpa_error error;
	int r = uvdpa_blk_new(ferry->memory, t->queue, t->o.depth, &t->blk, &error);

	if (r < 0)
		return fault(f, r, "%s", error.text);
	for (unsigned i = 0; i < t->o.depth; i++) {
		void *buf = uvdpa_memory_alloc(ferry->memory, t->o.block_size, 4096);

		if (!buf)
			return fault(f, -ENOSPC, "no room for %u buffers of %u", t->o.depth,
				     t->o.block_size);
		t->slots[i].data.iova = uvdpa_memory_iova(ferry->memory, buf);
		t->slots[i].data.len = t->o.block_size;
	}
	return 0;
}

int traffic_new(const struct traffic_options *options, struct ferry *ferry, unsigned queue,
		struct traffic **out, struct fault *f)
{
	struct traffic *t = calloc(1, sizeof(*t));
	int r;

	if (!t)
		return fault(f, -ENOMEM, "out of memory");
	t->o = *options;
	t->queue = ferry->queues[queue];
	t->random = options->seed * 2 + 1;
	t->slots = calloc(options->depth, sizeof(*t->slots));
	r = t->slots ? get_buffers(t, ferry, f) : fault(f, -ENOMEM, "out of memory");
	if (r < 0) {
		traffic_free(t);
		return r;
	}
	uvdpa_queue_want_calls(t->queue, 0);
	*out = t;
	return 0;
}

void traffic_free(struct traffic *t)
{
	if (!t)
		return;
	uvdpa_blk_free(t->blk);
	free(t->slots);
	free(t);
}

/* Running -------------------------------------------------------------------------------------- */

static int send(struct traffic *t, unsigned number, int64_t now)
{
	uint64_t block = t->o.sequential ? t->next++ % t->o.blocks : choose(t, t->o.blocks);
	bool write = t->o.write_percent == 100 ||
		     (t->o.write_percent && choose(t, 100) < t->o.write_percent);
	const struct uvdpa_blk_request request = {
		.type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
		.chain_flags = t->o.chain_flags,
		.sector = block * (t->o.block_size / SECTOR),
		.data = &t->slots[number].data,
		.count = 1,
		.cookie = number,
	};

	t->slots[number].start = now;
	return uvdpa_blk_request(t->blk, &request);
}

static void note_gap(struct traffic *t, int64_t now)
{
	uint64_t gap = t->last ? (uint64_t)(now - t->last) : 0;
	uint64_t old = atomic_load_explicit(&t->gap, memory_order_relaxed);

	while (gap > old && !atomic_compare_exchange_weak(&t->gap, &old, gap))
		;
	t->last = now;
}

/* Takes one batch and, with `again`, sends as many. The number, or an error. */
static int turn(struct traffic *t, bool again)
{
	struct uvdpa_blk_completion c[BATCH];
	int n = uvdpa_blk_poll(t->blk, c, BATCH), r = 0;
	int64_t now;

	if (n <= 0)
		return n;
	now = now_ns();
	note_gap(t, now);
	for (int i = 0; i < n && r >= 0; i++) {
		histogram_add(&t->latency, (uint64_t)(now - t->slots[c[i].cookie].start));
		t->errors += c[i].status != VIRTIO_BLK_S_OK;
		if (again)
			r = send(t, (unsigned)c[i].cookie, now);
	}
	atomic_fetch_add_explicit(&t->done, (uint64_t)n, memory_order_relaxed);
	if (r >= 0 && again)
		r = uvdpa_queue_submit(t->queue);
	return r < 0 ? r : n;
}

static int start(struct traffic *t)
{
	int64_t now = now_ns();
	int r = 0;

	for (unsigned i = 0; i < t->o.depth && r >= 0; i++)
		r = send(t, i, now);
	return r < 0 ? r : uvdpa_queue_submit(t->queue);
}

/* Until there may be something to collect: asleep or, with `poll`, not at all. */
static int pause_for(struct traffic *t)
{
	int r;

	if (t->o.poll)
		return 0;
	r = uvdpa_queue_wait(t->queue, 20);
	return r == -EINTR ? 0 : r;
}

static int run(struct traffic *t, const atomic_bool *stop)
{
	int r = start(t);

	while (r >= 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
		r = turn(t, true);
		if (r == 0)
			r = pause_for(t);
	}
	return r;
}

static int drain(struct traffic *t)
{
	int64_t end = now_ns() + (int64_t)DRAIN_MS * 1000000;
	int r = 0;

	while (r >= 0 && uvdpa_blk_in_flight(t->blk) > 0) {
		r = turn(t, false);
		if (r == 0 && now_ns() > end)
			return -ETIMEDOUT;
		if (r == 0)
			r = pause_for(t);
	}
	return r;
}

int traffic_run(struct traffic *t, const atomic_bool *stop, struct fault *f)
{
	const char *broken;
	int r = run(t, stop);

	if (r >= 0)
		r = drain(t);
	if (r >= 0)
		return 0;
	broken = uvdpa_queue_fault(t->queue);
	if (r == -ETIMEDOUT)
		return fault(f, r, "%u requests did not complete in %d s",
			     uvdpa_blk_in_flight(t->blk), DRAIN_MS / 1000);
	return fault(f, r, "the queue: %s", broken ? broken : strerror(-r));
}

/* Looking -------------------------------------------------------------------------------------- */

uint64_t traffic_done(const struct traffic *t)
{
	return atomic_load_explicit(&t->done, memory_order_relaxed);
}

uint64_t traffic_take_gap(struct traffic *t)
{
	return atomic_exchange(&t->gap, 0);
}

uint64_t traffic_errors(const struct traffic *t)
{
	return t->errors;
}

const struct histogram *traffic_latency(const struct traffic *t)
{
	return &t->latency;
}
