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

#include "ring/fast_path.h"
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
	/*
	 * The driver's half alone is what DPDK's virtio-user sends, as its own back end wants no
	 * more. 0 for the device's would be a device that stands a lap behind; without a record,
	 * which could have what lies between, it is where the driver is.
	 */
	if (!(base >> 16) && !ring->setup.record)
		base |= base << 16;
	ring->used = (base >> 16) & 0x7fff;
	ring->used_wrap = base >> 31;
	ring->flushed = ring->signalled = ring->used;
	ring->resubmit = 0;
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

/*
 * Of a batch that was never shown, all used descriptors but the first may be marked: the driver has
 * not looked at them, and they are not used any more. From the used position on, they get back the
 * flags that the driver gave them.
 */
static int unmark(struct ring *ring, unsigned entries)
{
	uint16_t index = ring->used, flags;
	bool wrap = ring->used_wrap;

	for (; entries; entries--, advance(ring, &index, &wrap, 1)) {
		uint32_t at = index * DESC_SIZE + DESC_FLAGS;

		if (area_load16(ring, &ring->desc, at, &flags) < 0)
			return -EFAULT;
		if ((flags & (AVAIL_BIT | USED_BIT)) != (wrap ? AVAIL_BIT | USED_BIT : 0))
			continue;
		flags = (uint16_t)((flags & ~(AVAIL_BIT | USED_BIT)) |
				   (wrap ? AVAIL_BIT : USED_BIT));
		if (area_store16(ring, &ring->desc, at, flags) < 0)
			return -EFAULT;
	}
	return 0;
}

/*
 * Was there a process before us? Then the record says where the ring is, whatever base we were
 * given, and the driver may not have been told of what he was shown last (as in split.c). Else
 * nothing of the ring is in flight.
 */
static enum ring_pop_result recover(struct ring *ring)
{
	struct inflight_packed *record = ring_packed_record(ring);
	uint16_t num = ring->setup.num, index, flags;
	struct inflight_packed_place place;
	bool wrap, shown = false;
	int left;

	if (!inflight_packed_touched(record, num)) {
		inflight_packed_begin(record, num, ring->used, ring->used_wrap);
		ring->last_avail = ring->used;
		ring->avail_wrap = ring->used_wrap;
		return RING_CHAIN;
	}
	if (inflight_packed_torn(record, &index, &wrap) && index < num) {
		if (area_load16(ring, &ring->desc, index * DESC_SIZE + DESC_FLAGS, &flags) < 0)
			return RING_UNMAPPED;
		shown = (flags & (AVAIL_BIT | USED_BIT)) != (wrap ? AVAIL_BIT : USED_BIT);
	}
	left = inflight_packed_recover(record, num, shown, &place);
	if (left < 0)
		return ring_break(ring, "the record of requests in flight is none of this ring");
	ring->signal_pending = true;
	ring->counter = place.counter;
	ring->last_avail = ring->used = ring->flushed = ring->signalled = place.used;
	ring->avail_wrap = ring->used_wrap = place.wrap;
	if (unmark(ring, place.entries) < 0)
		return RING_UNMAPPED;
	ring->resubmit = (unsigned)left;
	ring->resubmit_list = NULL;
	advance(ring, &ring->last_avail, &ring->avail_wrap, place.entries);
	return RING_CHAIN;
}

/*
 * Whether a mapped descriptor was ever written. The driver may be writing it just now, as a part of
 * making it available: then either answer will do, since a call is due for it later anyway. Thread
 * sanitizers would call that a race.
 */
__attribute__((noinline, no_sanitize("thread"))) static bool is_written(const uint8_t *at)
{
	const volatile uint64_t *words = (const volatile uint64_t *)(const void *)at;

	return words[0] || words[1];
}

/*
 * As in split.c: a driver whose ring does not begin at its beginning is called once. After two laps
 * the position is the first one again, but then the last descriptor was written.
 */
static int call_if_used(struct ring *ring)
{
	const unsigned end = ring->setup.num - 1u;
	struct ring_raw last = {0, 0};
	bool used = ring->used || !ring->used_wrap;

	if (ring->desc.host)
		used = used || is_written(ring->desc.host + (size_t)end * sizeof(last));
	else if (area_load_raw(ring, &ring->desc, end, &last) < 0)
		return -EFAULT;
	ring->signal_pending |= used || last.addr || last.rest;
	return 0;
}

enum ring_pop_result packed_place(struct ring *ring)
{
	enum ring_pop_result r = RING_CHAIN;

	if (ring->setup.record)
		r = recover(ring);
	if (r == RING_CHAIN && call_if_used(ring) < 0)
		return RING_UNMAPPED;
	return r;
}

/* Loads the flags of the next descriptor. Returns RING_CHAIN if it is available. */
enum ring_pop_result packed_look(struct ring *ring)
{
	uint32_t at;
	uint16_t flags;

	if (ring->resubmit)
		return RING_CHAIN;
	if (ring_prefetch_at(ring, ring->last_avail, ring->avail_wrap))
		return RING_CHAIN;
	if (!ring->desc.host && ring->setup.prefetch)
		return ring_prefetch_fetch_packed(ring);
	at = ring->last_avail * DESC_SIZE + DESC_FLAGS;
	if (area_load16(ring, &ring->desc, at, &flags) < 0)
		return RING_UNMAPPED;
	return packed_is_available(flags, ring->avail_wrap) ? RING_CHAIN : RING_EMPTY;
}

static inline struct desc desc_of(struct ring_raw raw)
{
	return (struct desc){.addr = raw.addr,
			     .len = (uint32_t)raw.rest,
			     .id = (uint16_t)(raw.rest >> 32),
			     .flags = (uint16_t)(raw.rest >> 48)};
}

static int load_desc(const struct ring *ring, const struct ring_area *table, uint32_t index,
		     struct desc *desc)
{
	struct ring_raw raw;
	int r = area_load_raw(ring, table, index, &raw);

	*desc = desc_of(raw);
	return r;
}

/* A descriptor of the ring itself, which may have been prefetched. */
static int load_next(const struct ring *ring, uint16_t index, bool wrap, struct desc *desc)
{
	const struct ring_prefetch_chain *prefetch = ring_prefetch_at(ring, index, wrap);

	if (!prefetch)
		return load_desc(ring, &ring->desc, index, desc);
	*desc = desc_of(prefetch->near[0]);
	return 0;
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

/* Adds what a descriptor names, be it a table. */
static enum ring_pop_result add_any(struct ring *ring, struct chain *chain, unsigned *segments,
				    const struct desc *desc)
{
	if (!(desc->flags & VRING_DESC_F_INDIRECT))
		return add(ring, chain, segments, desc);
	if (chain->entries > 1 || desc->flags & VRING_DESC_F_NEXT)
		return ring_break(ring, "chain at %u: indirect within a chain", ring->last_avail);
	return take_indirect(ring, chain, desc);
}

/* Puts a descriptor of a chain that is being taken into the record. */
static enum ring_pop_result put(struct ring *ring, struct chain *chain, const struct desc *desc)
{
	const struct inflight_packed_desc copy = {
		.addr = desc->addr, .len = desc->len, .id = desc->id, .flags = desc->flags};
	bool first = chain->entries == 1, last = !(desc->flags & VRING_DESC_F_NEXT);
	int entry;

	if (first)
		ring->counter++;
	entry = inflight_packed_put(ring_packed_record(ring), ring->setup.num, &copy, first, last,
				    ring->counter);
	if (entry < 0)
		return ring_break(ring, "somebody wrote into the record of requests in flight");
	chain->entry = (uint16_t)entry;
	return RING_CHAIN;
}

/* A chain that is to be taken again, from its copy in the record. */
static enum ring_pop_result take_again(struct ring *ring, struct chain *chain)
{
	const struct inflight_packed *record = ring_packed_record(ring);
	struct inflight_cursor before = ring->cursor;
	uint16_t num = ring->setup.num, at;
	unsigned segments = 0;
	struct desc desc;
	int entry;

	entry = ring->resubmit_list
			? ring->setup.resubmit_list[ring->setup.resubmit_count - ring->resubmit]
			: inflight_packed_next(record, num, &ring->cursor);
	ring->resubmit--;
	if (entry < 0)
		return RING_EMPTY; /* somebody else changed the record meanwhile */
	chain->resubmitted = true;
	chain->at_counter = before.counter;
	chain->at_head = before.head;
	chain->head = chain->entry = at = (uint16_t)entry;
	for (uint16_t left = inflight_packed_get(record, at).num; left; left--) {
		struct inflight_packed_desc copy;

		if (at >= num || chain->entries >= num)
			return ring_break(ring, "the record of requests in flight leads nowhere");
		copy = inflight_packed_get(record, at);
		desc = (struct desc){copy.addr, copy.len, copy.id, copy.flags};
		at = copy.next;
		chain->entries++;
		if (add_any(ring, chain, &segments, &desc) != RING_CHAIN)
			return RING_BROKEN;
		chain->head = desc.id;
	}
	return chain->entries ? RING_CHAIN : RING_EMPTY;
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
		if (load_next(ring, index, wrap, &desc) < 0)
			return ring_break(ring, "descriptor %u cannot be read", index);
		advance(ring, &index, &wrap, 1);
		chain->entries++;
		if (add_any(ring, chain, &segments, &desc) != RING_CHAIN)
			return RING_BROKEN;
		if (ring->setup.record && put(ring, chain, &desc) != RING_CHAIN)
			return RING_BROKEN;
	} while (desc.flags & VRING_DESC_F_NEXT);
	chain->head = desc.id;
	ring_prefetch_give(ring, chain);
	ring->last_avail = index;
	ring->avail_wrap = wrap;
	return RING_CHAIN;
}

static inline bool fast_add_desc(const struct ring *ring, struct fast *s, const struct desc *desc)
{
	return fast_add(ring, s, desc->addr, desc->len, desc->flags & VRING_DESC_F_WRITE);
}

/* All entries of a table, as take_indirect. */
static inline bool add_table_fast(const struct ring *ring, struct fast *s, const struct desc *desc)
{
	uint32_t entries = desc->len / DESC_SIZE;
	const uint8_t *table;

	if (!ring->indirect || desc->flags & VRING_DESC_F_NEXT || !entries || desc->len % DESC_SIZE)
		return false;
	table = space_cached(&ring->cache, desc->addr, desc->len, SPACE_READ);
	if (!table)
		return false;
	for (uint32_t i = 0; i < entries; i++) {
		struct desc entry = desc_of(load_raw(table, i));

		if (!fast_add_desc(ring, s, &entry))
			return false;
	}
	return true;
}

/* Puts the next chain together, if it is one of the usual ones: see fast_path.h. */
static bool follow_fast(struct ring *ring, struct chain *chain)
{
	struct fast s = fast_begin(ring, chain, ring->setup.num);
	uint16_t index = ring->last_avail, entries = 0;
	bool wrap = ring->avail_wrap;
	struct desc desc;

	do {
		bool table;

		desc = desc_of(load_raw(ring->desc.host, index));
		table = desc.flags & VRING_DESC_F_INDIRECT;
		if (table && (entries || !add_table_fast(ring, &s, &desc)))
			return false;
		if (!table && !fast_add_desc(ring, &s, &desc))
			return false;
		entries++;
		advance(ring, &index, &wrap, 1);
	} while (desc.flags & VRING_DESC_F_NEXT);
	chain->head = desc.id;
	if (!fast_end(ring, &s, chain))
		return false;
	chain->entries = entries;
	ring->last_avail = index;
	ring->avail_wrap = wrap;
	return true;
}

enum ring_pop_result packed_pop(struct ring *ring, struct chain *chain)
{
	enum ring_pop_result r = packed_look(ring);

	if (r != RING_CHAIN)
		return r;
	if (ring->fast && !ring->setup.record && follow_fast(ring, chain))
		return r;
	/* a record has one end for both: see inflight.h */
	if (ring->setup.record && ring->batch_entries) {
		ring->tail_full = false;
		ring->signal_pending |= packed_flush_used(ring);
	}
	if (ring->broken)
		return RING_BROKEN;
	ring_begin_chain(ring, chain);
	return ring->resubmit ? take_again(ring, chain) : follow(ring, chain);
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
	ring->tail_full = ring->setup.reorder && used->full;
}

/*
 * Length and id of a used descriptor, and its flags if they may be seen: the driver comes to them
 * only after the batch's first. Where that takes a system call they go in one.
 */
static int write_used(struct ring *ring, uint32_t at, const struct ring_used *used,
		      const uint16_t *flags)
{
	uint8_t raw[8];
	int r;

	store_le32(raw, used->written);
	store_le16(raw + 4, used->head);
	if (flags && !ring->desc.host) {
		store_le16(raw + 6, *flags);
		return area_write(ring, &ring->desc, at + 8, raw, 8);
	}
	r = area_write(ring, &ring->desc, at + 8, raw, 6);
	if (r == 0 && flags)
		r = area_store16(ring, &ring->desc, at + DESC_FLAGS, *flags);
	return r;
}

void packed_complete(struct ring *ring, const struct ring_used *used)
{
	bool first = !ring->batch_entries;
	uint16_t flags;
	uint32_t at;
	int r;

	place_used(ring, used);
	at = ring->tail * DESC_SIZE;
	flags = ring->tail_flags | (used->writable ? VRING_DESC_F_WRITE : 0);
	if (first)
		ring->batch_slot = ring->tail;
	if (ring->tail == ring->batch_slot) { /* these flags are stored by publish */
		ring->batch_flags = flags;
		ring->batch_id = used->head;
		r = write_used(ring, at, used, NULL);
	} else {
		r = write_used(ring, at, used, &flags);
	}
	if (r < 0) {
		ring_break(ring, "used descriptor %u cannot be written", ring->used);
		return;
	}
	if (ring->setup.record)
		inflight_packed_complete(ring_packed_record(ring), ring->setup.num, used->entry);
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

bool packed_flush_used(struct ring *ring)
{
	uint16_t entries = ring->batch_entries;
	uint32_t at = ring->batch_slot * DESC_SIZE + DESC_FLAGS;

	ring->batch_entries = 0;
	ring->flushed = ring->used;
	if (ring->setup.record)
		inflight_packed_move_used(ring_packed_record(ring), ring->used, ring->used_wrap);
	if (area_store_upper(ring, &ring->desc, at, ring->batch_id, ring->batch_flags) < 0) {
		ring_break(ring, "used descriptor %u cannot be written", ring->batch_slot);
		return false;
	}
	if (ring->setup.record)
		inflight_packed_flushed(ring_packed_record(ring), ring->setup.num);
	atomic_thread_fence(memory_order_seq_cst);
	return wants_call(ring, entries);
}

bool packed_enable_notify(struct ring *ring)
{
	uint16_t word = ring->last_avail | (ring->avail_wrap ? WRAP_BIT : 0);
	uint16_t flags =
		ring->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE;
	int r = 0;

	if (ring->event_idx)
		r = area_store16(ring, &ring->device, OFF_WRAP, word);
	if (r == 0 && !ring->notify_enabled)
		r = area_store16(ring, &ring->device, EVENT_FLAGS, flags);
	if (r < 0)
		return false;
	ring->notify_enabled = true;
	atomic_thread_fence(memory_order_seq_cst);
	return packed_look(ring) == RING_CHAIN;
}

void packed_disable_notify(struct ring *ring)
{
	ring->notify_enabled = false;
	area_store16(ring, &ring->device, EVENT_FLAGS, VRING_PACKED_EVENT_FLAG_DISABLE);
}
