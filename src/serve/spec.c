/*
 * The keys of --device, as one table: name, kind, limits, help. Parsing, the
 * suggestion for a slip of the finger and the help are read from it.
 */
#include "serve/spec.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "serve/parts.h"
#include "device/limits.h"
#include "util/size.h"
#include "util/suggest.h"

enum kind { TEXT, NUMBER, SIZE, SIZE_OR_ON, SWITCH };

struct key {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct device_spec */
	uint64_t min, max, initial;
	const char *value, *help;
};

#define AT(field)    offsetof(struct device_spec, field)
#define ANY	     UINT32_MAX
#define POLL_US	     64
#define PACKET_PAIRS 16 /* PACKET_MAX_PAIRS, where it is looked at again */

static const struct key keys[] = {
	{"type", TEXT, AT(type), 0, 0, 0, "TYPE",
	 "device type: blk or net (may stand first, alone)"},
	{"name", TEXT, AT(name), 0, 0, 0, "NAME", "required: its file is DIR/vdpa/NAME"},
	{"file", TEXT, AT(file), 0, 0, 0, "PATH", "the disk is this file or block device"},
	{"memory", SIZE, AT(memory), 512, INT64_MAX, 0, "SIZE", "the disk is memory, gone at exit"},
	{"null", SIZE_OR_ON, AT(null), 512, INT64_MAX, 0, "SIZE|on",
	 "the disk reads zeroes, drops writes; net: null=on, frames vanish"},
	{"readonly", SWITCH, AT(readonly), 0, 1, 0, "on|off", "refuse writes (off)"},
	{"share", SWITCH, AT(share), 0, 1, 0, "on|off",
	 "file: other servers with share=on may have it open, one works at a time (off)"},
	{"format", TEXT, AT(format), 0, 0, 0, "raw",
	 "file: it is a raw image even if it begins like another format"},
	{"block-size", NUMBER, AT(block_size), 512, 4096, 0, "512|4096",
	 "the disk's logical blocks, whatever the file's are (512)"},
	{"direct", SWITCH, AT(direct), 0, 1, 0, "on|off", "file: go round the page cache (off)"},
	{"sqpoll", SWITCH, AT(sqpoll), 0, 1, 0, "on|off",
	 "file: a thread of the kernel's takes the requests (off)"},
	{"iopoll", SWITCH, AT(iopoll), 0, 1, 0, "on|off",
	 "block device with direct=on: asked for completions, does not interrupt (off)"},
	{"fixed-buffers", SWITCH, AT(fixed_buffers), 0, 1, 0, "on|off",
	 "file: the memory that requests are in is registered, and stays pinned (off)"},
	{"write-cache", SWITCH, AT(write_cache), 0, 1, 1, "on|off",
	 "off: a write is durable before it completes (on)"},
	{"serial", TEXT, AT(serial), 0, 0, 0, "TEXT", "what the guest reads as serial, 20 bytes"},
	{"queues", NUMBER, AT(queues), 1, DEVICE_MAX_QUEUES, 0, "N",
	 "request queues (64); net: queue pairs (1)"},
	{"queue-size", NUMBER, AT(queue_size), 2, DEVICE_MAX_QUEUE_SIZE, DEVICE_MAX_QUEUE_SIZE, "N",
	 "most entries of a queue, a power of two (1024)"},
	{"workers", NUMBER, AT(workers), 1, DEVICE_MAX_QUEUES, 1, "N",
	 "threads that share the queues (1)"},
	{"worker", TEXT, AT(worker), 0, 0, 0, "NAME",
	 "one thread, shared with all devices that name it (one of its own)"},
	{"poll-us", NUMBER, AT(poll_us), 0, 1000000, POLL_US, "US",
	 "how long a busy worker looks for requests before it sleeps; 3 times that for a disk "
	 "(64)"},
	{"cpu", NUMBER, AT(cpu), 0, 1023, SPEC_ANY_CPU, "N",
	 "worker i runs on processor N + i only (any); of a shared one, one says it for all"},
	{"asids", NUMBER, AT(asids), 1, DEVICE_MAX_ASIDS, 0, "N", "address spaces (1; net: 2)"},
	{"groups", NUMBER, AT(groups), 1, DEVICE_MAX_GROUPS, 0, "N",
	 "virtqueue groups; queue q is in group q % N (1)"},
	{"suspend", SWITCH, AT(suspend), 0, 1, 1, "on|off", "off: drivers cannot suspend it (on)"},
	{"resume", SWITCH, AT(resume), 0, 1, 1, "on|off", "off: drivers cannot resume it (on)"},
	{"suspend-timeout", NUMBER, AT(suspend_timeout), 1, 3600000, 10000, "MS",
	 "how long a suspend or reset waits for the backend (10000)"},
	{"on-timeout", TEXT, AT(on_timeout), 0, 0, 0, "fail|park",
	 "park: an operator's suspend hands slow requests over in flight (fail)"},
	{"event-idx", SWITCH, AT(event_idx), 0, 1, 1, "on|off", "offer VIRTIO_F_EVENT_IDX (on)"},
	{"indirect", SWITCH, AT(indirect), 0, 1, 1, "on|off",
	 "offer VIRTIO_F_INDIRECT_DESC; QEMU's shadow queues refuse it (on; net: off)"},
	{"packed", SWITCH, AT(packed), 0, 1, 0, "on|off",
	 "offer VIRTIO_F_RING_PACKED; QEMU's shadow queues refuse it (off)"},
	{"in-order", SWITCH, AT(in_order), 0, 1, 0, "on|off",
	 "offer VIRTIO_F_IN_ORDER: a slow request holds up those behind it (off)"},
	{"ring-reset", SWITCH, AT(ring_reset), 0, 1, 0, "on|off",
	 "offer VIRTIO_F_RING_RESET over vhost-user; not for QEMU's cards (off)"},
	{"log", SWITCH, AT(log), 0, 1, 0, "on|off",
	 "dirty logging over vhost-vdpa (VHOST_F_LOG_ALL), which Linux has not (off)"},
	{"trace", SWITCH, AT(trace), 0, 1, 1, "on|off", "keep a trace, for 'uvdpa trace' (on)"},
	{"uapi", TEXT, AT(uapi), 0, 0, 0, "uvdpa|kernel",
	 "kernel: answer unusual calls as Linux does (uvdpa)"},
	{"socket", TEXT, AT(socket), 0, 0, 0, "PATH|off",
	 "the vhost-user socket to listen on (DIR/NAME.sock)"},
	{"connect", TEXT, AT(connect), 0, 0, 0, "PATH",
	 "connect to a vhost-user front end that listens there instead"},
	{"reconnect", NUMBER, AT(reconnect), 1, 3600000, 1000, "MS",
	 "connect, stream: time between attempts (1000)"},
	{"tap", TEXT, AT(tap), 0, 0, 0, "NAME", "the card's cable is this TAP interface"},
	{"create", SWITCH, AT(create), 0, 1, 0, "on|off",
	 "tap: make it if there is none; it goes with the server (off)"},
	{"pair", TEXT, AT(pair), 0, 0, 0, "NAME",
	 "a cable to card NAME of this server, which says pair= likewise"},
	{"stream", TEXT, AT(stream), 0, 0, 0, "PATH",
	 "a unix socket of passt or of QEMU's -netdev stream; reconnect= holds for it, too"},
	{"server", SWITCH, AT(server), 0, 1, 0, "on|off",
	 "stream: listen there instead, for one peer at a time (off)"},
	{"dgram", TEXT, AT(dgram), 0, 0, 0, "PATH|HOST:PORT",
	 "frames as datagrams, as QEMU's -netdev dgram; this is our end"},
	{"remote", TEXT, AT(remote), 0, 0, 0, "PATH|HOST:PORT", "dgram: the other end"},
	{"loopback", SWITCH, AT(loopback), 0, 1, 0, "on|off", "frames come back (off)"},
	{"mac", TEXT, AT(mac_text), 0, 0, 0, "ADDRESS", "the card's (made from its name)"},
	{"mtu", NUMBER, AT(mtu), 68, 65535, 0, "BYTES", "told to the driver (the tap's)"},
	{"speed", NUMBER, AT(speed), 1, INT32_MAX, 0, "MBITS", "told to the driver (unknown)"},
	{"announce", SWITCH, AT(announce), 0, 1, 0, "on|off",
	 "offer VIRTIO_NET_F_GUEST_ANNOUNCE; QEMU has its own (off)"},
	{"rarp", SWITCH, AT(rarp), 0, 1, 0, "on|off",
	 "tell the network of the card's address when a driver starts it (off)"},
	{"vlan-filter", SWITCH, AT(vlan_filter), 0, 1, 0, "on|off",
	 "offer VIRTIO_NET_F_CTRL_VLAN; QEMU replays 4096 commands for it per start (off)"},
	{"uso", SWITCH, AT(uso), 0, 1, 0, "on|off",
	 "tap: offer UDP segmentation; QEMU's shadow queues refuse it (off)"},
	{"fault.hold-us", NUMBER, AT(hold_us), 0, ANY, 0, "US",
	 "begin this much later; a cancel gives it back undone"},
	{"fault.delay-us", NUMBER, AT(delay_us), 0, ANY, 0, "US", "complete this much later"},
	{"fault.delay-every", NUMBER, AT(delay_every), 0, ANY, 0, "N", "only every Nth request"},
	{"fault.fail-every", NUMBER, AT(fail_every), 0, ANY, 0, "N", "every Nth request fails"},
	{"fault.fail-error", TEXT, AT(fail_error), 0, 0, 0, "EIO|ENOSPC|N",
	 "with this error (EIO)"},
	{"fault.never-every", NUMBER, AT(never_every), 0, ANY, 0, "N",
	 "every Nth request never completes, unless cancelled"},
	{"fault.tear-every", NUMBER, AT(tear_every), 0, ANY, 0, "N",
	 "every Nth write is done by half and fails"},
	{"fault.stubborn", SWITCH, AT(stubborn), 0, 1, 0, "on|off",
	 "requests that never complete survive a cancel (off)"},
};

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static void *field(struct device_spec *spec, const struct key *key)
{
	return (char *)spec + key->offset;
}

static int parse_switch(const struct key *key, const char *value, bool *to, struct error *f)
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return error_set(f, -EINVAL, "%s=%s: it is 'on' or 'off'", key->name, value);
	*to = value[1] == 'n';
	return 0;
}

static int parse_number(const struct key *key, const char *value, uint64_t *to, struct error *f)
{
	char *end = NULL;

	errno = 0;
	*to = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)value[0]) || *end)
		return error_set(f, -EINVAL, "%s=%s: '%s' is not a number", key->name, value,
				 value);
	if (errno || *to < key->min || *to > key->max)
		return error_set(f, -EINVAL, "%s=%s: it can be %" PRIu64 " to %" PRIu64, key->name,
				 value, key->min, key->max);
	return 0;
}

static int parse_size(const struct key *key, const char *value, uint64_t *to, struct error *f)
{
	int ret = size_parse(value, to);

	if (ret == -ERANGE)
		return error_set(f, ret, "%s=%s: that is too large", key->name, value);
	if (ret)
		return error_set(f, ret, "%s=%s: '%s' is not a size (like 4096, 64M, 1.5G)",
				 key->name, value, value);
	if (*to < key->min || *to % 512)
		return error_set(f, -EINVAL,
				 "%s=%s: a disk has a multiple of 512 bytes, at least 512",
				 key->name, value);
	return 0;
}

static int unknown_key(const char *name, struct error *f)
{
	const char *known[KEYS + 1] = {NULL};
	const char *near;

	for (size_t i = 0; i < KEYS; i++)
		known[i] = keys[i].name;
	near = suggest(name, known);
	return error_set(f, -EINVAL, "unknown key '%s'%s%s%s", name, near ? "; did you mean '" : "",
			 near ? near : "", near ? "'?" : " ('uvdpa serve --help' lists them)");
}

static int set_key(struct device_spec *spec, const char *name, const char *value, struct error *f)
{
	const struct key *key = keys;

	while (key < keys + KEYS && strcmp(key->name, name))
		key++;
	if (key == keys + KEYS)
		return unknown_key(name, f);
	if (!strncmp(name, "fault.", strlen("fault.")))
		spec->has_faults = true;
	switch (key->kind) {
	case TEXT:
		*(const char **)field(spec, key) = value;
		return 0;
	case NUMBER:
		return parse_number(key, value, field(spec, key), f);
	case SIZE_OR_ON:
		if (!strcmp(value, "on")) {
			*(uint64_t *)field(spec, key) = 1;
			return 0;
		}
		return parse_size(key, value, field(spec, key), f);
	case SIZE:
		return parse_size(key, value, field(spec, key), f);
	case SWITCH:
		return parse_switch(key, value, field(spec, key), f);
	}
	return 0;
}

static void set_defaults(struct device_spec *spec)
{
	memset(spec, 0, sizeof(*spec));
	for (const struct key *key = keys; key < keys + KEYS; key++) {
		if (key->kind == SWITCH)
			*(bool *)field(spec, key) = key->initial;
		else if (key->kind != TEXT)
			*(uint64_t *)field(spec, key) = key->initial;
	}
	spec->uapi = "uvdpa";
	spec->on_timeout = "fail";
}

/* A name becomes a file's name and a word in commands. A worker's is as a device's. */
static int check_name(const char *key, const char *name, struct error *f)
{
	if (!name)
		return error_set(f, -EINVAL, "%s=NAME is missing", key);
	if (strlen(name) > DEVICE_NAME_MAX)
		return error_set(f, -EINVAL, "%s=%.20s...: a name has at most %d bytes", key, name,
				 DEVICE_NAME_MAX);
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && !(p > name && strchr("._-", *p)))
			return error_set(f, -EINVAL,
					 "%s=%s: a name is made of letters, digits, '.', '_' and "
					 "'-', and begins with a letter or digit",
					 key, name);
	return 0;
}

/* How many cables a card has, besides null=on. */
static unsigned cables(const struct device_spec *spec)
{
	return !!spec->tap + !!spec->pair + !!spec->stream + !!spec->dgram + spec->loopback;
}

static int check_disk(const struct device_spec *spec, struct error *f)
{
	unsigned homes = !!spec->file + !!spec->memory + !!spec->null;

	if (cables(spec) || spec->mac_text || spec->mtu || spec->speed)
		return error_set(
			f, -EINVAL,
			"cables (tap, pair, stream, dgram, loopback), mac, mtu and speed are "
			"for network cards: begin with 'net,'");
	if (spec->null == 1)
		return error_set(f, -EINVAL, "null=on: a disk has a size: null=SIZE");
	if (homes != 1)
		return error_set(f, -EINVAL, "%s: give one of file=PATH, memory=SIZE and null=SIZE",
				 homes ? "the disk is in several places" : "the disk is nowhere");
	if (spec->block_size && spec->block_size != 512 && spec->block_size != 4096)
		return error_set(f, -EINVAL, "block-size=%" PRIu64 ": it is 512 or 4096",
				 spec->block_size);
	if (spec->direct && !spec->file)
		return error_set(f, -EINVAL, "direct=on: only with file=PATH");
	if (spec->share && !spec->file)
		return error_set(f, -EINVAL, "share=on: only with file=PATH");
	if (spec->format && !spec->file)
		return error_set(f, -EINVAL, "format=%s: only with file=PATH", spec->format);
	if (spec->format && strcmp(spec->format, "raw"))
		return error_set(
			f, -EINVAL,
			"format=%s: raw images are all that is served; convert it (qemu-img "
			"convert -O raw)",
			spec->format);
	if (spec->sqpoll && !spec->file)
		return error_set(f, -EINVAL, "sqpoll=on: only with file=PATH");
	if (spec->iopoll && !(spec->file && spec->direct))
		return error_set(
			f, -EINVAL,
			"iopoll=on: only with file=PATH and direct=on; what goes through the "
			"page cache cannot be polled");
	if (spec->fixed_buffers && !spec->file)
		return error_set(f, -EINVAL, "fixed-buffers=on: only with file=PATH");
	if (spec->iopoll && spec->sqpoll)
		return error_set(f, -EINVAL, "iopoll=on and sqpoll=on do not go together");
	if (spec->serial && strlen(spec->serial) > 20)
		return error_set(f, -EINVAL, "serial=%s: a serial has at most 20 bytes",
				 spec->serial);
	return 0;
}

/* Every server makes the same address of a name, so that a card keeps it wherever it moves. */
static void make_mac(const char *name, uint8_t mac[6])
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (const char *p = name; *p; p++)
		hash = (hash ^ (unsigned char)*p) * 16777619u;
	memcpy(mac, (const uint8_t[]){0x52, 0x54, 0x00}, 3); /* locally administered */
	for (unsigned i = 0; i < 3; i++)
		mac[3 + i] = (uint8_t)(hash >> 8 * i);
}

static int parse_mac(struct device_spec *spec, struct error *f)
{
	unsigned b[6];
	char end;

	make_mac(spec->name, spec->mac);
	if (!spec->mac_text)
		return 0;
	if (strlen(spec->mac_text) != 17 ||
	    sscanf(spec->mac_text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4],
		   &b[5], &end) != 6)
		return error_set(f, -EINVAL, "mac=%s: an address looks like 52:54:00:12:34:56",
				 spec->mac_text);
	for (unsigned i = 0; i < 6; i++)
		spec->mac[i] = (uint8_t)b[i];
	if (b[0] & 1)
		return error_set(f, -EINVAL, "mac=%s: that is a multicast address", spec->mac_text);
	return 0;
}

/* Keys that go with one kind of cable. */
static int check_cable(const struct device_spec *spec, struct error *f)
{
	if ((spec->create || spec->uso) && !spec->tap)
		return error_set(f, -EINVAL, "%s=on: only with tap=NAME",
				 spec->create ? "create" : "uso");
	if (spec->server && !spec->stream)
		return error_set(f, -EINVAL, "server=on: only with stream=PATH");
	if (!spec->dgram != !spec->remote)
		return error_set(
			f, -EINVAL,
			"dgram=OURS and remote=THEIRS go together: the two ends of the cable");
	if ((spec->stream || spec->dgram) && spec->queues > 1)
		return error_set(f, -EINVAL, "queues=%" PRIu64 ": a %s has one queue pair",
				 spec->queues, spec->stream ? "stream" : "dgram");
	if (spec->pair && !strcmp(spec->pair, spec->name))
		return error_set(f, -EINVAL, "pair=%s: that is the card itself; say loopback=on",
				 spec->pair);
	return 0;
}

static int check_card(struct device_spec *spec, struct error *f)
{
	unsigned homes = cables(spec) + !!spec->null;
	int ret;

	if (homes != 1)
		return error_set(f, -EINVAL,
				 "%s: give one of tap=NAME, pair=NAME, stream=PATH, dgram=PATH, "
				 "loopback=on and null=on",
				 homes ? "the card has several cables" : "the card has no cable");
	if (spec->null > 1)
		return error_set(f, -EINVAL, "null: of a network card it is 'on'");
	if (spec->file || spec->memory || spec->serial || spec->has_faults || spec->readonly ||
	    spec->fixed_buffers || spec->share || spec->format || spec->block_size)
		return error_set(f, -EINVAL, "%s: that is for disks",
				 spec->file	       ? "file"
				 : spec->memory	       ? "memory"
				 : spec->serial	       ? "serial"
				 : spec->readonly      ? "readonly"
				 : spec->fixed_buffers ? "fixed-buffers"
				 : spec->share	       ? "share"
				 : spec->format	       ? "format"
				 : spec->block_size    ? "block-size"
						       : "fault.*");
	if (spec->queues > PACKET_PAIRS)
		return error_set(f, -EINVAL, "queues=%" PRIu64 ": a card has 1 to %d queue pairs",
				 spec->queues, PACKET_PAIRS);
	if (spec->groups)
		return error_set(f, -EINVAL, "groups: a card's are its own: data and control");
	ret = check_cable(spec, f);
	return ret ? ret : parse_mac(spec, f);
}

static bool is_given(const struct device_spec *spec, const char *key)
{
	for (unsigned i = 0; i < spec->keyvals.count; i++)
		if (!strcmp(spec->keyvals.items[i].key, key))
			return true;
	return false;
}

/* What cards have otherwise than disks: what QEMU wants for migration with shadow virtqueues. */
static void set_card_defaults(struct device_spec *spec)
{
	if (!spec->queues)
		spec->queues = 1;
	if (!spec->asids)
		spec->asids = 2;
	if (!is_given(spec, "indirect"))
		spec->indirect = false;
}

/*
 * QEMU asks for a queue per virtual processor, and goes away where there are fewer. A card's pairs
 * are its cable's, of which most have one.
 */
static void set_disk_defaults(struct device_spec *spec)
{
	if (!spec->queues)
		spec->queues = DEVICE_MAX_QUEUES;
	if (!spec->asids)
		spec->asids = 1;
	if (!spec->block_size)
		spec->block_size = 512;
}

static int check_worker(const struct device_spec *spec, struct error *f)
{
	if (!spec->worker)
		return 0;
	if (is_given(spec, "workers"))
		return error_set(f, -EINVAL,
				 "worker=%s, workers=%" PRIu64
				 ": give one of them: a thread that is "
				 "shared, or threads of its own",
				 spec->worker, spec->workers);
	return check_name("worker", spec->worker, f);
}

static int check(struct device_spec *spec, struct error *f)
{
	int ret = parts_check_type(spec->type, f);

	if (!ret)
		ret = check_name("name", spec->name, f);
	if (!ret)
		ret = check_worker(spec, f);
	if (!ret)
		ret = strcmp(spec->type, "net") ? check_disk(spec, f) : check_card(spec, f);
	if (ret)
		return ret;
	if (!strcmp(spec->type, "net"))
		set_card_defaults(spec);
	else
		set_disk_defaults(spec);
	if (spec->queue_size & (spec->queue_size - 1))
		return error_set(f, -EINVAL, "queue-size=%" PRIu64 ": it has to be a power of two",
				 spec->queue_size);
	if (strcmp(spec->uapi, "uvdpa") && strcmp(spec->uapi, "kernel"))
		return error_set(f, -EINVAL, "uapi=%s: it is 'uvdpa' or 'kernel'", spec->uapi);
	if (strcmp(spec->on_timeout, "fail") && strcmp(spec->on_timeout, "park"))
		return error_set(f, -EINVAL, "on-timeout=%s: it is 'fail' or 'park'",
				 spec->on_timeout);
	if (spec->connect && spec->socket)
		return error_set(f, -EINVAL,
				 "socket= listens, connect= connects: give one of them");
	return parts_check_faults(spec, f);
}

int spec_parse(const char *text, struct device_spec *spec, struct error *f)
{
	int ret;

	set_defaults(spec);
	ret = keyvals_parse(&spec->keyvals, text, "type", f);
	for (unsigned i = 0; !ret && i < spec->keyvals.count; i++)
		ret = set_key(spec, spec->keyvals.items[i].key, spec->keyvals.items[i].value, f);
	if (!ret)
		ret = check(spec, f);
	if (ret)
		spec_free(spec);
	return ret;
}

void spec_free(struct device_spec *spec)
{
	keyvals_free(&spec->keyvals);
}

void spec_help(FILE *to)
{
	char left[48];

	for (const struct key *key = keys; key < keys + KEYS; key++) {
		snprintf(left, sizeof(left), "%s=%s", key->name, key->value);
		fprintf(to, "  %-30s %s\n", left, key->help);
	}
}
