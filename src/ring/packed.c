/*
 * The packed virtqueue (virtio 1.3, 2.8), device side.
 *
 *   descriptor ring   num x { addr, len, id, flags }   both sides write
 *   driver area       off_wrap, flags                  when the driver wants calls
 *   device area       off_wrap, flags                  when we want kicks
 *
 * Each side walks the one ring with an index and a wrap counter. A descriptor
 * is available when its AVAIL bit equals our avail wrap counter and its USED
 * bit does not; we mark one used by setting both bits to our used wrap counter.
 *
 * A chain is a run of descriptors; its id stands in the last one. One used
 * descriptor answers the whole chain, and the used index skips as many
 * descriptors as the chain had. The flags of a batch's first used descriptor
 * are stored last, by publish: the driver reads in ring order, so that this one
 * store reveals the batch.
 *
 * The base carries both positions (linux: vhost_vring_ioctl): bits 0..14 the
 * available index, 15 its wrap counter, 16..30 and 31 the same for used. With
 * nothing in flight the two are equal.
 */
#include "ring/ring_internal.h"

#include <errno.h>

#include "wire/vhost.h"

#define DESC_SIZE   16u
#define DESC_FLAGS  14u
#define EVENT_SIZE  4u
#define OFF_WRAP    0u
#define EVENT_FLAGS 2u

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP_BIT  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t id, flags;
};

int packed_start(struct ring *ring)
{
	uint32_t base = ring->setup.base;
	uint32_t size = ring->setup.num * DESC_SIZE;

	ring->last_avail = base & 0x7fff;
	ring->avail_wrap = base & 0x8000;
	ring->used = (base >> 16) & 0x7fff;
	ring->used_wrap = base >> 31;
	ring->published = ring->signalled = ring->used;
	if (ring->last_avail >= ring->setup.num || ring->used >= ring->setup.num)
		return -EINVAL;
	ring->desc = (struct ring_area){.iova = ring->setup.desc, .size = size};
	ring->driver = (struct ring_area){.iova = ring->setup.driver, .size = EVENT_SIZE};
	ring->device = (struct ring_area){.iova = ring->setup.device, .size = EVENT_SIZE};
	return 0;
}

uint32_t packed_base(const struct ring *ring)
{
	uint32_t avail = ring->last_avail | (ring->avail_wrap ? 0x8000u : 0);
	uint32_t used = ring->used | (ring->used_wrap ? 0x8000u : 0);

	return avail | used << 16;
}

/* Moves a position by `entries`, which is at most the ring's size. */
static void advance(const struct ring *ring, uint16_t *index, bool *wrap, uint16_t entries)
{
	uint32_t next = (uint32_t)*index + entries;

	if (next >= ring->setup.num) {
		next -= ring->setup.num;
		*wrap = !*wrap;
	}
	*index = (uint16_t)next;
}

/* Loads the flags of the next descriptor. Returns RING_CHAIN if it is available. */
enum ring_pop_result packed_look(struct ring *ring)
{
	uint32_t at = ring->last_avail * DESC_SIZE + DESC_FLAGS;
	bool wrap = ring->avail_wrap;
	uint16_t flags;

	if (area_load16(ring, &ring->desc, at, &flags) < 0)
		return RING_UNMAPPED;
	if (!(flags & AVAIL_BIT) == wrap || !(flags & USED_BIT) != wrap)
		return RING_EMPTY;
	return RING_CHAIN;
}

static int load_desc(const struct ring *ring, const struct ring_area *table, uint32_t index,
		     struct desc *desc)
{
	struct ring_raw raw;
	int r = area_load_raw(ring, table, index, &raw);

	*desc = (struct desc){.addr = raw.addr,
			      .len = (uint32_t)raw.rest,
			      .id = (uint16_t)(raw.rest >> 32),
			      .flags = (uint16_t)(raw.rest >> 48)};
	return r;
}

static enum ring_pop_result add(struct ring *ring, struct chain *chain, unsigned *segments,
				const struct desc *desc)
{
	return ring_add(
		ring, chain, segments,
		(struct ring_buffer){desc->addr, desc->len, desc->flags & VRING_DESC_F_WRITE});
}

/* All entries of an indirect table are the chain, in order (virtio 1.3, 2.8.19). */
static enum ring_pop_result take_indirect(struct ring *ring, struct chain *chain,
					  const struct desc *desc)
{
	unsigned segments = 0;
	struct ring_area table;

	if (!ring->indirect)
		return ring_break(ring, "chain %u: indirect table without VIRTIO_F_INDIRECT_DESC",
				  chain->head);
	if (!desc->len || desc->len % DESC_SIZE || desc->len / DESC_SIZE > CHAIN_MAX_SEGMENTS)
		return ring_break(ring, "chain %u: malformed indirect descriptor (%u bytes)",
				  chain->head, desc->len);
	if (ring_find_table(ring, chain, desc->addr, desc->len, &table) != RING_CHAIN)
		return RING_BROKEN;
	for (uint32_t i = 0; i < desc->len / DESC_SIZE; i++) {
		struct desc entry;

		if (load_desc(ring, &table, i, &entry) < 0)
			return ring_break(ring, "chain %u: its indirect table cannot be read",
					  chain->head);
		if (add(ring, chain, &segments, &entry) != RING_CHAIN)
			return RING_BROKEN;
	}
	return RING_CHAIN;
}

/* Follows the run of descriptors from the current position. Returns RING_CHAIN or RING_BROKEN. */
static enum ring_pop_result follow(struct ring *ring, struct chain *chain)
{
	uint16_t index = ring->last_avail;
	bool wrap = ring->avail_wrap;
	unsigned segments = 0;
	struct desc desc;

	chain->head = index; /* for messages, until the id is known */
	do {
		if (chain->entries >= ring->setup.num)
			return ring_break(ring, "chain at %u: longer than the ring",
					  ring->last_avail);
		if (load_desc(ring, &ring->desc, index, &desc) < 0)
			return ring_break(ring, "descriptor %u cannot be read", index);
		advance(ring, &index, &wrap, 1);
		chain->entries++;
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (chain->entries > 1 || desc.flags & VRING_DESC_F_NEXT)
				return ring_break(ring, "chain at %u: indirect within a chain",
						  ring->last_avail);
			if (take_indirect(ring, chain, &desc) != RING_CHAIN)
				return RING_BROKEN;
		} else if (add(ring, chain, &segments, &desc) != RING_CHAIN) {
			return RING_BROKEN;
		}
	} while (desc.flags & VRING_DESC_F_NEXT);
	chain->head = desc.id;
	ring->last_avail = index;
	ring->avail_wrap = wrap;
	return RING_CHAIN;
}

enum ring_pop_result packed_pop(struct ring *ring, struct chain *chain)
{
	enum ring_pop_result r = packed_look(ring);

	if (r != RING_CHAIN)
		return r;
	ring_begin_chain(ring, chain);
	return follow(ring, chain);
}

/*
 * Where a chain's used descriptor goes. In order, one can stand for a batch (2.8.14): it lies where
 * the first chain's would, has the last one's id, and all before that were written to the full.
 */
static void place_used(struct ring *ring, const struct ring_used *used)
{
	if (!ring->tail_full) {
		ring->tail = ring->used;
		ring->tail_flags = ring->used_wrap ? AVAIL_BIT | USED_BIT : 0;
	}
	ring->tail_full = ring->setup.turns && used->full;
}

void packed_complete(struct ring *ring, const struct ring_used *used)
{
	bool first = !ring->batch_entries;
	uint16_t flags;
	uint8_t raw[6];
	uint32_t at;
	int r;

	place_used(ring, used);
	at = ring->tail * DESC_SIZE;
	flags = ring->tail_flags | (used->writable ? VRING_DESC_F_WRITE : 0);
	if (first)
		ring->batch_slot = ring->tail;
	store_le32(raw, used->written);
	store_le16(raw + 4, used->head);
	r = area_write(ring, &ring->desc, at + 8, raw, sizeof(raw));
	if (ring->tail == ring->batch_slot)
		ring->batch_flags = flags; /* stored by publish */
	else if (r == 0)
		r = area_store16(ring, &ring->desc, at + DESC_FLAGS, flags);
	if (r < 0) {
		ring_break(ring, "used descriptor %u cannot be written", ring->used);
		return;
	}
	ring->batch_entries += used->entries;
	advance(ring, &ring->used, &ring->used_wrap, used->entries);
}

/* Whether the driver wants to hear of the batch just published (virtio 1.3, 2.8.10, 2.8.14). */
static bool wants_call(const struct ring *ring, uint16_t entries)
{
	uint16_t flags, word, event;

	if (area_load16(ring, &ring->driver, EVENT_FLAGS, &flags) < 0)
		return true;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !ring->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	if (area_load16(ring, &ring->driver, OFF_WRAP, &word) < 0)
		return true;
	event = word & (uint16_t)~WRAP_BIT;
	if (!(word & WRAP_BIT) == ring->used_wrap)
		event = (uint16_t)(event - ring->setup.num); /* of the lap before */
	return (uint16_t)(ring->used - event - 1) < entries;
}

bool packed_publish(struct ring *ring)
{
	uint16_t entries = ring->batch_entries;
	uint32_t at = ring->batch_slot * DESC_SIZE + DESC_FLAGS;

	ring->batch_entries = 0;
	ring->published = ring->used;
	if (area_store16(ring, &ring->desc, at, ring->batch_flags) < 0) {
		ring_break(ring, "used descriptor %u cannot be written", ring->batch_slot);
		return false;
	}
	atomic_thread_fence(memory_order_seq_cst);
	return wants_call(ring, entries);
}

bool packed_arm(struct ring *ring)
{
	uint16_t word = ring->last_avail | (ring->avail_wrap ? WRAP_BIT : 0);
	uint16_t flags =
		ring->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
	int r = 0;

	if (ring->event_idx)
		r = area_store16(ring, &ring->device, OFF_WRAP, word);
	if (r == 0 && !ring->armed)
		r = area_store16(ring, &ring->device, EVENT_FLAGS, flags);
	if (r < 0)
		return false;
	ring->armed = true;
	atomic_thread_fence(memory_order_seq_cst);
	return packed_look(ring) == RING_CHAIN;
}

void packed_disarm(struct ring *ring)
{
	ring->armed = false;
	area_store16(ring, &ring->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
}
