/* runtime/trace.c: what is kept of many events and counts, in which order, and how much is lost. */
#include "runtime/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SLOT ((uint64_t)TRACE_SLOT_NS)

static struct trace_events events;
static struct trace_slots slots;

static int clean(void **state)
{
	memset(&events, 0, sizeof(events));
	memset(&slots, 0, sizeof(slots));
	return 0;
}

/* Puts `count` events, at the times 0, 1, ...; returns what is kept. */
static struct trace_event *put_events(unsigned count, unsigned *kept)
{
	struct trace_event *copy = malloc(TRACE_EVENTS * sizeof(*copy));

	for (unsigned i = 0; i < count; i++)
		trace_event_put(&events,
				&(struct trace_event){.at_ns = i, .value = 3 * i, .queue = i % 5});
	*kept = trace_events_copy(&events, copy);
	return copy;
}

static void the_latest_events_are_kept(void **state)
{
	const unsigned counts[] = {0,
				   1,
				   TRACE_EVENTS - 1,
				   TRACE_EVENTS,
				   TRACE_EVENTS + 1,
				   2 * TRACE_EVENTS,
				   5 * TRACE_EVENTS / 2};

	for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		unsigned kept, wanted = counts[c] < TRACE_EVENTS ? counts[c] : TRACE_EVENTS;
		struct trace_event *copy;

		clean(NULL);
		copy = put_events(counts[c], &kept);
		assert_int_equal(kept, wanted);
		assert_int_equal(events.count, counts[c]);
		for (unsigned i = 0; i < kept; i++) {
			unsigned at = counts[c] - kept + i;

			assert_int_equal(copy[i].at_ns, at);
			assert_int_equal(copy[i].value, 3 * at);
			assert_int_equal(copy[i].queue, at % 5);
		}
		free(copy);
	}
}

static void work_adds_up_by_slot(void **state)
{
	struct trace_slot copy[TRACE_SLOTS];

	trace_slot_add(&slots, 7 * SLOT, 1, 0);
	trace_slot_add(&slots, 7 * SLOT, 2, 5);
	trace_slot_add(&slots, 8 * SLOT - 1, 0, 1);
	trace_slot_add(&slots, 8 * SLOT, 4, 0);
	trace_slot_add(&slots, 900 * SLOT, 0, 9); /* nothing is kept of the pause */
	assert_int_equal(trace_slots_copy(&slots, copy), 3);
	assert_int_equal(copy[0].number, 7);
	assert_int_equal(copy[0].in, 3);
	assert_int_equal(copy[0].out, 6);
	assert_int_equal(copy[1].number, 8);
	assert_int_equal(copy[1].in, 4);
	assert_int_equal(copy[1].out, 0);
	assert_int_equal(copy[2].number, 900);
	assert_int_equal(copy[2].out, 9);
}

static void the_latest_slots_are_kept(void **state)
{
	const unsigned count = TRACE_SLOTS + 100;
	struct trace_slot *copy = malloc(TRACE_SLOTS * sizeof(*copy));

	for (unsigned i = 0; i < count; i++) {
		trace_slot_add(&slots, (1000 + i) * SLOT, i, 0);
		trace_slot_add(&slots, (1000 + i) * SLOT + 5, 0, 2 * i);
	}
	assert_int_equal(trace_slots_copy(&slots, copy), TRACE_SLOTS);
	assert_int_equal(slots.count, count);
	for (unsigned i = 0; i < TRACE_SLOTS; i++) {
		assert_int_equal(copy[i].number, 1100 + i);
		assert_int_equal(copy[i].in, 100 + i);
		assert_int_equal(copy[i].out, 2 * (100 + i));
	}
	free(copy);
}

static void a_count_does_not_wrap(void **state)
{
	struct trace_slot copy[TRACE_SLOTS];

	trace_slot_add(&slots, 0, UINT32_MAX, 0);
	trace_slot_add(&slots, 0, 1, UINT64_MAX);
	trace_slot_add(&slots, 0, 0, 1);
	assert_int_equal(trace_slots_copy(&slots, copy), 1);
	assert_int_equal(copy[0].in, UINT32_MAX);
	assert_int_equal(copy[0].out, UINT32_MAX);
}

static void workers_slots_are_merged(void **state)
{
	struct trace_slot both[] = {{1, 1, 0},	 {2, 1, 1}, {5, 9, 9},
				    {2, 10, 20}, {3, 1, 1}, {5, 1, 0}};

	assert_int_equal(trace_slots_merge(both, 6), 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(both[i].number, ((const unsigned[]){1, 2, 3, 5})[i]);
	assert_int_equal(both[1].in, 11);
	assert_int_equal(both[1].out, 21);
	assert_int_equal(both[3].in, 10);
	assert_int_equal(trace_slots_merge(both, 0), 0);
}

/* What is known late (the last packet) goes where it belongs; equal times stay as they came. */
static void events_are_sorted(void **state)
{
	struct trace_event list[] = {{.at_ns = 4, .queue = 0}, {.at_ns = 6, .queue = 1},
				     {.at_ns = 6, .queue = 2}, {.at_ns = 5, .queue = 3},
				     {.at_ns = 1, .queue = 4}, {.at_ns = 6, .queue = 5}};
	const unsigned order[] = {4, 0, 3, 1, 2, 5};

	trace_events_sort(list, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(list[i].queue, order[i]);
}

static void every_event_has_a_name(void **state)
{
	for (int i = 0; i < TRACE_COUNT; i++) {
		assert_non_null(trace_event_name((enum device_trace_event)i));
		for (int j = 0; j < i; j++)
			assert_string_not_equal(trace_event_name((enum device_trace_event)i),
						trace_event_name((enum device_trace_event)j));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_latest_events_are_kept, clean),
		cmocka_unit_test_setup(work_adds_up_by_slot, clean),
		cmocka_unit_test_setup(the_latest_slots_are_kept, clean),
		cmocka_unit_test_setup(a_count_does_not_wrap, clean),
		cmocka_unit_test(workers_slots_are_merged),
		cmocka_unit_test(events_are_sorted),
		cmocka_unit_test(every_event_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
