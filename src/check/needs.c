/* What a case needs, and why a TARGET does not have it. */
#include "check/case.h"
#include "check/options.h"
#include "check/target.h"
#include "check/verdict.h"
#include "check/wire.h"
#include "wire/vhost_user.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

unsigned facts_chain(const struct facts *f)
{
	return f->device_id == VIRTIO_ID_NET ? 1 : 3;
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

const char *facts_lack(const struct facts *f, unsigned needs)
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
	if (needs & NEED_LOOPBACK && !f->lossless)
		return "the network device may lose frames, which only --lossless rules out";
	if (needs & NEED_CVQ && !(f->features >> VIRTIO_NET_F_CTRL_VQ & 1))
		return "the network device has no control queue";
	if (needs & NEED_EVENT_IDX && !(f->features >> VIRTIO_RING_F_EVENT_IDX & 1))
		return "the device does not offer VIRTIO_RING_F_EVENT_IDX";
	if (needs & NEED_INDIRECT && !(f->features >> VIRTIO_RING_F_INDIRECT_DESC & 1))
		return "the device does not offer VIRTIO_RING_F_INDIRECT_DESC";
	if (needs & NEED_PACKED && !(f->features >> VIRTIO_F_RING_PACKED & 1))
		return "the device does not offer VIRTIO_F_RING_PACKED";
	if (needs & NEED_CONFIG && f->config_size == 0)
		return "the device has no config space";
	if (needs & NEED_IN_ORDER && !(f->features >> VIRTIO_F_IN_ORDER & 1))
		return "the device does not offer VIRTIO_F_IN_ORDER";
	if (needs & NEED_MANY_SLOTS && f->ring_max < 16)
		return "the device's queues have less than 16 entries";
	if (needs & NEED_LOAD && f->ring_max < facts_chain(f))
		return "the device's queues have no room for one request (a disk's takes 3 "
		       "entries)";
	return NULL;
}

const char *target_lacks(const struct check *c, unsigned needs)
{
	const char *why = facts_lack(&c->facts[0], needs);

	if (!why)
		why = lacks_backend(&c->facts[0], needs);
	if (!why && needs & NEED_FILE && c->targets[0].open)
		why = "only for a TARGET that is a file";
	if (!why && needs & NEED_SOCKET && !target_is_socket(c))
		why = "only for a vhost-user socket";
	if (!why && needs & NEED_REGIONS &&
	    !(c->wire->protocol >> VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS & 1))
		why = "the back end has no single regions (CONFIGURE_MEM_SLOTS)";
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
		why = facts_lack(&c->facts[1], needs & NEED_PACKED);
	return why;
}
