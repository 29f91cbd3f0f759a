/* The rig: see rig.h. */
#include "rig.h"

#include <assert.h>
#include <string.h>

struct rig rig;
_Alignas(64) uint8_t rig_memory[RIG_MEMORY];

static int map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	uint64_t left = rig.kind == RIG_STRETCHES ? RIG_STRETCH - uaddr % RIG_STRETCH : size;

	*out = (struct window){.uaddr = uaddr,
			       .size = size < left ? size : left,
			       .host = rig.kind == RIG_COPIED ? NULL : rig_memory + uaddr};
	return 0;
}

static void unmap(struct client_memory *memory, struct window *window)
{
}

static int copy_out(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	memcpy(to, rig_memory + uaddr, size);
	return 0;
}

static int copy_in(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	memcpy(rig_memory + uaddr, from, size);
	return 0;
}

static const struct client_memory_ops memory_ops = {
	.map = map, .unmap = unmap, .read = copy_out, .write = copy_in};
static struct client_memory client = {.ops = &memory_ops};

struct client_memory *rig_client(void)
{
	return &client;
}

uint16_t *rig_data(unsigned number)
{
	return (uint16_t *)(void *)(rig_memory + RIG_DATA) + number;
}

struct ring_setup rig_ring_setup(uint64_t features, bool record)
{
	return (struct ring_setup){.num = RIG_NUM,
				   .desc = RIG_IOVA + RIG_DESC,
				   .driver = RIG_IOVA + RIG_DRIVER,
				   .device = RIG_IOVA + RIG_DEVICE,
				   .base = ring_first_base(features),
				   .features = features,
				   .prefetch = &rig.prefetch,
				   .record = record ? (void *)(rig_memory + RIG_RECORD) : NULL};
}

static void set_up_queue(uint64_t features)
{
	struct uvdpa_queue *q = &rig.queue;

	q->ring = features & 1ull << VIRTIO_F_RING_PACKED ? &drv_ring_packed : &drv_ring_split;
	q->size = q->free_count = RIG_NUM;
	q->event_idx = features & 1ull << VIRTIO_RING_F_EVENT_IDX;
	q->desc = (void *)(rig_memory + RIG_DESC);
	q->avail = (void *)(rig_memory + RIG_DRIVER);
	q->used = (void *)(rig_memory + RIG_DEVICE);
	q->chains = rig.in_flight;
	q->next = rig.next;
	for (uint16_t i = 0; i < RIG_NUM; i++)
		q->next[i] = (uint16_t)(i + 1);
	q->ring->start(q, q->ring->first_base);
}

void rig_set_up(enum rig_memory kind, uint64_t features, bool record)
{
	struct ring_setup setup = rig_ring_setup(features, record);
	bool packed = features & 1ull << VIRTIO_F_RING_PACKED;

	memset(&rig, 0, sizeof(rig));
	memset(rig_memory, 0, sizeof(rig_memory));
	rig.kind = kind;
	rig.space = space_new(&client);
	assert(rig.space && !space_add(rig.space, RIG_IOVA, RIG_MEMORY, 0, 3));
	set_up_queue(features);
	for (unsigned i = 0; i < 2; i++) {
		rig.chains[i].segments = rig.segments[i];
		rig.chains[i].max_segments = RIG_NUM;
	}
	if (record && packed)
		inflight_packed_clear((void *)setup.record, RIG_NUM);
	else if (record)
		inflight_clear(setup.record, RIG_NUM);
	assert(!ring_start(&rig.ring, &setup, rig.space));
	assert(ring_look(&rig.ring) == RING_EMPTY);
	space_keep(rig.space, &rig.ring.cache, RIG_IOVA + RIG_DATA);
}

void rig_tear_down(void)
{
	space_free(rig.space);
}

void rig_add(unsigned number, bool writable)
{
	const struct uvdpa_segment segment = {
		.iova = RIG_IOVA + RIG_DATA + 2 * number, .len = 2, .writable = writable};

	rig.queue.ring->add(&rig.queue, &segment, 1, false, number);
}

bool rig_pop(unsigned place)
{
	return ring_pop(&rig.ring, &rig.chains[place]) == RING_CHAIN;
}

void rig_cycle(void)
{
	struct uvdpa_completion completion;

	rig_add(7, true);
	rig.queue.ring->publish(&rig.queue);
	rig.queue.ring->kick_wanted(&rig.queue);
	assert(rig_pop(0));
	ring_complete(&rig.ring, &rig.chains[0], 2);
	ring_flush_used(&rig.ring);
	assert(rig.queue.ring->poll(&rig.queue, &completion, 1) == 1);
}
