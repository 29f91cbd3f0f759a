/*
 * Config space: read from the model, or, while suspended, from what it was
 * when the device froze. What the driver writes and what the operator changes
 * meanwhile takes effect, and is announced once, at thaw (S5, S7).
 */
#include <errno.h>
#include <string.h>

#include "device/device_internal.h"

static void read_now(const struct device *device, uint8_t *config)
{
	memset(config, 0, device->config_size);
	device->model->ops->config_read(device->model, config);
}

static bool within(const struct device *device, size_t offset, size_t size)
{
	return size && offset <= device->config_size && size <= device->config_size - offset;
}

int device_get_config(struct device *device, size_t offset, void *to, size_t size)
{
	uint8_t config[DEVICE_MAX_CONFIG];

	if (!within(device, offset, size))
		return -EINVAL;
	if (device->frozen) {
		memcpy(to, device->shown + offset, size);
		return 0;
	}
	exclude_begin(device);
	read_now(device, config);
	exclude_end(device);
	memcpy(to, config + offset, size);
	return 0;
}

int device_set_config(struct device *device, size_t offset, const void *from, size_t size)
{
	if (!within(device, offset, size))
		return -EINVAL;
	if (device->frozen) {
		memcpy(device->written + offset, from, size);
		memset(device->is_written + offset, true, size);
		return 0;
	}
	if (!device->model->ops->config_write)
		return 0;
	exclude_begin(device);
	device->model->ops->config_write(device->model, offset, from, size);
	exclude_end(device);
	return 0;
}

uint32_t device_get_generation(const struct device *device)
{
	return device->generation;
}

/* Tells the driver, now or at thaw. Workers excluded. */
static void changed(struct device *device)
{
	if (device->frozen) {
		device->config_changed = true;
		return;
	}
	device->generation++;
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		device->host->ops->notify_config(device->host);
}

int device_resize(struct device *device, uint64_t bytes, struct fault *f)
{
	int r;

	if (!device->model->ops->resize)
		return fault(f, -EOPNOTSUPP, "%s: a %s device has no size", device->name,
			     device->model->ops->name);
	exclude_begin(device);
	r = device->model->ops->resize(device->model, bytes, f);
	if (r == 0)
		changed(device);
	exclude_end(device);
	return r;
}

int device_set_link(struct device *device, bool up, struct fault *f)
{
	if (!device->model->ops->set_link)
		return fault(f, -EOPNOTSUPP, "%s: a %s device has no link", device->name,
			     device->model->ops->name);
	exclude_begin(device);
	if (device->model->ops->set_link(device->model, up))
		changed(device);
	exclude_end(device);
	return 0;
}

int device_announce(struct device *device, struct fault *f)
{
	int r;

	if (!device->model->ops->announce)
		return fault(f, -EOPNOTSUPP, "%s: a %s device has nothing to announce",
			     device->name, device->model->ops->name);
	exclude_begin(device);
	r = device->model->ops->announce(device->model, f);
	if (r == 0)
		changed(device);
	else
		fault_prefix(f, "%s", device->name);
	exclude_end(device);
	return r;
}

void config_load(struct device *device, const uint8_t *state, size_t size)
{
	uint8_t before[DEVICE_MAX_CONFIG], after[DEVICE_MAX_CONFIG];

	read_now(device, before);
	device->model->ops->state_load(device->model, state, size);
	read_now(device, after);
	if (memcmp(before, after, device->config_size) != 0)
		changed(device);
}

void config_freeze(struct device *device)
{
	read_now(device, device->shown);
	device->frozen = true;
}

void config_drop_written(struct device *device)
{
	memset(device->is_written, false, sizeof(device->is_written));
}

bool config_has_written(const struct device *device)
{
	return memchr(device->is_written, true, sizeof(device->is_written)) != NULL;
}

/* Hands the driver's held writes to the model, one contiguous run at a time. */
static void apply_written(struct device *device)
{
	size_t from, to;

	for (from = 0; from < device->config_size; from = to + 1) {
		to = from;
		while (to < device->config_size && device->is_written[to])
			to++;
		if (to > from && device->model->ops->config_write)
			device->model->ops->config_write(device->model, from,
							 device->written + from, to - from);
	}
	config_drop_written(device);
}

void config_thaw(struct device *device)
{
	if (!device->frozen)
		return;
	device->frozen = false;
	apply_written(device);
	if (!device->config_changed)
		return;
	device->config_changed = false;
	changed(device);
}
