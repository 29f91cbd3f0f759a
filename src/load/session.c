/* A driver's end made ready to run: see session.h. */
#include "load/session.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "load/session_internal.h"
#include "wire/vhost.h"

/* What is not the requests' data: rings, indirect tables, and the slack of alignments. */
#define RINGS_SIZE (1024 * 1024)

#define BIT(n) (UINT64_C(1) << (n))

/* What a driver of plain requests has a use for. */
static const uint64_t disk_wanted = BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_F_IN_ORDER) |
				    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_RO) |
				    BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_SIZE_MAX) |
				    BIT(VIRTIO_BLK_F_SEG_MAX);

bool load_session_is_net(const struct load_session *session)
{
	return uvdpa_driver_device_id(session->devices[0]) == VIRTIO_ID_NET;
}

uint32_t load_session_chain_flags(const struct load_session *session,
				  const struct load_session_options *options)
{
	return options->indirect && (session->features & BIT(VIRTIO_RING_F_INDIRECT_DESC))
		       ? UVDPA_CHAIN_INDIRECT
		       : 0;
}

/* The smallest ring that holds all requests. */
static int choose_size(const struct load_session *session, const struct load_session_options *o,
		       uint16_t *size, struct error *f)
{
	unsigned each = load_session_is_net(session) || load_session_chain_flags(session, o)
				? 1
				: SESSION_CHAIN;
	struct uvdpa_driver *drv = session->devices[0];
	uint16_t most;
	int r = uvdpa_get_vring_num(drv, &most);

	if (r < 0)
		return error_set(f, r, "%s: GET_VRING_NUM: %s", uvdpa_driver_name(drv),
				 strerror(-r));
	if ((uint64_t)o->depth * each > most)
		return error_set(
			f, -EINVAL,
			"%s: its queues have %u entries, which is %u requests: a depth of %u "
			"cannot be had",
			uvdpa_driver_name(drv), most, most / each, o->depth);
	for (*size = 2; *size < o->depth * each; *size *= 2)
		;
	return 0;
}

/* How many the device has: what MQ says, where it was negotiated. */
static int check_count(const struct load_session *session, unsigned queues, struct error *f)
{
	const char *name = uvdpa_driver_name(session->devices[0]);

	if (load_session_is_net(session))
		return load_session_net_check(session, queues, f);
	if (queues > SESSION_QUEUES)
		return error_set(f, -EINVAL, "%u queues: at most %d can be had", queues,
				 SESSION_QUEUES);
	if (queues > session->config.num_queues)
		return error_set(f, -EINVAL, "%s: it has %u queue%s, not %u", name,
				 session->config.num_queues,
				 session->config.num_queues == 1 ? "" : "s", queues);
	return 0;
}

static int make_queues(struct load_session *session, const struct load_session_options *o,
		       struct error *f)
{
	unsigned count = o->queues ? o->queues : 1;
	struct uvdpa_queue_options ring = {.features = session->features, .poll_us = o->poll_us};
	struct uvdpa_memory_options arena = {
		.kind = o->copied ? UVDPA_MEMORY_PRIVATE : UVDPA_MEMORY_SHARED,
	};
	struct uvdpa_error error;
	int r = check_count(session, count, f);

	if (r == 0)
		r = choose_size(session, o, &ring.size, f);
	if (r < 0)
		return r;
	if (!load_session_is_net(session) && load_session_chain_flags(session, o))
		ring.indirect = SESSION_CHAIN;
	arena.size = count * (o->data_size + RINGS_SIZE + (uint64_t)ring.size * 128);
	r = uvdpa_memory_new(&arena, &session->memory, &error);
	count *= load_session_is_net(session) ? 2 : 1;
	for (unsigned i = 0; i < count && r == 0; i++) {
		r = uvdpa_queue_new(session->memory, &ring, &session->queues[i], &error);
		session->queue_count = r == 0 ? i + 1 : i;
	}
	return r < 0 ? error_set(f, r, "%s", error.text) : 0;
}

static int start_device(struct load_session *session, struct error *f)
{
	struct uvdpa_driver *drv = session->devices[0];
	struct uvdpa_error error;
	int r = uvdpa_driver_map(drv, session->memory, 0, &error);

	for (unsigned i = 0; i < session->queue_count && r == 0; i++)
		r = uvdpa_driver_attach(drv, i, session->queues[i],
					uvdpa_queue_base(session->queues[i]), &error);
	if (r < 0)
		return error_set(f, r, "%s", error.text);
	if (load_session_is_net(session))
		r = load_session_net_add_control(session, f);
	if (r < 0)
		return r;
	r = uvdpa_driver_start(drv, &error);
	if (r < 0)
		return error_set(f, r, "%s", error.text);
	return load_session_net_set_pairs(session, f);
}

/* Both of one kind, and of one that is known. */
static int check_kinds(const struct load_session *session, struct error *f)
{
	uint32_t kind = uvdpa_driver_device_id(session->devices[0]);

	for (unsigned i = 0; i < session->count; i++) {
		const char *name = uvdpa_driver_name(session->devices[i]);
		uint32_t id = uvdpa_driver_device_id(session->devices[i]);

		if (id != VIRTIO_ID_BLOCK && id != VIRTIO_ID_NET)
			return error_set(f, -ENODEV, "%s is no disk (it is virtio device type %u)",
					 name, id);
		if (id != kind)
			return error_set(f, -ENODEV,
					 "%s is a %s: what runs on a %s cannot go there", name,
					 id == VIRTIO_ID_NET ? "network card" : "disk",
					 kind == VIRTIO_ID_NET ? "network card" : "disk");
	}
	return 0;
}

static uint64_t wanted(const struct load_session *session, const struct load_session_options *o)
{
	uint64_t wants = BIT(VIRTIO_RING_F_EVENT_IDX) | (o->packed ? BIT(VIRTIO_F_RING_PACKED) : 0);

	if (load_session_is_net(session))
		return wants | load_session_net_wanted(session, o->queues);
	return wants | disk_wanted | (o->queues > 1 ? BIT(VIRTIO_BLK_F_MQ) : 0);
}

int load_session_start(struct load_session *session, const struct load_session_options *options,
		       struct error *f)
{
	struct uvdpa_error error;
	int r = check_kinds(session, f);

	if (r < 0)
		return r;
	r = uvdpa_driver_negotiate(session->devices[0], wanted(session, options),
				   &session->features, &error);
	if (r == 0 && !load_session_is_net(session))
		r = uvdpa_blk_read_config(session->devices[0], &session->config, &error);
	if (r < 0)
		return error_set(f, r, "%s", error.text);
	if (options->packed && !(session->features & BIT(VIRTIO_F_RING_PACKED)))
		return error_set(
			f, -ENOTSUP,
			"%s: offers no packed rings (a device of uvdpa does with packed=on)",
			uvdpa_driver_name(session->devices[0]));
	r = make_queues(session, options, f);
	return r < 0 ? r : start_device(session, f);
}

int load_session_move(struct load_session *session, struct uvdpa_handover_times *times,
		      struct error *f)
{
	struct uvdpa_driver *from = session->devices[session->current];
	struct uvdpa_driver *to = session->devices[1 - session->current];
	struct uvdpa_error error;
	int r = uvdpa_handover_prepare(from, to, &error);

	if (r == 0)
		r = uvdpa_handover(from, to, 0, times, &error);
	if (r < 0)
		return error_set(f, r, "%s", error.text);
	session->current = 1 - session->current;
	return load_session_net_set_pairs(session, f);
}

void load_session_stop(struct load_session *session)
{
	for (unsigned i = 0; i < session->count; i++)
		uvdpa_driver_close(session->devices[i]);
	for (unsigned i = 0; i < session->queue_count; i++)
		uvdpa_queue_free(session->queues[i]);
	uvdpa_queue_free(session->control);
	uvdpa_memory_free(session->memory);
	memset(session, 0, sizeof(*session));
}
