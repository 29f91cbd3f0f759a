/*
 * Cases: what resume owes (S8, S11, the second half of S7).
 *
 * The cases of S8 count: each round announces work around a suspension, resumes, and does not kick
 * again. A round in which the work is not done is bad; the device is then kicked, so that the next
 * round starts clean, and the case tells in how many rounds of how many it happened.
 */
#include "check/cases.h"

#include <errno.h>
#include <string.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

/* After RESUME: is all done, without another kick? */
static void count_round(struct rig *rig)
{
	if (load_settle(rig, rig->c->options->patience / 4) == 0)
		return;
	rig->c->out->bad++;
	rig_kick(rig);
	load_must_settle(rig, "after RESUME and a kick");
}

static void judge_rounds(struct check *c, const char *what)
{
	if (c->out->bad)
		broken(c,
		       "nothing that was announced is forgotten: RESUME acts on it without a kick "
		       "(S8)",
		       "%s: forgotten in %u of %u rounds, until the next kick", what, c->out->bad,
		       c->out->rounds);
}

static void s8_1(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, 4);
		rig_kick(&rig);
		rig_suspend(&rig);
		check_sleep(20000);
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "a kick right before SUSPEND");
}

static void s8_2(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.size = 256});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 200);
		rig_suspend(&rig);
		check_sleep(5000);
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "a burst interrupted by SUSPEND");
}

static void s8_3(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		rig_suspend(&rig);
		load_post(&rig, 4);
		rig_kick(&rig);
		check_sleep(check_random(c, 3000));
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "a kick while suspended");
}

static void s8_4(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 0), 0, "SET_VRING_ENABLE 0");
		rig_suspend(&rig);
		load_post(&rig, 4);
		want(c, uvdpa_set_vring_enable(rig.drv, rig.work, 1), 0, "SET_VRING_ENABLE 1");
		still_watch(&rig, STILL_BASE | STILL_USED, 2000, "after an enable while suspended");
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "an enable while suspended");
}

static void s8_5(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, 1);
		rig_kick(&rig);
		rig_suspend(&rig);
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "a kick right before a short suspension");
}

static void s8_6(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		rig_suspend(&rig);
		load_post(&rig, 2);
		rig_kick(&rig);
		want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND again");
		check_sleep(500);
		rig_resume(&rig);
		count_round(&rig);
	}
	judge_rounds(c, "a kick between two SUSPENDs");
}

static void s7_2(struct check *c)
{
	struct rig rig;
	uint8_t before[256], after[256];
	uint32_t size = c->facts->config_size < 256 ? c->facts->config_size : 256;
	uint32_t at, length;

	if (size == 0)
		skip(c, "the device has no config space");
	rig_set_up(c, &rig, &(struct rig_options){0});
	if (!rig_config_field(&rig, &at, &length))
		skip(c, "it has no field that a driver may write");
	load_must_run(&rig, 2, "at first");
	rig_suspend(&rig);
	want(c, uvdpa_get_config(rig.drv, 0, before, size), 0, "GET_CONFIG while suspended");
	/* what is there already: a write that no device can mind, at resume or ever */
	want(c, uvdpa_set_config(rig.drv, at, before + at, length), 0,
	     "SET_CONFIG while suspended");
	rig_resume(&rig);
	want(c, uvdpa_get_config(rig.drv, 0, after, size), 0, "GET_CONFIG after RESUME");
	if (memcmp(before, after, size))
		broken(c, "config space after RESUME is what was written (S7)", "it is not");
	load_must_run(&rig, 4, "after SET_CONFIG while suspended, and RESUME");
}

static void cycles(struct check *c, const struct rig_options *options)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, options);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_post(&rig, 1 + check_random(c, 16));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		rig_suspend(&rig);
		load_post(&rig, check_random(c, 4));
		rig_resume(&rig);
		rig_kick(&rig);
		if (rig.in_order && r.done % 4 == 0) /* looks at each step of it */
			load_must_settle(&rig, "after RESUME and a kick, used in order");
		else
			load_collect(&rig);
	}
	load_must_settle(&rig, "after many cycles: each exactly once");
	load_check_canaries(&rig);
}

static void s11_1(struct check *c)
{
	cycles(c, &(struct rig_options){0});
}

static void s11_8(struct check *c)
{
	cycles(c, &(struct rig_options){.mixed = true, .size = 256});
}

static void s11_2(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 50; i++) {
		load_post(&rig, 4);
		rig_kick(&rig);
		rig_resume(&rig);
		load_must_settle(&rig, "with RESUME of a running device");
	}
}

static void s11_3(struct check *c)
{
	struct rig rig;
	uint32_t used;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "SET_STATUS 0xf while suspended");
	load_post(&rig, 4);
	used = rig_used(&rig, rig.work);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	if (rig_used(&rig, rig.work) != used)
		broken(c, "writing the status it already has does not end a suspension (S11)",
		       "after SET_STATUS 0xf and a kick the used index went from %u to %u", used,
		       rig_used(&rig, rig.work));
}

static void s11_4(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "before SUSPEND");
	rig_suspend(&rig);
	for (unsigned q = 0; q < rig.queues; q++) {
		uvdpa_set_vring_call(rig.drv, q, uvdpa_queue_call_fd(rig.queue[q]));
		uvdpa_set_vring_enable(rig.drv, q, 1);
	}
	uvdpa_set_backend_features(rig.drv, uvdpa_driver_backend_features(rig.drv));
	uvdpa_iotlb_batch_begin(rig.drv, 0);
	uvdpa_iotlb_batch_end(rig.drv, 0);
	uvdpa_set_config_call(rig.drv, rig.config_call);
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_ALL);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after other calls, none of which resumes (S11)");
}

static void s11_5(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.base = 65530});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		rig_suspend(&rig);
		load_post(&rig, 3);
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME, with indexes that wrap");
		if (!rig.facts->loopback || rig.facts->lossless) /* else frames come later */
			still_finished(&rig, "when all is done");
	}
}

static void s11_6(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 20; i++) {
		rig_suspend(&rig);
		rig_resume(&rig);
		uvdpa_queue_drain_calls(rig.queue[rig.work]);
		load_post(&rig, 2);
		rig_kick(&rig);
		if (uvdpa_queue_wait(rig.queue[rig.work], (int)c->options->patience) != 1)
			broken(c, "calls are sent again after RESUME (S11)", "none within %d ms",
			       (int)c->options->patience);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

const struct check_case resume_cases[] = {
	{"S7-2", "resume", "S7",
	 "what is written to config space while suspended holds after RESUME", 'M', NEED_CYCLE,
	 s7_2},
	{"S8-1", "resume", "S8", "a kick right before SUSPEND is acted on by RESUME", 'M',
	 NEED_CYCLE, s8_1},
	{"S8-2", "resume", "S8", "a burst interrupted by SUSPEND goes on after RESUME", 'M',
	 NEED_CYCLE, s8_2},
	{"S8-3", "resume", "S8", "a kick while suspended is acted on by RESUME", 'M', NEED_CYCLE,
	 s8_3},
	{"S8-4", "resume", "S8",
	 "an enable while suspended starts nothing until RESUME, and then does", 'M', NEED_CYCLE,
	 s8_4},
	{"S8-5", "resume", "S8", "a kick right before a suspension that ends at once", 'M',
	 NEED_CYCLE, s8_5},
	{"S8-6", "resume", "S8", "a kick between two SUSPENDs", 'M', NEED_CYCLE, s8_6},
	{"S11-1", "resume", "S11", "RESUME continues where SUSPEND stopped: each request once", 'M',
	 NEED_CYCLE, s11_1, .user = "vhost-user ring states"},
	{"S11-2", "resume", "S11", "RESUME of a running device has no effect", 'M', NEED_CYCLE,
	 s11_2},
	{"S11-3", "resume", "S11", "DRIVER_OK written again does not end a suspension", 'M',
	 NEED_STOP, s11_3},
	{"S11-4", "resume", "S11", "nor does any other call", 'M', NEED_STOP, s11_4},
	{"S11-5", "resume", "S11 S6", "cycles with indexes that wrap", 'M', NEED_CYCLE, s11_5,
	 .user = "vhost-user ring states"},
	{"S11-6", "resume", "S11", "calls are sent again after RESUME", 'M', NEED_CYCLE, s11_6},
	{"S11-8", "resume", "S11 S3", "used in order, suspensions or not", 'M',
	 NEED_CYCLE | NEED_IN_ORDER, s11_8, .user = "vhost-user SET_VRING_BASE"},
};
CASE_COUNT(resume);
