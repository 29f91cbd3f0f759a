/*
 * The calls of the vhost-vdpa uAPI, through whichever export: what each answers
 * and which errno wins. The ids are those of the rows that the kernel's
 * behaviour was recorded in (docs/uapi.md names the deviations).
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/devices.h"
#include "export/target.h"
#include "lib/page.h"

#define FOREIGN 0x5401ul /* TCGETS */

/* The vring ioctls, each with a good 8-byte argument for queue 0. */
static const unsigned long vring_calls[] = {
	VHOST_SET_VRING_NUM,
	VHOST_SET_VRING_BASE,
	VHOST_GET_VRING_BASE,
	VHOST_SET_VRING_KICK,
	VHOST_SET_VRING_CALL,
	VHOST_SET_VRING_ERR,
	VHOST_VDPA_SET_VRING_ENABLE,
	VHOST_VDPA_GET_VRING_GROUP,
	VHOST_VDPA_GET_VRING_DESC_GROUP,
	VHOST_VDPA_SET_GROUP_ASID,
	VHOST_VDPA_GET_VRING_SIZE,
	VHOST_SET_VRING_BUSYLOOP_TIMEOUT,
	VHOST_SET_VRING_ADDR,
	VHOST_GET_VRING_BUSYLOOP_TIMEOUT,
};

/* Calls that anybody may make, with room for their answer or argument. */
static const unsigned long free_calls[] = {
	VHOST_VDPA_GET_DEVICE_ID,   VHOST_VDPA_GET_STATUS,     VHOST_GET_FEATURES,
	VHOST_GET_BACKEND_FEATURES, VHOST_VDPA_GET_VRING_NUM,  VHOST_VDPA_GET_IOVA_RANGE,
	VHOST_VDPA_GET_CONFIG_SIZE, VHOST_VDPA_GET_VQS_COUNT,  VHOST_VDPA_GET_GROUP_NUM,
	VHOST_VDPA_GET_AS_NUM,	    VHOST_GET_FORK_FROM_OWNER,
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t u32(struct target *t, unsigned long cmd)
{
	uint32_t value = 0xdeadbeef;

	assert_int_equal(t_ioctl(t, cmd, &value), 0);
	return value;
}

static uint64_t u64(struct target *t, unsigned long cmd)
{
	uint64_t value = 0;

	assert_int_equal(t_ioctl(t, cmd, &value), 0);
	return value;
}

static void facts(void **state)
{
	struct target *t = *state;
	struct vhost_vdpa_iova_range range = {1, 1};
	uint16_t num[2] = {0, 0xabcd};

	assert_int_equal(u32(t, VHOST_VDPA_GET_DEVICE_ID), 2);
	assert_int_equal(u32(t, VHOST_VDPA_GET_VQS_COUNT), TEST_QUEUES);
	assert_int_equal(u32(t, VHOST_VDPA_GET_GROUP_NUM), TEST_GROUPS);
	assert_int_equal(u32(t, VHOST_VDPA_GET_AS_NUM), TEST_ASIDS);
	assert_true(u32(t, VHOST_VDPA_GET_CONFIG_SIZE) >= 60);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_VRING_NUM, num), 0);
	assert_int_equal(num[0], 256);
	assert_int_equal(num[1], 0xabcd); /* two bytes, no more */
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_IOVA_RANGE, &range), 0);
	assert_true(range.first == 0 && range.last == UINT64_MAX);
	assert_int_equal(u64(t, VHOST_GET_FEATURES) & FEATURES_MUST, FEATURES_MUST);
	assert_int_equal(t_get_status(t), 0);
}

static void strangers(void **state) /* KC03, KC04 */
{
	struct target *t = *state;
	uint64_t room[8] = {0};
	uint8_t config[12] = {0};
	uint32_t size = 4;

	for (size_t i = 0; i < COUNT(free_calls); i++)
		assert_int_equal(t_ioctl(t, free_calls[i], room), 0);
	memcpy(config + 4, &size, 4);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_CONFIG, config), 0);
	assert_int_equal(t_status(t, 1), 0);
	assert_int_equal(t_backend(t, 2), 0);
	assert_int_equal(t_features(t, FEATURES_MUST), 0);
	assert_int_equal(t_fd(t, VHOST_VDPA_SET_CONFIG_CALL, (unsigned)-1, 0), 0); /* fd -1 */
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_resume(t), 0);
	memset(room, 0, sizeof(room));
	for (size_t i = 0; i < COUNT(vring_calls); i++)
		assert_int_equal(t_ioctl(t, vring_calls[i], room), -EPERM);
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, room), -EPERM);
	assert_int_equal(t_ioctl(t, FOREIGN, room), -EPERM);
	assert_int_equal(t_ioctl(t, VHOST_RESET_OWNER, NULL), -EPERM); /* KC07 */
	assert_int_equal(t_map_ram(t, 0), -EFAULT);		       /* KI06 */
}

static void owner_once(void **state) /* KC05 */
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_owner(t), -EBUSY);
}

static void fork_owner(void **state)
{
	struct target *t = *state;
	uint8_t value = 7;

	assert_int_equal(t_ioctl(t, VHOST_GET_FORK_FROM_OWNER, &value), 0);
	assert_int_equal(value, 1);
	value = 2;
	assert_int_equal(t_ioctl(t, VHOST_SET_FORK_FROM_OWNER, &value), -EINVAL);
	value = 0;
	assert_int_equal(t_ioctl(t, VHOST_SET_FORK_FROM_OWNER, &value), 0);
	value = 9;
	assert_int_equal(t_ioctl(t, VHOST_GET_FORK_FROM_OWNER, &value), 0);
	assert_int_equal(value, 0);
	assert_int_equal(t_owner(t), 0);
	value = 2;
	assert_int_equal(t_ioctl(t, VHOST_SET_FORK_FROM_OWNER, &value), -EBUSY);
}

static void unknown_numbers(void **state) /* KC07, KC08 */
{
	static const unsigned long numbers[] = {
		FOREIGN,
		VHOST_RESET_OWNER,
		VHOST_GET_FEATURES_ARRAY,
		VHOST_SET_FEATURES_ARRAY,
		VHOST_NET_SET_BACKEND,
		VHOST_SET_VRING_ENDIAN,
		VHOST_GET_VRING_ENDIAN,
		_IO(VHOST_VIRTIO, 0xfe),
	};
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		uint64_t in_range[8] = {1}, beyond[8] = {TEST_QUEUES};

		assert_int_equal(t_ioctl(t, numbers[i], NULL), -EFAULT);
		assert_int_equal(t_ioctl(t, numbers[i], in_range), -ENOTTY);
		assert_int_equal(t_ioctl(t, numbers[i], beyond), -ENOBUFS);
	}
}

static void no_log(void **state) /* KC09 */
{
	struct target *t = *state;
	uint64_t room = 0;

	assert_int_equal(t_ioctl(t, VHOST_SET_LOG_BASE, &room), -ENOTTY);
	assert_int_equal(t_ioctl(t, VHOST_SET_LOG_FD, &room), -ENOTTY);
	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_ioctl(t, VHOST_SET_LOG_BASE, &room), -ENOTTY);
}

static void mem_table(void **state) /* KC10 */
{
	struct target *t = *state;
	uint64_t room[300] = {0};
	struct vhost_memory *table = (struct vhost_memory *)room;
	struct vhost_memory_region *regions = table->regions;

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, table), 0);
	table->padding = 1;
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, table), -EOPNOTSUPP);
	table->padding = 0;
	table->nregions = 65;
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, table), -E2BIG);
	table->nregions = 2;
	regions[0] = (struct vhost_memory_region){.guest_phys_addr = 0, .memory_size = 0};
	regions[1] = (struct vhost_memory_region){.guest_phys_addr = 9, .memory_size = 9};
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, table), 0);
	regions[1].memory_size = UINT64_MAX - 5;
	assert_int_equal(t_ioctl(t, VHOST_SET_MEM_TABLE, table), -EFAULT);
}

static void index_first(void **state) /* KC11 */
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	for (size_t i = 0; i < COUNT(vring_calls); i++) {
		uint64_t at[8] = {TEST_QUEUES}, far[8] = {0xffffffff};

		assert_int_equal(t_ioctl(t, vring_calls[i], at), -ENOBUFS);
		assert_int_equal(t_ioctl(t, vring_calls[i], far), -ENOBUFS);
	}
}

static void null_pointers(void **state) /* KC12, KC13 */
{
	static const unsigned long others[] = {
		VHOST_VDPA_SET_STATUS, VHOST_SET_BACKEND_FEATURES, VHOST_VDPA_GET_CONFIG,
		VHOST_VDPA_SET_CONFIG, VHOST_SET_FEATURES,	   VHOST_VDPA_SET_CONFIG_CALL,
		VHOST_SET_MEM_TABLE,
	};
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	for (size_t i = 0; i < COUNT(vring_calls); i++)
		assert_int_equal(t_ioctl(t, vring_calls[i], NULL), -EFAULT);
	for (size_t i = 0; i < COUNT(free_calls); i++)
		assert_int_equal(t_ioctl(t, free_calls[i], NULL), -EFAULT);
	for (size_t i = 0; i < COUNT(others); i++)
		assert_int_equal(t_ioctl(t, others[i], NULL), -EFAULT);
	t_negotiate(t);
	assert_int_equal(t_ioctl(t, VHOST_SET_FEATURES, NULL),
			 target_export.over_fuse ? -EFAULT : -EBUSY);
}

/* Only the documented bytes are touched: the argument may end where a mapping ends. */
static void last_bytes_of_a_page(void **state)
{
	struct target *t = *state;
	size_t page = page_size();
	uint8_t *pages =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(pages, MAP_FAILED);
	assert_int_equal(munmap(pages + page, page), 0);
	for (size_t i = 0; i < COUNT(free_calls); i++)
		assert_int_equal(t_ioctl(t, free_calls[i], pages + page - _IOC_SIZE(free_calls[i])),
				 0);
	pages[page - 1] = 1;
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_STATUS, pages + page - 1), 0);
	munmap(pages, page);
}

static void no_argument(void **state) /* KC14 */
{
	struct target *t = *state;

	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND, (void *)0xdeadbeef), 0);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_RESUME, (void *)1), 0);
	assert_int_equal(t_ioctl(t, VHOST_SET_OWNER, (void *)1), 0);
}

static void suspend_as_in_v6(void **state) /* S1 */
{
	struct target *t = *state;
	int on = 1, off = 0;

	t_up(t);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, &on), 0);
	assert_int_equal(t_addr(t, 0, t->vq[0].desc, t->vq[0].avail, t->vq[0].used), 0);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, &off), 0);
	assert_int_equal(t_addr(t, 0, t->vq[0].desc, t->vq[0].avail, t->vq[0].used), -EINVAL);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, NULL), -EFAULT);
}

static void strictly_no_v6(void **state) /* KC15 */
{
	struct target *t = *state;
	int zero = 0, many = 50;

	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, &zero), -EPERM);
	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, NULL), -EFAULT);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, &zero), -ENOTTY);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SUSPEND_V6, &many), -ENOBUFS);
}

static void backend_features(void **state) /* KB01, KB02, KB03, KB05 */
{
	struct target *t = *state;

	assert_int_equal(u64(t, VHOST_GET_BACKEND_FEATURES), 0x17e);
	for (unsigned bit = 0; bit < 64; bit++) {
		int wanted = bit == 7 ? -EINVAL : bit == 0 || bit > 8 ? -EOPNOTSUPP : 0;

		assert_int_equal(t_backend(t, 1ull << bit), wanted);
	}
	assert_int_equal(t_backend(t, 0x88), -EOPNOTSUPP);
	t_up(t);
	assert_int_equal(t_backend(t, 0x17e), 0);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_backend(t, 0), 0);
}

static void backend_without_suspend(void **state)
{
	struct target *t = *state;

	assert_int_equal(u64(t, VHOST_GET_BACKEND_FEATURES), 0x14e);
	assert_int_equal(t_backend(t, 0x10), -EOPNOTSUPP);
	assert_int_equal(t_backend(t, 0x20), -EOPNOTSUPP);
}

static void backend_without_resume(void **state)
{
	struct target *t = *state;

	assert_int_equal(u64(t, VHOST_GET_BACKEND_FEATURES), 0x15e);
	assert_int_equal(t_backend(t, 0x10), 0);
	assert_int_equal(t_backend(t, 0x20), -EOPNOTSUPP);
}

static void features(void **state) /* KF01, KF02 */
{
	struct target *t = *state;

	assert_int_equal(t_features(t, 1ull << 32), -EINVAL);
	assert_int_equal(t_features(t, FEATURES_MUST), 0);
	assert_int_equal(t_features(t, FEATURES_MUST | 1ull << 60), 0); /* masked, as by the sim */
	assert_int_equal(t_status(t, 0xb), 0);
	assert_int_equal(t_features(t, FEATURES_MUST), -EBUSY);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(t_features(t, FEATURES_MUST), 0);
}

static void statuses(void **state) /* KF03, KF04, KF05 */
{
	static const uint8_t from[] = {1, 3, 4, 0xb, 0xf, 0x8f, 0x80};
	struct target *t = *state;

	t_up(t);
	assert_int_equal(t_status(t, 0xb), -EINVAL);
	assert_int_equal(t_get_status(t), 0xf);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(t_status(t, 0x80), 0);
	assert_int_equal(t_status(t, 1), -EINVAL);
	for (size_t i = 0; i < COUNT(from); i++) {
		assert_int_equal(t_status(t, 0), 0);
		assert_int_equal(t_get_status(t), 0);
		assert_int_equal(t_status(t, from[i]), 0);
	}
}

static void set_head(struct vhost_vdpa_config *c, uint32_t off, uint32_t len)
{
	c->off = off;
	c->len = len;
}

static void config_space(void **state)
{
	struct target *t = *state;
	uint32_t room[80] = {0};
	struct vhost_vdpa_config *c = (struct vhost_vdpa_config *)room;
	uint8_t *bytes = c->buf;
	uint32_t size = u32(t, VHOST_VDPA_GET_CONFIG_SIZE);

	set_head(c, 0, 8);
	bytes[8] = 0xcc;
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_CONFIG, c), 0);
	assert_int_equal(bytes[1], 8); /* 1 MiB: 0x800 sectors */
	assert_int_equal(bytes[8], 0xcc);
	set_head(c, size - 1, 1);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_CONFIG, c), 0);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG, c), 0);
	for (int i = 0; i < 2; i++) {
		static const unsigned long calls[] = {VHOST_VDPA_GET_CONFIG, VHOST_VDPA_SET_CONFIG};

		set_head(c, 0, 0);
		assert_int_equal(t_ioctl(t, calls[i], c), -EINVAL);
		set_head(c, size, 1);
		assert_int_equal(t_ioctl(t, calls[i], c), -EINVAL);
		set_head(c, 0xffffffff, 0xffffffff);
		assert_int_equal(t_ioctl(t, calls[i], c), -EINVAL);
	}
}

static uint8_t write_mode(struct target *t)
{
	uint32_t room[4] = {0};
	struct vhost_vdpa_config *c = (struct vhost_vdpa_config *)room;

	set_head(c, offsetof(struct virtio_blk_config, wce), 1);
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_CONFIG, c), 0);
	return c->buf[0];
}

static int set_write_mode(struct target *t, uint8_t mode)
{
	uint32_t room[4] = {0};
	struct vhost_vdpa_config *c = (struct vhost_vdpa_config *)room;

	set_head(c, offsetof(struct virtio_blk_config, wce), 1);
	c->buf[0] = mode;
	return t_ioctl(t, VHOST_VDPA_SET_CONFIG, c);
}

/* What QEMU's vhost-vdpa-device does: all of it, and a reset when it stops its guest. */
static void config_writes(void **state)
{
	const uint64_t plain = FEATURES_MUST | 1ull << VIRTIO_BLK_F_FLUSH;
	struct target *t = *state;
	uint32_t room[80] = {0};
	struct vhost_vdpa_config *c = (struct vhost_vdpa_config *)room;

	assert_int_equal(write_mode(t), 1);
	set_head(c, 0, u32(t, VHOST_VDPA_GET_CONFIG_SIZE));
	assert_int_equal(t_ioctl(t, VHOST_VDPA_GET_CONFIG, c), 0);
	c->buf[offsetof(struct virtio_blk_config, wce)] = 0;
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG, c), 0);
	assert_int_equal(write_mode(t), 0);
	c->buf[offsetof(struct virtio_blk_config, wce)] = 1;
	c->buf[0] ^= 1; /* capacity */
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG, c), -EINVAL);
	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_features(t, plain | 1ull << VIRTIO_BLK_F_CONFIG_WCE), 0);
	assert_int_equal(t_status(t, 0xf), 0);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(write_mode(t), 0);
	assert_int_equal(t_features(t, plain), 0);
	assert_int_equal(set_write_mode(t, 1), -EINVAL);
	assert_int_equal(t_status(t, 0xb), 0);
	assert_int_equal(set_write_mode(t, 1), -EINVAL);
	assert_int_equal(write_mode(t), 0);
}

static void vring_num(void **state) /* KV01, KV02 */
{
	static const struct {
		unsigned num;
		int result;
	} tries[] = {{0, -EINVAL}, {3, -EINVAL},     {256, 0},	       {512, -EINVAL},
		     {1, 0},	   {65536, -EINVAL}, {32768, -EINVAL}, {0x80000000, -EINVAL}};
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	for (size_t i = 0; i < COUNT(tries); i++)
		assert_int_equal(t_num(t, VHOST_SET_VRING_NUM, 0, tries[i].num), tries[i].result);
	assert_int_equal(t_get(t, VHOST_VDPA_GET_VRING_SIZE, 0), 1);
	t_up(t);
	assert_int_equal(t_num(t, VHOST_SET_VRING_NUM, 0, 64), 0);
}

static void vring_addr(void **state) /* KV03, KV04 */
{
	struct target *t = *state;
	struct vhost_vring_addr addr = {0};

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_addr(t, 0, 0x1001, 0x2002, 0x3004), 0);
	assert_int_equal(t_addr(t, 0, 0x1000, 0x2001, 0x3000), -EINVAL);
	assert_int_equal(t_addr(t, 0, 0x1000, 0x2000, 0x3002), -EINVAL);
	addr.log_guest_addr = 2;
	assert_int_equal(t_ioctl(t, VHOST_SET_VRING_ADDR, &addr), -EINVAL);
	addr.flags = 2;
	assert_int_equal(t_ioctl(t, VHOST_SET_VRING_ADDR, &addr), -EOPNOTSUPP);
	addr = (struct vhost_vring_addr){.flags = 1};
	assert_int_equal(t_ioctl(t, VHOST_SET_VRING_ADDR, &addr), 0);
	t_up(t);
	assert_int_equal(t_addr(t, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 5), -EINVAL);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 0), 0);
}

static void split_base(void **state) /* KV05 */
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 1), 0);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 1, 65535), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 1), 65535);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 1, 65536), -EINVAL);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 1), 0);
}

static void packed_base(void **state) /* KV06 */
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 65536), -EINVAL);
	assert_int_equal(t_features(t, FEATURES_MUST | 1ull << 34), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 0), 0x80008000);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 0x00058005), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 0), 0x00058005);
	/* What was acknowledged outlives the reset and decides the layout. */
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 0), 0x80008000);
}

static void eventfds(void **state) /* KV07 */
{
	static const unsigned long calls[] = {VHOST_SET_VRING_KICK, VHOST_SET_VRING_CALL,
					      VHOST_SET_VRING_ERR};
	struct target *t = *state;
	int memfd = memfd_create("no eventfd", MFD_CLOEXEC);
	int semaphore = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC), config;

	assert_int_equal(t_owner(t), 0);
	for (size_t i = 0; i < COUNT(calls); i++) {
		assert_int_equal(t_fd(t, calls[i], 0, t->kick[0]), 0);
		assert_int_equal(t_fd(t, calls[i], 0, semaphore), 0);
		assert_int_equal(t_fd(t, calls[i], 0, memfd), -EINVAL);
		assert_int_equal(t_fd(t, calls[i], 0, 1 << 20), -EBADF);
		assert_int_equal(t_fd(t, calls[i], 0, -2), -EBADF);
		assert_int_equal(t_fd(t, calls[i], 0, -1), 0);
		assert_int_equal(t_fd(t, calls[i], 0, -1), 0);
	}
	config = memfd;
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG_CALL, &config), -EINVAL);
	config = 1 << 20;
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG_CALL, &config), -EBADF);
	config = t->call[0];
	assert_int_equal(t_ioctl(t, VHOST_VDPA_SET_CONFIG_CALL, &config), 0);
	close(memfd);
	close(semaphore);
}

static void groups(void **state) /* KV08, KV09, KV10, KV11 */
{
	struct target *t = *state;

	t_negotiate(t);
	assert_int_equal(t_get(t, VHOST_VDPA_GET_VRING_GROUP, 0), 0);
	assert_int_equal(t_get(t, VHOST_VDPA_GET_VRING_GROUP, 1), 1);
	assert_int_equal(t_num(t, VHOST_VDPA_GET_VRING_DESC_GROUP, 0, 0), -EOPNOTSUPP);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, 1, 1), 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, 1, TEST_ASIDS), -EINVAL);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, TEST_QUEUES, 0), -ENOBUFS);
	assert_int_equal(t_status(t, 0xf), 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, 1, 0), -EBUSY);
}

static void busyloop(void **state)
{
	struct target *t = *state;

	assert_int_equal(t_owner(t), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 1), 0);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, 1, 0xfffffff0), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 1), 0xfffffff0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BUSYLOOP_TIMEOUT, 0), 0);
}

TARGET_SETUP(disk)
TARGET_SETUP(fixed)
TARGET_SETUP(once)
TARGET_SETUP(strict)
TARGET_SETUP(packed)

int cases_calls(void)
{
	const struct CMUnitTest tests[] = {
		TARGET_TEST(facts, disk),
		TARGET_TEST(strangers, disk),
		TARGET_TEST(owner_once, disk),
		TARGET_TEST(fork_owner, disk),
		TARGET_TEST(unknown_numbers, disk),
		TARGET_TEST(no_log, disk),
		TARGET_TEST(mem_table, disk),
		TARGET_TEST(index_first, disk),
		TARGET_TEST(null_pointers, disk),
		TARGET_TEST(last_bytes_of_a_page, disk),
		TARGET_TEST(no_argument, disk),
		TARGET_TEST(suspend_as_in_v6, disk),
		TARGET_TEST(strictly_no_v6, strict),
		TARGET_TEST(backend_features, disk),
		TARGET_TEST(backend_without_suspend, fixed),
		TARGET_TEST(backend_without_resume, once),
		TARGET_TEST(features, disk),
		TARGET_TEST(statuses, disk),
		TARGET_TEST(config_space, disk),
		TARGET_TEST(config_writes, disk),
		TARGET_TEST(vring_num, disk),
		TARGET_TEST(vring_addr, disk),
		TARGET_TEST(split_base, disk),
		TARGET_TEST(packed_base, packed),
		TARGET_TEST(eventfds, disk),
		TARGET_TEST(groups, disk),
		TARGET_TEST(busyloop, disk),
	};

	return cmocka_run_group_tests_name("calls", tests, NULL, NULL);
}
