/*
 * Worker contexts: the passes of a device's workers. Which worker context of a worker is run when:
 * runtime/group.h.
 *
 * Theory of operation
 * -------------------
 * A queue is run because its kick eventfd was written, because its model's fd
 * is readable, because it is polled and the clock ticks, or because somebody
 * asked (context_want). All four end as a bit in `active`, which only the worker's thread touches;
 * it stays set until device_turn_queue says that the queue is idle. One pass gives every active
 * queue a bounded share, so the ticket lock is never held for long; where one needs a pass for
 * itself (TURN_FULL), those behind it have the next. A worker context that polls (runtime/poller.h)
 * keeps queues active for a while that have nothing to do.
 *
 * What a pass finds out about the device as a whole (drained, broken) needs
 * control. Taking the runtime's lock inside a pass could deadlock with a
 * controller that holds the lock and waits at our ticket lock; so a flag is set, and
 * after the pass, with the ticket lock open, the same thread takes the lock and
 * settles. The last completion of a suspension is thereby answered without a
 * change of thread.
 */
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <unistd.h>

/* Chains per queue and pass: with a fast backend less than ten microseconds. */
#define BUDGET 32

#define TOKEN_POLL_FIRST UINT64_C(256)

uint64_t context_token_kick(unsigned queue)
{
	return queue;
}

uint64_t context_token_poll(unsigned queue)
{
	return TOKEN_POLL_FIRST + queue;
}

struct worker_context *runtime_context(struct runtime *runtime, unsigned queue)
{
	return &runtime->contexts[queue % runtime->context_count];
}

void context_ready(struct worker_context *context, uint64_t token)
{
	uint64_t expirations;

	if (token == CONTEXT_TOKEN_TIMER) {
		/* EAGAIN: it was set anew meanwhile, and an early call does no harm */
		if (read(context->runtime->timer, &expirations, sizeof(expirations)) < 0)
			return;
		atomic_store(&context->runtime->deadline_due, true);
	} else if (token == CONTEXT_TOKEN_TICK) {
		if (read(context->tick, &expirations, sizeof(expirations)) < 0)
			return; /* EAGAIN: it was stopped meanwhile */
		context->active |= atomic_load(&context->polled);
	} else if (token >= TOKEN_POLL_FIRST) {
		context->active |= UINT64_C(1) << (token - TOKEN_POLL_FIRST);
	} else {
		context->kicked |= UINT64_C(1) << token;
	}
}

enum worker_next context_pass(struct worker_context *context)
{
	struct device *device = context->runtime->device;
	struct poller_pass pass = {0};
	uint64_t todo, empty = 0, more = 0, rest = 0;
	bool polling = poller_begin(&context->poller);

	for (todo = context->kicked; todo; todo &= todo - 1)
		device_kick_vq(device, (unsigned)__builtin_ctzll(todo));
	context->active |= context->kicked;
	if (atomic_load_explicit(&context->wanted, memory_order_relaxed))
		context->active |= atomic_exchange(&context->wanted, 0);
	context->kicked = 0;
	todo = context->rest ? context->rest : context->active;
	rest = context->active & ~todo;
	for (; todo; todo &= todo - 1) {
		unsigned queue = (unsigned)__builtin_ctzll(todo);
		enum device_turn turn = device_turn_queue(device, queue, BUDGET, polling);

		more |= (uint64_t)(turn == TURN_MORE || turn == TURN_FULL) << queue;
		empty |= (uint64_t)(turn == TURN_EMPTY) << queue;
		pass.done |= turn == TURN_DONE;
		pass.inflight |= device_queue_is_inflight(device, queue);
		if (context->record)
			tracer_look(context->runtime, context->record, queue);
		complaint_look(context->runtime, queue);
		if (turn == TURN_FULL)
			break;
	}
	context->rest = todo & (todo - 1); /* of 0 it is 0, too */
	more |= rest | context->rest;
	context->active = more | empty;
	pass.more = more;
	pass.empty = empty;
	return poller_end(&context->poller, pass);
}

bool context_wants_attention(const struct worker_context *context)
{
	return atomic_load(&context->runtime->deadline_due) ||
	       atomic_load(&context->runtime->settle_wanted);
}

bool context_attend(struct worker_context *context, bool wait)
{
	struct runtime *runtime = context->runtime;

	if (!wait && !runtime_try_lock(runtime))
		return false;
	if (wait)
		runtime_lock(runtime);
	if (atomic_exchange(&runtime->deadline_due, false))
		device_deadline(runtime->device, runtime_now_ms());
	while (atomic_exchange(&runtime->settle_wanted, false))
		device_settle(runtime->device);
	runtime_unlock(runtime);
	return true;
}

void context_want(struct runtime *runtime, unsigned queue)
{
	struct worker_context *context = runtime_context(runtime, queue);

	atomic_fetch_or(&context->wanted, UINT64_C(1) << queue);
	group_call(context);
}

void context_settle(struct runtime *runtime)
{
	const struct worker_context *whose;

	atomic_store(&runtime->settle_wanted, true);
	for (unsigned i = 0; i < runtime->context_count; i++)
		if (group_in_pass(&runtime->contexts[i], &whose) && whose == &runtime->contexts[i])
			return; /* it looks at the flag after this pass */
	if (runtime->context_count)
		group_call(&runtime->contexts[0]);
}

/* From a pass of the same worker the ticket lock is ours already: that pass is over another queue.
 */
bool context_borrow_begin(struct worker_context *context)
{
	const struct worker_context *whose;

	return group_in_pass(context, &whose) || worker_try_enter(context->worker);
}

/* What was done there goes into the trace now: there may be no pass for long. */
void context_borrow_end(struct worker_context *context, unsigned queue)
{
	const struct worker_context *whose;

	if (context->record)
		tracer_look(context->runtime, context->record, queue);
	if (!group_in_pass(context, &whose))
		worker_leave(context->worker);
}

void runtime_exclude_begin(struct runtime *runtime)
{
	if (runtime->excluded++)
		return;
	for (unsigned i = 0; i < runtime->context_count; i++)
		worker_enter(runtime->contexts[i].worker);
}

void runtime_exclude_end(struct runtime *runtime)
{
	if (--runtime->excluded)
		return;
	for (unsigned i = 0; i < runtime->context_count; i++)
		worker_leave(runtime->contexts[i].worker);
}
