/* Opening TARGETs and asking them what they are. */
#include "check/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "check/case.h"
#include "check/options.h"
#include "check/rig.h"
#include "check/restart.h"
#include "check/verdict.h"
#include "check/wire.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

/* A vhost-user back end hears of a client's end later; ours has the next one wait, others may not.
 */
#define BUSY_NS 2000000000
/* Until a server that was started listens. */
#define RESTART_NS 10000000000

static bool is_socket(const char *name)
{
	struct stat st;

	return name && stat(name, &st) == 0 && S_ISSOCK(st.st_mode);
}

bool target_is_socket(const struct check *c)
{
	return c->facts->is_socket;
}

static int open_once(struct check *c, const struct target *t, unsigned flags,
		     struct uvdpa_driver **drv, struct uvdpa_error *error)
{
	const struct uvdpa_open_options options = {
		.flags = flags,
		.answer_ms = c->options->answer_ms,
		.device_id = c->options->device_id,
		.on_message = wire_note,
		.on_lost = wire_lost,
		.arg = c->wire,
	};

	return t->open ? t->open(t->arg, flags, drv, error)
		       : uvdpa_driver_open_with(t->name, &options, drv, error);
}

bool target_revive(struct check *c, const char *name, int r, struct revival *revival)
{
	/* a path that was none yet when it was looked at may be a socket when it is opened: ENXIO
	 */
	if (!c->options->restart || (r != -ECONNREFUSED && r != -ENOENT && r != -ENXIO))
		return false;
	if (!revival->end) {
		revival->end = check_now() + RESTART_NS;
		return restart_server(c, name);
	}
	check_sleep(5000);
	return check_now() < revival->end;
}

/* Whether a failure to open may be one of a server that is about to let go, or to end. */
static bool may_pass(const struct check *c, const struct target *t, int r)
{
	if (c->options->restart)
		return r == -EBUSY || r == -ECONNRESET;
	return r == -EBUSY && is_socket(t->name);
}

int target_open(struct check *c, const struct target *t, unsigned flags, struct uvdpa_driver **drv,
		struct uvdpa_error *error)
{
	int64_t end = check_now() + (c->options->restart ? RESTART_NS : BUSY_NS);
	bool lost_before = c->wire->lost[0];
	struct revival revival = {0};
	int r;

	for (;;) {
		r = open_once(c, t, flags, drv, error);
		if (r < 0 && !lost_before)
			c->wire->lost[0] =
				0; /* it is no connection of the case's: the error tells */
		if (target_revive(c, t->name, r, &revival))
			continue;
		if (!may_pass(c, t, r) || check_now() > end)
			return r;
		check_sleep(2000);
	}
}

struct uvdpa_driver *check_open_flags(struct check *c, unsigned which, unsigned flags)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;

	int r;

	doing(c, "opening %s", c->targets[which].name);
	r = target_open(c, &c->targets[which], flags, &drv, &error);
	if (r == -EBUSY && !c->opened)
		skip(c, "%s", error.text);
	if (r < 0)
		broken(c, "the device opens", "%s", error.text);
	c->opened = true;
	doing(c, "after opening %s", c->targets[which].name);
	return drv;
}

struct uvdpa_driver *check_open(struct check *c)
{
	return check_open_flags(c, 0, 0);
}

/* Facts by plain questions. Whatever is refused stays 0. */
static void ask(struct uvdpa_driver *drv, struct facts *f)
{
	uint32_t group;

	f->device_id = uvdpa_driver_device_id(drv);
	uvdpa_get_vqs_count(drv, &f->vqs);
	uvdpa_get_config_size(drv, &f->config_size);
	uvdpa_get_vring_num(drv, &f->ring_max);
	uvdpa_get_features(drv, &f->features);
	uvdpa_get_backend_features(drv, &f->backend);
	if (uvdpa_get_group_num(drv, &f->groups) < 0)
		f->groups = 1;
	if (uvdpa_get_as_num(drv, &f->asids) < 0)
		f->asids = 1;
	if (uvdpa_get_iova_range(drv, &f->iova_first, &f->iova_last) < 0)
		f->iova_last = UINT64_MAX;
	f->groups_known = uvdpa_get_vring_group(drv, 0, &group) == 0;
}

static void ask_blk(struct uvdpa_driver *drv, struct facts *f)
{
	struct uvdpa_blk_config config = {0};

	if (uvdpa_driver_negotiate(drv, ~UINT64_C(0) >> 40, NULL, NULL) < 0 ||
	    uvdpa_blk_read_config(drv, &config, NULL) < 0)
		return;
	f->capacity = config.capacity;
	f->block = config.blk_size ? config.blk_size : 512;
	f->seg_max = config.seg_max;
	f->size_max = config.size_max;
	uvdpa_driver_reset(drv);
}

/* How many more requests tell how long one takes beside others. */
#define SAMPLE	  16
#define SAMPLE_MS 10000

/* One piece of work, to see that it moves at all; then some, to see how fast. */
static void try_load(struct check *c, struct facts *f)
{
	int64_t begin;
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	f->served = load_run(&rig, 1, SAMPLE_MS) == 0;
	for (unsigned i = 0; i < 50 && f->device_id == VIRTIO_ID_NET && rig.load.received == 0;
	     i++) {
		check_sleep(2000);
		load_collect(&rig);
	}
	if (f->device_id == VIRTIO_ID_NET && rig.load.received > 0)
		f->loopback = true;
	if (!f->served)
		return;
	begin = check_now();
	load_run(&rig, SAMPLE, SAMPLE_MS);
	if (rig.load.done > 1)
		f->request_us = (uint64_t)(check_now() - begin) / 1000 / (rig.load.done - 1);
	/* over a socket nobody promises that what is sent comes back */
	f->lossless = f->loopback && (c->options->lossless || !target_is_socket(c));
}

void target_probe(struct check *c, const struct target *t, struct facts *f)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;
	unsigned messages = c->wire->count;

	doing(c, "opening %s", t->name);
	if (target_open(c, t, 0, &drv, &error) < 0) {
		snprintf(f->trouble, sizeof(f->trouble), "%s", error.text);
		kept(c);
	}
	doing(c, "asking %s what it is", t->name);
	f->is_socket = c->wire->count > messages;
	ask(drv, f);
	if (f->device_id == VIRTIO_ID_BLOCK)
		ask_blk(drv, f);
	uvdpa_driver_close(drv);
	if (!facts_lack(f, NEED_LOAD))
		try_load(c, f);
	kept(c);
}
