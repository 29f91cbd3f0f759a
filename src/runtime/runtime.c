/* Runs one device: threads, locks, time. See runtime.h. */
#include "runtime/runtime_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/eventfd.h"
#include "runtime/registry.h"
#include "model/model.h"
#include "util/log.h"

static struct runtime *runtime_of(struct device_runtime *self)
{
	return (struct runtime *)self; /* its first member */
}

static void op_exclude_begin(struct device_runtime *self)
{
	runtime_exclude_begin(runtime_of(self));
}

static void op_exclude_end(struct device_runtime *self)
{
	runtime_exclude_end(runtime_of(self));
}

static void op_notify_queue(struct device_runtime *self, unsigned queue)
{
	notifier_signal(&runtime_of(self)->call[queue]);
}

static void op_notify_config(struct device_runtime *self)
{
	eventfd_signal(runtime_of(self)->config_call);
}

static void op_wake_queue(struct device_runtime *self, unsigned queue)
{
	context_want(runtime_of(self), queue);
}

static void op_settle(struct device_runtime *self)
{
	context_settle(runtime_of(self));
}

static bool op_borrow_begin(struct device_runtime *self, unsigned queue)
{
	return context_borrow_begin(runtime_context(runtime_of(self), queue));
}

static void op_borrow_end(struct device_runtime *self, unsigned queue)
{
	context_borrow_end(runtime_context(runtime_of(self), queue), queue);
}

static void op_set_deadline(struct device_runtime *self, uint64_t at_ms)
{
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ms / 1000),
		.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000,
	};

	/* an absolute time that is over fires at once; all zero disarms, as at_ms 0 means */
	timerfd_settime(runtime_of(self)->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void op_queue_changed(struct device_runtime *self, unsigned queue, bool started)
{
	binding_watch_queue(runtime_of(self), queue, started);
}

static void op_forget(struct device_runtime *self, bool everything)
{
	binding_forget(runtime_of(self), everything);
}

static void op_trace_emit(struct device_runtime *self, enum device_trace_event kind, unsigned queue,
			  uint64_t value)
{
	if (runtime_of(self)->tracer)
		tracer_emit(runtime_of(self), kind, queue, value);
}

static const struct device_runtime_ops runtime_ops = {
	.exclude_begin = op_exclude_begin,
	.exclude_end = op_exclude_end,
	.notify_queue = op_notify_queue,
	.notify_config = op_notify_config,
	.wake_queue = op_wake_queue,
	.settle = op_settle,
	.set_deadline = op_set_deadline,
	.queue_changed = op_queue_changed,
	.borrow_begin = op_borrow_begin,
	.borrow_end = op_borrow_end,
	.forget = op_forget,
	.trace_emit = op_trace_emit,
};

/* A worker group of our own, on its processor if the operator wants that. */
static int make_group(struct runtime *runtime, const struct runtime_options *options, unsigned i,
		      struct worker_group **group, struct error *err)
{
	char name[32];
	int ret;

	snprintf(name, sizeof(name), "%u/%.12s", i, device_name(runtime->device));
	ret = group_new(name, group, err);
	if (ret || !options->pinned)
		return ret;
	ret = worker_pin((*group)->worker, options->cpu + i);
	if (ret) {
		group_free(*group);
		return error_set(err, ret, "worker %u cannot run on processor %u: %s", i,
				 options->cpu + i, strerror(-ret));
	}
	return 0;
}

static void drop_group(struct runtime *runtime, struct worker_group *group)
{
	if (runtime->worker_name)
		registry_give_back(group);
	else
		group_free(group);
}

/* Gives the worker context a worker. */
static int attach(struct runtime *runtime, const struct runtime_options *options, unsigned i,
		  struct error *err)
{
	struct worker_context *context = &runtime->contexts[i];
	struct worker_group *group;
	int ret;

	if (runtime->worker_name)
		ret = registry_take(runtime->worker_name, options->pinned ? &options->cpu : NULL,
				    &group, err);
	else
		ret = make_group(runtime, options, i, &group, err);
	if (ret)
		return ret;
	ret = group_join(group, context);
	if (ret) {
		drop_group(runtime, group);
		return error_set(err, ret, "no memory for a worker");
	}
	context->worker = group->worker;
	return 0;
}

/* Makes what a worker context needs and has it run. What was made is left to stop_contexts also on
 * failure. */
static int start_context(struct runtime *runtime, const struct runtime_options *options, unsigned i,
			 struct error *err)
{
	struct worker_context *context = &runtime->contexts[i];
	int ret;

	context->runtime = runtime;
	context->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	runtime->context_count++;
	if (context->tick < 0)
		return error_set(err, -errno, "cannot make a timer: %s", strerror(errno));
	if (runtime->tracer && !(context->record = context_record_new()))
		return error_set(err, -ENOMEM, "no memory for a trace");
	poller_init(&context->poller, options->poll_us);
	ret = attach(runtime, options, i, err);
	if (ret)
		return ret;
	ret = group_watch(context, context->tick, WORKER_LEVEL, CONTEXT_TOKEN_TICK);
	return ret ? error_set(err, ret, "cannot watch a timer: %s", strerror(-ret)) : 0;
}

/* Has the device run. On failure what runs is left to stop_contexts. */
static int start_contexts(struct runtime *runtime, const struct runtime_options *options,
			  struct error *err)
{
	unsigned queues = device_get_vqs_count(runtime->device);
	unsigned count = options->workers ? options->workers : 1;
	int ret = 0;

	if (count > queues)
		count = queues;
	if (options->worker) {
		count = 1;
		runtime->worker_name = strdup(options->worker);
		if (!runtime->worker_name)
			return error_set(err, -ENOMEM, "no memory for worker '%s'",
					 options->worker);
	}
	runtime->contexts = calloc(count, sizeof(*runtime->contexts));
	if (!runtime->contexts)
		return error_set(err, -ENOMEM, "no memory for %u workers", count);
	for (unsigned i = 0; !ret && i < count; i++)
		ret = start_context(runtime, options, i, err);
	if (ret)
		return ret;
	ret = group_watch(&runtime->contexts[0], runtime->timer, WORKER_LEVEL, CONTEXT_TOKEN_TIMER);
	return ret ? error_set(err, ret, "cannot watch a timer: %s", strerror(-ret)) : 0;
}

/* Kicks are unbound already. A device that was not reset in time still has its models' fds. */
static void unwatch(struct runtime *runtime)
{
	for (unsigned i = 0; i < runtime->context_count; i++)
		if (runtime->contexts[i].worker)
			group_unwatch(&runtime->contexts[i], runtime->contexts[i].tick);
	if (runtime->context_count && runtime->contexts[0].worker)
		group_unwatch(&runtime->contexts[0], runtime->timer);
	for (unsigned i = 0; i < DEVICE_MAX_QUEUES; i++)
		if (runtime->poll_fd[i] >= 0)
			group_unwatch(runtime_context(runtime, i), runtime->poll_fd[i]);
}

/* From then on nothing of the device is run. */
static void stop_contexts(struct runtime *runtime)
{
	unwatch(runtime);
	for (unsigned i = 0; i < runtime->context_count; i++)
		if (runtime->contexts[i].worker)
			group_leave(&runtime->contexts[i]);
	for (unsigned i = 0; i < runtime->context_count; i++) {
		struct worker_context *context = &runtime->contexts[i];

		if (context->worker)
			drop_group(runtime, context->member.group);
		context_record_free(context->record);
		if (context->tick >= 0)
			close(context->tick);
	}
	runtime->context_count = 0;
}

static void dispose(struct runtime *runtime)
{
	if (runtime->timer >= 0)
		close(runtime->timer);
	pthread_mutex_destroy(&runtime->lock);
	pthread_mutex_destroy(&runtime->owner_lock);
	pthread_cond_destroy(&runtime->reset_over);
	tracer_free(runtime->tracer);
	free(runtime->worker_name);
	free(runtime->backend);
	free(runtime->contexts);
	free(runtime);
}

static struct runtime *allocate(const struct runtime_options *options)
{
	struct runtime *runtime = calloc(1, sizeof(*runtime));

	if (runtime && options->trace && !(runtime->tracer = tracer_new())) {
		free(runtime);
		return NULL;
	}
	if (!runtime)
		return NULL;
	eventfd_prepare();
	runtime->base.ops = &runtime_ops;
	pthread_mutex_init(&runtime->lock, NULL);
	pthread_mutex_init(&runtime->owner_lock, NULL);
	pthread_cond_init(&runtime->reset_over, NULL);
	binding_init(runtime);
	/* without memory for it, it is unknown */
	runtime->backend = options->backend ? strdup(options->backend) : NULL;
	runtime->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return runtime;
}

int runtime_new(const struct runtime_options *options, struct model *model, struct runtime **out,
		struct error *err)
{
	struct runtime *runtime = allocate(options);
	int ret;

	if (!runtime || runtime->timer < 0) {
		ret = error_set(err, runtime ? -errno : -ENOMEM, "cannot make a device: %s",
				strerror(runtime ? errno : ENOMEM));
		model->ops->destroy(model);
		if (runtime)
			dispose(runtime);
		return ret;
	}
	ret = device_new(&options->device, model, &runtime->base, &runtime->device, err);
	if (ret) {
		dispose(runtime);
		return ret;
	}
	ret = start_contexts(runtime, options, err);
	if (ret) {
		stop_contexts(runtime);
		device_free(runtime->device);
		dispose(runtime);
		return ret;
	}
	*out = runtime;
	return 0;
}

static void on_reset(void *arg, int result)
{
	struct runtime *runtime = arg;

	runtime->reset_done = true;
	runtime->reset_result = result;
	pthread_cond_broadcast(&runtime->reset_over);
}

void runtime_end(struct runtime *runtime)
{
	runtime_lock(runtime);
	if (!runtime->ending)
		device_reset(runtime->device, EV_DRIVER_GONE, runtime_now_ms(), on_reset, runtime);
	runtime->ending = true;
	runtime_unlock(runtime);
}

void runtime_wait_end(struct runtime *runtime)
{
	runtime_end(runtime);
	runtime_lock(runtime);
	while (!runtime->reset_done)
		pthread_cond_wait(&runtime->reset_over, &runtime->lock);
	runtime_unlock(runtime);
}

void runtime_free(struct runtime *runtime)
{
	runtime_wait_end(runtime);
	runtime_lock(runtime);
	binding_forget(runtime, true);
	runtime_unlock(runtime);
	stop_contexts(runtime);
	if (runtime->reset_result) {
		/* what the backend still has points into the device: it stays until the process
		 * ends */
		log_error(device_name(runtime->device),
			  "left as it is: its backend did not give %u requests back",
			  device_in_flight(runtime->device));
		return;
	}
	device_free(runtime->device);
	dispose(runtime);
}

struct device *runtime_lock(struct runtime *runtime)
{
	pthread_mutex_lock(&runtime->lock);
	return runtime->device;
}

bool runtime_try_lock(struct runtime *runtime)
{
	return !pthread_mutex_trylock(&runtime->lock);
}

void runtime_unlock(struct runtime *runtime)
{
	struct runtime_after *after = runtime->after;

	assert(!runtime->excluded);
	atomic_store_explicit(&runtime->published_state, device_state(runtime->device),
			      memory_order_relaxed);
	runtime->after = NULL;
	pthread_mutex_unlock(&runtime->lock);
	while (after) {
		struct runtime_after *next =
			after->next; /* `after` may be reused once it has run */

		after->run(after);
		after = next;
	}
}

void runtime_after(struct runtime *runtime, struct runtime_after *after)
{
	struct runtime_after **end = &runtime->after;

	while (*end)
		end = &(*end)->next;
	after->next = NULL;
	*end = after;
}

enum device_state runtime_published_state(const struct runtime *runtime)
{
	return atomic_load_explicit(&runtime->published_state, memory_order_relaxed);
}

const struct device *runtime_device(const struct runtime *runtime)
{
	return runtime->device;
}

const char *runtime_worker(const struct runtime *runtime)
{
	return runtime->worker_name;
}

const char *runtime_backend(const struct runtime *runtime)
{
	return runtime->backend;
}

uint64_t runtime_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
