/*
 * The published figures of each device, which `status` is answered from.
 *
 * To look at a device takes its lock and keeps its workers out, and either may be with somebody who
 * waits for a client or a backend that does not answer. So looking is done by a thread for each
 * device; what it saw is published, and `status` waits for it for a kind only. A device that was
 * not seen in that kind is told with what was published last, and is said not to answer. As long
 * as it does not, nobody looks or waits again.
 *
 * The device's state is known without looking (runtime_published_state).
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "control/control_internal.h"
#include "runtime/runtime.h"

/* Long enough for a busy device, on a busy machine mostly; short for who waits for the answer. */
#define TRACE_MS 300

/* Of one device; under control->lock. */
struct control_figures {
	struct control *control;
	struct runtime *runtime;
	json_t *seen; /* never changed when it is here */
	bool looking;
	bool late; /* a look was not over in time */
};

/* Publishes what is to be seen. Waits for the device. */
static void look(struct control_figures *figures)
{
	json_t *seen = control_device_status(figures->runtime), *before;

	pthread_mutex_lock(&figures->control->lock);
	before = figures->seen;
	if (seen)
		figures->seen = seen;
	else
		before = NULL;
	figures->looking = figures->late = false;
	pthread_mutex_unlock(&figures->control->lock);
	json_decref(before);
}

static void *look_alone(void *arg)
{
	struct control_figures *figures = arg;

	look(figures);
	control_thread_ends(figures->control);
	return NULL;
}

static bool is_wanted(const struct control_figures *figures, const struct runtime *only)
{
	return !only || only == figures->runtime;
}

/*
 * Has every device looked at that nobody is looking at. Returns whether somebody was: what that one
 * publishes may be from before now.
 */
static bool begin(struct control *control, const struct runtime *only)
{
	bool others = false;

	for (unsigned i = 0; i < control->runtime_count; i++) {
		struct control_figures *figures = &control->figures[i];
		bool mine;

		if (!is_wanted(figures, only))
			continue;
		pthread_mutex_lock(&control->lock);
		mine = !figures->looking;
		others |= figures->looking && !figures->late;
		figures->looking = true;
		pthread_mutex_unlock(&control->lock);
		if (mine && control_thread_start(control, look_alone, figures)) {
			pthread_mutex_lock(&control->lock);
			figures->looking = false;
			pthread_mutex_unlock(&control->lock);
		}
	}
	return others;
}

/* Whether somebody is being looked at of whom it is not known that it takes long. Locked. */
static bool is_awaited(const struct control *control, const struct runtime *only)
{
	for (unsigned i = 0; i < control->runtime_count; i++) {
		const struct control_figures *figures = &control->figures[i];

		if (is_wanted(figures, only) && figures->looking && !figures->late)
			return true;
	}
	return false;
}

/* Waits until then for who is being looked at. */
static void await(struct control *control, const struct runtime *only, const struct timespec *end)
{
	int r = 0;

	pthread_mutex_lock(&control->lock);
	while (is_awaited(control, only) && r != ETIMEDOUT)
		r = pthread_cond_timedwait(&control->call_changed, &control->lock, end);
	pthread_mutex_unlock(&control->lock);
}

/* A device's figures as they are answered. Locked. */
static json_t *tell(struct control_figures *figures)
{
	json_t *told = json_copy(figures->seen);

	figures->late = figures->looking;
	if (figures->looking)
		json_object_set_new(told, "state",
				    json_string(lifecycle_state_name(
					    runtime_published_state(figures->runtime))));
	json_object_set_new(told, "answers", json_boolean(!figures->looking));
	return told;
}

json_t *control_figures_tell(struct control *control, const struct runtime *only)
{
	json_t *devices = json_array();
	struct timespec end;
	bool others = begin(control, only);

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_nsec += TRACE_MS * 1000000l;
	end.tv_sec += end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	await(control, only, &end);
	if (others) {
		begin(control, only);
		await(control, only, &end);
	}
	pthread_mutex_lock(&control->lock);
	for (unsigned i = 0; i < control->runtime_count; i++)
		if (is_wanted(&control->figures[i], only))
			json_array_append_new(devices, tell(&control->figures[i]));
	pthread_mutex_unlock(&control->lock);
	return devices;
}

int control_figures_new(struct control *control)
{
	control->figures = calloc(control->runtime_count + 1, sizeof(*control->figures));
	if (!control->figures)
		return -ENOMEM;
	for (unsigned i = 0; i < control->runtime_count; i++) {
		struct control_figures *figures = &control->figures[i];

		*figures = (struct control_figures){.control = control,
						    .runtime = control->runtimes[i]};
		look(figures);
		if (!figures->seen)
			return -ENOMEM;
	}
	return 0;
}

void control_figures_free(struct control *control)
{
	for (unsigned i = 0; control->figures && i < control->runtime_count; i++)
		json_decref(control->figures[i].seen);
	free(control->figures);
}
