/* Keeps the trace of a runtime's device. See tracer.h. */
#include "runtime/tracer.h"

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

struct tracer *tracer_new(void)
{
	struct tracer *tracer = make_untouched(sizeof(*tracer));

	if (!tracer)
		return NULL;
	pthread_mutex_init(&tracer->lock, NULL);
	tracer->begun_ns = runtime_now_ns();
	return tracer;
}

void tracer_free(struct tracer *tracer)
{
	if (!tracer)
		return;
	pthread_mutex_destroy(&tracer->lock);
	munmap(tracer, sizeof(*tracer));
}

static void put(struct tracer *tracer, enum device_trace_event kind, unsigned queue, uint64_t value,
		uint64_t at_ns)
{
	const struct trace_event event = {
		.at_ns = at_ns,
		.value = value,
		.calls = atomic_load_explicit(&tracer->calls, memory_order_relaxed),
		.call_ns = atomic_load_explicit(&tracer->call_ns, memory_order_relaxed),
		.kind = kind,
		.queue = queue,
	};

	pthread_mutex_lock(&tracer->lock);
	trace_event_put(&tracer->events, &event);
	pthread_mutex_unlock(&tracer->lock);
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
		put(runtime->tracer, TRACE_LAST_IN, 0, 0, in);
	if (out)
		put(runtime->tracer, TRACE_LAST_OUT, 0, 0, out);
}

void tracer_emit(struct runtime *runtime, enum device_trace_event kind, unsigned queue,
		 uint64_t value)
{
	uint64_t now = runtime_now_ns();

	if (kind == TRACE_STATE && value == STATE_RUNNING)
		atomic_store(&runtime->tracer->awaited, AWAIT_IN | AWAIT_OUT);
	else if (kind == TRACE_STATE && value != STATE_SUSPENDING && value != STATE_RESETTING)
		put_last(runtime);
	put(runtime->tracer, kind, queue, value, now);
}

static void see(struct tracer *tracer, unsigned direction, enum device_trace_event kind,
		unsigned queue, uint64_t *last_ns, uint64_t now)
{
	*last_ns = now;
	if (atomic_load_explicit(&tracer->awaited, memory_order_relaxed) & direction &&
	    atomic_fetch_and(&tracer->awaited, ~direction) & direction)
		put(tracer, kind, queue, 0, now);
}

void tracer_look(struct runtime *runtime, struct context_record *record, unsigned queue)
{
	struct device_flow flow = device_get_vq_flow(runtime->device, queue);
	struct device_flow *seen = &record->seen[queue];
	uint64_t now;

	if (flow.in == seen->in && flow.out == seen->out)
		return;
	now = runtime_now_ns();
	if (flow.in != seen->in)
		see(runtime->tracer, AWAIT_IN, TRACE_FIRST_IN, queue, &record->last_in_ns, now);
	if (flow.out != seen->out)
		see(runtime->tracer, AWAIT_OUT, TRACE_FIRST_OUT, queue, &record->last_out_ns, now);
	trace_slot_add(&record->slots, now, flow.in - seen->in, flow.out - seen->out);
	*seen = flow;
}

void runtime_count_call(struct runtime *runtime, uint64_t begun_ns)
{
	struct tracer *tracer = runtime->tracer;

	if (!tracer)
		return;
	atomic_fetch_add_explicit(&tracer->calls, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&tracer->call_ns, runtime_now_ns() - begun_ns,
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
	struct tracer *tracer = runtime->tracer;

	*trace = (struct runtime_trace){0};
	if (!tracer)
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
	pthread_mutex_lock(&tracer->lock);
	trace->event_count = trace_events_copy(&tracer->events, trace->events);
	trace->events_lost = tracer->events.count - trace->event_count;
	pthread_mutex_unlock(&tracer->lock);
	trace->slot_count = trace_slots_merge(trace->slots, trace->slot_count);
	trace_events_sort(trace->events, trace->event_count);
	trace->begun_ns = tracer->begun_ns;
	trace->taken_ns = runtime_now_ns();
	return 0;
}

void runtime_trace_free(struct runtime_trace *trace)
{
	free(trace->events);
	free(trace->slots);
	*trace = (struct runtime_trace){0};
}
