/*
 * The sham's packed rings (virtio 2.8, the slow way). Positions are an entry and, in bit 15, its
 * wrap counter, as in a base.
 */
#include "sham.h"

#include <linux/virtio_ring.h>

#define AVAIL 0x80u
#define USED  0x8000u
#define WRAP  0x8000u

static struct vring_packed_desc *entry(struct sham *s, const struct sham_queue *q, uint16_t at)
{
	return sham_at(s, q->desc + 16 * (uint64_t)(at & ~WRAP), 16, 2);
}

static uint16_t advance(const struct sham *s, const struct sham_queue *q, uint16_t at,
			unsigned count)
{
	unsigned to = (at & ~WRAP) + count;

	if (to < q->num)
		return (uint16_t)((at & WRAP) | to);
	if (sham_is(s, SHAM_NO_FLIP))
		return (uint16_t)((at & WRAP) | (to - q->num));
	return (uint16_t)((~at & WRAP) | (to - q->num));
}

bool sham_packed_shown(struct sham *s, const struct sham_queue *q)
{
	const struct vring_packed_desc *d = entry(s, q, q->last_avail);
	uint16_t flags = d ? __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE) : 0;

	/* available: AVAIL is the wrap counter and USED is not; this fault goes by their difference
	 */
	if (sham_is(s, SHAM_STALE_LAP))
		return !(flags & AVAIL) != !(flags & USED);
	return d && !(flags & AVAIL) == !(q->last_avail & WRAP) &&
	       !(flags & USED) != !(q->last_avail & WRAP);
}

/* All entries of an indirect table are the chain. */
static bool walk_table(struct sham *s, struct sham_request *r, const struct vring_packed_desc *d)
{
	unsigned seen = 0, count = d->len / 16;

	if (d->len % 16 || count > 64)
		return false;
	for (unsigned i = 0; i < count; i++) {
		const struct vring_packed_desc *e = sham_at(s, d->addr + 16 * (uint64_t)i, 16, 1);

		if (!e ||
		    !sham_add_buffer(s, r, e->addr, e->len, e->flags & VRING_DESC_F_WRITE, &seen))
			return false;
	}
	return r->status != 0;
}

static bool walk(struct sham *s, const struct sham_queue *q, struct sham_request *r)
{
	uint16_t at = q->last_avail;
	unsigned seen = 0;

	for (r->entries = 1; r->entries <= q->num; r->entries++) {
		const struct vring_packed_desc *d = entry(s, q, at);

		if (!d)
			return false;
		r->head = d->id;
		r->table = d->flags & VRING_DESC_F_INDIRECT ? d->addr : 0;
		if (r->table)
			return r->entries == 1 && walk_table(s, r, d);
		if (!sham_add_buffer(s, r, d->addr, d->len, d->flags & VRING_DESC_F_WRITE, &seen))
			return false;
		if (!(d->flags & VRING_DESC_F_NEXT))
			return r->status != 0;
		at = advance(s, q, at, 1);
	}
	return false;
}

/* Takes one request; false if the ring is nonsense. */
bool sham_packed_take(struct sham *s, struct sham_queue *q, struct sham_request *r)
{
	*r = (struct sham_request){0};
	if (!walk(s, q, r))
		return false;
	q->last_avail = advance(s, q, q->last_avail, r->entries);
	return true;
}

void sham_packed_publish(struct sham *s, struct sham_queue *q, const struct sham_request *r,
			 uint32_t written)
{
	struct vring_packed_desc *d = entry(s, q, q->used_idx);
	uint16_t flags = VRING_DESC_F_WRITE | (q->used_idx & WRAP ? AVAIL | USED : 0);

	if (!d)
		return;
	if (sham_is(s, SHAM_USED_FLAGS_INVERTED))
		flags ^= AVAIL | USED;
	d->id = r->head;
	d->len = written;
	__atomic_store_n(&d->flags, flags, __ATOMIC_RELEASE);
	q->used_idx = advance(s, q, q->used_idx, sham_is(s, SHAM_ONE_EACH) ? 1 : r->entries);
}

/* virtio 2.8.10: does the driver want to hear of what was published since the last time? */
bool sham_packed_wants_call(struct sham *s, const struct sham_queue *q, uint16_t old)
{
	const struct vring_packed_desc_event *event = sham_at(s, q->avail, 4, 1);
	uint16_t flags;

	if (!event)
		return false;
	flags = __atomic_load_n(&event->flags, __ATOMIC_ACQUIRE);
	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	for (unsigned i = 0; i < q->num && old != q->used_idx; i++, old = advance(s, q, old, 1))
		if (old == __atomic_load_n(&event->off_wrap, __ATOMIC_RELAXED))
			return true;
	return false;
}

void sham_packed_arm(struct sham *s, const struct sham_queue *q, bool event_idx)
{
	struct vring_packed_desc_event *event = sham_at(s, q->used, 4, 2);

	if (!event)
		return;
	__atomic_store_n(&event->off_wrap, q->last_avail, __ATOMIC_RELAXED);
	__atomic_store_n(&event->flags,
			 event_idx ? VRING_PACKED_EVENT_FLAG_DESC : VRING_PACKED_EVENT_FLAG_ENABLE,
			 __ATOMIC_SEQ_CST);
}
