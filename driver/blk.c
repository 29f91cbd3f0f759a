/*
 * Block requests: header, data, status (virtio 5.2.6).
 *
 * Each request in flight has a slot of 64 bytes in the arena, so that no two share a cache line:
 *
 *	0   struct virtio_blk_outhdr   (readable)
 *	16  the range of a DISCARD, WRITE_ZEROES, SECURE_ERASE   (readable)
 *	32  status   (writable), set to a value no device answers before each use
 *
 * What tells requests apart, and the caller's cookie, lie outside the arena.
 */
#include "uvdpa/driver_blk.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "driver/connection.h"
#include "driver/error.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#ifndef VIRTIO_BLK_T_SECURE_ERASE
#define VIRTIO_BLK_T_SECURE_ERASE 14
#endif

#define MAX_DATA  126
#define SLOT_SIZE 64

struct slot {
	struct virtio_blk_outhdr header;
	struct virtio_blk_discard_write_zeroes range;
	unsigned char status;
	unsigned char padding[31];
};

_Static_assert(sizeof(struct slot) == SLOT_SIZE, "a slot is one cache line");

struct uvdpa_blk {
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct slot *slots; /* in the arena */
	uint64_t slots_iova;
	uint64_t *cookies; /* by slot */
	unsigned *free;	   /* a stack of slot numbers */
	unsigned depth;
	unsigned free_count;
};

/* Config ----------------------------------------------------------------------------------- */

/* One field: where it is in config space, which feature makes it real (-1: always), where it goes.
 */
struct field {
	int feature;
	unsigned offset, size;
	size_t to;
};

#define FIELD(feature, member, field_)                                   \
	{                                                                \
		feature, offsetof(struct virtio_blk_config, member),     \
			sizeof(((struct virtio_blk_config *)0)->member), \
			offsetof(struct uvdpa_blk_config, field_)        \
	}

static const struct field fields[] = {
	FIELD(VIRTIO_BLK_F_SIZE_MAX, size_max, size_max),
	FIELD(VIRTIO_BLK_F_SEG_MAX, seg_max, seg_max),
	FIELD(VIRTIO_BLK_F_BLK_SIZE, blk_size, blk_size),
	FIELD(VIRTIO_BLK_F_TOPOLOGY, physical_block_exp, physical_block_exp),
	FIELD(VIRTIO_BLK_F_TOPOLOGY, alignment_offset, alignment_offset),
	FIELD(VIRTIO_BLK_F_TOPOLOGY, min_io_size, min_io_size),
	FIELD(VIRTIO_BLK_F_TOPOLOGY, opt_io_size, opt_io_size),
	FIELD(VIRTIO_BLK_F_CONFIG_WCE, wce, writeback),
	FIELD(VIRTIO_BLK_F_MQ, num_queues, num_queues),
	FIELD(VIRTIO_BLK_F_DISCARD, max_discard_sectors, max_discard_sectors),
	FIELD(VIRTIO_BLK_F_DISCARD, max_discard_seg, max_discard_seg),
	FIELD(VIRTIO_BLK_F_DISCARD, discard_sector_alignment, discard_alignment),
	FIELD(VIRTIO_BLK_F_WRITE_ZEROES, max_write_zeroes_sectors, max_write_zeroes_sectors),
	FIELD(VIRTIO_BLK_F_WRITE_ZEROES, max_write_zeroes_seg, max_write_zeroes_seg),
	FIELD(VIRTIO_BLK_F_WRITE_ZEROES, write_zeroes_may_unmap, write_zeroes_may_unmap),
};

static uint32_t load(const unsigned char *bytes, unsigned size)
{
	switch (size) {
	case 1:
		return bytes[0];
	case 2:
		return load_le16(bytes);
	default:
		return load_le32(bytes);
	}
}

static void set_defaults(uint64_t features, struct uvdpa_blk_config *config)
{
	memset(config, 0, sizeof(*config));
	config->seg_max = 1;
	config->blk_size = 512;
	config->num_queues = 1;
	config->writeback = features >> VIRTIO_BLK_F_FLUSH & 1;
	config->read_only = features >> VIRTIO_BLK_F_RO & 1;
}

static int read_space(struct uvdpa_driver *drv, unsigned char *space, uint32_t *size,
		      struct uvdpa_error *error)
{
	int r;

	if (drv->device_id != VIRTIO_ID_BLOCK)
		return drv_error(error, -ENODEV, "%s: not a block device: its id is %u", drv->name,
				 drv->device_id);
	r = uvdpa_get_config_size(drv, size);
	if (r < 0)
		return drv_error(error, r, "%s: GET_CONFIG_SIZE: %s", drv->name,
				 drv_reason(drv, r));
	if (*size > sizeof(struct virtio_blk_config))
		*size = sizeof(struct virtio_blk_config);
	if (*size < 8)
		return drv_error(error, -EPROTO, "%s: a config space of %u bytes holds no capacity",
				 drv->name, *size);
	r = uvdpa_get_config(drv, 0, space, *size);
	if (r < 0)
		return drv_error(error, r, "%s: GET_CONFIG: %s", drv->name, drv_reason(drv, r));
	return 0;
}

int uvdpa_blk_read_config(struct uvdpa_driver *drv, struct uvdpa_blk_config *config,
			  struct uvdpa_error *error)
{
	unsigned char space[sizeof(struct virtio_blk_config)];
	uint32_t size = 0;
	int r = read_space(drv, space, &size, error);

	if (r < 0)
		return r;
	set_defaults(drv->features, config);
	config->capacity = load_le64(space);
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		const struct field *f = &fields[i];

		if (!(drv->features >> f->feature & 1))
			continue;
		if (f->offset + f->size > size)
			return drv_error(error, -EPROTO,
					 "%s: a config space of %u bytes ends before what feature "
					 "bit %d promises at %u",
					 drv->name, size, f->feature, f->offset);
		*(uint32_t *)((char *)config + f->to) = load(space + f->offset, f->size);
	}
	return 0;
}

/* Requests --------------------------------------------------------------------------------- */

int uvdpa_blk_new(struct uvdpa_memory *memory, struct uvdpa_queue *queue, unsigned depth,
		  struct uvdpa_blk **out, struct uvdpa_error *error)
{
	struct uvdpa_blk *blk;

	if (depth == 0 || depth > 65536)
		return drv_error(error, -EINVAL, "blk: a depth of %u cannot be had", depth);
	blk = calloc(1, sizeof(*blk));
	if (!blk)
		return drv_error(error, -ENOMEM, "blk: no memory");
	blk->cookies = calloc(depth, sizeof(*blk->cookies));
	blk->free = calloc(depth, sizeof(*blk->free));
	blk->slots = uvdpa_memory_alloc(memory, (size_t)depth * SLOT_SIZE, SLOT_SIZE);
	if (!blk->cookies || !blk->free || !blk->slots) {
		int r = blk->slots ? -ENOMEM : -ENOSPC;

		uvdpa_blk_free(blk);
		return drv_error(error, r, "blk: no room for %u requests%s", depth,
				 r == -ENOSPC ? ": make the arena larger" : "");
	}
	blk->memory = memory;
	blk->slots_iova = uvdpa_memory_iova(memory, blk->slots);
	blk->queue = queue;
	blk->depth = blk->free_count = depth;
	for (unsigned i = 0; i < depth; i++)
		blk->free[i] = depth - 1 - i;
	*out = blk;
	return 0;
}

void uvdpa_blk_free(struct uvdpa_blk *blk)
{
	if (!blk)
		return;
	free(blk->cookies);
	free(blk->free);
	free(blk);
}

/* Puts the request into the ring; takes the slot only if that succeeds. `range`: send the slot's
 * too. */
static inline int send(struct uvdpa_blk *blk, const struct uvdpa_blk_request *r, const void *range)
{
	struct uvdpa_segment chain[MAX_DATA + 3];
	unsigned n = 0, number;
	struct slot *slot;
	uint64_t iova;
	int head;

	if (r->count > MAX_DATA)
		return -E2BIG;
	if (blk->free_count == 0)
		return -ENOSPC;
	number = blk->free[blk->free_count - 1];
	slot = &blk->slots[number];
	iova = blk->slots_iova + (uint64_t)number * SLOT_SIZE;
	slot->header.type = r->type;
	slot->header.ioprio = 0;
	slot->header.sector = r->sector;
	slot->status = UVDPA_BLK_S_UNWRITTEN;
	chain[n++] = (struct uvdpa_segment){iova + offsetof(struct slot, header),
					    sizeof(slot->header), 0};
	if (range) {
		memcpy(&slot->range, range, sizeof(slot->range));
		chain[n++] = (struct uvdpa_segment){iova + offsetof(struct slot, range),
						    sizeof(slot->range), 0};
	}
	for (unsigned i = 0; i < r->count; i++) {
		chain[n] = r->data[i];
		if (r->type == VIRTIO_BLK_T_OUT)
			chain[n].writable = 0;
		else if (r->type == VIRTIO_BLK_T_IN || r->type == VIRTIO_BLK_T_GET_ID)
			chain[n].writable = 1;
		n++;
	}
	chain[n++] = (struct uvdpa_segment){iova + offsetof(struct slot, status), 1, 1};
	head = uvdpa_queue_add(blk->queue, chain, n, r->chain_flags, number);
	if (head < 0)
		return head;
	blk->free_count--;
	blk->cookies[number] = r->cookie;
	return 0;
}

int uvdpa_blk_request(struct uvdpa_blk *blk, const struct uvdpa_blk_request *request)
{
	return send(blk, request, NULL);
}

int uvdpa_blk_submit(struct uvdpa_blk *blk, const struct uvdpa_blk_request *requests,
		     unsigned count)
{
	int r = 0, kicked;
	unsigned n = 0;

	while (n < count && (r = send(blk, &requests[n], NULL)) >= 0)
		n++;
	kicked = uvdpa_queue_submit(blk->queue);
	if (kicked < 0)
		return kicked;
	return n || !count ? (int)n : r;
}

/* A request whose data is one piece of the arena. */
static int send_piece(struct uvdpa_blk *blk, uint32_t type, uint64_t sector, const void *buf,
		      uint32_t len, uint64_t cookie)
{
	uint64_t iova = uvdpa_memory_iova(blk->memory, buf);
	const struct uvdpa_segment piece = {.iova = iova, .len = len};
	const struct uvdpa_blk_request request = {
		.type = type, .sector = sector, .data = &piece, .count = 1, .cookie = cookie};

	if (!uvdpa_memory_ptr(blk->memory, iova, len))
		return -EFAULT;
	return send(blk, &request, NULL);
}

int uvdpa_blk_read(struct uvdpa_blk *blk, uint64_t sector, void *buf, uint32_t len, uint64_t cookie)
{
	return send_piece(blk, VIRTIO_BLK_T_IN, sector, buf, len, cookie);
}

int uvdpa_blk_write(struct uvdpa_blk *blk, uint64_t sector, const void *buf, uint32_t len,
		    uint64_t cookie)
{
	return send_piece(blk, VIRTIO_BLK_T_OUT, sector, buf, len, cookie);
}

int uvdpa_blk_get_id(struct uvdpa_blk *blk, void *buf, uint64_t cookie)
{
	return send_piece(blk, VIRTIO_BLK_T_GET_ID, 0, buf, VIRTIO_BLK_ID_BYTES, cookie);
}

int uvdpa_blk_flush(struct uvdpa_blk *blk, uint64_t cookie)
{
	const struct uvdpa_blk_request request = {.type = VIRTIO_BLK_T_FLUSH, .cookie = cookie};

	return send(blk, &request, NULL);
}

int uvdpa_blk_range(struct uvdpa_blk *blk, uint32_t type, uint64_t sector, uint32_t sectors,
		    uint32_t flags, uint64_t cookie)
{
	const struct uvdpa_blk_request request = {.type = type, .cookie = cookie};
	const struct virtio_blk_discard_write_zeroes range = {
		.sector = sector, .num_sectors = sectors, .flags = flags};

	return send(blk, &request, &range);
}

int uvdpa_blk_poll(struct uvdpa_blk *blk, struct uvdpa_blk_completion *completions, unsigned max)
{
	struct uvdpa_completion batch[32];
	unsigned n = 0;

	while (n < max) {
		unsigned room = max - n < 32 ? max - n : 32;
		int got = uvdpa_queue_poll(blk->queue, batch, room);

		if (got < 0 && n == 0)
			return got;
		for (int i = 0; i < got; i++) {
			unsigned number = (unsigned)batch[i].cookie;

			completions[n].cookie = blk->cookies[number];
			completions[n].written = batch[i].written;
			completions[n].status =
				__atomic_load_n(&blk->slots[number].status, __ATOMIC_RELAXED);
			blk->free[blk->free_count++] = number;
			n++;
		}
		if (got < (int)room)
			break;
	}
	return (int)n;
}

unsigned uvdpa_blk_in_flight(const struct uvdpa_blk *blk)
{
	return blk->depth - blk->free_count;
}

int uvdpa_blk_finish(struct uvdpa_blk *blk, uint64_t cookie, int timeout)
{
	struct uvdpa_blk_completion done;
	int r;

	if (uvdpa_blk_in_flight(blk) != 1)
		return -EBUSY;
	r = uvdpa_queue_submit(blk->queue);
	if (r < 0)
		return r;
	r = uvdpa_queue_wait(blk->queue, timeout);
	if (r <= 0)
		return r == 0 ? -ETIMEDOUT : r;
	r = uvdpa_blk_poll(blk, &done, 1);
	if (r < 0)
		return r;
	return r == 1 && done.cookie == cookie ? done.status : -EBUSY;
}
