/*
 * The device status over a vhost-user socket. Where the back end knows it (STATUS), it is the back
 * end's; many do not (QEMU's storage daemon), and there it is kept here: rings are started and
 * stopped by themselves, and a reset is RESET_DEVICE or, without, the end of every ring.
 */
#include "driver/vhost_user_internal.h"

int vu_front_get_status(struct vu_front *front, uint8_t *status)
{
	uint64_t value = front->status;
	int r = 0;

	if (vu_has(front, VHOST_USER_PROTOCOL_F_STATUS))
		r = vu_get_u64(front, VHOST_USER_GET_STATUS, &value);
	*status = (uint8_t)value;
	return r;
}

int vu_front_set_status(struct vu_front *front, uint8_t status)
{
	int r = 0;

	if (vu_has(front, VHOST_USER_PROTOCOL_F_STATUS))
		r = vu_set_u64(front, VHOST_USER_SET_STATUS, status);
	else if (!status && vu_has(front, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
		r = vu_request(front, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0);
	else if (!status)
		r = vu_front_stop_rings(front);
	if (r < 0)
		return r;
	front->status = status;
	if (!status)
		vu_front_rings_reset(front);
	if (!(status & VIRTIO_CONFIG_S_DRIVER_OK) || front->suspended)
		return 0;
	return vu_front_start_rings(front);
}
