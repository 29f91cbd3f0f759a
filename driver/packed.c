/*
 * The packed ring from the driver's side (virtio 2.8).
 *
 *	packed[size]    { addr, len, id, flags }, written by both sides in turn
 *	driver_event    off_wrap, flags: at which used descriptor the device is to call
 *	device_event    off_wrap, flags: at which available descriptor the driver is to kick
 *
 * Both sides walk the one ring, each with a position and a wrap counter that flips with each lap. A
 * descriptor is available if its AVAIL bit is the driver's wrap counter and its USED bit is not; it
 *is used if both are. What is neither has both bits as the lap before left them, so that an empty
 *ring that begins in its middle has to be told which lap that is (packed_start()).
 *
 * A chain is a run of descriptors, and so many the used position moves on when its one used
 * descriptor was seen: how many is known by the chain's id and kept in `chains`, out of the
 *device's reach. Ids come from a free list; they are not descriptors' numbers.
 *
 * What is added becomes visible at once by one store: all descriptors of a batch but its first get
 * their flags when they are written, and the device, which goes by order, does not see past the
 *first until publish stores its flags (release). As with the split ring a full barrier lies between
 * that and a look at the device's wishes (2.8.21.3.1), and between telling one's own and a look at
 * the ring (2.8.22).
 *
 * A base says where both sides are (linux: vhost_vring_ioctl()): bits 0 to 14 the available
 * position, 15 its wrap counter, 16 to 30 and 31 the same for the used one.
 */
#include "driver/ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "driver/arena.h"
#include "driver/chains.h"

#define AVAIL_BIT (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED_BIT  (1u << VRING_PACKED_DESC_F_USED)
#define WRAP	  (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

static void packed_lengths(uint16_t size, size_t *desc, size_t *driver, size_t *device)
{
	*desc = (size_t)size * sizeof(struct vring_packed_desc);
	*driver = *device = sizeof(struct vring_packed_desc_event);
}

/* With nothing in flight both positions are the same. */
static bool packed_can_start(uint16_t size, uint32_t base)
{
	return (base & 0xffff) == base >> 16 && (base & 0x7fff) < size;
}

static void packed_start(struct uvdpa_queue *q, uint32_t base)
{
	uint16_t at = base & 0x7fff;
	bool wrap = base & WRAP;

	memset(q->packed, 0, q->size * sizeof(*q->packed));
	memset(q->driver_event, 0, sizeof(*q->driver_event));
	memset(q->device_event, 0, sizeof(*q->device_event));
	/* used up in the lap before, as far as each is concerned */
	for (uint16_t i = 0; i < q->size; i++)
		q->packed[i].flags = (i < at) == wrap ? AVAIL_BIT | USED_BIT : 0;
	q->next_avail = q->public_avail = q->next_used = (uint16_t)base;
	q->added = q->published = q->taken = 0;
	q->unasked = q->batch_count = 0;
}

/* A position `count` entries on, at most a lap. */
static inline uint16_t advance(const struct uvdpa_queue *q, uint16_t position, uint16_t count)
{
	uint32_t at = (position & ~WRAP) + (uint32_t)count;

	if (at < q->size)
		return (uint16_t)((position & WRAP) | at);
	return (uint16_t)(((position & WRAP) ^ WRAP) | (at - q->size));
}

/* The two bits of a descriptor that is available at a position. */
static inline uint16_t available(uint16_t position)
{
	return position & WRAP ? AVAIL_BIT : USED_BIT;
}

/* Adding -----------------------------------------------------------------------------------------
 */

/* Writes a descriptor at the next position; the batch's first flags are kept back. */
static inline void put(struct uvdpa_queue *q, uint64_t addr, uint32_t len, uint16_t id,
		       uint16_t flags, bool hold)
{
	uint16_t at = q->next_avail & (uint16_t)~WRAP;
	struct vring_packed_desc *d = &q->packed[at];

	flags |= available(q->next_avail);
	d->addr = addr;
	d->len = len;
	__atomic_store_n(&d->id, id, __ATOMIC_RELAXED); /* packed_position() may be looking */
	if (hold) {
		q->batch_slot = at;
		q->batch_flags = flags;
	} else {
		__atomic_store_n(&d->flags, flags, __ATOMIC_RELAXED);
	}
	q->next_avail = advance(q, q->next_avail, 1);
}

static inline uint64_t put_direct(struct uvdpa_queue *q, uint16_t id,
				  const struct uvdpa_segment *segments, unsigned count, bool hold)
{
	uint64_t room = 0;

	for (unsigned i = 0; i < count; i++) {
		uint16_t flags = i + 1 < count ? VRING_DESC_F_NEXT : 0;

		if (segments[i].writable) {
			flags |= VRING_DESC_F_WRITE;
			room += segments[i].len;
		}
		put(q, segments[i].iova, segments[i].len, id, flags, hold && i == 0);
	}
	return room;
}

/* virtio 2.8.7: all of the table is the chain, in order. */
static inline uint64_t put_indirect(struct uvdpa_queue *q, uint16_t id,
				    const struct uvdpa_segment *segments, unsigned count, bool hold)
{
	struct vring_packed_desc *table =
		(struct vring_packed_desc *)q->tables + (size_t)id * q->indirect;
	uint64_t room = 0;

	for (unsigned i = 0; i < count; i++) {
		table[i].addr = segments[i].iova;
		table[i].len = segments[i].len;
		table[i].id = 0;
		table[i].flags = segments[i].writable ? VRING_DESC_F_WRITE : 0;
		room += segments[i].writable ? segments[i].len : 0;
	}
	put(q, drv_iova(q->memory, table), (uint32_t)(count * sizeof(*table)), id,
	    VRING_DESC_F_INDIRECT, hold);
	return room;
}

static uint16_t packed_add(struct uvdpa_queue *q, const struct uvdpa_segment *segments,
			   unsigned count, bool indirect, uint64_t cookie)
{
	bool first = q->added == q->published;
	uint16_t id = q->free_head;
	uint64_t room;

	q->free_head = q->next[id];
	if (indirect)
		room = put_indirect(q, id, segments, count, first);
	else
		room = put_direct(q, id, segments, count, first);
	count = indirect ? 1 : count;
	drv_chain_begin(q, id, (uint16_t)count, room, cookie);
	q->batch_count += count;
	return id;
}

static unsigned packed_flush_used(struct uvdpa_queue *q)
{
	uint16_t count = q->added - q->published;

	if (count == 0)
		return 0;
	__atomic_store_n(&q->packed[q->batch_slot].flags, q->batch_flags, __ATOMIC_RELEASE);
	q->published = q->added;
	q->public_avail = q->next_avail;
	q->unasked += q->batch_count;
	q->batch_count = 0;
	return count;
}

/* Both words at once: the device may be changing them. */
static struct vring_packed_desc_event load_event(const struct vring_packed_desc_event *from)
{
	struct vring_packed_desc_event event;
	uint32_t both = __atomic_load_n((const uint32_t *)(const void *)from, __ATOMIC_RELAXED);

	memcpy(&event, &both, sizeof(event));
	return event;
}

static bool packed_kick_wanted(struct uvdpa_queue *q)
{
	uint16_t now = q->public_avail & (uint16_t)~WRAP;
	uint32_t shown = q->unasked;
	struct vring_packed_desc_event event;
	uint32_t behind;

	q->unasked = 0;
	if (shown == 0)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	event = load_event(q->device_event);
	if (event.flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx)
		return event.flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	/* virtio 2.8.10: how many entries the event lies behind, in this lap or the one before */
	behind = now - (event.off_wrap & ~WRAP);
	if ((event.off_wrap ^ q->public_avail) & WRAP)
		behind += q->size;
	return behind - 1 < shown;
}

/* Collecting -------------------------------------------------------------------------------------
 */

static inline bool is_used(uint16_t flags, uint16_t position)
{
	uint16_t both = position & WRAP ? AVAIL_BIT | USED_BIT : 0;

	return (flags & (AVAIL_BIT | USED_BIT)) == both;
}

static inline const struct vring_packed_desc *next_used(const struct uvdpa_queue *q)
{
	return &q->packed[q->next_used & (uint16_t)~WRAP];
}

static int too_many(struct uvdpa_queue *q)
{
	return drv_break_queue(q, UVDPA_QUEUE_USED_INDEX,
			       "descriptor %u (wrap counter %u) is marked used with no chain in "
			       "flight",
			       q->next_used & ~WRAP, q->next_used >> 15);
}

/* In order, chains of a batch have been seen and not been collected yet. */
static int packed_pending(struct uvdpa_queue *q)
{
	uint16_t flags;

	if (q->in_batch)
		return 1;
	flags = __atomic_load_n(&next_used(q)->flags, __ATOMIC_ACQUIRE);
	if (!is_used(flags, q->next_used))
		return 0;
	return drv_shown(q) ? 1 : too_many(q);
}

/* The next completion. 1, 0: there is none, or -EPROTO with the queue broken. */
static inline int take(struct uvdpa_queue *q, uint32_t *id, uint32_t *len)
{
	const struct vring_packed_desc *d = next_used(q);
	uint16_t flags;

	if (q->in_batch) {
		*id = q->batch_id;
		*len = q->batch_len;
	} else {
		flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
		if (!is_used(flags, q->next_used))
			return 0;
		if (!drv_shown(q))
			return too_many(q);
		*id = __atomic_load_n(&d->id, __ATOMIC_RELAXED);
		/* virtio 2.8.5: without WRITE there is no length */
		*len = flags & VRING_DESC_F_WRITE ? __atomic_load_n(&d->len, __ATOMIC_RELAXED) : 0;
	}
	if (drv_judge(q, *id, *len) < 0)
		return -EPROTO;
	if (q->in_order)
		drv_unfold(q, id, len);
	return 1;
}

/* Frees the chain and moves on behind it. */
static inline void put_back(struct uvdpa_queue *q, uint16_t id)
{
	struct drv_chain *chain = &q->chains[id];

	__atomic_store_n(&q->next_used, advance(q, q->next_used, chain->count), __ATOMIC_RELAXED);
	q->next[id] = q->free_head;
	q->free_head = id;
	__atomic_store_n(&q->taken, q->taken + 1, __ATOMIC_RELAXED);
	drv_chain_end(q, chain);
}

static void packed_enable_notify(struct uvdpa_queue *q, bool calls)
{
	struct vring_packed_desc_event *event = q->driver_event;
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

	if (calls && q->event_idx) {
		__atomic_store_n(&event->off_wrap, q->next_used, __ATOMIC_RELAXED);
		flags = VRING_PACKED_EVENT_FLAG_DESC;
	} else if (calls) {
		flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	}
	__atomic_store_n(&event->flags, flags, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static int packed_poll(struct uvdpa_queue *q, struct uvdpa_completion *completions, unsigned max)
{
	uint32_t version = q->version;
	uint32_t id = 0, len = 0;
	unsigned n = 0;

	while (n < max && take(q, &id, &len) > 0) {
		if (n == 0) { /* packed_position() is not to look now */
			__atomic_store_n(&q->version, version + 1, __ATOMIC_RELAXED);
			__atomic_thread_fence(__ATOMIC_RELEASE);
		}
		completions[n].cookie = q->chains[id].cookie;
		completions[n].written = len;
		completions[n].head = (uint16_t)id;
		put_back(q, (uint16_t)id);
		n++;
	}
	if (n == 0)
		return q->broken ? -EPROTO : 0;
	__atomic_store_n(&q->version, version + 2, __ATOMIC_RELEASE);
	if (q->calls)
		packed_enable_notify(q, true);
	return (int)n;
}

/* Looking ----------------------------------------------------------------------------------------
 */

/*
 * How many descriptors the chain `id` had or, in order, all chains up to it, from the one whose
 * place in the available order is *serial.
 */
static uint32_t run_length(const struct uvdpa_queue *q, uint16_t id, uint16_t *serial)
{
	uint16_t last = __atomic_load_n(&q->chains[id].serial, __ATOMIC_RELAXED);
	uint32_t length = 0;

	if (!q->in_order)
		return __atomic_load_n(&q->chains[id].count, __ATOMIC_RELAXED);
	if ((uint16_t)(last - *serial) >= q->size)
		return 0;
	for (; *serial != (uint16_t)(last + 1); (*serial)++) {
		uint16_t head =
			__atomic_load_n(&q->order[*serial & q->order_mask], __ATOMIC_RELAXED);

		length += __atomic_load_n(&q->chains[head].count, __ATOMIC_RELAXED);
	}
	return length;
}

/* How far the ring is used, from what was collected on. */
static uint16_t walk(const struct uvdpa_queue *q)
{
	uint16_t at = __atomic_load_n(&q->next_used, __ATOMIC_RELAXED);
	uint16_t serial = __atomic_load_n(&q->taken, __ATOMIC_RELAXED);
	bool in_batch = __atomic_load_n(&q->in_batch, __ATOMIC_RELAXED);

	for (uint32_t seen = 0, length; seen < q->size; seen += length, in_batch = false) {
		const struct vring_packed_desc *d = &q->packed[at & (uint16_t)~WRAP];
		uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
		uint32_t id;

		if (!in_batch && !is_used(flags, at))
			break;
		id = in_batch ? __atomic_load_n(&q->batch_id, __ATOMIC_RELAXED)
			      : __atomic_load_n(&d->id, __ATOMIC_RELAXED);
		if (id >= q->size)
			break;
		length = run_length(q, (uint16_t)id, &serial);
		if (length == 0 || length > q->size)
			break;
		at = advance(q, at, (uint16_t)length);
	}
	return at;
}

/*
 * The hand-over asks from a thread of its own, while the queue's thread may be collecting: what a
 * walk has seen holds if nothing was collected meanwhile. The device is suspended then, so that
 * collecting comes to an end.
 */
static uint32_t packed_position(const struct uvdpa_queue *q)
{
	for (;;) {
		uint32_t version = __atomic_load_n(&q->version, __ATOMIC_ACQUIRE);
		uint32_t at = walk(q);

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (!(version & 1) && __atomic_load_n(&q->version, __ATOMIC_RELAXED) == version)
			return at | at << 16;
		sched_yield();
	}
}

static void packed_peek(const struct uvdpa_queue *q, struct uvdpa_queue_view *view)
{
	const struct vring_packed_desc_event driver = load_event(q->driver_event);
	const struct vring_packed_desc_event device = load_event(q->device_event);

	view->used_idx = (uint16_t)packed_position(q);
	view->used_flags = device.flags;
	view->avail_event = device.off_wrap;
	view->avail_idx = q->public_avail;
	view->avail_flags = driver.flags;
	view->used_event = driver.off_wrap;
	view->last_used = q->next_used;
	view->unpublished = (uint16_t)(q->added - q->published);
}

static void packed_descriptor(const struct uvdpa_queue *q, uint16_t index,
			      struct uvdpa_descriptor *descriptor)
{
	const struct vring_packed_desc *d = &q->packed[index];

	descriptor->addr = __atomic_load_n(&d->addr, __ATOMIC_RELAXED);
	descriptor->len = __atomic_load_n(&d->len, __ATOMIC_RELAXED);
	descriptor->flags = __atomic_load_n(&d->flags, __ATOMIC_RELAXED);
	descriptor->next = __atomic_load_n(&d->id, __ATOMIC_RELAXED);
}

const struct drv_ring drv_ring_packed = {
	.lengths = packed_lengths,
	.first_base = 0x80008000,
	.can_start = packed_can_start,
	.start = packed_start,
	.add = packed_add,
	.publish = packed_flush_used,
	.kick_wanted = packed_kick_wanted,
	.pending = packed_pending,
	.poll = packed_poll,
	.arm = packed_enable_notify,
	.position = packed_position,
	.peek = packed_peek,
	.descriptor = packed_descriptor,
};
