/* Address spaces of a device: which queue translates in which, and IOTLB changes. */
#include <assert.h>
#include <errno.h>

#include "device/device_internal.h"

/* Whether a ring or a request may still look into the client's memory. Workers excluded. */
static bool is_in_use(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].ring.started)
			return true;
	return device_count_in_flight(device);
}

int device_set_client(struct device *device, struct client_memory *memory)
{
	int r = -EBUSY;

	exclude_begin(device);
	if (!is_in_use(device)) {
		spaces_clear(device);
		device->client = memory;
		r = 0;
	}
	exclude_end(device);
	return r;
}

/* What the model has done for a region of memory its queues' workers undo. Workers excluded. */
static void region_invalidated(void *arg, uint64_t id)
{
	struct device *device = arg;

	if (!device->model->ops->region_invalidated(device->model, id))
		return;
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].slots)
			device->runtime->ops->wake_queue(device->runtime, i);
}

struct space *spaces_get(struct device *device, unsigned asid)
{
	struct space **space = &device->spaces[asid];

	if (*space || !device->client)
		return *space;
	*space = space_new(device->client);
	if (*space && device->model->ops->region_invalidated)
		space_on_gone(*space, region_invalidated, device);
	return *space;
}

/* The same for changing it. */
static struct space *space_of(struct device *device, unsigned asid)
{
	struct space *space = spaces_get(device, asid);

	return space && device->batching && space_begin(space) < 0 ? NULL : space;
}

/* Rings that were not mapped when last looked at may be now. */
static void look_again(struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].ring.started && device->queues[i].unmapped)
			device->runtime->ops->wake_queue(device->runtime, i);
}

int device_dma_map(struct device *device, unsigned asid, uint64_t iova, uint64_t size,
		   uint64_t uaddr, uint8_t perm)
{
	return device_dma_map_resolved(device, asid, iova, size, uaddr, perm, NULL);
}

int device_dma_map_resolved(struct device *device, unsigned asid, uint64_t iova, uint64_t size,
			    uint64_t uaddr, uint8_t perm, struct pieces *pieces)
{
	struct space *space;
	int r = -ENOMEM;

	if (asid >= device->options.asids || !device->client)
		return -EINVAL;
	exclude_begin(device);
	space = space_of(device, asid);
	if (space)
		r = space_add_resolved(space, iova, size, uaddr, perm, pieces);
	if (r == 0 && !device->batching)
		look_again(device);
	exclude_end(device);
	return r;
}

int device_dma_unmap(struct device *device, unsigned asid, uint64_t iova, uint64_t size)
{
	struct space *space;
	int r = -ENOMEM;

	if (asid >= device->options.asids || !device->client)
		return -EINVAL;
	exclude_begin(device);
	space = space_of(device, asid);
	if (space) {
		space_remove(space, iova, size);
		r = 0;
	}
	spaces_reap(device);
	exclude_end(device);
	return r;
}

void device_dma_batch(struct device *device, bool begin)
{
	exclude_begin(device);
	device->batching = begin;
	for (unsigned i = 0; i < device->options.asids; i++)
		if (!begin && device->spaces[i])
			space_commit(device->spaces[i]);
	if (!begin) {
		look_again(device);
		spaces_reap(device);
	}
	exclude_end(device);
}

/* The oldest generation of a space in which a request in flight was translated. */
static uint64_t oldest_generation(const struct device *device, const struct space *space)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = 0; i < device->queue_count; i++) {
		const struct queue *queue = &device->queues[i];

		for (unsigned k = 0; queue->in_flight && k < queue->slot_count; k++) {
			const struct request *request = queue_slot(queue, k);

			if (request->sequence && request->chain.space == space &&
			    request->generation < oldest)
				oldest = request->generation;
		}
	}
	return oldest;
}

/* Unmaps what nobody can be using any more. Workers excluded. */
void spaces_reap(struct device *device)
{
	for (unsigned i = 0; i < device->options.asids; i++) {
		struct space *space = device->spaces[i];

		if (space && space_has_retired(space))
			space_reap(space, oldest_generation(device, space));
	}
}

/* Forgets every mapping. Workers excluded, nothing in flight. */
void spaces_clear(struct device *device)
{
	assert(!device_count_in_flight(device));
	for (unsigned i = 0; i < device->options.asids; i++) {
		space_free(device->spaces[i]);
		device->spaces[i] = NULL;
	}
	device->batching = false;
}
