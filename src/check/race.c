/*
 * Cases: suspension against everything else, from several threads, many times (K row S38).
 *
 * Only the raw calls and the kicks are made from other threads; the rings and the load belong to
 * the case's own.
 */
#include "check/cases.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

struct racer {
	pthread_t thread;
	struct rig *rig;
	atomic_bool stop;
	atomic_bool go; /* for those that do one thing at a time */
	unsigned delay; /* us, before that thing */
	int result;
	uint32_t used; /* what it saw */
	unsigned long count;
};

static void race_start(struct racer *r, struct rig *rig, void *(*run)(void *))
{
	r->rig = rig;
	atomic_store(&r->stop, false);
	if (pthread_create(&r->thread, NULL, run, r) != 0)
		skip(rig->c, "no thread");
}

static void race_end(struct racer *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->thread, NULL);
}

/* Waits about this long without giving up the processor. */
static void spin(unsigned microseconds)
{
	int64_t end = check_now() + (int64_t)microseconds * 1000;

	while (check_now() < end)
		;
}

static void *kicker(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->stop)) {
		rig_kick(r->rig);
		check_sleep(20);
		r->count++;
	}
	return NULL;
}

static void s2_8(struct check *c)
{
	struct racer kickers[3] = {0};
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 3; i++)
		race_start(&kickers[i], &rig, kicker);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_fill(&rig);
		check_sleep(check_random(c, 300));
		rig_suspend(&rig);
		still_finished(&rig, "right after SUSPEND, while three threads kick");
		still_watch(&rig, STILL_ALL & ~STILL_CONFIG, 5000, "while three threads kick");
		load_collect(&rig);
		load_post(&rig, 4);
		still_watch(&rig, STILL_ALL & ~STILL_CONFIG, 5000, "while three threads kick more");
		rig_resume(&rig);
		load_must_settle(&rig, "after RESUME, while three threads kick");
	}
	for (unsigned i = 0; i < 3; i++)
		race_end(&kickers[i]);
}

static void *suspender(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->go))
		;
	r->result = uvdpa_suspend(r->rig->drv);
	r->used = rig_used(r->rig, r->rig->work);
	return NULL;
}

static void s9_3(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct racer two[2] = {0};
		uint32_t used;

		for (unsigned i = 0; i < 2; i++)
			race_start(&two[i], &rig, suspender);
		load_fill(&rig);
		rig_kick(&rig);
		doing(c, "two SUSPENDs at once");
		for (unsigned i = 0; i < 2; i++)
			atomic_store(&two[i].go, true);
		for (unsigned i = 0; i < 2; i++)
			race_end(&two[i]);
		used = rig_used(&rig, rig.work);
		for (unsigned i = 0; i < 2; i++) {
			want(c, two[i].result, 0, "one of two SUSPENDs at once");
			if (two[i].used != used)
				broken(c, "two SUSPENDs at once succeed after the same moment (S9)",
				       "round %u: one returned at used index %u, it went on to %u",
				       r.done, two[i].used, used);
		}
		still_finished(&rig, "after two SUSPENDs at once");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after RESUME and a kick");
	}
}

static void *resetter(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->go))
		;
	spin(r->delay);
	r->result = uvdpa_set_status(r->rig->drv, 0);
	return NULL;
}

static void s13_4(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct racer one = {.delay = check_random(c, 60)};
		uint8_t status = 1;
		int got;

		race_start(&one, &rig, resetter);
		load_fill(&rig);
		rig_kick(&rig);
		doing(c, "SUSPEND against SET_STATUS 0");
		atomic_store(&one.go, true);
		spin(check_random(c, 60));
		got = uvdpa_suspend(rig.drv);
		race_end(&one);
		want(c, one.result, 0, "SET_STATUS 0 against SUSPEND");
		if (got < 0)
			defined(c, "SUSPEND against SET_STATUS 0 may answer %s", answer(got));
		want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS");
		want(c, status, 0, "the status after SUSPEND against SET_STATUS 0");
		load_collect(&rig);
		rig_reset(&rig);
		rig_negotiate(&rig);
		rig_start(&rig);
		load_must_settle(&rig, "after a new set-up over the same rings");
	}
}

/* In a process that is going to be killed: runs, suspends and resumes without end. */
_Noreturn static void victim(struct check *c, int ready)
{
	struct rig rig;
	char byte = 0;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	if (write(ready, &byte, 1) != 1)
		_exit(1);
	for (;;) {
		load_fill(&rig);
		rig_kick(&rig);
		rig_suspend(&rig);
		rig_kick(&rig);
		rig_resume(&rig);
		rig_kick(&rig);
		load_collect(&rig);
	}
}

static void s13_5(struct check *c)
{
	struct rounds r;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct rig rig;
		int pipes[2];
		char byte;
		pid_t pid;

		if (pipe(pipes) < 0 || (pid = fork()) < 0)
			skip(c, "no process");
		if (pid == 0)
			victim(c, pipes[1]);
		close(pipes[1]);
		if (read(pipes[0], &byte, 1) != 1) {
			waitpid(pid, NULL, 0);
			_exit(0); /* the victim has said why */
		}
		c->opened = true; /* the victim had it, then */
		check_sleep(check_random(c, 3000));
		doing(c, "killing the driver");
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(pipes[0]);
		rig_set_up(c, &rig, &(struct rig_options){0});
		load_must_run(&rig, 4, "after the driver before was killed under way");
		uvdpa_driver_close(rig.drv);
	}
}

static void *base_setter(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->stop)) {
		if (uvdpa_set_vring_base(r->rig->drv, r->rig->work, rig_elsewhere(r->rig)) == 0)
			r->count++;
	}
	return NULL;
}

static void s6_4(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct racer one = {0};
		uint32_t base;

		load_fill(&rig);
		race_start(&one, &rig, base_setter);
		rig_kick(&rig);
		check_sleep(check_random(c, 200));
		rig_suspend(&rig);
		check_sleep(200);
		race_end(&one);
		base = rig_base(&rig, rig.work);
		if (base != (one.count ? rig_elsewhere(&rig) : rig_used(&rig, rig.work)))
			broken(c,
			       "a base is what SET_VRING_BASE set, or where processing stopped "
			       "(S6)",
			       "base %u, used index %u, %lu SET_VRING_BASEs succeeded", base,
			       rig_used(&rig, rig.work), one.count);
		want(c, uvdpa_set_vring_base(rig.drv, rig.work, rig_used(&rig, rig.work)), 0,
		     "SET_VRING_BASE back to where processing stopped");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig, "after SUSPEND against SET_VRING_BASE");
	}
}

static void *disturber(void *arg)
{
	struct racer *r = arg;
	struct rig *rig = r->rig;
	uint32_t base;

	while (!atomic_load(&r->stop)) {
		uint64_t iova = rig->facts->iova_first + (UINT64_C(1) << 22) + 65536 * r->delay;

		uvdpa_get_vring_base(rig->drv, rig->work, &base);
		uvdpa_set_vring_enable(rig->drv, rig->work, 1);
		uvdpa_iotlb_update(rig->drv, 0, iova, 4096, uvdpa_memory_base(rig->memory), 1);
		uvdpa_iotlb_invalidate(rig->drv, 0, iova, 4096);
		uvdpa_set_vring_call(rig->drv, rig->work,
				     uvdpa_queue_call_fd(rig->queue[rig->work]));
		r->count++;
	}
	return NULL;
}

static void ks38(struct check *c)
{
	struct racer two[2] = {{.delay = 1}, {.delay = 2}};
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 2; i++)
		race_start(&two[i], &rig, disturber);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 200);
		rig_suspend(&rig);
		still_watch(&rig, STILL_BASE | STILL_USED | STILL_MEMORY, 2000,
			    "while two threads call other things");
		rig_resume(&rig);
		rig_kick(&rig);
		load_must_settle(&rig,
				 "after RESUME and a kick, while two threads call other things");
	}
	for (unsigned i = 0; i < 2; i++)
		race_end(&two[i]);
}

static void *one_kick(void *arg)
{
	struct racer *r = arg;

	while (!atomic_load(&r->go))
		;
	spin(r->delay);
	rig_kick(r->rig);
	return NULL;
}

/* One kick from another thread at about the time of `call`; then RESUME must have acted on it. */
static void race_kick(struct check *c, bool at_resume)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct racer one = {.delay = check_random(c, 100)};

		race_start(&one, &rig, one_kick);
		if (at_resume)
			rig_suspend(&rig);
		load_post(&rig, 2);
		atomic_store(&one.go, true);
		spin(check_random(c, 100));
		if (!at_resume) {
			rig_suspend(&rig);
			pthread_join(one.thread, NULL);
			check_sleep(1000);
		}
		rig_resume(&rig);
		if (at_resume)
			pthread_join(one.thread, NULL);
		if (load_settle(&rig, c->options->patience / 4) < 0) {
			c->out->bad++;
			rig_kick(&rig);
			load_must_settle(&rig, "after RESUME and a kick");
		}
	}
	if (c->out->bad)
		broken(c, "nothing that was announced is forgotten (S8)",
		       "a kick against %s: forgotten in %u of %u rounds, until the next kick",
		       at_resume ? "RESUME" : "SUSPEND", c->out->bad, c->out->rounds);
}

static void s8_7(struct check *c)
{
	race_kick(c, false);
}

static void s8_8(struct check *c)
{
	race_kick(c, true);
}

static void s11_7(struct check *c)
{
	struct racer kickers[2] = {0};
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (unsigned i = 0; i < 2; i++)
		race_start(&kickers[i], &rig, kicker);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		for (unsigned i = 0; i < 20; i++) {
			load_fill(&rig);
			rig_suspend(&rig);
			rig_resume(&rig);
			load_collect(&rig);
		}
	}
	load_must_settle(&rig, "after hundreds of cycles under load, while two threads kick");
	load_check_canaries(&rig);
	for (unsigned i = 0; i < 2; i++)
		race_end(&kickers[i]);
}

const struct check_case race_cases[] = {
	{"S2-8", "suspend", "S2 S4 S5 S3", "SUSPEND while three threads kick", 'M', NEED_CYCLE,
	 s2_8, .user = "vhost-user ring states"},
	{"S6-4", "suspend", "S6", "SUSPEND against SET_VRING_BASE", 'M', NEED_CYCLE, s6_4},
	{"S8-7", "resume", "S8", "a kick from another thread against SUSPEND", 'M', NEED_CYCLE,
	 s8_7},
	{"S8-8", "resume", "S8", "a kick from another thread against RESUME", 'M', NEED_CYCLE,
	 s8_8},
	{"S9-3", "suspend", "S9", "two SUSPENDs at once", 'M', NEED_CYCLE, s9_3},
	{"S11-7", "resume", "S11", "hundreds of cycles under load, while two threads kick", 'M',
	 NEED_CYCLE, s11_7, .user = "vhost-user ring states"},
	{"S13-4", "suspend", "S13 S10", "SUSPEND against a reset", 'M', NEED_STOP, s13_4},
	{"S13-5", "suspend", "S13", "the driver is killed while it suspends and resumes", 'M',
	 NEED_CYCLE | NEED_FILE, s13_5, .user = "robustness"},
	{"KS38", "suspend", "vhost_vdpa_unlocked_ioctl S2",
	 "SUSPEND while two threads make other calls", 'M', NEED_CYCLE, ks38,
	 .user = "vhost-user ring states"},
};
CASE_COUNT(race);
