/*
 * Chains in flight, inlined into the layouts' loops: what is recorded when one is added, and what a
 * completion is judged by. A hostile device can break a queue (drv_break_queue()) and no more.
 */
#ifndef UVDPA_DRIVER_CHAINS_H
#define UVDPA_DRIVER_CHAINS_H

#include <assert.h>

#include "driver/queue.h"

#define DRV_QUEUE_LIMIT 32768

/* Records a chain that takes `count` descriptors. */
static inline void drv_chain_begin(struct uvdpa_queue *q, uint16_t head, uint16_t count,
				   uint64_t room, uint64_t cookie)
{
	struct drv_chain *chain = &q->chains[head];

	chain->cookie = cookie;
	chain->room = room;
	/* atomic, since packed_position() may look from another thread */
	__atomic_store_n(&chain->serial, q->added, __ATOMIC_RELAXED);
	__atomic_store_n(&chain->count, count, __ATOMIC_RELAXED);
	if (q->in_order)
		__atomic_store_n(&q->order[q->added & q->order_mask], head, __ATOMIC_RELAXED);
	q->free_count -= count;
	q->in_flight++;
	q->added++;
}

/* Takes a completed chain off the books; the free list is the layout's. */
static inline void drv_chain_end(struct uvdpa_queue *q, struct drv_chain *chain)
{
	q->free_count += chain->count;
	q->in_flight--;
	__atomic_store_n(&chain->count, 0, __ATOMIC_RELAXED);
}

/* Chains that the device was shown and that were not collected. */
static inline unsigned drv_shown(const struct uvdpa_queue *q)
{
	return (uint16_t)(q->in_flight - (uint16_t)(q->added - q->published));
}

/* Whether the device was ever shown this chain: at most 32768 lie between. */
static inline bool drv_is_published(const struct uvdpa_queue *q, const struct drv_chain *chain)
{
	return (uint16_t)(q->published - chain->serial - 1) < DRV_QUEUE_LIMIT;
}

/* Says what is wrong with a completion. -EPROTO. */
int __attribute__((cold)) drv_refuse(struct uvdpa_queue *q, uint32_t id, uint32_t len);

/*
 * Judges what the device says about a chain (virtio 2.7.8 and 2.8.8 say what it ought to be): 0, or
 * -EPROTO with the queue broken.
 */
static inline int drv_judge(struct uvdpa_queue *q, uint32_t id, uint32_t len)
{
	const struct drv_chain *chain;

	if (id >= q->size)
		return drv_refuse(q, id, len);
	chain = &q->chains[id];
	if (chain->count == 0 || !drv_is_published(q, chain) || len > chain->room)
		return drv_refuse(q, id, len);
	return 0;
}

/*
 * With IN_ORDER one used entry may stand for several chains: all up to the one that it names. Those
 * before it are used in full (virtio 2.7.9, 2.8.9). Makes `id` and `len` those of the next chain
 * in order.
 */
static inline void drv_unfold(struct uvdpa_queue *q, uint32_t *id, uint32_t *len)
{
	uint16_t head = q->order[q->taken & q->order_mask];

	__atomic_store_n(&q->in_batch, *id != head, __ATOMIC_RELAXED);
	if (*id == head)
		return;
	__atomic_store_n(&q->batch_id, *id, __ATOMIC_RELAXED);
	q->batch_len = *len;
	*id = head;
	*len = q->chains[head].room > UINT32_MAX ? UINT32_MAX : (uint32_t)q->chains[head].room;
}

#endif
