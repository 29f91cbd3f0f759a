/*
 * Who has a device: one client at a time, over all exports. See runtime.h.
 *
 * Everything here happens with `claim_lock` held, the exports' look() and over() included: what is
 * known of the claimant and who waits for news of it change together. It is the innermost lock but
 * for what an export's callbacks take.
 *
 * An export that answers CLAIM_ASKED answers in the order of the questions, so a count tells which
 * waiters an answer is for: a client may be gone by the second question and not have been by the
 * first.
 */
#include <errno.h>
#include <stdio.h>

#include "runtime/runtime_internal.h"

/* The number of who did not ask, but waits for the device to be free. */
#define NO_QUESTION UINT64_MAX

/* The name may hold what a process called itself: it goes into logs and JSON as plain ASCII. */
static void set_claimant(struct runtime *runtime, const struct claimant *claimant)
{
	const char *who = claimant->who;

	snprintf(runtime->claimant, sizeof(runtime->claimant), "%s", *who ? who : "somebody");
	for (char *p = runtime->claimant; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	runtime->claim_news = CLAIM_STAYS;
	runtime->claim_look = claimant->look;
	runtime->claim_arg = claimant->arg;
}

static int refusal(struct runtime *runtime, struct fault *fault_out)
{
	if (!runtime->claimant[0])
		return 0;
	if (runtime->claim_news == CLAIM_KEPT)
		return fault(fault_out, -EBUSY,
			     "device '%s' was left by %s, and its backend has not given that one's "
			     "requests back yet",
			     device_name(runtime->device), runtime->claimant);
	return fault(fault_out, -EBUSY, "device '%s' is in use by %s; it serves one at a time",
		     device_name(runtime->device), runtime->claimant);
}

int runtime_claim(struct runtime *runtime, const struct claimant *claimant, struct fault *fault_out)
{
	int ret;

	pthread_mutex_lock(&runtime->claim_lock);
	ret = refusal(runtime, fault_out);
	if (!ret)
		set_claimant(runtime, claimant);
	pthread_mutex_unlock(&runtime->claim_lock);
	return ret;
}

int runtime_claim_look(struct runtime *runtime, struct fault *fault_out)
{
	int ret;

	pthread_mutex_lock(&runtime->claim_lock);
	ret = refusal(runtime, fault_out);
	pthread_mutex_unlock(&runtime->claim_lock);
	return ret;
}

static enum claim_news look(struct runtime *runtime)
{
	enum claim_news news = runtime->claim_news;

	if (news == CLAIM_STAYS && runtime->claim_look)
		news = runtime->claim_look(runtime->claim_arg);
	if (news == CLAIM_LEAVES)
		runtime->claim_news = news;
	return news;
}

static void enlist(struct runtime *runtime, struct claim_wait *wait, uint64_t number)
{
	wait->number = number;
	wait->waits = true;
	wait->next = runtime->claim_waits;
	runtime->claim_waits = wait;
}

bool runtime_claim_settled(struct runtime *runtime, struct claim_wait *wait)
{
	enum claim_news news = CLAIM_STAYS;

	pthread_mutex_lock(&runtime->claim_lock);
	if (runtime->claimant[0])
		news = look(runtime);
	if (news == CLAIM_ASKED)
		enlist(runtime, wait, ++runtime->claim_asked);
	else if (news == CLAIM_LEAVES)
		enlist(runtime, wait, NO_QUESTION);
	pthread_mutex_unlock(&runtime->claim_lock);
	return news == CLAIM_STAYS || news == CLAIM_KEPT;
}

bool runtime_claim_forget(struct runtime *runtime, struct claim_wait *wait)
{
	bool waited;

	pthread_mutex_lock(&runtime->claim_lock);
	waited = wait->waits;
	wait->waits = false;
	for (struct claim_wait **at = &runtime->claim_waits; waited; at = &(*at)->next) {
		if (*at != wait)
			continue;
		*at = wait->next;
		break;
	}
	pthread_mutex_unlock(&runtime->claim_lock);
	return waited;
}

/* Ends the waiting of all whose question has this number or a smaller one. */
static void end_waits(struct runtime *runtime, uint64_t number)
{
	struct claim_wait **at = &runtime->claim_waits;

	while (*at) {
		struct claim_wait *wait = *at;

		if (wait->number > number) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->waits = false;
		wait->over(wait);
	}
}

void runtime_claim_answered(struct runtime *runtime, bool stays)
{
	pthread_mutex_lock(&runtime->claim_lock);
	runtime->claim_heard++;
	if (stays)
		end_waits(runtime, runtime->claim_heard);
	pthread_mutex_unlock(&runtime->claim_lock);
}

void runtime_claim_leaves(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->claim_lock);
	runtime->claim_news = CLAIM_LEAVES;
	pthread_mutex_unlock(&runtime->claim_lock);
}

void runtime_claim_kept(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->claim_lock);
	runtime->claim_news = CLAIM_KEPT;
	end_waits(runtime, NO_QUESTION);
	pthread_mutex_unlock(&runtime->claim_lock);
}

void runtime_unclaim(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->claim_lock);
	runtime->claimant[0] = '\0';
	end_waits(runtime, NO_QUESTION);
	pthread_mutex_unlock(&runtime->claim_lock);
}

void runtime_claimant(struct runtime *runtime, char *buffer, size_t size)
{
	pthread_mutex_lock(&runtime->claim_lock);
	snprintf(buffer, size, "%s", runtime->claimant);
	pthread_mutex_unlock(&runtime->claim_lock);
}
