/* Every device model, block backend and export there is: see parts.h. */
#include "serve/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backends.h"
#include "control/control.h"
#include "export/fuse/fuse.h"
#include "export/vhost_user/vhost_user.h"
#include "runtime/runtime.h"
#include "model/models.h"
#include "util/log.h"
#include "util/suggest.h"
#include "wire/vhost.h"

/* --- Block backends --------------------------------------------------------------------------- */

/* The kernel's time to end what a killed server had with a file: milliseconds, mostly. */
#define PREDECESSOR_MS 2000

static int open_file(const struct device_spec *spec, struct block **block, struct error *f)
{
	const struct block_file_options options = {
		.path = spec->file,
		.read_only = spec->readonly,
		.direct = spec->direct,
		.share = spec->share,
		.raw = spec->format,
		.wait_ms = PREDECESSOR_MS,
		.sqpoll = spec->sqpoll,
		.iopoll = spec->iopoll,
		.fixed_buffers = spec->fixed_buffers,
	};

	return block_file_open(&options, block, f);
}

static int open_plain(const struct device_spec *spec, struct block **block, struct error *f)
{
	int ret = spec->memory ? block_memory_open(spec->memory, block, f)
			       : block_null_open(spec->null, block, f);

	/* a file is opened read-only; these only say so */
	if (!ret && spec->readonly)
		(*block)->limits.read_only = true;
	return ret;
}

static int parse_error(const char *text, int *error, struct error *f)
{
	static const struct {
		const char *name;
		int number;
	} names[] = {{"EIO", EIO}, {"ENOSPC", ENOSPC}, {"EROFS", EROFS}, {"ENOMEM", ENOMEM}};
	char *end;

	*error = EIO;
	if (!text)
		return 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		*error = names[i].number;
		if (!strcmp(names[i].name, text))
			return 0;
	}
	*error = (int)strtol(text, &end, 10);
	if (*end || *error < 1 || *error > 133)
		return error_set(f, -EINVAL, "fault.fail-error=%s: it is EIO, ENOSPC or a number",
				 text);
	return 0;
}

int parts_check_faults(const struct device_spec *spec, struct error *f)
{
	int error;

	if (spec->fail_error && !spec->fail_every && !spec->tear_every)
		return error_set(
			f, -EINVAL,
			"fault.fail-error: says how requests fail; fault.fail-every=N, too, says "
			"which");
	if (spec->delay_every && !spec->delay_us)
		return error_set(f, -EINVAL, "fault.delay-every: give fault.delay-us=US, too");
	if (spec->stubborn && !spec->never_every)
		return error_set(f, -EINVAL, "fault.stubborn: give fault.never-every=N, too");
	return parse_error(spec->fail_error, &error, f);
}

/* Smaller blocks than the backend's take a wrapper, larger ones cost nothing. */
static int set_block_size(const struct device_spec *spec, struct block **block, struct error *f)
{
	uint32_t size = (uint32_t)spec->block_size;
	int ret;

	if ((*block)->limits.block_size > size)
		return block_rmw_open(size, *block, block, f);
	ret = block_raise_block_size(*block, size, f);
	if (ret)
		block_close(*block);
	return ret;
}

static int open_block(const struct device_spec *spec, struct block **block, struct error *f)
{
	struct block_fault_options trouble = {
		.hold_us = (uint32_t)spec->hold_us,
		.delay_us = (uint32_t)spec->delay_us,
		.delay_every = (uint32_t)spec->delay_every,
		.fail_every = (uint32_t)spec->fail_every,
		.never_every = (uint32_t)spec->never_every,
		.tear_every = (uint32_t)spec->tear_every,
		.stubborn = spec->stubborn,
	};
	struct block *inner;
	int ret = parse_error(spec->fail_error, &trouble.fail_error, f);

	if (!ret)
		ret = spec->file ? open_file(spec, &inner, f) : open_plain(spec, &inner, f);
	if (!ret)
		ret = set_block_size(spec, &inner, f);
	if (ret)
		return ret;
	*block = inner;
	return spec->has_faults ? block_fault_open(&trouble, inner, block, f) : 0;
}

/* --- Models ----------------------------------------------------------------------------------- */

static int make_blk(struct server *server, unsigned index, struct model **model, struct error *f)
{
	const struct device_spec *spec = &server->specs[index];
	const struct blk_options options = {
		.queues = (unsigned)spec->queues,
		.queue_size = (unsigned)spec->queue_size,
		.serial = spec->serial,
		.write_cache = spec->write_cache,
	};
	struct block *block;
	int ret = open_block(spec, &block, f);

	return ret ? ret : blk_new(&options, block, model, f);
}

/* The card that is opened first makes the cable, and leaves the other end for its partner. */
static int open_pair(struct server *server, unsigned index, struct packet **packet, struct error *f)
{
	unsigned partner = 0;
	struct packet *ends[2];
	int ret;

	*packet = server->ends[index];
	server->ends[index] = NULL;
	if (*packet)
		return 0;
	while (partner < server->count &&
	       strcmp(server->specs[partner].name, server->specs[index].pair))
		partner++;
	ret = packet_pair_open((unsigned[]){(unsigned)server->specs[index].queues,
					    (unsigned)server->specs[partner].queues},
			       ends, f);
	if (ret)
		return ret;
	*packet = ends[0];
	server->ends[partner] = ends[1];
	return 0;
}

void parts_close_ends(struct server *server)
{
	for (unsigned i = 0; i < server->count; i++)
		if (server->ends[i])
			packet_close(server->ends[i]);
}

static int open_packet(struct server *server, unsigned index, struct packet **packet,
		       struct error *f)
{
	const struct device_spec *spec = &server->specs[index];
	unsigned pairs = (unsigned)spec->queues;
	const struct packet_tap_options tap = {
		.name = spec->tap, .pairs = pairs, .create = spec->create, .uso = spec->uso};
	const struct packet_stream_options stream = {.path = spec->stream,
						     .server = spec->server,
						     .reconnect_ms = (uint32_t)spec->reconnect};
	const struct packet_dgram_options dgram = {spec->dgram, spec->remote};

	if (spec->tap)
		return packet_tap_open(&tap, packet, f);
	if (spec->stream)
		return packet_stream_open(&stream, packet, f);
	if (spec->dgram)
		return packet_dgram_open(&dgram, packet, f);
	if (spec->pair)
		return open_pair(server, index, packet, f);
	return spec->loopback ? packet_loopback_open(pairs, packet, f)
			      : packet_null_open(pairs, packet, f);
}

static int make_net(struct server *server, unsigned index, struct model **model, struct error *f)
{
	const struct device_spec *spec = &server->specs[index];
	struct net_options options = {
		.mtu = (uint16_t)spec->mtu,
		.speed = (uint32_t)spec->speed,
		.announce = spec->announce,
		.vlans = spec->vlan_filter,
		.rarp = spec->rarp,
	};
	struct packet *packet;
	int ret = open_packet(server, index, &packet, f);

	memcpy(options.mac, spec->mac, sizeof(options.mac));
	return ret ? ret : net_new(&options, packet, model, f);
}

static const struct model_part {
	const char *type;
	int (*make)(struct server *server, unsigned index, struct model **model, struct error *f);
	const char *others[5]; /* what others call it, to be suggested by */
} models[] = {
	{"blk", make_blk, {"blk", "block", "disk", "virtio-blk"}},
	{"net", make_net, {"net", "nic", "card", "network", "virtio-net"}},
};

#define MODELS (sizeof(models) / sizeof(models[0]))

static const struct model_part *find_model(const char *type)
{
	for (size_t i = 0; i < MODELS; i++)
		if (!strcmp(models[i].type, type))
			return &models[i];
	return NULL;
}

/* The type that `word` may have been meant as; NULL: none is near. */
static const char *suggest_type(const char *word)
{
	for (size_t i = 0; i < MODELS; i++) {
		const char *known[sizeof(models[0].others) / sizeof(models[0].others[0]) + 1] = {
			NULL};

		memcpy(known, models[i].others, sizeof(models[i].others));
		if (suggest(word, known))
			return models[i].type;
	}
	return NULL;
}

int parts_check_type(const char *type, struct error *f)
{
	char types[64] = "";
	const char *near;
	size_t used = 0;

	if (!type)
		return error_set(f, -EINVAL,
				 "the device type is missing: begin with 'blk,' or 'net,'");
	if (find_model(type))
		return 0;
	for (size_t i = 0; i < MODELS && used < sizeof(types); i++)
		used += (size_t)snprintf(types + used, sizeof(types) - used, " %s", models[i].type);
	near = suggest_type(type);
	return near ? error_set(f, -EINVAL, "unknown device type '%s'; did you mean '%s'?", type,
				near)
		    : error_set(f, -EINVAL, "unknown device type '%s'; there is:%s", type, types);
}

/* The key that says what a device stands on, as after --device; the caller frees it. NULL: none. */
static char *backend_of(const struct device_spec *spec)
{
	const struct {
		const char *key, *value;
	} texts[] = {
		{"file", spec->file},
		{"tap", spec->tap},
		{"stream", spec->stream},
		{"dgram", spec->dgram},
		{"pair", spec->pair},
		{"memory", spec->memory ? "on" : NULL},
		{"null", spec->null ? "on" : NULL},
		{"loopback", spec->loopback ? "on" : NULL},
	};
	char *text = NULL;

	for (size_t i = 0; !text && i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].value && asprintf(&text, "%s=%s", texts[i].key, texts[i].value) < 0)
			return NULL;
	return text;
}

int parts_open(struct server *server, unsigned index, struct error *f)
{
	const struct device_spec *spec = &server->specs[index];
	struct runtime_options options = {
		.device =
			{
				.name = spec->name,
				.queue_size = (unsigned)spec->queue_size,
				.asids = (unsigned)spec->asids,
				.groups = (unsigned)spec->groups,
				.no_suspend = !spec->suspend,
				.no_resume = !spec->resume,
				.packed = spec->packed,
				.in_order = spec->in_order,
				.ring_reset = spec->ring_reset,
				.features_off =
					(spec->event_idx ? 0
							 : UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX) |
					(spec->indirect
						 ? 0
						 : UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC),
				.suspend_timeout_ms = (uint32_t)spec->suspend_timeout,
				.park = !strcmp(spec->on_timeout, "park"),
			},
		.workers = (unsigned)spec->workers,
		.worker = spec->worker,
		.trace = spec->trace,
		.poll_us = (unsigned)spec->poll_us,
		.pinned = spec->cpu != SPEC_ANY_CPU,
		.cpu = (unsigned)spec->cpu,
	};
	struct model *model;
	char *backend;
	int ret = find_model(spec->type)->make(server, index, &model, f);

	if (ret)
		return ret;
	options.backend = backend = backend_of(spec);
	ret = runtime_new(&options, model, &server->runtimes[index], f);
	free(backend);
	return ret;
}

/* --- Exports ------------------------------------------------------------------------------------
 */

static int open_control(const struct server *server, void **export, struct error *f)
{
	return control_new(server->control, server->runtimes, server->count,
			   (struct control **)export, f);
}

static int close_control(void *export)
{
	control_free(export);
	return 0;
}

static int add_files(const struct server *server, struct fuse_export *export, struct error *f)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < server->count; i++) {
		const struct device_spec *spec = &server->specs[i];
		const struct vdpa_options options = {.kernel_uapi = !strcmp(spec->uapi, "kernel"),
						     .log = spec->log};

		ret = fuse_export_add(export, spec->name, server->runtimes[i], &options, f);
	}
	return ret;
}

static int start_files(const struct server *server, struct fuse_export **export, struct error *f)
{
	const struct fuse_export_options options = {
		.mode = server->mode,
		.gid = server->group,
	};
	int ret = fuse_export_new(server->vdpa, &options, export, f);

	if (ret)
		return ret;
	ret = add_files(server, *export, f);
	if (!ret)
		ret = fuse_export_start(*export, f);
	if (ret)
		fuse_export_free(*export);
	return ret;
}

static bool has_socket(const struct device_spec *spec)
{
	return !spec->socket || strcmp(spec->socket, "off") != 0;
}

static bool all_have_sockets(const struct server *server)
{
	for (unsigned i = 0; i < server->count; i++)
		if (!has_socket(&server->specs[i]))
			return false;
	return true;
}

/* Devices that have sockets are served without files, too. */
static int open_files(const struct server *server, void **export, struct error *f)
{
	struct fuse_export *files = NULL;
	int ret = fuse_export_possible(f);

	if (!ret) {
		ret = start_files(server, &files, f);
	} else if (all_have_sockets(server)) {
		log_warning(NULL, "sockets only: %s", f->text);
		ret = 0;
	}
	*export = files;
	return ret;
}

static int close_files(void *export)
{
	int ret = fuse_export_stop(export);

	if (!ret)
		fuse_export_free(export);
	return ret;
}

/* One vhost-user socket per device, beside the control socket; NULL where it is switched off. */
struct sockets {
	unsigned count;
	struct vhost_user *exports[];
};

static void end_sockets(void *export)
{
	struct sockets *sockets = export;

	for (unsigned i = 0; i < sockets->count; i++)
		vhost_user_end(sockets->exports[i]);
}

static int close_sockets(void *export)
{
	struct sockets *sockets = export;

	for (unsigned i = 0; i < sockets->count; i++)
		vhost_user_close(sockets->exports[i]);
	free(sockets);
	return 0;
}

static int open_socket(const struct server *server, unsigned i, struct vhost_user **export,
		       struct error *f)
{
	const struct device_spec *spec = &server->specs[i];
	struct vhost_user_options options = {.path = spec->connect ? spec->connect : spec->socket,
					     .client = spec->connect,
					     .reconnect_ms = (uint32_t)spec->reconnect,
					     .mode = server->mode,
					     .gid = server->group};
	const char *end = strrchr(server->control, '/');
	char path[512];

	if (!has_socket(spec))
		return 0;
	if (!options.path) {
		snprintf(path, sizeof(path), "%.*s/%s.sock", (int)(end - server->control),
			 server->control, spec->name);
		options.path = path;
	}
	return vhost_user_open(&options, server->runtimes[i], export, f);
}

static int open_sockets(const struct server *server, void **export, struct error *f)
{
	struct sockets *sockets =
		calloc(1, sizeof(*sockets) + server->count * sizeof(struct vhost_user *));
	int ret = 0;

	if (!sockets)
		return error_set(f, -ENOMEM, "out of memory");
	sockets->count = server->count;
	for (unsigned i = 0; i < server->count && !ret; i++)
		ret = open_socket(server, i, &sockets->exports[i], f);
	if (ret)
		close_sockets(sockets);
	*export = sockets;
	return ret;
}

/* In the order of opening: who asks the control socket finds the files there. */
const struct export_part parts_exports[] = {
	{.name = "files", .open = open_files, .close = close_files},
	{.name = "sockets", .open = open_sockets, .end = end_sockets, .close = close_sockets},
	{.name = "control", .to_the_last = true, .open = open_control, .close = close_control},
};
const unsigned parts_export_count = sizeof(parts_exports) / sizeof(parts_exports[0]);
