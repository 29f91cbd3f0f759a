/*
 * Moments: what a device tells whoever keeps a trace of it (device_runtime_ops.note). They carry no
 * time; the runtime has it.
 */
#ifndef UVDPA_DEVICE_MOMENT_H
#define UVDPA_DEVICE_MOMENT_H

enum device_moment {
	MOMENT_SUSPEND,	    /* a party asks for suspension; value: enum device_holder */
	MOMENT_RESUME,	    /* a party lets go; value: likewise */
	MOMENT_RESET,	    /* a reset is asked for; value: enum device_event */
	MOMENT_DRIVER_OK,   /* the driver says DRIVER_OK */
	MOMENT_STATE,	    /* a state is reached, effects and all; value: enum device_state */
	MOMENT_BASE_READ,   /* the driver reads where a queue stands; value: the answer */
	MOMENT_BASE_SET,    /* the driver says where a queue stands; value: where */
	MOMENT_QUEUE_OPEN,  /* chains may be taken from a queue */
	MOMENT_FIRST_CHAIN, /* [worker] the first chain taken since the queue was opened */
	/*
	 * What no device says, but its runtime finds out by looking at device_get_vq_flow after
	 * passes: the first and the last work of a time in which the device runs.
	 */
	MOMENT_FIRST_IN,
	MOMENT_FIRST_OUT,
	MOMENT_LAST_IN,
	MOMENT_LAST_OUT,
	MOMENT_COUNT
};

#endif
