/* Worker contexts that share a worker thread: see crew.h. */
#include "runtime/crew.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime_internal.h"

/* --- The circle; [gate] ------------------------------------------------------------------------
 */

static void set_busy(struct crew *crew, struct worker_context *context, bool busy)
{
	if (context->place.busy == busy)
		return;
	context->place.busy = busy;
	crew->busy += busy ? 1 : -1u;
}

/* It is run after all that are there, and is not to be waited for. */
static void enter_circle(struct crew *crew, struct worker_context *context)
{
	struct worker_context *turn = crew->turn;

	set_busy(crew, context, true);
	if (context->place.next)
		return;
	if (!turn) {
		context->place.next = context->place.previous = crew->turn = context;
		return;
	}
	context->place.next = turn;
	context->place.previous = turn->place.previous;
	turn->place.previous->place.next = context;
	turn->place.previous = context;
}

static void leave_circle(struct crew *crew, struct worker_context *context)
{
	struct worker_context *next = context->place.next;

	if (!next)
		return;
	set_busy(crew, context, false);
	context->place.previous->place.next = next;
	next->place.previous = context->place.previous;
	if (crew->turn == context)
		crew->turn = next == context ? NULL : next;
	context->place.next = context->place.previous = NULL;
}

/* Everybody who was called enters the circle. */
static void muster(struct crew *crew)
{
	struct worker_context *context = atomic_exchange(&crew->called, NULL);

	while (context) {
		struct worker_context *below = context->place.below;

		/* read-modify-write: what its last caller did before is seen by the worker
		 * context's pass */
		atomic_exchange(&context->place.is_called, false);
		enter_circle(crew, context);
		context = below;
	}
}

/* --- The worker --------------------------------------------------------------------------------
 */

static void crew_ready(void *arg, uint64_t token)
{
	struct crew *crew = arg;
	uint64_t number = token / CREW_TOKENS;
	struct worker_context *context = number < crew->places ? crew->contexts[number] : NULL;

	if (!context) /* it has left */
		return;
	context_ready(context, token % CREW_TOKENS);
	enter_circle(crew, context);
}

static enum worker_next crew_pass(void *arg)
{
	struct crew *crew = arg;
	enum worker_next next;
	struct worker_context *context;

	if (atomic_load_explicit(&crew->called, memory_order_relaxed))
		muster(crew);
	context = crew->turn;
	if (!context)
		return WORKER_SLEEP;
	crew->running = context;
	next = context_pass(context);
	crew->running = NULL;
	crew->turn = context->place.next;
	if (next == WORKER_SLEEP)
		leave_circle(crew, context);
	else
		set_busy(crew, context, next == WORKER_AGAIN);
	crew->alone = !crew->turn || crew->turn == context;
	if (context_wants_attention(context))
		atomic_store(&crew->to_attend, context);
	if (!crew->turn)
		return WORKER_SLEEP;
	return crew->busy ? WORKER_AGAIN : WORKER_POLL;
}

static void crew_after(void *arg)
{
	struct crew *crew = arg;
	struct worker_context *context;

	/* a load first: this is run after every pass */
	if (!atomic_load_explicit(&crew->to_attend, memory_order_relaxed))
		return;
	pthread_mutex_lock(&crew->attending);
	context = atomic_exchange(&crew->to_attend, NULL);
	if (context && !context_attend(context, crew->alone))
		crew_call(context);
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
	free(crew->contexts);
	free(crew);
}

/* --- Members -----------------------------------------------------------------------------------
 */

/* A number that is free, perhaps in a longer table; the worker meanwhile uses the old one. */
static int find_place(struct crew *crew, unsigned *number)
{
	unsigned places = crew->places ? crew->places * 2 : 1;
	struct worker_context **old = crew->contexts, **longer;

	for (*number = 0; *number < crew->places; ++*number)
		if (!crew->contexts[*number])
			return 0;
	longer = calloc(places, sizeof(struct worker_context *));
	if (!longer)
		return -ENOMEM;
	if (old)
		memcpy(longer, old, crew->places * sizeof(struct worker_context *));
	worker_enter(crew->worker);
	crew->contexts = longer;
	crew->places = places;
	worker_leave(crew->worker);
	free(old);
	return 0;
}

int crew_join(struct crew *crew, struct worker_context *context)
{
	unsigned number;
	int ret;

	pthread_mutex_lock(&crew->attending);
	ret = find_place(crew, &number);
	if (!ret) {
		context->place = (struct crew_place){.crew = crew, .number = number};
		worker_enter(crew->worker);
		crew->contexts[number] = context;
		worker_leave(crew->worker);
	}
	pthread_mutex_unlock(&crew->attending);
	return ret;
}

void crew_leave(struct worker_context *context)
{
	struct crew *crew = context->place.crew;

	pthread_mutex_lock(&crew->attending);
	worker_enter(crew->worker);
	/* left set, so that who still calls it does nothing; somebody may be about to push it */
	while (atomic_exchange(&context->place.is_called, true))
		muster(crew);
	leave_circle(crew, context);
	crew->contexts[context->place.number] = NULL;
	if (atomic_load(&crew->to_attend) == context)
		atomic_store(&crew->to_attend, NULL);
	worker_leave(crew->worker);
	pthread_mutex_unlock(&crew->attending);
}

void crew_call(struct worker_context *context)
{
	struct crew *crew = context->place.crew;
	struct worker_context *top;

	if (!atomic_exchange(&context->place.is_called, true)) {
		top = atomic_load(&crew->called);
		do
			context->place.below = top;
		while (!atomic_compare_exchange_weak(&crew->called, &top, context));
	}
	worker_wake(crew->worker);
}

bool crew_in_pass(const struct worker_context *context, const struct worker_context **whose)
{
	struct crew *crew = context->place.crew;

	if (!worker_in_pass(crew->worker))
		return false;
	*whose = crew->running;
	return true;
}

int crew_watch(struct worker_context *context, int fd, enum worker_trigger trigger, uint64_t token)
{
	assert(token < CREW_TOKENS);
	return worker_watch(context->place.crew->worker, fd, trigger,
			    context->place.number * CREW_TOKENS + token);
}

void crew_unwatch(struct worker_context *context, int fd)
{
	worker_unwatch(context->place.crew->worker, fd);
}
