/*
 * The life of a device, as one total table.
 *
 * A state's meaning, what may be asked in it, and what to beware of:
 *
 * RESET        The device is new: no driver has written a status. Rings do not exist.
 * NEGOTIATING  The driver has written ACKNOWLEDGE or DRIVER. Features and queues are set up.
 * READY        FEATURES_OK is set: SET_FEATURES is refused with EBUSY from here on.
 * RUNNING      DRIVER_OK is set and nobody holds the device: workers take chains.
 *              The only state in which a chain is taken from a ring (S2).
 * SUSPENDING   Somebody wants the device suspended and chains are still in flight. No
 *              chain is taken; those taken are finished and published (S3). Ends in
 *              SUSPENDED, or by the deadline back in RUNNING (S10).
 * SUSPENDED    Nothing is in flight, nothing is written to guest memory, no notification is
 *              sent (S2..S6). DRIVER_OK stays set: the driver cannot see it in the status.
 *              Writing DRIVER_OK again does not end it (S11).
 * RESETTING    A reset was asked for and the backend still has requests. Nothing else is
 *              allowed until they are back.
 * BROKEN       The driver posted nonsense, or the backend would not give requests back in
 *              time. NEEDS_RESET is set; only a reset leads out.
 *
 * The events. Three of them are resets, with three different effects. That of a single queue
 * (VIRTIO_F_RING_RESET) is none of them: the device lives on, and the queue is stopped
 * (device_stop_vq) and set up anew.
 *
 * NEGOTIATE, FEATURES_OK, DRIVER_OK   SET_STATUS, by the highest bit that is set
 * HOLD            the first party asks for suspension (S14)
 * RELEASE         the last party that held the device lets go
 * DRAINED         nothing is in flight any more
 * PARK            half of that time is over, and requests may be handed over in flight (S3)
 * DEADLINE        the time given to drain is over
 * DRIVER_RESET    SET_STATUS(0): the driver's hold ends, an operator's stays
 * DRIVER_GONE     release, hang-up: as a reset, and mappings and features are forgotten
 * OPERATOR_RESET  the operator breaks the device so that its driver resets it
 * BREAK           nonsense in a ring, or client memory that went away
 */
#ifndef UVDPA_DEVICE_LIFECYCLE_H
#define UVDPA_DEVICE_LIFECYCLE_H

enum device_state {
	STATE_RESET,
	STATE_NEGOTIATING,
	STATE_READY,
	STATE_RUNNING,
	STATE_SUSPENDING,
	STATE_SUSPENDED,
	STATE_RESETTING,
	STATE_BROKEN,
	STATE_COUNT
};

enum device_event {
	EV_NEGOTIATE,
	EV_FEATURES_OK,
	EV_DRIVER_OK,
	EV_HOLD,
	EV_RELEASE,
	EV_DRAINED,
	EV_PARK,
	EV_DEADLINE,
	EV_DRIVER_RESET,
	EV_DRIVER_GONE,
	EV_OPERATOR_RESET,
	EV_BREAK,
	EV_COUNT
};

/* What has to happen when an event is taken, in this order. */
enum lifecycle_effect {
	FX_STOP = 1 << 0,	    /* take no more chains */
	FX_CANCEL = 1 << 1,	    /* ask the backend to give back what it has */
	FX_FAIL_WAITERS = 1 << 2,   /* those who wait for suspension get an error */
	FX_ANSWER_WAITERS = 1 << 3, /* ... get success */
	FX_CLEAR = 1 << 4,	    /* forget what the driver set up */
	FX_NEEDS_RESET = 1 << 5,    /* show NEEDS_RESET, once, with a config interrupt */
	FX_THAW = 1 << 6,	    /* apply and announce what was held (S5, S7) */
	FX_START = 1 << 7,	    /* take chains; look at every ready ring once (S8) */
	FX_FREEZE = 1 << 8,	    /* stand still: bases and config space as of now (S5, S6) */
	FX_ANSWER_RESET = 1 << 9,   /* the reset is done */
	FX_FAIL_RESET = 1 << 10,    /* the reset could not be done in time */
	FX_PARK = 1 << 11,	    /* as FX_CANCEL; what comes back undone stays in flight */
};

struct lifecycle_step {
	enum device_state next;
	unsigned effects;
	int refusal; /* 0, or a negative errno: then next is the same state and there are no effects
		      */
};

/* The table's cell. Total: every pair has one. */
struct lifecycle_step lifecycle_step(enum device_state state, enum device_event event);

const char *lifecycle_state_name(enum device_state state);
const char *lifecycle_event_name(enum device_event event);

#endif
