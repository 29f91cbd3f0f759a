/* Cases: setting up queues, groups and address spaces (K rows V). */
#include "check/cases.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "check/rig.h"
#include "check/target.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

#define OLD "Linux before 7.2"

static void kv01(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	unsigned max = c->facts->ring_max;

	want(c, uvdpa_set_vring_num(drv, 0, 0), -EINVAL, "SET_VRING_NUM 0");
	want(c, uvdpa_set_vring_num(drv, 0, 3), -EINVAL, "SET_VRING_NUM 3");
	want(c, uvdpa_set_vring_num(drv, 0, max), 0, "SET_VRING_NUM of the maximum, %u", max);
	want(c, uvdpa_set_vring_num(drv, 0, 65536), -EINVAL, "SET_VRING_NUM 65536");
	if (max < 32768) {
		want_or(c, uvdpa_set_vring_num(drv, 0, max * 2), -EINVAL, 0, OLD,
			"SET_VRING_NUM of twice the maximum");
		want_or(c, uvdpa_set_vring_num(drv, 0, 32768), -EINVAL, 0, OLD,
			"SET_VRING_NUM 32768");
	}
}

static void kv02(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_set_vring_num(rig.drv, 0, 16), 0, "SET_VRING_NUM after DRIVER_OK");
}

static void kv03(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	want(c, uvdpa_set_vring_addr(drv, 0, 0, 4096, 8193, 12288, 0), -EINVAL,
	     "an odd avail address");
	want(c, uvdpa_set_vring_addr(drv, 0, 0, 4096, 8192, 12290, 0), -EINVAL,
	     "a used address that is not a multiple of 4");
	want(c, uvdpa_set_vring_addr(drv, 0, 0, 4096, 8192, 12288, 2), -EINVAL,
	     "a log address that is not a multiple of 4");
	want(c, uvdpa_set_vring_addr(drv, 0, 2, 4096, 8192, 12288, 0), -EOPNOTSUPP,
	     "address flags 2");
	want(c, uvdpa_set_vring_addr(drv, 0, 1, 4096, 8192, 12288, 0), 0, "address flags 1 (log)");
}

static void kv04(struct check *c)
{
	struct uvdpa_queue_areas a;
	struct rig rig;
	uint32_t base;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 3, "before the calls");
	uvdpa_queue_areas(rig.queue[0], &a);
	base = rig_base(&rig, 0);
	want(c, uvdpa_set_vring_addr(rig.drv, 0, 0, a.desc_iova, a.avail_iova, a.used_iova, 0),
	     -EINVAL, "SET_VRING_ADDR of a running device");
	want(c, uvdpa_set_vring_base(rig.drv, 0, base + 5), -EINVAL,
	     "SET_VRING_BASE of a running device");
	want(c, rig_base(&rig, 0), base, "GET_VRING_BASE after that");
	load_must_run(&rig, 3, "after the refused calls");
}

static void kv05(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t base = 0;

	want(c, uvdpa_set_vring_base(drv, 0, 65535), 0, "SET_VRING_BASE 65535");
	want(c, uvdpa_get_vring_base(drv, 0, &base), 0, "GET_VRING_BASE");
	want(c, base, 65535, "GET_VRING_BASE after SET_VRING_BASE 65535");
	want(c, uvdpa_set_vring_base(drv, 0, 65536), -EINVAL, "SET_VRING_BASE 65536");
}

static void kv06(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint64_t wanted =
		BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM);
	uint32_t base = 0;

	if (!(c->facts->features & BIT(VIRTIO_F_RING_PACKED)))
		skip(c, "the device does not offer VIRTIO_F_RING_PACKED");
	want(c, uvdpa_set_features(drv, c->facts->features & wanted), 0, "SET_FEATURES, packed");
	want(c, uvdpa_get_vring_base(drv, 0, &base), 0, "GET_VRING_BASE, packed");
	if (base != 0x80008000)
		defined(c, "a virgin packed ring's base is 0x%x, on most devices 0x80008000", base);
}

static void kv07(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	int plain = open("/", O_RDONLY | O_CLOEXEC), gone = check_closed_fd();

	want(c, uvdpa_set_vring_kick(drv, 0, -1), 0, "SET_VRING_KICK -1");
	want(c, uvdpa_set_vring_call(drv, 0, -1), 0, "SET_VRING_CALL -1");
	want(c, uvdpa_set_vring_kick(drv, 0, gone), -EBADF, "SET_VRING_KICK of a closed fd");
	want(c, uvdpa_set_vring_call(drv, 0, gone), -EBADF, "SET_VRING_CALL of a closed fd");
	want(c, uvdpa_set_vring_err(drv, 0, gone), -EBADF, "SET_VRING_ERR of a closed fd");
	want(c, uvdpa_set_vring_kick(drv, 0, plain), -EINVAL, "SET_VRING_KICK of another file");
	want(c, uvdpa_set_vring_call(drv, 0, plain), -EINVAL, "SET_VRING_CALL of another file");
	want(c, uvdpa_set_vring_err(drv, 0, plain), -EINVAL, "SET_VRING_ERR of another file");
}

static void kv08(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);
	uint32_t size = 0;
	int r = uvdpa_get_vring_size(drv, 0, &size);

	want_or(c, r, 0, -EOPNOTSUPP, "the simulator", "GET_VRING_SIZE");
	if (r == 0 && size > c->facts->ring_max)
		broken(c, "a queue is not larger than the maximum", "%u, maximum %u", size,
		       c->facts->ring_max);
}

static void kv09(struct check *c)
{
	struct uvdpa_driver *drv = check_open(c);

	for (unsigned q = 0; q < c->facts->vqs; q++) {
		uint32_t group = UINT32_MAX;

		want(c, uvdpa_get_vring_group(drv, q, &group), 0, "GET_VRING_GROUP of queue %u", q);
		if (group >= c->facts->groups)
			broken(c, "a queue's group is below GET_GROUP_NUM",
			       "queue %u: group %u of %u", q, group, c->facts->groups);
	}
}

static void kv10(struct check *c)
{
	const struct facts *f = c->facts;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_queues = true});
	want(c, uvdpa_set_group_asid(rig.drv, 1, 1), 0, "SET_GROUP_ASID 1 to 1");
	want(c, uvdpa_set_group_asid(rig.drv, 1, f->asids), -EINVAL, "SET_GROUP_ASID 1 to %u",
	     f->asids);
	if (f->groups < f->vqs)
		want(c, uvdpa_set_group_asid(rig.drv, f->groups, 0), -EINVAL,
		     "SET_GROUP_ASID %u to 0", f->groups);
	want(c, uvdpa_set_group_asid(rig.drv, f->vqs > f->groups ? f->vqs : f->groups, 0),
	     f->vqs >= f->groups ? -ENOBUFS : -EINVAL, "SET_GROUP_ASID out of range");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	want_or(c, uvdpa_set_group_asid(rig.drv, 1, 0), -EBUSY, 0, "Linux before 7.0",
		"SET_GROUP_ASID after DRIVER_OK");
}

/* Puts the groups of the load's queues into an address space. */
static void group_to(struct rig *rig, uint32_t asid)
{
	for (unsigned q = 0; q <= rig->work; q++) {
		uint32_t group = 0;

		uvdpa_get_vring_group(rig->drv, q, &group);
		want(rig->c, uvdpa_set_group_asid(rig->drv, group, asid), 0,
		     "SET_GROUP_ASID of group %u to %u", group, asid);
	}
}

static void kv11(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	group_to(&rig, 1);
	rig_reset(&rig);
	rig_negotiate(&rig);
	rig_start(&rig);
	load_must_run(&rig, 4, "in address space 0, to which a reset returns all groups");
}

static void v12(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	group_to(&rig, 1);
	uvdpa_driver_unmap(rig.drv, rig.memory, 0);
	want(c, uvdpa_driver_map(rig.drv, rig.memory, 1, NULL), 0, "mapping into address space 1");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	load_must_run(&rig, 8, "with rings and buffers mapped in address space 1 only");
}

static void v13(struct check *c)
{
	struct rig rig;
	uint32_t used;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	group_to(&rig, 1);
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	used = rig_used(&rig, rig.work);
	load_post(&rig, 2);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	if (rig_used(&rig, rig.work) != used)
		broken(c, "a queue whose group is in address space 1 sees nothing of space 0",
		       "its ring was processed");
}

const struct check_case queue_cases[] = {
	{"KV01", "uapi", "vhost_vdpa_vring_ioctl", "queue sizes", 'M', 0, kv01},
	{"KV02", "uapi", "vhost_vdpa_vring_ioctl", "the size may be set after DRIVER_OK", 'K',
	 NEED_LOAD, kv02},
	{"KV03", "uapi", "vhost_vring_set_addr", "ring addresses: alignment and flags", 'M', 0,
	 kv03},
	{"KV04", "uapi", "vhost_vdpa_vring_ioctl",
	 "addresses and base are fixed while the device runs", 'M', NEED_LOAD, kv04},
	{"KV05", "uapi", "vhost_vring_ioctl", "bases of a split ring have 16 bits", 'M', 0, kv05},
	{"KV06", "uapi", "vhost_vdpa_vring_ioctl", "the base of a virgin packed ring", 'D',
	 NEED_PACKED, kv06},
	{"KV07", "uapi", "vhost_vring_ioctl", "eventfds: none, closed, something else", 'M', 0,
	 kv07},
	{"KV08", "uapi", "vhost_vdpa_vring_ioctl", "GET_VRING_SIZE", 'D', 0, kv08},
	{"KV09", "uapi", "vhost_vdpa_vring_ioctl", "every queue has a group that exists", 'M',
	 NEED_GROUPS, kv09},
	{"KV10", "uapi", "vhost_vdpa_vring_ioctl",
	 "groups and address spaces: ranges, and fixed by DRIVER_OK", 'M', NEED_ASIDS, kv10},
	{"KV11", "uapi", "vdpasim_do_reset", "a reset puts all groups into address space 0", 'M',
	 NEED_ASIDS | NEED_LOAD, kv11},
	{"V12", "uapi", "vdpasim_set_group_asid",
	 "a queue's rings and buffers are translated in its group's space", 'M',
	 NEED_ASIDS | NEED_LOAD, v12},
	{"V13", "uapi", "vdpasim_set_group_asid", "and in no other", 'M', NEED_ASIDS | NEED_LOAD,
	 v13},
};
CASE_COUNT(queue);
