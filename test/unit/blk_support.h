/* What the tests of the virtio-blk model share: a disk, requests in every cut, two backends. */
#ifndef UVDPA_TEST_BLK_SUPPORT_H
#define UVDPA_TEST_BLK_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <linux/virtio_blk.h>

#include "backend/backends.h"
#include "model/blk.h"
#include "model/models.h"
#include "model_support.h"
#include "util/bytes.h"

#define DISK  (2u << 20)
#define OK    VIRTIO_BLK_S_OK
#define IOERR VIRTIO_BLK_S_IOERR
#define UNSUP VIRTIO_BLK_S_UNSUPP
/* Instead of a status: no answer, the device breaks. */
#define BREAKS 0x100

static struct copied_client client;
static struct model *model;
static struct block *disk; /* the model's */
static struct made made;
static uint8_t pattern[DISK], bytes[DISK + 64];

static const struct blk_options plain = {.queues = 2, .serial = "disk0", .write_cache = true};

static inline void start_over(struct block *block, const struct blk_options *options)
{
	struct error f = {0};

	disk = block;
	if (blk_new(options, block, &model, &f))
		fail_msg("%s", f.text);
	model->ops->negotiated(model, model->ops->features(model));
	for (unsigned i = 0; i < options->queues; i++)
		assert_int_equal(model->ops->queue_start(model, i, 4, &f), 0);
	client_open(&client);
}

static inline void stop(void)
{
	for (unsigned i = 0; i < model->ops->queue_count(model); i++)
		model->ops->queue_stop(model, i);
	model->ops->destroy(model);
	client_close(&client);
}

static inline int set_up(void **state)
{
	struct block *block;

	if (block_memory_open(DISK, &block, NULL))
		return -1;
	for (size_t i = 0; i < DISK; i++)
		pattern[i] = (uint8_t)(i * 11 + (i >> 9));
	start_over(block, &plain);
	return 0;
}

static inline int tear_down(void **state)
{
	stop();
	return 0;
}

/* How a request is cut: sizes of segments in a cycle; 0 ends the list, an empty list: one segment.
 */
struct cut {
	unsigned sizes[4];
	bool copied; /* every second segment */
};

static const struct cut whole = {0};

static inline void add_part(bool writable, uint64_t size, const struct cut *cut)
{
	unsigned i = 0, n = 0;

	while (size) {
		uint64_t take = cut->sizes[i] && cut->sizes[i] < size ? cut->sizes[i] : size;

		/* a long list of tiny segments is a chain that no ring hands out */
		if (made.request->chain.readable_count + made.request->chain.writable_count > 1000)
			take = size;
		made_add(&made, &client, writable, take, cut->copied && n++ % 2 == 0);
		size -= take;
		i = i < 3 && cut->sizes[i + 1] ? i + 1 : 0;
	}
}

static uint32_t made_type;

/* Makes a request: header, `out` readable bytes of `data`, `in` writable ones, and the status. */
static inline void make(uint32_t type, uint64_t sector, const void *data, uint64_t out, uint64_t in,
			const struct cut *cut)
{
	uint8_t header[16] = {0};

	made_type = type;
	store_le32(header, type);
	store_le64(header + 8, sector);
	made_begin(&made, &client, model->ops->request_size);
	add_part(false, 16 + out, cut);
	add_part(true, in + 1, cut);
	made_fill(&made, &client, 0, header, 16);
	made_fill(&made, &client, 16, data, out);
	*made_byte(&made, &client, true, in) = 0xee;
}

/* As a device does it: a pass with the chain, and others while the model has enough of one. */
static inline void submit(void)
{
	unsigned queue = made.request->queue;

	model->ops->poll(model, queue);
	model->ops->handle(model, made.request);
	model->ops->batch_end(model, queue);
	while (model->ops->sated(model, queue))
		model->ops->poll(model, queue);
}

/*
 * Bytes that were written one behind the other, from the first writable one on
 * (virtio 1.3, 2.7.8.2): the data of types that have some, unless they failed, and the status if
 * nothing lies before it.
 */
static inline uint64_t without_gap(int status, uint64_t in)
{
	uint64_t data = 0;

	if (status == OK && made_type == VIRTIO_BLK_T_IN)
		data = in;
	if (status == OK && made_type == VIRTIO_BLK_T_GET_ID)
		data = 20;
	return data == in ? data + 1 : data;
}

/* What the request got: a status, or BREAKS. */
static inline int outcome(void)
{
	const struct chain *chain = &made.request->chain;
	int status;

	assert_int_equal(made.answers + made.refusals, 1);
	if (made.refusals) {
		assert_non_null(made.why);
		return BREAKS;
	}
	status = *made_byte(&made, &client, true, chain->writable - 1);
	assert_int_equal(made.written, without_gap(status, chain->writable - 1));
	return status;
}

static inline int run(uint32_t type, uint64_t sector, const void *data, uint64_t out, uint64_t in,
		      const struct cut *cut)
{
	int status;

	make(type, sector, data, out, in, cut);
	submit();
	status = outcome();
	if (status == OK && in)
		made_fetch(&made, &client, 0, bytes, in);
	made_end(&made);
	return status;
}

static inline struct blk_stats stats_of(unsigned queue)
{
	struct blk_stats stats;

	assert_true(blk_get_stats(model, queue, &stats));
	return stats;
}

static inline void put_range(uint8_t *to, uint64_t sector, uint32_t count, uint32_t flags)
{
	store_le64(to, sector);
	store_le32(to + 8, count);
	store_le32(to + 12, flags);
}

/* --- A backend that answers when told, and remembers what it was asked -------------------- */

static struct block_request *held[8];
static unsigned held_count;
static struct block_channel *held_channel;

static inline int slow_channel_open(struct block *block, unsigned depth,
				    struct block_channel **channel, struct error *f)
{
	held_channel = *channel = calloc(1, sizeof(**channel));
	held_count = 0;
	return 0;
}

static inline void slow_channel_close(struct block_channel *channel)
{
	free(channel);
}

static inline void slow_submit(struct block_channel *channel, struct block_request *request)
{
	held[held_count++] = request;
}

static inline void slow_close(struct block *block)
{
}

static const struct block_ops slow_ops = {.name = "slow",
					  .channel_open = slow_channel_open,
					  .channel_close = slow_channel_close,
					  .submit = slow_submit,
					  .close = slow_close};
static struct block slow;

static inline int set_up_slow(void **state)
{
	slow = (struct block){.ops = &slow_ops,
			      .limits = {.size = DISK,
					 .block_size = 512,
					 .physical_size = 512,
					 .memory_alignment = 1,
					 .discard = true,
					 .write_zeroes = true}};
	start_over(&slow, &(struct blk_options){.queues = 1, .write_cache = true});
	return 0;
}

static inline void answer_held(int error)
{
	assert_int_equal(held_count, 1);
	held_count = 0;
	block_done(held_channel, held[0], error);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SLOW(name) cmocka_unit_test_setup_teardown(name, set_up_slow, tear_down)

#endif
