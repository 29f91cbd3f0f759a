/*
 * Who has a device: one client at a time, over all exports. See runner.h.
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

#include "runtime/runner_internal.h"

/* The number of who did not ask, but waits for the device to be free. */
#define NO_QUESTION UINT64_MAX

/* The name may hold what a process called itself: it goes into logs and JSON as plain ASCII. */
static void set_claimant(struct runner *runner, const struct claimant *claimant)
{
	const char *who = claimant->who;

	snprintf(runner->claimant, sizeof(runner->claimant), "%s", *who ? who : "somebody");
	for (char *p = runner->claimant; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	runner->claim_news = CLAIM_STAYS;
	runner->claim_look = claimant->look;
	runner->claim_arg = claimant->arg;
}

static int refusal(struct runner *runner, struct fault *fault_out)
{
	if (!runner->claimant[0])
		return 0;
	if (runner->claim_news == CLAIM_KEPT)
		return fault(fault_out, -EBUSY,
			     "device '%s' was left by %s, and its backend has not given that one's "
			     "requests back yet",
			     device_name(runner->device), runner->claimant);
	return fault(fault_out, -EBUSY, "device '%s' is in use by %s; it serves one at a time",
		     device_name(runner->device), runner->claimant);
}

int runner_claim(struct runner *runner, const struct claimant *claimant, struct fault *fault_out)
{
	int ret;

	pthread_mutex_lock(&runner->claim_lock);
	ret = refusal(runner, fault_out);
	if (!ret)
		set_claimant(runner, claimant);
	pthread_mutex_unlock(&runner->claim_lock);
	return ret;
}

int runner_claim_look(struct runner *runner, struct fault *fault_out)
{
	int ret;

	pthread_mutex_lock(&runner->claim_lock);
	ret = refusal(runner, fault_out);
	pthread_mutex_unlock(&runner->claim_lock);
	return ret;
}

static enum claim_news look(struct runner *runner)
{
	enum claim_news news = runner->claim_news;

	if (news == CLAIM_STAYS && runner->claim_look)
		news = runner->claim_look(runner->claim_arg);
	if (news == CLAIM_LEAVES)
		runner->claim_news = news;
	return news;
}

static void enlist(struct runner *runner, struct claim_wait *wait, uint64_t number)
{
	wait->number = number;
	wait->waits = true;
	wait->next = runner->claim_waits;
	runner->claim_waits = wait;
}

bool runner_claim_settled(struct runner *runner, struct claim_wait *wait)
{
	enum claim_news news = CLAIM_STAYS;

	pthread_mutex_lock(&runner->claim_lock);
	if (runner->claimant[0])
		news = look(runner);
	if (news == CLAIM_ASKED)
		enlist(runner, wait, ++runner->claim_asked);
	else if (news == CLAIM_LEAVES)
		enlist(runner, wait, NO_QUESTION);
	pthread_mutex_unlock(&runner->claim_lock);
	return news == CLAIM_STAYS || news == CLAIM_KEPT;
}

bool runner_claim_forget(struct runner *runner, struct claim_wait *wait)
{
	bool waited;

	pthread_mutex_lock(&runner->claim_lock);
	waited = wait->waits;
	wait->waits = false;
	for (struct claim_wait **at = &runner->claim_waits; waited; at = &(*at)->next) {
		if (*at != wait)
			continue;
		*at = wait->next;
		break;
	}
	pthread_mutex_unlock(&runner->claim_lock);
	return waited;
}

/* Ends the waiting of all whose question has this number or a smaller one. */
static void end_waits(struct runner *runner, uint64_t number)
{
	struct claim_wait **at = &runner->claim_waits;

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

void runner_claim_answered(struct runner *runner, bool stays)
{
	pthread_mutex_lock(&runner->claim_lock);
	runner->claim_heard++;
	if (stays)
		end_waits(runner, runner->claim_heard);
	pthread_mutex_unlock(&runner->claim_lock);
}

void runner_claim_leaves(struct runner *runner)
{
	pthread_mutex_lock(&runner->claim_lock);
	runner->claim_news = CLAIM_LEAVES;
	pthread_mutex_unlock(&runner->claim_lock);
}

void runner_claim_kept(struct runner *runner)
{
	pthread_mutex_lock(&runner->claim_lock);
	runner->claim_news = CLAIM_KEPT;
	end_waits(runner, NO_QUESTION);
	pthread_mutex_unlock(&runner->claim_lock);
}

void runner_unclaim(struct runner *runner)
{
	pthread_mutex_lock(&runner->claim_lock);
	runner->claimant[0] = '\0';
	end_waits(runner, NO_QUESTION);
	pthread_mutex_unlock(&runner->claim_lock);
}

void runner_claimant(struct runner *runner, char *buffer, size_t size)
{
	pthread_mutex_lock(&runner->claim_lock);
	snprintf(buffer, size, "%s", runner->claimant);
	pthread_mutex_unlock(&runner->claim_lock);
}
