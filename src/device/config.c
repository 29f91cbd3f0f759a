/*
 * Config space: read from the model, or, while suspended, from what it was
 * when the device froze. What the operator changes meanwhile is shown, and
 * announced once, at thaw (S5). What the driver writes it reads back at once, at
 * every kind (S7): a write that waited would be lost to a reset, which VMMs send
 * behind their guest's back. Nothing is done while suspended, so that its effect on
 * requests begins with resume all the same.
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

/* What counts as negotiated: before the driver has accepted anything, all that it may yet. */
static uint64_t features_so_far(const struct device *device)
{
	bool settled = device->status & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);

	return settled || device->features ? device->features : device_get_device_features(device);
}

bool device_config_is_writable(const struct device *device, size_t offset, size_t size)
{
	const struct model_ops *ops = device->model->ops;
	uint64_t features = features_so_far(device);

	for (size_t i = 0; i < size; i++)
		if (!ops->config_writable ||
		    !ops->config_writable(device->model, features, offset + i))
			return false;
	return true;
}

/* Bytes that the driver may not write have to be what they are: QEMU writes all of it at once. */
static int write_fields(struct device *device, size_t offset, const uint8_t *from, size_t size)
{
	uint8_t now[DEVICE_MAX_CONFIG];
	const uint8_t *shown = device->frozen ? device->shown : now;
	size_t writable = 0;

	read_now(device, now);
	for (size_t i = offset; i < offset + size; i++)
		if (device_config_is_writable(device, i, 1))
			writable++;
		else if (from[i - offset] != shown[i])
			return -EINVAL;
	if (!writable)
		return 0;
	device->model->ops->config_write(device->model, offset, from, size);
	read_now(device, now);
	for (size_t i = offset; i < offset + size; i++)
		if (device_config_is_writable(device, i, 1))
			device->shown[i] = now[i];
	return 0;
}

int device_set_config(struct device *device, size_t offset, const void *from, size_t size)
{
	int r;

	if (!within(device, offset, size))
		return -EINVAL;
	exclude_begin(device);
	r = write_fields(device, offset, from, size);
	exclude_end(device);
	return r;
}

void device_forget_choices(struct device *device)
{
	if (!device->model->ops->forget)
		return;
	exclude_begin(device);
	device->model->ops->forget(device->model);
	exclude_end(device);
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
		device->runtime->ops->notify_config(device->runtime);
}

int device_resize(struct device *device, uint64_t bytes, struct error *f)
{
	int r;

	if (!device->model->ops->resize)
		return error_set(f, -EOPNOTSUPP, "%s: a %s device has no size", device->name,
				 device->model->ops->name);
	exclude_begin(device);
	r = device->model->ops->resize(device->model, bytes, f);
	if (r == 0)
		changed(device);
	exclude_end(device);
	return r;
}

int device_set_link(struct device *device, bool up, struct error *f)
{
	if (!device->model->ops->set_link)
		return error_set(f, -EOPNOTSUPP, "%s: a %s device has no link", device->name,
				 device->model->ops->name);
	exclude_begin(device);
	if (device->model->ops->set_link(device->model, up))
		changed(device);
	exclude_end(device);
	return 0;
}

int device_announce(struct device *device, struct error *f)
{
	int r;

	if (!device->model->ops->announce)
		return error_set(f, -EOPNOTSUPP, "%s: a %s device has nothing to announce",
				 device->name, device->model->ops->name);
	exclude_begin(device);
	r = device->model->ops->announce(device->model, f);
	if (r == 0)
		changed(device);
	else
		error_prefix(f, "%s", device->name);
	exclude_end(device);
	return r;
}

int device_send_rarp(struct device *device, uint64_t mac)
{
	unsigned queue;
	bool sends = false;

	exclude_begin(device);
	if (device->model->ops->send_rarp)
		sends = device->model->ops->send_rarp(device->model, mac, &queue);
	if (sends)
		device->runtime->ops->wake_queue(device->runtime, queue);
	exclude_end(device);
	return sends ? 0 : -EOPNOTSUPP;
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

void config_thaw(struct device *device)
{
	if (!device->frozen)
		return;
	device->frozen = false;
	if (!device->config_changed)
		return;
	device->config_changed = false;
	changed(device);
}
