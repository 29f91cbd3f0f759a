/* What `status` tells of a device, as JSON. */
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/state.h"
#include "control/control_internal.h"
#include "runtime/runtime.h"
#include "model/blk.h"
#include "model/model.h"
#include "model/net.h"
#include "util/bytes.h"
#include "wire/vhost.h"

static json_t *hex(uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "0x%" PRIx64, value);
	return json_string(text);
}

static json_t *holders(unsigned set)
{
	static const struct {
		enum device_holder bit;
		const char *name;
	} names[] = {
		{HOLDER_DRIVER, "driver"},
		{HOLDER_OPERATOR, "operator"},
		{HOLDER_UPGRADE, "upgrade"},
	};
	json_t *list = json_array();

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (set & names[i].bit)
			json_array_append_new(list, json_string(names[i].name));
	return list;
}

static json_t *queue_status(struct device *device, unsigned queue)
{
	struct device_queue_stats stats;

	device_get_vq_stats(device, queue, &stats);
	return json_pack(
		"{s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:I}", "index", (int)queue, "size",
		(int)device_get_vq_size(device, queue), "ready", device_get_vq_ready(device, queue),
		"base", (json_int_t)device_peek_vq_state(device, queue), "in_flight",
		(json_int_t)stats.in_flight, "requests", (json_int_t)stats.requests, "kicks",
		(json_int_t)stats.kicks, "notifications", (json_int_t)stats.notifications);
}

static json_t *queues_status(struct device *device)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < device_get_vqs_count(device); i++)
		json_array_append_new(list, queue_status(device, i));
	return list;
}

/* The latest request that the disk failed. */
static json_t *last_error(const struct blk_stats *stats)
{
	return json_pack("{s:s, s:I, s:I, s:s}", "request", stats->failed_what, "offset",
			 (json_int_t)stats->failed_offset, "bytes",
			 (json_int_t)stats->failed_length, "error", strerror(-stats->last_error));
}

/* The counters of a disk, over all queues. */
static json_t *disk_counters(struct device *device)
{
	struct blk_stats sum = {0}, one, failed = {0};
	json_t *counters;

	for (unsigned i = 0; i < device_get_vqs_count(device); i++) {
		if (!blk_get_stats(device_model(device), i, &one))
			return NULL;
		sum.reads += one.reads;
		sum.writes += one.writes;
		sum.flushes += one.flushes;
		sum.discards += one.discards;
		sum.write_zeroes += one.write_zeroes;
		sum.read_bytes += one.read_bytes;
		sum.written_bytes += one.written_bytes;
		sum.errors += one.errors;
		sum.unsupported += one.unsupported;
		if (one.failed_number > failed.failed_number)
			failed = one;
	}
	counters = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "reads",
			     (json_int_t)sum.reads, "writes", (json_int_t)sum.writes, "flushes",
			     (json_int_t)sum.flushes, "discards", (json_int_t)sum.discards,
			     "write_zeroes", (json_int_t)sum.write_zeroes, "read_bytes",
			     (json_int_t)sum.read_bytes, "written_bytes",
			     (json_int_t)sum.written_bytes, "errors", (json_int_t)sum.errors,
			     "unsupported", (json_int_t)sum.unsupported);
	if (counters && failed.failed)
		json_object_set_new(counters, "last_error", last_error(&failed));
	return counters;
}

/* What a disk adds: its size as the driver sees it, and what was done on it. */
static void add_disk(struct device *device, json_t *status)
{
	json_t *counters = disk_counters(device);
	uint8_t sectors[8];

	if (counters)
		json_object_set_new(status, "disk", counters);
	if (device_get_device_id(device) != VIRTIO_ID_BLOCK ||
	    device_get_config(device, offsetof(struct virtio_blk_config, capacity), sectors,
			      sizeof(sectors)))
		return;
	json_object_set_new(status, "capacity", json_integer((json_int_t)load_le64(sectors) * 512));
}

static json_t *frames(const struct net_stats *stats)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "packets", (json_int_t)stats->packets,
			 "bytes", (json_int_t)stats->bytes, "filtered", (json_int_t)stats->filtered,
			 "malformed", (json_int_t)stats->malformed, "no_room",
			 (json_int_t)stats->no_room, "direct", (json_int_t)stats->direct);
}

static void add_stats(struct net_stats *sum, const struct net_stats *one)
{
	sum->packets += one->packets;
	sum->bytes += one->bytes;
	sum->filtered += one->filtered;
	sum->malformed += one->malformed;
	sum->no_room += one->no_room;
	sum->direct += one->direct;
	sum->commands += one->commands;
	sum->refused += one->refused;
}

/* What a network card adds: frames received (even queues) and sent (odd ones), and commands. */
static void add_card(struct device *device, json_t *status)
{
	struct net_stats sums[2] = {{0}}, one;
	unsigned count = device_get_vqs_count(device);
	uint8_t mac[6];
	char text[18];
	json_t *card;

	for (unsigned i = 0; i < count; i++) {
		if (!net_get_stats(device_model(device), i, &one))
			return;
		add_stats(&sums[i % 2], &one);
	}
	card = json_pack("{s:o, s:o, s:I, s:I, s:s, s:i}", "received", frames(&sums[0]), "sent",
			 frames(&sums[1]), "commands",
			 (json_int_t)(sums[0].commands + sums[1].commands), "refused",
			 (json_int_t)(sums[0].refused + sums[1].refused), "link",
			 net_link_is_up(device_model(device)) ? "up" : "down", "queue_pairs",
			 (int)net_active_pairs(device_model(device)));
	if (device_get_config(device, offsetof(struct virtio_net_config, mac), mac, sizeof(mac)) ==
	    0) {
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
			 mac[2], mac[3], mac[4], mac[5]);
		json_object_set_new(card, "mac", json_string(text));
	}
	json_object_set_new(status, "card", card);
}

json_t *control_device_status(struct runtime *runtime)
{
	char client[128];
	struct device *device;
	const char *broken;
	json_t *status;

	runtime_owner(runtime, client, sizeof(client));
	device = runtime_lock(runtime);
	broken = device_broken_reason(device);
	status = json_pack("{s:s, s:s, s:i, s:s, s:o, s:s?, s:i, s:o, s:o, s:s?, s:b, s:s?, s:o}",
			   "name", device_name(device), "type", device_model(device)->ops->name,
			   "device_id", (int)device_get_device_id(device), "state",
			   lifecycle_state_name(device_state(device)), "holders",
			   holders(device_holders(device)), "client", client[0] ? client : NULL,
			   "status", (int)device_get_status(device), "device_features",
			   hex(device_get_device_features(device)), "driver_features",
			   hex(device_get_driver_features(device)), "broken",
			   broken[0] ? broken : NULL, "restored", device_is_restored(device),
			   "worker", runtime_worker(runtime), "queues", queues_status(device));
	add_disk(device, status);
	add_card(device, status);
	runtime_unlock(runtime);
	if (runtime_backend(runtime))
		json_object_set_new(status, "backend", json_string(runtime_backend(runtime)));
	return status;
}
