/*
 * A small model of weakly ordered memory, in which the real functions run.
 *
 * Theory of operation
 * -------------------
 * What is tried is compiled as for the thread sanitizer, whose run time is ours (hooks.c): each
 * load, store and fence of it comes here. The code itself is not changed.
 *
 * Memory remembers all that was stored in a byte. A load may get any of it that is not older than
 * what the thread must know by now, its *view*; what it must know follows from the orders that the
 * code asked for, as C11 has them: a release store takes the thread's view along, an acquire load
 * takes that over, fences do both for what is around them, and fences that are seq_cst are in one
 * order, each knowing all that those before it knew. So nothing is ever in order by itself, as it
 * is on no processor: what holds here holds on all of them.
 *
 * Two threads take turns; where they may (before each load, before each full fence) and what a load
 * gets are choices, and all of them are made, one execution after the other. Stores need no choice
 * of their own: that they are there obliges nobody to see them.
 *
 * A *cut* is what memory may be after one thread, alone, died somewhere: of each byte some store,
 * with all that this one brought along.
 */
#ifndef UVDPA_TEST_LITMUS_MODEL_H
#define UVDPA_TEST_LITMUS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_THREADS 2

/* Kinds of order that can be taken away from one thread, so that a rule is seen to need them. */
enum { WITHOUT_FENCE = 1, WITHOUT_RELEASE = 2, WITHOUT_ACQUIRE = 4 };

struct model_program {
	uint8_t *memory; /* what the threads share */
	size_t size;
	void *state; /* what else they change: begins anew with each execution */
	size_t state_size;
	void (*threads[MODEL_THREADS])(void); /* the second may be NULL: cuts are judged */
	bool (*holds)(void);		      /* the rule, when both have ended (or of a cut) */
	unsigned without[MODEL_THREADS];
};

struct model_result {
	unsigned long executions;
	bool holds;
};

/* All executions of a program, or those up to the first that breaks the rule. */
struct model_result model_run(const struct model_program *program);

/* For hooks.c. Orders are the compiler's, __ATOMIC_RELAXED and so on. */
bool model_has(const volatile void *at);
void model_may_switch(void); /* the other thread may go on from here */
void model_get(const volatile void *at, size_t size, int order);
void model_load(const volatile void *at, size_t size, int order); /* both */
void model_will_store(volatile void *at, size_t size); /* plain: it is made after the call */
void model_store(volatile void *at, uint64_t value, size_t size, int order);
uint64_t model_before_swap(volatile void *at, size_t size, int order);
void model_swap(volatile void *at, uint64_t value, size_t size, int order);
void model_fence(int order);
bool model_is_running(void);
void model_spins(void);	       /* the thread waits for the other one */
void model_locks(bool leaves); /* it takes or leaves a lock that is not in the memory */

#endif
