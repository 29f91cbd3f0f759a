/*
 * How long a wait looks at the ring itself before it asks for a call and sleeps.
 *
 * Theory of operation
 * -------------------
 * Whose call has to wake it is late by that wake-up, tens of microseconds for a virtual processor,
 * and with few requests in flight the device has nothing to do meanwhile. Who looks itself goes on
 * at once but uses a processor up. How long looking takes is learnt from what it would have
 * brought:
 *
 *      completions, dry . . . . . . . . . asleep ............ completions
 *                    |<---- length ---->|
 *                    |<--------------- gap ------------------->|
 *
 *   gap within the length     it helped: the length stays
 *   gap within the maximum    a longer look would have: it doubles
 *   gap beyond the maximum    it was in vain: the fourth time in a row, or at once if the gap was
 *                             eight times as long or looking has not helped since the window
 *                             opened, it closes, and nothing is looked for
 *
 * A closed window opens with a gap of up to twice the maximum, since such a gap has a wake-up in
 * it, and begins with an eighth of the maximum. So far these are the device's rules
 * (runtime/poller.h), written once more because the towers share no code.
 *
 * The driver has a case of its own: a device on the same processor does not get on before the
 * driver sleeps. Every gap ends just after that, whatever the length, and so is short; the window
 * would open again and again. So one that has helped less often than not becomes *shy* when it
 * closes: it takes twice as many short gaps as the last time to open it, in the end a thousand,
 * which leaves a hundredth of the time to such attempts. One that has helped opens at once.
 *
 * So a queue that is idle, or whose device is slow or on this processor, costs nothing.
 *
 * One thread's. There is no clock in here: times come in, in ns.
 */
#ifndef UVDPA_DRIVER_WINDOW_H
#define UVDPA_DRIVER_WINDOW_H

#include <stdint.h>

struct drv_poll_window {
	uint64_t max;	       /* 0: never look */
	uint64_t length;       /* at most max; 0: closed */
	uint64_t hits, misses; /* since it opened: looks that helped, and that did not */
	unsigned vain;	       /* gaps beyond the maximum, one after the other */
	unsigned backoff;      /* short gaps that it takes to open, at least 1 */
	unsigned near;	       /* of these, seen since it closed */
};

void drv_poll_window_init(struct drv_poll_window *window, uint64_t max);
/* A completion came while it was looked for. */
void drv_poll_window_hit(struct drv_poll_window *window);
/* A completion was slept for: `gap` after there had been none. */
void drv_poll_window_miss(struct drv_poll_window *window, uint64_t gap);
/* None came for so long, and nobody waits for it any more. */
void drv_poll_window_gave_up(struct drv_poll_window *window, uint64_t gap);

#endif
