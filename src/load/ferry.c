/* A driver's end made ready to run: see ferry.h. */
#include "load/ferry.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "load/ferry_internal.h"
#include "wire/vhost.h"

/* What is not the requests' data: rings, indirect tables, and the slack of alignments. */
#define RINGS_SIZE (1024 * 1024)

#define BIT(n) (UINT64_C(1) << (n))

/* What a driver of plain requests has a use for. */
static const uint64_t disk_wanted = BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_F_IN_ORDER) |
				    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_RO) |
				    BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_SIZE_MAX) |
				    BIT(VIRTIO_BLK_F_SEG_MAX);

bool ferry_is_net(const struct ferry *ferry)
{
	return uvdpa_driver_device_id(ferry->devices[0]) == VIRTIO_ID_NET;
}

uint32_t ferry_chain_flags(const struct ferry *ferry, const struct ferry_options *options)
{
	return options->indirect && (ferry->features & BIT(VIRTIO_RING_F_INDIRECT_DESC))
		       ? UVDPA_CHAIN_INDIRECT
		       : 0;
}

/* The smallest ring that holds all requests. */
static int choose_size(const struct ferry *ferry, const struct ferry_options *o, uint16_t *size,
		       struct fault *f)
{
	unsigned each = ferry_is_net(ferry) || ferry_chain_flags(ferry, o) ? 1 : FERRY_CHAIN;
	struct uvdpa_driver *drv = ferry->devices[0];
	uint16_t most;
	int r = uvdpa_get_vring_num(drv, &most);

	if (r < 0)
		return fault(f, r, "%s: GET_VRING_NUM: %s", uvdpa_driver_name(drv), strerror(-r));
	if ((uint64_t)o->depth * each > most)
		return fault(f, -EINVAL,
			     "%s: its queues have %u entries, which is %u requests: a depth of %u "
			     "cannot be had",
			     uvdpa_driver_name(drv), most, most / each, o->depth);
	for (*size = 2; *size < o->depth * each; *size *= 2)
		;
	return 0;
}

/* How many the device has: what MQ says, where it was negotiated. */
static int check_count(const struct ferry *ferry, unsigned queues, struct fault *f)
{
	const char *name = uvdpa_driver_name(ferry->devices[0]);

	if (ferry_is_net(ferry))
		return ferry_net_check(ferry, queues, f);
	if (queues > FERRY_QUEUES)
		return fault(f, -EINVAL, "%u queues: at most %d can be had", queues, FERRY_QUEUES);
	if (queues > ferry->config.num_queues)
		return fault(f, -EINVAL, "%s: it has %u queue%s, not %u", name,
			     ferry->config.num_queues, ferry->config.num_queues == 1 ? "" : "s",
			     queues);
	return 0;
}

static int make_queues(struct ferry *ferry, const struct ferry_options *o, struct fault *f)
{
	unsigned count = o->queues ? o->queues : 1;
	struct uvdpa_queue_options ring = {.features = ferry->features, .poll_us = o->poll_us};
	struct uvdpa_memory_options arena = {
		.kind = o->copied ? UVDPA_MEMORY_PRIVATE : UVDPA_MEMORY_SHARED,
	};
	struct uvdpa_error error;
	int r = check_count(ferry, count, f);

	if (r == 0)
		r = choose_size(ferry, o, &ring.size, f);
	if (r < 0)
		return r;
	if (!ferry_is_net(ferry) && ferry_chain_flags(ferry, o))
		ring.indirect = FERRY_CHAIN;
	arena.size = count * (o->data_size + RINGS_SIZE + (uint64_t)ring.size * 128);
	r = uvdpa_memory_new(&arena, &ferry->memory, &error);
	count *= ferry_is_net(ferry) ? 2 : 1;
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = uvdpa_queue_new(ferry->memory, &ring, &ferry->queues[i], &error);
		ferry->queue_count = r == 0 ? i + 1 : i;
	}
	return r < 0 ? fault(f, r, "%s", error.text) : 0;
}

static int start_device(struct ferry *ferry, struct fault *f)
{
	struct uvdpa_driver *drv = ferry->devices[0];
	struct uvdpa_error error;
	int r = uvdpa_driver_map(drv, ferry->memory, 0, &error);

	for (unsigned i = 0; i < ferry->queue_count && r == 0; i++)
		r = uvdpa_driver_attach(drv, i, ferry->queues[i],
					uvdpa_queue_position(ferry->queues[i]), &error);
	if (r < 0)
		return fault(f, r, "%s", error.text);
	if (ferry_is_net(ferry))
		r = ferry_net_add_control(ferry, f);
	if (r < 0)
		return r;
	r = uvdpa_driver_driver_ok(drv, &error);
	if (r < 0)
		return fault(f, r, "%s", error.text);
	return ferry_net_set_pairs(ferry, f);
}

/* Both of one kind, and of one that is known. */
static int check_kinds(const struct ferry *ferry, struct fault *f)
{
	uint32_t kind = uvdpa_driver_device_id(ferry->devices[0]);

	for (unsigned i = 0; i < ferry->count; i++) {
		const char *name = uvdpa_driver_name(ferry->devices[i]);
		uint32_t id = uvdpa_driver_device_id(ferry->devices[i]);

		if (id != VIRTIO_ID_BLOCK && id != VIRTIO_ID_NET)
			return fault(f, -ENODEV, "%s is no disk (it is virtio device type %u)",
				     name, id);
		if (id != kind)
			return fault(f, -ENODEV, "%s is a %s: what runs on a %s cannot go there",
				     name, id == VIRTIO_ID_NET ? "network card" : "disk",
				     kind == VIRTIO_ID_NET ? "network card" : "disk");
	}
	return 0;
}

static uint64_t wanted(const struct ferry *ferry, const struct ferry_options *o)
{
	uint64_t wants = BIT(VIRTIO_RING_F_EVENT_IDX) | (o->packed ? BIT(VIRTIO_F_RING_PACKED) : 0);

	if (ferry_is_net(ferry))
		return wants | ferry_net_wanted(ferry, o->queues);
	return wants | disk_wanted | (o->queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0);
}

int ferry_start(struct ferry *ferry, const struct ferry_options *options, struct fault *f)
{
	struct uvdpa_error error;
	int r = check_kinds(ferry, f);

	if (r < 0)
		return r;
	r = uvdpa_driver_negotiate(ferry->devices[0], wanted(ferry, options), &ferry->features,
				   &error);
	if (r == 0 && !ferry_is_net(ferry))
		r = uvdpa_blk_read_config(ferry->devices[0], &ferry->config, &error);
	if (r < 0)
		return fault(f, r, "%s", error.text);
	if (options->packed && !(ferry->features & BIT(VIRTIO_F_RING_PACKED)))
		return fault(f, -ENOTSUP,
			     "%s: offers no packed rings (a device of uvdpa does with packed=on)",
			     uvdpa_driver_name(ferry->devices[0]));
	r = make_queues(ferry, options, f);
	return r < 0 ? r : start_device(ferry, f);
}

int ferry_move(struct ferry *ferry, struct uvdpa_handover_times *times, struct fault *f)
{
	struct uvdpa_driver *from = ferry->devices[ferry->current];
	struct uvdpa_driver *to = ferry->devices[1 - ferry->current];
	struct uvdpa_error error;
	int r = uvdpa_handover_prepare(from, to, &error);

	if (r == 0)
		r = uvdpa_handover(from, to, 0, times, &error);
	if (r < 0)
		return fault(f, r, "%s", error.text);
	ferry->current = 1 - ferry->current;
	return ferry_net_set_pairs(ferry, f);
}

void ferry_stop(struct ferry *ferry)
{
	for (unsigned i = 0; i < ferry->count; i++)
		uvdpa_driver_close(ferry->devices[i]);
	for (unsigned i = 0; i < ferry->queue_count; i++)
		uvdpa_queue_free(ferry->queues[i]);
	uvdpa_queue_free(ferry->control);
	uvdpa_memory_free(ferry->memory);
	memset(ferry, 0, sizeof(*ferry));
}
