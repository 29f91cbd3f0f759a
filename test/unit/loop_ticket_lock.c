/* loop/tlock.c: exclusion, and the order of arrival. */
#include "loop/ticket_lock.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define THREADS 4
#define ROUNDS	20000

static struct ticket_lock tlock = GATE_INIT;
static unsigned long shared_count; /* not atomic: the ticket lock guards it */
static unsigned inside, broken;

/* `arg`: enters by trying. */
static void *count_up(void *arg)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		while (arg && !ticket_trylock(&tlock))
			sched_yield();
		if (!arg)
			ticket_lock(&tlock);
		if (inside++)
			broken++;
		shared_count++;
		inside--;
		ticket_unlock(&tlock);
	}
	return NULL;
}

static void excludes(void **state)
{
	pthread_t threads[THREADS];

	shared_count = 0;
	for (unsigned i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, count_up, i ? NULL : &tlock);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(broken, 0);
	assert_int_equal(shared_count, THREADS * ROUNDS);
}

static unsigned order[3], arrived;

static void *arrive(void *arg)
{
	ticket_lock(&tlock);
	order[arrived++] = (unsigned)(uintptr_t)arg;
	ticket_unlock(&tlock);
	return NULL;
}

/* Waits until `count` tickets beyond the one inside are drawn. */
static void wait_for_queue(unsigned count)
{
	while (atomic_load(&tlock.next) - atomic_load(&tlock.serving) != count + 1)
		sched_yield();
}

/* Whoever leaves and comes back stands behind those who came meanwhile. */
static void first_come_first_served(void **state)
{
	pthread_t threads[2];

	arrived = 0;
	ticket_lock(&tlock);
	for (unsigned i = 0; i < 2; i++) {
		pthread_create(&threads[i], NULL, arrive, (void *)(uintptr_t)(i + 1));
		wait_for_queue(i + 1);
	}
	ticket_unlock(&tlock);
	arrive((void *)(uintptr_t)3);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(order[i], i + 1);
}

/* Who tries gets in only where nobody is inside or waits. */
static void tries(void **state)
{
	pthread_t thread;

	assert_true(ticket_trylock(&tlock));
	assert_false(ticket_trylock(&tlock));
	pthread_create(&thread, NULL, arrive, NULL);
	wait_for_queue(1);
	assert_false(ticket_trylock(&tlock));
	arrived = 0;
	ticket_unlock(&tlock);
	pthread_join(thread, NULL);
	assert_true(ticket_trylock(&tlock));
	ticket_unlock(&tlock);
}

/* Tickets are 32 bits wide and wrap. */
static void wraps(void **state)
{
	atomic_store(&tlock.next, UINT32_MAX);
	atomic_store(&tlock.serving, UINT32_MAX);
	for (unsigned i = 0; i < 3; i++) {
		ticket_lock(&tlock);
		ticket_unlock(&tlock);
	}
	assert_int_equal(atomic_load(&tlock.serving), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(excludes),
		cmocka_unit_test(first_come_first_served),
		cmocka_unit_test(tries),
		cmocka_unit_test(wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
