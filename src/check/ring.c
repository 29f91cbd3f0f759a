/* Cases: what rings do when nobody suspends (virtio 2.7), which all the others build upon. */
#include "check/cases.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check/options.h"
#include "check/rig.h"
#include "check/target.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Whether an eventfd becomes readable in time. */
static void r01(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_be_called(&rig, 1, uvdpa_queue_call_fd(rig.queue[rig.work]),
			    "a completion is announced by the call eventfd");
}

static void full_rings(struct check *c, const struct rig_options *options, unsigned times)
{
	struct rig rig;

	rig_set_up(c, &rig, options);
	for (unsigned i = 0; i < times; i++) {
		if (load_fill(&rig) == 0)
			broken(c, "all descriptors come back", "the ring stays full");
		rig_kick(&rig);
		load_must_settle(&rig, "of a full ring");
	}
	load_check_canaries(&rig);
	uvdpa_driver_close(rig.drv);
}

static void r02(struct check *c)
{
	full_rings(c, &(struct rig_options){0}, 30);
}

static void r03(struct check *c)
{
	full_rings(c, &(struct rig_options){.base = 65500}, 10);
}

static void r04(struct check *c)
{
	full_rings(c, &(struct rig_options){.indirect = true}, 10);
}

static void r05(struct check *c)
{
	full_rings(c, &(struct rig_options){.scattered = true}, 10);
}

static void r06(struct check *c)
{
	full_rings(c, &(struct rig_options){.features_off = BIT(VIRTIO_RING_F_EVENT_IDX)}, 20);
}

static void r07(struct check *c)
{
	full_rings(c, &(struct rig_options){.scattered = true, .indirect = true}, 10);
}

static void r08(struct check *c)
{
	unsigned most = c->facts->ring_max;
	int64_t end = check_now() + (int64_t)c->options->deadline * 1000000000 / 4;

	for (unsigned size = facts_chain(c->facts) == 1 ? 2 : 4; size <= most && size <= 1024;
	     size *= 2) {
		if (check_now() > end) {
			defined(c, "a slow device: not tried beyond %u entries", size / 2);
			return;
		}
		full_rings(c, &(struct rig_options){.size = (uint16_t)size}, 4);
	}
}

static void r09(struct check *c)
{
	struct rig rig;
	struct rounds r;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, 1 + check_random(c, 12));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		load_collect(&rig);
	}
	load_must_settle(&rig, "of a load in random portions");
	load_check_canaries(&rig);
}

static void r10(struct check *c)
{
	struct rig rig;
	uint32_t used;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "before the queue is disabled");
	want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 0), 0, "SET_VRING_ENABLE 0");
	used = rig_used(&rig, rig.work);
	load_post(&rig, 4);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	if (rig_used(&rig, rig.work) != used)
		broken(c, "a disabled queue is not processed", "its used index moved");
	want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 1), 0, "SET_VRING_ENABLE 1");
	rig_kick(&rig);
	load_must_settle(&rig, "after the queue is enabled again and kicked");
}

static void r11(struct check *c)
{
	struct rig rig;
	uint32_t used;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	used = rig_used(&rig, rig.work);
	check_sleep(WATCH_US); /* a call may come after the used index that it tells of */
	uvdpa_queue_drain_calls(rig.queue[rig.work]);
	for (unsigned i = 0; i < 200; i++)
		rig_kick(&rig);
	check_sleep(WATCH_US);
	if (rig_used(&rig, rig.work) != used)
		broken(c, "kicks with nothing to do change nothing", "used index %u, was %u",
		       rig_used(&rig, rig.work), used);
	if (uvdpa_queue_drain_calls(rig.queue[rig.work]))
		spurious(c, "kicks with nothing to do change nothing", "a call comes");
	load_must_run(&rig, 2, "after 200 idle kicks");
}

static void r12(struct check *c)
{
	struct rig rig;
	uint64_t one = 1;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	want(c, uvdpa_set_vring_kick(rig.drv, rig.work, -1), 0, "SET_VRING_KICK -1");
	load_post(&rig, 2);
	if (write(fd, &one, sizeof(one)) != sizeof(one))
		skip(c, "cannot write to an eventfd");
	want(c, uvdpa_set_vring_kick(rig.drv, rig.work, fd), 0, "SET_VRING_KICK");
	load_must_settle(&rig, "after binding a kick eventfd whose counter is not 0");
}

static void r13(struct check *c)
{
	struct rig rig;
	int fresh = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	check_sleep(WATCH_US); /* a call may come after the used index that it tells of */
	want(c, uvdpa_set_vring_call(rig.drv, rig.work, fresh), 0, "SET_VRING_CALL");
	uvdpa_queue_drain_calls(rig.queue[rig.work]);
	load_must_be_called(&rig, 2, fresh, "the call eventfd bound last is signalled");
	if (uvdpa_queue_drain_calls(rig.queue[rig.work]))
		broken(c, "the call eventfd bound before is not signalled", "it is");
}

/* Spoils a ring, sees that nothing outside its rules happens, and that a reset heals. */
static void heal(struct rig *rig)
{
	uint8_t status = 0;

	check_sleep(WATCH_US);
	load_check_canaries(rig);
	want(rig->c, uvdpa_get_status(rig->drv, &status), 0, "GET_STATUS after nonsense in a ring");
	if (status & VIRTIO_CONFIG_S_NEEDS_RESET)
		defined(rig->c, "nonsense in a ring sets NEEDS_RESET");
	uvdpa_driver_close(rig->drv);
	rig_set_up(rig->c, rig, &(struct rig_options){0});
	load_must_run(rig, 4, "after nonsense in a ring, close and open");
}

static void r14(struct check *c)
{
	struct uvdpa_queue_areas a;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "at first");
	load_add(&rig, 1);
	uvdpa_queue_areas(rig.queue[rig.work], &a);
	for (size_t at = 4; at + 2 < a.avail_len; at += 2)
		store_le16((uint8_t *)a.avail + at, 0xfff0);
	load_show(&rig);
	rig_kick(&rig);
	heal(&rig);
}

static void r15(struct check *c)
{
	struct uvdpa_queue_areas a;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_add(&rig, 2);
	uvdpa_queue_areas(rig.queue[rig.work], &a);
	for (size_t at = 0; at < a.desc_len; at += 16) {
		if (rig.packed) { /* it goes round and round; the device may be looking at one */
			__atomic_store_n((uint16_t *)((uint8_t *)a.desc + at + 14),
					 (uint16_t)VRING_DESC_F_NEXT, __ATOMIC_RELAXED);
			continue;
		}
		store_le16((uint8_t *)a.desc + at + 12, VRING_DESC_F_NEXT);
		store_le16((uint8_t *)a.desc + at + 14, (uint16_t)(at / 16));
	}
	load_show(&rig);
	rig_kick(&rig);
	heal(&rig);
}

static void r16(struct check *c)
{
	struct uvdpa_queue_areas a;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_add(&rig, 2);
	uvdpa_queue_areas(rig.queue[rig.work], &a);
	for (size_t at = 0; at < a.desc_len; at += 16)
		store_le64((uint8_t *)a.desc + at, UINT64_C(0x123456000));
	load_show(&rig);
	rig_kick(&rig);
	heal(&rig);
}

static void r17(struct check *c)
{
	struct uvdpa_queue_areas a;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	uvdpa_queue_areas(rig.queue[rig.work], &a);
	__atomic_store_n((uint16_t *)a.avail + 1, (uint16_t)(rig_used(&rig, rig.work) + 5000),
			 __ATOMIC_RELEASE);
	rig_kick(&rig);
	heal(&rig);
}

static void r18(struct check *c)
{
	struct rig rig;
	uint64_t calls;

	rig_set_up(c, &rig, &(struct rig_options){.features_off = BIT(VIRTIO_RING_F_EVENT_IDX)});
	uvdpa_queue_want_calls(rig.queue[rig.work], 0);
	load_must_run(&rig, 8, "with VRING_AVAIL_F_NO_INTERRUPT");
	check_sleep(2000);
	calls = uvdpa_queue_drain_calls(rig.queue[rig.work]);
	if (calls)
		defined(c, "%llu calls for 8 requests though the driver asked for none",
			(unsigned long long)calls);
}

static void r19(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 50; i++) {
		uvdpa_queue_drain_calls(rig.queue[rig.work]);
		load_post(&rig, 1 + i % 3);
		if (c->facts->device_id == VIRTIO_ID_NET)
			uvdpa_queue_kick_always(rig.queue[0]);
		/* as a driver does: kick only if asked, then sleep until called */
		uvdpa_queue_kick(rig.queue[rig.work]);
		while (rig.load.done < rig.load.posted) {
			if (uvdpa_queue_wait(rig.queue[rig.work], (int)c->options->patience) != 1)
				broken(c,
				       "a driver that kicks when asked and sleeps until called "
				       "goes on",
				       "request %llu was not done within %d ms",
				       (unsigned long long)rig.load.done + 1,
				       (int)c->options->patience);
			load_collect(&rig);
		}
	}
}

static void r20(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	load_post(&rig, 2);
	rig_kick(&rig);
	check_sleep(5000);
	if (rig_used(&rig, rig.work) != rig_first(&rig))
		broken(c, "nothing is processed before DRIVER_OK", "the used index is %u",
		       rig_used(&rig, rig.work));
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	check_sleep(WATCH_US);
	defined(c, "a kick before DRIVER_OK is %s",
		rig_used(&rig, rig.work) != rig_first(&rig) ? "acted on at DRIVER_OK"
							    : "forgotten (L6)");
	rig_kick(&rig);
	load_must_settle(&rig, "after DRIVER_OK and a kick");
}

/*
 * With IN_ORDER a used entry stands for all that was made available up to its own: each of these
 * has its status and its data by then, and what came before it is never named again.
 */
static void r21(struct check *c)
{
	const struct rig_options mixed = {.mixed = true, .size = 256};
	struct rounds r;
	struct rig rig;

	full_rings(c, &mixed, 10);
	rig_set_up(c, &rig, &mixed);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, 1 + check_random(c, 12));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		load_collect(&rig);
	}
	load_must_settle(&rig, "of a mixed load, used in order");
	load_check_canaries(&rig);
}

const struct check_case ring_cases[] = {
	{"R01", "ring", "virtio 2.7.8", "a completion is announced by a call", 'M', NEED_LOAD, r01},
	{"R02", "ring", "virtio 2.7", "full rings, again and again", 'M', NEED_LOAD, r02},
	{"R03", "ring", "virtio 2.7.6", "indexes wrap from 65535 to 0", 'M', NEED_LOAD, r03},
	{"R04", "ring", "virtio 2.7.5.3", "indirect chains", 'M', NEED_LOAD | NEED_INDIRECT, r04},
	{"R05", "ring", "virtio 2.7.4", "chains of many pieces", 'M', NEED_LOAD | NEED_MANY_SLOTS,
	 r05},
	{"R06", "ring", "virtio 2.7.10", "without event index", 'M', NEED_LOAD, r06},
	{"R07", "ring", "virtio 2.7.5.3", "indirect chains of many pieces", 'M',
	 NEED_LOAD | NEED_INDIRECT, r07},
	{"R08", "ring", "vhost_vdpa_vring_ioctl", "rings of all sizes", 'M', NEED_LOAD, r08,
	 .user = "vhost-user SET_VRING_NUM"},
	{"R09", "ring", "virtio 2.7", "a load in random portions, with canaries", 'M', NEED_LOAD,
	 r09},
	{"R10", "ring", "vdpasim_set_vq_ready", "a disabled queue stands still", 'M', NEED_LOAD,
	 r10, .user = "vhost-user ring states"},
	{"R11", "ring", "virtio 2.7.13", "kicks with nothing to do", 'M', NEED_LOAD, r11},
	{"R12", "ring", "vhost_poll_start", "binding a kick eventfd that is signalled is a kick",
	 'M', NEED_LOAD, r12, .user = "vhost-user SET_VRING_KICK"},
	{"R13", "ring", "vhost_vdpa_vring_ioctl", "rebinding the call eventfd", 'M', NEED_LOAD, r13,
	 .user = "vhost-user SET_VRING_CALL"},
	{"R14", "ring", "virtio 2.7.6", "heads out of range harm nobody", 'M',
	 NEED_LOAD | NEED_SPLIT, r14, .user = "robustness"},
	{"R15", "ring", "virtio 2.7.5", "chains that bite their tail harm nobody", 'M', NEED_LOAD,
	 r15, .user = "robustness"},
	{"R16", "ring", "virtio 2.7.5", "buffers that are not mapped harm nobody", 'M', NEED_LOAD,
	 r16, .user = "robustness"},
	{"R17", "ring", "virtio 2.7.6", "an available index that jumps harms nobody", 'M',
	 NEED_LOAD | NEED_SPLIT, r17, .user = "robustness"},
	{"R18", "ring", "virtio 2.7.7", "a driver that wants no calls", 'D', NEED_LOAD, r18},
	{"R19", "ring", "virtio 2.7.10", "a driver that kicks when asked and sleeps until called",
	 'M', NEED_LOAD, r19},
	{"R20", "ring", "vdpasim_kick_vq", "nothing happens before DRIVER_OK", 'M', NEED_LOAD, r20,
	 .user = "virtio 3.1.1"},
	{"R21", "ring", "virtio 2.7.9", "what is made available in order is used in order", 'M',
	 NEED_LOAD | NEED_IN_ORDER, r21},
};
CASE_COUNT(ring);
