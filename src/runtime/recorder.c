/* Keeps the trace of a runtime's device. See recorder.h. */
#include "runtime/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "runtime/runtime_internal.h"

#define AWAIT_IN  1u
#define AWAIT_OUT 2u

uint64_t runtime_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Zeroes that take no memory until they are written: most devices stand idle most of the time. */
static void *make_untouched(size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return bytes == MAP_FAILED ? NULL : bytes;
}

struct context_record *context_record_new(void)
{
	return make_untouched(sizeof(struct context_record));
}

void context_record_free(struct context_record *record)
{
	if (record)
		munmap(record, sizeof(*record));
}

struct recorder *recorder_new(void)
{
	struct recorder *recorder = make_untouched(sizeof(*recorder));

	if (!recorder)
		return NULL;
	pthread_mutex_init(&recorder->lock, NULL);
	recorder->begun_ns = runtime_now_ns();
	return recorder;
}

void recorder_free(struct recorder *recorder)
{
	if (!recorder)
		return;
	pthread_mutex_destroy(&recorder->lock);
	munmap(recorder, sizeof(*recorder));
}

static void put(struct recorder *recorder, enum device_moment moment, unsigned queue,
		uint64_t value, uint64_t at_ns)
{
	const struct trace_event event = {
		.at_ns = at_ns,
		.value = value,
		.calls = atomic_load_explicit(&recorder->calls, memory_order_relaxed),
		.call_ns = atomic_load_explicit(&recorder->call_ns, memory_order_relaxed),
		.moment = moment,
		.queue = queue,
	};

	pthread_mutex_lock(&recorder->lock);
	trace_event_put(&recorder->events, &event);
	pthread_mutex_unlock(&recorder->lock);
}

/* The device has ceased to run: when was its last work done? Ticket locks closed. */
static void put_last(struct runtime *runtime)
{
	uint64_t in = 0, out = 0;

	for (unsigned i = 0; i < runtime->context_count; i++) {
		struct context_record *record = runtime->contexts[i].record;

		in = record->last_in_ns > in ? record->last_in_ns : in;
		out = record->last_out_ns > out ? record->last_out_ns : out;
		record->last_in_ns = record->last_out_ns = 0;
	}
	if (in)
		put(runtime->recorder, MOMENT_LAST_IN, 0, 0, in);
	if (out)
		put(runtime->recorder, MOMENT_LAST_OUT, 0, 0, out);
}

void recorder_note(struct runtime *runtime, enum device_moment moment, unsigned queue,
		   uint64_t value)
{
	uint64_t now = runtime_now_ns();

	if (moment == MOMENT_STATE && value == STATE_RUNNING)
		atomic_store(&runtime->recorder->awaited, AWAIT_IN | AWAIT_OUT);
	else if (moment == MOMENT_STATE && value != STATE_SUSPENDING && value != STATE_RESETTING)
		put_last(runtime);
	put(runtime->recorder, moment, queue, value, now);
}

static void see(struct recorder *recorder, unsigned direction, enum device_moment moment,
		unsigned queue, uint64_t *last_ns, uint64_t now)
{
	*last_ns = now;
	if (atomic_load_explicit(&recorder->awaited, memory_order_relaxed) & direction &&
	    atomic_fetch_and(&recorder->awaited, ~direction) & direction)
		put(recorder, moment, queue, 0, now);
}

void recorder_look(struct runtime *runtime, struct context_record *record, unsigned queue)
{
	struct device_flow flow = device_get_vq_flow(runtime->device, queue);
	struct device_flow *seen = &record->seen[queue];
	uint64_t now;

	if (flow.in == seen->in && flow.out == seen->out)
		return;
	now = runtime_now_ns();
	if (flow.in != seen->in)
		see(runtime->recorder, AWAIT_IN, MOMENT_FIRST_IN, queue, &record->last_in_ns, now);
	if (flow.out != seen->out)
		see(runtime->recorder, AWAIT_OUT, MOMENT_FIRST_OUT, queue, &record->last_out_ns,
		    now);
	trace_slot_add(&record->slots, now, flow.in - seen->in, flow.out - seen->out);
	*seen = flow;
}

void runtime_count_call(struct runtime *runtime, uint64_t begun_ns)
{
	struct recorder *recorder = runtime->recorder;

	if (!recorder)
		return;
	atomic_fetch_add_explicit(&recorder->calls, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&recorder->call_ns, runtime_now_ns() - begun_ns,
				  memory_order_relaxed);
}

/* What the worker contexts have counted, put together. Ticket locks closed. */
static void collect(struct runtime *runtime, struct runtime_trace *trace)
{
	for (unsigned i = 0; i < runtime->context_count; i++) {
		const struct trace_slots *slots = &runtime->contexts[i].record->slots;

		trace->slot_count += trace_slots_copy(slots, trace->slots + trace->slot_count);
		if (slots->count > TRACE_SLOTS)
			trace->slots_lost += slots->count - TRACE_SLOTS;
	}
}

int runtime_get_trace(struct runtime *runtime, struct runtime_trace *trace)
{
	struct recorder *recorder = runtime->recorder;

	*trace = (struct runtime_trace){0};
	if (!recorder)
		return -EOPNOTSUPP;
	trace->events = malloc(TRACE_EVENTS * sizeof(*trace->events));
	trace->slots = malloc((size_t)runtime->context_count * TRACE_SLOTS * sizeof(*trace->slots));
	if (!trace->events || !trace->slots) {
		runtime_trace_free(trace);
		return -ENOMEM;
	}
	pthread_mutex_lock(&runtime->lock);
	runtime_exclude_begin(runtime);
	collect(runtime, trace);
	runtime_exclude_end(runtime);
	pthread_mutex_unlock(&runtime->lock);
	pthread_mutex_lock(&recorder->lock);
	trace->event_count = trace_events_copy(&recorder->events, trace->events);
	trace->events_lost = recorder->events.count - trace->event_count;
	pthread_mutex_unlock(&recorder->lock);
	trace->slot_count = trace_slots_merge(trace->slots, trace->slot_count);
	trace_events_sort(trace->events, trace->event_count);
	trace->begun_ns = recorder->begun_ns;
	trace->taken_ns = runtime_now_ns();
	return 0;
}

void runtime_trace_free(struct runtime_trace *trace)
{
	free(trace->events);
	free(trace->slots);
	*trace = (struct runtime_trace){0};
}
