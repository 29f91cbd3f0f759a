/*
 * A ticket lock: mutual exclusion in the order of arrival.
 *
 * Theory of operation
 * -------------------
 * Who wants in draws a ticket; `serving` is the ticket that is let in.
 *
 *     next     the ticket the next comer draws         (anybody, fetch_add)
 *     serving  whose turn it is                         (only who is inside)
 *
 * next == serving: nobody is inside. A worker that leaves and enters again at
 * once therefore queues behind everybody who came during its pass, so a busy
 * worker cannot starve control, and control cannot starve the worker. A plain
 * mutex promises neither: who unlocks and locks again usually wins.
 *
 * Uncontended, entering is one atomic addition and leaving one store and one
 * load. Who has to wait spins for the length of a short pass, then sleeps in a
 * futex on `serving`. No wake-up is lost: a waiter draws before it looks at
 * `serving`, a leaver changes `serving` before it looks at `next`.
 *
 * Not recursive.
 */
#ifndef UVDPA_LOOP_TICKET_LOCK_H
#define UVDPA_LOOP_TICKET_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ticket_lock {
	_Atomic uint32_t next;
	_Atomic uint32_t serving;
};

#define GATE_INIT    \
	{            \
		0, 0 \
	}

void ticket_lock(struct ticket_lock *lock);
/* Enters if nobody is inside or waits. */
bool ticket_trylock(struct ticket_lock *lock);
/* The same; calls interrupt(arg) after every second of waiting: whoever is inside may be stuck. */
void ticket_lock_interrupting(struct ticket_lock *lock, void (*interrupt)(void *arg), void *arg);
void ticket_unlock(struct ticket_lock *lock);

#endif
