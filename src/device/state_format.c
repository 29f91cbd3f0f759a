/*
 * A snapshot as bytes: uvdpa-state(5).
 *
 *   header    magic, version, lowest version whose readers can read it, size
 *   sections  { tag, flags, length, payload } ...
 *   check     CRC-32 of all before
 *
 * Nothing is taken from the bytes before the check fits, and everything is judged nevertheless: a
 * check sum is no signature.
 */
#include "device/state.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ring/ring.h"
#include "util/bytes.h"
#include "util/crc.h"
#include "wire/vhost.h"

#define MAGIC	      "UVDPAST\n"
#define HEADER_SIZE   16u
#define CHECK_SIZE    4u
#define SECTION_SIZE  8u
#define DEVICE_SIZE   16u
#define QUEUE_SIZE    36u
#define FLAG_REQUIRED 1u
#define QUEUE_READY   1u

enum { TAG_DEVICE = 1, TAG_QUEUE = 2, TAG_MODEL = 3, TAG_IN_FLIGHT = 4, TAG_NAME = 5 };

static_assert(HEADER_SIZE + CHECK_SIZE + 4 * SECTION_SIZE + DEVICE_SIZE + MODEL_STATE_MAX +
			      DEVICE_NAME_MAX +
			      DEVICE_MAX_QUEUES * (2 * SECTION_SIZE + QUEUE_SIZE + 4 +
						   2 * DEVICE_MAX_QUEUE_SIZE) <=
		      STATE_MAX_BYTES,
	      "every device's state fits");

/* --- Writing -----------------------------------------------------------------------------------
 */

/* Begins a section and returns where its payload goes. */
static uint8_t *put(uint8_t **at, uint16_t tag, uint16_t flags, uint32_t length)
{
	uint8_t *payload = *at + SECTION_SIZE;

	store_le16(*at, tag);
	store_le16(*at + 2, flags);
	store_le32(*at + 4, length);
	memset(payload, 0, length);
	*at = payload + length;
	return payload;
}

static void put_device(uint8_t **at, const struct device_snapshot *s)
{
	uint8_t *p = put(at, TAG_DEVICE, FLAG_REQUIRED, DEVICE_SIZE);

	store_le32(p, s->device_id);
	store_le16(p + 4, s->queue_count);
	p[6] = s->status;
	store_le64(p + 8, s->features);
	memcpy(put(at, TAG_NAME, 0, (uint32_t)strlen(s->name)), s->name, strlen(s->name));
	if (s->model_size)
		memcpy(put(at, TAG_MODEL, FLAG_REQUIRED, s->model_size), s->model, s->model_size);
}

static void put_queue(uint8_t **at, uint16_t index, const struct snapshot_queue *q)
{
	uint8_t *p = put(at, TAG_QUEUE, FLAG_REQUIRED, QUEUE_SIZE);

	store_le16(p, index);
	store_le16(p + 2, q->size);
	store_le32(p + 4, q->base);
	store_le64(p + 8, q->desc);
	store_le64(p + 16, q->driver);
	store_le64(p + 24, q->used);
	store_le32(p + 32, q->ready ? QUEUE_READY : 0);
	if (!q->in_flight_count)
		return;
	p = put(at, TAG_IN_FLIGHT, FLAG_REQUIRED, 4 + 2u * q->in_flight_count);
	store_le16(p, index);
	store_le16(p + 2, q->in_flight_count);
	for (unsigned i = 0; i < q->in_flight_count; i++)
		store_le16(p + 4 + 2 * i, q->in_flight[i]);
}

size_t state_encode(const struct device_snapshot *s, uint8_t *bytes)
{
	uint8_t *at = bytes + HEADER_SIZE;
	size_t size;

	put_device(&at, s);
	for (uint16_t i = 0; i < s->queue_count; i++)
		put_queue(&at, i, &s->queues[i]);
	size = (size_t)(at - bytes) + CHECK_SIZE;
	memcpy(bytes, MAGIC, 8);
	store_le16(bytes + 8, STATE_VERSION);
	store_le16(bytes + 10, STATE_VERSION);
	store_le32(bytes + 12, (uint32_t)size);
	store_le32(at, crc_of(bytes, (size_t)(at - bytes)));
	return size;
}

/* --- Reading -----------------------------------------------------------------------------------
 */

struct reader {
	struct device_snapshot *s;
	struct error *f;
	bool has_device, has_model;
	bool has_queue[DEVICE_MAX_QUEUES];
};

/* Newer versions may append to a payload; for those that we know, it is exact. */
static int check_length(struct reader *r, const char *what, uint32_t length, uint32_t expected)
{
	if (length == expected || (r->s->version > STATE_VERSION && length > expected))
		return 0;
	return error_set(r->f, -EINVAL, "saved state: the %s section has %u bytes, not %u", what,
			 length, expected);
}

static int read_device(struct reader *r, const uint8_t *p, uint32_t length)
{
	struct device_snapshot *s = r->s;

	if (check_length(r, "device", length, DEVICE_SIZE))
		return -EINVAL;
	if (r->has_device)
		return error_set(r->f, -EINVAL, "saved state: two device sections");
	r->has_device = true;
	s->device_id = load_le32(p);
	s->queue_count = load_le16(p + 4);
	s->status = p[6];
	s->features = load_le64(p + 8);
	if (!s->queue_count || s->queue_count > DEVICE_MAX_QUEUES)
		return error_set(r->f, -EINVAL, "saved state: %u queues", s->queue_count);
	return 0;
}

static int read_model(struct reader *r, const uint8_t *p, uint32_t length)
{
	if (r->has_model)
		return error_set(r->f, -EINVAL, "saved state: two sections of the model");
	if (length > MODEL_STATE_MAX)
		return error_set(r->f, -EINVAL, "saved state: the model's section has %u bytes",
				 length);
	r->has_model = true;
	r->s->model_size = (uint16_t)length;
	memcpy(r->s->model, p, length);
	return 0;
}

/* virtio 1.3, 2.8.1: 15 bits of position and a wrap counter, for available and for used. */
static bool base_fits(const struct device_snapshot *s, const struct snapshot_queue *q)
{
	if (!(s->features >> VIRTIO_F_RING_PACKED & 1))
		return q->base <= UINT16_MAX;
	return (q->base & 0x7fff) < q->size && (q->base >> 16 & 0x7fff) < q->size;
}

static int read_queue(struct reader *r, const uint8_t *p, uint32_t length)
{
	struct snapshot_queue *q;
	uint16_t index;

	if (check_length(r, "queue", length, QUEUE_SIZE))
		return -EINVAL;
	index = load_le16(p);
	if (!r->has_device || index >= r->s->queue_count || r->has_queue[index])
		return error_set(r->f, -EINVAL, "saved state: queue %u %s", index,
				 r->has_device && index < r->s->queue_count
					 ? "is there twice"
					 : "belongs to no device");
	q = &r->s->queues[index];
	q->size = load_le16(p + 2);
	q->base = load_le32(p + 4);
	q->desc = load_le64(p + 8);
	q->driver = load_le64(p + 16);
	q->used = load_le64(p + 24);
	q->ready = load_le32(p + 32) & QUEUE_READY;
	r->has_queue[index] = true;
	if (!ring_size_fits(q->size, r->s->features) || q->size > DEVICE_MAX_QUEUE_SIZE ||
	    !base_fits(r->s, q))
		return error_set(r->f, -EINVAL,
				 "saved state: queue %u has %u entries and stands at %u", index,
				 q->size, q->base);
	return 0;
}

/* No head twice: a request is taken once. */
static bool heads_are_sound(const struct snapshot_queue *q)
{
	bool seen[DEVICE_MAX_QUEUE_SIZE] = {false};

	for (unsigned i = 0; i < q->in_flight_count; i++) {
		uint16_t head = q->in_flight[i];

		if (head >= q->size || seen[head])
			return false;
		seen[head] = true;
	}
	return true;
}

static int read_in_flight(struct reader *r, const uint8_t *p, uint32_t length)
{
	struct snapshot_queue *q;
	uint16_t index, count;

	if (length < 4)
		return error_set(r->f, -EINVAL, "saved state: %u bytes of requests in flight",
				 length);
	index = load_le16(p);
	count = load_le16(p + 2);
	if (index >= DEVICE_MAX_QUEUES || !r->has_queue[index] || !r->s->queues[index].ready ||
	    r->s->features >> VIRTIO_F_RING_PACKED & 1)
		return error_set(r->f, -EINVAL,
				 "saved state: requests in flight of queue %u, which can have none",
				 index);
	q = &r->s->queues[index];
	if (!count || count > q->size || q->in_flight_count)
		return error_set(r->f, -EINVAL,
				 "saved state: %u requests in flight in queue %u of %u", count,
				 index, q->size);
	if (check_length(r, "in-flight", length, 4 + 2u * count))
		return -EINVAL;
	q->in_flight_count = count;
	for (unsigned i = 0; i < count; i++)
		q->in_flight[i] = load_le16(p + 4 + 2 * i);
	if (!heads_are_sound(q))
		return error_set(r->f, -EINVAL,
				 "saved state: queue %u has impossible requests in flight", index);
	return 0;
}

/* Anything goes into a log: only plain characters are kept. */
static int read_name(struct reader *r, const uint8_t *p, uint32_t length)
{
	if (length > DEVICE_NAME_MAX)
		return error_set(r->f, -EINVAL, "saved state: a name of %u bytes", length);
	for (uint32_t i = 0; i < length; i++)
		r->s->name[i] = p[i] > ' ' && p[i] <= '~' ? (char)p[i] : '?';
	r->s->name[length] = '\0';
	return 0;
}

static int read_section(struct reader *r, uint16_t tag, uint16_t flags, const uint8_t *payload,
			uint32_t length)
{
	switch (tag) {
	case TAG_DEVICE:
		return read_device(r, payload, length);
	case TAG_QUEUE:
		return read_queue(r, payload, length);
	case TAG_MODEL:
		return read_model(r, payload, length);
	case TAG_IN_FLIGHT:
		/* version 0 had no such thing */
		if (r->s->version)
			return read_in_flight(r, payload, length);
		break;
	case TAG_NAME:
		return read_name(r, payload, length);
	default:
		break;
	}
	if (flags & FLAG_REQUIRED)
		return error_set(
			r->f, -EINVAL,
			"saved state: it needs section %u, which this version does not know", tag);
	return 0;
}

static int read_header(const uint8_t *bytes, size_t size, uint16_t *version, struct error *f)
{
	uint16_t compatible;

	if (size < HEADER_SIZE + CHECK_SIZE || memcmp(bytes, MAGIC, 8))
		return error_set(f, -EINVAL, "that is not a saved state (see uvdpa-state(5))");
	*version = load_le16(bytes + 8);
	compatible = load_le16(bytes + 10);
	if (compatible > STATE_VERSION)
		return error_set(
			f, -EOPNOTSUPP,
			"the saved state has format %u and needs a uvdpa that knows format %u; "
			"this one knows %u",
			*version, compatible, STATE_VERSION);
	if (compatible > *version || load_le32(bytes + 12) != size)
		return error_set(f, -EINVAL,
				 "the saved state is damaged: %zu bytes, of which it has %u", size,
				 load_le32(bytes + 12));
	if (load_le32(bytes + size - CHECK_SIZE) != crc_of(bytes, size - CHECK_SIZE))
		return error_set(f, -EINVAL,
				 "the saved state is damaged: its check sum does not fit");
	return 0;
}

static int read_sections(struct reader *r, const uint8_t *at, size_t left)
{
	while (left) {
		uint32_t length = left < SECTION_SIZE ? UINT32_MAX : load_le32(at + 4);
		int error;

		if (left < SECTION_SIZE || length > left - SECTION_SIZE)
			return error_set(r->f, -EINVAL,
					 "saved state: a section goes beyond the end");
		error = read_section(r, load_le16(at), load_le16(at + 2), at + SECTION_SIZE,
				     length);
		if (error)
			return error;
		at += SECTION_SIZE + length;
		left -= SECTION_SIZE + length;
	}
	if (!r->has_device)
		return error_set(r->f, -EINVAL, "saved state: there is no device in it");
	for (unsigned i = 0; i < r->s->queue_count; i++)
		if (!r->has_queue[i])
			return error_set(r->f, -EINVAL, "saved state: queue %u is missing", i);
	return 0;
}

int state_decode(const uint8_t *bytes, size_t size, struct device_snapshot *s, struct error *f)
{
	struct reader reader = {.s = s, .f = f};
	int r;

	memset(s, 0, sizeof(*s));
	if (size > STATE_MAX_BYTES)
		return error_set(f, -EFBIG, "a saved state has at most %u bytes, not %zu",
				 STATE_MAX_BYTES, size);
	r = read_header(bytes, size, &s->version, f);
	return r < 0 ? r
		     : read_sections(&reader, bytes + HEADER_SIZE, size - HEADER_SIZE - CHECK_SIZE);
}
