/* Rings of events and of counts per slot of time. See trace.h. */
#include "runtime/trace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void trace_event_put(struct trace_events *events, const struct trace_event *event)
{
	events->ring[events->count++ % TRACE_EVENTS] = *event;
}

/* A count does not wrap: what no 32 bits hold is as much as they do. */
static void add(uint32_t *to, uint64_t n)
{
	*to = n > UINT32_MAX - *to ? UINT32_MAX : *to + (uint32_t)n;
}

void trace_slot_add(struct trace_slots *slots, uint64_t at_ns, uint64_t in, uint64_t out)
{
	uint64_t number = at_ns / TRACE_SLOT_NS;
	struct trace_slot *slot = &slots->ring[(slots->count - 1) % TRACE_SLOTS];

	if (!slots->count || slot->number != number) {
		slot = &slots->ring[slots->count++ % TRACE_SLOTS];
		*slot = (struct trace_slot){.number = number};
	}
	add(&slot->in, in);
	add(&slot->out, out);
}

/* Two pieces: from the oldest to the end of the ring, and from its beginning to the newest. */
static unsigned copy(const void *ring, uint64_t count, unsigned places, size_t size, void *to)
{
	unsigned oldest = count > places ? (unsigned)(count % places) : 0;
	unsigned used = count > places ? places : (unsigned)count;

	memcpy(to, (const char *)ring + oldest * size, (used - oldest) * size);
	memcpy((char *)to + (used - oldest) * size, ring, oldest * size);
	return used;
}

unsigned trace_events_copy(const struct trace_events *events, struct trace_event *to)
{
	return copy(events->ring, events->count, TRACE_EVENTS, sizeof(*to), to);
}

unsigned trace_slots_copy(const struct trace_slots *slots, struct trace_slot *to)
{
	return copy(slots->ring, slots->count, TRACE_SLOTS, sizeof(*to), to);
}

static int by_number(const void *a, const void *b)
{
	const struct trace_slot *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

unsigned trace_slots_merge(struct trace_slot *slots, unsigned count)
{
	unsigned used = 0;

	qsort(slots, count, sizeof(*slots), by_number);
	for (unsigned i = 0; i < count; i++) {
		if (used && slots[used - 1].number == slots[i].number) {
			add(&slots[used - 1].in, slots[i].in);
			add(&slots[used - 1].out, slots[i].out);
		} else {
			slots[used++] = slots[i];
		}
	}
	return used;
}

/* Nearly sorted as they come: by insertion. */
void trace_events_sort(struct trace_event *events, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		struct trace_event event = events[i];
		unsigned at = i;

		for (; at && events[at - 1].at_ns > event.at_ns; at--)
			events[at] = events[at - 1];
		events[at] = event;
	}
}

const char *trace_event_name(enum device_trace_event kind)
{
	static const char *const names[] = {
		[TRACE_SUSPEND] = "suspend",	   [TRACE_RESUME] = "resume",
		[TRACE_RESET] = "reset",	   [TRACE_DRIVER_OK] = "driver_ok",
		[TRACE_STATE] = "state",	   [TRACE_BASE_READ] = "base_read",
		[TRACE_BASE_SET] = "base_set",	   [TRACE_FIRST_CHAIN] = "first_chain",
		[TRACE_QUEUE_OPEN] = "queue_open", [TRACE_FIRST_IN] = "first_in",
		[TRACE_FIRST_OUT] = "first_out",   [TRACE_LAST_IN] = "last_in",
		[TRACE_LAST_OUT] = "last_out",
	};
	static_assert(sizeof(names) / sizeof(names[0]) == TRACE_COUNT, "every moment has a name");

	return names[kind];
}
