/* The driver's side of a split virtqueue: see vq.h. */
#include "lib/vq.h"

#include <stdatomic.h>
#include <string.h>

static void put16(struct ram *ram, uint64_t iova, uint16_t value)
{
	atomic_store((_Atomic uint16_t *)ram_at(ram, iova, 2), value);
}

static uint16_t get16(struct ram *ram, uint64_t iova)
{
	return atomic_load((_Atomic uint16_t *)ram_at(ram, iova, 2));
}

uint64_t vq_init(struct vq *vq, struct ram *ram, uint16_t num, uint64_t iova)
{
	memset(vq, 0, sizeof(*vq));
	vq->ram = ram;
	vq->num = num;
	vq->desc = (iova + 15) & ~UINT64_C(15);
	vq->avail = vq->desc + 16u * num;
	vq->used = (vq->avail + 4 + 2u * num + 2 + 3) & ~UINT64_C(3);
	memset(ram_at(ram, vq->desc, 16u * num), 0, 16u * num);
	memset(ram_at(ram, vq->avail, 6 + 2u * num), 0, 6 + 2u * num);
	memset(ram_at(ram, vq->used, 6 + 8u * num), 0, 6 + 8u * num);
	return vq->used + 4 + 8u * num + 2;
}

void vq_start_at(struct vq *vq, uint16_t base)
{
	vq->next_avail = vq->next_used = base;
	put16(vq->ram, vq->avail + 2, base);
	put16(vq->ram, vq->used + 2, base);
}

void vq_desc_at(struct ram *ram, uint64_t iova, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next)
{
	uint8_t *p = ram_at(ram, iova, 16);

	memcpy(p, &addr, 8);
	memcpy(p + 8, &len, 4);
	memcpy(p + 12, &flags, 2);
	memcpy(p + 14, &next, 2);
}

void vq_desc(struct vq *vq, uint16_t index, uint64_t addr, uint32_t len, uint16_t flags,
	     uint16_t next)
{
	vq_desc_at(vq->ram, vq->desc + 16u * index, addr, len, flags, next);
}

void vq_announce(struct vq *vq, uint16_t index)
{
	put16(vq->ram, vq->avail + 2, index);
}

void vq_offer(struct vq *vq, uint16_t head)
{
	put16(vq->ram, vq->avail + 4 + 2u * (vq->next_avail % vq->num), head);
	vq->next_avail++;
	vq_announce(vq, vq->next_avail);
}

bool vq_wants_kick(const struct vq *vq, uint16_t old, bool event_idx)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (!event_idx)
		return !(vq_used_flags(vq) & 1);
	/* virtio 1.3, 2.7.10: kick if the event lies in [old, new). */
	return (uint16_t)(vq_avail_event(vq) - old) < (uint16_t)(vq->next_avail - old);
}

bool vq_take_used(struct vq *vq, struct vq_used *used)
{
	if (vq_used_index(vq) == vq->next_used)
		return false;
	memcpy(used, ram_at(vq->ram, vq->used + 4 + 8u * (vq->next_used % vq->num), 8), 8);
	vq->next_used++;
	return true;
}

uint16_t vq_used_index(const struct vq *vq)
{
	return get16(vq->ram, vq->used + 2);
}

uint16_t vq_used_flags(const struct vq *vq)
{
	return get16(vq->ram, vq->used);
}

uint16_t vq_avail_event(const struct vq *vq)
{
	return get16(vq->ram, vq->used + 4 + 8u * vq->num);
}

void vq_set_used_event(struct vq *vq, uint16_t value)
{
	put16(vq->ram, vq->avail + 4 + 2u * vq->num, value);
}

void vq_set_avail_flags(struct vq *vq, uint16_t value)
{
	put16(vq->ram, vq->avail, value);
}
