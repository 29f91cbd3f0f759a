/* The vhost-vdpa ioctls of the device as a whole, and of the file's owner. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "export/vdpa/vdpa_internal.h"
#include "util/log.h"

#define BIT(n) (1ull << (n))

/* As many as vhost allows by default (the module parameter max_mem_regions). */
#define MAX_MEM_REGIONS 64

static const struct device *facts(const struct vdpa_file *file)
{
	return runtime_device(file->runtime);
}

static int give_u32(struct call *call, uint32_t value)
{
	return call_give(call, &value, sizeof(value));
}

int vdpa_get_device_id(struct vdpa_file *file, struct call *call)
{
	return give_u32(call, device_get_device_id(facts(file)));
}

int vdpa_get_status(struct vdpa_file *file, struct call *call)
{
	uint8_t status = device_get_status(runtime_lock(file->runtime));

	runtime_unlock(file->runtime);
	return call_give(call, &status, sizeof(status));
}

/* Without IOTLB_PERSIST, status 0 takes the device's mappings with it (kernel-contract 2.5). */
static void on_reset(void *arg, int result)
{
	struct vdpa_file *file = arg;

	if (!(file->backend_features & BIT(VHOST_BACKEND_F_IOTLB_PERSIST)))
		iotlb_wipe(file);
	vdpa_answer(file, result);
}

int vdpa_set_status(struct vdpa_file *file, struct call *call)
{
	struct device *device;
	uint8_t status;
	int r = call_fetch(call, 0, &status, sizeof(status));

	if (r)
		return r;
	device = runtime_lock(file->runtime);
	if (!status)
		device_reset(device, EV_DRIVER_RESET, runtime_now_ms(), on_reset, file);
	else
		r = device_set_status(device, status, runtime_now_ms());
	runtime_unlock(file->runtime);
	if (!status)
		return CALL_LATER;
	/* Whatever else the device did not like shows in GET_STATUS only (vdpa_config_ops is void).
	 */
	return r == -EINVAL ? r : 0;
}

/* The header of GET_CONFIG and SET_CONFIG, checked (vhost_vdpa_config_validate). */
static int fetch_config_header(struct vdpa_file *file, struct call *call,
			       struct vhost_vdpa_config *header)
{
	size_t size = device_get_config_size(facts(file));
	int r = call_fetch(call, 0, header, sizeof(*header));

	if (r)
		return r;
	if (!header->len || header->off > size || header->len > size - header->off)
		return -EINVAL;
	return 0;
}

/* The bytes follow the header in the caller's memory: the number's encoding does not carry them. */
#define CONFIG_BYTES sizeof(struct vhost_vdpa_config)

int vdpa_get_config(struct vdpa_file *file, struct call *call)
{
	struct vhost_vdpa_config header;
	uint8_t bytes[DEVICE_MAX_CONFIG];
	int r = fetch_config_header(file, call, &header);

	if (r)
		return r;
	r = device_get_config(runtime_lock(file->runtime), header.off, bytes, header.len);
	runtime_unlock(file->runtime);
	if (r)
		return r;
	return call->caller->ops->write(call->caller, call->vdpa->arg + CONFIG_BYTES, bytes,
					header.len);
}

int vdpa_set_config(struct vdpa_file *file, struct call *call)
{
	struct vhost_vdpa_config header;
	uint8_t bytes[DEVICE_MAX_CONFIG];
	int r = fetch_config_header(file, call, &header);

	if (!r)
		r = call_fetch(call, CONFIG_BYTES, bytes, header.len);
	if (r)
		return r;
	r = device_set_config(runtime_lock(file->runtime), header.off, bytes, header.len);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_get_features(struct vdpa_file *file, struct call *call)
{
	uint64_t features = device_get_device_features(runtime_lock(file->runtime));

	runtime_unlock(file->runtime);
	if (file->options.log)
		features |= VDPA_LOG_ALL;
	return call_give(call, &features, sizeof(features));
}

int vdpa_set_features(struct vdpa_file *file, struct call *call)
{
	struct device *device = runtime_lock(file->runtime);
	bool late = device_get_status(device) & VIRTIO_CONFIG_S_FEATURES_OK;
	uint64_t features;
	int r;

	runtime_unlock(file->runtime);
	if (late && !file->options.log)
		return -EBUSY; /* before the argument is looked at (vhost_vdpa_set_features) */
	r = call_fetch(call, 0, &features, sizeof(features));
	if (r)
		return r;
	if (late && (features & ~VDPA_LOG_ALL) != file->features)
		return -EBUSY;
	device = runtime_lock(file->runtime);
	if (!late)
		r = device_set_driver_features(device, features);
	if (!r)
		file->features = device_get_driver_features(device);
	if (!r)
		vdpa_log_features(file, features);
	runtime_unlock(file->runtime);
	return r ? -EINVAL : 0; /* any error of the device's is EINVAL there */
}

static uint64_t offered_backend_features(const struct vdpa_file *file)
{
	uint64_t features = BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) | BIT(VHOST_BACKEND_F_IOTLB_BATCH) |
			    BIT(VHOST_BACKEND_F_IOTLB_ASID) |
			    BIT(VHOST_BACKEND_F_ENABLE_AFTER_DRIVER_OK) |
			    BIT(VHOST_BACKEND_F_IOTLB_PERSIST);

	if (device_can_suspend(facts(file)))
		features |= BIT(VHOST_BACKEND_F_SUSPEND);
	if (device_can_resume(facts(file)))
		features |= BIT(VHOST_BACKEND_F_RESUME);
	return features;
}

int vdpa_get_backend_features(struct vdpa_file *file, struct call *call)
{
	uint64_t features = offered_backend_features(file);

	return call_give(call, &features, sizeof(features));
}

int vdpa_set_backend_features(struct vdpa_file *file, struct call *call)
{
	const uint64_t known = 0x1fe; /* bits 1 to 8 */
	uint64_t features, offered = offered_backend_features(file);
	int r = call_fetch(call, 0, &features, sizeof(features));

	if (r)
		return r;
	if (features & ~known)
		return -EOPNOTSUPP;
	if ((features & ~offered) & (BIT(VHOST_BACKEND_F_SUSPEND) | BIT(VHOST_BACKEND_F_RESUME)))
		return -EOPNOTSUPP;
	if (features & BIT(VHOST_BACKEND_F_DESC_ASID))
		return features & BIT(VHOST_BACKEND_F_IOTLB_ASID) ? -EOPNOTSUPP : -EINVAL;
	file->backend_features = features;
	return 0;
}

int vdpa_get_vring_num(struct vdpa_file *file, struct call *call)
{
	uint16_t num = device_get_vq_num_max(facts(file));

	return call_give(call, &num, sizeof(num));
}

int vdpa_set_config_call(struct vdpa_file *file, struct call *call)
{
	int fd, ours, r = call_fetch(call, 0, &fd, sizeof(fd));

	if (!r)
		r = call_eventfd(call, fd, &ours);
	if (r)
		return r;
	runtime_lock(file->runtime);
	runtime_bind_config_call(file->runtime, ours);
	runtime_unlock(file->runtime);
	return 0;
}

int vdpa_get_iova_range(struct vdpa_file *file, struct call *call)
{
	struct vhost_vdpa_iova_range range = {.first = 0, .last = UINT64_MAX};

	return call_give(call, &range, sizeof(range));
}

int vdpa_get_config_size(struct vdpa_file *file, struct call *call)
{
	return give_u32(call, (uint32_t)device_get_config_size(facts(file)));
}

int vdpa_get_vqs_count(struct vdpa_file *file, struct call *call)
{
	return give_u32(call, device_get_vqs_count(facts(file)));
}

int vdpa_get_group_num(struct vdpa_file *file, struct call *call)
{
	return give_u32(call, device_get_group_count(facts(file)));
}

int vdpa_get_as_num(struct vdpa_file *file, struct call *call)
{
	return give_u32(call, device_get_asid_count(facts(file)));
}

int vdpa_suspend(struct vdpa_file *file, struct call *call)
{
	device_suspend(runtime_lock(file->runtime), HOLDER_DRIVER, runtime_now_ms(), 0, vdpa_answer,
		       file);
	runtime_unlock(file->runtime);
	return CALL_LATER;
}

int vdpa_resume(struct vdpa_file *file, struct call *call)
{
	int r = device_resume(runtime_lock(file->runtime), HOLDER_DRIVER);

	runtime_unlock(file->runtime);
	return r;
}

/* S1: as the series that introduced the call first had it. */
int vdpa_suspend_v6(struct vdpa_file *file, struct call *call)
{
	int suspend, r = call_fetch(call, 0, &suspend, sizeof(suspend));

	if (r)
		return r;
	return suspend ? vdpa_suspend(file, call) : vdpa_resume(file, call);
}

int vdpa_set_owner(struct vdpa_file *file, struct call *call)
{
	struct owner *owner;
	int r;

	if (file->owner) /* also for the owner (vhost_dev_set_owner) */
		return -EBUSY;
	r = call->caller->ops->own(call->caller, &owner);
	if (r)
		return r;
	r = device_set_client(runtime_lock(file->runtime), owner->memory);
	runtime_unlock(file->runtime);
	if (r) {
		owner->ops->free(owner);
		return r;
	}
	file->owner = owner;
	return 0;
}

/* Kernels with VHOST_ENABLE_FORK_OWNER_CONTROL, the default: stored, and without effect here. */
int vdpa_set_fork_from_owner(struct vdpa_file *file, struct call *call)
{
	uint8_t value;
	int r;

	if (file->owner)
		return -EBUSY;
	r = call_fetch(call, 0, &value, sizeof(value));
	if (r)
		return r;
	if (value > 1)
		return -EINVAL;
	file->fork_from_owner = value;
	return 0;
}

int vdpa_get_fork_from_owner(struct vdpa_file *file, struct call *call)
{
	return call_give(call, &file->fork_from_owner, sizeof(file->fork_from_owner));
}

/* Checked as vhost_set_memory does, and then of no use: vhost-vdpa has the IOTLB. */
int vdpa_set_mem_table(struct vdpa_file *file, struct call *call)
{
	struct vhost_memory header;
	struct vhost_memory_region region;
	int r = call_fetch(call, 0, &header, sizeof(header));

	if (r)
		return r;
	if (header.padding)
		return -EOPNOTSUPP;
	if (header.nregions > MAX_MEM_REGIONS)
		return -E2BIG;
	for (uint32_t i = 0; i < header.nregions; i++) {
		uint64_t last;

		r = call_fetch(call, sizeof(header) + i * sizeof(region), &region, sizeof(region));
		if (r)
			return r;
		/* Size 0 at address 0 is the whole address space (vhost_iotlb_add_range). */
		last = region.guest_phys_addr + region.memory_size - 1;
		if (last < region.guest_phys_addr)
			return -EFAULT;
	}
	return 0;
}
