/* runtime/poller.c: when to look for work and when to sleep, over a clock of our own. */
#include "runtime/poller.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define US UINT64_C(1000)

static uint64_t clock_ns;
static unsigned clock_reads;

static uint64_t read_clock(void)
{
	clock_reads++;
	return clock_ns;
}

static bool inflight; /* by the backend, when there is next nothing to do */

static enum worker_next end(struct poller *poller, bool done, bool more, bool empty)
{
	return poller_end(poller, (struct poller_pass){done, more, empty, inflight});
}

static void start(struct poller *poller, unsigned max_us)
{
	poller_init(poller, max_us);
	poller->now = read_clock;
	clock_ns = 1000000;
	clock_reads = 0;
	inflight = false;
}

static struct poller_window *window(struct poller *poller)
{
	return inflight ? &poller->answer : &poller->request;
}

/* One request at a time comes to a worker that sleeps, `gap` after the one before. */
static void kick_after(struct poller *poller, uint64_t gap)
{
	clock_ns += gap;
	if (poller_begin(poller)) {
		assert_int_equal(end(poller, false, true, true), WORKER_AGAIN);
		if (window(poller)->length) /* else it has just been closed */
			assert_int_equal(end(poller, false, false, true), WORKER_POLL);
		clock_ns += window(poller)->length;
		assert_int_equal(end(poller, false, false, true), WORKER_AGAIN);
		assert_false(poller_begin(poller)); /* the last look is one that arms */
		assert_int_equal(end(poller, false, false, false), WORKER_SLEEP);
	} else {
		assert_int_equal(end(poller, true, false, false), WORKER_SLEEP);
	}
}

static void switched_off(void **state)
{
	struct poller poller;

	start(&poller, 0);
	for (unsigned i = 0; i < 100; i++)
		kick_after(&poller, 1 * US);
	assert_int_equal(end(&poller, false, true, false), WORKER_AGAIN);
	assert_int_equal(clock_reads, 0);
	assert_int_equal(window(&poller)->length, 0);
}

/* Work at long intervals is not waited for. */
static void idle_devices_sleep(void **state)
{
	struct poller poller;

	start(&poller, 32);
	for (unsigned i = 0; i < 100; i++) {
		kick_after(&poller, 65 * US);
		assert_int_equal(window(&poller)->length, 0);
	}
}

/* Opens the window as far as it goes. */
static void open_window(struct poller *poller)
{
	kick_after(poller, 0);
	for (unsigned i = 0; i < 20 && window(poller)->length < window(poller)->max; i++)
		kick_after(poller, 1 * US);
	assert_int_equal(window(poller)->length, window(poller)->max);
}

/* A kick, and while it is still looking, more work. */
static void find(struct poller *poller, uint64_t gap)
{
	assert_int_equal(end(poller, false, true, true), WORKER_AGAIN);
	assert_int_equal(end(poller, false, false, true), WORKER_POLL);
	kick_after(poller, gap);
}

/* What held the driver up once does not count, but it does when it becomes a habit. */
static void pauses_are_forgiven(void **state)
{
	struct poller poller;

	start(&poller, 32);
	open_window(&poller);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 2; k++)
			kick_after(&poller, 150 * US);
		assert_int_equal(window(&poller)->length, 32 * US);
		clock_ns += 150 * US;
		find(&poller, 1 * US);
		assert_int_equal(window(&poller)->length, 32 * US);
	}
	for (unsigned k = 0; k < 4; k++)
		kick_after(&poller, 150 * US);
	assert_int_equal(window(&poller)->length, 0);
	open_window(&poller);
	kick_after(&poller, 8 * 32 * US + 1);
	assert_int_equal(window(&poller)->length, 0);
}

/* A gap is a wake-up longer where nothing is looked for: the window opens all the same. */
static void a_closed_window_opens(void **state)
{
	struct poller poller;

	start(&poller, 32);
	kick_after(&poller, 0);
	kick_after(&poller, 60 * US);
	assert_int_equal(window(&poller)->length, 4 * US);
}

/* Work at short intervals opens the window, no further than it takes; a long pause closes it. */
static void the_window_adapts(void **state)
{
	struct poller poller;

	start(&poller, 32);
	kick_after(&poller, 0);
	kick_after(&poller, 10 * US);
	assert_int_equal(window(&poller)->length, 4 * US);
	kick_after(&poller, 10 * US);
	assert_int_equal(window(&poller)->length, 8 * US);
	kick_after(&poller, 10 * US);
	assert_in_range(window(&poller)->length, 8 * US, 16 * US);
	for (unsigned i = 0; i < 10; i++)
		kick_after(&poller, 1 * US);
	assert_true(window(&poller)->length <= 32 * US);
	kick_after(&poller, 1000 * US);
	assert_int_equal(window(&poller)->length, 0);
}

/* The maximum is never exceeded, whatever comes when. */
static void the_window_is_bounded(void **state)
{
	struct poller poller;

	start(&poller, 50);
	for (uint64_t i = 0; i < 1000; i++) {
		kick_after(&poller, i * 7919 % 49 * US);
		assert_true(window(&poller)->length <= 50 * US);
	}
}

/* While there is work the clock is not looked at. */
static void work_costs_no_clock(void **state)
{
	struct poller poller;

	start(&poller, 32);
	kick_after(&poller, 0);
	kick_after(&poller, 1 * US);
	assert_int_equal(end(&poller, false, true, false), WORKER_AGAIN);
	clock_reads = 0;
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(end(&poller, i & 1, true, i & 2), WORKER_AGAIN);
	assert_int_equal(clock_reads, 0);
}

/* A disk's answer is looked for three times as long, and learnt by itself. */
static void answers_have_their_own_window(void **state)
{
	struct poller poller;

	start(&poller, 32);
	inflight = true;
	open_window(&poller);
	assert_int_equal(poller.answer.length, 96 * US);
	assert_int_equal(poller.request.length, 0);
	for (unsigned i = 0; i < 100; i++) {
		find(&poller, 80 * US);
		assert_int_equal(poller.answer.length, 96 * US);
	}
	/* what the driver does between an answer and its next request is another matter */
	inflight = false;
	for (unsigned i = 0; i < 100; i++)
		kick_after(&poller, 100 * US); /* the first was still owed */
	assert_int_equal(poller.answer.length, 96 * US);
	assert_int_equal(poller.request.length, 0);
}

/* A disk that takes milliseconds is not looked at; the driver's requests still are. */
static void slow_disks_are_slept_for(void **state)
{
	struct poller poller;
	unsigned reads;

	start(&poller, 32);
	open_window(&poller);
	for (unsigned i = 0; i < 100; i++) {
		inflight = true; /* from this request on */
		kick_after(&poller, 10 * US);
		assert_int_equal(poller.request.length, 32 * US);
		inflight = false;
		kick_after(&poller, 2000 * US);
		assert_int_equal(poller.answer.length, 0);
	}
	inflight = true;
	assert_int_equal(end(&poller, true, true, false), WORKER_AGAIN);
	reads = clock_reads;
	assert_true(poller_begin(&poller)); /* it might be the driver who is waited for */
	assert_int_equal(end(&poller, false, false, true), WORKER_AGAIN);
	assert_false(poller_begin(&poller));
	assert_int_equal(end(&poller, false, false, false), WORKER_SLEEP);
	assert_int_equal(clock_reads, reads + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(switched_off),
		cmocka_unit_test(idle_devices_sleep),
		cmocka_unit_test(the_window_adapts),
		cmocka_unit_test(the_window_is_bounded),
		cmocka_unit_test(work_costs_no_clock),
		cmocka_unit_test(pauses_are_forgiven),
		cmocka_unit_test(a_closed_window_opens),
		cmocka_unit_test(slow_disks_are_slept_for),
		cmocka_unit_test(answers_have_their_own_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
