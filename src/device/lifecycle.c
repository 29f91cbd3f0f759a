/* The life-cycle table: see lifecycle.h for what states and events mean. */
#include "device/lifecycle.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>

#define STAY(state)                 \
	{                           \
		STATE_##state, 0, 0 \
	}
#define REFUSE(state, why)               \
	{                                \
		STATE_##state, 0, -(why) \
	}
#define GO(state, effects)                  \
	{                                   \
		STATE_##state, (effects), 0 \
	}
#define TO_BROKEN (FX_STOP | FX_CANCEL | FX_NEEDS_RESET)
#define TO_RESET  (FX_CLEAR | FX_THAW | FX_ANSWER_WAITERS | FX_ANSWER_RESET)

/*
 * Every cell is written. What a status write may not take back (EINVAL for a lost bit) is refused
 * before the table is asked, so that NEGOTIATE in READY can only be a mistake of ours: refused.
 */
static const struct lifecycle_step table[STATE_COUNT][EV_COUNT] =
	{
		[STATE_RESET] =
			{
				[EV_NEGOTIATE] = GO(NEGOTIATING, 0),
				[EV_FEATURES_OK] = GO(READY, 0),
				[EV_DRIVER_OK] = GO(RUNNING, FX_START),
				[EV_HOLD] = GO(RESET, FX_ANSWER_WAITERS),
				[EV_RELEASE] = STAY(RESET),
				[EV_DRAINED] = STAY(RESET),
				[EV_PARK] = STAY(RESET),
				[EV_DEADLINE] = STAY(RESET),
				[EV_DRIVER_RESET] = GO(RESET, FX_CLEAR | FX_ANSWER_RESET),
				[EV_DRIVER_GONE] = GO(RESET, FX_CLEAR | FX_ANSWER_RESET),
				[EV_OPERATOR_RESET] = GO(RESET, FX_ANSWER_RESET),
				[EV_BREAK] = STAY(RESET),
			},
		[STATE_NEGOTIATING] =
			{
				[EV_NEGOTIATE] = STAY(NEGOTIATING),
				[EV_FEATURES_OK] = GO(READY, 0),
				[EV_DRIVER_OK] = GO(RUNNING, FX_START),
				[EV_HOLD] = GO(NEGOTIATING, FX_ANSWER_WAITERS),
				[EV_RELEASE] = STAY(NEGOTIATING),
				[EV_DRAINED] = STAY(NEGOTIATING),
				[EV_PARK] = STAY(NEGOTIATING),
				[EV_DEADLINE] = STAY(NEGOTIATING),
				[EV_DRIVER_RESET] = GO(RESETTING, FX_STOP),
				[EV_DRIVER_GONE] = GO(RESETTING, FX_STOP),
				[EV_OPERATOR_RESET] = GO(BROKEN, FX_NEEDS_RESET | FX_ANSWER_RESET),
				[EV_BREAK] = STAY(NEGOTIATING),
			},
		[STATE_READY] =
			{
				[EV_NEGOTIATE] = REFUSE(READY, EINVAL),
				[EV_FEATURES_OK] = STAY(READY),
				[EV_DRIVER_OK] = GO(RUNNING, FX_START),
				[EV_HOLD] = GO(READY, FX_ANSWER_WAITERS),
				[EV_RELEASE] = STAY(READY),
				[EV_DRAINED] = STAY(READY),
				[EV_PARK] = STAY(READY),
				[EV_DEADLINE] = STAY(READY),
				[EV_DRIVER_RESET] = GO(RESETTING, FX_STOP),
				[EV_DRIVER_GONE] = GO(RESETTING, FX_STOP),
				[EV_OPERATOR_RESET] = GO(BROKEN, FX_NEEDS_RESET | FX_ANSWER_RESET),
				[EV_BREAK] = STAY(READY),
			},
		[STATE_RUNNING] =
			{
				[EV_NEGOTIATE] = REFUSE(RUNNING, EINVAL),
				[EV_FEATURES_OK] = REFUSE(RUNNING, EINVAL),
				[EV_DRIVER_OK] = STAY(RUNNING),
				[EV_HOLD] = GO(SUSPENDING, FX_STOP),
				[EV_RELEASE] = STAY(RUNNING),
				[EV_DRAINED] = STAY(RUNNING),
				[EV_PARK] = STAY(RUNNING),
				[EV_DEADLINE] = STAY(RUNNING),
				[EV_DRIVER_RESET] = GO(RESETTING, FX_STOP | FX_CANCEL),
				[EV_DRIVER_GONE] = GO(RESETTING, FX_STOP | FX_CANCEL),
				[EV_OPERATOR_RESET] = GO(BROKEN, TO_BROKEN | FX_ANSWER_RESET),
				[EV_BREAK] = GO(BROKEN, TO_BROKEN),
			},
		[STATE_SUSPENDING] =
			{
				[EV_NEGOTIATE] = REFUSE(SUSPENDING, EINVAL),
				[EV_FEATURES_OK] = REFUSE(SUSPENDING, EINVAL),
				[EV_DRIVER_OK] = STAY(SUSPENDING),
				[EV_HOLD] = STAY(SUSPENDING),
				[EV_RELEASE] = GO(RUNNING, FX_FAIL_WAITERS | FX_START),
				[EV_DRAINED] = GO(SUSPENDED, FX_FREEZE | FX_ANSWER_WAITERS),
				[EV_PARK] = GO(SUSPENDING, FX_PARK),
				[EV_DEADLINE] = GO(RUNNING, FX_FAIL_WAITERS | FX_START),
				[EV_DRIVER_RESET] =
					GO(RESETTING, FX_STOP | FX_CANCEL | FX_FAIL_WAITERS),
				[EV_DRIVER_GONE] =
					GO(RESETTING, FX_STOP | FX_CANCEL | FX_FAIL_WAITERS),
				[EV_OPERATOR_RESET] =
					GO(BROKEN, TO_BROKEN | FX_FAIL_WAITERS | FX_ANSWER_RESET),
				[EV_BREAK] = GO(BROKEN, TO_BROKEN | FX_FAIL_WAITERS),
			},
		[STATE_SUSPENDED] =
			{
				[EV_NEGOTIATE] = REFUSE(SUSPENDED, EINVAL),
				[EV_FEATURES_OK] = REFUSE(SUSPENDED, EINVAL),
				/* S11: the kernel's simulator starts again here
				   (vdpasim_set_status). */
				[EV_DRIVER_OK] = STAY(SUSPENDED),
				[EV_HOLD] = GO(SUSPENDED, FX_ANSWER_WAITERS),
				[EV_RELEASE] = GO(RUNNING, FX_THAW | FX_START),
				[EV_DRAINED] = STAY(SUSPENDED),
				[EV_PARK] = STAY(SUSPENDED),
				[EV_DEADLINE] = STAY(SUSPENDED),
				[EV_DRIVER_RESET] = GO(RESETTING, FX_STOP),
				[EV_DRIVER_GONE] = GO(RESETTING, FX_STOP),
				/* NEEDS_RESET would send a config notification: S5. Resume first.
				 */
				[EV_OPERATOR_RESET] = REFUSE(SUSPENDED, EBUSY),
				[EV_BREAK] = REFUSE(SUSPENDED, EBUSY),
			},
		[STATE_RESETTING] =
			{
				[EV_NEGOTIATE] = REFUSE(RESETTING, EBUSY),
				[EV_FEATURES_OK] = REFUSE(RESETTING, EBUSY),
				[EV_DRIVER_OK] = REFUSE(RESETTING, EBUSY),
				[EV_HOLD] = STAY(RESETTING),
				[EV_RELEASE] = STAY(RESETTING),
				[EV_DRAINED] = GO(RESET, TO_RESET),
				[EV_PARK] = STAY(RESETTING),
				[EV_DEADLINE] = GO(BROKEN, FX_FAIL_WAITERS |
								   FX_NEEDS_RESET | FX_FAIL_RESET),
				[EV_DRIVER_RESET] = STAY(RESETTING),
				[EV_DRIVER_GONE] = STAY(RESETTING),
				[EV_OPERATOR_RESET] = REFUSE(RESETTING, EBUSY),
				[EV_BREAK] = STAY(RESETTING),
			},
		[STATE_BROKEN] =
			{
				[EV_NEGOTIATE] = STAY(BROKEN),
				[EV_FEATURES_OK] = STAY(BROKEN),
				[EV_DRIVER_OK] = STAY(BROKEN),
				[EV_HOLD] = REFUSE(BROKEN, EIO),
				[EV_RELEASE] = STAY(BROKEN),
				[EV_DRAINED] = STAY(BROKEN),
				[EV_PARK] = STAY(BROKEN),
				[EV_DEADLINE] = STAY(BROKEN),
				[EV_DRIVER_RESET] = GO(RESETTING, FX_STOP | FX_CANCEL),
				[EV_DRIVER_GONE] = GO(RESETTING, FX_STOP | FX_CANCEL),
				[EV_OPERATOR_RESET] = GO(BROKEN, FX_ANSWER_RESET),
				[EV_BREAK] = STAY(BROKEN),
			},
};

static const char *const state_names[] = {
	[STATE_RESET] = "RESET",	   [STATE_NEGOTIATING] = "NEGOTIATING",
	[STATE_READY] = "READY",	   [STATE_RUNNING] = "RUNNING",
	[STATE_SUSPENDING] = "SUSPENDING", [STATE_SUSPENDED] = "SUSPENDED",
	[STATE_RESETTING] = "RESETTING",   [STATE_BROKEN] = "BROKEN",
};
static_assert(sizeof(state_names) / sizeof(state_names[0]) == STATE_COUNT, "a name per state");

static const char *const event_names[] = {
	[EV_NEGOTIATE] = "NEGOTIATE",
	[EV_FEATURES_OK] = "FEATURES_OK",
	[EV_DRIVER_OK] = "DRIVER_OK",
	[EV_HOLD] = "HOLD",
	[EV_RELEASE] = "RELEASE",
	[EV_DRAINED] = "DRAINED",
	[EV_PARK] = "PARK",
	[EV_DEADLINE] = "DEADLINE",
	[EV_DRIVER_RESET] = "DRIVER_RESET",
	[EV_DRIVER_GONE] = "DRIVER_GONE",
	[EV_OPERATOR_RESET] = "OPERATOR_RESET",
	[EV_BREAK] = "BREAK",
};
static_assert(sizeof(event_names) / sizeof(event_names[0]) == EV_COUNT, "a name per event");

struct lifecycle_step lifecycle_step(enum device_state state, enum device_event event)
{
	assert(state < STATE_COUNT && event < EV_COUNT);
	return table[state][event];
}

const char *lifecycle_state_name(enum device_state state)
{
	return state < STATE_COUNT ? state_names[state] : NULL;
}

const char *lifecycle_event_name(enum device_event event)
{
	return event < EV_COUNT ? event_names[event] : NULL;
}
