/* Opening TARGETs and asking them what they are. */
#include "cmd/check/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/check/case.h"
#include "cmd/check/options.h"
#include "cmd/check/rig.h"
#include "cmd/check/verdict.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

/* A vhost-user back end hears of a client's end later; ours has the next one wait, others may not.
 */
#define BUSY_NS 2000000000

int target_open(const struct target *t, unsigned flags, struct uvdpa_driver **drv,
		struct uvdpa_error *error)
{
	int64_t end = check_now() + BUSY_NS;
	int r;

	for (;;) {
		r = t->open ? t->open(t->arg, flags, drv, error)
			    : uvdpa_driver_open(t->name, flags, drv, error);
		if (r != -EBUSY || !target_is_socket(t->name) || check_now() > end)
			return r;
		check_sleep(2000);
	}
}

struct uvdpa_driver *check_open_flags(struct check *c, unsigned which, unsigned flags)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;

	doing(c, "opening %s", c->targets[which].name);
	if (target_open(&c->targets[which], flags, &drv, &error) < 0)
		broken(c, "the device opens", "%s", error.text);
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

/* One piece of work, to see that it moves at all. */
static void try_load(struct check *c, struct facts *f)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	f->served = load_run(&rig, 1, 2000) == 0;
	for (unsigned i = 0; i < 50 && f->device_id == VIRTIO_ID_NET && rig.load.received == 0;
	     i++) {
		check_sleep(2000);
		load_collect(&rig);
	}
	if (f->device_id == VIRTIO_ID_NET && rig.load.received > 0)
		f->loopback = true;
}

void target_probe(struct check *c, const struct target *t, struct facts *f)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;

	doing(c, "opening %s", t->name);
	if (target_open(t, 0, &drv, &error) < 0) {
		snprintf(f->trouble, sizeof(f->trouble), "%s", error.text);
		kept(c);
	}
	doing(c, "asking %s what it is", t->name);
	ask(drv, f);
	if (f->device_id == VIRTIO_ID_BLOCK)
		ask_blk(drv, f);
	uvdpa_driver_close(drv);
	if (f->device_id == VIRTIO_ID_NET || (f->device_id == VIRTIO_ID_BLOCK && f->capacity > 0))
		try_load(c, f);
	kept(c);
}

static bool backend_has(const struct facts *f, unsigned bit)
{
	return f->backend >> bit & 1;
}

static const char *lacks_backend(const struct facts *f, unsigned needs)
{
	bool suspend = backend_has(f, VHOST_BACKEND_F_SUSPEND);
	bool resume = backend_has(f, VHOST_BACKEND_F_RESUME);

	if (needs & NEED_SUSPEND && !suspend)
		return "the device does not offer suspend (backend feature bit 4)";
	if (needs & NEED_NO_SUSPEND && suspend)
		return "only for a device without suspend";
	if (needs & NEED_RESUME && !resume)
		return "the device does not offer resume (backend feature bit 5)";
	if (needs & NEED_NO_RESUME && resume)
		return "only for a device that can suspend and not resume";
	if (needs & NEED_PERSIST && !backend_has(f, VHOST_BACKEND_F_IOTLB_PERSIST))
		return "the device's mappings do not outlive a reset (backend feature bit 8)";
	if (needs & NEED_ASIDS && (f->asids < 2 || f->groups < 2))
		return "the device has no second address space and group";
	if (needs & NEED_GROUPS && !f->groups_known)
		return "the device has no groups (GET_VRING_GROUP is refused)";
	return NULL;
}

static const char *lacks_kind(const struct facts *f, unsigned needs)
{
	bool blk = f->device_id == VIRTIO_ID_BLOCK, net = f->device_id == VIRTIO_ID_NET;

	if (needs & NEED_BLK && !blk)
		return "only for block devices";
	if (needs & (NEED_NET | NEED_LOOPBACK | NEED_CVQ) && !net)
		return "only for network devices";
	if (needs & NEED_LOAD && !blk && !net)
		return "only block and network devices can be given work";
	if (needs & NEED_LOAD && blk && f->capacity == 0)
		return "the disk has no capacity";
	if (needs & NEED_LOOPBACK && !f->loopback)
		return "the network device does not send back what it is sent";
	if (needs & NEED_CVQ && !(f->features >> VIRTIO_NET_F_CTRL_VQ & 1))
		return "the network device has no control queue";
	if (needs & NEED_EVENT_IDX && !(f->features >> VIRTIO_RING_F_EVENT_IDX & 1))
		return "the device does not offer VIRTIO_RING_F_EVENT_IDX";
	if (needs & NEED_INDIRECT && !(f->features >> VIRTIO_RING_F_INDIRECT_DESC & 1))
		return "the device does not offer VIRTIO_RING_F_INDIRECT_DESC";
	if (needs & NEED_PACKED && !(f->features >> VIRTIO_F_RING_PACKED & 1))
		return "the device does not offer VIRTIO_F_RING_PACKED";
	if (needs & NEED_IN_ORDER && !(f->features >> VIRTIO_F_IN_ORDER & 1))
		return "the device does not offer VIRTIO_F_IN_ORDER";
	if (needs & NEED_MANY_SLOTS && f->ring_max < 16)
		return "the device's queues have less than 16 entries";
	return NULL;
}

const char *target_lacks(const struct check *c, unsigned needs)
{
	const char *why = lacks_kind(&c->facts[0], needs);

	if (!why)
		why = lacks_backend(&c->facts[0], needs);
	if (!why && needs & NEED_FILE && c->targets[0].open)
		why = "only for a TARGET that is a file";
	if (!why && needs & NEED_SOCKET && !target_is_socket(c->targets[0].name))
		why = "only for a vhost-user socket";
	if (!why && needs & NEED_SCRATCH && !c->options->scratch)
		why = "writes to the device's data: needs --scratch";
	if (!why && needs & NEED_CONTROL && !c->options->control)
		why = "needs the operator's side: --control DIR (uvdpa's own devices)";
	if (!why && needs & NEED_TWO && c->options->target_count < 2)
		why = "needs a second TARGET";
	if (!why && needs & NEED_TWO && c->facts[1].device_id != c->facts[0].device_id)
		why = "the two TARGETs are not of the same kind";
	if (!why && needs & NEED_TWO && needs & NEED_SUSPEND)
		why = lacks_backend(&c->facts[1], NEED_SUSPEND);
	if (!why && needs & NEED_TWO)
		why = lacks_kind(&c->facts[1], needs & NEED_PACKED);
	return why;
}
