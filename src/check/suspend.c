/* Cases: the clauses of the suspend contract while a device is suspended (S1 to S7, S9, S10). */
#include "check/cases.h"

#include <errno.h>
#include <string.h>

#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Running with some work done and, at random, some under way; then suspended. */
static void stop(struct check *c, struct rig *rig, const struct rig_options *options)
{
	rig_set_up(c, rig, options);
	load_must_run(rig, 5, "before SUSPEND");
	load_post(rig, 1 + check_random(c, 8));
	rig_kick(rig);
	check_sleep(check_random(c, 200));
	rig_suspend(rig);
}

/* Everything that could tempt a suspended device: work, kicks on every queue. */
static void tempt(struct rig *rig)
{
	load_post(rig, 4);
	for (unsigned i = 0; i < 20; i++)
		rig_kick(rig);
}

/* One try: stop; tempt; watch. */
static void try_still(struct check *c, const struct rig_options *options, unsigned watch)
{
	struct rig rig;
	struct still s;

	stop(c, &rig, options);
	still_watch(&rig, watch, WATCH_US / 3, "right after SUSPEND");
	load_post(&rig, 4);
	still_take(&rig, &s, watch);
	for (unsigned i = 0; i < 20; i++)
		rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after kicks while suspended");
	uvdpa_driver_close(rig.drv);
}

static void s1_1(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND, _IO(0xAF, 0x7D)");
	want(c, uvdpa_resume(rig.drv), 0, "RESUME, _IO(0xAF, 0x7E)");
}

static void s1_2(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND before DRIVER_OK");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	load_must_run(&rig, 4, "after a SUSPEND that came before DRIVER_OK");
}

static void s1_3(struct check *c)
{
	struct rig rig;
	struct still s;
	int r;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	r = uvdpa_suspend_v6(rig.drv, 1);
	if (r == -ENOTTY || r == -ENOBUFS) {
		defined(c, "the first series' SUSPEND number is unknown (%s), as on today's Linux",
			answer(r));
		return;
	}
	want(c, r, 0, "the first series' SUSPEND number with 1");
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_ALL);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after the first series' SUSPEND");
	want(c, uvdpa_suspend_v6(rig.drv, 0), 0, "the first series' SUSPEND number with 0");
	load_must_settle(&rig, "after resuming by the first series' number");
	defined(c, "the first series' SUSPEND number suspends and resumes");
}

static void s1_4(struct check *c)
{
	struct uvdpa_driver *drv;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_suspend(rig.drv), -EOPNOTSUPP, "SUSPEND of a device that cannot");
	load_must_run(&rig, 2, "after that");
	uvdpa_driver_close(rig.drv);
	drv = check_open(c);
	want(c, uvdpa_set_backend_features(drv, BIT(VHOST_BACKEND_F_SUSPEND)), -EOPNOTSUPP,
	     "SET_BACKEND_FEATURES of bit 4");
}

static void s1_5(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	rig_suspend(&rig);
	want(c, uvdpa_resume(rig.drv), -EOPNOTSUPP, "RESUME of a device that cannot");
	load_post(&rig, 2);
	still_watch(&rig, STILL_BASE | STILL_USED, WATCH_US, "after the refused RESUME");
}

static void s2_1(struct check *c)
{
	try_still(c, &(struct rig_options){0}, STILL_BASE | STILL_USED);
}

static void s2_2(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_fill(&rig);
	rig_kick(&rig);
	rig_suspend(&rig);
	still_take(&rig, &s, STILL_BASE | STILL_USED);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "of a ring that was full at SUSPEND");
}

static void s2_3(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 8, "before SUSPEND");
	rig_suspend(&rig);
	load_fill(&rig);
	still_take(&rig, &s, STILL_BASE | STILL_USED);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "of a ring that was empty at SUSPEND and filled then");
}

static void s2_4(struct check *c)
{
	for (unsigned i = 0; i < 4; i++)
		try_still(c, &(struct rig_options){.base = (uint16_t)(65535 - 3 * i)},
			  STILL_BASE | STILL_USED);
}

static void s2_5(struct check *c)
{
	try_still(c, &(struct rig_options){.indirect = true, .scattered = true},
		  STILL_BASE | STILL_USED | STILL_MEMORY);
}

static void s2_6(struct check *c)
{
	try_still(c, &(struct rig_options){.features_off = BIT(VIRTIO_RING_F_EVENT_IDX)},
		  STILL_BASE | STILL_USED | STILL_MEMORY);
}

static void s2_7(struct check *c)
{
	struct rig rig;
	struct still s;

	stop(c, &rig, &(struct rig_options){0});
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_BASE | STILL_USED);
	/* every call that may make a device look at its rings */
	for (unsigned q = 0; q < rig.queues; q++) {
		uvdpa_set_vring_kick(rig.drv, q, -1);
		uvdpa_queue_kick_always(rig.queue[q]);
		uvdpa_set_vring_kick(rig.drv, q, uvdpa_queue_kick_fd(rig.queue[q]));
		uvdpa_set_vring_call(rig.drv, q, uvdpa_queue_call_fd(rig.queue[q]));
	}
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after eventfds were bound anew");
}

static void s3_1(struct check *c)
{
	struct rounds r;
	struct rig rig;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		rig_set_up(c, &rig, &(struct rig_options){0});
		load_burst(&rig, 400);
		rig_suspend(&rig);
		still_finished(&rig, "right after SUSPEND under load");
		load_collect(&rig);
		uvdpa_driver_close(rig.drv);
	}
}

/* S3: what was published was announced before SUSPEND returned. */
static void s3_2(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		uint32_t before = rig_used(&rig, rig.work);

		uvdpa_queue_drain_calls(rig.queue[rig.work]);
		load_post(&rig, 1 + check_random(c, 4));
		rig_kick(&rig);
		check_sleep(check_random(c, 400));
		rig_suspend(&rig);
		if (rig_used(&rig, rig.work) != before &&
		    uvdpa_queue_drain_calls(rig.queue[rig.work]) == 0)
			broken(c,
			       "what is in the used ring was announced before SUSPEND returned "
			       "(S3)",
			       "round %u: used index %u, before %u, and no call", r.done,
			       rig_used(&rig, rig.work), before);
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

static void s3_3(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.scattered = c->facts->ring_max >= 16});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 300);
		rig_suspend(&rig);
		load_collect(&rig); /* whatever is published has its status and all its bytes */
		load_check_canaries(&rig);
		rig_resume(&rig);
		rig_kick(&rig);
	}
	load_must_settle(&rig, "after the last RESUME and a kick");
}

static void s4_1(struct check *c)
{
	try_still(c, &(struct rig_options){0}, STILL_MEMORY);
}

/* Looks for what S4 and S5 forbid, after many suspensions amid a burst. */
static void still_amid_bursts(struct check *c, unsigned what)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 300);
		rig_suspend(&rig);
		still_watch(&rig, what, 3000, "after SUSPEND under load");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

static void s4_2(struct check *c)
{
	still_amid_bursts(c, STILL_MEMORY);
}

static void s4_3(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 5, "before SUSPEND");
	rig_suspend(&rig);
	/* the used ring's own flags and event words are the device's: it may not touch even those
	 */
	for (unsigned q = 0; q < rig.queues; q++) {
		uvdpa_queue_want_calls(rig.queue[q], 0);
		uvdpa_queue_want_calls(rig.queue[q], 1);
	}
	still_take(&rig, &s, STILL_MEMORY);
	for (unsigned i = 0; i < 50; i++)
		rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after idle kicks while suspended");
}

static void s5_1(struct check *c)
{
	try_still(c, &(struct rig_options){0}, STILL_CALLS);
}

static void s5_2(struct check *c)
{
	still_amid_bursts(c, STILL_CALLS);
}

static void s5_3(struct check *c)
{
	struct rig rig;
	struct still s;

	stop(c, &rig, &(struct rig_options){0});
	still_take(&rig, &s, STILL_CONFIG | STILL_CALLS);
	tempt(&rig);
	check_sleep(2 * WATCH_US);
	still_check(&rig, &s, "while suspended");
}

static void s6_1(struct check *c)
{
	struct rig rig;
	uint32_t first[RIG_MAX_QUEUES];

	stop(c, &rig, &(struct rig_options){0});
	for (unsigned q = 0; q < rig.queues; q++)
		first[q] = rig_base(&rig, q);
	tempt(&rig);
	for (unsigned i = 0; i < 200; i++) {
		for (unsigned q = 0; q < rig.queues; q++) {
			uint32_t now = rig_base(&rig, q);

			if (now != first[q])
				broken(c,
				       "GET_VRING_BASE answers the same however often it is asked "
				       "(S6)",
				       "queue %u: %u, then %u", q, first[q], now);
		}
		check_sleep(50);
	}
}

/* The base against what was really completed, by the requests' own count. */
static void count_bases(struct check *c, uint16_t start)
{
	struct rounds r;
	struct rig rig;
	uint32_t begin;

	rig_set_up(c, &rig, &(struct rig_options){.base = start});
	begin = rig_used(&rig, rig.work);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		uint32_t expected;

		load_post(&rig, 1 + check_random(c, 12));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		rig_suspend(&rig);
		load_collect(&rig);
		expected = rig_after(&rig, begin, rig.load.done, rig_each(&rig));
		if (rig_base(&rig, rig.work) != expected)
			rig_see_behind(&rig, rig.work, rig_used(&rig, rig.work));
		if (rig_base(&rig, rig.work) != expected)
			broken(c, "the base is where processing stopped (S6)",
			       "%llu requests were completed from 0x%x on, the base is 0x%x, not "
			       "0x%x",
			       (unsigned long long)rig.load.done, begin, rig_base(&rig, rig.work),
			       expected);
		still_finished(&rig, "after SUSPEND");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

static void s6_2(struct check *c)
{
	count_bases(c, 0);
}

static void s6_3(struct check *c)
{
	count_bases(c, 65500);
}

static void s7_1(struct check *c)
{
	struct rig rig;
	uint8_t status = 0, bytes[256];
	uint32_t size = c->facts->config_size < 256 ? c->facts->config_size : 256, n, at, length;
	uint64_t features;

	stop(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS while suspended");
	want(c, status, 0xf, "the status while suspended");
	if (size)
		want(c, uvdpa_get_config(rig.drv, 0, bytes, size), 0, "GET_CONFIG while suspended");
	want(c, uvdpa_get_config_size(rig.drv, &n), 0, "GET_CONFIG_SIZE while suspended");
	want(c, uvdpa_get_features(rig.drv, &features), 0, "GET_FEATURES while suspended");
	want(c, uvdpa_get_device_id(rig.drv, &n), 0, "GET_DEVICE_ID while suspended");
	if (size && rig_config_field(&rig, &at, &length))
		want(c, uvdpa_set_config(rig.drv, at, bytes + at, 1), 0,
		     "SET_CONFIG while suspended");
}

static void s9_1(struct check *c)
{
	struct rig rig;

	stop(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND again");
	tempt(&rig);
	still_watch(&rig, STILL_ALL, WATCH_US, "after a second SUSPEND");
	for (unsigned i = 0; i < 50; i++)
		want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND again");
	tempt(&rig);
	still_watch(&rig, STILL_ALL, WATCH_US, "after many SUSPENDs");
}

static void s9_2(struct check *c)
{
	struct rig rig;

	stop(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 5; i++)
		want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND again");
	rig_resume(&rig);
	load_must_run(&rig, 8, "after one RESUME for six SUSPENDs");
}

static void s10_1(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		int64_t begin;
		int got;

		load_fill(&rig);
		rig_kick(&rig);
		begin = check_now();
		doing(c, "SUSPEND under full load");
		got = uvdpa_suspend(rig.drv);
		if (check_now() - begin > INT64_C(15000000000))
			broken(c, "SUSPEND is bounded (S10)", "it took %lld s",
			       (long long)(check_now() - begin) / 1000000000);
		if (got == 0)
			rig_resume(&rig);
		else if (got != -ETIMEDOUT)
			want(c, got, 0, "SUSPEND under full load");
		else
			defined(c, "SUSPEND under full load answers ETIMEDOUT");
		rig_kick(&rig);
		load_must_settle(&rig,
				 got ? "after a SUSPEND that failed" : "after RESUME and a kick");
	}
}

const struct check_case suspend_cases[] = {
	{"S1-1", "suspend", "S1", "SUSPEND and RESUME by their numbers", 'M', NEED_CYCLE, s1_1},
	{"S1-2", "suspend", "S1", "SUSPEND without DRIVER_OK succeeds and does nothing", 'M',
	 NEED_STOP, s1_2},
	{"S1-3", "suspend", "S1", "the number of the series that introduced SUSPEND", 'D',
	 NEED_CYCLE, s1_3},
	{"S1-4", "suspend", "S1", "a device that cannot suspend says so", 'M',
	 NEED_NO_SUSPEND | NEED_LOAD, s1_4},
	{"S1-5", "suspend", "S1", "a device that cannot resume says so and stays suspended", 'M',
	 NEED_STOP | NEED_NO_RESUME, s1_5},
	{"S2-1", "suspend", "S2", "no descriptor is taken, whatever is posted and kicked", 'M',
	 NEED_STOP, s2_1, .user = "vhost-user ring states"},
	{"S2-2", "suspend", "S2", "a ring that is just full", 'M', NEED_STOP, s2_2,
	 .user = "vhost-user ring states"},
	{"S2-3", "suspend", "S2", "a ring that is just empty, and filled then", 'M', NEED_STOP,
	 s2_3, .user = "vhost-user ring states"},
	{"S2-4", "suspend", "S2", "a ring that wraps from 65535 to 0", 'M', NEED_STOP, s2_4,
	 .user = "vhost-user ring states"},
	{"S2-5", "suspend", "S2 S4", "indirect chains", 'M', NEED_STOP | NEED_INDIRECT, s2_5,
	 .user = "vhost-user ring states"},
	{"S2-6", "suspend", "S2 S4", "without event index", 'M', NEED_STOP, s2_6,
	 .user = "vhost-user ring states"},
	{"S2-7", "suspend", "S2", "binding eventfds anew starts nothing", 'M', NEED_STOP, s2_7},
	{"S3-1", "suspend", "S3 S6", "all that was taken is finished: bases are used indexes", 'M',
	 NEED_STOP, s3_1, .user = "vhost-user GET_VRING_BASE"},
	{"S3-2", "suspend", "S3", "all that was finished is announced", 'M', NEED_CYCLE, s3_2},
	{"S3-3", "suspend", "S3", "nothing that is published is half done", 'M', NEED_CYCLE, s3_3,
	 .user = "vhost-user GET_VRING_BASE"},
	{"S4-1", "suspend", "S4", "no byte of memory changes, whatever is posted and kicked", 'M',
	 NEED_STOP, s4_1, .user = "vhost-user ring states"},
	{"S4-2", "suspend", "S4", "no byte of memory changes after SUSPEND under load", 'M',
	 NEED_CYCLE, s4_2, .user = "vhost-user ring states"},
	{"S4-3", "suspend", "S4", "nor do used flags and event words", 'M', NEED_STOP, s4_3,
	 .user = "vhost-user ring states"},
	{"S5-1", "suspend", "S5", "no call is sent, whatever is posted and kicked", 'M', NEED_STOP,
	 s5_1},
	{"S5-2", "suspend", "S5", "no call comes late after SUSPEND under load", 'M', NEED_CYCLE,
	 s5_2},
	{"S5-3", "suspend", "S5", "no config call, and the config space does not change", 'M',
	 NEED_STOP, s5_3},
	{"S6-1", "suspend", "S6", "bases are the same however often they are asked for", 'M',
	 NEED_STOP, s6_1, .user = "vhost-user GET_VRING_BASE"},
	{"S6-2", "suspend", "S6", "bases are what was really completed", 'M', NEED_CYCLE, s6_2,
	 .user = "vhost-user GET_VRING_BASE"},
	{"S6-3", "suspend", "S6", "bases that wrap from 65535 to 0", 'M', NEED_CYCLE, s6_3,
	 .user = "vhost-user GET_VRING_BASE"},
	{"S7-1", "suspend", "S7", "status and config space can be read while suspended", 'M',
	 NEED_STOP, s7_1},
	{"S9-1", "suspend", "S9", "SUSPEND is idempotent", 'M', NEED_STOP, s9_1},
	{"S9-2", "suspend", "S9 S11", "one RESUME ends it however often SUSPEND was called", 'M',
	 NEED_CYCLE, s9_2, .user = "vhost-user ring states"},
	{"S10-1", "suspend", "S10", "SUSPEND under full load is bounded, and has no third state",
	 'M', NEED_CYCLE, s10_1},
};
CASE_COUNT(suspend);
