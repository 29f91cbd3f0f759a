/*
 * Cases that name at once what back ends of others were found to do (docs/foreign-results.md):
 * memory that is written after the ring was stopped, indirect tables that frames are written into,
 * a reset that stops nothing, a ring whose stop stops others.
 */
#include "check/cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/options.h"
#include "check/still.h"
#include "check/target.h"
#include "check/wire.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

/* What is under way takes its memory with it: it is unmapped right after SUSPEND, and looked at. */
static void s3_4(struct check *c)
{
	struct rounds r;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct still s = {0};
		struct rig rig;

		rig_set_up(c, &rig, &(struct rig_options){0});
		load_burst(&rig, 300);
		rig_suspend(&rig);
		still_take(&rig, &s, STILL_MEMORY | STILL_USED);
		doing(c, "unmapping memory right after SUSPEND under load");
		uvdpa_driver_unmap(rig.drv, rig.memory, 0);
		check_sleep(WATCH_US / 3);
		still_check(&rig, &s, "after SUSPEND under load, its memory having been unmapped");
		uvdpa_driver_close(rig.drv);
	}
}

/* A kick that there is no work behind, in the kind of SUSPEND. */
static void s8_9(struct check *c)
{
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	load_must_run(&rig, 2, "at first");
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		for (unsigned i = 0; i < 20; i++) {
			rig_kick(&rig);
			rig_suspend(&rig);
			rig_kick(&rig);
			rig_resume(&rig);
		}
	}
	load_must_run(&rig, 4, "after kicks in the moment of SUSPEND and RESUME");
}

/* The reset alone, without what the library does beside it: memory stays mapped, and is watched. */
static void f11(struct check *c)
{
	struct rounds r;

	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		struct still s = {0};
		struct rig rig;

		rig_set_up(c, &rig, &(struct rig_options){0});
		load_burst(&rig, 300);
		want(c, uvdpa_set_status(rig.drv, 0), 0, "SET_STATUS 0 under load");
		load_post(&rig, 2);
		still_take(&rig, &s, STILL_MEMORY);
		rig_kick(&rig);
		check_sleep(WATCH_US / 3);
		if (s.memory && memcmp(s.memory, uvdpa_memory_base(rig.memory),
				       uvdpa_memory_size(rig.memory))) {
			root(c, "virtio 2.4.1", ROOT_RESET);
			broken(c, "after a reset nothing is written to memory, kicks or not",
			       "something was; the used index is 0x%x now",
			       rig_used(&rig, rig.work));
		}
		free(s.memory);
		uvdpa_driver_close(rig.drv);
	}
}

/* The tables of all chains in flight, as the driver wrote them. */
struct tables {
	uint8_t *copy[RIG_MAX_QUEUES];
};

static void remember_tables(struct rig *rig, struct tables *t)
{
	for (unsigned q = 0; q < rig->queues; q++) {
		struct uvdpa_queue_areas a;

		uvdpa_queue_areas(rig->queue[q], &a);
		t->copy[q] = malloc(a.indirect_len);
		if (!t->copy[q])
			skip(rig->c, "no memory to remember tables in");
		memcpy(t->copy[q], a.indirect, a.indirect_len);
	}
}

static void compare_tables(struct rig *rig, struct tables *t)
{
	for (unsigned q = 0; q < rig->queues; q++) {
		struct uvdpa_queue_areas a;

		uvdpa_queue_areas(rig->queue[q], &a);
		for (size_t i = 0; i < a.indirect_len; i++)
			if (t->copy[q][i] != ((const uint8_t *)a.indirect)[i])
				broken(rig->c, "indirect tables are read, and never written",
				       "queue %u: byte %zu of the table of chain %zu went from "
				       "0x%02x to 0x%02x",
				       q, i % (16 * 16), i / (16 * 16), t->copy[q][i],
				       ((const uint8_t *)a.indirect)[i]);
		free(t->copy[q]);
	}
}

/* In bursts: what is done one by one may be done otherwise when it is many. */
static void r22(struct check *c)
{
	struct tables tables;
	struct rounds r;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){.indirect = true, .scattered = true});
	for (rounds_begin(c, &r); rounds_more(c, &r);) {
		if (load_add(&rig, LOAD_SLOTS) == 0)
			break; /* frames that were lost have left the buffers of others full */
		remember_tables(&rig, &tables);
		load_show(&rig);
		rig_kick(&rig);
		load_settle(&rig, c->options->patience);
		if (rig.facts->loopback)
			check_sleep(2000); /* frames come back later */
		compare_tables(&rig, &tables);
		load_must_settle(&rig, "of a ring full of indirect chains");
	}
}

/* Whether queue 0 goes on: frames come back, if they did before; a disk's requests are done. */
static void must_go_on(struct rig *rig)
{
	uint64_t before = rig->load.received;
	bool net = rig->facts->device_id == VIRTIO_ID_NET;

	load_must_run(rig, 2, "after another ring was stopped and started again");
	for (unsigned i = 0; net && rig->facts->loopback && rig->load.received == before; i++) {
		if (i == 100)
			broken(rig->c, "a ring that is stopped and started leaves the others alone",
			       "no frame comes back any more after queue 1 was");
		load_run(rig, 1, rig->c->options->patience);
		check_sleep(2000);
		load_collect(rig);
	}
}

static void r23(struct check *c)
{
	struct uvdpa_error error = {0};
	bool net = c->facts->device_id == VIRTIO_ID_NET;
	struct uvdpa_queue *second = NULL;
	struct rig rig;

	if (!net && c->facts->vqs < 2)
		skip(c, "the device has one ring");
	rig_set_up(c, &rig, &(struct rig_options){.no_driver_ok = true});
	if (!net) {
		const struct uvdpa_queue_options options = {
			.size = uvdpa_queue_size(rig.queue[0]),
			.features = rig.features,
			.poll_us = UVDPA_QUEUE_POLL_NEVER,
		};

		if (uvdpa_queue_new(rig.memory, &options, &second, NULL) < 0)
			skip(c, "no room for a second ring");
		if (uvdpa_driver_attach(rig.drv, 1, second, uvdpa_queue_base(second), &error) < 0)
			broken(c, "a queue can be set up", "%s", error.text);
	}
	if (uvdpa_driver_start(rig.drv, &error) < 0)
		broken(c, "the device takes DRIVER_OK", "%s", error.text);
	load_must_run(&rig, 2, "at first");
	for (unsigned i = 0; i < 5; i++) {
		want(c, uvdpa_set_vring_enable(rig.drv, 1, 0), 0, "SET_VRING_ENABLE 0 of queue 1");
		want(c, uvdpa_set_vring_enable(rig.drv, 1, 1), 0, "SET_VRING_ENABLE 1 of queue 1");
		must_go_on(&rig);
	}
}

/* The eventfd does not become readable by it, but whoever waits for it is woken up. */
static void r24(struct check *c)
{
	uint64_t zero = 0;
	struct rig rig;

	rig_set_running(c, &rig);
	for (unsigned i = 0; i < 5; i++) {
		load_post(&rig, 2);
		for (unsigned q = 0; q < rig.queues; q++)
			if (write(uvdpa_queue_kick_fd(rig.queue[q]), &zero, sizeof(zero)) < 0)
				skip(c, "cannot write 0 to an eventfd");
		check_sleep(5000);
		rig_kick(&rig);
		load_must_settle(&rig, "after a write of 0 to the kick eventfd, and a kick");
	}
}

/* To hang up is a way to refuse it, and then it has not taken effect either. */
static int read_again(struct rig *rig, uint32_t at, uint8_t bytes[2])
{
	int r = uvdpa_get_config(rig->drv, at, bytes, 2);

	if (r != -ECONNRESET)
		return r;
	defined(rig->c, "SET_CONFIG of a read-only field is refused by hanging up");
	uvdpa_driver_close(rig->drv);
	rig_set_up(rig->c, rig, &(struct rig_options){0});
	return uvdpa_get_config(rig->drv, at, bytes, 2);
}

/* A field that is not the driver's, with another value. */
static void c06(struct check *c)
{
	uint32_t at = c->facts->device_id == VIRTIO_ID_NET
			      ? offsetof(struct virtio_net_config, status)
			      : offsetof(struct virtio_blk_config, capacity);
	uint8_t before[2], after[2], other[2];
	struct rig rig;
	bool lost;
	int r;

	rig_set_up(c, &rig, &(struct rig_options){0});
	want(c, uvdpa_get_config(rig.drv, at, before, 2), 0, "GET_CONFIG");
	other[0] = (uint8_t)~before[0];
	other[1] = (uint8_t)~before[1];
	r = uvdpa_set_config(rig.drv, at, other, 2);
	want(c, read_again(&rig, at, after), 0, "GET_CONFIG after it");
	lost = c->wire->lost[0];
	if (memcmp(before, after, 2))
		broken(c, "what a driver may not write stays as it is",
		       "the bytes at %u are 0x%02x 0x%02x, were 0x%02x 0x%02x", at, after[0],
		       after[1], before[0], before[1]);
	if (r == 0 && !lost && target_is_socket(c))
		broken(c, "SET_CONFIG of a read-only field is refused",
		       "it is acknowledged with 0");
	load_must_run(&rig, 2, "after SET_CONFIG of a read-only field");
}

const struct check_case peers_cases[] = {
	{"S3-4", "suspend", "S3 S4", "memory that is unmapped right after SUSPEND under load", 'M',
	 NEED_STOP, s3_4, .user = "vhost-user GET_VRING_BASE"},
	{"S8-9", "suspend", "S8", "kicks with nothing to do, in the moment of SUSPEND and RESUME",
	 'M', NEED_CYCLE, s8_9, .user = "vhost-user ring states"},
	{"F11", "status", "virtio 2.4.1", "a reset under load ends everything at once", 'M',
	 NEED_LOAD, f11},
	{"R22", "ring", "virtio 2.7.5.3", "indirect tables are not written, in bursts", 'M',
	 NEED_LOAD | NEED_INDIRECT, r22},
	{"R23", "ring", "vdpasim_set_vq_ready", "one of several rings is stopped and started again",
	 'M', NEED_LOAD, r23, .user = "vhost-user ring states"},
	{"R24", "ring", "eventfd_write", "kicks after a write of 0 to the kick eventfd", 'M',
	 NEED_LOAD, r24, .user = "robustness"},
	{"C06", "config", "virtio 2.5", "what a driver may not write", 'M', NEED_LOAD | NEED_CONFIG,
	 c06, .user = "vhost-user SET_CONFIG"},
};
CASE_COUNT(peers);
