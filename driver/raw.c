/* Every vhost-vdpa call as a thin function: see uvdpa/driver_raw.h. */
#include "uvdpa/driver_raw.h"

#include <errno.h>
#include <string.h>

#include "driver/connection.h"
#include "wire/vhost.h"

#define CONFIG_LIMIT 4096

int uvdpa_ioctl(struct uvdpa_driver *drv, unsigned long cmd, void *arg)
{
	return drv->ops->ioctl(drv->ctx, cmd, arg);
}

ssize_t uvdpa_write(struct uvdpa_driver *drv, const void *buf, size_t len)
{
	return drv->ops->write(drv->ctx, buf, len);
}

/* The thin calls promise 0 for success, whatever positive number a transport may say. */
static int call(struct uvdpa_driver *drv, unsigned long cmd, void *arg)
{
	int r = uvdpa_ioctl(drv, cmd, arg);

	return r > 0 ? 0 : r;
}

int uvdpa_get_device_id(struct uvdpa_driver *drv, uint32_t *id)
{
	return call(drv, VHOST_VDPA_GET_DEVICE_ID, id);
}

int uvdpa_get_status(struct uvdpa_driver *drv, uint8_t *status)
{
	return call(drv, VHOST_VDPA_GET_STATUS, status);
}

int uvdpa_set_status(struct uvdpa_driver *drv, uint8_t status)
{
	return call(drv, VHOST_VDPA_SET_STATUS, &status);
}

/* A config request on the stack: the header, then the bytes. */
union config_request {
	struct vhost_vdpa_config head;
	unsigned char bytes[sizeof(struct vhost_vdpa_config) + CONFIG_LIMIT];
};

int uvdpa_get_config(struct uvdpa_driver *drv, uint32_t offset, void *buf, uint32_t len)
{
	union config_request request;
	int r;

	if (len > CONFIG_LIMIT)
		return -E2BIG;
	memset(&request, 0, sizeof(request));
	request.head.off = offset;
	request.head.len = len;
	r = call(drv, VHOST_VDPA_GET_CONFIG, &request);
	if (r == 0)
		memcpy(buf, request.bytes + sizeof(request.head), len);
	return r;
}

int uvdpa_set_config(struct uvdpa_driver *drv, uint32_t offset, const void *buf, uint32_t len)
{
	union config_request request;

	if (len > CONFIG_LIMIT)
		return -E2BIG;
	memset(&request, 0, sizeof(request));
	request.head.off = offset;
	request.head.len = len;
	if (len)
		memcpy(request.bytes + sizeof(request.head), buf, len);
	return call(drv, VHOST_VDPA_SET_CONFIG, &request);
}

int uvdpa_get_config_size(struct uvdpa_driver *drv, uint32_t *size)
{
	return call(drv, VHOST_VDPA_GET_CONFIG_SIZE, size);
}

int uvdpa_set_config_call(struct uvdpa_driver *drv, int fd)
{
	return call(drv, VHOST_VDPA_SET_CONFIG_CALL, &fd);
}

int uvdpa_get_features(struct uvdpa_driver *drv, uint64_t *features)
{
	return call(drv, VHOST_GET_FEATURES, features);
}

int uvdpa_set_features(struct uvdpa_driver *drv, uint64_t features)
{
	return call(drv, VHOST_SET_FEATURES, &features);
}

int uvdpa_get_backend_features(struct uvdpa_driver *drv, uint64_t *features)
{
	return call(drv, VHOST_GET_BACKEND_FEATURES, features);
}

int uvdpa_set_backend_features(struct uvdpa_driver *drv, uint64_t features)
{
	return call(drv, VHOST_SET_BACKEND_FEATURES, &features);
}

int uvdpa_get_vring_num(struct uvdpa_driver *drv, uint16_t *num)
{
	return call(drv, VHOST_VDPA_GET_VRING_NUM, num);
}

int uvdpa_get_vqs_count(struct uvdpa_driver *drv, uint32_t *count)
{
	return call(drv, VHOST_VDPA_GET_VQS_COUNT, count);
}

int uvdpa_get_iova_range(struct uvdpa_driver *drv, uint64_t *first, uint64_t *last)
{
	struct vhost_vdpa_iova_range range = {0};
	int r = call(drv, VHOST_VDPA_GET_IOVA_RANGE, &range);

	*first = range.first;
	*last = range.last;
	return r;
}

int uvdpa_get_group_num(struct uvdpa_driver *drv, uint32_t *groups)
{
	return call(drv, VHOST_VDPA_GET_GROUP_NUM, groups);
}

int uvdpa_get_as_num(struct uvdpa_driver *drv, uint32_t *spaces)
{
	return call(drv, VHOST_VDPA_GET_AS_NUM, spaces);
}

int uvdpa_suspend(struct uvdpa_driver *drv)
{
	return call(drv, VHOST_VDPA_SUSPEND, NULL);
}

int uvdpa_suspend_v6(struct uvdpa_driver *drv, int value)
{
	return call(drv, VHOST_VDPA_SUSPEND_V6, &value);
}

int uvdpa_resume(struct uvdpa_driver *drv)
{
	return call(drv, VHOST_VDPA_RESUME, NULL);
}

int uvdpa_set_owner(struct uvdpa_driver *drv)
{
	return call(drv, VHOST_SET_OWNER, NULL);
}

int uvdpa_reset_owner(struct uvdpa_driver *drv)
{
	return call(drv, VHOST_RESET_OWNER, NULL);
}

/* A call that takes a struct vhost_vring_state and gives nothing back. */
static int set_state(struct uvdpa_driver *drv, unsigned long cmd, unsigned index, uint32_t num)
{
	struct vhost_vring_state state = {.index = index, .num = num};

	return call(drv, cmd, &state);
}

/* One that answers in .num. */
static int get_state(struct uvdpa_driver *drv, unsigned long cmd, unsigned index, uint32_t *num)
{
	struct vhost_vring_state state = {.index = index};
	int r = call(drv, cmd, &state);

	if (r == 0)
		*num = state.num;
	return r;
}

static int set_file(struct uvdpa_driver *drv, unsigned long cmd, unsigned index, int fd)
{
	struct vhost_vring_file file = {.index = index, .fd = fd};

	return call(drv, cmd, &file);
}

int uvdpa_set_vring_num(struct uvdpa_driver *drv, unsigned index, uint32_t num)
{
	return set_state(drv, VHOST_SET_VRING_NUM, index, num);
}

int uvdpa_set_vring_addr(struct uvdpa_driver *drv, unsigned index, uint32_t flags, uint64_t desc,
			 uint64_t avail, uint64_t used, uint64_t log)
{
	struct vhost_vring_addr addr = {
		.index = index,
		.flags = flags,
		.desc_user_addr = desc,
		.avail_user_addr = avail,
		.used_user_addr = used,
		.log_guest_addr = log,
	};

	return call(drv, VHOST_SET_VRING_ADDR, &addr);
}

int uvdpa_set_vring_base(struct uvdpa_driver *drv, unsigned index, uint32_t base)
{
	return set_state(drv, VHOST_SET_VRING_BASE, index, base);
}

int uvdpa_get_vring_base(struct uvdpa_driver *drv, unsigned index, uint32_t *base)
{
	return get_state(drv, VHOST_GET_VRING_BASE, index, base);
}

int uvdpa_set_vring_kick(struct uvdpa_driver *drv, unsigned index, int fd)
{
	return set_file(drv, VHOST_SET_VRING_KICK, index, fd);
}

int uvdpa_set_vring_call(struct uvdpa_driver *drv, unsigned index, int fd)
{
	return set_file(drv, VHOST_SET_VRING_CALL, index, fd);
}

int uvdpa_set_vring_err(struct uvdpa_driver *drv, unsigned index, int fd)
{
	return set_file(drv, VHOST_SET_VRING_ERR, index, fd);
}

int uvdpa_set_vring_enable(struct uvdpa_driver *drv, unsigned index, uint32_t enable)
{
	return set_state(drv, VHOST_VDPA_SET_VRING_ENABLE, index, enable);
}

int uvdpa_get_vring_size(struct uvdpa_driver *drv, unsigned index, uint32_t *size)
{
	return get_state(drv, VHOST_VDPA_GET_VRING_SIZE, index, size);
}

int uvdpa_get_vring_group(struct uvdpa_driver *drv, unsigned index, uint32_t *group)
{
	return get_state(drv, VHOST_VDPA_GET_VRING_GROUP, index, group);
}

int uvdpa_get_vring_desc_group(struct uvdpa_driver *drv, unsigned index, uint32_t *group)
{
	return get_state(drv, VHOST_VDPA_GET_VRING_DESC_GROUP, index, group);
}

int uvdpa_set_group_asid(struct uvdpa_driver *drv, unsigned group, uint32_t asid)
{
	return set_state(drv, VHOST_VDPA_SET_GROUP_ASID, group, asid);
}
