/*
 * cmd/: traces as files and as pictures. Good ones, ones that are nonsense in every way, which
 * standstill a picture is of, and that numbers do not lie over each other.
 */
#include "plot/plot.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define HEAD                                                                                \
	"{\"format\":\"uvdpa-trace\",\"version\":1,\"name\":\"net0\",\"unit\":\"packets\"," \
	"\"in\":\"received\",\"out\":\"sent\",\"slot_ms\":10,\"boot\":\"b\","
#define MS 1000000ull

static char path[] = "/tmp/uvdpa-plot-XXXXXX";

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

static int read_trace(const char *text, struct trace_file *trace, struct error *f)
{
	assert_int_equal(text_file_write(path, text, strlen(text), f), 0);
	return trace_file_read(path, trace, f);
}

static void a_good_one(void **state)
{
	struct trace_file t;
	struct error f;

	assert_int_equal(read_trace(HEAD
				    "\"more\":{},\"events\":["
				    "{\"at_ns\":5,\"event\":\"suspend\",\"by\":\"driver\"},"
				    "{\"at_ns\":6,\"event\":\"of a later version\"},"
				    "{\"at_ns\":7,\"event\":\"state\",\"state\":\"SUSPENDED\","
				    "\"calls\":3,\"call_ns\":50},"
				    "{\"at_ns\":7,\"event\":\"reset\",\"cause\":\"DRIVER_GONE\"}],"
				    "\"slots\":[[10,1,2],[40,0,7]]}",
				    &t, &f),
			 0);
	assert_string_equal(t.name, "net0");
	assert_string_equal(t.boot, "b");
	assert_int_equal(t.event_count, 3);
	assert_int_equal(t.events[0].kind, TRACE_SUSPEND);
	assert_int_equal(t.events[1].state, STATE_SUSPENDED);
	assert_int_equal(t.events[1].calls, 3);
	assert_true(t.events[2].gone);
	assert_int_equal(t.slot_count, 2);
	assert_int_equal(t.slots[1].at_ms, 40);
	assert_int_equal(t.slots[1].out, 7);
	trace_file_free(&t);
}

static void nonsense(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "not JSON"},
		{"{", "not JSON"},
		{"[]", "not a trace"},
		{"{\"format\":1}", "not a trace"},
		{"{\"format\":\"uvdpa-trace\"}", "version 1"},
		{"{\"format\":\"uvdpa-trace\",\"version\":2}", "version 1"},
		{"{\"format\":\"uvdpa-trace\",\"version\":1}", "\"slot_ms\""},
		{"{\"format\":\"uvdpa-trace\",\"version\":1,\"slot_ms\":0}", "\"slot_ms\""},
		{"{\"format\":\"uvdpa-trace\",\"version\":1,\"slot_ms\":10}", "\"name\""},
		{HEAD "\"name\":\"twice\"}", "not JSON"},
		{HEAD "\"slots\":[]}", "\"events\""},
		{HEAD "\"events\":[]}", "\"slots\""},
		{HEAD "\"events\":[5],\"slots\":[]}", "event 0: no \"event\""},
		{HEAD "\"events\":[{\"event\":\"reset\"}],\"slots\":[]}", "event 0: \"at_ns\""},
		{HEAD "\"events\":[{\"event\":\"reset\",\"at_ns\":-1}],\"slots\":[]}", "\"at_ns\""},
		{HEAD "\"events\":[{\"event\":\"reset\",\"at_ns\":1e9}],\"slots\":[]}",
		 "\"at_ns\""},
		{HEAD "\"events\":[{\"event\":\"reset\",\"at_ns\":9223372036854775807}],"
		      "\"slots\":[]}",
		 "\"at_ns\""},
		{HEAD "\"events\":[{\"event\":\"reset\",\"at_ns\":1,\"queue\":-3}],\"slots\":[]}",
		 "\"queue\""},
		{HEAD "\"events\":[{\"event\":\"state\",\"at_ns\":1}],\"slots\":[]}", "\"state\""},
		{HEAD "\"events\":[{\"event\":\"state\",\"at_ns\":1,\"state\":\"ASLEEP\"}],"
		      "\"slots\":[]}",
		 "\"state\""},
		{HEAD "\"events\":[{\"event\":\"reset\",\"at_ns\":2},"
		      "{\"event\":\"reset\",\"at_ns\":1}],\"slots\":[]}",
		 "event 1: before"},
		{HEAD "\"events\":[],\"slots\":[[1,2]]}", "slot 0"},
		{HEAD "\"events\":[],\"slots\":[7]}", "slot 0"},
		{HEAD "\"events\":[],\"slots\":[[1,2,-3]]}", "slot 0"},
		{HEAD "\"events\":[],\"slots\":[[9e300,2,3]]}", "slot 0"},
		{HEAD "\"events\":[],\"slots\":[[1,2,3],[1,2,3]]}", "slot 1: not after"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct trace_file t;
		struct error f = {0};

		if (read_trace(cases[i].text, &t, &f) != -EINVAL)
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(f.text, cases[i].says) || !strstr(f.text, path))
			fail_msg("%s: '%s', without '%s'", cases[i].text, f.text, cases[i].says);
		assert_null(t.events);
		assert_null(t.slots);
	}
}

static struct file_event at(uint64_t ms, enum device_trace_event kind)
{
	return (struct file_event){.at_ns = ms * MS, .kind = kind};
}

static struct file_event reached(uint64_t ms, enum device_state state)
{
	return (struct file_event){.at_ns = ms * MS, .kind = TRACE_STATE, .state = state};
}

/* A device that runs from 100 to 1000 ms, and one that goes on at 1500. */
static void a_move(struct trace_file traces[2], struct file_event events[16])
{
	struct file_event source[] = {
		reached(100, STATE_RUNNING), at(110, TRACE_FIRST_OUT),
		at(980, TRACE_LAST_IN),	     at(990, TRACE_LAST_OUT),
		at(1000, TRACE_SUSPEND),     reached(1001, STATE_SUSPENDED),
		at(1002, TRACE_BASE_READ),   at(1003, TRACE_BASE_READ),
	};
	struct file_event target[] = {
		at(1450, TRACE_BASE_SET),    at(1451, TRACE_BASE_SET),
		at(1455, TRACE_DRIVER_OK),   reached(1457, STATE_RUNNING),
		at(1460, TRACE_FIRST_CHAIN), at(1500, TRACE_FIRST_OUT),
		at(1510, TRACE_FIRST_IN),
	};

	source[4].calls = 10;
	source[7].calls = 12;
	source[7].call_ns = 700;
	memcpy(events, source, sizeof(source));
	memcpy(events + 8, target, sizeof(target));
	for (unsigned i = 0; i < 2; i++) {
		traces[i] = (struct trace_file){
			.slot_ms = 10, .events = events + 8 * i, .event_count = i ? 7 : 8};
		memcpy(traces[i].unit, "packets", 8);
		memcpy(traces[i].in, "received", 9);
		memcpy(traces[i].out, "sent", 5);
	}
}

static void finds_the_move(void **state)
{
	for (unsigned turned = 0; turned < 2; turned++) {
		struct file_event events[16];
		struct trace_file traces[2], swapped[2];
		struct plot plot;

		a_move(traces, events);
		swapped[turned] = traces[0];
		swapped[1 - turned] = traces[1];
		plot_prepare(&plot, swapped, 2);
		assert_true(plot.move.found);
		assert_int_equal(plot.move.source, 0);
		assert_int_equal(plot.move.target, 1);
		assert_ptr_equal(plot.panels[0].trace->events, events);
		assert_int_equal(plot.move.last_ns, 990 * MS);
		assert_int_equal(plot.move.first_ns, 1500 * MS);
		assert_int_equal(plot.move.zero_ns, 1000 * MS);
		assert_int_equal(plot.move.stop_ns - plot.move.suspend_ns, MS);
		assert_int_equal(plot.move.running_ns - plot.move.start_ns, 2 * MS);
		assert_int_equal(plot.move.calls, 2);
		assert_int_equal(plot.move.call_ns, 700);
		assert_true(plot.from_ns < 980 * MS && plot.to_ns > 1510 * MS);
		/* both bases are one mark; those before the standstill are none */
		assert_int_equal(plot.panels[0].mark_count, 5);
		assert_int_equal(plot.panels[0].marks[4].count, 2);
		assert_int_equal(plot.panels[1].mark_count, 6);
		assert_int_equal(plot.panels[1].mark_first, 6);
	}
}

/* One trace: the device stood still and went on by itself. */
static void finds_a_standstill(void **state)
{
	struct file_event events[] = {
		reached(1, STATE_RUNNING),   at(2, TRACE_FIRST_IN),	    at(500, TRACE_LAST_IN),
		at(501, TRACE_SUSPEND),	     reached(502, STATE_SUSPENDED), at(600, TRACE_RESUME),
		reached(601, STATE_RUNNING), at(603, TRACE_FIRST_IN),
	};
	struct trace_file trace = {.slot_ms = 10, .events = events, .event_count = 8};
	struct plot plot;

	plot_prepare(&plot, &trace, 1);
	assert_true(plot.move.found);
	assert_int_equal(plot.move.last_ns, 500 * MS);
	assert_int_equal(plot.move.first_ns, 603 * MS);
	assert_int_equal(plot.move.running_ns - plot.move.start_ns, MS);
}

/* One that has not ended: up to when the trace was taken, or to the last that it has. */
static void finds_an_open_standstill(void **state)
{
	struct file_event events[] = {
		reached(1, STATE_RUNNING),   at(2, TRACE_FIRST_IN),	    at(500, TRACE_LAST_IN),
		at(501, TRACE_SUSPEND),	     reached(502, STATE_SUSPENDED), at(600, TRACE_RESUME),
		reached(601, STATE_RUNNING), at(603, TRACE_FIRST_IN),	    at(700, TRACE_LAST_IN),
		at(710, TRACE_SUSPEND),	     reached(711, STATE_SUSPENDED),
	};
	struct trace_file trace = {.slot_ms = 10, .taken_ns = 9000 * MS, .events = events};
	char *text = NULL;
	struct plot plot;
	size_t size;
	FILE *to;

	trace.event_count = 11; /* the second one, not the first, which has ended */
	plot_prepare(&plot, &trace, 1);
	assert_true(plot.move.found && plot.move.open);
	assert_int_equal(plot.move.last_ns, 700 * MS);
	assert_int_equal(plot.move.first_ns, 9000 * MS);
	assert_int_equal(plot.move.suspend_ns, 710 * MS);
	assert_int_equal(plot.move.start_ns, 0);
	to = open_memstream(&text, &size);
	plot_draw(&plot, to);
	fclose(to);
	assert_non_null(strstr(text, "stands still<"));
	assert_non_null(strstr(text, "8300.0 ms without  so far"));
	free(text);
	trace.event_count = 5;
	trace.taken_ns = 0;
	plot_prepare(&plot, &trace, 1);
	assert_true(plot.move.open);
	assert_int_equal(plot.move.last_ns, 500 * MS);
	assert_int_equal(plot.move.first_ns, 502 * MS);
	/* its driver left: a picture of all there is */
	events[4].state = STATE_RESET;
	plot_prepare(&plot, &trace, 1);
	assert_false(plot.move.found);
	assert_int_equal(plot.from_ns, MS);
}

static void numbers_keep_apart(void **state)
{
	const double wanted[][6] = {{100, 100, 100, 100, 100, 100},
				    {0, 1, 2, 3, 4, 5},
				    {195, 196, 197, 198, 199, 200},
				    {0, 0, 100, 100, 200, 200}};

	for (unsigned c = 0; c < 4; c++) {
		struct plot_mark marks[6];

		for (unsigned i = 0; i < 6; i++)
			marks[i].x = wanted[c][i];
		plot_spread(marks, 6, 20, 0, 200);
		for (unsigned i = 0; i < 6; i++) {
			assert_true(marks[i].label_x >= -0.5 && marks[i].label_x <= 200.5);
			assert_true(!i || marks[i].label_x - marks[i - 1].label_x > 19.5);
		}
	}
}

/* What a file says in words cannot become a part of the picture's own. */
static void words_are_text(void **state)
{
	struct file_event events[16];
	struct trace_file traces[2];
	struct plot plot;
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	a_move(traces, events);
	memcpy(traces[0].name, "<script>&\"\x01\xff", 13);
	plot_prepare(&plot, traces, 2);
	plot_draw(&plot, to);
	assert_int_equal(fclose(to), 0);
	assert_null(strstr(text, "<script"));
	assert_non_null(strstr(text, "&lt;script&gt;&amp;\"??"));
	assert_non_null(strstr(text, "510.0 ms without packets"));
	assert_non_null(strstr(text, "</svg>"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_one),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(finds_the_move),
		cmocka_unit_test(finds_a_standstill),
		cmocka_unit_test(finds_an_open_standstill),
		cmocka_unit_test(numbers_keep_apart),
		cmocka_unit_test(words_are_text),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
