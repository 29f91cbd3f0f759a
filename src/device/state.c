/*
 * Saving a device and going on from what was saved: see state.h.
 *
 * A restored state waits beside the device until a driver says DRIVER_OK: drivers reset a device
 * before they set it up, and that must not take away what they are to go on from. Then each queue
 * uses it, where it fits, when it first starts (over vhost-user that is later); the reset after
 * that ends it.
 */
#include "device/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device_internal.h"

static void save_queue(const struct queue *queue, struct snapshot_queue *to)
{
	to->size = queue->ready ? queue->ring_num : queue->num;
	/* over vhost-user, a queue whose position was asked for is not ready any more */
	to->ready = queue->ready || queue->has_base;
	to->base = queue_base(queue);
	to->desc = queue->desc;
	to->driver = queue->driver;
	to->used = queue->used;
	if (queue->device->features & (1ull << VIRTIO_F_RING_PACKED))
		return; /* what is in flight is in the record alone */
	to->in_flight_count = (uint16_t)queue->resubmit_count;
	if (queue->resubmit_count)
		memcpy(to->in_flight, queue->resubmit_list,
		       queue->resubmit_count * sizeof(to->in_flight[0]));
}

int device_save(struct device *device, struct device_snapshot *s, struct error *f)
{
	const struct model_ops *ops = device->model->ops;

	if (device->state != STATE_SUSPENDED && device->state > STATE_READY)
		return error_set(f, -EBUSY, "device '%s' is %s: suspend it before it is saved",
				 device->name, lifecycle_state_name(device->state));
	if (device_is_restored(device)) {
		*s = *device->restored; /* nobody has gone on from it yet */
		return 0;
	}
	memset(s, 0, sizeof(*s));
	s->version = STATE_VERSION;
	snprintf(s->name, sizeof(s->name), "%s", device->name);
	s->device_id = ops->device_id;
	s->status = device->status;
	s->features = device->features;
	s->queue_count = (uint16_t)device->queue_count;
	exclude_begin(device);
	if (ops->state_save)
		s->model_size = (uint16_t)ops->state_save(device->model, s->model);
	for (unsigned i = 0; i < device->queue_count; i++)
		save_queue(&device->queues[i], &s->queues[i]);
	exclude_end(device);
	return 0;
}

static int check_features(struct device *device, const struct device_snapshot *s, struct error *f)
{
	uint64_t missing = s->features & ~device_features_anywhere(device);

	if (missing)
		return error_set(
			f, -EINVAL,
			"the saved driver uses features 0x%llx, which device '%s' does not offer",
			(unsigned long long)missing, device->name);
	return 0;
}

static int check_queues(const struct device *device, const struct device_snapshot *s,
			struct error *f)
{
	/* what a card's queues are for depends on how many it has (virtio 1.3, 5.1.2) */
	if (s->queue_count != device->queue_count && device->model->ops->queue_group)
		return error_set(f, -EINVAL, "the saved device has %u queues, device '%s' has %u",
				 s->queue_count, device->name, device->queue_count);
	for (unsigned i = device->queue_count; i < s->queue_count; i++)
		if (s->queues[i].ready)
			return error_set(
				f, -EINVAL,
				"queue %u of the saved device is in use, and device '%s' has "
				"%u queues",
				i, device->name, device->queue_count);
	for (unsigned i = 0; i < s->queue_count; i++)
		if (s->queues[i].ready && s->queues[i].size > device->options.queue_size)
			return error_set(
				f, -EINVAL,
				"queue %u is saved with %u entries; those of device '%s' have at "
				"most %u",
				i, s->queues[i].size, device->name, device->options.queue_size);
	return 0;
}

static int check_model(struct device *device, const struct device_snapshot *s, struct error *f)
{
	const struct model_ops *ops = device->model->ops;

	if (s->device_id != ops->device_id)
		return error_set(
			f, -EINVAL,
			"the saved state is of a device with virtio id %u, device '%s' has %u",
			s->device_id, device->name, ops->device_id);
	if (ops->state_check)
		return ops->state_check(device->model, s->model, s->model_size, f);
	if (s->model_size)
		return error_set(f, -EINVAL, "a %s device keeps no state of its own", ops->name);
	return 0;
}

static int check(struct device *device, const struct device_snapshot *s, struct error *f)
{
	int r = check_model(device, s, f);

	if (r == 0)
		r = check_features(device, s, f);
	return r < 0 ? r : check_queues(device, s, f);
}

int device_restore(struct device *device, const struct device_snapshot *s, struct error *f)
{
	struct device_snapshot *copy;
	int r;

	if (device->state > STATE_READY)
		return error_set(
			f, -EBUSY,
			"device '%s' is %s: a state can be restored only while no driver has "
			"set it up",
			device->name, lifecycle_state_name(device->state));
	exclude_begin(device);
	r = check(device, s, f);
	exclude_end(device);
	if (r < 0)
		return r;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return error_set(f, -ENOMEM, "no memory for the saved state");
	*copy = *s;
	state_forget(device);
	device->restored = copy;
	return 0;
}

bool device_is_restored(const struct device *device)
{
	return device->restored && !(device->status & VIRTIO_CONFIG_S_DRIVER_OK);
}

void device_forget_restored(struct device *device)
{
	if (device_is_restored(device))
		state_forget(device);
}

/* Whether the driver set the queue up as the one that was saved, and did not say where to begin. */
static bool is_same(const struct queue *queue, const struct snapshot_queue *s)
{
	return queue->ring_num == s->size && queue->desc == s->desc && queue->driver == s->driver &&
	       queue->used == s->used && (!queue->has_base || queue->base == s->base);
}

void state_continue_queue(struct queue *queue)
{
	struct device *device = queue->device;
	struct snapshot_queue *s =
		device->restored ? &device->restored->queues[queue->index] : NULL;

	if (!s || !s->ready)
		return;
	s->ready = false; /* once */
	if (!is_same(queue, s) || (s->in_flight_count && queue_make_resubmit_list(queue) < 0)) {
		log_warning(
			device->name,
			"queue %u is not set up as it was saved: its restored position%s is not "
			"used",
			queue->index, s->in_flight_count ? " (with requests in flight)" : "");
		return;
	}
	queue->base = s->base;
	queue->has_base = true;
	queue->resubmit_count = s->in_flight_count;
	if (s->in_flight_count)
		memcpy(queue->resubmit_list, s->in_flight,
		       s->in_flight_count * sizeof(s->in_flight[0]));
}

void state_continue(struct device *device)
{
	const struct device_snapshot *s = device->restored;

	if (!s)
		return;
	if (s->features != device->features) {
		if (s->features)
			log_warning(device->name,
				    "its driver negotiated other features than were saved: the "
				    "restored state is not used");
		state_forget(device);
	} else if (device->model->ops->state_load) {
		config_load(device, s->model, s->model_size);
	}
}

void state_forget(struct device *device)
{
	free(device->restored);
	device->restored = NULL;
}
