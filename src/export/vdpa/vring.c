/*
 * The vhost-vdpa ioctls of one vring. The table has checked the owner and the
 * index; what is left is form (here) and whether it is allowed now (device).
 */
#include <errno.h>
#include <unistd.h>

#include "export/vdpa/vdpa_internal.h"

/* VIRTIO_F_RING_PACKED as acknowledged: decides what a vring base looks like. */
#define PACKED		  (1ull << 34)
#define PACKED_FIRST_BASE 0x80008000u /* both positions 0, both wrap counters 1 */

static int fetch_state(struct call *call, struct vhost_vring_state *state)
{
	return call_fetch(call, 0, state, sizeof(*state));
}

static int give_state(struct call *call, uint32_t num)
{
	struct vhost_vring_state state = {.index = call->index, .num = num};

	return call_give(call, &state, sizeof(state));
}

int vdpa_set_vring_num(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	if (r)
		return r;
	/* the kernel wants a power of two of packed rings, too; the device judges by the layout */
	if (!state.num || state.num > UINT16_MAX)
		return -EINVAL;
	r = device_set_vq_num(runtime_lock(file->runtime), call->index, (uint16_t)state.num);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_set_vring_addr(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_addr addr;
	int r = call_fetch(call, 0, &addr, sizeof(addr));

	if (r)
		return r;
	if (addr.flags & ~(1u << VHOST_VRING_F_LOG))
		return -EOPNOTSUPP;
	/* The log address counts although there is no log (vhost_vring_set_addr). */
	if ((addr.avail_user_addr & 1) || (addr.used_user_addr & 3) || (addr.log_guest_addr & 3))
		return -EINVAL;
	r = device_set_vq_address(runtime_lock(file->runtime), call->index, addr.desc_user_addr,
				  addr.avail_user_addr, addr.used_user_addr);
	if (!r)
		vdpa_log_vring(file, call->index, addr.flags & (1u << VHOST_VRING_F_LOG),
			       addr.log_guest_addr);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_set_vring_base(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	if (r)
		return r;
	if (!(file->features & PACKED) && state.num > UINT16_MAX)
		return -EINVAL;
	r = device_set_vq_state(runtime_lock(file->runtime), call->index, state.num);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_get_vring_base(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	struct device *device;
	uint32_t base = 0;
	int r = fetch_state(call, &state);

	if (r)
		return r;
	device = runtime_lock(file->runtime);
	r = device_get_vq_state(device, call->index, &base);
	/* What was acknowledged outlives a reset, the device's own features do not. */
	if (!r && (file->features & PACKED) && !(device_get_driver_features(device) & PACKED))
		base = PACKED_FIRST_BASE;
	runtime_unlock(file->runtime);
	return r ? r : give_state(call, base);
}

/* The fd of KICK, CALL and ERR as one of ours, which the caller takes over. */
static int fetch_vring_fd(struct call *call, int *ours)
{
	struct vhost_vring_file file;
	int r = call_fetch(call, 0, &file, sizeof(file));

	return r ? r : call_eventfd(call, file.fd, ours);
}

int vdpa_set_vring_kick(struct vdpa_file *file, struct call *call)
{
	int fd, r = fetch_vring_fd(call, &fd);

	if (r)
		return r;
	runtime_lock(file->runtime);
	r = runtime_bind_kick(file->runtime, call->index, fd);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_set_vring_call(struct vdpa_file *file, struct call *call)
{
	int fd, r = fetch_vring_fd(call, &fd);

	if (r)
		return r;
	runtime_lock(file->runtime);
	runtime_bind_call(file->runtime, call->index, fd);
	runtime_unlock(file->runtime);
	return 0;
}

/* The kernel keeps it and never signals it; there is nothing to keep it for. */
int vdpa_set_vring_err(struct vdpa_file *file, struct call *call)
{
	int fd, r = fetch_vring_fd(call, &fd);

	if (!r && fd >= 0)
		close(fd);
	return r;
}

int vdpa_set_vring_busyloop(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	if (!r)
		file->busyloop[call->index] = state.num;
	return r;
}

/* Encoded as if nothing came back, so the export's reply cannot carry it. */
int vdpa_get_vring_busyloop(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state = {.index = call->index, .num = file->busyloop[call->index]};

	return call->caller->ops->write(call->caller, call->vdpa->arg, &state, sizeof(state));
}

int vdpa_set_vring_enable(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	if (r)
		return r;
	device_set_vq_ready(runtime_lock(file->runtime), call->index, state.num != 0,
			    runtime_now_ms(), vdpa_answer, file);
	runtime_unlock(file->runtime);
	return CALL_LATER;
}

int vdpa_get_vring_group(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	return r ? r
		 : give_state(call,
			      device_get_vq_group(runtime_device(file->runtime), call->index));
}

/* No descriptor groups, as everywhere but on mlx5. */
int vdpa_get_vring_desc_group(struct vdpa_file *file, struct call *call)
{
	return -EOPNOTSUPP;
}

/* The index is a group's, but was checked as if it were a queue's, as in the kernel. */
int vdpa_set_group_asid(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);

	if (r)
		return r;
	r = device_set_group_asid(runtime_lock(file->runtime), state.index, state.num);
	runtime_unlock(file->runtime);
	return r;
}

int vdpa_get_vring_size(struct vdpa_file *file, struct call *call)
{
	struct vhost_vring_state state;
	int r = fetch_state(call, &state);
	uint16_t size;

	if (r)
		return r;
	size = device_get_vq_size(runtime_lock(file->runtime), call->index);
	runtime_unlock(file->runtime);
	return give_state(call, size);
}
