/*
 * Virtqueues as the driver sets them up, and their coming to life and standing
 * still. What a queue needs to work (slots, backend channel) is made when it
 * first starts and kept over suspensions and resets, so that a move does not
 * wait for it; it goes when the driver does.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device_internal.h"

/* May addresses and bases be set now? (linux 6.8+ vhost_vdpa_vring_ioctl) */
static bool setup_allowed(const struct device *device, const struct queue *queue)
{
	if (!(device->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return true;
	if (device->export_rules & EXPORT_SETS_QUEUES_ANY_TIME)
		return !queue->ready && !queue->ring.started;
	return device->state == STATE_SUSPENDED && (device->holders & HOLDER_DRIVER);
}

int device_set_vq_num(struct device *device, unsigned index, uint16_t num)
{
	assert(index < device->queue_count);
	if (!ring_size_fits(num, device->features) || num > device->options.queue_size)
		return -EINVAL;
	device->queues[index].num = num;
	return 0;
}

uint16_t device_get_vq_size(const struct device *device, unsigned index)
{
	assert(index < device->queue_count);
	return device->queues[index].num;
}

/*
 * Finds out how the rings are reached: now, when nobody waits for this queue, and not in the
 * standstill of a hand-over, when it begins. What is not mapped yet is looked at again then.
 */
static void reach_rings(struct queue *queue)
{
	const uint64_t areas[] = {queue->desc, queue->driver, queue->used};
	struct space *space = queue_space(queue);
	struct segment segment;

	for (unsigned i = 0; space && i < 3; i++)
		space_translate(space, areas[i], 1, SPACE_READ, &segment, 1);
}

int device_set_vq_address(struct device *device, unsigned index, uint64_t desc, uint64_t driver,
			  uint64_t used)
{
	struct queue *queue = &device->queues[index];

	assert(index < device->queue_count);
	if (!setup_allowed(device, queue))
		return -EINVAL;
	queue->told &= queue->desc == desc && queue->used == used;
	queue->desc = desc;
	queue->driver = driver;
	queue->used = used;
	reach_rings(queue);
	return 0;
}

int device_set_vq_state(struct device *device, unsigned index, uint32_t base)
{
	assert(index < device->queue_count);
	if (!setup_allowed(device, &device->queues[index]))
		return -EINVAL;
	if (!(device->features & (1ull << VIRTIO_F_RING_PACKED)) && base > UINT16_MAX)
		return -EINVAL;
	device->queues[index].told &= base == device->queues[index].base;
	device->queues[index].base = base;
	device->queues[index].has_base = true;
	device_trace(device, TRACE_BASE_SET, index, base);
	return 0;
}

/* Where a ring that is not started stands. */
uint32_t queue_base(const struct queue *queue)
{
	return queue->has_base ? queue->base : ring_first_base(queue->device->features);
}

uint32_t device_peek_vq_state(struct device *device, unsigned index)
{
	struct queue *queue = &device->queues[index];
	uint32_t base;

	assert(index < device->queue_count);
	if (device->state == STATE_SUSPENDED || device->state == STATE_RESET ||
	    !queue->ring.started)	  /* control alone starts it */
		return queue_base(queue); /* S6 */
	exclude_begin(device);
	base = queue->ring.started ? ring_base(&queue->ring) : queue_base(queue);
	exclude_end(device);
	return base;
}

int device_get_vq_state(struct device *device, unsigned index, uint32_t *base)
{
	*base = device_peek_vq_state(device, index);
	device_trace(device, TRACE_BASE_READ, index, *base);
	return 0;
}

bool device_get_vq_ready(const struct device *device, unsigned index)
{
	assert(index < device->queue_count);
	return device->queues[index].ready;
}

unsigned device_get_vq_group(const struct device *device, unsigned index)
{
	const struct model_ops *ops = device->model->ops;

	if (ops->queue_group)
		return ops->queue_group(device->model, index);
	return device->options.groups ? index % device->options.groups : 0;
}

int device_set_group_asid(struct device *device, unsigned group, unsigned asid)
{
	if (group >= device->group_count || asid >= device->options.asids)
		return -EINVAL;
	if (device->status & VIRTIO_CONFIG_S_DRIVER_OK)
		return -EBUSY;
	device->group_asid[group] = asid;
	return 0;
}

struct space *queue_space(const struct queue *queue)
{
	struct device *device = queue->device;
	unsigned group = device_get_vq_group(device, queue->index);

	return spaces_get(device, device->group_asid[group]);
}

int queue_make_resubmit_list(struct queue *queue)
{
	if (!queue->resubmit_list)
		queue->resubmit_list =
			calloc(queue->device->options.queue_size, sizeof(queue->resubmit_list[0]));
	return queue->resubmit_list ? 0 : -ENOMEM;
}

/* Returns 0 or -ENOMEM, with the error filled. */
static int make_reorder(struct queue *queue, struct error *f)
{
	struct device *device = queue->device;

	if (queue->reorder || !(device->features & (1ull << VIRTIO_F_IN_ORDER)))
		return 0;
	queue->reorder = calloc(device->options.queue_size, sizeof(queue->reorder[0]));
	return queue->reorder ? 0 : error_set(f, -ENOMEM, "no memory");
}

static void free_slots(struct queue *queue)
{
	free(queue->slots);
	free(queue->inline_segs);
	free(queue->overflow_segs);
	free(queue->prefetch);
	queue->slots = NULL;
	queue->prefetch = NULL;
	queue->inline_segs = queue->overflow_segs = NULL;
}

struct request *queue_make_slot(struct queue *queue)
{
	unsigned i = queue->slot_count;
	struct request *request;

	if (i == queue->device->options.queue_size)
		return NULL;
	queue->slot_count++;
	request = queue_slot(queue, i);
	memset(request, 0, sizeof(*request));
	request->inline_segs = queue->inline_segs + (size_t)i * CHAIN_INLINE_SEGMENTS;
	request->chain.overflow_segs = queue->overflow_segs + (size_t)i * CHAIN_MAX_SEGMENTS;
	request->sink = &queue_sink;
	request->owner = queue;
	request->queue = (uint16_t)queue->index;
	request->next = queue->free;
	queue->free = request;
	return request;
}

static bool any_started(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].ring.started)
			return true;
	return false;
}

int device_activate(struct device *device, struct error *f)
{
	if (any_started(device) || !device->model->ops->activate)
		return 0;
	return device->model->ops->activate(device->model, f);
}

static void inactivate_if_idle(struct device *device)
{
	if (!any_started(device) && device->model->ops->inactivate)
		device->model->ops->inactivate(device->model);
}

/* Makes room for slots and opens the model's side. Returns 0 or a negative errno with the error
 * filled. */
static int prepare(struct queue *queue, struct error *f)
{
	struct device *device = queue->device;
	unsigned count = device->options.queue_size;
	int r;

	if (queue->slots)
		return 0;
	queue->slots = aligned_alloc(64, count * queue_slot_size(device));
	queue->inline_segs = malloc((size_t)count * CHAIN_INLINE_SEGMENTS * sizeof(struct segment));
	queue->overflow_segs = malloc((size_t)count * CHAIN_MAX_SEGMENTS * sizeof(struct segment));
	queue->prefetch = malloc(sizeof(*queue->prefetch));
	if (!queue->slots || !queue->inline_segs || !queue->overflow_segs || !queue->prefetch) {
		r = error_set(f, -ENOMEM, "no memory");
		goto fail;
	}
	if (device->model->ops->queue_start) {
		r = device->model->ops->queue_start(device->model, queue->index, count, f);
		if (r < 0)
			goto fail;
	}
	queue->slot_count = 0;
	queue->free = NULL;
	device->runtime->ops->queue_changed(device->runtime, queue->index, true);
	return 0;
fail:
	free_slots(queue);
	return r;
}

static struct ring_setup ring_setup_of(const struct queue *queue)
{
	return (struct ring_setup){.num = queue->ring_num,
				   .desc = queue->desc,
				   .driver = queue->driver,
				   .device = queue->used,
				   .base = queue_base(queue),
				   .base_unset = !queue->has_base,
				   .told = queue->told,
				   .features = queue->device->features,
				   .record = queue->record,
				   .resubmit_list = queue->resubmit_list,
				   .resubmit_count = queue->resubmit_count,
				   .reorder = queue->device->features & (1ull << VIRTIO_F_IN_ORDER)
						      ? queue->reorder
						      : NULL};
}

/* Address space 0 is the guest's memory, which is what a log is of; another is the VMM's own. */
static struct dirty_log *data_log(const struct queue *queue)
{
	struct device *device = queue->device;

	return device->group_asid[device_get_vq_group(device, queue->index)] ? NULL
									     : device->data_log;
}

/* Lets a ready queue take chains, from where it stood. Workers excluded. */
void queue_open(struct queue *queue)
{
	struct device *device = queue->device;
	struct space *space = queue_space(queue);
	struct ring_setup setup;
	struct error f = {0};

	/* QEMU enables all queues of a vhost-vdpa device, also those that its guest has not set up.
	 */
	if (!queue->desc && !queue->driver && !queue->used)
		return;
	if ((queue->record || device->features & (1ull << VIRTIO_F_RING_PACKED)) &&
	    !queue->ring.started)
		queue->resubmit_count =
			0; /* the record has them, and whether they are still wanted */
	state_continue_queue(queue);
	make_reorder(queue, &f);
	setup = ring_setup_of(queue);

	if (!space)
		error_set(&f, -EINVAL, "enabled, and there is no client memory");
	if (!f.code && device_activate(device, &f) == 0 && prepare(queue, &f) == 0)
		setup.prefetch = queue->prefetch;
	if (!f.code && !queue->ring.started && ring_start(&queue->ring, &setup, space) < 0)
		error_set(&f, -EINVAL, "cannot start with %u entries at %u", queue->ring_num,
			  setup.base);
	if (f.code < 0) {
		device_break(device, queue, f.text);
		return;
	}
	ring_set_log(&queue->ring, data_log(queue), queue->used_log, queue->used_log_at);
	queue->open = queue->fresh = true;
	queue->share = QUEUE_FIRST_SHARE;
	queue->discard = false;
	queue->unmapped = queue->unmapped_logged = false;
	queue->resubmit_count = 0; /* they are the ring's now */
	device_trace(device, TRACE_QUEUE_OPEN, queue->index, 0);
	/* Also a look at the ring without any kick (S8). */
	device->runtime->ops->wake_queue(device->runtime, queue->index);
}

/* Takes no more chains. Workers excluded. */
void queue_close(struct queue *queue, bool discard)
{
	queue->open = false;
	if (discard)
		queue->discard = true;
}

/* Nothing is in flight: the ring's position moves into the base. Workers excluded. */
void queue_freeze(struct queue *queue)
{
	if (!queue->ring.started)
		return;
	assert(!queue->in_flight);
	if (queue->parking)
		ring_find_place(&queue->ring); /* what its record holds stays there, and counts */
	/* Whoever goes on from here expects kicks; there is still time to say so (S4). */
	ring_enable_notify(&queue->ring);
	queue_keep_parked(queue);
	if (queue->ring.placed)
		queue->told = !queue->ring.signal_pending;
	queue->base = ring_base(&queue->ring);
	queue->has_base = true;
	ring_stop(&queue->ring);
	inactivate_if_idle(queue->device);
}

/* Back to what a new device has. Workers excluded, nothing in flight. */
void queue_clear(struct queue *queue)
{
	assert(!queue->in_flight);
	if (queue->ring.started)
		ring_stop(&queue->ring);
	if (queue->disable_done)
		device_answer(queue->device, queue->disable_done, queue->disable_arg, 0);
	queue->disable_done = NULL;
	queue->num = (uint16_t)queue->device->options.queue_size;
	queue->desc = queue->driver = queue->used = 0;
	queue->base = 0;
	queue->has_base = queue->told = false;
	queue->resubmit_count = queue->parked_count = 0;
	queue->parking = queue->handing = false;
	queue->ready = queue->open = queue->kicked = queue->unmapped = false;
	queue->refusal[0] = '\0';
	ring_init(&queue->ring);
	inactivate_if_idle(queue->device);
}

/* The driver is gone: give back what the queue needed to work. */
void queue_forget(struct queue *queue)
{
	struct device *device = queue->device;

	free(queue->resubmit_list);
	free(queue->parked);
	free(queue->reorder);
	queue->resubmit_list = NULL;
	queue->reorder = NULL;
	queue->parked = NULL;
	queue->resubmit_count = 0;
	if (!queue->slots)
		return;
	device->runtime->ops->queue_changed(device->runtime, queue->index, false);
	if (device->model->ops->queue_stop)
		device->model->ops->queue_stop(device->model, queue->index);
	free_slots(queue);
	queue->free = NULL;
	queue->slot_count = 0;
}

int device_set_vq_record(struct device *device, unsigned index, struct inflight_record *record)
{
	struct queue *queue = &device->queues[index];
	int r = 0;

	assert(index < device->queue_count);
	exclude_begin(device);
	if (queue->ready || queue->ring.started)
		r = -EBUSY;
	else
		queue->record = record;
	exclude_end(device);
	return r;
}

static void update_log(struct queue *queue)
{
	if (queue->ring.started)
		ring_set_log(&queue->ring, data_log(queue), queue->used_log, queue->used_log_at);
}

void device_set_log(struct device *device, struct dirty_log *data)
{
	exclude_begin(device);
	device->data_log = data;
	for (unsigned i = 0; i < device->queue_count; i++)
		update_log(&device->queues[i]);
	exclude_end(device);
}

void device_set_vq_log(struct device *device, unsigned index, struct dirty_log *used,
		       uint64_t used_at)
{
	struct queue *queue = &device->queues[index];

	assert(index < device->queue_count);
	exclude_begin(device);
	queue->used_log = used;
	queue->used_log_at = used_at;
	update_log(queue);
	exclude_end(device);
}

/* Workers excluded. */
unsigned device_count_in_flight(const struct device *device)
{
	unsigned n = 0;

	for (unsigned i = 0; i < device->queue_count; i++)
		n += queue_in_flight(&device->queues[i]);
	return n;
}

unsigned device_in_flight(struct device *device)
{
	unsigned n;

	exclude_begin(device);
	n = device_count_in_flight(device);
	exclude_end(device);
	return n;
}

void device_get_vq_stats(struct device *device, unsigned index, struct device_queue_stats *stats)
{
	assert(index < device->queue_count);
	exclude_begin(device);
	*stats = device->queues[index].stats;
	stats->in_flight = queue_in_flight(&device->queues[index]);
	exclude_end(device);
}

struct device_flow device_get_vq_flow(const struct device *device, unsigned index)
{
	const struct model *model = device->model;
	struct device_flow flow = {0, device->queues[index].stats.requests};

	assert(index < device->queue_count);
	if (model->ops->flow)
		model->ops->flow(model, index, &flow.in, &flow.out);
	return flow;
}

void device_get_vq_failure(const struct device *device, unsigned index,
			   struct model_failure *failure)
{
	const struct model *model = device->model;

	assert(index < device->queue_count);
	failure->count = 0;
	if (model->ops->failure)
		model->ops->failure(model, index, failure);
}
