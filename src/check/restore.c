/* Cases: carrying the state of queues into another life or another device (S12), and clean new
 * lives (S13). */
#include "check/cases.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "wire/vhost.h"

/* SUSPEND, the bases, and the device let go of the queues. */
static void take_state(struct rig *rig, uint32_t *bases)
{
	rig_suspend(rig);
	still_finished(rig, "after SUSPEND");
	for (unsigned q = 0; q < rig->queues; q++)
		bases[q] = rig_base(rig, q);
	rig_reset(rig);
}

/* Puts the bases in, with everything else, and continues. */
static void put_state(struct rig *rig, const uint32_t *bases)
{
	struct uvdpa_error error = {0};

	rig_negotiate(rig);
	for (unsigned q = 0; q < rig->queues; q++)
		if (uvdpa_driver_attach(rig->drv, q, rig->queue[q], bases[q], &error) < 0)
			broken(rig->c,
			       "a queue can be set up at a base that GET_VRING_BASE answered", "%s",
			       error.text);
	if (uvdpa_driver_start(rig->drv, &error) < 0)
		broken(rig->c, "the device takes DRIVER_OK after a restore", "%s", error.text);
}

/* To another device: its disk is another one, too. */
static void move_to(struct rig *rig, struct uvdpa_driver *to)
{
	uint32_t bases[RIG_MAX_QUEUES];

	take_state(rig, bases);
	rig->drv = to;
	memset(rig->load.known_set, 0, sizeof(rig->load.known_set));
	put_state(rig, bases);
}

static void again(struct check *c, const struct rig_options *options)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, options);
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		uint32_t bases[RIG_MAX_QUEUES];

		load_post(&rig, 1 + check_random(c, 16));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		take_state(&rig, bases);
		load_post(&rig, check_random(c, 4));
		put_state(&rig, bases);
		if (r.done % 4 == 0)
			load_must_settle(&rig, "after a restore: each exactly once (S12)");
		else
			load_collect(&rig);
	}
	load_must_settle(&rig, "after the last restore: each exactly once (S12)");
	load_check_canaries(&rig);
}

static void s12_1(struct check *c)
{
	again(c, &(struct rig_options){0});
}

static void s12_2(struct check *c)
{
	again(c, &(struct rig_options){.base = 65500});
}

static void s12_3(struct check *c)
{
	again(c, &(struct rig_options){.indirect = true, .scattered = true});
}

static void s12_8(struct check *c)
{
	again(c, &(struct rig_options){.mixed = true, .size = 256});
}

static void between(struct check *c, unsigned first, unsigned times)
{
	uint64_t common = c->facts[0].features & c->facts[1].features;
	struct uvdpa_driver *drivers[2];
	struct rig rig;

	drivers[!first] = check_open_flags(c, !first, 0);
	rig_set_up(c, &rig,
		   &(struct rig_options){
			   .which = first,
			   .features_off = ~common,
			   .size = c->facts[0].ring_max < c->facts[1].ring_max
					   ? c->facts[0].ring_max
				   : c->facts[1].ring_max < 64 ? c->facts[1].ring_max
							       : 64,
		   });
	drivers[first] = rig.drv;
	for (unsigned i = 1; i <= times; i++) {
		load_post(&rig, 1 + check_random(c, 16));
		rig_kick(&rig);
		check_sleep(check_random(c, 300));
		move_to(&rig, drivers[first ^ (i & 1)]);
		load_post(&rig, 2);
		rig_kick(&rig);
		load_must_settle(&rig, "in the other device: each exactly once (S12)");
	}
	load_check_canaries(&rig);
}

static void s12_4(struct check *c)
{
	between(c, 0, 1);
}

static void s12_5(struct check *c)
{
	between(c, 1, 1);
}

static void s12_6(struct check *c)
{
	between(c, 0, c->options->rounds);
}

static void s12_7(struct check *c)
{
	static const uint16_t bases[] = {1, 255, 256, 32767, 32768, 65535};

	for (unsigned i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
		struct rig rig;

		rig_set_up(c, &rig, &(struct rig_options){.base = bases[i]});
		load_must_run(&rig, 8, "from a base that is not 0");
		for (unsigned q = 0; q < rig.queues; q++)
			if (uvdpa_queue_in_flight(rig.queue[q]) == 0)
				want(c, rig_base(&rig, q), rig_used(&rig, q), "GET_VRING_BASE");
		uvdpa_driver_close(rig.drv);
	}
}

static void s13_1(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		load_burst(&rig, 200);
		rig_suspend(&rig);
		rig_kick(&rig);
		load_collect(&rig);
		rig_reset(&rig);
		still_watch(&rig, STILL_MEMORY | STILL_CALLS, 1000,
			    "after a reset while suspended");
		rig_negotiate(&rig);
		rig_start(&rig);
		load_must_settle(&rig, "after a reset while suspended and a new set-up");
	}
}

static void s13_2(struct check *c)
{
	struct rounds r;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct rig rig;
		uint8_t status = 1;

		rig_set_up(c, &rig, &(struct rig_options){0});
		want(c, uvdpa_get_status(rig.drv, &status), 0, "GET_STATUS");
		load_must_run(&rig, 4, "after close while suspended, and open");
		load_fill(&rig);
		rig_kick(&rig);
		rig_suspend(&rig);
		uvdpa_driver_close(rig.drv);
		/* the memory is ours again: nobody writes to it any more */
		check_sleep(500);
		load_check_canaries(&rig);
	}
}

/* S13: after the reset, nothing of the old life shows. */
static void s13_3(struct check *c)
{
	struct rig rig;
	struct still s;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "before SUSPEND");
	rig_suspend(&rig);
	load_post(&rig, 4);
	rig_kick(&rig);
	rig_reset(&rig);
	still_take(&rig, &s, STILL_MEMORY | STILL_CALLS);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after a reset, though kicked");
	rig_negotiate(&rig);
	rig_start(&rig);
	load_must_settle(&rig, "after a reset and a new set-up");
	rig_suspend(&rig);
	still_finished(&rig, "after a second suspension in a new life");
}

/* A suspension by one holder of the file is everybody's: the file is the driver. */
static void s14_2(struct check *c)
{
	struct rig rig;
	struct still s;
	pid_t pid;
	int status;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 4, "before SUSPEND");
	doing(c, "SUSPEND by a forked child");
	pid = fork();
	if (pid == 0)
		_exit(uvdpa_suspend(rig.drv) == 0 ? 0 : 1);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		skip(c, "cannot fork");
	want(c, status, 0, "SUSPEND by a child that shares the file");
	load_post(&rig, 4);
	still_take(&rig, &s, STILL_ALL);
	rig_kick(&rig);
	check_sleep(WATCH_US);
	still_check(&rig, &s, "after SUSPEND by a child that has ended since (S14)");
}

const struct check_case restore_cases[] = {
	{"S12-1", "restore", "S12", "bases carried over a reset: no request lost, none done twice",
	 'M', NEED_STOP, s12_1, .user = "vhost-user SET_VRING_BASE"},
	{"S12-2", "restore", "S12", "the same with indexes that wrap", 'M', NEED_STOP, s12_2,
	 .user = "vhost-user SET_VRING_BASE"},
	{"S12-3", "restore", "S12", "the same with indirect chains", 'M', NEED_STOP | NEED_INDIRECT,
	 s12_3, .user = "vhost-user SET_VRING_BASE"},
	{"S12-8", "restore", "S12", "the same, used in order", 'M', NEED_STOP | NEED_IN_ORDER,
	 s12_8, .user = "vhost-user SET_VRING_BASE"},
	{"S12-4", "restore", "S12", "from TARGET to OTHER", 'M', NEED_STOP | NEED_TWO, s12_4,
	 .user = "vhost-user SET_VRING_BASE"},
	{"S12-5", "restore", "S12", "from OTHER to TARGET", 'M', NEED_STOP | NEED_TWO, s12_5,
	 .user = "vhost-user SET_VRING_BASE"},
	{"S12-6", "restore", "S12", "there and back, under load", 'M', NEED_STOP | NEED_TWO, s12_6,
	 .user = "vhost-user SET_VRING_BASE"},
	{"S12-7", "restore", "S12", "a device starts at any base", 'M', NEED_LOAD, s12_7,
	 .user = "vhost-user SET_VRING_BASE"},
	{"S13-1", "restore", "S13", "a reset while suspended leaves a device that can run", 'M',
	 NEED_STOP, s13_1, .user = "virtio 2.4.1"},
	{"S13-2", "restore", "S13", "so does a driver that goes away", 'M', NEED_STOP, s13_2,
	 .user = "vhost-user ring states"},
	{"S13-3", "restore", "S13", "and nothing of the old life shows", 'M', NEED_STOP, s13_3,
	 .user = "virtio 2.4.1"},
	{"S14-2", "suspend", "S14", "a suspension outlives the process that asked for it", 'M',
	 NEED_STOP | NEED_FILE, s14_2},
};
CASE_COUNT(restore);
