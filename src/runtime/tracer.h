/*
 * For files of runtime/ only: keeps the trace of a runtime's device.
 *
 * Theory of operation
 * -------------------
 * Trace events are rare: they are put under a lock of their own, which nests in
 * everything and in which nothing is done but the copying.
 *
 * Work is counted by looking, after a worker's pass over a queue, at what went
 * through the queue since the pass before (device_get_vq_flow). What a worker context sees
 * it writes into its own slots, without a lock; a reader closes the ticket locks first.
 * So a pass in which nothing moved costs a comparison, one in which something
 * did a look at the clock, however many packets it had, and a device without a
 * trace one comparison with NULL. The time of a packet is thereby that of the
 * end of its pass (some ten microseconds).
 *
 * The first packet in each direction after the device began to run is a trace event,
 * when it is seen. The last one before it ceased to is known only then: it is put
 * with the time that it had, and sorted into its place by the reader.
 */
#ifndef UVDPA_RUNTIME_TRACER_H
#define UVDPA_RUNTIME_TRACER_H

#include <pthread.h>
#include <stdatomic.h>

#include "device/device.h"
#include "device/limits.h"
#include "runtime/trace.h"

struct tracer {
	uint64_t begun_ns;
	pthread_mutex_t lock;
	_Atomic unsigned awaited; /* bit 0: no packet in yet since it runs; bit 1: none out */
	_Atomic uint64_t calls, call_ns; /* of the client */
	struct trace_events events;	 /* [lock]; large, and at first not touched */
};

/* What a worker context has seen. In passes the worker's, with its ticket lock closed control's. */
struct context_record {
	struct device_flow seen[DEVICE_MAX_QUEUES];
	uint64_t last_in_ns, last_out_ns; /* 0: nothing since the device runs */
	struct trace_slots slots;
};

struct runtime;

/* NULL: no memory. */
struct tracer *tracer_new(void);
void tracer_free(struct tracer *tracer);
struct context_record *context_record_new(void);
void context_record_free(struct context_record *record);

/* A trace event of the device. Any thread; TRACE_STATE only with all ticket locks closed. */
void tracer_emit(struct runtime *runtime, enum device_trace_event kind, unsigned queue,
		 uint64_t value);
/* In a pass, after the queue was run: counts what went through it. */
void tracer_look(struct runtime *runtime, struct context_record *record, unsigned queue);

#endif
