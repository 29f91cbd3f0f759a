/*
 * The split virtqueue (virtio 1.3, 2.7), device side.
 *
 *   descriptor area   num x { addr, len, flags, next }       driver writes
 *   driver area       flags, idx, ring[num], used_event      driver writes
 *   device area       flags, idx, ring[num] x {id, len}, avail_event   we write
 *
 * Everything the driver wrote is read once, into locals, before it is judged:
 * what is checked is what is used. Nothing in here is ever written by us but
 * the device area.
 *
 * Order. The available index is loaded before entries and descriptors
 * (acquire); used entries are stored before the used index (release). Two
 * places need a full fence, because each side stores its own word and then
 * loads the other's: arming (avail_event or flags, then the available index)
 * and publishing (used index, then used_event or flags).
 */
#include "ring/ring_internal.h"

#include <errno.h>

#include "ring/fast_path.h"
#include "wire/vhost.h"

#define DESC_SIZE      16u
#define AVAIL_FLAGS    0u
#define AVAIL_IDX      2u
#define AVAIL_RING     4u
#define USED_FLAGS     0u
#define USED_IDX       2u
#define USED_RING      4u
#define USED_ELEM_SIZE 8u

/* Descriptors of one chain mostly lie side by side: copied ones are fetched by so many. */
#define NEAR RING_PREFETCH_NEAR

/* While walking one chain. */
struct walk {
	struct chain *chain;
	unsigned segments; /* filled so far */
	unsigned left;	   /* descriptors that may still come: loops end here */
	struct ring_area table;
	uint32_t table_entries;
	bool in_indirect;
	uint32_t near_at, near_count; /* what `near` has of the table, if that is copied */
	struct ring_raw near[NEAR];
};

struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

int split_start(struct ring *ring)
{
	uint32_t num = ring->setup.num;

	/* The event words come after the rings, only where negotiated (2.7.6, 2.7.8). */
	uint32_t event = ring->event_idx ? 2 : 0;

	if (ring->setup.base > UINT16_MAX || ring->setup.resubmit_count > num)
		return -EINVAL;
	ring->last_avail = ring->seen_avail = (uint16_t)ring->setup.base;
	/* Until its memory is there to tell: see split_place. */
	ring->used = ring->flushed = ring->signalled =
		(uint16_t)(ring->last_avail - ring->setup.resubmit_count);
	ring->resubmit = ring->setup.resubmit_count;
	ring->resubmit_list = ring->setup.resubmit_list;
	ring->desc = (struct ring_area){.iova = ring->setup.desc, .size = num * DESC_SIZE};
	ring->driver = (struct ring_area){.iova = ring->setup.driver,
					  .size = AVAIL_RING + 2 * num + event};
	ring->device = (struct ring_area){.iova = ring->setup.device,
					  .size = USED_RING + USED_ELEM_SIZE * num + event};
	return 0;
}

static uint32_t used_event_offset(const struct ring *ring)
{
	return AVAIL_RING + 2u * ring->setup.num;
}

static uint32_t avail_event_offset(const struct ring *ring)
{
	return USED_RING + USED_ELEM_SIZE * ring->setup.num;
}

/* Fetches a descriptor of a copied table, and the next ones, too. */
static int fetch_near(const struct ring *ring, struct walk *walk, uint32_t index)
{
	uint32_t left = walk->table_entries - index;

	walk->near_at = index;
	walk->near_count = left < NEAR ? left : NEAR;
	return space_read(ring->space, walk->table.iova + (uint64_t)index * DESC_SIZE, walk->near,
			  walk->near_count * DESC_SIZE);
}

static inline struct desc desc_of(struct ring_raw raw)
{
	return (struct desc){.addr = raw.addr,
			     .len = (uint32_t)raw.rest,
			     .flags = (uint16_t)(raw.rest >> 32),
			     .next = (uint16_t)(raw.rest >> 48)};
}

static int load_desc(const struct ring *ring, struct walk *walk, uint32_t index, struct desc *desc)
{
	struct ring_raw raw;
	int r = 0;

	if (walk->table.host) {
		r = area_load_raw(ring, &walk->table, index, &raw);
	} else {
		if (index - walk->near_at >= walk->near_count)
			r = fetch_near(ring, walk, index);
		raw = walk->near[index - walk->near_at];
	}

	*desc = desc_of(raw);
	return r;
}

/* Turns from the ring's table to an indirect one (virtio 1.3, 2.7.5.3). */
static enum ring_pop_result enter_indirect(struct ring *ring, struct walk *walk,
					   const struct desc *desc)
{
	uint16_t head = walk->chain->head;

	if (!ring->indirect || walk->in_indirect)
		return ring_break(ring, "chain %u: indirect table %s", head,
				  walk->in_indirect ? "inside an indirect table"
						    : "without VIRTIO_F_INDIRECT_DESC");
	if (desc->flags & VRING_DESC_F_NEXT || !desc->len || desc->len % DESC_SIZE)
		return ring_break(ring,
				  "chain %u: malformed indirect descriptor (flags 0x%x, %u bytes)",
				  head, desc->flags, desc->len);
	if (ring_find_table(ring, walk->chain, desc->addr, desc->len, &walk->table) != RING_CHAIN)
		return RING_BROKEN;
	walk->table_entries = desc->len / DESC_SIZE;
	walk->left =
		walk->table_entries < CHAIN_MAX_SEGMENTS ? walk->table_entries : CHAIN_MAX_SEGMENTS;
	walk->in_indirect = true;
	walk->near_count = 0;
	return RING_CHAIN;
}

/* Begins with what was prefetched of the chain. */
static void take_near(const struct ring *ring, struct walk *walk)
{
	const struct ring_prefetch_chain *prefetch = ring_prefetch_of(ring, walk->chain);

	if (!prefetch)
		return;
	walk->near_at = prefetch->head;
	walk->near_count = prefetch->near_count;
	memcpy(walk->near, prefetch->near, sizeof(walk->near));
}

static void begin_walk(const struct ring *ring, struct walk *walk, struct chain *chain)
{
	walk->chain = chain;
	walk->segments = 0;
	walk->left = walk->table_entries = ring->setup.num;
	walk->table = ring->desc;
	walk->in_indirect = false;
	walk->near_at = walk->near_count = 0; /* `near` stays as it is */
	if (ring->copied)
		take_near(ring, walk);
}

/* Follows a chain from `index` to its end. Returns RING_CHAIN or RING_BROKEN. */
static enum ring_pop_result follow(struct ring *ring, struct walk *walk, uint32_t index)
{
	for (;;) {
		struct desc desc;

		if (index >= walk->table_entries)
			return ring_break(ring, "chain %u: descriptor %u of a table of %u",
					  walk->chain->head, index, walk->table_entries);
		if (!walk->left--)
			return ring_break(ring, "chain %u: loops, or is too long",
					  walk->chain->head);
		if (load_desc(ring, walk, index, &desc) < 0)
			return ring_break(ring, "chain %u: descriptor %u cannot be read",
					  walk->chain->head, index);
		if (desc.flags & VRING_DESC_F_INDIRECT) {
			if (enter_indirect(ring, walk, &desc) != RING_CHAIN)
				return RING_BROKEN;
			index = 0;
			continue;
		}
		if (ring_add(ring, walk->chain, &walk->segments,
			     (struct ring_buffer){desc.addr, desc.len,
						  desc.flags & VRING_DESC_F_WRITE}) != RING_CHAIN)
			return RING_BROKEN;
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return RING_CHAIN;
		index = desc.next;
	}
}

/*
 * What a process before us had taken is what it had used and what the record still holds, whatever
 * base we were given (vhost-user, "Inflight I/O tracking").
 */
static enum ring_pop_result recover(struct ring *ring, uint16_t used)
{
	int left;

	ring->signal_pending = inflight_touched(ring->setup.record, ring->setup.num);
	left = inflight_recover(ring->setup.record, ring->setup.num, used, &ring->counter);
	if (left < 0)
		return ring_break(ring, "the record of requests in flight belongs to another ring");
	ring->resubmit = (unsigned)left;
	ring->resubmit_list = NULL;
	ring->last_avail = (uint16_t)(used + left);
	return RING_CHAIN;
}

/*
 * Without a record, what lies between the used index and the base was taken and is nobody's now:
 * the front end has said so. A base elsewhere cannot be, since the driver has not got there, or has
 * seen it used; DPDK's virtio-user sends 0 for a ring in use. Then nothing says that anything was
 * taken.
 */
static void check_base(struct ring *ring, uint16_t used, uint16_t avail)
{
	uint16_t open = (uint16_t)(avail - used);

	if ((uint16_t)(ring->last_avail - used) <= open && !ring->setup.base_unset)
		return;
	ring->base_refused = !ring->setup.base_unset && ring->last_avail != used;
	ring->last_avail = used;
}

/*
 * A process before us may have ended between showing what it had used and telling the driver, who
 * then waits, and with event indices for ever: so he is called once, whatever he asks for. At its
 * beginning nothing was shown; the index is 0 there, as once in 65536, but the last entry is blank.
 */
static int call_if_used(struct ring *ring, uint16_t used)
{
	uint8_t last[USED_ELEM_SIZE];
	uint32_t at = USED_RING + (ring->setup.num - 1u) * USED_ELEM_SIZE;

	if (area_read(ring, &ring->device, at, last, sizeof(last)) < 0)
		return -EFAULT;
	ring->signal_pending |= used || load_le64(last);
	return 0;
}

/*
 * Where a ring goes on. The used index is where the driver sees it (vhost-user, SET_VRING_BASE;
 * linux: vhost_vq_init_access), so that nothing is shown that was not written. An available index
 * that is more than the ring ahead of it is not that of a ring in use: then both are where the base
 * is, as with the kernel's simulator, and the next look judges.
 */
enum ring_pop_result split_place(struct ring *ring)
{
	enum ring_pop_result r = RING_CHAIN;
	uint16_t used, avail;

	if (area_load16(ring, &ring->device, USED_IDX, &used) < 0 ||
	    area_load16(ring, &ring->driver, AVAIL_IDX, &avail) < 0)
		return RING_UNMAPPED;
	if (ring->setup.record)
		r = recover(ring, used);
	else if (ring->resubmit_list && used != ring->used)
		r = ring_break(ring,
			       "%u requests are to be done again from %u, but the used index is %u",
			       ring->resubmit, ring->last_avail, used);
	else if ((uint16_t)(avail - used) > ring->setup.num)
		used = ring->used;
	else if (!ring->resubmit_list)
		check_base(ring, used, avail);
	ring->used = ring->flushed = ring->signalled = used;
	ring->seen_avail = ring->last_avail;
	if (r == RING_CHAIN && call_if_used(ring, used) < 0)
		return RING_UNMAPPED;
	return r;
}

/* Whether there is something to take. Returns RING_CHAIN, RING_EMPTY or why not. */
enum ring_pop_result split_look(struct ring *ring)
{
	uint16_t idx;

	if (ring->resubmit)
		return RING_CHAIN;
	if (ring->last_avail != ring->seen_avail)
		return RING_CHAIN;
	if (area_load16(ring, &ring->driver, AVAIL_IDX, &idx) < 0)
		return RING_UNMAPPED;
	if ((uint16_t)(idx - ring->last_avail) > ring->setup.num)
		return ring_break(ring, "available index %u is more than %u ahead of %u", idx,
				  ring->setup.num, ring->last_avail);
	ring->seen_avail = idx;
	return idx == ring->last_avail ? RING_EMPTY : RING_CHAIN;
}

/* The same of a copied available ring: all that the driver has published, up to the ring's end. */
static int copy_heads(struct ring *ring, uint16_t *head)
{
	struct ring_copies *copies = &ring->copies;
	uint32_t slot = ring->last_avail & (ring->setup.num - 1u);
	uint32_t count = (uint16_t)(ring->seen_avail - ring->last_avail);
	int r = 0;

	if ((uint16_t)(ring->last_avail - copies->heads_at) >= copies->heads_count) {
		if (count > ring->setup.num - slot)
			count = ring->setup.num - slot;
		if (count > RING_COPY_ENTRIES)
			count = RING_COPY_ENTRIES;
		r = area_read(ring, &ring->driver, AVAIL_RING + 2 * slot, copies->heads, 2 * count);
		copies->heads_at = ring->last_avail;
		copies->heads_count = r < 0 ? 0 : (uint16_t)count;
	}
	if (r < 0)
		return r;
	slot = (uint16_t)(ring->last_avail - copies->heads_at);
	*head = copies->heads[slot];
	if (!ring_prefetch_at(ring, ring->last_avail, ring->prefetch_wrap))
		ring_prefetch_fetch(ring, copies->heads + slot, copies->heads_count - slot);
	return 0;
}

static int load_head(struct ring *ring, uint16_t *head)
{
	uint32_t slot = ring->last_avail & (ring->setup.num - 1u);

	return ring->copied ? copy_heads(ring, head)
			    : area_load16(ring, &ring->driver, AVAIL_RING + 2 * slot, head);
}

/* The next chain that is to be taken again; ring_unpop wants to know where the record had it. */
static enum ring_pop_result find_again(struct ring *ring, struct chain *chain)
{
	int head;

	chain->at_counter = ring->cursor.counter;
	chain->at_head = ring->cursor.head;
	if (ring->resubmit_list) {
		chain->head =
			ring->setup.resubmit_list[ring->setup.resubmit_count - ring->resubmit--];
		return RING_CHAIN;
	}
	ring->resubmit--;
	head = inflight_next(ring->setup.record, ring->setup.num, &ring->cursor);
	if (head < 0)
		return RING_EMPTY; /* somebody else changed the record meanwhile */
	chain->head = (uint16_t)head;
	return RING_CHAIN;
}

/* The table that a descriptor of a fast ring names; NULL: not this way. */
static inline const uint8_t *fast_table(const struct ring *ring, const struct desc *desc)
{
	if (!ring->indirect || desc->flags & VRING_DESC_F_NEXT || !desc->len ||
	    desc->len % DESC_SIZE)
		return NULL;
	return space_cached(&ring->cache, desc->addr, desc->len, SPACE_READ);
}

/* Puts the next chain together, if it is one of the usual ones: see fast_path.h. */
static inline bool follow_fast(const struct ring *ring, struct chain *chain)
{
	const uint8_t *table = ring->desc.host;
	uint32_t entries = ring->setup.num;
	struct fast s;
	struct desc desc;

	if (chain->head >= entries)
		return false;
	desc = desc_of(load_raw(table, chain->head));
	if (desc.flags & VRING_DESC_F_INDIRECT) {
		table = fast_table(ring, &desc);
		if (!table)
			return false;
		entries = desc.len / DESC_SIZE;
		desc = desc_of(load_raw(table, 0));
	}
	s = fast_begin(ring, chain, entries);
	while (!(desc.flags & VRING_DESC_F_INDIRECT) &&
	       fast_add(ring, &s, desc.addr, desc.len, desc.flags & VRING_DESC_F_WRITE)) {
		if (!(desc.flags & VRING_DESC_F_NEXT))
			return fast_end(ring, &s, chain);
		if (desc.next >= entries)
			return false;
		desc = desc_of(load_raw(table, desc.next));
	}
	return false;
}

/* False: not this way. */
static bool pop_fast(struct ring *ring, struct chain *chain)
{
	uint32_t slot = ring->last_avail & (ring->setup.num - 1u);

	area_load16(ring, &ring->driver, AVAIL_RING + 2 * slot, &chain->head);
	if (!follow_fast(ring, chain))
		return false;
	ring->last_avail++;
	if (ring->setup.record)
		inflight_take(ring->setup.record, chain->head, ++ring->counter);
	return true;
}

/* Any chain, the next or one that is taken again. Not inline: its registers are saved elsewhere. */
static __attribute__((noinline)) enum ring_pop_result pop_any(struct ring *ring,
							      struct chain *chain)
{
	enum ring_pop_result r = RING_CHAIN;
	bool again = ring->resubmit;
	struct walk walk;

	if (again)
		r = find_again(ring, chain);
	else if (load_head(ring, &chain->head) < 0)
		r = RING_UNMAPPED;
	if (r != RING_CHAIN)
		return r;
	ring_begin_chain(ring, chain);
	chain->resubmitted = again;
	if (chain->head >= ring->setup.num)
		return ring_break(ring, "available entry %u names descriptor %u of %u",
				  ring->last_avail, chain->head, ring->setup.num);
	begin_walk(ring, &walk, chain);
	r = follow(ring, &walk, chain->head);
	if (r != RING_CHAIN || (again && !ring->resubmit_list))
		return r;
	if (ring->copied)
		ring_prefetch_give(ring, chain);
	if (!again)
		ring->last_avail++;
	if (ring->setup.record)
		inflight_take(ring->setup.record, chain->head, ++ring->counter);
	return r;
}

enum ring_pop_result split_pop(struct ring *ring, struct chain *chain)
{
	if (ring->last_avail == ring->seen_avail || ring->resubmit) {
		enum ring_pop_result r = split_look(ring);

		if (r != RING_CHAIN)
			return r;
	}
	if (ring->fast && !ring->resubmit && pop_fast(ring, chain))
		return RING_CHAIN;
	return pop_any(ring, chain);
}

/* Writes `count` used entries, the last of which is the one before ring->used. */
static int write_used(struct ring *ring, const uint8_t *elems, uint32_t count)
{
	uint32_t slot = (ring->used - count) & (ring->setup.num - 1u);

	return area_write(ring, &ring->device, USED_RING + slot * USED_ELEM_SIZE, elems,
			  count * USED_ELEM_SIZE);
}

/* What waits to be written to a copied used ring lies side by side: not beyond the ring's end. */
static int flush_used(struct ring *ring)
{
	uint32_t count = ring->copies.used_count;

	ring->copies.used_count = 0;
	return count ? write_used(ring, ring->copies.used, count) : 0;
}

/*
 * In order, one entry can stand for a batch (2.7.9): it lies where the first chain's would, names
 * the last, and all before that were written to the full. Only in mapped memory: where it is
 * copied, entries go out together anyway.
 */
static int write_in_order(struct ring *ring, const uint8_t *elem, bool full)
{
	uint16_t mask = (uint16_t)(ring->setup.num - 1u);

	if (!ring->tail_full)
		ring->tail = (uint16_t)(ring->used - 1) & mask;
	ring->tail_full = full;
	return area_write(ring, &ring->device, USED_RING + ring->tail * USED_ELEM_SIZE, elem,
			  USED_ELEM_SIZE);
}

void split_complete(struct ring *ring, const struct ring_used *used)
{
	struct ring_copies *copies = &ring->copies;
	uint8_t elem[USED_ELEM_SIZE];
	int r = 0;

	store_le32(elem, used->head);
	store_le32(elem + 4, used->written);
	ring->used++;
	if (ring->device.host && !copies->used_count && !ring->setup.reorder) {
		r = write_used(ring, elem, 1);
	} else if (!ring->device.host || copies->used_count) {
		memcpy(copies->used + copies->used_count++ * USED_ELEM_SIZE, elem, sizeof(elem));
		if (copies->used_count == RING_COPY_ENTRIES ||
		    !(ring->used & (ring->setup.num - 1u)))
			r = flush_used(ring);
	} else {
		r = write_in_order(ring, elem, used->full);
	}
	if (r < 0) {
		ring->used--;
		ring_break(ring, "the used ring cannot be written");
		return;
	}
	if (ring->setup.record)
		inflight_complete(ring->setup.record, used->head);
}

/* Whether the driver asked to hear of what was just published (virtio 1.3, 2.7.7.2, 2.7.10). */
static bool wants_call(struct ring *ring, uint16_t old)
{
	uint16_t word;

	if (ring->event_idx) {
		if (area_load16(ring, &ring->driver, used_event_offset(ring), &word) < 0)
			return true;
		return (uint16_t)(ring->used - word - 1) < (uint16_t)(ring->used - old);
	}
	if (area_load16(ring, &ring->driver, AVAIL_FLAGS, &word) < 0)
		return true;
	return !(word & VRING_AVAIL_F_NO_INTERRUPT);
}

/* With event indices the flags beside it are 0 (2.7.10.2), and need not be read to be kept. */
static int store_used_index(const struct ring *ring)
{
	return ring->event_idx ? area_store_upper(ring, &ring->device, USED_IDX, 0, ring->used)
			       : area_store16(ring, &ring->device, USED_IDX, ring->used);
}

bool split_flush_used(struct ring *ring)
{
	uint16_t old = ring->signalled, batch = (uint16_t)(ring->used - ring->flushed);

	ring->flushed = ring->used;
	if (flush_used(ring) < 0) {
		ring_break(ring, "the used ring cannot be written");
		return false;
	}
	if (store_used_index(ring) < 0) {
		ring_break(ring, "the used index cannot be written");
		return false;
	}
	if (ring->setup.record)
		inflight_flush_used(ring->setup.record, ring->setup.num, batch, ring->used);
	atomic_thread_fence(memory_order_seq_cst);
	ring->signalled = ring->used;
	return wants_call(ring, old);
}

bool split_enable_notify(struct ring *ring)
{
	uint16_t idx;
	int r;

	if (ring->event_idx)
		r = area_store16(ring, &ring->device, avail_event_offset(ring), ring->last_avail);
	else
		r = ring->notify_enabled ? 0 : area_store16(ring, &ring->device, USED_FLAGS, 0);
	if (r < 0)
		return false;
	ring->notify_enabled = true;
	atomic_thread_fence(memory_order_seq_cst);
	if (area_load16(ring, &ring->driver, AVAIL_IDX, &idx) < 0)
		return false;
	return idx != ring->last_avail;
}

void split_disable_notify(struct ring *ring)
{
	ring->notify_enabled = false;
	if (!ring->event_idx)
		area_store16(ring, &ring->device, USED_FLAGS, VRING_USED_F_NO_NOTIFY);
}
