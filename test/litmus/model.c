/* The model: see model.h. */
#include "model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define CELLS	   320 /* bytes that are ever looked at */
#define STORES	   12  /* in one byte */
#define WRITES	   256
#define CHOICES	   512
#define STACK	   (64 << 10)
#define EXECUTIONS 2000000ul /* more: the program is too large to be tried */

/* For each byte, which of its stores is the oldest that may still be seen. */
struct view {
	uint8_t at[CELLS];
};

struct store {
	uint8_t value;
	uint16_t write; /* of several bytes at once */
};

struct cell {
	size_t offset;
	unsigned count;
	struct store stores[STORES];
};

struct thread {
	ucontext_t context;
	bool done;
	struct view now;
	struct view acquired; /* what relaxed loads found, for a fence that comes later */
	struct view released; /* what the last release fence shows with the stores that follow */
	volatile uint8_t *pending;
	size_t pending_size;
	uint8_t stack[STACK];
};

static const struct model_program *program;
static uint8_t *initial;
static uint16_t index_of[1 << 14]; /* 1 + cell, by offset */
static struct cell cells[CELLS];
static unsigned cell_count, write_count;
static struct view views[WRITES]; /* of each write */
static struct view full, lock;	  /* of full fences; of a lock, which is elsewhere */
static struct thread threads[MODEL_THREADS], *running;
static ucontext_t outside;
static struct {
	uint8_t pick, of;
} choices[CHOICES];
static unsigned depth, chosen;

static void join(struct view *to, const struct view *from)
{
	for (unsigned i = 0; i < CELLS; i++)
		to->at[i] = to->at[i] > from->at[i] ? to->at[i] : from->at[i];
}

/* --- Choices: a path through a tree, the next one at each run ------------------------------------
 */

static unsigned choose(unsigned of)
{
	if (of < 2)
		return 0;
	if (depth == chosen) {
		assert(chosen < CHOICES);
		choices[chosen].pick = 0;
		choices[chosen++].of = (uint8_t)of;
	}
	assert(choices[depth].of == of);
	return choices[depth++].pick;
}

static bool next_path(void)
{
	while (chosen && choices[chosen - 1].pick + 1 == choices[chosen - 1].of)
		chosen--;
	if (!chosen)
		return false;
	choices[chosen - 1].pick++;
	return true;
}

/* --- Threads ---------------------------------------------------------------------------------- */

static void commit(struct thread *thread);

static struct thread *other_thread(void)
{
	return &threads[running == threads];
}

static void switch_to(struct thread *thread)
{
	struct thread *from = running;

	running = thread;
	swapcontext(&from->context, &thread->context);
}

void model_may_switch(void)
{
	struct thread *other = other_thread();

	commit(running);
	if (program->threads[1] && !other->done && choose(2))
		switch_to(other);
}

void model_spins(void)
{
	assert(!other_thread()->done);
	switch_to(other_thread());
}

static void run_thread(void)
{
	struct thread *self = running, *other;

	program->threads[self - threads]();
	commit(self);
	self->done = true;
	other = other_thread();
	if (program->threads[1] && !other->done) {
		running = other;
		setcontext(&other->context);
	}
	running = NULL;
	setcontext(&outside);
}

static void make_thread(struct thread *thread)
{
	thread->done = false;
	thread->pending_size = 0;
	memset(&thread->now, 0, sizeof(thread->now));
	memset(&thread->acquired, 0, sizeof(thread->acquired));
	memset(&thread->released, 0, sizeof(thread->released));
	getcontext(&thread->context);
	thread->context.uc_stack.ss_sp = thread->stack;
	thread->context.uc_stack.ss_size = STACK;
	thread->context.uc_link = NULL;
	makecontext(&thread->context, run_thread, 0);
}

/* --- Memory ----------------------------------------------------------------------------------- */

bool model_has(const volatile void *at)
{
	const volatile uint8_t *byte = at;

	return running && byte >= program->memory && byte < program->memory + program->size;
}

static unsigned cell_at(const volatile void *at)
{
	size_t offset = (size_t)((const volatile uint8_t *)at - program->memory);
	struct cell *cell;

	assert(offset < sizeof(index_of) / sizeof(index_of[0]));
	if (index_of[offset])
		return index_of[offset] - 1u;
	assert(cell_count < CELLS);
	cell = &cells[cell_count];
	*cell = (struct cell){.offset = offset, .count = 1};
	cell->stores[0] = (struct store){.value = initial[offset], .write = 0};
	index_of[offset] = (uint16_t)++cell_count;
	return cell_count - 1;
}

static bool weak(unsigned kind)
{
	return program->without[running - threads] & kind;
}

static bool acquires(int order)
{
	return (order == __ATOMIC_ACQUIRE || order >= __ATOMIC_ACQ_REL) && !weak(WITHOUT_ACQUIRE);
}

static bool releases(int order)
{
	return order >= __ATOMIC_RELEASE && !weak(WITHOUT_RELEASE);
}

/* The bytes of one store, with what whoever acquires them is to know. */
static void put(volatile uint8_t *at, const uint8_t *bytes, size_t size, const struct view *also,
		int order)
{
	struct thread *thread = running;
	struct view *view;

	assert(write_count < WRITES);
	view = &views[write_count];
	for (size_t i = 0; i < size; i++) {
		unsigned c = cell_at(at + i);
		struct cell *cell = &cells[c];

		assert(cell->count < STORES);
		cell->stores[cell->count] =
			(struct store){.value = bytes[i], .write = (uint16_t)write_count};
		thread->now.at[c] = (uint8_t)cell->count++;
	}
	*view = releases(order) ? thread->now : thread->released;
	if (also)
		join(view, also);
	write_count++;
}

/* A plain store is told before it is made. It counts when its thread comes by the next time. */
static void commit(struct thread *thread)
{
	size_t size = thread->pending_size;
	uint8_t bytes[64];

	if (!size)
		return;
	thread->pending_size = 0;
	for (size_t i = 0; i < size; i++)
		bytes[i] = thread->pending[i];
	put(thread->pending, bytes, size, NULL, __ATOMIC_RELAXED);
}

void model_will_store(volatile void *at, size_t size)
{
	commit(running);
	assert(size <= 64);
	running->pending = at;
	running->pending_size = size;
}

void model_store(volatile void *at, uint64_t value, size_t size, int order)
{
	commit(running);
	put(at, (const uint8_t *)&value, size, NULL, order);
}

static void see(unsigned c, unsigned which, int order)
{
	struct thread *thread = running;
	const struct view *view = &views[cells[c].stores[which].write];

	thread->now.at[c] = (uint8_t)which;
	join(acquires(order) ? &thread->now : &thread->acquired, view);
}

bool model_is_running(void)
{
	return running;
}

void model_locks(bool leaves)
{
	commit(running);
	if (leaves && !weak(WITHOUT_RELEASE))
		lock = running->now;
	else if (!leaves && !weak(WITHOUT_ACQUIRE))
		join(&running->now, &lock);
}

static bool has_write(unsigned c, uint16_t write)
{
	for (unsigned i = 0; i < cells[c].count; i++)
		if (cells[c].stores[i].write == write)
			return true;
	return false;
}

/* Two bytes, of which one is from a store that was of both, and the other is older. */
static bool tears(unsigned a, unsigned of_a, unsigned b, unsigned of_b)
{
	uint16_t first = cells[a].stores[of_a].write, second = cells[b].stores[of_b].write;

	return first < second ? has_write(a, second) : second < first && has_write(b, first);
}

/* Chooses a store of byte `i` of what is loaded together: what was stored together is seen whole.
 */
static unsigned choose_store(const unsigned *c, const unsigned *which, size_t i)
{
	unsigned found[STORES], n = 0;

	for (unsigned s = cells[c[i]].count; s-- > running->now.at[c[i]];) {
		bool torn = false;

		for (size_t k = 0; k < i && !torn; k++)
			torn = tears(c[k], which[k], c[i], s);
		if (!torn)
			found[n++] = s;
	}
	assert(n);
	return found[choose(n)];
}

/* Has the memory itself hold what the load, which follows, is to get. */
void model_get(const volatile void *at, size_t size, int order)
{
	volatile uint8_t *bytes = (volatile uint8_t *)at;
	unsigned c[64], which[64];

	commit(running);
	assert(size <= 64);
	for (size_t i = 0; i < size; i++) {
		c[i] = cell_at(bytes + i);
		which[i] = choose_store(c, which, i);
		bytes[i] = cells[c[i]].stores[which[i]].value;
	}
	for (size_t i = 0; i < size; i++)
		see(c[i], which[i], order);
}

void model_load(const volatile void *at, size_t size, int order)
{
	model_may_switch();
	model_get(at, size, order);
}

/* A read and a store with nothing in between: of what was stored last. */
uint64_t model_before_swap(volatile void *at, size_t size, int order)
{
	volatile uint8_t *bytes = at;
	uint64_t value = 0;

	model_may_switch();
	for (size_t i = 0; i < size; i++) {
		unsigned c = cell_at(bytes + i);

		value |= (uint64_t)cells[c].stores[cells[c].count - 1].value << 8 * i;
		see(c, cells[c].count - 1, order);
	}
	return value;
}

void model_swap(volatile void *at, uint64_t value, size_t size, int order)
{
	unsigned c = cell_at(at);
	struct view before = views[cells[c].stores[cells[c].count - 1].write];

	put(at, (const uint8_t *)&value, size, &before, order);
}

void model_fence(int order)
{
	struct thread *thread = running;

	commit(thread);
	if (order == __ATOMIC_SEQ_CST && weak(WITHOUT_FENCE))
		return;
	if (order == __ATOMIC_SEQ_CST)
		model_may_switch();
	if (order == __ATOMIC_SEQ_CST || acquires(order))
		join(&thread->now, &thread->acquired);
	if (order == __ATOMIC_SEQ_CST) {
		join(&thread->now, &full);
		full = thread->now;
	}
	if (order == __ATOMIC_SEQ_CST || releases(order))
		thread->released = thread->now;
}

/* --- Executions ------------------------------------------------------------------------------- */

static void execute(const uint8_t *state)
{
	memcpy(program->memory, initial, program->size);
	memcpy(program->state, state, program->state_size);
	for (unsigned i = 0; i < cell_count; i++)
		index_of[cells[i].offset] = 0;
	cell_count = depth = 0;
	write_count = 1; /* 0: what was there before */
	memset(&full, 0, sizeof(full));
	memset(&lock, 0, sizeof(lock));
	for (unsigned i = 0; i < MODEL_THREADS && program->threads[i]; i++)
		make_thread(&threads[i]);
	running = &threads[program->threads[1] ? choose(2) : 0];
	swapcontext(&outside, &running->context);
	for (unsigned i = 0; i < cell_count; i++)
		program->memory[cells[i].offset] = cells[i].stores[cells[i].count - 1].value;
}

/* Whether a cell's store goes with what was taken of the cells before it. */
static bool goes_with(const unsigned *taken, unsigned c, unsigned which)
{
	const struct view *view = &views[cells[c].stores[which].write], *earlier;

	for (unsigned i = 0; i < c; i++) {
		earlier = &views[cells[i].stores[taken[i]].write];
		if (view->at[i] > taken[i] || earlier->at[c] > which ||
		    tears(i, taken[i], c, which))
			return false;
	}
	return true;
}

static bool judge_cuts(unsigned *taken, unsigned c, const uint8_t *state, unsigned long *count)
{
	if (c == cell_count) {
		++*count;
		memcpy(program->memory, initial, program->size);
		for (unsigned i = 0; i < cell_count; i++)
			program->memory[cells[i].offset] = cells[i].stores[taken[i]].value;
		memcpy(program->state, state, program->state_size);
		return program->holds();
	}
	for (unsigned which = 0; which < cells[c].count; which++) {
		taken[c] = which;
		if (goes_with(taken, c, which) && !judge_cuts(taken, c + 1, state, count))
			return false;
	}
	return true;
}

static bool judge(const uint8_t *state, unsigned long *count)
{
	unsigned taken[CELLS];

	if (!program->threads[1])
		return judge_cuts(taken, 0, state, count);
	++*count;
	return program->holds();
}

struct model_result model_run(const struct model_program *run)
{
	struct model_result result = {.holds = true};
	uint8_t *state = malloc(run->state_size);

	program = run;
	initial = malloc(run->size);
	assert(initial && state);
	memcpy(initial, run->memory, run->size);
	memcpy(state, run->state, run->state_size);
	chosen = 0;
	do {
		execute(state);
		result.holds = judge(state, &result.executions);
		assert(result.executions < EXECUTIONS);
	} while (result.holds && next_path());
	memcpy(run->memory, initial, run->size);
	memcpy(run->state, state, run->state_size);
	free(initial);
	free(state);
	return result;
}
