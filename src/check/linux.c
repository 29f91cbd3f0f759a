/*
 * Cases: suspension as Linux answers it, operation by operation (K rows S). What they share with
 * the clauses of the contract is tried here as Linux has it: where Linux is weaker, any of the
 * answers is accepted here and told, and the clause has a case of its own.
 */
#include "check/cases.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

static void ks01(struct check *c)
{
	static const uint8_t states[] = {1, 3, 0xb};
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND with FEATURES_OK");
	want(c, uvdpa_resume(rig.drv), 0, "RESUME with FEATURES_OK");
	rig_reset(&rig);
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND with status 0");
	for (unsigned i = 0; i < 2; i++) {
		want(c, uvdpa_set_status(rig.drv, states[i]), 0, "SET_STATUS %u", states[i]);
		want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND with status %u", states[i]);
	}
	rig_negotiate(&rig);
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND after negotiation");
	rig_start(&rig);
	load_must_run(&rig, 4, "after SUSPENDs that came before DRIVER_OK");
}

static void ks02(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND before DRIVER_OK");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	want(c, rig_same_addr(&rig, 0), -EINVAL, "SET_VRING_ADDR: the device is not suspended");
}

static void ks03(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	want(c, uvdpa_resume(rig.drv), 0, "RESUME before DRIVER_OK");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	want(c, uvdpa_resume(rig.drv), 0, "RESUME of a running device");
	load_must_run(&rig, 4, "after that");
}

static void ks04(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND again");
	rig_resume(&rig);
	load_must_run(&rig, 4, "after SUSPEND, SUSPEND, RESUME");
}

static void ks05(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_suspended(c, &rig);
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_ALL);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after post and kick while suspended");
}

static void ks06(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	load_post(&rig, 4);
	rig_kick(&rig);
	check_sleep(WATCH_US / 2);
	rig_resume(&rig);
	load_must_settle(&rig, "after RESUME, having been kicked while suspended");
}

static void ks07(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	load_post(&rig, 4);
	rig_resume(&rig);
	defined(c, "what is posted while suspended without a kick is %s",
		load_settle(&rig, 200) == 0 ? "processed by RESUME"
					    : "left until the next kick (L3)");
	rig_kick(&rig);
	load_must_settle(&rig, "after RESUME and a kick");
}

static void ks08(struct check *c)
{
	struct rig rig;
	unsigned n;

	rig_set_running(c, &rig);
	n = load_fill(&rig);
	rig_kick(&rig);
	rig_suspend(&rig);
	check_sleep(20000);
	rig_resume(&rig);
	if (load_settle(&rig, 300) < 0)
		defined(c,
			"of a burst interrupted by SUSPEND, %llu of %u are done after RESUME, the "
			"rest after a kick (L2)",
			(unsigned long long)rig.load.done - 5, n);
	rig_kick(&rig);
	load_must_settle(&rig, "of a burst interrupted by SUSPEND, after RESUME and a kick");
}

static void ks09(struct check *c)
{
	struct rig rig;

	rig_set_running(c, &rig);
	load_fill(&rig);
	rig_kick(&rig);
	rig_suspend(&rig);
	still_finished(&rig, "after SUSPEND");
}

static void ks10(struct check *c)
{
	struct rig rig;
	uint8_t status = 0;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS");
	want(c, status, 0xf, "the status of a suspended device");
}

static void ks11(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "SET_STATUS 0xf while suspended");
	load_post(&rig, 4);
	rig_kick(&rig);
	defined(c, "DRIVER_OK written again while suspended %s",
		load_settle(&rig, 200) == 0 ? "restarts the device" : "changes nothing");
	rig_resume(&rig);
	rig_kick(&rig);
	load_must_settle(&rig, "after RESUME and a kick");
}

static void ks12(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_status(rig.drv, 0xb), -EINVAL, "SET_STATUS 0xb while suspended");
	load_post(&rig, 4);
	rig_kick(&rig);
	still_watch(&rig, STILL_BASE | STILL_USED, WATCH_US, "after the refused SET_STATUS");
}

static void ks18(struct check *c)
{
	struct rig rig;
	uint8_t status = 1;

	rig_set_suspended(c, &rig);
	rig_reset(&rig);
	for (unsigned q = 0; q < rig.queues; q++)
		rig_want_virgin(&rig, q);
	want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS");
	want(c, status, 0, "the status after a reset while suspended");
}

static void ks19(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	rig_reset(&rig);
	for (unsigned q = 0; q < rig.queues; q++)
		if (uvdpa_queue_in_flight(rig.queue[q]) == 0)
			uvdpa_queue_restart(rig.queue[q], rig_first(&rig));
	rig_negotiate(&rig);
	rig_start(&rig);
	uvdpa_queue_drain_calls(rig.queue[rig.work]);
	load_must_be_called(&rig, 8, uvdpa_queue_call_fd(rig.queue[rig.work]),
			    "calls arrive after SET_VRING_CALL");
}

static void ks20(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	rig_kick(&rig);
	rig_reset(&rig);
	rig_negotiate(&rig);
	rig_start(&rig);
	load_must_run(&rig, 2, "after a reset");
	load_post(&rig, 2);
	rig_suspend(&rig);
	rig_resume(&rig);
	defined(c, "a kick of before a reset is %s",
		load_settle(&rig, 200) == 0
			? "replayed by a later RESUME, or RESUME looks at every ring"
			: "forgotten");
}

static void ks21(struct check *c)
{
	struct rig rig;
	uint8_t status = 1;

	rig_set_suspended(c, &rig);
	uvdpa_driver_close(rig.drv);
	rig.drv = check_open(c);
	want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS");
	want(c, status, 0, "the status after close and open");
	/* and without a SET_STATUS 0, which would end what is left of a suspension */
	want(c, uvdpa_driver_map(rig.drv, rig.memory, 0, NULL), 0, "mapping memory");
	rig_raw_start(&rig);
	load_must_run(&rig, 4, "after close while suspended, and open");
}

static void ks24(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_features(rig.drv, rig.features), -EBUSY, "SET_FEATURES while suspended");
	want(c, uvdpa_set_backend_features(rig.drv, 0xe), 0,
	     "SET_BACKEND_FEATURES while suspended");
	if (c->facts->groups > 1)
		want_or(c, uvdpa_set_group_asid(rig.drv, 1, 0), -EBUSY, 0, "Linux before 7.0",
			"SET_GROUP_ASID while suspended");
}

static void ks26(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	for (unsigned i = 0; i < 10; i++)
		still_watch(&rig, STILL_CONFIG, 2000, "while suspended");
}

static void ks27(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	want(c, uvdpa_suspend(rig.drv), 0, "SUSPEND before DRIVER_OK of a device that cannot");
	want(c, uvdpa_set_status(rig.drv, 0xf), 0, "DRIVER_OK");
	want(c, uvdpa_suspend(rig.drv), -EOPNOTSUPP, "SUSPEND of a device that cannot");
	want(c, rig_same_addr(&rig, 0), -EINVAL, "SET_VRING_ADDR after the refused SUSPEND");
}

static void ks28(struct check *c)
{
	struct rig rig;
	int r;

	rig_set_running(c, &rig);
	r = uvdpa_suspend(rig.drv);
	if (r == 0)
		skip(c, "this device's SUSPEND does not fail");
	want(c, rig_same_addr(&rig, 0), -EINVAL, "SET_VRING_ADDR after SUSPEND answered %s",
	     answer(r));
	load_must_run(&rig, 4, "after a SUSPEND that failed");
}

static void ks29(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_resume(rig.drv), -EOPNOTSUPP, "RESUME of a device that can only suspend");
	want(c, rig_same_addr(&rig, 0), 0, "SET_VRING_ADDR after it");
}

static void ks30(struct check *c)
{
	struct rig rig;

	rig_set_suspended(c, &rig);
	want(c, uvdpa_set_vring_enable(rig.drv, 0, 0), 0, "SET_VRING_ENABLE 0 of queue 0");
	uvdpa_queue_kick_always(rig.queue[0]);
	want(c, uvdpa_set_vring_enable(rig.drv, 0, 1), 0, "SET_VRING_ENABLE 1 of queue 0");
	load_post(&rig, 2);
	rig_resume(&rig);
	defined(c, "a kick of a disabled queue while suspended %s",
		load_settle(&rig, 200) == 0 ? "makes RESUME look at all rings (or it always does)"
					    : "is forgotten");
	rig_kick(&rig);
	load_must_settle(&rig, "after RESUME and a kick");
}

static void write_zero(struct rig *rig)
{
	uint64_t zero = 0;

	for (unsigned q = 0; q < rig->queues; q++)
		if (write(uvdpa_queue_kick_fd(rig->queue[q]), &zero, sizeof(zero)) < 0)
			skip(rig->c, "cannot write 0 to an eventfd");
}

static void ks31(struct check *c)
{
	struct rig rig;

	rig_set_running(c, &rig);
	load_post(&rig, 2);
	write_zero(&rig);
	if (load_settle(&rig, 300) < 0)
		differs(c, "a write of 0 to the kick eventfd is a kick there, and is none here");
	rig_kick(&rig);
	load_must_settle(&rig, "after a kick");
}

static void ks34(struct check *c)
{
	struct rig rig;
	uint64_t count;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_be_called(&rig, 5, uvdpa_queue_call_fd(rig.queue[rig.work]),
			    "requests are announced by calls"); /* which nobody has read */
	rig_suspend(&rig);
	check_sleep(WATCH_US);
	count = uvdpa_queue_drain_calls(rig.queue[rig.work]);
	if (count == 0)
		broken(c, "calls of before SUSPEND stay readable", "the eventfd is empty");
	check_sleep(WATCH_US);
	if (uvdpa_queue_drain_calls(rig.queue[rig.work]))
		broken(c, "no more calls come while suspended (S5)", "some did");
}

static void ks35(struct check *c)
{
	struct rig rig;
	uint32_t base;

	rig_set_running(c, &rig);
	base = rig_base(&rig, rig.work);
	check_sleep(WATCH_US); /* a call may come after the used index that it tells of */
	uvdpa_queue_drain_calls(rig.queue[rig.work]);
	for (unsigned i = 0; i < 300; i++) {
		rig_suspend(&rig);
		rig_resume(&rig);
	}
	want(c, rig_base(&rig, rig.work), base, "GET_VRING_BASE after 300 idle cycles");
	if (uvdpa_queue_drain_calls(rig.queue[rig.work]))
		spurious(c, "idle cycles of SUSPEND and RESUME send no call", "they do");
	load_must_run(&rig, 4, "after 300 idle cycles");
}

const struct check_case linux_cases[] = {
	{"KS01", "suspend", "vhost_vdpa_suspend S1", "SUSPEND in every status before DRIVER_OK",
	 'M', NEED_STOP | NEED_RESUME, ks01},
	{"KS02", "suspend", "vhost_vdpa_suspend S1", "which leaves no trace", 'M', NEED_STOP, ks02},
	{"KS03", "resume", "vhost_vdpa_resume S1 S11", "RESUME where there is nothing to resume",
	 'M', NEED_CYCLE, ks03},
	{"KS04", "resume", "vdpasim_suspend S9", "SUSPEND, SUSPEND, RESUME", 'M', NEED_CYCLE, ks04,
	 .user = "vhost-user ring states"},
	{"KS05", "suspend", "vdpasim_suspend S2 S4 S5", "post and kick while suspended", 'M',
	 NEED_STOP, ks05, .user = "vhost-user ring states"},
	{"KS06", "resume", "vdpasim_resume S8", "a kick while suspended is acted on by RESUME", 'M',
	 NEED_CYCLE, ks06},
	{"KS07", "resume", "vdpasim_resume", "buffers posted while suspended, and no kick", 'D',
	 NEED_CYCLE, ks07},
	{"KS08", "resume", "vdpasim_work_fn", "a burst interrupted by SUSPEND", 'D', NEED_CYCLE,
	 ks08},
	{"KS09", "suspend", "vdpasim_get_vq_state S3 S6", "bases are used indexes", 'M', NEED_STOP,
	 ks09, .user = "vhost-user GET_VRING_BASE"},
	{"KS10", "suspend", "vhost_vdpa_get_status S7", "suspension does not show in the status",
	 'M', NEED_STOP, ks10},
	{"KS11", "suspend", "vdpasim_set_status", "DRIVER_OK written again while suspended", 'D',
	 NEED_CYCLE, ks11},
	{"KS12", "suspend", "vhost_vdpa_set_status S11", "a status that takes bits away", 'M',
	 NEED_STOP, ks12},
	{"KS18", "suspend", "vhost_vdpa_set_status S13", "a reset while suspended", 'M', NEED_STOP,
	 ks18},
	{"KS19", "suspend", "vhost_vdpa_set_status S13", "and a new life after it", 'M', NEED_STOP,
	 ks19, .user = "virtio 2.4.1"},
	{"KS20", "resume", "vdpasim_do_reset", "kicks of before a reset", 'D', NEED_CYCLE, ks20},
	{"KS21", "suspend", "vhost_vdpa_release S13", "close while suspended", 'M', NEED_STOP,
	 ks21},
	{"KS24", "suspend", "vhost_vdpa_set_features", "what stays fixed while suspended", 'M',
	 NEED_STOP, ks24},
	{"KS26", "config", "vhost_vdpa_get_config S5", "the config space while suspended", 'M',
	 NEED_STOP, ks26},
	{"KS27", "suspend", "vhost_vdpa_suspend S1", "a device without suspend", 'M',
	 NEED_NO_SUSPEND | NEED_LOAD, ks27},
	{"KS28", "suspend", "vhost_vdpa_suspend S10",
	 "a SUSPEND that fails leaves the device running", 'M', NEED_STOP, ks28},
	{"KS29", "suspend", "vhost_vdpa_resume S1", "a device that can only suspend", 'M',
	 NEED_STOP | NEED_NO_RESUME, ks29},
	{"KS30", "resume", "vdpasim_resume", "kicks of a disabled queue while suspended", 'D',
	 NEED_CYCLE, ks30},
	{"KS31", "ring", "eventfd_write", "a write of 0 is a kick", 'K', NEED_LOAD, ks31},
	{"KS34", "suspend", "vdpasim_suspend S5", "calls of before SUSPEND stay readable", 'M',
	 NEED_STOP, ks34},
	{"KS35", "resume", "vdpasim_resume S11", "hundreds of idle cycles", 'M', NEED_CYCLE, ks35,
	 .user = "vhost-user ring states"},
};
CASE_COUNT(linux);
