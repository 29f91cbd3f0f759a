/* Mutual exclusion in the order of arrival: see lock.h. */
#include "loop/ticket_lock.h"

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
 * A few passes of a fast device: where processors are virtual a sleep and a wake-up cost three
 * times that. In time and not in looks, since what relax() takes differs tenfold between
 * processors, and whoever is waited for may be waiting for ours.
 */
#define SPIN_NS 5000
#define LOOKS	16 /* for each at the clock */

/* Returns false after a second. EAGAIN (it changed) and EINTR need no care: the caller looks again.
 */
static bool sleep_while(_Atomic uint32_t *word, uint32_t value)
{
	const struct timespec second = {.tv_sec = 1};

	return syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &second, NULL, 0) == 0 ||
	       errno != ETIMEDOUT;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Looks whether it is a ticket's turn, for a while. Returns whose turn it is. */
static uint32_t spin(struct ticket_lock *lock, uint32_t ticket)
{
	uint32_t serving = atomic_load(&lock->serving);
	uint64_t begin;

	if (serving == ticket)
		return serving;
	begin = now_ns();
	do {
		for (unsigned i = 0; serving != ticket && i < LOOKS; i++) {
			relax();
			serving = atomic_load(&lock->serving);
		}
	} while (serving != ticket && now_ns() - begin < SPIN_NS);
	return serving;
}

void ticket_lock_interrupting(struct ticket_lock *lock, void (*interrupt)(void *), void *arg)
{
	uint32_t ticket = atomic_fetch_add(&lock->next, 1);
	uint32_t serving = spin(lock, ticket);

	while (serving != ticket) {
		if (!sleep_while(&lock->serving, serving) && interrupt)
			interrupt(arg);
		serving = atomic_load(&lock->serving);
	}
}

void ticket_lock(struct ticket_lock *lock)
{
	ticket_lock_interrupting(lock, NULL, NULL);
}

bool ticket_trylock(struct ticket_lock *lock)
{
	uint32_t ticket = atomic_load(&lock->serving);

	/* who draws the ticket that is being served is in */
	return atomic_compare_exchange_strong(&lock->next, &ticket, ticket + 1);
}

void ticket_unlock(struct ticket_lock *lock)
{
	uint32_t turn = atomic_load(&lock->serving) + 1;

	assert(atomic_load(&lock->next) != turn - 1); /* somebody is inside: us */
	atomic_store(&lock->serving, turn);
	/* all, because only the owner of this turn's ticket knows that it is meant */
	if (atomic_load(&lock->next) != turn)
		syscall(SYS_futex, &lock->serving, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}
