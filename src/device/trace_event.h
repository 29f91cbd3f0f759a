/*
 * Trace events: what a device tells whoever keeps a trace of it (device_runtime_ops.note). They
 * carry no time; the runtime has it.
 */
#ifndef UVDPA_DEVICE_TRACE_EVENT_H
#define UVDPA_DEVICE_TRACE_EVENT_H

enum device_trace_event {
	TRACE_SUSPEND,	   /* a party asks for suspension; value: enum device_holder */
	TRACE_RESUME,	   /* a party lets go; value: likewise */
	TRACE_RESET,	   /* a reset is asked for; value: enum device_event */
	TRACE_DRIVER_OK,   /* the driver says DRIVER_OK */
	TRACE_STATE,	   /* a state is reached, effects and all; value: enum device_state */
	TRACE_BASE_READ,   /* the driver reads where a queue stands; value: the answer */
	TRACE_BASE_SET,	   /* the driver says where a queue stands; value: where */
	TRACE_QUEUE_OPEN,  /* chains may be taken from a queue */
	TRACE_FIRST_CHAIN, /* [worker] the first chain taken since the queue was opened */
	/*
	 * What no device says, but its runtime finds out by looking at device_get_vq_flow after
	 * passes: the first and the last work of a time in which the device runs.
	 */
	TRACE_FIRST_IN,
	TRACE_FIRST_OUT,
	TRACE_LAST_IN,
	TRACE_LAST_OUT,
	TRACE_COUNT
};

#endif
