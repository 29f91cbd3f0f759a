/*
 * Who has a device: one client at a time, over all exports. See runtime.h.
 *
 * Everything here happens with `owner_lock` held, the exports' look() and over() included: what is
 * known of the owner and who waits for news of it change together. It is the innermost lock but
 * for what an export's callbacks take.
 *
 * An export that answers OWNER_ASKED answers in the order of the questions, so a count tells which
 * waiters an answer is for: a client may be gone by the second question and not have been by the
 * first.
 */
#include <errno.h>
#include <stdio.h>

#include "runtime/runtime_internal.h"

/* The number of who did not ask, but waits for the device to be free. */
#define NO_QUESTION UINT64_MAX

/* The name may hold what a process called itself: it goes into logs and JSON as plain ASCII. */
static void set_owner(struct runtime *runtime, const struct device_owner *owner)
{
	const char *who = owner->who;

	snprintf(runtime->owner, sizeof(runtime->owner), "%s", *who ? who : "somebody");
	for (char *p = runtime->owner; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
	runtime->owner_state = OWNER_ALIVE;
	runtime->owner_look = owner->look;
	runtime->owner_arg = owner->arg;
}

static int refusal(struct runtime *runtime, struct error *err)
{
	if (!runtime->owner[0])
		return 0;
	if (runtime->owner_state == OWNER_STUCK)
		return error_set(
			err, -EBUSY,
			"device '%s' was left by %s, and its backend has not given that one's "
			"requests back yet",
			device_name(runtime->device), runtime->owner);
	return error_set(err, -EBUSY, "device '%s' is in use by %s; it serves one at a time",
			 device_name(runtime->device), runtime->owner);
}

int runtime_acquire(struct runtime *runtime, const struct device_owner *owner, struct error *err)
{
	int ret;

	pthread_mutex_lock(&runtime->owner_lock);
	ret = refusal(runtime, err);
	if (!ret)
		set_owner(runtime, owner);
	pthread_mutex_unlock(&runtime->owner_lock);
	return ret;
}

int runtime_owner_check(struct runtime *runtime, struct error *err)
{
	int ret;

	pthread_mutex_lock(&runtime->owner_lock);
	ret = refusal(runtime, err);
	pthread_mutex_unlock(&runtime->owner_lock);
	return ret;
}

static enum owner_state look(struct runtime *runtime)
{
	enum owner_state news = runtime->owner_state;

	if (news == OWNER_ALIVE && runtime->owner_look)
		news = runtime->owner_look(runtime->owner_arg);
	if (news == OWNER_CLOSING)
		runtime->owner_state = news;
	return news;
}

static void enlist(struct runtime *runtime, struct owner_wait *wait, uint64_t number)
{
	wait->number = number;
	wait->waits = true;
	wait->next = runtime->owner_waits;
	runtime->owner_waits = wait;
}

bool runtime_owner_settled(struct runtime *runtime, struct owner_wait *wait)
{
	enum owner_state news = OWNER_ALIVE;

	pthread_mutex_lock(&runtime->owner_lock);
	if (runtime->owner[0])
		news = look(runtime);
	if (news == OWNER_ASKED)
		enlist(runtime, wait, ++runtime->owner_asked);
	else if (news == OWNER_CLOSING)
		enlist(runtime, wait, NO_QUESTION);
	pthread_mutex_unlock(&runtime->owner_lock);
	return news == OWNER_ALIVE || news == OWNER_STUCK;
}

bool runtime_owner_wait_cancel(struct runtime *runtime, struct owner_wait *wait)
{
	bool waited;

	pthread_mutex_lock(&runtime->owner_lock);
	waited = wait->waits;
	wait->waits = false;
	for (struct owner_wait **at = &runtime->owner_waits; waited; at = &(*at)->next) {
		if (*at != wait)
			continue;
		*at = wait->next;
		break;
	}
	pthread_mutex_unlock(&runtime->owner_lock);
	return waited;
}

/* Ends the waiting of all whose question has this number or a smaller one. */
static void end_waits(struct runtime *runtime, uint64_t number)
{
	struct owner_wait **at = &runtime->owner_waits;

	while (*at) {
		struct owner_wait *wait = *at;

		if (wait->number > number) {
			at = &wait->next;
			continue;
		}
		*at = wait->next;
		wait->waits = false;
		wait->over(wait);
	}
}

void runtime_owner_answered(struct runtime *runtime, bool stays)
{
	pthread_mutex_lock(&runtime->owner_lock);
	runtime->owner_heard++;
	if (stays)
		end_waits(runtime, runtime->owner_heard);
	pthread_mutex_unlock(&runtime->owner_lock);
}

void runtime_owner_closing(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->owner_lock);
	runtime->owner_state = OWNER_CLOSING;
	pthread_mutex_unlock(&runtime->owner_lock);
}

void runtime_owner_stuck(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->owner_lock);
	runtime->owner_state = OWNER_STUCK;
	end_waits(runtime, NO_QUESTION);
	pthread_mutex_unlock(&runtime->owner_lock);
}

void runtime_release(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->owner_lock);
	runtime->owner[0] = '\0';
	end_waits(runtime, NO_QUESTION);
	pthread_mutex_unlock(&runtime->owner_lock);
}

void runtime_owner(struct runtime *runtime, char *buffer, size_t size)
{
	pthread_mutex_lock(&runtime->owner_lock);
	snprintf(buffer, size, "%s", runtime->owner);
	pthread_mutex_unlock(&runtime->owner_lock);
}
