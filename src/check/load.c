/*
 * Giving a device work and checking what comes back.
 *
 * A slot's buffers lie between canaries:
 *
 *	| guard | out: 16 byte header or frame | guard | in: data, status | guard |
 *
 * Network: `slots` are what is sent, `rx` what it comes back into; the frame is a 12 byte virtio
 * header, an ethernet header and the request's number. Every request has a number of its own (the
 * serial), carried in the cookie with its slot, so that one done twice is seen even if the driver
 * library were fooled.
 */
#include "check/options.h"
#include "check/rig.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "check/target.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#include <linux/virtio_blk.h>

#define GUARD	   32
#define GUARD_BYTE 0x5c
#define UNTOUCHED  0xa5 /* what a writable buffer holds before the device writes */
#define NET_HEADER 12
#define FRAME	   (NET_HEADER + 60)
#define SERIAL_AT  (NET_HEADER + 14)
#define OUT_SIZE   128
#define MAX_PIECES 8

static bool is_net(const struct rig *rig)
{
	return rig->facts->device_id == VIRTIO_ID_NET;
}

static uint8_t *guarded(struct rig *rig, size_t size)
{
	uint8_t *p = uvdpa_memory_alloc(rig->memory, size + 2 * GUARD, 64);

	if (!p)
		skip(rig->c, "the arena is too small for the load");
	memset(p, GUARD_BYTE, GUARD);
	memset(p + GUARD, UNTOUCHED, size);
	memset(p + GUARD + size, GUARD_BYTE, GUARD);
	return p + GUARD;
}

static size_t in_size(const struct rig *rig)
{
	return is_net(rig) ? 256 : rig->load.length + 1;
}

static void check_guard(struct rig *rig, const uint8_t *p, const char *what, uint64_t serial)
{
	for (unsigned i = 0; i < GUARD; i++)
		if (p[i] != GUARD_BYTE)
			broken_by(rig->c, "virtio 2.7.5",
				  "the device writes nowhere but into the buffers it is given",
				  "byte %u of the canary %s request %llu is 0x%02x", i, what,
				  (unsigned long long)serial, p[i]);
}

static void check_slot_guards(struct rig *rig, const struct load_slot *s)
{
	check_guard(rig, s->out - GUARD, "before", s->serial);
	check_guard(rig, s->out + OUT_SIZE, "in the middle of", s->serial);
	check_guard(rig, s->in - GUARD, "before the buffer of", s->serial);
	check_guard(rig, s->in + in_size(rig), "behind", s->serial);
}

void load_check_canaries(struct rig *rig)
{
	for (unsigned i = 0; i < LOAD_SLOTS; i++)
		check_slot_guards(rig, &rig->load.slots[i]);
	for (unsigned i = 0; is_net(rig) && i < LOAD_SLOTS; i++)
		check_slot_guards(rig, &rig->load.rx[i]);
}

static void new_slots(struct rig *rig, struct load_slot *slots)
{
	for (unsigned i = 0; i < LOAD_SLOTS; i++) {
		slots[i].out = guarded(rig, OUT_SIZE);
		slots[i].in = guarded(rig, in_size(rig));
	}
}

void load_new(struct rig *rig)
{
	struct load *l = &rig->load;
	uint32_t block = rig->facts->block > 512 ? rig->facts->block : 512;

	if (rig->facts->device_id != VIRTIO_ID_BLOCK && !is_net(rig))
		return;
	if (block > 4096)
		skip(rig->c, "blocks of %u bytes are more than the load knows", block);
	l->length = is_net(rig) ? FRAME : block;
	new_slots(rig, l->slots);
	if (is_net(rig)) {
		new_slots(rig, l->rx);
		return;
	}
	l->blocks = (unsigned)(rig->facts->capacity / (block / 512));
	if (l->blocks > sizeof(l->known_set))
		l->blocks = sizeof(l->known_set);
	if (l->blocks == 0)
		skip(rig->c, "the disk is smaller than one block");
	l->known = uvdpa_memory_alloc(rig->memory, (size_t)l->blocks * block, 64);
	if (!l->known)
		skip(rig->c, "the arena is too small for the load");
}

/* How many pieces of data a chain of the queue's size has room for: a disk's has two more. */
static unsigned longest(const struct rig *rig)
{
	unsigned size = uvdpa_queue_size(rig->queue[rig->work]);

	return is_net(rig) ? size : size > 3 ? size - 2 : 1;
}

/* Cuts a buffer into pieces as the rig's options and the device's limits say. */
static unsigned cut(struct rig *rig, struct uvdpa_segment *to, uint64_t iova, uint32_t len,
		    bool writable)
{
	bool scattered = rig->options.scattered || (rig->options.mixed && rig->load.serial % 3);
	unsigned most = scattered ? MAX_PIECES : 1, n = 0;
	uint32_t piece;

	if (!is_net(rig) && most > 1 && rig->facts->seg_max && rig->facts->seg_max < most)
		most = rig->facts->seg_max;
	/* no chain is longer than the queue, nor is an indirect one (virtio 2.7.5.3.1) */
	if (most > 1 && most > longest(rig))
		most = longest(rig);
	piece = (len + most - 1) / most;
	for (uint32_t at = 0; at < len; at += piece)
		to[n++] = (struct uvdpa_segment){iova + at, len - at < piece ? len - at : piece,
						 writable};
	return n;
}

static struct load_slot *free_slot(struct load_slot *slots, unsigned *index)
{
	for (*index = 0; *index < LOAD_SLOTS; ++*index)
		if (!slots[*index].busy)
			return &slots[*index];
	return NULL;
}

/* The cookie: slot below, serial above. */
static int add(struct rig *rig, unsigned queue, const struct uvdpa_segment *segments, unsigned n,
	       struct load_slot *slot, unsigned index)
{
	unsigned flags = rig->options.indirect ? UVDPA_CHAIN_INDIRECT : 0;
	int r = uvdpa_queue_add(rig->queue[queue], segments, n, flags, slot->serial << 16 | index);

	if (r < 0) {
		slot->serial = 0;
		return r;
	}
	slot->busy = true;
	return 0;
}

static uint64_t iova_of(struct rig *rig, const void *p)
{
	return uvdpa_memory_iova(rig->memory, p);
}

/*
 * What a request is. Of mixed ones every other is a read, which takes its time; between them are
 * those that a device has the answer to at once, and that may not overtake it if used in order.
 */
static void choose(struct rig *rig, struct load_slot *s)
{
	struct load *l = &rig->load;
	bool flushes = rig->features >> VIRTIO_BLK_F_FLUSH & 1;

	s->type = rig->options.writes ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN;
	s->status = VIRTIO_BLK_S_OK;
	s->sector = s->serial % l->blocks * (l->length / 512);
	if (!rig->options.mixed || s->serial % 2)
		return;
	if (s->serial % 8 == 2 && flushes) {
		s->type = VIRTIO_BLK_T_FLUSH;
		s->sector = 0; /* virtio 5.2.6.1 */
	} else if (s->serial % 8 == 4) {
		s->type = VIRTIO_BLK_T_GET_ID;
	} else if (s->serial % 8 == 6) {
		s->sector = rig->facts->capacity;
		s->status = VIRTIO_BLK_S_IOERR;
	}
}

/* The segments between header and status. */
static unsigned cut_data(struct rig *rig, struct load_slot *s, struct uvdpa_segment *to)
{
	if (s->type == VIRTIO_BLK_T_FLUSH)
		return 0;
	if (s->type == VIRTIO_BLK_T_GET_ID) {
		to[0] = (struct uvdpa_segment){iova_of(rig, s->in), VIRTIO_BLK_ID_BYTES, 1};
		return 1;
	}
	return cut(rig, to, iova_of(rig, s->in), rig->load.length, s->type == VIRTIO_BLK_T_IN);
}

static int post_blk(struct rig *rig)
{
	struct load *l = &rig->load;
	struct uvdpa_segment segments[MAX_PIECES + 2];
	unsigned index, n = 1;
	struct load_slot *s = free_slot(l->slots, &index);

	if (!s)
		return -ENOSPC;
	s->serial = l->serial + 1;
	choose(rig, s);
	store_le32(s->out, s->type);
	store_le32(s->out + 4, 0);
	store_le64(s->out + 8, s->sector);
	memset(s->in, UNTOUCHED, in_size(rig));
	if (rig->options.writes)
		for (uint32_t at = 0; at < l->length; at += 8)
			store_le64(s->in + at, s->serial);
	segments[0] = (struct uvdpa_segment){iova_of(rig, s->out), 16, 0};
	n += cut_data(rig, s, segments + n);
	segments[n++] = (struct uvdpa_segment){iova_of(rig, s->in) + l->length, 1, 1};
	return add(rig, 0, segments, n, s, index);
}

/* A frame as it goes out: zero header, broadcast, an ethertype for experiments, its number. */
static void fill_frame(uint8_t *p, uint64_t serial)
{
	memset(p, 0, OUT_SIZE);
	memset(p + NET_HEADER, 0xff, 6);
	p[NET_HEADER + 6] = 0x02;
	p[NET_HEADER + 12] = 0x88;
	p[NET_HEADER + 13] = 0xb5;
	store_le64(p + SERIAL_AT, serial);
	memset(p + SERIAL_AT + 8, (int)(serial & 0xff), FRAME - SERIAL_AT - 8);
}

static int post_rx(struct rig *rig)
{
	struct uvdpa_segment segments[MAX_PIECES];
	unsigned index, n;
	struct load_slot *s = free_slot(rig->load.rx, &index);

	if (!s)
		return -ENOSPC;
	s->serial = 0;
	memset(s->in, UNTOUCHED, in_size(rig));
	n = cut(rig, segments, iova_of(rig, s->in), (uint32_t)in_size(rig), true);
	return add(rig, 0, segments, n, s, index);
}

static int post_net(struct rig *rig)
{
	struct uvdpa_segment segments[MAX_PIECES];
	unsigned index, n;
	struct load_slot *s = free_slot(rig->load.slots, &index);
	int r;

	if (!s || load_room(rig) == 0)
		return -ENOSPC;
	/* a frame without a buffer to come back into would be lost: one for each */
	r = post_rx(rig);
	if (r < 0 && (rig->facts->lossless || r != -ENOSPC))
		return r;
	s->serial = rig->load.serial + 1;
	fill_frame(s->out, s->serial);
	n = cut(rig, segments, iova_of(rig, s->out), FRAME, false);
	return add(rig, 1, segments, n, s, index);
}

unsigned load_room(struct rig *rig)
{
	unsigned per = rig->options.indirect ? 1 : is_net(rig) ? 1 : 3;
	unsigned room = uvdpa_queue_free_descriptors(rig->queue[rig->work]);

	if (!rig->options.indirect && (rig->options.scattered || rig->options.mixed)) {
		per = longest(rig) < MAX_PIECES ? longest(rig) : MAX_PIECES;
		per = is_net(rig) ? per : per + 2;
	}
	return room / per;
}

unsigned load_add(struct rig *rig, unsigned n)
{
	unsigned put = 0;

	for (; put < n; put++) {
		int r = is_net(rig) ? post_net(rig) : post_blk(rig);

		if (r == -ENOSPC)
			break;
		if (r < 0)
			broken_by(rig->c, "virtio 2.7.8", "the used ring makes sense", "%s",
				  uvdpa_queue_error(rig->queue[rig->work]) ?: answer(r));
		rig->load.serial++;
		rig->load.posted++;
	}
	return put;
}

void load_show(struct rig *rig)
{
	if (is_net(rig))
		uvdpa_queue_publish(rig->queue[0]);
	uvdpa_queue_publish(rig->queue[rig->work]);
}

unsigned load_post(struct rig *rig, unsigned n)
{
	n = load_add(rig, n);
	load_show(rig);
	return n;
}

unsigned load_fill(struct rig *rig)
{
	return load_post(rig, LOAD_SLOTS);
}

void load_burst(struct rig *rig, unsigned us)
{
	load_fill(rig);
	rig_kick(rig);
	check_sleep(check_random(rig->c, us));
}

static void check_status(struct rig *rig, const struct load_slot *s)
{
	uint8_t seen = s->in[rig->load.length];

	if (seen != s->status)
		broken_by(rig->c, "virtio 5.2.6",
			  s->status ? "a read behind the end fails (virtio 5.2.6)"
				    : "a request within the disk ends with status 0",
			  "status 0x%02x for request %llu, type %u, sector %llu%s", seen,
			  (unsigned long long)s->serial, s->type, (unsigned long long)s->sector,
			  seen == UNTOUCHED ? " (the status was not written)" : "");
}

/* Block: status, length, contents. */
static void check_blk(struct rig *rig, struct load_slot *s, uint32_t written)
{
	struct load *l = &rig->load;
	unsigned block = (unsigned)(s->sector / (l->length / 512));
	uint8_t *known = l->known + (size_t)block * l->length;
	uint32_t expected = s->type == VIRTIO_BLK_T_IN ? l->length + 1 : 1;

	check_status(rig, s);
	if (s->status != VIRTIO_BLK_S_OK || s->type == VIRTIO_BLK_T_GET_ID)
		return; /* how much was written is the device's affair */
	if (written != expected)
		broken_by(rig->c, "virtio 2.7.8", "the used length counts the bytes written",
			  "%u instead of %u", written, expected);
	if (s->type == VIRTIO_BLK_T_FLUSH)
		return;
	if (s->type == VIRTIO_BLK_T_OUT) {
		memcpy(known, s->in, l->length);
	} else if (l->known_set[block] && memcmp(known, s->in, l->length)) {
		broken_by(rig->c, "virtio 5.2.6", "a read returns what is on the disk",
			  "block %u read differently than before", block);
	} else {
		memcpy(known, s->in, l->length);
	}
	l->known_set[block] = 1;
}

static void check_rx(struct rig *rig, struct load_slot *s, uint32_t written)
{
	uint64_t serial = load_le64(s->in + SERIAL_AT);
	uint8_t sent[OUT_SIZE];

	/* somebody else's frame, on a device with a wire */
	if (written < FRAME || s->in[NET_HEADER + 12] != 0x88 || s->in[NET_HEADER + 13] != 0xb5)
		return;
	fill_frame(sent, serial);
	if (written != FRAME || memcmp(sent + NET_HEADER, s->in + NET_HEADER, FRAME - NET_HEADER))
		broken_by(rig->c, "virtio 5.1.6", "a frame comes back as it was sent",
			  "frame %llu did not", (unsigned long long)serial);
	if (serial <= rig->load.last_received || serial > rig->load.serial)
		broken_by(rig->c, "virtio 5.1.6", "each frame comes back once and in order (S12)",
			  "frame %llu after frame %llu", (unsigned long long)serial,
			  (unsigned long long)rig->load.last_received);
	rig->load.last_received = serial;
	rig->load.received++;
}

static struct load_slot *slot_of(struct rig *rig, struct load_slot *slots, uint64_t cookie)
{
	struct load_slot *s = &slots[cookie & 0xffff];

	if ((cookie & 0xffff) >= LOAD_SLOTS || !s->busy || s->serial != cookie >> 16)
		broken_by(rig->c, "virtio 2.7.8", "each request is done once (S12)",
			  "request %llu was done again", (unsigned long long)(cookie >> 16));
	s->busy = false;
	check_slot_guards(rig, s);
	return s;
}

static int poll_queue(struct rig *rig, unsigned queue, struct uvdpa_completion *done)
{
	int n = uvdpa_queue_poll(rig->queue[queue], done, 32);

	if (n < 0)
		broken_by(rig->c, rig->in_order ? "virtio 2.7.9" : "virtio 2.7.8",
			  rig->in_order ? "buffers are used in the order in which they were made "
					  "available, each once (virtio 2.7.9)"
					: "the used ring makes sense (S3, virtio 2.7.8)",
			  "queue %u: %s", queue, uvdpa_queue_error(rig->queue[queue]) ?: answer(n));
	return n;
}

static void collect_rx(struct rig *rig)
{
	struct uvdpa_completion done[32];
	int n;

	while ((n = poll_queue(rig, 0, done)) > 0)
		for (int i = 0; i < n; i++)
			check_rx(rig, slot_of(rig, rig->load.rx, done[i].cookie), done[i].written);
}

unsigned load_collect(struct rig *rig)
{
	struct uvdpa_completion done[32];
	unsigned sum = 0;
	int n;

	while ((n = poll_queue(rig, rig->work, done)) > 0) {
		for (int i = 0; i < n; i++) {
			struct load_slot *s = slot_of(rig, rig->load.slots, done[i].cookie);

			if (!is_net(rig))
				check_blk(rig, s, done[i].written);
		}
		sum += (unsigned)n;
	}
	rig->load.done += sum;
	if (is_net(rig))
		collect_rx(rig);
	return sum;
}

static bool is_settled(const struct rig *rig)
{
	return rig->load.done == rig->load.posted &&
	       (!rig->facts->lossless || rig->load.received == rig->load.posted);
}

/* A slow device is not a broken one: how long what is under way takes it, several times over. */
static int64_t owed_ns(const struct rig *rig)
{
	uint64_t each = rig->facts->request_us;

	return each < 1000 ? 0 : (int64_t)((rig->load.posted - rig->load.done) * each * 4000);
}

int load_settle(struct rig *rig, unsigned milliseconds)
{
	int64_t end = check_now() + (int64_t)milliseconds * 1000000 + owed_ns(rig);

	for (;;) {
		load_collect(rig);
		if (is_settled(rig))
			return 0;
		if (check_now() > end)
			return -ETIMEDOUT;
		check_sleep(100);
	}
}

int load_run(struct rig *rig, unsigned n, unsigned milliseconds)
{
	load_post(rig, n);
	rig_kick(rig);
	return load_settle(rig, milliseconds);
}

void load_must_settle(struct rig *rig, const char *when)
{
	if (load_settle(rig, rig->c->options->patience) == 0)
		return;
	if (rig->load.done == rig->load.posted)
		broken_by(rig->c, "virtio 5.1.6", "every frame comes back", "%llu of %llu %s",
			  (unsigned long long)rig->load.received,
			  (unsigned long long)rig->load.posted, when);
	broken_by(rig->c, "virtio 2.7", "every request is done", "%llu of %llu within %d ms %s",
		  (unsigned long long)rig->load.done, (unsigned long long)rig->load.posted,
		  (int)rig->c->options->patience, when);
}

void load_must_be_called(struct rig *rig, unsigned n, int call, const char *what)
{
	struct pollfd p = {.fd = call, .events = POLLIN};

	load_post(rig, n);
	rig_kick(rig);
	if (poll(&p, 1, (int)rig->c->options->patience) != 1)
		broken(rig->c, what, "no call within %d ms; used index %u",
		       (int)rig->c->options->patience, rig_used(rig, rig->work));
	load_must_settle(rig, "after a call");
}

void load_must_run(struct rig *rig, unsigned n, const char *when)
{
	load_post(rig, n);
	rig_kick(rig);
	load_must_settle(rig, when);
}
