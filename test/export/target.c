/* A device as a client has it: see target.h. */
#include "export/target.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

int target_setup(void **state, const char *device)
{
	struct target *t = calloc(1, sizeof(*t));
	uint64_t at;

	assert_non_null(t);
	assert_int_equal(target_export.open(device, &t->handle), 0);
	ram_init(&t->ram, RAM_DIRECT, TARGET_RAM);
	at = t->ram.iova;
	for (int q = 0; q < 2; q++) {
		at = vq_init(&t->vq[q], &t->ram, 64, at);
		t->kick[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		t->call[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	t->buffers = (at + 4095) & ~4095ull;
	*state = t;
	return 0;
}

int target_teardown(void **state)
{
	struct target *t = *state;

	if (t->handle)
		target_export.close(t->handle);
	for (int q = 0; q < 2; q++) {
		close(t->kick[q]);
		close(t->call[q]);
	}
	if (t->own_bytes)
		t->ram.bytes = t->own_bytes;
	ram_destroy(&t->ram);
	free(t);
	return 0;
}

void target_move_ram(struct target *t, void *bytes)
{
	memcpy(bytes, t->ram.bytes, TARGET_RAM);
	t->own_bytes = t->ram.bytes;
	t->ram.bytes = bytes;
}

int t_ioctl(struct target *t, unsigned long cmd, void *arg)
{
	return target_export.ioctl(t->handle, cmd, arg);
}

int t_num(struct target *t, unsigned long cmd, unsigned index, unsigned num)
{
	struct vhost_vring_state state = {index, num};

	return t_ioctl(t, cmd, &state);
}

unsigned t_get(struct target *t, unsigned long cmd, unsigned index)
{
	struct vhost_vring_state state = {index, 0xdead};

	assert_int_equal(t_ioctl(t, cmd, &state), 0);
	return state.num;
}

int t_status(struct target *t, uint8_t status)
{
	return t_ioctl(t, VHOST_VDPA_SET_STATUS, &status);
}

uint8_t t_get_status(struct target *t)
{
	uint8_t status = 0xee;

	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_STATUS, &status), 0);
	return status;
}

int t_fd(struct target *t, unsigned long cmd, unsigned index, int fd)
{
	struct vhost_vring_file file = {index, fd};

	return t_ioctl(t, cmd, &file);
}

int t_features(struct target *t, uint64_t features)
{
	return t_ioctl(t, VHOST_SET_FEATURES, &features);
}

int t_backend(struct target *t, uint64_t features)
{
	return t_ioctl(t, VHOST_SET_BACKEND_FEATURES, &features);
}

int t_owner(struct target *t)
{
	return t_ioctl(t, VHOST_SET_OWNER, NULL);
}

int t_addr(struct target *t, unsigned index, uint64_t desc, uint64_t avail, uint64_t used)
{
	struct vhost_vring_addr addr = {.index = index,
					.desc_user_addr = desc,
					.avail_user_addr = avail,
					.used_user_addr = used};

	return t_ioctl(t, VHOST_SET_VRING_ADDR, &addr);
}

int t_suspend(struct target *t)
{
	return t_ioctl(t, VHOST_VDPA_SUSPEND, NULL);
}

int t_resume(struct target *t)
{
	return t_ioctl(t, VHOST_VDPA_RESUME, NULL);
}

ssize_t t_msg(struct target *t, unsigned asid, uint8_t type, uint64_t iova, uint64_t size,
	      uint64_t uaddr, uint8_t perm)
{
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2, .asid = asid};

	m.iotlb = (struct vhost_iotlb_msg){
		.iova = iova, .size = size, .uaddr = uaddr, .perm = perm, .type = type};
	return target_export.write(t->handle, &m, sizeof(m));
}

ssize_t t_map_ram(struct target *t, unsigned asid)
{
	return t_msg(t, asid, VHOST_IOTLB_UPDATE, t->ram.iova, t->ram.size, (uintptr_t)t->ram.bytes,
		     VHOST_ACCESS_RW);
}

void t_negotiate(struct target *t)
{
	int r = t_owner(t);

	assert_true(r == 0 || r == -EBUSY);
	assert_int_equal(t_status(t, 1), 0);
	assert_int_equal(t_status(t, 3), 0);
	assert_int_equal(t_features(t, FEATURES_MUST), 0);
	assert_int_equal(t_status(t, 0xb), 0);
}

void t_bind(struct target *t)
{
	for (unsigned q = 0; q < 2; q++) {
		assert_int_equal(t_fd(t, VHOST_SET_VRING_KICK, q, t->kick[q]), 0);
		assert_int_equal(t_fd(t, VHOST_SET_VRING_CALL, q, t->call[q]), 0);
	}
}

void t_rings(struct target *t)
{
	for (unsigned q = 0; q < 2; q++) {
		struct vq *vq = &t->vq[q];

		assert_int_equal(t_num(t, VHOST_SET_VRING_NUM, q, vq->num), 0);
		assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, q, vq->next_used), 0);
		assert_int_equal(t_addr(t, q, vq->desc, vq->avail, vq->used), 0);
		assert_int_equal(t_num(t, VHOST_VDPA_SET_VRING_ENABLE, q, 1), 0);
	}
	t_bind(t);
}

void t_up(struct target *t)
{
	t_negotiate(t);
	assert_int_equal(t_map_ram(t, 0), 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	assert_int_equal(t_get_status(t), 0xf);
}

/* virtio-blk (5.2.6): 16 bytes of header, 512 of data, one of status; all of the disk's start. */
void t_post(struct target *t, unsigned queue)
{
	unsigned slot = t->posted[queue]++ % 16;
	uint64_t at = t->buffers + (queue * 16 + slot) * 1024;
	uint16_t head = (uint16_t)(slot * 3);

	memset(ram_at(&t->ram, at, 1024), 0xa5, 1024);
	memset(ram_at(&t->ram, at, 16), 0, 16); /* VIRTIO_BLK_T_IN, sector 0 */
	vq_desc(&t->vq[queue], head, at, 16, D_NEXT, head + 1);
	vq_desc(&t->vq[queue], head + 1, at + 16, 512, D_NEXT | D_WRITE, head + 2);
	vq_desc(&t->vq[queue], head + 2, at + 528, 1, D_WRITE, 0);
	vq_offer(&t->vq[queue], head);
}

void t_kick(struct target *t, unsigned queue)
{
	uint64_t one = 1;

	assert_int_equal(write(t->kick[queue], &one, sizeof(one)), sizeof(one));
}

static void nap(unsigned ms)
{
	struct timespec time = {.tv_nsec = ms * 1000000l};

	nanosleep(&time, NULL);
}

bool t_used(struct target *t, unsigned queue, unsigned total)
{
	for (unsigned i = 0; i < 2000; i++) {
		if (vq_used_index(&t->vq[queue]) == (uint16_t)total)
			return true;
		nap(1 + i / 100);
	}
	return false;
}

void t_still(struct target *t, unsigned queue, unsigned total)
{
	nap(30);
	assert_int_equal(vq_used_index(&t->vq[queue]), (uint16_t)total);
}

uint64_t t_count(int fd)
{
	uint64_t n = 0;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

void t_called(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&look, 1, 60000), 1);
	assert_true(t_count(fd) > 0);
}

void t_drain(int fd)
{
	t_count(fd);
}
