/*
 * Parking: requests are handed over in flight (S3).
 *
 * Theory of operation
 * -------------------
 * A request may be handed over only when nobody here can touch its memory or the disk for it any
 * more: otherwise a read could still land in a guest that runs elsewhere (S4), and a write could
 * undo a later one. So parking is cancelling with another outcome: the backend is asked to give
 * requests back, and the device is suspended when all have come, done or undone. Those done are
 * published as always. Those undone stay in flight as far as the driver is concerned: they count in
 * the base, are no part of the used ring, and are listed in the order of their taking, in `again`
 * and so in the saved state (and in the record, if there is one), to be done from their beginning
 * by whoever goes on. What the backend cannot give back keeps the device from being suspended, and
 * the deadline lets it run on, taking again what was given back (S10).
 *
 * Used descriptors of a packed ring overwrite what a chain in flight would have to be read from
 * again: it is parked only with a record that moves along, which has copies; the saved state has
 * none. Rings without are waited for as ever. So are rings that are used in order: what is done
 * behind a request that is not could neither be shown nor be done again.
 */
#include <stdlib.h>

#include "device/device_internal.h"

void queue_park(struct queue *queue)
{
	struct device *device = queue->device;
	const struct model_ops *ops = device->model->ops;

	if (!queue->ring.started || (queue->ring.packed && !queue_moves_along(queue)) ||
	    queue->ring.setup.reorder || !ops->cancel || ops->process_queue)
		return;
	if (!queue->parked)
		queue->parked = calloc(device->options.queue_size, sizeof(queue->parked[0]));
	if (!queue->parked || queue_make_resubmit_list(queue) < 0)
		return; /* without memory: wait */
	queue->parking = true;
	if (queue->in_flight)
		ops->cancel(device->model, queue->index);
	device->runtime->ops->wake_queue(device->runtime, queue->index);
}

static int by_sequence(const void *a, const void *b)
{
	const struct parked *x = a, *y = b;

	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

/* Parked requests were taken before those that the ring still has to take again. */
static unsigned collect(struct queue *queue)
{
	uint16_t rest[DEVICE_MAX_QUEUE_SIZE];
	unsigned n = 0, left = ring_pending(&queue->ring, rest);

	/* only a driver that posts chains twice can get there; pass.c breaks it */
	if (left > queue->ring_num - queue->parked_count)
		left = queue->ring_num - queue->parked_count;
	qsort(queue->parked, queue->parked_count, sizeof(queue->parked[0]), by_sequence);
	for (; n < queue->parked_count; n++)
		queue->resubmit_list[n] = queue->parked[n].head;
	for (unsigned i = 0; i < left; i++)
		queue->resubmit_list[n++] = rest[i];
	queue->parked_count = 0;
	return n;
}

void queue_keep_parked(struct queue *queue)
{
	if (!queue->parking)
		return;
	queue->resubmit_count = collect(queue);
	queue->parking = false;
}

void queue_resubmit(struct queue *queue)
{
	if (queue->parked_count)
		ring_resubmit(&queue->ring, queue->resubmit_list, collect(queue));
	if (!queue->in_flight)
		queue->parking = false;
}
