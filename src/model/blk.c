/* The virtio-blk model: how a device comes to be, its queues, and its end. See models.h. */
#include "model/blk_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

static_assert(BLK_SERIAL_LENGTH == VIRTIO_BLK_ID_BYTES, "serials are as long as virtio has them");

static unsigned blk_queue_count(struct model *model)
{
	return blk_of(model)->queue_count;
}

static void blk_negotiated(struct model *model, uint64_t features)
{
	struct blk *blk = blk_of(model);

	blk->features = features;
	/* virtio 1.3, 5.2.5.2: CONFIG_WCE without FLUSH begins as write-through. */
	if (blk_has(blk, VIRTIO_BLK_F_CONFIG_WCE) && !blk_has(blk, VIRTIO_BLK_F_FLUSH))
		blk->writeback = false;
}

static int blk_queue_start(struct model *model, unsigned index, unsigned depth, struct error *f)
{
	struct blk *blk = blk_of(model);
	struct blk_queue *queue = &blk->queues[index];

	assert(index < blk->queue_count && !queue->channel);
	queue->cancelling = false;
	queue->waiting_end = &queue->waiting;
	memset(queue->memory, 0, sizeof(queue->memory));
	transfer_pool_init(&queue->pool, blk->block->limits.memory_alignment);
	return block_channel_open(blk->block, depth, &queue->channel, f);
}

static void blk_queue_stop(struct model *model, unsigned index)
{
	struct blk_queue *queue = &blk_of(model)->queues[index];

	if (!queue->channel)
		return;
	assert(!queue->waiting);
	block_channel_close(queue->channel);
	queue->channel = NULL;
	transfer_pool_free(&queue->pool);
}

/* What completions led to (the next pieces of long requests) is a batch, too. */
static void blk_batch_end(struct model *model, unsigned index)
{
	struct blk_queue *queue = &blk_of(model)->queues[index];

	block_kick(queue->channel);
	if (block_poll(queue->channel))
		block_kick(queue->channel);
}

static unsigned blk_poll(struct model *model, unsigned index)
{
	struct blk_queue *queue = &blk_of(model)->queues[index];
	unsigned finished = queue->finished;
	bool went_on;

	if (!queue->channel)
		return 0;
	went_on = blk_go_on(queue);
	if (block_poll(queue->channel) || went_on)
		block_kick(queue->channel);
	return queue->finished - finished;
}

static bool blk_sated(const struct model *model, unsigned index)
{
	return blk_queue_sated(&blk_of(model)->queues[index]);
}

static int blk_poll_fd(struct model *model, unsigned index)
{
	struct blk_queue *queue = &blk_of(model)->queues[index];

	return queue->channel ? block_fd(queue->channel) : -1;
}

static bool blk_poll_edge(const struct model *model, unsigned index)
{
	return block_fd_edge(blk_of(model)->queues[index].channel);
}

static bool blk_needs_poll(const struct model *model, unsigned index)
{
	const struct blk_queue *queue = &blk_of(model)->queues[index];

	return queue->channel && block_needs_poll(queue->channel);
}

static void blk_cancel(struct model *model, unsigned index)
{
	struct blk_queue *queue = &blk_of(model)->queues[index];

	if (!queue->channel)
		return;
	queue->cancelling = true;
	block_cancel(queue->channel);
}

static bool blk_region_invalidated(struct model *model, uint64_t region)
{
	struct blk *blk = blk_of(model);

	for (unsigned i = 0; blk->block->wants_memory && i < blk->queue_count; i++) {
		struct blk_queue *queue = &blk->queues[i];

		if (!queue->channel)
			continue;
		for (unsigned k = 0; k < 2; k++)
			if (queue->memory[k].id == region)
				queue->memory[k] = (struct block_memory){0};
		block_region_invalidated(queue->channel, region);
	}
	return blk->block->wants_memory;
}

/*
 * `writeback` stays (virtio 1.3, 5.2.5: the mode after a reset is for the driver to find out). QEMU
 * resets a device when it stops its guest, which goes on in the belief that its writes are stable;
 * and after the guest's own resets it shows it the mode that it set, without asking us.
 */
static void blk_reset(struct model *model)
{
	blk_of(model)->features = 0;
}

static void blk_forget(struct model *model)
{
	blk_of(model)->writeback = blk_of(model)->write_cache;
}

static int blk_resize(struct model *model, uint64_t bytes, struct error *f)
{
	return block_resize(blk_of(model)->block, bytes, f);
}

static int blk_activate(struct model *model, struct error *f)
{
	return block_activate(blk_of(model)->block, f);
}

static void blk_inactivate(struct model *model)
{
	block_inactivate(blk_of(model)->block);
}

static void blk_destroy(struct model *model)
{
	struct blk *blk = blk_of(model);

	for (unsigned i = 0; i < blk->queue_count; i++)
		assert(!blk->queues[i].channel);
	block_close(blk->block);
	free(blk);
}

static const char *op_name(unsigned op)
{
	static const char *const names[] = {
		[BLOCK_READ] = "read",
		[BLOCK_WRITE] = "write",
		[BLOCK_FLUSH] = "flush",
		[BLOCK_DISCARD] = "discard",
		[BLOCK_WRITE_ZEROES] = "write of zeroes",
	};

	return names[op];
}

static void blk_failure(const struct model *model, unsigned index, struct model_failure *failure)
{
	const struct blk_counters *c = &blk_of(model)->queues[index].counters;

#define LOAD(name) atomic_load_explicit(&c->name, memory_order_relaxed)
	failure->count = LOAD(failures);
	if (!failure->count)
		return;
	failure->what = op_name(LOAD(failed_op));
	failure->offset = LOAD(failed_offset);
	failure->length = LOAD(failed_length);
	failure->error = LOAD(last_error);
#undef LOAD
}

static void blk_flow(const struct model *model, unsigned index, uint64_t *in, uint64_t *out)
{
	*in = atomic_load_explicit(&blk_of(model)->queues[index].counters.reads,
				   memory_order_relaxed);
	*out -= *in;
}

static const struct model_ops blk_ops = {
	.name = "blk",
	.device_id = VIRTIO_ID_BLOCK,
	.config_size = BLK_CONFIG_SIZE,
	.request_size = sizeof(struct blk_request),
	.features = blk_features,
	.queue_count = blk_queue_count,
	.config_read = blk_config_read,
	.handle = blk_handle,
	.destroy = blk_destroy,
	.config_writable = blk_config_writable,
	.config_write = blk_config_write,
	.negotiated = blk_negotiated,
	.queue_start = blk_queue_start,
	.queue_stop = blk_queue_stop,
	.batch_end = blk_batch_end,
	.poll = blk_poll,
	.poll_fd = blk_poll_fd,
	.poll_edge = blk_poll_edge,
	.needs_poll = blk_needs_poll,
	.sated = blk_sated,
	.cancel = blk_cancel,
	.region_invalidated = blk_region_invalidated,
	.flow = blk_flow,
	.failure = blk_failure,
	.reset = blk_reset,
	.forget = blk_forget,
	.activate = blk_activate,
	.inactivate = blk_inactivate,
	.resize = blk_resize,
	.state_save = blk_state_save,
	.state_check = blk_state_check,
	.state_load = blk_state_load,
};

static int check_options(const struct blk_options *options, struct error *f)
{
	if (options->queues < 1 || options->queues > BLK_MAX_QUEUES)
		return error_set(f, -EINVAL, "a disk has 1 to %d queues, not %u", BLK_MAX_QUEUES,
				 options->queues);
	if (options->serial && strlen(options->serial) > BLK_SERIAL_LENGTH)
		return error_set(f, -EINVAL,
				 "the serial \"%s\" has %zu bytes; virtio-blk carries %u",
				 options->serial, strlen(options->serial), BLK_SERIAL_LENGTH);
	return 0;
}

/* Header and status take two entries of a ring; the rest of a chain is data. */
static uint32_t choose_seg_max(unsigned queue_size)
{
	uint32_t n = queue_size ? queue_size : 128;

	n = n > 2 ? n - 2 : 1;
	return n < BLK_MAX_SEGMENTS ? n : BLK_MAX_SEGMENTS;
}

int blk_new(const struct blk_options *options, struct block *block, struct model **model,
	    struct error *f)
{
	struct blk *blk = NULL;
	int error = check_options(options, f);

	if (!error)
		blk = calloc(1, sizeof(*blk) + options->queues * sizeof(blk->queues[0]));
	if (!blk) {
		block_close(block);
		return error ? error : error_set(f, -ENOMEM, "no memory for a disk");
	}
	blk->model.ops = &blk_ops;
	blk->block = block;
	blk->queue_count = options->queues;
	blk->seg_max = choose_seg_max(options->queue_size);
	blk->write_cache = blk->writeback = options->write_cache;
	if (options->serial)
		memcpy(blk->serial, options->serial, strlen(options->serial));
	for (unsigned i = 0; i < blk->queue_count; i++)
		blk->queues[i].blk = blk;
	*model = &blk->model;
	return 0;
}

const struct block *blk_get_block(const struct model *model)
{
	return model->ops == &blk_ops ? blk_of(model)->block : NULL;
}

bool blk_get_stats(const struct model *model, unsigned index, struct blk_stats *stats)
{
	const struct blk_counters *c;

	if (model->ops != &blk_ops || index >= blk_of(model)->queue_count)
		return false;
	c = &blk_of(model)->queues[index].counters;
#define LOAD(name) .name = atomic_load_explicit(&c->name, memory_order_relaxed)
	*stats = (struct blk_stats){
		LOAD(reads),
		LOAD(writes),
		LOAD(flushes),
		LOAD(discards),
		LOAD(write_zeroes),
		LOAD(read_bytes),
		LOAD(written_bytes),
		LOAD(errors),
		LOAD(unsupported),
		LOAD(last_error),
		.failed = atomic_load_explicit(&c->failures, memory_order_relaxed),
		LOAD(failed_number),
		LOAD(failed_offset),
		LOAD(failed_length),
		.failed_what = op_name(atomic_load_explicit(&c->failed_op, memory_order_relaxed)),
	};
#undef LOAD
	return true;
}
