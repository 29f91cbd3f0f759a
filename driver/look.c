/* Looking at a queue: its private counts, and its ring as it lies in memory, for checkers. */
#include "driver/queue.h"

#include "driver/arena.h"

int uvdpa_queue_kick_fd(const struct uvdpa_queue *q)
{
	return q->kick_fd;
}

int uvdpa_queue_call_fd(const struct uvdpa_queue *q)
{
	return q->call_fd;
}

enum uvdpa_queue_break uvdpa_queue_broken(const struct uvdpa_queue *q)
{
	return q->broken;
}

const char *uvdpa_queue_error(const struct uvdpa_queue *q)
{
	return q->err[0] ? q->err : NULL;
}

uint16_t uvdpa_queue_size(const struct uvdpa_queue *q)
{
	return q->size;
}

unsigned uvdpa_queue_in_flight(const struct uvdpa_queue *q)
{
	return q->in_flight;
}

unsigned uvdpa_queue_free_descriptors(const struct uvdpa_queue *q)
{
	return q->free_count;
}

uint32_t uvdpa_queue_base(const struct uvdpa_queue *q)
{
	return q->ring->position(q);
}

void uvdpa_queue_debug_snapshot(const struct uvdpa_queue *q, struct uvdpa_queue_view *view)
{
	q->ring->peek(q, view);
}

void uvdpa_queue_areas(const struct uvdpa_queue *q, struct uvdpa_queue_areas *areas)
{
	q->ring->lengths(q->size, &areas->desc_len, &areas->avail_len, &areas->used_len);
	areas->desc = q->desc;
	areas->avail = q->avail;
	areas->used = q->used;
	areas->desc_iova = uvdpa_memory_iova(q->memory, q->desc);
	areas->avail_iova = uvdpa_memory_iova(q->memory, q->avail);
	areas->used_iova = uvdpa_memory_iova(q->memory, q->used);
	areas->indirect = q->indirect ? q->tables : NULL;
	areas->indirect_len = (size_t)q->size * q->indirect * sizeof(struct vring_desc);
}

void uvdpa_queue_descriptor(const struct uvdpa_queue *q, uint16_t index,
			    struct uvdpa_descriptor *descriptor)
{
	q->ring->descriptor(q, index % q->size, descriptor);
}

int uvdpa_queue_is_packed(const struct uvdpa_queue *q)
{
	return q->ring == &drv_ring_packed;
}

uint16_t uvdpa_queue_avail_entry(const struct uvdpa_queue *q, uint16_t index)
{
	if (uvdpa_queue_is_packed(q))
		return 0;
	return __atomic_load_n(&q->avail->ring[index & (q->size - 1)], __ATOMIC_RELAXED);
}

void uvdpa_queue_used_entry(const struct uvdpa_queue *q, uint16_t index, uint32_t *id,
			    uint32_t *len)
{
	const struct vring_used_elem *e = &q->used->ring[index & (q->size - 1)];

	*id = *len = 0;
	if (uvdpa_queue_is_packed(q))
		return;
	*id = __atomic_load_n(&e->id, __ATOMIC_RELAXED);
	*len = __atomic_load_n(&e->len, __ATOMIC_RELAXED);
}
