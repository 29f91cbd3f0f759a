/*
 * Features, status and reset, as a vhost-user front end knows them.
 *
 * The protocol's own bits (PROTOCOL_FEATURES, LOG_ALL) share a word with the device's; they are
 * taken out before the device sees it. ACCESS_PLATFORM would mean a vIOMMU here, so it is not
 * offered; towards the device the export implies it, since addresses do go through the table it was
 * sent.
 *
 * QEMU sends SET_FEATURES also while rings run, to switch LOG_ALL: only that may differ then.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>

#include "wire/vhost.h"

#define OWN_BITS (BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VHOST_F_LOG_ALL))
#define RUNNING_STATUS                                                                        \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK | \
	 VIRTIO_CONFIG_S_DRIVER_OK)

static uint64_t offered(const struct vu_client *client)
{
	uint64_t features = device_get_device_features(client->export->device);

	return (features & ~BIT(VIRTIO_F_ACCESS_PLATFORM)) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
	       BIT(VHOST_F_LOG_ALL);
}

int vu_get_features(struct vu_client *client, struct vu_message *message)
{
	message->payload.u64 = offered(client);
	message->head.size = sizeof(uint64_t);
	return 0;
}

/* Bits of the protocol itself: the log, and that no ring waits to be enabled ("Ring states"). */
static int use_own_bits(struct vu_client *client)
{
	client->features = client->frame.message.payload.u64;
	vu_log_apply(client);
	if (!(client->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		return vu_rings_enable_all(client);
	return 0;
}

/*
 * The device forgot its driver's features: those of this message are the ones from now on. It hears
 * of them now, for what may be written to config space; whether they will do is said at the start.
 */
static int take_features(struct vu_client *client)
{
	client->has_features = true;
	device_set_driver_features(client->export->device,
				   client->frame.message.payload.u64 & ~OWN_BITS);
	return use_own_bits(client);
}

static int features_after_reset(struct vu_client *client, int result)
{
	return result < 0 ? result : take_features(client);
}

int vu_set_features(struct vu_client *client, struct vu_message *message)
{
	struct device *device = client->export->device;
	uint64_t features = message->payload.u64;

	if (features & ~offered(client))
		return error_set(&client->err, -EINVAL, "features 0x%llx were not offered",
				 (unsigned long long)(features & ~offered(client)));
	if (!client->has_features || device_state(device) <= STATE_NEGOTIATING)
		return take_features(client);
	if ((features & ~OWN_BITS) == (client->features & ~OWN_BITS))
		return use_own_bits(client);
	if (vu_rings_any_started(client))
		return error_set(&client->err, -EBUSY, "other features while rings are started");
	vu_later_begin(client, features_after_reset);
	device_reset(device, EV_DRIVER_RESET, runtime_now_ms(), vu_later_done, &client->later);
	return VU_LATER;
}

/* FEATURES_OK is about to be set: the device learns what was agreed. */
static int settle_features(struct vu_client *client)
{
	int r = device_set_driver_features(client->export->device, client->features & ~OWN_BITS);

	return r < 0 ? error_set(&client->err, r, "the device refuses features 0x%llx",
				 (unsigned long long)(client->features & ~OWN_BITS))
		     : 0;
}

int vu_start_device(struct vu_client *client)
{
	struct device *device = client->export->device;
	int r;

	if (vu_has(client, VHOST_USER_PROTOCOL_F_STATUS) ||
	    device_get_status(device) & VIRTIO_CONFIG_S_DRIVER_OK)
		return 0;
	r = settle_features(client);
	return r < 0 ? r : device_set_status(device, RUNNING_STATUS, runtime_now_ms());
}

int vu_get_status(struct vu_client *client, struct vu_message *message)
{
	message->payload.u64 = device_get_status(client->export->device);
	message->head.size = sizeof(uint64_t);
	return 0;
}

static int after_reset(struct vu_client *client, int result)
{
	if (result < 0)
		return error_set(&client->err, result,
				 "the backend does not give requests back for a reset");
	vu_rings_reset(client);
	vu_inflight_reset(client);
	return 0;
}

static int reset(struct vu_client *client)
{
	vu_later_begin(client, after_reset);
	device_reset(client->export->device, EV_DRIVER_RESET, runtime_now_ms(), vu_later_done,
		     &client->later);
	return VU_LATER;
}

int vu_set_status(struct vu_client *client, struct vu_message *message)
{
	struct device *device = client->export->device;
	uint64_t status = message->payload.u64;

	if (!status)
		return reset(client);
	if (status > UINT8_MAX)
		return error_set(&client->err, -EINVAL, "status 0x%llx",
				 (unsigned long long)status);
	/* What the device refuses shows as a bit that is missing from GET_STATUS (virtio 3.1.1). */
	if (status & VIRTIO_CONFIG_S_FEATURES_OK &&
	    !(device_get_status(device) & VIRTIO_CONFIG_S_FEATURES_OK) &&
	    settle_features(client) < 0)
		status &= ~(uint64_t)VIRTIO_CONFIG_S_FEATURES_OK;
	client->err.text[0] = '\0';
	return status ? device_set_status(device, (uint8_t)status, runtime_now_ms()) : 0;
}

int vu_reset_device(struct vu_client *client, struct vu_message *message)
{
	return reset(client);
}
