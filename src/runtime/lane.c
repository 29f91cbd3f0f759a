/*
 * Lanes: the passes of a device's workers. Which lane of a worker is run when: runtime/crew.h.
 *
 * Theory of operation
 * -------------------
 * A queue is run because its kick eventfd was written, because its model's fd
 * is readable, because it is polled and the clock ticks, or because somebody
 * asked (lane_want). All four end as a bit in `active`, which only the worker's thread touches; it
 * stays set until device_turn_queue says that the queue is idle. One pass gives every active queue
 * a bounded share, so the gate is never held for long; where one needs a pass for itself
 * (TURN_FULL), those behind it have the next. A lane that polls (runtime/poller.h) keeps queues
 * active for a while that have nothing to do.
 *
 * What a pass finds out about the device as a whole (drained, broken) needs
 * control. Taking the runtime's lock inside a pass could deadlock with a
 * controller that holds the lock and waits at our gate; so a flag is set, and
 * after the pass, with the gate open, the same thread takes the lock and
 * settles. The last completion of a suspension is thereby answered without a
 * change of thread.
 */
#include "runtime/runtime_internal.h"

#include <errno.h>
#include <unistd.h>

/* Chains per queue and pass: with a fast backend less than ten microseconds. */
#define BUDGET 32

#define TOKEN_POLL_FIRST UINT64_C(256)

uint64_t lane_token_kick(unsigned queue)
{
	return queue;
}

uint64_t lane_token_poll(unsigned queue)
{
	return TOKEN_POLL_FIRST + queue;
}

struct lane *runtime_lane(struct runtime *runtime, unsigned queue)
{
	return &runtime->lanes[queue % runtime->lane_count];
}

void lane_ready(struct lane *lane, uint64_t token)
{
	uint64_t expirations;

	if (token == LANE_TOKEN_TIMER) {
		/* EAGAIN: it was set anew meanwhile, and an early call does no harm */
		if (read(lane->runtime->timer, &expirations, sizeof(expirations)) < 0)
			return;
		atomic_store(&lane->runtime->deadline_due, true);
	} else if (token == LANE_TOKEN_TICK) {
		if (read(lane->tick, &expirations, sizeof(expirations)) < 0)
			return; /* EAGAIN: it was stopped meanwhile */
		lane->active |= atomic_load(&lane->polled);
	} else if (token >= TOKEN_POLL_FIRST) {
		lane->active |= UINT64_C(1) << (token - TOKEN_POLL_FIRST);
	} else {
		lane->kicked |= UINT64_C(1) << token;
	}
}

enum worker_next lane_pass(struct lane *lane)
{
	struct device *device = lane->runtime->device;
	struct poller_pass pass = {0};
	uint64_t todo, dry = 0, more = 0, rest = 0;
	bool polling = poller_begin(&lane->poller);

	for (todo = lane->kicked; todo; todo &= todo - 1)
		device_kick_vq(device, (unsigned)__builtin_ctzll(todo));
	lane->active |= lane->kicked;
	if (atomic_load_explicit(&lane->wanted, memory_order_relaxed))
		lane->active |= atomic_exchange(&lane->wanted, 0);
	lane->kicked = 0;
	todo = lane->rest ? lane->rest : lane->active;
	rest = lane->active & ~todo;
	for (; todo; todo &= todo - 1) {
		unsigned queue = (unsigned)__builtin_ctzll(todo);
		enum device_turn turn = device_turn_queue(device, queue, BUDGET, polling);

		more |= (uint64_t)(turn == TURN_MORE || turn == TURN_FULL) << queue;
		dry |= (uint64_t)(turn == TURN_DRY) << queue;
		pass.done |= turn == TURN_DONE;
		pass.owed |= device_queue_is_owed(device, queue);
		if (lane->record)
			recorder_look(lane->runtime, lane->record, queue);
		complaint_look(lane->runtime, queue);
		if (turn == TURN_FULL)
			break;
	}
	lane->rest = todo & (todo - 1); /* of 0 it is 0, too */
	more |= rest | lane->rest;
	lane->active = more | dry;
	pass.more = more;
	pass.dry = dry;
	return poller_end(&lane->poller, pass);
}

bool lane_wants_attention(const struct lane *lane)
{
	return atomic_load(&lane->runtime->deadline_due) ||
	       atomic_load(&lane->runtime->settle_wanted);
}

bool lane_attend(struct lane *lane, bool wait)
{
	struct runtime *runtime = lane->runtime;

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

void lane_want(struct runtime *runtime, unsigned queue)
{
	struct lane *lane = runtime_lane(runtime, queue);

	atomic_fetch_or(&lane->wanted, UINT64_C(1) << queue);
	crew_call(lane);
}

void lane_settle(struct runtime *runtime)
{
	const struct lane *whose;

	atomic_store(&runtime->settle_wanted, true);
	for (unsigned i = 0; i < runtime->lane_count; i++)
		if (crew_in_pass(&runtime->lanes[i], &whose) && whose == &runtime->lanes[i])
			return; /* it looks at the flag after this pass */
	if (runtime->lane_count)
		crew_call(&runtime->lanes[0]);
}

/* From a pass of the same worker the gate is ours already: that pass is over another queue. */
bool lane_visit_begin(struct lane *lane)
{
	const struct lane *whose;

	return crew_in_pass(lane, &whose) || worker_try_enter(lane->worker);
}

/* What was done there goes into the trace now: there may be no pass for long. */
void lane_visit_end(struct lane *lane, unsigned queue)
{
	const struct lane *whose;

	if (lane->record)
		recorder_look(lane->runtime, lane->record, queue);
	if (!crew_in_pass(lane, &whose))
		worker_leave(lane->worker);
}

void runtime_exclude_begin(struct runtime *runtime)
{
	if (runtime->excluded++)
		return;
	for (unsigned i = 0; i < runtime->lane_count; i++)
		worker_enter(runtime->lanes[i].worker);
}

void runtime_exclude_end(struct runtime *runtime)
{
	if (--runtime->excluded)
		return;
	for (unsigned i = 0; i < runtime->lane_count; i++)
		worker_leave(runtime->lanes[i].worker);
}
