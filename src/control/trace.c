/* What `trace` tells of a device: the events and counts of runtime/trace.h in the words of
 * uvdpa-trace(5). */
#include <errno.h>
#include <linux/virtio_ids.h>

#include "device/device.h"
#include "control/control_internal.h"
#include "runtime/runtime.h"
#include "model/model.h"

static const char *party(uint64_t holder)
{
	return holder == HOLDER_DRIVER	   ? "driver"
	       : holder == HOLDER_OPERATOR ? "operator"
					   : "upgrade";
}

/* What an event has besides its time and name. */
static void add_details(json_t *to, const struct trace_event *event)
{
	switch (event->kind) {
	case TRACE_SUSPEND:
	case TRACE_RESUME:
		json_object_set_new(to, "by", json_string(party(event->value)));
		break;
	case TRACE_RESET:
		json_object_set_new(to, "cause",
				    json_string(lifecycle_event_name((int)event->value)));
		break;
	case TRACE_STATE:
		json_object_set_new(to, "state",
				    json_string(lifecycle_state_name((int)event->value)));
		break;
	case TRACE_BASE_READ:
	case TRACE_BASE_SET:
		json_object_set_new(to, "base", json_integer((json_int_t)event->value));
		/* fall through */
	case TRACE_QUEUE_OPEN:
	case TRACE_FIRST_CHAIN:
	case TRACE_FIRST_IN:
	case TRACE_FIRST_OUT:
		json_object_set_new(to, "queue", json_integer((json_int_t)event->queue));
		break;
	default:
		break;
	}
}

static json_t *events_of(const struct runtime_trace *trace)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < trace->event_count; i++) {
		const struct trace_event *event = &trace->events[i];
		json_t *one = json_pack("{s:I, s:s}", "at_ns", (json_int_t)event->at_ns, "event",
					trace_event_name(event->kind));

		add_details(one, event);
		json_object_set_new(one, "calls", json_integer((json_int_t)event->calls));
		json_object_set_new(one, "call_ns", json_integer((json_int_t)event->call_ns));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *slots_of(const struct runtime_trace *trace)
{
	const json_int_t slot_ms = TRACE_SLOT_NS / 1000000;
	json_t *list = json_array();

	for (unsigned i = 0; i < trace->slot_count; i++) {
		const struct trace_slot *slot = &trace->slots[i];

		json_array_append_new(list,
				      json_pack("[I, I, I]", (json_int_t)slot->number * slot_ms,
						(json_int_t)slot->in, (json_int_t)slot->out));
	}
	return list;
}

json_t *control_trace(struct runtime *runtime, struct error *f)
{
	struct device *device = runtime_lock(runtime);
	const char *type = device_model(device)->ops->name;
	bool packets = device_get_device_id(device) == VIRTIO_ID_NET;
	struct runtime_trace trace;
	json_t *result;
	int r;

	runtime_unlock(runtime);
	r = runtime_get_trace(runtime, &trace);
	if (r == -EOPNOTSUPP)
		error_set(f, r, "device '%s' keeps no trace: it is served with trace=off",
			  device_name(runtime_device(runtime)));
	else if (r)
		error_set(f, r, "out of memory");
	if (r)
		return NULL;
	result = json_pack(
		"{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:i, s:I, s:I, s:o, s:o}", "format",
		"uvdpa-trace", "version", 1, "name", device_name(runtime_device(runtime)), "type",
		type, "unit", packets ? "packets" : "requests", "in", packets ? "received" : "read",
		"out", packets ? "sent" : "written", "begun_ns", (json_int_t)trace.begun_ns,
		"taken_ns", (json_int_t)trace.taken_ns, "slot_ms", (int)(TRACE_SLOT_NS / 1000000),
		"events_lost", (json_int_t)trace.events_lost, "slots_lost",
		(json_int_t)trace.slots_lost, "events", events_of(&trace), "slots",
		slots_of(&trace));
	runtime_trace_free(&trace);
	if (!result)
		error_set(f, -ENOMEM, "out of memory");
	return result;
}
