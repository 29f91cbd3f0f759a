/*
 * The split ring from the driver's side (virtio 2.7).
 *
 *	desc[size]      where the data is; written by the driver only
 *	avail           flags, idx, ring[size] of heads, used_event; written by the driver only
 *	used            flags, idx, ring[size] of {head, len}, avail_event; written by the device
 *only
 *
 * All indexes run freely modulo 2^16; a slot is the index modulo the size. The driver keeps its own
 * copy of every index it writes and never reads back what the device could have spoilt.
 *
 * Two orders matter. The available index is stored after the entries it covers, the used index
 * loaded before the entries it covers (release, acquire). And between telling the other side
 *something and looking at whether it wants to be told lies a full barrier: publish, then read the
 *available event (2.7.13.4.1); set the used event, then read the used index again (2.7.10), or both
 *sides sleep.
 */
#include "driver/ring.h"

#include <errno.h>
#include <string.h>

#include "driver/arena.h"
#include "driver/chains.h"

static uint16_t slot(const struct uvdpa_queue *q, uint16_t index)
{
	return index & (q->size - 1);
}

/* The word behind the available ring: at which used index the device is to call. */
static uint16_t *used_event(const struct uvdpa_queue *q)
{
	return &q->avail->ring[q->size];
}

/* The word behind the used ring: at which available index the driver is to kick. */
static uint16_t *avail_event(const struct uvdpa_queue *q)
{
	return (uint16_t *)&q->used->ring[q->size];
}

/* virtio 2.7: the sizes include the event words, which exist whether or not they are used. */
static void split_lengths(uint16_t size, size_t *desc, size_t *avail, size_t *used)
{
	*desc = (size_t)size * sizeof(struct vring_desc);
	*avail = sizeof(uint16_t) * (3 + (size_t)size);
	*used = sizeof(uint16_t) * 3 + sizeof(struct vring_used_elem) * (size_t)size;
}

static bool split_can_start(uint16_t size, uint32_t base)
{
	return base <= UINT16_MAX;
}

static void split_start(struct uvdpa_queue *q, uint32_t base)
{
	size_t desc, avail, used;

	split_lengths(q->size, &desc, &avail, &used);
	memset(q->desc, 0, desc);
	memset(q->avail, 0, avail);
	memset(q->used, 0, used);
	q->avail->idx = (uint16_t)base;
	q->used->idx = (uint16_t)base;
	q->added = q->published = q->asked = q->taken = q->event_told = (uint16_t)base;
	*used_event(q) = (uint16_t)base;
}

/* One descriptor. Returns the bytes that the device may write there. */
static inline uint64_t fill(struct vring_desc *d, const struct uvdpa_segment *s, uint16_t flags,
			    uint16_t next)
{
	d->addr = s->iova;
	d->len = s->len;
	d->flags = s->writable ? flags | VRING_DESC_F_WRITE : flags;
	d->next = next;
	return s->writable ? s->len : 0;
}

/* virtio 2.7.5.3: one descriptor that names a table in which the chain lies. */
static inline uint64_t fill_indirect(struct uvdpa_queue *q, uint16_t head,
				     const struct uvdpa_segment *segments, unsigned count)
{
	struct vring_desc *table = (struct vring_desc *)q->tables + (size_t)head * q->indirect;
	uint64_t room = 0;

	for (unsigned i = 0; i + 1 < count; i++)
		room += fill(&table[i], &segments[i], VRING_DESC_F_NEXT, (uint16_t)(i + 1));
	room += fill(&table[count - 1], &segments[count - 1], 0, 0);
	q->desc[head].addr = drv_iova(q->memory, table);
	q->desc[head].len = (uint32_t)(count * sizeof(*table));
	q->desc[head].flags = VRING_DESC_F_INDIRECT;
	q->desc[head].next = 0;
	return room;
}

/* Follows the free list; leaves in `last` where the chain ends. */
static inline uint64_t fill_direct(struct uvdpa_queue *q, uint16_t head,
				   const struct uvdpa_segment *segments, unsigned count,
				   uint16_t *last)
{
	uint16_t at = head;
	uint64_t room = 0;

	for (unsigned i = 0; i + 1 < count; i++) {
		uint16_t next = q->next[at];

		room += fill(&q->desc[at], &segments[i], VRING_DESC_F_NEXT, next);
		at = next;
	}
	*last = at;
	return room + fill(&q->desc[at], &segments[count - 1], 0, 0);
}

static uint16_t split_add(struct uvdpa_queue *q, const struct uvdpa_segment *segments,
			  unsigned count, bool indirect, uint64_t cookie)
{
	uint16_t head = q->free_head, last = head;
	uint64_t room;

	if (indirect)
		room = fill_indirect(q, head, segments, count);
	else
		room = fill_direct(q, head, segments, count, &last);
	q->free_head = q->next[last];
	q->avail->ring[slot(q, q->added)] = head;
	drv_chain_begin(q, head, indirect ? 1 : (uint16_t)count, room, cookie);
	return head;
}

static unsigned split_flush_used(struct uvdpa_queue *q)
{
	uint16_t count = q->added - q->published;

	if (count > 0)
		__atomic_store_n(&q->avail->idx, q->added, __ATOMIC_RELEASE);
	q->published = q->added;
	return count;
}

static bool split_kick_wanted(struct uvdpa_queue *q)
{
	uint16_t old = q->asked, now = q->published;

	q->asked = now;
	if (old == now)
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!q->event_idx)
		return !(__atomic_load_n(&q->used->flags, __ATOMIC_RELAXED) &
			 VRING_USED_F_NO_NOTIFY);
	/* virtio 2.7.10: the event lies in [old, now) */
	return (uint16_t)(now - __atomic_load_n(avail_event(q), __ATOMIC_RELAXED) - 1) <
	       (uint16_t)(now - old);
}

/* How many chains the device says it has finished, beyond those taken. -EPROTO: too many. */
static int split_pending(struct uvdpa_queue *q)
{
	unsigned pending = (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->taken);

	if (pending > drv_shown(q))
		return drv_break_queue(q, UVDPA_QUEUE_USED_INDEX,
				       "the used index went from %u to %u with %u chains in flight",
				       q->taken, (uint16_t)(q->taken + pending), drv_shown(q));
	return (int)pending;
}

static void split_enable_notify(struct uvdpa_queue *q, bool calls)
{
	uint16_t flags = calls || q->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;

	/* without calls: an event just passed, which takes 65536 completions to come again */
	if (q->event_idx) {
		q->event_told = (uint16_t)(q->taken - (calls ? 0 : 1));
		__atomic_store_n(used_event(q), q->event_told, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&q->avail->flags, flags, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* After collecting. Without calls the event is only kept from coming round. */
static inline void arm_again(struct uvdpa_queue *q)
{
	if (q->calls)
		split_enable_notify(q, true);
	else if (q->event_idx && (uint16_t)(q->taken - q->event_told) > 1 << 14)
		split_enable_notify(q, false);
}

/* The next completion, as the device has it. 0, or -EPROTO with the queue broken. */
static inline int take(struct uvdpa_queue *q, uint32_t *id, uint32_t *len)
{
	const struct vring_used_elem *e = &q->used->ring[slot(q, q->taken)];

	if (q->in_batch) {
		*id = q->batch_id;
		*len = q->batch_len;
	} else {
		/* once each: the device may change them under us */
		*id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
		*len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	}
	if (drv_judge(q, *id, *len) < 0)
		return -EPROTO;
	if (q->in_order)
		drv_unfold(q, id, len);
	return 0;
}

/* In order the free descriptors are those behind the last one drawn, round and round (2.7.9). */
static inline void put_back(struct uvdpa_queue *q, uint16_t head)
{
	struct drv_chain *chain = &q->chains[head];

	if (!q->in_order) {
		uint16_t last = head;

		for (uint16_t i = 1; i < chain->count; i++)
			last = q->next[last];
		q->next[last] = q->free_head;
		q->free_head = head;
	}
	drv_chain_end(q, chain);
}

static int split_poll(struct uvdpa_queue *q, struct uvdpa_completion *completions, unsigned max)
{
	int pending = split_pending(q);
	unsigned n;

	if (pending <= 0)
		return pending;
	for (n = 0; n < max && n < (unsigned)pending; n++) {
		uint32_t id, len;

		if (take(q, &id, &len) < 0)
			break;
		completions[n].cookie = q->chains[id].cookie;
		completions[n].written = len;
		completions[n].head = (uint16_t)id;
		put_back(q, (uint16_t)id);
		q->taken++;
	}
	if (n == 0 && q->broken)
		return -EPROTO;
	arm_again(q);
	return (int)n;
}

static uint32_t split_position(const struct uvdpa_queue *q)
{
	return __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
}

static void split_peek(const struct uvdpa_queue *q, struct uvdpa_queue_view *view)
{
	view->used_idx = __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE);
	view->used_flags = __atomic_load_n(&q->used->flags, __ATOMIC_RELAXED);
	view->avail_event = __atomic_load_n(avail_event(q), __ATOMIC_RELAXED);
	view->avail_idx = __atomic_load_n(&q->avail->idx, __ATOMIC_RELAXED);
	view->avail_flags = __atomic_load_n(&q->avail->flags, __ATOMIC_RELAXED);
	view->used_event = __atomic_load_n(used_event(q), __ATOMIC_RELAXED);
	view->last_used = q->taken;
	view->unpublished = (uint16_t)(q->added - q->published);
}

static void split_descriptor(const struct uvdpa_queue *q, uint16_t index,
			     struct uvdpa_descriptor *descriptor)
{
	const struct vring_desc *d = &q->desc[index];

	descriptor->addr = __atomic_load_n(&d->addr, __ATOMIC_RELAXED);
	descriptor->len = __atomic_load_n(&d->len, __ATOMIC_RELAXED);
	descriptor->flags = __atomic_load_n(&d->flags, __ATOMIC_RELAXED);
	descriptor->next = __atomic_load_n(&d->next, __ATOMIC_RELAXED);
}

const struct drv_ring drv_ring_split = {
	.lengths = split_lengths,
	.can_start = split_can_start,
	.start = split_start,
	.add = split_add,
	.publish = split_flush_used,
	.kick_wanted = split_kick_wanted,
	.pending = split_pending,
	.poll = split_poll,
	.arm = split_enable_notify,
	.position = split_position,
	.peek = split_peek,
	.descriptor = split_descriptor,
};
