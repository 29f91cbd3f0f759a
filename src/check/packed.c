/*
 * Cases: what only packed rings have (virtio 2.8): wrap counters, in the ring and in the base. All
 * else is tried by the twins of the other cases.
 */
#include "check/cases.h"

#include "check/options.h"
#include "check/rig.h"
#include "check/target.h"

#define SIZE 16 /* a lap is soon over: five block requests and a bit */

static uint32_t both(uint32_t half)
{
	return half | half << 16;
}

/* Begins at this place of a ring of SIZE, works over more than a lap, and stands where it ought to.
 */
static void begin_at(struct check *c, unsigned place)
{
	struct rig rig;
	uint32_t begin;

	rig_set_up(c, &rig, &(struct rig_options){.size = SIZE, .base = (uint16_t)place});
	begin = rig_used(&rig, rig.work);
	for (unsigned i = 0; i < 24; i++) {
		uint32_t expected;

		load_must_run(&rig, 1 + i % 3, "at the end of a lap");
		expected = rig_after(&rig, begin, rig.load.done, rig_each(&rig));
		if (rig_used(&rig, rig.work) != expected)
			broken(c, "a used descriptor has the wrap counter of its lap",
			       "%llu requests from 0x%x on lead to 0x%x, not 0x%x",
			       (unsigned long long)rig.load.done, begin, rig_used(&rig, rig.work),
			       expected);
	}
	load_check_canaries(&rig);
	uvdpa_driver_close(rig.drv);
}

static void p01(struct check *c)
{
	for (unsigned place = 0; place < 2 * SIZE; place += place % SIZE == 1 ? SIZE - 3 : 1)
		begin_at(c, place);
}

static void p02(struct check *c)
{
	static const uint32_t halves[] = {0x8000, 0x0000, 0x8007, 0x0007, 0x800f, 0x000f};
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.size = SIZE, .no_driver_ok = true});
	want(c, uvdpa_set_vring_enable(rig.drv, 0, 0), 0, "SET_VRING_ENABLE 0");
	for (unsigned i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
		uint32_t base = both(halves[i]);

		want(c, uvdpa_set_vring_base(rig.drv, 0, base), 0, "SET_VRING_BASE 0x%x", base);
		want(c, rig_base(&rig, 0), base, "GET_VRING_BASE after SET_VRING_BASE 0x%x", base);
	}
}

/* Every SUSPEND somewhere in a lap, by the requests' own count. */
static void p03(struct check *c)
{
	struct rounds r;
	struct rig rig;
	uint32_t begin;

	rig_set_up(c, &rig, &(struct rig_options){.size = SIZE});
	begin = rig_used(&rig, rig.work);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		uint32_t base, expected;

		load_post(&rig, 1 + check_random(c, 5));
		rig_kick(&rig);
		check_sleep(check_random(c, 200));
		rig_suspend(&rig);
		load_collect(&rig);
		base = rig_base(&rig, rig.work);
		if (base >> 16 != (base & 0xffff))
			broken(c, "all that was taken is finished: both halves are the same (S3)",
			       "the base is 0x%x", base);
		expected = rig_after(&rig, begin, rig.load.done, rig_each(&rig));
		if (base != expected)
			broken(c, "the base has the wrap counters of where processing stopped (S6)",
			       "%llu requests from 0x%x on lead to 0x%x, the base is 0x%x",
			       (unsigned long long)rig.load.done, begin, expected, base);
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

/*
 * Full rings one after the other, and then nothing new: what lies there next is of the lap before.
 * Of a chain only the first descriptor was marked used, the others still look available, but for
 * their wrap counter.
 */
static void p04(struct check *c)
{
	for (unsigned place = 0; place < SIZE; place += 3) {
		struct rig rig;

		rig_set_up(c, &rig, &(struct rig_options){.size = SIZE, .base = (uint16_t)place});
		for (unsigned lap = 0; lap < 3; lap++) {
			uint32_t used;

			load_fill(&rig);
			rig_kick(&rig);
			load_must_settle(&rig, "of a full ring");
			used = rig_used(&rig, rig.work);
			for (unsigned i = 0; i < 5; i++)
				rig_kick(&rig);
			check_sleep(500);
			if (rig_used(&rig, rig.work) != used)
				broken(c,
				       "descriptors of the lap before are not taken for new ones",
				       "the used position went from 0x%x to 0x%x", used,
				       rig_used(&rig, rig.work));
		}
		load_must_run(&rig, 2, "after full laps");
		uvdpa_driver_close(rig.drv);
	}
}

static void p05(struct check *c)
{
	struct rig rig;
	int r;

	rig_set_up(c, &rig, &(struct rig_options){.size = SIZE, .no_driver_ok = true});
	want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 0), 0, "SET_VRING_ENABLE 0");
	r = uvdpa_set_vring_base(rig.drv, rig.work, both(0x8000 | SIZE));
	if (r == 0)
		r = uvdpa_set_vring_enable(rig.drv, rig.work, 1);
	defined(c, "a base behind the end of the ring: %s", answer(r));
	uvdpa_set_status(rig.drv, 0xf);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	load_check_canaries(&rig);
	uvdpa_driver_close(rig.drv);
	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "after a base behind the end, close and open");
}

const struct check_case packed_cases[] = {
	{"P01", "ring", "virtio 2.8.1", "wrap counters flip at the end of a lap, wherever it began",
	 'M', NEED_LOAD | NEED_PACKED | NEED_MANY_SLOTS, p01},
	{"P02", "uapi", "vhost_vring_ioctl", "a packed base keeps both positions and wrap counters",
	 'M', NEED_LOAD | NEED_PACKED | NEED_MANY_SLOTS, p02},
	{"P03", "suspend", "S6 S3", "packed bases have the wrap counters of where it stopped", 'M',
	 NEED_CYCLE | NEED_PACKED | NEED_MANY_SLOTS, p03, .user = "vhost-user GET_VRING_BASE"},
	{"P04", "ring", "virtio 2.8.1", "descriptors of the lap before are not taken again", 'M',
	 NEED_LOAD | NEED_PACKED | NEED_MANY_SLOTS, p04},
	{"P05", "uapi", "vhost_vring_ioctl",
	 "a packed base behind the end of the ring harms nobody", 'D',
	 NEED_LOAD | NEED_PACKED | NEED_MANY_SLOTS, p05, .user = "robustness"},
};
CASE_COUNT(packed);
