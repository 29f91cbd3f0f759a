/*
 * Rings: what a vhost-vdpa driver says of them one by one is kept, and said to the vhost-user
 * device when the ring is enabled, in the order NUM, BASE, ADDR, CALL, KICK, ENABLE.
 */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void set_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

static int send_state(struct vu_front *front, uint32_t request, unsigned index, uint32_t num)
{
	union vhost_user_payload p = {.state = {.index = index, .num = num}};

	return vu_request(front, request, &p, sizeof(p.state), NULL, 0);
}

static int send_fd(struct vu_front *front, uint32_t request, unsigned index, int fd)
{
	union vhost_user_payload p = {.u64 = index | (fd < 0 ? VHOST_USER_VRING_NOFD : 0)};

	return vu_request(front, request, &p, sizeof(p.u64), &fd, fd >= 0);
}

/* Where an I/O virtual address lies in this process. */
static int to_user(const struct vu_front *front, uint64_t iova, __u64 *user)
{
	for (unsigned i = 0; i < VU_MAX_MAPS; i++) {
		const struct vu_map *map = &front->maps[i];

		if (!map->used || iova < map->iova || iova - map->iova >= map->size)
			continue;
		*user = map->uaddr + (iova - map->iova);
		return 0;
	}
	return -EFAULT;
}

static int send_addr(struct vu_front *front, unsigned index)
{
	const struct vu_front_ring *ring = &front->rings[index];
	union vhost_user_payload p = {.addr = {.index = index}};
	int r = to_user(front, ring->desc, &p.addr.desc_user_addr);

	if (r == 0)
		r = to_user(front, ring->avail, &p.addr.avail_user_addr);
	if (r == 0)
		r = to_user(front, ring->used, &p.addr.used_user_addr);
	if (r < 0)
		return r;
	return vu_request(front, VHOST_USER_SET_VRING_ADDR, &p, sizeof(p.addr), NULL, 0);
}

static int send_all_of(struct vu_front *front, unsigned index)
{
	struct vu_front_ring *ring = &front->rings[index];
	int r = send_state(front, VHOST_USER_SET_VRING_NUM, index, ring->num);

	if (r == 0 && ring->has_base)
		r = send_state(front, VHOST_USER_SET_VRING_BASE, index, ring->base);
	if (r == 0)
		r = send_addr(front, index);
	if (r == 0)
		r = send_fd(front, VHOST_USER_SET_VRING_CALL, index, ring->call);
	if (r == 0)
		r = send_fd(front, VHOST_USER_SET_VRING_KICK, index, ring->kick);
	if (r == 0)
		r = send_state(front, VHOST_USER_SET_VRING_ENABLE, index, 1);
	return r;
}

/* All of it is one round trip: a ring that is moved stands still meanwhile. */
static int start(struct vu_front *front, unsigned index)
{
	int r, refused;

	vu_batch_begin(front);
	r = send_all_of(front, index);
	refused = vu_batch_end(front);
	r = r < 0 ? r : refused;
	front->rings[index].running = r == 0;
	return r;
}

static int stop(struct vu_front *front, unsigned index)
{
	union vhost_user_payload p = {.state = {.index = index}};
	struct vu_front_ring *ring = &front->rings[index];
	int r = vu_ask(front, VHOST_USER_GET_VRING_BASE, &p, sizeof(p.state), sizeof(p.state));

	/* no payload: the ring could not be stopped in time and runs on (S10) */
	if (r == -EINVAL)
		return -ETIMEDOUT;
	if (r == 0 && p.state.index != index)
		r = -EPROTO;
	if (r < 0)
		return r;
	ring->running = false;
	ring->base = p.state.num;
	ring->has_base = true;
	return 0;
}

int vu_front_stop_rings(struct vu_front *front)
{
	int r = 0;

	for (unsigned i = 0; i < front->ring_count && r == 0; i++)
		if (front->rings[i].running)
			r = stop(front, i);
	return r;
}

int vu_front_start_rings(struct vu_front *front)
{
	int r = 0;

	for (unsigned i = 0; i < front->ring_count && r == 0; i++)
		if (front->rings[i].wanted && !front->rings[i].running)
			r = start(front, i);
	return r;
}

static void vu_kick(const struct vu_front_ring *ring)
{
	uint64_t one = 1;

	if (ring->kick >= 0 && write(ring->kick, &one, sizeof(one)) < 0)
		return; /* full: it is signalled */
}

int vu_front_suspend(struct vu_front *front)
{
	int r;

	/* without DRIVER_OK it succeeds and does nothing (S1) */
	if (!(front->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return 0;
	r = vu_front_stop_rings(front);
	front->suspended = r == 0;
	/* one that cannot be stopped: all run on (S10) */
	if (r < 0 && vu_front_start_rings(front) < 0)
		return -ECONNRESET;
	return r;
}

int vu_front_resume(struct vu_front *front)
{
	int r;

	if (!front->suspended)
		return 0;
	front->suspended = false;
	r = vu_front_start_rings(front);
	/* a ring starts when it is kicked, and RESUME has to act on what was posted (S8) */
	for (unsigned i = 0; i < front->ring_count && r == 0; i++)
		if (front->rings[i].running)
			vu_kick(&front->rings[i]);
	return r;
}

void vu_front_rings_reset(struct vu_front *front)
{
	for (unsigned i = 0; i < front->ring_count; i++) {
		struct vu_front_ring *ring = &front->rings[i];

		set_fd(&ring->kick, -1);
		set_fd(&ring->call, -1);
		*ring = (struct vu_front_ring){.num = VU_RING_SIZE, .kick = -1, .call = -1};
	}
	front->suspended = false;
}

static int enable(struct vu_front *front, unsigned index, bool on)
{
	struct vu_front_ring *ring = &front->rings[index];
	int r;

	ring->wanted = on;
	if (on)
		return ring->running || front->suspended || !vu_rings_may_run(front)
			       ? 0
			       : start(front, index);
	if (!ring->running)
		return 0;
	r = send_state(front, VHOST_USER_SET_VRING_ENABLE, index, 0);
	return r < 0 ? r : stop(front, index);
}

/* A snapshot of a running ring: stopping is the only way to ask, so it is started again. */
static int get_base(struct vu_front *front, unsigned index, uint32_t *base)
{
	struct vu_front_ring *ring = &front->rings[index];
	bool was_running = ring->running;
	int r = was_running ? stop(front, index) : 0;

	*base = ring->base;
	return r == 0 && was_running ? start(front, index) : r;
}

static bool any_runs(const struct vu_front *front)
{
	for (unsigned i = 0; i < front->ring_count; i++)
		if (front->rings[i].running)
			return true;
	return false;
}

int vu_front_ring_max(struct vu_front *front, uint16_t *max)
{
	uint16_t size = VU_RING_SIZE;
	int r;

	*max = front->ring_max ? front->ring_max : VU_RING_SIZE;
	if (front->ring_max || any_runs(front))
		return 0;
	r = send_state(front, VHOST_USER_SET_VRING_NUM, 0, size);
	/* what VMMs commonly have is tried first: nobody is surprised by it */
	while (r < 0 && r != -ECONNRESET && size > 2) {
		size /= 2;
		r = send_state(front, VHOST_USER_SET_VRING_NUM, 0, size);
	}
	if (r < 0)
		return r;
	while (size >= VU_RING_SIZE && size < VU_RING_MOST && r == 0) {
		r = send_state(front, VHOST_USER_SET_VRING_NUM, 0, size * 2u);
		size = r == 0 ? size * 2 : size;
	}
	if (r == -ECONNRESET)
		return r;
	*max = front->ring_max = size;
	return 0;
}

static int state_ioctl(struct vu_front *front, unsigned long cmd, struct vhost_vring_state *state)
{
	struct vu_front_ring *ring = &front->rings[state->index];

	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		if (!state->num || state->num > 32768 ||
		    (!(front->acked & VU_BIT(VIRTIO_F_RING_PACKED)) &&
		     state->num & (state->num - 1)))
			return -EINVAL;
		ring->num = state->num;
		return 0;
	case VHOST_SET_VRING_BASE:
		if (ring->running ||
		    (state->num > UINT16_MAX && !(front->acked & VU_BIT(VIRTIO_F_RING_PACKED))))
			return -EINVAL;
		ring->base = state->num;
		ring->has_base = true;
		return 0;
	case VHOST_GET_VRING_BASE:
		return get_base(front, state->index, &state->num);
	case VHOST_VDPA_SET_VRING_ENABLE:
		return enable(front, state->index, state->num);
	case VHOST_VDPA_GET_VRING_GROUP:
		state->num = 0;
		return 0;
	default: /* VHOST_VDPA_SET_GROUP_ASID */
		return state->num ? -EINVAL : 0;
	}
}

static int set_addr(struct vu_front *front, const struct vhost_vring_addr *addr)
{
	struct vu_front_ring *ring = &front->rings[addr->index];

	if (addr->flags & ~(1u << VHOST_VRING_F_LOG))
		return -EOPNOTSUPP;
	if (ring->running || addr->desc_user_addr % 16 || addr->avail_user_addr % 2 ||
	    addr->used_user_addr % 4 || addr->log_guest_addr % 4)
		return -EINVAL;
	ring->desc = addr->desc_user_addr;
	ring->avail = addr->avail_user_addr;
	ring->used = addr->used_user_addr;
	ring->has_addr = true;
	return 0;
}

static int set_file(struct vu_front *front, unsigned long cmd, const struct vhost_vring_file *file)
{
	struct vu_front_ring *ring = &front->rings[file->index];
	int fd = file->fd < 0 ? -1 : fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

	if (file->fd >= 0 && fd < 0)
		return -errno;
	if (cmd == VHOST_SET_VRING_KICK) {
		set_fd(&ring->kick, fd);
		/* -1 on a running ring: the device keeps the last, which nobody writes any more */
		return ring->running && fd >= 0
			       ? send_fd(front, VHOST_USER_SET_VRING_KICK, file->index, fd)
			       : 0;
	}
	set_fd(&ring->call, fd);
	return ring->running ? send_fd(front, VHOST_USER_SET_VRING_CALL, file->index, fd) : 0;
}

int vu_front_ring_ioctl(struct vu_front *front, unsigned long cmd, void *arg)
{
	/* every one of these structures begins with the index */
	if (*(const uint32_t *)arg >= front->ring_count)
		return -ENOBUFS;
	switch (cmd) {
	case VHOST_SET_VRING_ADDR:
		return set_addr(front, arg);
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
		return set_file(front, cmd, arg);
	case VHOST_SET_VRING_ERR:
		return 0;
	default:
		return state_ioctl(front, cmd, arg);
	}
}
