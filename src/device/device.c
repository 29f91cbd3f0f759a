/* Making a device, and the facts about it that never change. */
#include "device/device.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/device_internal.h"

static int check_options(const struct device_options *o, const struct model *model, struct error *f)
{
	const struct model_ops *ops = model->ops;

	if (!o->name || !*o->name || strlen(o->name) > DEVICE_NAME_MAX)
		return error_set(f, -EINVAL, "a device's name has 1 to %d bytes", DEVICE_NAME_MAX);
	if (o->queue_size < 2 || o->queue_size > DEVICE_MAX_QUEUE_SIZE ||
	    (o->queue_size & (o->queue_size - 1)))
		return error_set(f, -EINVAL, "%s: queue size %u: give a power of two from 2 to %d",
				 o->name, o->queue_size, DEVICE_MAX_QUEUE_SIZE);
	if (!o->asids || o->asids > DEVICE_MAX_ASIDS)
		return error_set(f, -EINVAL, "%s: %u address spaces: give 1 to %d", o->name,
				 o->asids, DEVICE_MAX_ASIDS);
	if (o->groups > DEVICE_MAX_GROUPS || (o->groups && ops->queue_group))
		return error_set(f, -EINVAL, "%s: %u queue groups: %s", o->name, o->groups,
				 ops->queue_group ? "this device type has its own"
						  : "there are at most four");
	assert(ops->config_size <= DEVICE_MAX_CONFIG);
	assert(!ops->group_count ||
	       ops->group_count((struct model *)(uintptr_t)model) <= DEVICE_MAX_GROUPS);
	return 0;
}

int device_new(const struct device_options *options, struct model *model,
	       struct device_runtime *runtime, struct device **out, struct error *f)
{
	struct device *device = NULL;
	int r = check_options(options, model, f);

	if (r == 0) {
		device = calloc(1, sizeof(*device));
		r = device ? 0 : error_set(f, -ENOMEM, "no memory for device %s", options->name);
	}
	if (r < 0) {
		model->ops->destroy(model);
		return r;
	}
	device->options = *options;
	snprintf(device->name, sizeof(device->name), "%s", options->name);
	device->options.name = device->name;
	device->model = model;
	device->port = (struct model_port){queue_borrow, queue_give_back};
	model->port = &device->port;
	device->runtime = runtime;
	device->config_size = model->ops->config_size;
	device->group_count = options->groups ? options->groups : 1;
	if (model->ops->group_count)
		device->group_count = model->ops->group_count(model);
	device->queue_count = model->ops->queue_count(model);
	assert(device->queue_count && device->queue_count <= DEVICE_MAX_QUEUES);
	device->queues = calloc(device->queue_count, sizeof(struct queue));
	if (!device->queues) {
		device->queue_count = 0;
		device_free(device);
		return error_set(f, -ENOMEM, "no memory for the queues of %s", options->name);
	}
	for (unsigned i = 0; i < device->queue_count; i++) {
		device->queues[i].device = device;
		device->queues[i].index = i;
		device->queues[i].num = (uint16_t)options->queue_size;
		ring_init(&device->queues[i].ring);
	}
	*out = device;
	return 0;
}

void device_free(struct device *device)
{
	if (!device)
		return;
	assert(device->state == STATE_RESET && !device->answer_count);
	for (unsigned i = 0; i < device->queue_count; i++)
		queue_forget(&device->queues[i]);
	spaces_clear(device);
	device->model->ops->destroy(device->model);
	state_forget(device);
	free(device->queues);
	free(device);
}

const char *device_name(const struct device *device)
{
	return device->name;
}

enum device_state device_state(const struct device *device)
{
	return device->state;
}

uint32_t device_get_device_id(const struct device *device)
{
	return device->model->ops->device_id;
}

uint16_t device_get_vq_num_max(const struct device *device)
{
	return (uint16_t)device->options.queue_size;
}

unsigned device_get_vqs_count(const struct device *device)
{
	return device->queue_count;
}

unsigned device_get_group_count(const struct device *device)
{
	return device->group_count;
}

unsigned device_get_asid_count(const struct device *device)
{
	return device->options.asids;
}

size_t device_get_config_size(const struct device *device)
{
	return device->config_size;
}

const char *device_broken_reason(const struct device *device)
{
	return device->state == STATE_BROKEN ? device->broken.text : "";
}

struct model *device_model(struct device *device)
{
	return device->model;
}
