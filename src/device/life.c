/*
 * Taking events: the one reader of the life-cycle table, and the effects.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "device/device_internal.h"

/* What those who wait for suspension hear when it does not come about. */
static int failure(const struct device *device, enum device_event event)
{
	switch (event) {
	case EV_DEADLINE:
		/* perhaps that of a reset, and not theirs */
		return device->state == STATE_BROKEN ? -EIO : -ETIMEDOUT;
	case EV_BREAK:
	case EV_OPERATOR_RESET:
		return -EIO;
	default:
		return -ECANCELED;
	}
}

/* A reset ends the driver's wait only: an operator's hold outlives it (S14). */
static void fail_waiters(struct device *device, enum device_event event)
{
	bool reset = event == EV_DRIVER_RESET || event == EV_DRIVER_GONE;
	unsigned holders = reset ? HOLDER_DRIVER : ~0u;

	waiters_answer(device, holders, failure(device, event));
	if (event == EV_DEADLINE || event == EV_BREAK || event == EV_OPERATOR_RESET)
		device->holders = 0;
}

static void clear(struct device *device)
{
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		state_forget(device);
	device->status = 0;
	device->holders &= ~(unsigned)HOLDER_DRIVER;
	device->features = 0;
	device->broken.text[0] = '\0';
	memset(device->group_asid, 0, sizeof(device->group_asid));
	if (device->model->ops->reset)
		device->model->ops->reset(device->model);
	for (unsigned i = 0; i < device->queue_count; i++) {
		queue_clear(&device->queues[i]);
		if (!device->gone)
			continue;
		queue_forget(&device->queues[i]);
		device->queues[i].record = NULL;
		device->queues[i].used_log = NULL;
	}
	if (device->gone) {
		spaces_clear(device);
		device->export_rules = 0;
		device->data_log = NULL;
	}
	device->generation++;
	device->runtime->ops->forget(device->runtime, device->gone);
	device->gone = false;
}

static void needs_reset(struct device *device)
{
	if (device->status & VIRTIO_CONFIG_S_NEEDS_RESET)
		return;
	device->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		device->runtime->ops->notify_config(device->runtime);
}

static void cancel(struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++) {
		struct queue *queue = &device->queues[i];

		if (!queue->in_flight)
			continue;
		if (device->model->ops->cancel)
			device->model->ops->cancel(device->model, i);
		device->runtime->ops->wake_queue(device->runtime, i);
	}
}

static void for_each_queue(struct device *device, void (*fn)(struct queue *))
{
	for (unsigned i = 0; i < device->queue_count; i++)
		fn(&device->queues[i]);
}

static void open_if_ready(struct queue *queue)
{
	/* One that cannot start breaks the device, and then the others are not to start. */
	if (queue->ready && queue->device->state == STATE_RUNNING)
		queue_open(queue);
	else if (queue->parking) /* being stopped: what came back undone is taken again */
		queue->device->runtime->ops->wake_queue(queue->device->runtime, queue->index);
}

static void stop(struct device *device, enum device_state next)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_close(&device->queues[i], next != STATE_SUSPENDING);
}

static void park(struct device *device)
{
	device->parking = true;
	for_each_queue(device, queue_park);
}

static void apply(struct device *device, enum device_event event, struct lifecycle_step step)
{
	unsigned fx = step.effects;

	if (fx & FX_STOP)
		stop(device, step.next);
	if (fx & FX_CANCEL)
		cancel(device);
	if (fx & FX_PARK)
		park(device);
	if (fx & FX_FAIL_WAITERS)
		fail_waiters(device, event);
	if (fx & FX_ANSWER_WAITERS)
		waiters_answer(device, ~0u, 0);
	if (fx & FX_CLEAR)
		clear(device);
	if (fx & FX_NEEDS_RESET)
		needs_reset(device);
	if (fx & FX_THAW)
		config_thaw(device);
	if (fx & FX_START && event == EV_DRIVER_OK)
		state_continue(device);
	if (fx & FX_START)
		for_each_queue(device, open_if_ready);
	if (fx & FX_FREEZE) {
		for_each_queue(device, queue_freeze);
		config_freeze(device);
	}
	if (fx & (FX_ANSWER_RESET | FX_FAIL_RESET))
		reset_waiters_answer(device, fx & FX_ANSWER_RESET ? 0 : -ETIMEDOUT);
	if (step.next != STATE_SUSPENDING)
		device->parking = false;
}

static int take_one(struct device *device, enum device_event event)
{
	struct lifecycle_step step = lifecycle_step(device->state, event);
	bool moves = step.next != device->state;

	if (step.refusal) {
		log_trace(device->name, "%s: %s refused: %s", lifecycle_state_name(device->state),
			  lifecycle_event_name(event), strerror(-step.refusal));
		return step.refusal;
	}
	if (moves || step.effects)
		log_trace(device->name, "%s -> %s (%s)", lifecycle_state_name(device->state),
			  lifecycle_state_name(step.next), lifecycle_event_name(event));
	device->state = step.next;
	apply(device, event, step);
	if (moves && device->state == step.next) /* it may have broken on the way */
		device_trace(device, TRACE_STATE, 0, step.next);
	return 0;
}

/*
 * What is waited for may have come: nothing is in flight. S3: a device in which something was
 * taken and not finished, because it was nonsense, is not suspended but broken, also if its worker
 * has not been heard yet.
 */
void device_settle_drained(struct device *device)
{
	if (device->state != STATE_SUSPENDING && device->state != STATE_RESETTING)
		return;
	if (device_count_in_flight(device))
		return;
	for (unsigned i = 0; device->state == STATE_SUSPENDING && i < device->queue_count; i++) {
		const char *trouble = queue_trouble(&device->queues[i]);

		if (trouble)
			device_break(device, &device->queues[i], trouble);
	}
	take_one(device, EV_DRAINED);
}

int device_take(struct device *device, enum device_event event)
{
	int r = take_one(device, event);

	if (r < 0)
		return r;
	/* Somebody held the device before it ran (S14): it never gets to take a chain, nor to do
	 * again what it was restored with. */
	if (device->state == STATE_RUNNING && device->holders) {
		take_one(device, EV_HOLD);
		if (device_count_in_flight(device))
			take_one(device, EV_PARK);
	}
	device_settle_drained(device);
	deadline_update(device);
	return 0;
}

int device_take_excluded(struct device *device, enum device_event event)
{
	int r;

	exclude_begin(device);
	r = device_take(device, event);
	exclude_end(device);
	return r;
}

void device_break(struct device *device, const struct queue *queue, const char *reason)
{
	if (device->state == STATE_RUNNING || device->state == STATE_SUSPENDING) {
		error_set(&device->broken, -EIO, "queue %u: %s", queue->index, reason);
		log_warning(device->name, "broken, the driver has to reset it: %s",
			    device->broken.text);
	}
	device_take(device, EV_BREAK);
}

void device_answer(struct device *device, device_done done, void *arg, int result)
{
	assert(device->answer_count < ANSWERS_MAX);
	device->answers[device->answer_count++] =
		(struct answer){.done = done, .arg = arg, .result = result};
}

void device_give_answers(struct device *device)
{
	while (device->answer_count) {
		struct answer answer = device->answers[0];

		device->answer_count--;
		memmove(device->answers, device->answers + 1,
			device->answer_count * sizeof(answer));
		answer.done(answer.arg, answer.result);
	}
}
