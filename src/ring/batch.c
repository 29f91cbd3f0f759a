/*
 * Chains of one mapped buffer, by the batch: see ring.h.
 *
 * A pass over a queue of frames does little with each, so that what is done for every chain (a
 * request to keep it in, its tables, its place among those in flight) is most of the work. Here a
 * chain is three words, the ring's position is in registers for as long as the batch lasts, and
 * what the chains name is on its way from the driver's processor while the next ones are looked at.
 *
 * Each is judged by the rules of split.c, packed.c and chain.c. What does not pass ends the batch
 * before it: nothing is said, and nothing has changed, as in fast_path.h.
 */
#include "ring/ring_internal.h"

#include <assert.h>

#include "wire/vhost.h"

#define LINE 64 /* bytes of the cache's */

/* split.c and packed.c say what lies there. */
#define DESC_SIZE	  16u
#define AVAIL_RING	  4u
#define USED_RING	  4u
#define USED_ELEM_SIZE	  8u
#define PACKED_DESC_REST  8u
#define PACKED_DESC_FLAGS 14u
#define AVAIL_BIT	  (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT	  (1u << VRING_PACKED_DESC_F_USED)

static bool is_for_batches(struct ring *ring)
{
	if (!ring->started || ring->broken || !ring_resolve(ring))
		return false;
	return ring->fast && !ring->resubmit && !ring->setup.record && !ring->setup.reorder &&
	       !ring->data_log && !ring->used_log;
}

/* What is read or written there first is fetched: headers, and all of a small frame. */
static inline void fetch(const uint8_t *host, uint32_t size, enum space_access access)
{
	if (access == SPACE_WRITE) {
		__builtin_prefetch(host, 1);
		if (size > LINE)
			__builtin_prefetch(host + LINE, 1);
	} else {
		__builtin_prefetch(host, 0);
		if (size > LINE)
			__builtin_prefetch(host + LINE, 0);
	}
}

/* Makes a chain of a descriptor's address, length and flags. False: it is not such a chain. */
static inline bool judge(const struct ring *ring, uint64_t addr, uint32_t len, uint16_t flags,
			 enum space_access access, struct batch_chain *batch)
{
	const uint16_t looked_at = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT;

	if ((flags & looked_at) != (access == SPACE_WRITE ? VRING_DESC_F_WRITE : 0) || !len)
		return false;
	batch->host = space_cached(&ring->cache, addr, len, access);
	batch->size = len;
	if (!batch->host)
		return false;
	fetch(batch->host, len, access);
	return true;
}

/* A word that the other side may be changing, whatever it is supposed to do: loaded once. */
static inline uint16_t load_once(const uint8_t *at)
{
	return atomic_load_explicit((const _Atomic uint16_t *)(const void *)at,
				    memory_order_relaxed);
}

static inline unsigned take_split(struct ring *ring, enum space_access access,
				  struct batch_chain *batch, unsigned max)
{
	const uint8_t *heads = ring->driver.host + AVAIL_RING;
	uint32_t num = ring->setup.num;
	uint16_t at = ring->last_avail;
	unsigned n;

	if (split_look(ring) != RING_CHAIN)
		return 0;
	if (max > (uint16_t)(ring->seen_avail - at))
		max = (uint16_t)(ring->seen_avail - at);
	for (n = 0; n < max; n++, at++) {
		uint16_t head = load_once(heads + 2 * (at & (num - 1u)));
		struct ring_raw raw;

		if (head >= num)
			break;
		raw = load_raw(ring->desc.host, head);
		if (!judge(ring, raw.addr, (uint32_t)raw.rest, (uint16_t)(raw.rest >> 32), access,
			   &batch[n]))
			break;
		batch[n].head = head;
	}
	ring->last_avail = at;
	return n;
}

static inline unsigned take_packed(struct ring *ring, enum space_access access,
				   struct batch_chain *batch, unsigned max)
{
	const uint8_t *descs = ring->desc.host;
	uint16_t num = ring->setup.num, at = ring->last_avail;
	bool wrap = ring->avail_wrap;
	unsigned n;

	if (max > num) /* the driver may make what was taken available again, meanwhile */
		max = num;
	for (n = 0; n < max; n++) {
		uint16_t flags = atomic_load_explicit(
			(const _Atomic uint16_t *)(const void *)(descs + at * DESC_SIZE +
								 PACKED_DESC_FLAGS),
			memory_order_acquire);
		struct ring_raw raw;

		if (!packed_is_available(flags, wrap))
			break;
		raw = load_raw(descs, at);
		if (!judge(ring, raw.addr, (uint32_t)raw.rest, (uint16_t)(raw.rest >> 48), access,
			   &batch[n]))
			break;
		batch[n].head = (uint16_t)(raw.rest >> 32);
		if (++at == num) {
			at = 0;
			wrap = !wrap;
		}
	}
	ring->last_avail = at;
	ring->avail_wrap = wrap;
	return n;
}

unsigned ring_take_batch(struct ring *ring, enum space_access access, struct batch_chain *batch,
			 unsigned max)
{
	if (!is_for_batches(ring))
		return 0;
	if (access == SPACE_WRITE)
		return ring->packed ? take_packed(ring, SPACE_WRITE, batch, max)
				    : take_split(ring, SPACE_WRITE, batch, max);
	return ring->packed ? take_packed(ring, SPACE_READ, batch, max)
			    : take_split(ring, SPACE_READ, batch, max);
}

void ring_unpop_batch(struct ring *ring, unsigned count)
{
	assert(count <= ring->setup.num);
	if (ring->packed && count > ring->last_avail) {
		ring->last_avail = (uint16_t)(ring->last_avail + ring->setup.num);
		ring->avail_wrap = !ring->avail_wrap;
	}
	ring->last_avail = (uint16_t)(ring->last_avail - count);
}

static void complete_split(struct ring *ring, const struct batch_chain *batch,
			   const uint32_t *written, unsigned count)
{
	uint8_t *used = ring->device.host + USED_RING;

	for (unsigned i = 0; i < count; i++, ring->used++) {
		uint8_t *elem = used + (ring->used & (ring->setup.num - 1u)) * USED_ELEM_SIZE;

		store_le32(elem, batch[i].head);
		store_le32(elem + 4, written ? written[i] : 0);
	}
}

/* A word that the other side may be looking at, as it may at any of a packed ring. */
static inline void store_whole(uint8_t *at, uint16_t value, memory_order order)
{
	atomic_store_explicit((_Atomic uint16_t *)(void *)at, value, order);
}

/* The first of what is not shown yet gets its flags from publish; the driver comes to the others
 * only after it. */
static void complete_packed(struct ring *ring, const struct batch_chain *batch,
			    const uint32_t *written, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		uint8_t *rest = ring->desc.host + ring->used * DESC_SIZE + PACKED_DESC_REST;
		uint16_t flags = ring->used_wrap ? AVAIL_BIT | USED_BIT : 0;

		if (written)
			flags |= VRING_DESC_F_WRITE;
		store_le32(rest, written ? written[i] : 0);
		store_whole(rest + 4, batch[i].head, memory_order_relaxed);
		if (ring->batch_entries++) {
			store_whole(rest + 6, flags, memory_order_release);
		} else {
			ring->batch_slot = ring->used;
			ring->batch_flags = flags;
			ring->batch_id = batch[i].head;
		}
		if (++ring->used == ring->setup.num) {
			ring->used = 0;
			ring->used_wrap = !ring->used_wrap;
		}
	}
}

void ring_complete_batch(struct ring *ring, const struct batch_chain *batch,
			 const uint32_t *written, unsigned count)
{
	if (!count)
		return;
	assert(ring->fast && !ring->setup.reorder);
	if (ring->packed)
		complete_packed(ring, batch, written, count);
	else
		complete_split(ring, batch, written, count);
}
