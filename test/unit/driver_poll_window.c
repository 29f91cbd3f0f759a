/* driver/window.c: how long a wait looks before it sleeps, without a clock. */
#include "driver/poll_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define US  UINT64_C(1000)
#define MAX (64 * US)

/* One wait, whose completion comes after `gap`. Returns what was looked for in vain. */
static uint64_t wait_for(struct drv_poll_window *window, uint64_t gap)
{
	uint64_t length = window->length;

	if (length && gap <= length) {
		drv_poll_window_hit(window);
		return 0;
	}
	drv_poll_window_miss(window, gap);
	return length;
}

/* Opens it as far as it goes, with looks that help. */
static void open_up(struct drv_poll_window *window)
{
	drv_poll_window_init(window, MAX);
	for (unsigned i = 0; i < 8; i++)
		wait_for(window, MAX);
	assert_int_equal(window->length, MAX);
}

static void never(void **state)
{
	struct drv_poll_window window;

	drv_poll_window_init(&window, 0);
	for (uint64_t gap = 0; gap < 100 * US; gap += 100)
		wait_for(&window, gap);
	assert_int_equal(window.length, 0);
}

static void a_slow_device_is_slept_for(void **state)
{
	struct drv_poll_window window;

	drv_poll_window_init(&window, MAX);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(wait_for(&window, 2 * MAX + 1), 0);
	assert_int_equal(window.length, 0);
}

/* Short gaps open it, no further than it takes to see their end. */
static void it_grows(void **state)
{
	struct drv_poll_window window;

	drv_poll_window_init(&window, MAX);
	assert_int_equal(window.length, 0);
	wait_for(&window, 2 * MAX); /* with a wake-up in it */
	assert_int_equal(window.length, MAX / 8);
	wait_for(&window, 10 * US);
	assert_int_equal(window.length, MAX / 4);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(wait_for(&window, 10 * US), 0);
	assert_int_equal(window.length, MAX / 4);
}

static void it_is_bounded(void **state)
{
	const uint64_t max = 50 * US + 7; /* no multiple of what it begins with */
	struct drv_poll_window window;

	drv_poll_window_init(&window, max);
	for (uint64_t i = 0; i < 10000; i++) {
		wait_for(&window, i * 7919 % (max + 1));
		assert_true(window.length <= max);
	}
	for (unsigned i = 0; i < 8; i++)
		wait_for(&window, max);
	assert_int_equal(window.length, max);
}

/* Where looking helps, what held the device up once is forgiven. */
static void pauses_are_forgiven(void **state)
{
	struct drv_poll_window window;

	open_up(&window);
	for (unsigned i = 0; i < 100; i++) {
		for (unsigned k = 0; k < 3; k++)
			wait_for(&window, 2 * MAX);
		assert_int_equal(window.length, MAX);
		wait_for(&window, 1 * US);
	}
	for (unsigned k = 0; k < 4; k++)
		wait_for(&window, 2 * MAX);
	assert_int_equal(window.length, 0);
}

static void a_long_pause_closes_it(void **state)
{
	struct drv_poll_window window;

	open_up(&window);
	wait_for(&window, 8 * MAX);
	assert_int_equal(window.length, MAX);
	wait_for(&window, 8 * MAX + 1);
	assert_int_equal(window.length, 0);
}

/* Nothing came before the caller's time was over: that, too, was looking in vain. */
static void time_over_closes_it(void **state)
{
	struct drv_poll_window window;

	open_up(&window);
	drv_poll_window_gave_up(&window, MAX); /* it might have come within the maximum */
	assert_int_equal(window.length, MAX);
	drv_poll_window_gave_up(&window, 8 * MAX + 1);
	assert_int_equal(window.length, 0);
	drv_poll_window_gave_up(&window, 1);
	assert_int_equal(window.length, 0);
}

/* A device that gets on only while the driver sleeps, which takes it `work`. Looked in vain: */
static uint64_t share(struct drv_poll_window *window, unsigned waits, uint64_t work)
{
	uint64_t vain = 0;

	for (unsigned i = 0; i < waits; i++)
		vain += wait_for(window, window->length + work);
	return vain;
}

static void a_shared_processor_is_left_alone(void **state)
{
	struct drv_poll_window window;

	drv_poll_window_init(&window, MAX);
	share(&window, 10000, 10 * US);
	assert_true(share(&window, 100000, 10 * US) < 100000 * 10 * US / 50);
}

/* One that had a processor of its own before, and has again after. */
static void shyness_passes(void **state)
{
	struct drv_poll_window window;

	open_up(&window);
	for (unsigned i = 0; i < 100000; i++)
		wait_for(&window, 1 * US);
	share(&window, 10000, 10 * US);
	assert_true(share(&window, 100000, 10 * US) < 100000 * 10 * US / 50);
	for (unsigned i = 0; i < 2000; i++)
		wait_for(&window, 5 * US);
	assert_int_not_equal(window.length, 0);
	wait_for(&window, 100 * MAX);
	assert_int_equal(window.length, 0);
	wait_for(&window, 5 * US); /* it has helped: once is enough */
	assert_int_not_equal(window.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never),
		cmocka_unit_test(a_slow_device_is_slept_for),
		cmocka_unit_test(it_grows),
		cmocka_unit_test(it_is_bounded),
		cmocka_unit_test(pauses_are_forgiven),
		cmocka_unit_test(a_long_pause_closes_it),
		cmocka_unit_test(time_over_closes_it),
		cmocka_unit_test(a_shared_processor_is_left_alone),
		cmocka_unit_test(shyness_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
