/* Setting up the device of a case. */
#include "check/rig.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>

#include "check/case.h"
#include "check/target.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>

#define BIT(n) (UINT64_C(1) << (n))

#define ARENA (2u << 20)

/* Only what the load knows how to live with. */
#define WANTED_BLK                                                                             \
	(BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_BLK_SIZE) | \
	 BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_MQ) |               \
	 BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES) |                          \
	 BIT(VIRTIO_BLK_F_CONFIG_WCE))
#define WANTED_NET                                                                      \
	(BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_CTRL_VQ) | \
	 BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define WANTED_RING (BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

static uint64_t wanted(const struct rig *rig)
{
	uint64_t kind = rig->facts->device_id == VIRTIO_ID_NET ? WANTED_NET : WANTED_BLK;
	uint64_t packed = rig->packed ? BIT(VIRTIO_F_RING_PACKED) : 0;
	uint64_t in_order = rig->in_order ? BIT(VIRTIO_F_IN_ORDER) : 0;

	return (kind | WANTED_RING | packed | in_order | rig->options.features_on) &
	       ~rig->options.features_off;
}

static void make_memory(struct rig *rig)
{
	struct uvdpa_error error = {0};
	const struct uvdpa_memory_options options = {
		.size = ARENA,
		.kind = rig->options.private_memory ? UVDPA_MEMORY_PRIVATE : UVDPA_MEMORY_SHARED,
	};

	if (uvdpa_memory_new(&options, &rig->memory, &error) < 0)
		skip(rig->c, "no memory for the rings: %s", error.text);
}

void rig_negotiate(struct rig *rig)
{
	struct uvdpa_error error = {0};

	doing(rig->c, "negotiating");
	if (uvdpa_driver_negotiate(rig->drv, wanted(rig), &rig->features, &error) < 0)
		broken(rig->c, "the device accepts a subset of its features", "%s", error.text);
	if (rig->packed && !(rig->features & BIT(VIRTIO_F_RING_PACKED)))
		broken(rig->c, "the device accepts packed rings, which it offers", "it does not");
	if (rig->in_order && !(rig->features & BIT(VIRTIO_F_IN_ORDER)))
		broken(rig->c, "the device accepts IN_ORDER, which it offers", "it does not");
	doing(rig->c, "mapping memory");
	if (uvdpa_driver_map(rig->drv, rig->memory, 0, &error) < 0)
		broken(rig->c, "memory can be mapped", "%s", error.text);
	uvdpa_set_config_call(rig->drv, rig->config_call);
}

/* Split rings have a power of two of entries (virtio 2.7). */
static uint16_t queue_size(const struct rig *rig)
{
	uint16_t size = rig->options.size ? rig->options.size : 64;

	if (rig->facts->ring_max && size > rig->facts->ring_max)
		size = rig->facts->ring_max;
	while (size & (size - 1))
		size &= (uint16_t)(size - 1);
	return size;
}

static void make_queues(struct rig *rig)
{
	struct uvdpa_error error = {0};
	uint16_t size = queue_size(rig);

	rig->queues = rig->facts->device_id == VIRTIO_ID_NET ? (rig->options.cvq ? 3 : 2) : 1;
	rig->work = rig->facts->device_id == VIRTIO_ID_NET ? 1 : 0;
	for (unsigned i = 0; i < rig->queues; i++) {
		const struct uvdpa_queue_options options = {
			.size = size,
			.indirect = rig->options.indirect ? 16 : 0,
			.features = rig->features,
			.poll_us = UVDPA_QUEUE_POLL_NEVER, /* calls are what is tried */
		};

		if (uvdpa_queue_new(rig->memory, &options, &rig->queue[i], &error) < 0)
			skip(rig->c, "no queue: %s", error.text);
		uvdpa_queue_restart(rig->queue[i],
				    rig_after(rig, rig_first(rig), rig->options.base, 1));
	}
}

static void attach(struct rig *rig)
{
	struct uvdpa_error error = {0};

	for (unsigned i = 0; i < rig->queues; i++) {
		doing(rig->c, "setting up queue %u", i);
		if (uvdpa_driver_attach(rig->drv, i, rig->queue[i], uvdpa_queue_base(rig->queue[i]),
					&error) < 0)
			broken(rig->c, "a queue can be set up", "%s", error.text);
	}
}

void rig_start(struct rig *rig)
{
	struct uvdpa_error error = {0};

	attach(rig);
	doing(rig->c, "DRIVER_OK");
	if (uvdpa_driver_start(rig->drv, &error) < 0)
		broken(rig->c, "the device takes DRIVER_OK", "%s", error.text);
}

void rig_set_up(struct check *c, struct rig *rig, const struct rig_options *options)
{
	memset(rig, 0, sizeof(*rig));
	rig->c = c;
	rig->options = *options;
	rig->facts = &c->facts[options->which];
	rig->packed = c->kase->needs & NEED_PACKED;
	rig->in_order = c->kase->needs & NEED_IN_ORDER;
	rig->config_call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rig->drv = check_open_flags(c, options->which, 0);
	make_memory(rig);
	rig_negotiate(rig);
	if (options->no_queues)
		return;
	make_queues(rig);
	rings_remember(rig);
	load_new(rig);
	if (options->no_driver_ok)
		attach(rig);
	else
		rig_start(rig);
	doing(c, "after the set-up");
}

void rig_kick(struct rig *rig)
{
	for (unsigned i = 0; i < rig->queues; i++)
		uvdpa_queue_kick_always(rig->queue[i]);
}

void rig_suspend(struct rig *rig)
{
	int r;

	doing(rig->c, "SUSPEND");
	r = uvdpa_suspend(rig->drv);
	doing(rig->c, "after SUSPEND");
	if (r < 0)
		broken(rig->c, "SUSPEND answers 0 (S1)", "%s", answer(r));
}

void rig_resume(struct rig *rig)
{
	int r;

	doing(rig->c, "RESUME");
	r = uvdpa_resume(rig->drv);
	doing(rig->c, "after RESUME");
	if (r < 0)
		broken(rig->c, "RESUME answers 0 (S1)", "%s", answer(r));
}

uint32_t rig_base(struct rig *rig, unsigned queue)
{
	uint32_t base = 0;
	int r = uvdpa_get_vring_base(rig->drv, queue, &base);

	if (r < 0)
		broken(rig->c, "GET_VRING_BASE answers 0", "%s for queue %u", answer(r), queue);
	if (rig->packed && base && !(base >> 16))
		root(rig->c, "vhost-user GET_VRING_BASE",
		     "GET_VRING_BASE of a packed ring has 16 bits: the used half is missing");
	return base;
}

void rig_see_behind(struct rig *rig, unsigned queue, uint32_t used)
{
	uint32_t base = rig_base(rig, queue);

	if (rig->c->out->root[0] || base == used)
		return;
	if (!rig->packed && (uint16_t)(base - used) > uvdpa_queue_size(rig->queue[queue]))
		return;
	root(rig->c, "vhost-user GET_VRING_BASE",
	     "GET_VRING_BASE is answered before what was taken is in the used ring");
}

void rig_reset(struct rig *rig)
{
	int r;

	doing(rig->c, "SET_STATUS 0");
	r = uvdpa_driver_reset(rig->drv);
	if (r < 0)
		broken(rig->c, "SET_STATUS 0 answers 0", "%s", answer(r));
	doing(rig->c, "after SET_STATUS 0");
}

uint32_t rig_used(struct rig *rig, unsigned queue)
{
	return uvdpa_queue_base(rig->queue[queue]);
}

uint32_t rig_after(const struct rig *rig, uint32_t used, uint64_t requests, unsigned each)
{
	uint32_t size = uvdpa_queue_size(rig->queue[0]), at;

	if (!rig->packed)
		return (uint16_t)(used + requests);
	/* counted over two laps, the first of which has the wrap counter 1 (virtio 2.8.1) */
	at = (used & 0x7fff) + (used & 0x8000 ? 0 : size);
	at = (uint32_t)((at + requests * each) % (2 * size));
	at = at < size ? at | 0x8000 : at - size;
	return at | at << 16;
}

unsigned rig_each(const struct rig *rig)
{
	return rig->facts->device_id == VIRTIO_ID_NET ? 1 : 3;
}

uint32_t rig_first(const struct rig *rig)
{
	return rig->packed ? 0x80008000 : 0;
}

void rig_want_virgin(struct rig *rig, unsigned queue)
{
	uint32_t base = rig_base(rig, queue);

	want(rig->c, base, base ? rig_first(rig) : 0, "GET_VRING_BASE of queue %u after a reset",
	     queue);
}

uint32_t rig_elsewhere(const struct rig *rig)
{
	return rig->packed ? 0x00010001 : 4711;
}

void rig_set_running(struct check *c, struct rig *rig)
{
	rig_set_up(c, rig, &(struct rig_options){0});
	load_must_run(rig, 5, "before SUSPEND");
}

void rig_set_suspended(struct check *c, struct rig *rig)
{
	rig_set_running(c, rig);
	rig_suspend(rig);
}

int rig_same_addr(struct rig *rig, unsigned queue)
{
	struct uvdpa_queue_areas a;

	uvdpa_queue_areas(rig->queue[queue], &a);
	return uvdpa_set_vring_addr(rig->drv, queue, 0, a.desc_iova, a.avail_iova, a.used_iova, 0);
}

static void raw_queue(struct rig *rig, unsigned q)
{
	struct check *c = rig->c;

	want(c, uvdpa_set_vring_num(rig->drv, q, uvdpa_queue_size(rig->queue[q])), 0,
	     "SET_VRING_NUM");
	want(c, uvdpa_set_vring_base(rig->drv, q, rig_used(rig, q)), 0, "SET_VRING_BASE");
	want(c, rig_same_addr(rig, q), 0, "SET_VRING_ADDR");
	want(c, uvdpa_set_vring_kick(rig->drv, q, uvdpa_queue_kick_fd(rig->queue[q])), 0,
	     "SET_VRING_KICK");
	want(c, uvdpa_set_vring_call(rig->drv, q, uvdpa_queue_call_fd(rig->queue[q])), 0,
	     "SET_VRING_CALL");
	want(c, uvdpa_set_vring_enable(rig->drv, q, 1), 0, "SET_VRING_ENABLE");
}

void rig_raw_start(struct rig *rig)
{
	static const uint8_t steps[] = {1, 3, 0xb, 0xf};

	for (unsigned i = 0; i < sizeof(steps); i++) {
		if (steps[i] == 0xb)
			want(rig->c, uvdpa_set_features(rig->drv, rig->features), 0,
			     "SET_FEATURES");
		for (unsigned q = 0; steps[i] == 0xf && q < rig->queues; q++)
			raw_queue(rig, q);
		want(rig->c, uvdpa_set_status(rig->drv, steps[i]), 0, "SET_STATUS 0x%x", steps[i]);
	}
}

bool rig_config_field(const struct rig *rig, uint32_t *offset, uint32_t *size)
{
	*offset = 0;
	*size = rig->facts->config_size < 256 ? rig->facts->config_size : 256;
	if (!target_is_socket(rig->c))
		return *size;
	*offset = offsetof(struct virtio_blk_config, wce);
	*size = 1;
	return rig->facts->device_id == VIRTIO_ID_BLOCK &&
	       rig->features & BIT(VIRTIO_BLK_F_CONFIG_WCE);
}
