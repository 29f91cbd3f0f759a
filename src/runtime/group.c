/* Worker contexts that share a worker thread: see group.h. */
#include "runtime/group.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/runtime_internal.h"

/* --- The circle; [ticket lock]
 * ------------------------------------------------------------------------
 */

static void set_busy(struct worker_group *group, struct worker_context *context, bool busy)
{
	if (context->member.busy == busy)
		return;
	context->member.busy = busy;
	group->busy += busy ? 1 : -1u;
}

/* It is run after all that are there, and is not to be waited for. */
static void enter_circle(struct worker_group *group, struct worker_context *context)
{
	struct worker_context *turn = group->turn;

	set_busy(group, context, true);
	if (context->member.next)
		return;
	if (!turn) {
		context->member.next = context->member.previous = group->turn = context;
		return;
	}
	context->member.next = turn;
	context->member.previous = turn->member.previous;
	turn->member.previous->member.next = context;
	turn->member.previous = context;
}

static void leave_circle(struct worker_group *group, struct worker_context *context)
{
	struct worker_context *next = context->member.next;

	if (!next)
		return;
	set_busy(group, context, false);
	context->member.previous->member.next = next;
	next->member.previous = context->member.previous;
	if (group->turn == context)
		group->turn = next == context ? NULL : next;
	context->member.next = context->member.previous = NULL;
}

/* Everybody who was called enters the circle. */
static void drain_pending(struct worker_group *group)
{
	struct worker_context *context = atomic_exchange(&group->called, NULL);

	while (context) {
		struct worker_context *below = context->member.below;

		/* read-modify-write: what its last caller did before is seen by the worker
		 * context's pass */
		atomic_exchange(&context->member.is_called, false);
		enter_circle(group, context);
		context = below;
	}
}

/* --- The worker --------------------------------------------------------------------------------
 */

static void group_ready(void *arg, uint64_t token)
{
	struct worker_group *group = arg;
	uint64_t number = token / GROUP_TOKENS;
	struct worker_context *context = number < group->room ? group->contexts[number] : NULL;

	if (!context) /* it has left */
		return;
	context_ready(context, token % GROUP_TOKENS);
	enter_circle(group, context);
}

static enum worker_next group_pass(void *arg)
{
	struct worker_group *group = arg;
	enum worker_next next;
	struct worker_context *context;

	if (atomic_load_explicit(&group->called, memory_order_relaxed))
		drain_pending(group);
	context = group->turn;
	if (!context)
		return WORKER_SLEEP;
	group->running = context;
	next = context_pass(context);
	group->running = NULL;
	group->turn = context->member.next;
	if (next == WORKER_SLEEP)
		leave_circle(group, context);
	else
		set_busy(group, context, next == WORKER_AGAIN);
	group->alone = !group->turn || group->turn == context;
	if (context_wants_attention(context))
		atomic_store(&group->to_attend, context);
	if (!group->turn)
		return WORKER_SLEEP;
	return group->busy ? WORKER_AGAIN : WORKER_POLL;
}

static void group_after(void *arg)
{
	struct worker_group *group = arg;
	struct worker_context *context;

	/* a load first: this is run after every pass */
	if (!atomic_load_explicit(&group->to_attend, memory_order_relaxed))
		return;
	pthread_mutex_lock(&group->attending);
	context = atomic_exchange(&group->to_attend, NULL);
	if (context && !context_attend(context, group->alone))
		group_call(context);
	pthread_mutex_unlock(&group->attending);
}

static const struct worker_ops group_ops = {
	.ready = group_ready,
	.pass = group_pass,
	.after = group_after,
};

int group_new(const char *name, struct worker_group **out, struct error *err)
{
	struct worker_group *group = calloc(1, sizeof(*group));
	int ret;

	if (!group)
		return error_set(err, -ENOMEM, "no memory for a worker");
	pthread_mutex_init(&group->attending, NULL);
	ret = worker_new(name, &group_ops, group, &group->worker, err);
	if (ret) {
		pthread_mutex_destroy(&group->attending);
		free(group);
		return ret;
	}
	*out = group;
	return 0;
}

void group_free(struct worker_group *group)
{
	worker_free(group->worker);
	pthread_mutex_destroy(&group->attending);
	free(group->contexts);
	free(group);
}

/* --- Members -----------------------------------------------------------------------------------
 */

/* A number that is free, perhaps in a longer table; the worker meanwhile uses the old one. */
static int find_place(struct worker_group *group, unsigned *number)
{
	unsigned room = group->room ? group->room * 2 : 1;
	struct worker_context **old = group->contexts, **longer;

	for (*number = 0; *number < group->room; ++*number)
		if (!group->contexts[*number])
			return 0;
	longer = calloc(room, sizeof(struct worker_context *));
	if (!longer)
		return -ENOMEM;
	if (old)
		memcpy(longer, old, group->room * sizeof(struct worker_context *));
	worker_enter(group->worker);
	group->contexts = longer;
	group->room = room;
	worker_leave(group->worker);
	free(old);
	return 0;
}

int group_join(struct worker_group *group, struct worker_context *context)
{
	unsigned number;
	int ret;

	pthread_mutex_lock(&group->attending);
	ret = find_place(group, &number);
	if (!ret) {
		context->member = (struct group_member){.group = group, .number = number};
		worker_enter(group->worker);
		group->contexts[number] = context;
		worker_leave(group->worker);
	}
	pthread_mutex_unlock(&group->attending);
	return ret;
}

void group_leave(struct worker_context *context)
{
	struct worker_group *group = context->member.group;

	pthread_mutex_lock(&group->attending);
	worker_enter(group->worker);
	/* left set, so that who still calls it does nothing; somebody may be about to push it */
	while (atomic_exchange(&context->member.is_called, true))
		drain_pending(group);
	leave_circle(group, context);
	group->contexts[context->member.number] = NULL;
	if (atomic_load(&group->to_attend) == context)
		atomic_store(&group->to_attend, NULL);
	worker_leave(group->worker);
	pthread_mutex_unlock(&group->attending);
}

void group_call(struct worker_context *context)
{
	struct worker_group *group = context->member.group;
	struct worker_context *top;

	if (!atomic_exchange(&context->member.is_called, true)) {
		top = atomic_load(&group->called);
		do
			context->member.below = top;
		while (!atomic_compare_exchange_weak(&group->called, &top, context));
	}
	worker_wake(group->worker);
}

bool group_in_pass(const struct worker_context *context, const struct worker_context **whose)
{
	struct worker_group *group = context->member.group;

	if (!worker_in_pass(group->worker))
		return false;
	*whose = group->running;
	return true;
}

int group_watch(struct worker_context *context, int fd, enum worker_trigger trigger, uint64_t token)
{
	assert(token < GROUP_TOKENS);
	return worker_watch(context->member.group->worker, fd, trigger,
			    context->member.number * GROUP_TOKENS + token);
}

void group_unwatch(struct worker_context *context, int fd)
{
	worker_unwatch(context->member.group->worker, fd);
}
