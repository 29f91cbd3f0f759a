/* loop/worker.c: passes, sources, wake-ups, and callers that get in under load. */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

struct bench {
	struct worker *worker;
	_Atomic uint64_t passes;
	_Atomic uint64_t afters;
	_Atomic uint64_t ready[4];  /* by token */
	_Atomic bool busy, polling; /* what pass returns */
	_Atomic unsigned broken;    /* expectations that did not hold on another thread */
	unsigned inside;	    /* guarded by the worker's ticket lock */
	unsigned long calls;	    /* likewise */
	int full;		    /* an eventfd that takes no more */
};

static void on_ready(void *arg, uint64_t token)
{
	struct bench *bench = arg;

	if (token < 4)
		atomic_fetch_add(&bench->ready[token], 1);
	else
		bench->broken++;
}

static enum worker_next on_pass(void *arg)
{
	struct bench *bench = arg;

	if (bench->inside++)
		bench->broken++;
	atomic_fetch_add(&bench->passes, 1);
	bench->inside--;
	if (atomic_load(&bench->polling))
		return WORKER_POLL;
	return atomic_load(&bench->busy) ? WORKER_AGAIN : WORKER_SLEEP;
}

static void on_after(void *arg)
{
	struct bench *bench = arg;

	atomic_fetch_add(&bench->afters, 1);
}

static const struct worker_ops ops = {.ready = on_ready, .pass = on_pass, .after = on_after};

/* Yields until `*word` is at least `value`; a test that never gets there is ended by the harness.
 */
static void wait_for(_Atomic uint64_t *word, uint64_t value)
{
	while (atomic_load(word) < value)
		sched_yield();
}

static int setup(void **state)
{
	static struct bench bench;
	struct error err;

	bench = (struct bench){0};
	*state = &bench;
	return worker_new("test", &ops, &bench, &bench.worker, &err);
}

static int teardown(void **state)
{
	struct bench *bench = *state;

	worker_free(bench->worker);
	return bench->broken ? -1 : 0;
}

/* Each wake-up is followed by a pass that begins after it, however often it is repeated. */
static void every_wake_makes_a_pass(void **state)
{
	struct bench *bench = *state;

	for (unsigned i = 0; i < 5000; i++) {
		uint64_t before = atomic_load(&bench->afters);

		worker_wake(bench->worker);
		wait_for(&bench->afters, before + 1);
	}
}

/* An edge source is reported once per write, and once at first if it is readable. */
static void edges(void **state)
{
	struct bench *bench = *state;
	int fd = eventfd(1, 0);

	assert_int_equal(worker_watch(bench->worker, fd, WORKER_EDGE, 1), 0);
	for (uint64_t i = 1; i <= 100; i++) {
		wait_for(&bench->ready[1], i);
		eventfd_write(fd, 1);
	}
	wait_for(&bench->ready[1], 101);
	worker_unwatch(bench->worker, fd);
	eventfd_write(fd, 1);
	close(fd);
}

/* A level source is reported until it is read. */
static void levels(void **state)
{
	struct bench *bench = *state;
	eventfd_t value;
	int fd = eventfd(0, 0);

	assert_int_equal(worker_watch(bench->worker, fd, WORKER_LEVEL, 2), 0);
	eventfd_write(fd, 1);
	wait_for(&bench->ready[2], 10);
	eventfd_read(fd, &value);
	worker_unwatch(bench->worker, fd);
	close(fd);
}

/* A source is reported although the worker never sleeps. */
static void busy_worker_still_collects(void **state)
{
	struct bench *bench = *state;
	int fd = eventfd(0, 0);

	worker_watch(bench->worker, fd, WORKER_EDGE, 3);
	atomic_store(&bench->busy, true);
	worker_wake(bench->worker);
	wait_for(&bench->passes, 100);
	eventfd_write(fd, 1);
	wait_for(&bench->ready[3], 1);
	atomic_store(&bench->busy, false);
	worker_unwatch(bench->worker, fd);
	close(fd);
}

static void watching_rubbish_fails(void **state)
{
	struct bench *bench = *state;

	assert_false(worker_is_current(bench->worker));
	assert_true(worker_watch(bench->worker, -1, WORKER_EDGE, 0) < 0);
	worker_unwatch(bench->worker, -1);
}

static void add_call(void *arg)
{
	struct bench *bench = arg;

	if (bench->inside++)
		bench->broken++;
	bench->calls++;
	bench->inside--;
}

#define CALLERS 3
#define CALLS	2000

static void *caller(void *arg)
{
	struct bench *bench = arg;

	for (unsigned i = 0; i < CALLS; i++)
		worker_call(bench->worker, add_call, bench);
	return NULL;
}

/* Callers exclude each other and the passes of a worker that never sleeps, and all get in. */
static void calls_under_load(void **state)
{
	struct bench *bench = *state;
	pthread_t threads[CALLERS];

	atomic_store(&bench->busy, true);
	worker_wake(bench->worker);
	wait_for(&bench->passes, 10);
	for (unsigned i = 0; i < CALLERS; i++)
		pthread_create(&threads[i], NULL, caller, bench);
	for (unsigned i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(bench->calls, CALLERS * CALLS);
	atomic_store(&bench->busy, false);
}

/*
 * Neither side starves: a caller waits for at most the pass in progress, so between two calls of
 * one caller at most one pass begins before it gets in, and the worker gets in between two calls.
 */
static void bounded_waiting(void **state)
{
	struct bench *bench = *state;
	uint64_t before;

	atomic_store(&bench->busy, true);
	worker_wake(bench->worker);
	for (unsigned i = 0; i < 1000; i++) {
		worker_enter(bench->worker);
		before = atomic_load(&bench->passes);
		sched_yield();
		/* no pass while we are inside */
		assert_int_equal(atomic_load(&bench->passes), before);
		worker_leave(bench->worker);
		wait_for(&bench->passes, before + 1);
	}
	atomic_store(&bench->busy, false);
}

/* A sleeping worker is not disturbed by calls. */
static void sleeping_worker_stays_asleep(void **state)
{
	struct bench *bench = *state;
	uint64_t passes;

	worker_wake(bench->worker);
	wait_for(&bench->afters, 1);
	passes = atomic_load(&bench->passes);
	for (unsigned i = 0; i < 100; i++)
		worker_call(bench->worker, add_call, bench);
	assert_int_equal(bench->calls, 100);
	assert_true(atomic_load(&bench->passes) <= passes + 1);
}

/* A worker that only looks for work still collects, and lets others in. */
static void polling_worker_still_collects(void **state)
{
	struct bench *bench = *state;
	int fd = eventfd(0, 0);

	worker_watch(bench->worker, fd, WORKER_EDGE, 3);
	atomic_store(&bench->polling, true);
	worker_wake(bench->worker);
	wait_for(&bench->passes, 100);
	worker_call(bench->worker, add_call, bench);
	eventfd_write(fd, 1);
	wait_for(&bench->ready[3], 1);
	atomic_store(&bench->polling, false);
	worker_unwatch(bench->worker, fd);
	close(fd);
}

static void pinning(void **state)
{
	struct bench *bench = *state;
	cpu_set_t allowed;
	unsigned cpu = 0;

	assert_int_equal(worker_pin(bench->worker, CPU_SETSIZE), -EINVAL);
	assert_int_equal(worker_pin(bench->worker, CPU_SETSIZE - 1), -EINVAL);
	assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	assert_int_equal(worker_pin(bench->worker, cpu), 0);
	worker_wake(bench->worker);
	wait_for(&bench->passes, 1);
}

static enum worker_next block_in_pass(void *arg)
{
	struct bench *bench = arg;
	uint64_t one = 1;

	if (atomic_load(&bench->ready[0]) && write(bench->full, &one, sizeof(one)) < 0)
		atomic_fetch_add(&bench->ready[1], 1);
	atomic_store(&bench->ready[0], 0);
	return WORKER_SLEEP;
}

/* A pass that blocks in a system call is interrupted for the one who waits, and for the end. */
static void a_stuck_pass_is_nudged(void **state)
{
	const struct worker_ops stuck = {
		.ready = on_ready, .pass = block_in_pass, .after = on_after};
	struct bench bench = {.full = eventfd(0, 0)};
	struct error err;

	assert_int_equal(eventfd_write(bench.full, UINT64_MAX - 1), 0);
	assert_int_equal(worker_new("stuck", &stuck, &bench, &bench.worker, &err), 0);
	atomic_store(&bench.ready[0], 1);
	worker_wake(bench.worker);
	while (!bench.calls || !atomic_load(&bench.ready[1]))
		worker_call(bench.worker, add_call, &bench);
	atomic_store(&bench.ready[0], 1);
	worker_wake(bench.worker);
	worker_free(bench.worker);
	close(bench.full);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(every_wake_makes_a_pass),
		CASE(edges),
		CASE(levels),
		CASE(busy_worker_still_collects),
		CASE(watching_rubbish_fails),
		CASE(calls_under_load),
		CASE(bounded_waiting),
		CASE(sleeping_worker_stays_asleep),
		cmocka_unit_test(a_stuck_pass_is_nudged),
		CASE(polling_worker_still_collects),
		CASE(pinning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
