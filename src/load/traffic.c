/* Traffic that is only counted: see traffic.h. What it consists of is in traffic_blk.c and _net.c.
 */
#include "load/traffic.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "load/traffic_internal.h"

#define DRAIN_MS 10000

int64_t traffic_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void note_gap(struct traffic *t, int64_t now)
{
	uint64_t gap = t->last ? (uint64_t)(now - t->last) : 0;
	uint64_t old = atomic_load_explicit(&t->gap, memory_order_relaxed);

	while (gap > old && !atomic_compare_exchange_weak(&t->gap, &old, gap))
		;
	t->last = now;
}

void traffic_note(struct traffic *t, unsigned count, int64_t now)
{
	note_gap(t, now);
	atomic_fetch_add_explicit(&t->done, count, memory_order_relaxed);
}

void traffic_free(struct traffic *t)
{
	if (t)
		t->kind->free(t);
}

/* Until there may be something to collect: as the queue waits or, with `poll`, not at all. */
static int pause_for(struct traffic *t)
{
	int r;

	if (t->poll)
		return 0;
	r = uvdpa_queue_wait(t->queue, 20);
	return r == -EINTR ? 0 : r;
}

static int run(struct traffic *t, const atomic_bool *stop)
{
	int r = t->kind->start(t);

	while (r >= 0 && !atomic_load_explicit(stop, memory_order_relaxed)) {
		r = t->kind->turn(t, true);
		if (r == 0)
			r = pause_for(t);
	}
	return r;
}

static int drain(struct traffic *t)
{
	int64_t end = traffic_now() + (int64_t)DRAIN_MS * 1000000;
	int r = 0;

	while (r >= 0 && t->kind->in_flight(t) > 0) {
		r = t->kind->turn(t, false);
		if (r == 0 && traffic_now() > end)
			return -ETIMEDOUT;
		if (r == 0)
			r = pause_for(t);
	}
	return r;
}

int traffic_run(struct traffic *t, const atomic_bool *stop, struct error *f)
{
	const char *broken;
	int r = run(t, stop);

	if (r >= 0)
		r = drain(t);
	if (r >= 0)
		return 0;
	broken = uvdpa_queue_error(t->queue);
	if (r == -ETIMEDOUT)
		return error_set(f, r, "%u requests did not complete in %d s",
				 t->kind->in_flight(t), DRAIN_MS / 1000);
	return error_set(f, r, "the queue: %s", broken ? broken : strerror(-r));
}

/* Looking -------------------------------------------------------------------------------------- */

uint64_t traffic_done(const struct traffic *t)
{
	return atomic_load_explicit(&t->done, memory_order_relaxed);
}

uint64_t traffic_received(const struct traffic *t)
{
	return atomic_load_explicit(&t->received, memory_order_relaxed);
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
