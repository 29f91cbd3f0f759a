/* Lanes that share a worker thread: see crew.h. */
#include "runtime/crew.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime_internal.h"

/* --- The circle; [gate] ------------------------------------------------------------------------
 */

static void set_busy(struct crew *crew, struct lane *lane, bool busy)
{
	if (lane->place.busy == busy)
		return;
	lane->place.busy = busy;
	crew->busy += busy ? 1 : -1u;
}

/* It is run after all that are there, and is not to be waited for. */
static void enter_circle(struct crew *crew, struct lane *lane)
{
	struct lane *turn = crew->turn;

	set_busy(crew, lane, true);
	if (lane->place.next)
		return;
	if (!turn) {
		lane->place.next = lane->place.previous = crew->turn = lane;
		return;
	}
	lane->place.next = turn;
	lane->place.previous = turn->place.previous;
	turn->place.previous->place.next = lane;
	turn->place.previous = lane;
}

static void leave_circle(struct crew *crew, struct lane *lane)
{
	struct lane *next = lane->place.next;

	if (!next)
		return;
	set_busy(crew, lane, false);
	lane->place.previous->place.next = next;
	next->place.previous = lane->place.previous;
	if (crew->turn == lane)
		crew->turn = next == lane ? NULL : next;
	lane->place.next = lane->place.previous = NULL;
}

/* Everybody who was called enters the circle. */
static void muster(struct crew *crew)
{
	struct lane *lane = atomic_exchange(&crew->called, NULL);

	while (lane) {
		struct lane *below = lane->place.below;

		/* read-modify-write: what its last caller did before is seen by the lane's pass */
		atomic_exchange(&lane->place.is_called, false);
		enter_circle(crew, lane);
		lane = below;
	}
}

/* --- The worker --------------------------------------------------------------------------------
 */

static void crew_ready(void *arg, uint64_t token)
{
	struct crew *crew = arg;
	uint64_t number = token / CREW_TOKENS;
	struct lane *lane = number < crew->places ? crew->lanes[number] : NULL;

	if (!lane) /* it has left */
		return;
	lane_ready(lane, token % CREW_TOKENS);
	enter_circle(crew, lane);
}

static enum worker_next crew_pass(void *arg)
{
	struct crew *crew = arg;
	enum worker_next next;
	struct lane *lane;

	if (atomic_load_explicit(&crew->called, memory_order_relaxed))
		muster(crew);
	lane = crew->turn;
	if (!lane)
		return WORKER_SLEEP;
	crew->running = lane;
	next = lane_pass(lane);
	crew->running = NULL;
	crew->turn = lane->place.next;
	if (next == WORKER_SLEEP)
		leave_circle(crew, lane);
	else
		set_busy(crew, lane, next == WORKER_AGAIN);
	crew->alone = !crew->turn || crew->turn == lane;
	if (lane_wants_attention(lane))
		atomic_store(&crew->to_attend, lane);
	if (!crew->turn)
		return WORKER_SLEEP;
	return crew->busy ? WORKER_AGAIN : WORKER_POLL;
}

static void crew_after(void *arg)
{
	struct crew *crew = arg;
	struct lane *lane;

	/* a load first: this is run after every pass */
	if (!atomic_load_explicit(&crew->to_attend, memory_order_relaxed))
		return;
	pthread_mutex_lock(&crew->attending);
	lane = atomic_exchange(&crew->to_attend, NULL);
	if (lane && !lane_attend(lane, crew->alone))
		crew_call(lane);
	pthread_mutex_unlock(&crew->attending);
}

static const struct worker_ops crew_ops = {
	.ready = crew_ready,
	.pass = crew_pass,
	.after = crew_after,
};

int crew_new(const char *name, struct crew **out, struct fault *fault_out)
{
	struct crew *crew = calloc(1, sizeof(*crew));
	int ret;

	if (!crew)
		return fault(fault_out, -ENOMEM, "no memory for a worker");
	pthread_mutex_init(&crew->attending, NULL);
	ret = worker_new(name, &crew_ops, crew, &crew->worker, fault_out);
	if (ret) {
		pthread_mutex_destroy(&crew->attending);
		free(crew);
		return ret;
	}
	*out = crew;
	return 0;
}

void crew_free(struct crew *crew)
{
	worker_free(crew->worker);
	pthread_mutex_destroy(&crew->attending);
	free(crew->lanes);
	free(crew);
}

/* --- Members -----------------------------------------------------------------------------------
 */

/* A number that is free, perhaps in a longer table; the worker meanwhile uses the old one. */
static int find_place(struct crew *crew, unsigned *number)
{
	unsigned places = crew->places ? crew->places * 2 : 1;
	struct lane **old = crew->lanes, **longer;

	for (*number = 0; *number < crew->places; ++*number)
		if (!crew->lanes[*number])
			return 0;
	longer = calloc(places, sizeof(struct lane *));
	if (!longer)
		return -ENOMEM;
	if (old)
		memcpy(longer, old, crew->places * sizeof(struct lane *));
	worker_enter(crew->worker);
	crew->lanes = longer;
	crew->places = places;
	worker_leave(crew->worker);
	free(old);
	return 0;
}

int crew_join(struct crew *crew, struct lane *lane)
{
	unsigned number;
	int ret;

	pthread_mutex_lock(&crew->attending);
	ret = find_place(crew, &number);
	if (!ret) {
		lane->place = (struct crew_place){.crew = crew, .number = number};
		worker_enter(crew->worker);
		crew->lanes[number] = lane;
		worker_leave(crew->worker);
	}
	pthread_mutex_unlock(&crew->attending);
	return ret;
}

void crew_leave(struct lane *lane)
{
	struct crew *crew = lane->place.crew;

	pthread_mutex_lock(&crew->attending);
	worker_enter(crew->worker);
	/* left set, so that who still calls it does nothing; somebody may be about to push it */
	while (atomic_exchange(&lane->place.is_called, true))
		muster(crew);
	leave_circle(crew, lane);
	crew->lanes[lane->place.number] = NULL;
	if (atomic_load(&crew->to_attend) == lane)
		atomic_store(&crew->to_attend, NULL);
	worker_leave(crew->worker);
	pthread_mutex_unlock(&crew->attending);
}

void crew_call(struct lane *lane)
{
	struct crew *crew = lane->place.crew;
	struct lane *top;

	if (!atomic_exchange(&lane->place.is_called, true)) {
		top = atomic_load(&crew->called);
		do
			lane->place.below = top;
		while (!atomic_compare_exchange_weak(&crew->called, &top, lane));
	}
	worker_wake(crew->worker);
}

bool crew_in_pass(const struct lane *lane, const struct lane **whose)
{
	struct crew *crew = lane->place.crew;

	if (!worker_in_pass(crew->worker))
		return false;
	*whose = crew->running;
	return true;
}

int crew_watch(struct lane *lane, int fd, enum worker_trigger trigger, uint64_t token)
{
	assert(token < CREW_TOKENS);
	return worker_watch(lane->place.crew->worker, fd, trigger,
			    lane->place.number * CREW_TOKENS + token);
}

void crew_unwatch(struct lane *lane, int fd)
{
	worker_unwatch(lane->place.crew->worker, fd);
}
