/*
 * The memory of a trace: the last events of a device (device/kind.h), and how much work was done
 * in each of the last slots of time in which any was. Two rings of fixed size: what is new
 * overwrites what is old, and how much that was is known. No clocks, locks or threads in here;
 * runtime/tracer.c has them.
 */
#ifndef UVDPA_RUNTIME_TRACE_H
#define UVDPA_RUNTIME_TRACE_H

#include <stdint.h>

#include "device/trace_event.h"

#define TRACE_EVENTS  1024u	/* a life-cycle step; some fifty per migration */
#define TRACE_SLOTS   4096u	/* that were not empty: 41 s of work without a pause */
#define TRACE_SLOT_NS 10000000u /* 10 ms */

struct trace_event {
	uint64_t at_ns, value;
	uint64_t calls, call_ns; /* of the client, answered so far, and the time spent on them */
	enum device_trace_event kind;
	unsigned queue;
};

struct trace_slot {
	uint64_t number; /* of the slot: time / TRACE_SLOT_NS */
	uint32_t in, out;
};

struct trace_events {
	uint64_t count; /* that were ever put; the last TRACE_EVENTS of them are here */
	struct trace_event ring[TRACE_EVENTS];
};

struct trace_slots {
	uint64_t count; /* likewise */
	struct trace_slot ring[TRACE_SLOTS];
};

void trace_event_put(struct trace_events *events, const struct trace_event *event);
/* Work that was done at a time, which is not before that of the call before. */
void trace_slot_add(struct trace_slots *slots, uint64_t at_ns, uint64_t in, uint64_t out);

/* Copies what is there, oldest first, to at least TRACE_EVENTS or TRACE_SLOTS places. How many. */
unsigned trace_events_copy(const struct trace_events *events, struct trace_event *to);
unsigned trace_slots_copy(const struct trace_slots *slots, struct trace_slot *to);

/* Sorts by time, and adds up slots of the same number (of several workers). Returns how many left.
 */
unsigned trace_slots_merge(struct trace_slot *slots, unsigned count);
/* Sorts by time; what was put first is first if times are the same. */
void trace_events_sort(struct trace_event *events, unsigned count);

/* "suspend", "first_in", ...: words of the trace's format. */
const char *trace_event_name(enum device_trace_event kind);

#endif
