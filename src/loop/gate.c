/* Mutual exclusion in the order of arrival: see gate.h. */
#include "loop/gate.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "util/relax.h"

/*
 * A few passes of a fast device, some ten microseconds: where processors are virtual a sleep and a
 * wake-up cost three times that.
 */
#define SPINS 4096

/* Returns false after a second. EAGAIN (it changed) and EINTR need no care: the caller looks again.
 */
static bool sleep_while(_Atomic uint32_t *word, uint32_t value)
{
	const struct timespec second = {.tv_sec = 1};

	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &second, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

void gate_enter_nudging(struct gate *gate, void (*nudge)(void *), void *arg)
{
	uint32_t ticket = atomic_fetch_add(&gate->next, 1);
	uint32_t serving = atomic_load(&gate->serving);

	for (unsigned i = 0; serving != ticket && i < SPINS; i++) {
		relax();
		serving = atomic_load(&gate->serving);
	}
	while (serving != ticket) {
		if (!sleep_while(&gate->serving, serving) && nudge)
			nudge(arg);
		serving = atomic_load(&gate->serving);
	}
}

void gate_enter(struct gate *gate)
{
	gate_enter_nudging(gate, NULL, NULL);
}

bool gate_try_enter(struct gate *gate)
{
	uint32_t ticket = atomic_load(&gate->serving);

	/* who draws the ticket that is being served is in */
	return atomic_compare_exchange_strong(&gate->next, &ticket, ticket + 1);
}

void gate_leave(struct gate *gate)
{
	uint32_t turn = atomic_load(&gate->serving) + 1;

	assert(atomic_load(&gate->next) != turn - 1); /* somebody is inside: us */
	atomic_store(&gate->serving, turn);
	/* all, because only the owner of this turn's ticket knows that it is meant */
	if (atomic_load(&gate->next) != turn)
		syscall(SYS_futex, &gate->serving, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
