/* Runs one device: threads, locks, time. See runner.h. */
#include "runtime/runner_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/eventfd.h"
#include "runtime/roster.h"
#include "model/model.h"
#include "util/log.h"

static struct runner *runner_of(struct device_host *host)
{
	return (struct runner *)host; /* its first member */
}

static void host_exclude_begin(struct device_host *host)
{
	runner_exclude_begin(runner_of(host));
}

static void host_exclude_end(struct device_host *host)
{
	runner_exclude_end(runner_of(host));
}

static void host_notify_queue(struct device_host *host, unsigned queue)
{
	notifier_signal(&runner_of(host)->call[queue]);
}

static void host_notify_config(struct device_host *host)
{
	eventfd_signal(runner_of(host)->config_call);
}

static void host_wake_queue(struct device_host *host, unsigned queue)
{
	lane_want(runner_of(host), queue);
}

static void host_settle(struct device_host *host)
{
	lane_settle(runner_of(host));
}

static bool host_visit_begin(struct device_host *host, unsigned queue)
{
	return lane_visit_begin(runner_lane(runner_of(host), queue));
}

static void host_visit_end(struct device_host *host, unsigned queue)
{
	lane_visit_end(runner_lane(runner_of(host), queue), queue);
}

static void host_set_deadline(struct device_host *host, uint64_t at_ms)
{
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ms / 1000),
		.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000,
	};

	/* an absolute time that is over fires at once; all zero disarms, as at_ms 0 means */
	timerfd_settime(runner_of(host)->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void host_queue_changed(struct device_host *host, unsigned queue, bool started)
{
	binding_watch_queue(runner_of(host), queue, started);
}

static void host_forget(struct device_host *host, bool everything)
{
	binding_forget(runner_of(host), everything);
}

static void host_note(struct device_host *host, enum device_moment moment, unsigned queue,
		      uint64_t value)
{
	if (runner_of(host)->recorder)
		recorder_note(runner_of(host), moment, queue, value);
}

static const struct device_host_ops host_ops = {
	.exclude_begin = host_exclude_begin,
	.exclude_end = host_exclude_end,
	.notify_queue = host_notify_queue,
	.notify_config = host_notify_config,
	.wake_queue = host_wake_queue,
	.settle = host_settle,
	.set_deadline = host_set_deadline,
	.queue_changed = host_queue_changed,
	.visit_begin = host_visit_begin,
	.visit_end = host_visit_end,
	.forget = host_forget,
	.note = host_note,
};

/* A crew of our own, on its processor if the operator wants that. */
static int make_crew(struct runner *runner, const struct runner_options *options, unsigned i,
		     struct crew **crew, struct fault *fault_out)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "%u/%.12s", i, device_name(runner->device));
	ret = crew_new(name, crew, fault_out);
	if (ret || !options->pinned)
		return ret;
	ret = worker_pin((*crew)->worker, options->cpu + i);
	if (ret) {
		crew_free(*crew);
		return fault(fault_out, ret, "worker %u cannot run on processor %u: %s", i,
			     options->cpu + i, strerror(-ret));
	}
	return 0;
}

static void drop_crew(struct runner *runner, struct crew *crew)
{
	if (runner->worker_name)
		roster_give_back(crew);
	else
		crew_free(crew);
}

/* Gives the lane a worker. */
static int hire(struct runner *runner, const struct runner_options *options, unsigned i,
		struct fault *fault_out)
{
	struct lane *lane = &runner->lanes[i];
	struct crew *crew;
	int ret;

	if (runner->worker_name)
		ret = roster_take(runner->worker_name, options->pinned ? &options->cpu : NULL,
				  &crew, fault_out);
	else
		ret = make_crew(runner, options, i, &crew, fault_out);
	if (ret)
		return ret;
	ret = crew_join(crew, lane);
	if (ret) {
		drop_crew(runner, crew);
		return fault(fault_out, ret, "no memory for a worker");
	}
	lane->worker = crew->worker;
	return 0;
}

/* Makes what a lane needs and has it run. What was made is left to stop_lanes also on failure. */
static int start_lane(struct runner *runner, const struct runner_options *options, unsigned i,
		      struct fault *fault_out)
{
	struct lane *lane = &runner->lanes[i];
	int ret;

	lane->runner = runner;
	lane->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	runner->lane_count++;
	if (lane->tick < 0)
		return fault(fault_out, -errno, "cannot make a timer: %s", strerror(errno));
	if (runner->recorder && !(lane->record = lane_record_new()))
		return fault(fault_out, -ENOMEM, "no memory for a trace");
	poller_init(&lane->poller, options->poll_us);
	ret = hire(runner, options, i, fault_out);
	if (ret)
		return ret;
	ret = crew_watch(lane, lane->tick, WORKER_LEVEL, LANE_TOKEN_TICK);
	return ret ? fault(fault_out, ret, "cannot watch a timer: %s", strerror(-ret)) : 0;
}

/* Has the device run. On failure what runs is left to stop_lanes. */
static int start_lanes(struct runner *runner, const struct runner_options *options,
		       struct fault *fault_out)
{
	unsigned queues = device_get_vqs_count(runner->device);
	unsigned count = options->workers ? options->workers : 1;
	int ret = 0;

	if (count > queues)
		count = queues;
	if (options->worker) {
		count = 1;
		runner->worker_name = strdup(options->worker);
		if (!runner->worker_name)
			return fault(fault_out, -ENOMEM, "no memory for worker '%s'",
				     options->worker);
	}
	runner->lanes = calloc(count, sizeof(*runner->lanes));
	if (!runner->lanes)
		return fault(fault_out, -ENOMEM, "no memory for %u workers", count);
	for (unsigned i = 0; !ret && i < count; i++)
		ret = start_lane(runner, options, i, fault_out);
	if (ret)
		return ret;
	ret = crew_watch(&runner->lanes[0], runner->timer, WORKER_LEVEL, LANE_TOKEN_TIMER);
	return ret ? fault(fault_out, ret, "cannot watch a timer: %s", strerror(-ret)) : 0;
}

/* Kicks are unbound already. A device that was not reset in time still has its models' fds. */
static void unwatch(struct runner *runner)
{
	for (unsigned i = 0; i < runner->lane_count; i++)
		if (runner->lanes[i].worker)
			crew_unwatch(&runner->lanes[i], runner->lanes[i].tick);
	if (runner->lane_count && runner->lanes[0].worker)
		crew_unwatch(&runner->lanes[0], runner->timer);
	for (unsigned i = 0; i < DEVICE_MAX_QUEUES; i++)
		if (runner->poll_fd[i] >= 0)
			crew_unwatch(runner_lane(runner, i), runner->poll_fd[i]);
}

/* From then on nothing of the device is run. */
static void stop_lanes(struct runner *runner)
{
	unwatch(runner);
	for (unsigned i = 0; i < runner->lane_count; i++)
		if (runner->lanes[i].worker)
			crew_leave(&runner->lanes[i]);
	for (unsigned i = 0; i < runner->lane_count; i++) {
		struct lane *lane = &runner->lanes[i];

		if (lane->worker)
			drop_crew(runner, lane->place.crew);
		lane_record_free(lane->record);
		if (lane->tick >= 0)
			close(lane->tick);
	}
	runner->lane_count = 0;
}

static void dispose(struct runner *runner)
{
	if (runner->timer >= 0)
		close(runner->timer);
	pthread_mutex_destroy(&runner->lock);
	pthread_mutex_destroy(&runner->claim_lock);
	pthread_cond_destroy(&runner->reset_over);
	recorder_free(runner->recorder);
	free(runner->worker_name);
	free(runner->backend);
	free(runner->lanes);
	free(runner);
}

static struct runner *allocate(const struct runner_options *options)
{
	struct runner *runner = calloc(1, sizeof(*runner));

	if (runner && options->trace && !(runner->recorder = recorder_new())) {
		free(runner);
		return NULL;
	}
	if (!runner)
		return NULL;
	eventfd_prepare();
	runner->host.ops = &host_ops;
	pthread_mutex_init(&runner->lock, NULL);
	pthread_mutex_init(&runner->claim_lock, NULL);
	pthread_cond_init(&runner->reset_over, NULL);
	binding_init(runner);
	/* without memory for it, it is unknown */
	runner->backend = options->backend ? strdup(options->backend) : NULL;
	runner->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return runner;
}

int runner_new(const struct runner_options *options, struct model *model, struct runner **out,
	       struct fault *fault_out)
{
	struct runner *runner = allocate(options);
	int ret;

	if (!runner || runner->timer < 0) {
		ret = fault(fault_out, runner ? -errno : -ENOMEM, "cannot make a device: %s",
			    strerror(runner ? errno : ENOMEM));
		model->ops->destroy(model);
		if (runner)
			dispose(runner);
		return ret;
	}
	ret = device_new(&options->device, model, &runner->host, &runner->device, fault_out);
	if (ret) {
		dispose(runner);
		return ret;
	}
	ret = start_lanes(runner, options, fault_out);
	if (ret) {
		stop_lanes(runner);
		device_free(runner->device);
		dispose(runner);
		return ret;
	}
	*out = runner;
	return 0;
}

static void on_reset(void *arg, int result)
{
	struct runner *runner = arg;

	runner->reset_done = true;
	runner->reset_result = result;
	pthread_cond_broadcast(&runner->reset_over);
}

void runner_end(struct runner *runner)
{
	runner_lock(runner);
	if (!runner->ending)
		device_reset(runner->device, EV_DRIVER_GONE, runner_now_ms(), on_reset, runner);
	runner->ending = true;
	runner_unlock(runner);
}

void runner_wait_end(struct runner *runner)
{
	runner_end(runner);
	runner_lock(runner);
	while (!runner->reset_done)
		pthread_cond_wait(&runner->reset_over, &runner->lock);
	runner_unlock(runner);
}

void runner_free(struct runner *runner)
{
	runner_wait_end(runner);
	runner_lock(runner);
	binding_forget(runner, true);
	runner_unlock(runner);
	stop_lanes(runner);
	if (runner->reset_result) {
		/* what the backend still has points into the device: it stays until the process
		 * ends */
		log_error(device_name(runner->device),
			  "left as it is: its backend did not give %u requests back",
			  device_in_flight(runner->device));
		return;
	}
	device_free(runner->device);
	dispose(runner);
}

struct device *runner_lock(struct runner *runner)
{
	pthread_mutex_lock(&runner->lock);
	return runner->device;
}

bool runner_try_lock(struct runner *runner)
{
	return !pthread_mutex_trylock(&runner->lock);
}

void runner_unlock(struct runner *runner)
{
	struct runner_after *after = runner->after;

	assert(!runner->excluded);
	atomic_store_explicit(&runner->published_state, device_state(runner->device),
			      memory_order_relaxed);
	runner->after = NULL;
	pthread_mutex_unlock(&runner->lock);
	while (after) {
		struct runner_after *next = after->next; /* `after` may be reused once it has run */

		after->run(after);
		after = next;
	}
}

void runner_after(struct runner *runner, struct runner_after *after)
{
	struct runner_after **end = &runner->after;

	while (*end)
		end = &(*end)->next;
	after->next = NULL;
	*end = after;
}

enum device_state runner_published_state(const struct runner *runner)
{
	return atomic_load_explicit(&runner->published_state, memory_order_relaxed);
}

const struct device *runner_device(const struct runner *runner)
{
	return runner->device;
}

const char *runner_worker(const struct runner *runner)
{
	return runner->worker_name;
}

const char *runner_backend(const struct runner *runner)
{
	return runner->backend;
}

uint64_t runner_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
