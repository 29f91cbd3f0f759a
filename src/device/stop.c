/*
 * Queues that are disabled one by one, and what happens when the backend does not give their
 * requests back in time.
 *
 * set_vq_ready cannot fail (a void op in the kernel), so its caller goes on as if the queue stood
 * still: if it does not at the deadline, the device is broken, since memory that a backend may
 * still write to is never handed out for something else. device_stop_vq can fail, and then the
 * queue runs on (S10). Whose front end takes the record of requests in flight along (vhost-user's
 * GET_VRING_BASE_INFLIGHT) need not wait for them to be done: at half of the time the backend is
 * asked to give back what it has not done, as when the device is parked (see park.c).
 */
#include <assert.h>
#include <errno.h>

#include "device/device_internal.h"

static void end_disable(struct queue *queue, int result)
{
	device_answer(queue->device, queue->disable_done, queue->disable_arg, result);
	queue->disable_done = NULL;
	queue->handing = false;
}

void queue_settle_disable(struct queue *queue)
{
	if (!queue->disable_done || queue_in_flight(queue))
		return;
	queue_freeze(queue);
	end_disable(queue, 0);
}

uint64_t queue_disable_deadline(const struct queue *queue)
{
	if (!queue->disable_done)
		return 0;
	return queue->disable_park_at && !queue->handing ? queue->disable_park_at
							 : queue->disable_at;
}

/* S10: as it was before, with what came back meanwhile taken again. */
static void run_on(struct queue *queue)
{
	struct device *device = queue->device;

	if (device->state != STATE_RUNNING && device->state != STATE_SUSPENDING) {
		end_disable(queue, -EIO);
		return;
	}
	log_info(device->name, "queue %u is not stopped: %u requests did not come back in time",
		 queue->index, queue->in_flight);
	end_disable(queue, -ETIMEDOUT);
	queue->ready = true;
	if (device->state == STATE_RUNNING)
		queue_open(queue);
	else
		device->runtime->ops->wake_queue(device->runtime, queue->index);
}

bool queue_park_if_due(struct queue *queue, uint64_t now_ms)
{
	if (!queue->disable_done || !queue->disable_park_at || queue->disable_park_at > now_ms)
		return false;
	log_info(queue->device->name, "parking queue %u: %u requests did not come back so far",
		 queue->index, queue_in_flight(queue));
	queue_park(queue);
	queue->handing = queue->parking;
	queue->disable_park_at = 0;
	queue_settle_disable(queue);
	return true;
}

void queue_expire_disable(struct queue *queue, uint64_t now_ms)
{
	if (!queue->disable_done || queue->disable_at > now_ms)
		return;
	if (queue->disable_undo) {
		run_on(queue);
		return;
	}
	end_disable(queue, 0);
	device_break(queue->device, queue, "the backend kept requests after it was disabled");
}

/* Whoever still waits for the queue to drain is told now; what is in flight stays in flight. */
static void stop_disabling(struct queue *queue)
{
	if (queue->disable_done)
		end_disable(queue, 0);
	deadline_update(queue->device);
}

static void disable(struct queue *queue, device_done done, void *arg, uint64_t now_ms, bool undo)
{
	struct device *device = queue->device;
	uint32_t ms = device->options.suspend_timeout_ms;
	const char *trouble = queue_trouble(queue);

	/* With the ring it would be forgotten, and with it what was taken and cannot be answered.
	 */
	if (trouble)
		device_break(device, queue, trouble);
	queue_close(queue, false);
	if (!queue_in_flight(queue) || queue->disable_done) {
		if (!queue_in_flight(queue))
			queue_freeze(queue);
		device_answer(device, done, arg, 0);
		return;
	}
	queue->disable_done = done;
	queue->disable_arg = arg;
	queue->disable_at = now_ms + ms;
	queue->disable_park_at = undo && queue_moves_along(queue) ? now_ms + ms / 2 : 0;
	queue->disable_undo = undo;
	deadline_update(device);
}

void device_set_vq_ready(struct device *device, unsigned index, bool ready, uint64_t now_ms,
			 device_done done, void *arg)
{
	struct queue *queue = &device->queues[index];

	assert(index < device->queue_count);
	if (ready == queue->ready) {
		device_answer(device, done, arg, 0);
	} else {
		exclude_begin(device);
		queue->ready = ready;
		if (!ready) {
			disable(queue, done, arg, now_ms, false);
		} else {
			stop_disabling(queue);
			queue->ring_num = queue->num; /* linux: vdpasim_queue_ready */
			if (device->state == STATE_RUNNING)
				queue_open(queue); /* else when the device starts (S8) */
			device_answer(device, done, arg, 0);
		}
		exclude_end(device);
	}
	device_give_answers(device);
}

/* An operator's hold keeps requests of the queue that the driver would go on without (S12). */
static bool is_parked_for_operator(const struct queue *queue)
{
	return (queue->device->parking || queue->resubmit_count) && !queue_moves_along(queue);
}

void device_stop_vq(struct device *device, unsigned index, uint64_t now_ms, device_done done,
		    void *arg)
{
	struct queue *queue = &device->queues[index];

	assert(index < device->queue_count);
	if (!queue->ready) {
		device_answer(device, done, arg, 0);
	} else if (is_parked_for_operator(queue)) {
		device_answer(device, done, arg, -EBUSY);
	} else {
		exclude_begin(device);
		queue->ready = false;
		disable(queue, done, arg, now_ms, true);
		exclude_end(device);
	}
	device_give_answers(device);
}

bool device_discard_vq(struct device *device, unsigned index, bool discard)
{
	const struct model_ops *ops = device->model->ops;
	bool does;

	assert(index < device->queue_count);
	if (!ops->queue_discard)
		return false;
	exclude_begin(device);
	does = ops->queue_discard(device->model, index, discard);
	if (does)
		device->runtime->ops->wake_queue(device->runtime, index);
	exclude_end(device);
	return does;
}
