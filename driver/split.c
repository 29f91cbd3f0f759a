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

#include <string.h>

#include "driver/arena.h"
#include "driver/queue.h"

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

static void split_start(struct uvdpa_queue *q, uint16_t base)
{
	size_t desc, avail, used;

	split_lengths(q->size, &desc, &avail, &used);
	memset(q->desc, 0, desc);
	memset(q->avail, 0, avail);
	memset(q->used, 0, used);
	q->avail->idx = base;
	q->used->idx = base;
	q->added = q->published = q->asked = q->taken = base;
	*used_event(q) = base;
}

/* One descriptor without its chaining. */
static void fill(struct vring_desc *d, const struct uvdpa_segment *s)
{
	d->addr = s->iova;
	d->len = s->len;
	d->flags = s->writable ? VRING_DESC_F_WRITE : 0;
	d->next = 0;
}

/* virtio 2.7.5.3: one descriptor that names a table in which the chain lies. */
static void fill_indirect(struct uvdpa_queue *q, uint16_t head,
			  const struct uvdpa_segment *segments, unsigned count)
{
	struct vring_desc *table = q->tables + (size_t)head * q->indirect;

	for (unsigned i = 0; i < count; i++) {
		fill(&table[i], &segments[i]);
		if (i + 1 < count) {
			table[i].flags |= VRING_DESC_F_NEXT;
			table[i].next = (uint16_t)(i + 1);
		}
	}
	q->desc[head].addr = uvdpa_memory_iova(q->memory, table);
	q->desc[head].len = (uint32_t)(count * sizeof(*table));
	q->desc[head].flags = VRING_DESC_F_INDIRECT;
	q->desc[head].next = 0;
}

static void fill_direct(struct uvdpa_queue *q, uint16_t head, const struct uvdpa_segment *segments,
			unsigned count)
{
	uint16_t at = head;

	for (unsigned i = 0; i < count; i++) {
		struct vring_desc *d = &q->desc[at];

		fill(d, &segments[i]);
		if (i + 1 < count) {
			d->flags |= VRING_DESC_F_NEXT;
			d->next = q->next[at];
		}
		at = q->next[at];
	}
}

static uint16_t split_append(struct uvdpa_queue *q, const struct uvdpa_segment *segments,
			     unsigned count, bool indirect)
{
	uint16_t head = q->free_head;

	if (indirect)
		fill_indirect(q, head, segments, count);
	else
		fill_direct(q, head, segments, count);
	q->avail->ring[slot(q, q->added)] = head;
	q->added++;
	return head;
}

static unsigned split_publish(struct uvdpa_queue *q)
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

static unsigned split_pending(const struct uvdpa_queue *q)
{
	return (uint16_t)(__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) - q->taken);
}

static struct drv_used split_take(struct uvdpa_queue *q)
{
	const struct vring_used_elem *e = &q->used->ring[slot(q, q->taken)];
	struct drv_used used;

	/* once each: the device may change them under us */
	used.id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	used.len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
	q->taken++;
	return used;
}

static void split_arm(struct uvdpa_queue *q, bool calls)
{
	uint16_t flags = calls || q->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT;

	/* without calls: an event just passed, which takes 65536 completions to come again */
	if (q->event_idx)
		__atomic_store_n(used_event(q), (uint16_t)(q->taken - (calls ? 0 : 1)),
				 __ATOMIC_RELAXED);
	__atomic_store_n(&q->avail->flags, flags, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

const struct drv_ring drv_ring_split = {
	.lengths = split_lengths,
	.start = split_start,
	.append = split_append,
	.publish = split_publish,
	.kick_wanted = split_kick_wanted,
	.pending = split_pending,
	.take = split_take,
	.arm = split_arm,
};
