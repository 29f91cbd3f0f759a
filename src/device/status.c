/* Features, status and reset: what the driver negotiates (kernel: vhost_vdpa_set_status). */
#include <errno.h>

#include "device/device_internal.h"

#define BIT(n) (1ull << (n))

/* What the rings and the transport offer, for every device type. */
#define RING_FEATURES                                              \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX))

/* Without these two we could not serve the driver (sim: vdpasim_set_driver_features). */
#define REQUIRED_FEATURES (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM))

uint64_t device_features_anywhere(const struct device *device)
{
	uint64_t offered = device->model->ops->features(device->model) | RING_FEATURES;

	if (device->options.packed)
		offered |= BIT(VIRTIO_F_RING_PACKED);
	if (device->options.in_order)
		offered |= BIT(VIRTIO_F_IN_ORDER);
	if (device->options.ring_reset)
		offered |= BIT(VIRTIO_F_RING_RESET);
	return offered & ~(device->options.features_off & ~REQUIRED_FEATURES);
}

uint64_t device_get_device_features(const struct device *device)
{
	uint64_t offered = device_features_anywhere(device);

	return device->export_rules & EXPORT_RESETS_QUEUES ? offered
							   : offered & ~BIT(VIRTIO_F_RING_RESET);
}

int device_set_driver_features(struct device *device, uint64_t features)
{
	if (device->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return -EBUSY;
	if (device->export_rules & EXPORT_IMPLIES_PLATFORM)
		features |= BIT(VIRTIO_F_ACCESS_PLATFORM);
	features &= device_get_device_features(device);
	if ((features & REQUIRED_FEATURES) != REQUIRED_FEATURES)
		return -EINVAL;
	device->features = features;
	return 0;
}

void device_set_export_rules(struct device *device, unsigned rules)
{
	device->export_rules = rules;
}

uint64_t device_get_driver_features(const struct device *device)
{
	return device->features;
}

uint8_t device_get_status(const struct device *device)
{
	return device->status;
}

static enum device_event status_event(uint8_t status)
{
	if (status & VIRTIO_CONFIG_S_DRIVER_OK)
		return EV_DRIVER_OK;
	if (status & VIRTIO_CONFIG_S_FEATURES_OK)
		return EV_FEATURES_OK;
	return EV_NEGOTIATE;
}

int device_set_status(struct device *device, uint8_t status, uint64_t now_ms)
{
	uint8_t old = device->status;
	int r;

	if (!status || (old & ~status))
		return -EINVAL;
	if (status & ~old & VIRTIO_CONFIG_S_DRIVER_OK)
		device_trace(device, TRACE_DRIVER_OK, 0, 0);
	exclude_begin(device);
	device->status = status;
	if (status_event(status) != EV_NEGOTIATE && status_event(old) == EV_NEGOTIATE &&
	    device->model->ops->negotiated)
		device->model->ops->negotiated(device->model, device->features);
	r = device_take(device, status_event(status));
	if (r < 0)
		device->status = old;
	exclude_end(device);
	device_give_answers(device);
	return r;
}

/* Takes the reset. Refused (only an operator's is), its own waiter hears it and no other. */
static void reset_with(struct device *device, enum device_event event, struct waiter *waiter)
{
	struct waiter mine = *waiter;
	int r;

	if (event != EV_OPERATOR_RESET)
		device->holders &= ~(unsigned)HOLDER_DRIVER;
	if (event == EV_DRIVER_GONE)
		device->gone = true;
	if (event == EV_OPERATOR_RESET && device->state != STATE_BROKEN)
		error_set(&device->broken, -EIO, "the operator asked for a reset");
	r = device_take(device, event);
	if (r == 0)
		return;
	waiter->done = NULL;
	device_answer(device, mine.done, mine.arg, r);
}

void device_reset(struct device *device, enum device_event event, uint64_t now_ms, device_done done,
		  void *arg)
{
	uint64_t at = now_ms + device->options.suspend_timeout_ms;
	struct waiter *waiter;

	device_trace(device, TRACE_RESET, 0, event);
	exclude_begin(device);
	waiter = waiter_add(device, 0, at, done, arg);
	if (waiter)
		reset_with(device, event, waiter);
	else
		device_answer(device, done, arg, -EBUSY);
	exclude_end(device);
	device_give_answers(device);
}
