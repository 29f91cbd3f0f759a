/* Cases: what a driver may put in another's place while the device is suspended (K rows S,
 * continued). */
#include "check/cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

static void ks13(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_vring_base(rig.drv, 0, rig_elsewhere(&rig)), 0,
	     "SET_VRING_BASE while suspended");
	want(c, rig_base(&rig, 0), rig_elsewhere(&rig), "GET_VRING_BASE after it");
}

/* New rings for the queue of the work, at the old ones' position, with what is in flight dropped.
 */
static struct uvdpa_queue *other_rings(struct rig *rig, unsigned q)
{
	struct uvdpa_queue *fresh;
	const struct uvdpa_queue_options options = {
		.size = uvdpa_queue_size(rig->queue[q]),
		.features = rig->features,
		.poll_us = UVDPA_QUEUE_POLL_NEVER,
	};

	if (uvdpa_queue_new(rig->memory, &options, &fresh, NULL) < 0)
		skip(rig->c, "no room for other rings");
	uvdpa_queue_restart(fresh, rig_used(rig, q));
	return fresh;
}

static void take_rings(struct rig *rig, unsigned q, struct uvdpa_queue *fresh, bool enable)
{
	struct uvdpa_queue_areas a;
	struct check *c = rig->c;

	uvdpa_queue_areas(fresh, &a);
	want(c, uvdpa_set_vring_addr(rig->drv, q, 0, a.desc_iova, a.avail_iova, a.used_iova, 0), 0,
	     "SET_VRING_ADDR while suspended");
	want(c, uvdpa_set_vring_kick(rig->drv, q, uvdpa_queue_kick_fd(fresh)), 0, "SET_VRING_KICK");
	want(c, uvdpa_set_vring_call(rig->drv, q, uvdpa_queue_call_fd(fresh)), 0, "SET_VRING_CALL");
	if (enable) {
		want(c, uvdpa_set_vring_enable(rig->drv, q, 0), 0, "SET_VRING_ENABLE 0");
		want(c, uvdpa_set_vring_enable(rig->drv, q, 1), 0, "SET_VRING_ENABLE 1");
	}
}

static void ks14(struct check *c)
{
	struct uvdpa_queue *fresh;
	struct rig rig;

	rig_set_suspended(c, &rig);
	fresh = other_rings(&rig, rig.work);
	take_rings(&rig, rig.work, fresh, true);
	rig.queue[rig.work] = fresh;
	rig_resume(&rig);
	load_must_run(&rig, 8, "in new rings, given and enabled while suspended");
}

static void ks15(struct check *c)
{
	struct uvdpa_queue *old, *fresh;
	struct rig rig;

	rig_set_suspended(c, &rig);
	old = rig.queue[rig.work];
	fresh = other_rings(&rig, rig.work);
	take_rings(&rig, rig.work, fresh, false);
	rig.queue[rig.work] = fresh;
	rig_resume(&rig);
	load_post(&rig, 2);
	rig_kick(&rig);
	uvdpa_queue_kick_always(old);
	check_sleep(WATCH_US);
	defined(c, "rings given while suspended, without enabling anew, are %s",
		rig_used(&rig, rig.work) != uvdpa_queue_base(old) ? "used after RESUME"
								  : "not used");
}

static void ks16(struct check *c)
{
	struct rig rig;
	uint32_t base;

	rig_set_suspended(c, &rig);
	base = rig_base(&rig, rig.work);
	load_post(&rig, 4);
	rig_kick(&rig);
	want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 0), 0, "SET_VRING_ENABLE 0");
	want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 1), 0, "SET_VRING_ENABLE 1");
	rig_kick(&rig);
	still_watch(&rig, STILL_BASE | STILL_USED, WATCH_US,
		    "after disable and enable while suspended");
	want(c, rig_base(&rig, rig.work), base, "GET_VRING_BASE after them");
}

static void ks17(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, rig_same_addr(&rig, 0), 0, "SET_VRING_ADDR while suspended");
	rig_resume(&rig);
	want(c, rig_same_addr(&rig, 0), -EINVAL, "SET_VRING_ADDR after RESUME");
}

/*
 * Whether the ring of the work has this many more used entries, in a copy of the arena at `moved`
 * from it. Packed: whether the last of them is marked used (virtio 2.8.1).
 */
static bool is_used(struct rig *rig, ptrdiff_t moved, uint16_t more)
{
	uint32_t used = rig_used(rig, rig->work), last;
	struct uvdpa_queue_areas a;
	uint16_t *word;

	uvdpa_queue_areas(rig->queue[rig->work], &a);
	if (!rig->packed) {
		word = (uint16_t *)((uint8_t *)a.used + moved) + 1;
		return __atomic_load_n(word, __ATOMIC_ACQUIRE) == rig_after(rig, used, more, 1);
	}
	last = rig_after(rig, used, more - 1u, rig_each(rig));
	word = (uint16_t *)((uint8_t *)a.desc + moved) + 8 * (last & 0x7fff) + 7;
	return (__atomic_load_n(word, __ATOMIC_ACQUIRE) & 0x8080) == (last & 0x8000 ? 0x8080 : 0);
}

static bool wait_used(struct rig *rig, const uint8_t *copy, uint16_t more)
{
	ptrdiff_t moved = copy - (uint8_t *)uvdpa_memory_base(rig->memory);

	for (unsigned i = 0; i < 400; i++) {
		if (is_used(rig, moved, more))
			return true;
		check_sleep(5000);
	}
	return false;
}

static void ks22(struct check *c)
{
	const uint8_t *old;
	uint8_t *copy, *before;
	unsigned posted;
	struct rig rig;
	uint64_t iova;
	size_t size;
	int fd;

	rig_set_suspended(c, &rig);
	posted = load_post(&rig, 4);
	old = uvdpa_memory_base(rig.memory);
	size = uvdpa_memory_size(rig.memory);
	iova = uvdpa_memory_iova(rig.memory, old);
	fd = memfd_create("other", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		skip(c, "no other memory");
	copy = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	before = malloc(size);
	if (copy == MAP_FAILED || !before)
		skip(c, "no other memory");
	memcpy(copy, old, size);
	memcpy(before, old, size);
	want(c, uvdpa_iotlb_invalidate(rig.drv, 0, iova, size), 0, "an invalidate while suspended");
	want(c, uvdpa_iotlb_update(rig.drv, 0, iova, size, copy, 3), 0,
	     "an update while suspended");
	rig_resume(&rig);
	rig_kick(&rig);
	if (!wait_used(&rig, copy, (uint16_t)posted))
		broken(c, "the memory that replaced it is used", "its used index does not move");
	if (memcmp(old, before, size))
		broken(c, "memory exchanged while suspended is not used after RESUME", "it is");
}

static void ks23(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_running(c, &rig);
	load_fill(&rig);
	rig_kick(&rig);
	rig_suspend(&rig);
	still_take(&rig, &s, STILL_ALL);
	want(c, uvdpa_iotlb_invalidate(rig.drv, 0, 0, 0), 0, "an invalidate of everything");
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after an invalidate of everything while suspended");
}

static void ks32(struct check *c)
{
	struct rig rig;
	uint64_t one = 1;

	rig_set_suspended(c, &rig);
	load_post(&rig, 2);
	for (unsigned q = 0; q < rig.queues; q++) {
		int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

		if (fd < 0 || write(fd, &one, sizeof(one)) != sizeof(one))
			skip(c, "no eventfd");
		want(c, uvdpa_set_vring_kick(rig.drv, q, fd), 0, "SET_VRING_KICK while suspended");
	}
	check_sleep(5000);
	rig_resume(&rig);
	load_must_settle(&rig,
			 "after RESUME, a kick eventfd with a count having been bound before");
}

static void ks33(struct check *c)
{
	struct rig rig;
	uint64_t count = 0;
	int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_vring_call(rig.drv, rig.work, fresh), 0,
	     "SET_VRING_CALL while suspended");
	uvdpa_queue_drain_calls(rig.queue[rig.work]);
	rig_resume(&rig);
	load_must_run(&rig, 2, "after RESUME");
	check_sleep(3000);
	if (uvdpa_queue_drain_calls(rig.queue[rig.work]))
		broken(c, "only the call eventfd bound last is signalled", "the one before it was");
	if (read(fresh, &count, sizeof(count)) != sizeof(count))
		broken(c, "the call eventfd bound while suspended is signalled", "it was not");
}

static void ks37(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_status(rig.drv, 0), 0, "SET_STATUS 0"); /* raw: the library would unmap */
	rig_raw_start(&rig);
	load_must_run(&rig, 4, "after a reset without mapping again, with IOTLB_PERSIST");
}

const struct check_case exchange_cases[] = {
	{"KS13", "suspend", "vhost_vdpa_vring_ioctl", "the base can be set while suspended", 'M',
	 NEED_STOP, ks13},
	{"KS14", "resume", "vhost_vdpa_vring_ioctl", "rings can be exchanged while suspended", 'M',
	 NEED_CYCLE, ks14, .user = "vhost-user ring states"},
	{"KS15", "resume", "vdpasim_set_vq_address", "rings exchanged without enabling anew", 'D',
	 NEED_CYCLE, ks15},
	{"KS16", "suspend", "vdpasim_set_vq_ready S2", "disable and enable while suspended", 'M',
	 NEED_STOP, ks16},
	{"KS17", "resume", "vhost_vdpa_vring_ioctl", "addresses are fixed again after RESUME", 'M',
	 NEED_CYCLE, ks17},
	{"KS22", "resume", "vhost_vdpa_process_iotlb_msg", "memory exchanged while suspended", 'M',
	 NEED_CYCLE, ks22},
	{"KS23", "suspend", "vhost_vdpa_iotlb_unmap S4", "everything unmapped while suspended", 'M',
	 NEED_STOP, ks23, .user = "vhost-user ring states"},
	{"KS32", "resume", "vhost_poll_start S8",
	 "a kick eventfd with a count, bound while suspended", 'M', NEED_CYCLE, ks32},
	{"KS33", "resume", "vhost_vdpa_vring_ioctl", "a call eventfd bound while suspended", 'M',
	 NEED_CYCLE, ks33, .user = "vhost-user SET_VRING_CALL"},
	{"KS37", "suspend", "vdpasim_reset_map", "mappings that persist over a reset", 'M',
	 NEED_STOP | NEED_PERSIST, ks37},
};
CASE_COUNT(exchange);
