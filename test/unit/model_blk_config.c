/* virtio-blk: what is offered, the config space, and the write cache that it switches. */
#include "blk_support.h"

static uint64_t field(const uint8_t *config, size_t at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, config + at, size);
	return value;
}

#define FIELD(name)                                             \
	field(config, offsetof(struct virtio_blk_config, name), \
	      sizeof(((struct virtio_blk_config *)0)->name))

static void offered_features(void **state)
{
	uint64_t features = model->ops->features(model);

	/* SIZE_MAX SEG_MAX BLK_SIZE FLUSH TOPOLOGY CONFIG_WCE MQ DISCARD WRITE_ZEROES */
	assert_int_equal(features, 0x7e46);
	disk->limits.read_only = true;
	assert_int_equal(model->ops->features(model), 0x1e66);
	disk->limits.read_only = false;
	disk->limits.discard = disk->limits.write_zeroes = false;
	assert_int_equal(model->ops->features(model), 0x1e46);
}

static void config_space(void **state)
{
	uint8_t config[256];

	disk->limits.block_size = 4096;
	disk->limits.physical_size = 16384;
	disk->limits.optimal_io = 65536;
	memset(config, 0xee, sizeof(config));
	model->ops->config_read(model, config);
	assert_int_equal(FIELD(capacity), DISK / 512);
	assert_int_equal(FIELD(seg_max), 126);
	assert_true(FIELD(size_max) >= 4096);
	assert_int_equal(FIELD(blk_size), 4096);
	assert_int_equal(FIELD(physical_block_exp), 2);
	assert_int_equal(FIELD(alignment_offset), 0);
	assert_int_equal(FIELD(min_io_size), 4);
	assert_int_equal(FIELD(opt_io_size), 16);
	assert_int_equal(FIELD(num_queues), 2);
	assert_int_equal(FIELD(max_discard_seg), 16);
	assert_int_equal(FIELD(discard_sector_alignment), 32);
	assert_int_equal(FIELD(write_zeroes_may_unmap), 1);
	assert_int_equal(config[model->ops->config_size], 0xee);
	disk->limits.read_only = true;
	model->ops->config_read(model, config);
	assert_int_equal(FIELD(max_discard_seg), 0);
	assert_int_equal(FIELD(max_write_zeroes_sectors), 0);
}

static void seg_max_follows_the_queue_size(void **state)
{
	static const unsigned sizes[][2] = {{0, 126}, {2, 1},	  {4, 2},
					    {64, 62}, {256, 254}, {1024, 254}};
	struct blk_options options = plain;
	uint8_t config[256];

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct block *block;
		struct model *other;

		options.queue_size = sizes[i][0];
		assert_int_equal(block_null_open(DISK, &block, NULL), 0);
		assert_int_equal(blk_new(&options, block, &other, NULL), 0);
		other->ops->config_read(other, config);
		assert_int_equal(FIELD(seg_max), sizes[i][1]);
		other->ops->destroy(other);
	}
}

/* Whether a request reaches the backend as durable; answers it. */
static bool durable(uint32_t type)
{
	uint8_t range[512] = {0};
	bool result;

	put_range(range, 0, 1, 0);
	make(type, 0, range, type == VIRTIO_BLK_T_OUT ? 512 : 16, 0, &whole);
	submit();
	assert_int_equal(held_count, 1);
	result = held[0]->durable;
	answer_held(0);
	assert_int_equal(outcome(), OK);
	made_end(&made);
	return result;
}

static bool all_durable(void)
{
	bool out = durable(VIRTIO_BLK_T_OUT);

	if (model->ops->features(model) & 1u << VIRTIO_BLK_F_DISCARD) {
		assert_int_equal(durable(VIRTIO_BLK_T_DISCARD), out);
		assert_int_equal(durable(VIRTIO_BLK_T_WRITE_ZEROES), out);
	}
	return out;
}

static uint8_t writeback_field(void)
{
	uint8_t config[256];

	model->ops->config_read(model, config);
	return config[offsetof(struct virtio_blk_config, wce)];
}

static void write_cache_modes(void **state)
{
	const size_t at = offsetof(struct virtio_blk_config, wce);
	uint64_t all = model->ops->features(model);
	const uint64_t flush = 1u << VIRTIO_BLK_F_FLUSH, wce = 1u << VIRTIO_BLK_F_CONFIG_WCE;

	assert_int_equal(writeback_field(), 1);
	assert_false(all_durable());
	model->ops->config_write(model, at, (const uint8_t *)"\0", 1);
	assert_int_equal(writeback_field(), 0);
	assert_true(all_durable());
	model->ops->config_write(model, at - 4, (const uint8_t *)"\0\0\0\0\1\0", 6);
	assert_int_equal(writeback_field(), 1);
	assert_false(all_durable());
	for (size_t i = 0; i < model->ops->config_size; i++)
		assert_int_equal(model->ops->config_writable(model, all, i), i == at);
	assert_false(model->ops->config_writable(model, all & ~wce, at));
	/* It outlives a reset; a driver without CONFIG_WCE has the initial mode meanwhile. */
	model->ops->config_write(model, at, (const uint8_t *)"\0", 1);
	model->ops->reset(model);
	assert_int_equal(writeback_field(), 0);
	model->ops->negotiated(model, all & ~wce);
	assert_false(all_durable());
	model->ops->reset(model);
	model->ops->negotiated(model, all);
	assert_int_equal(writeback_field(), 0);
	assert_true(all_durable());
	model->ops->forget(model);
	assert_int_equal(writeback_field(), 1);
	assert_false(all_durable());
	/* A driver that cannot flush relies on every write. */
	model->ops->reset(model);
	model->ops->negotiated(model, all & ~wce & ~flush);
	assert_true(all_durable());
	model->ops->reset(model);
	model->ops->negotiated(model, all & ~flush);
	assert_true(all_durable());
	assert_int_equal(writeback_field(), 0);
}

static void resizing(void **state)
{
	struct error f = {0};
	uint8_t config[256];

	assert_int_equal(model->ops->resize(model, 2 * DISK, &f), 0);
	model->ops->config_read(model, config);
	assert_int_equal(FIELD(capacity), 2 * DISK / 512);
	assert_int_equal(run(VIRTIO_BLK_T_OUT, DISK / 512, pattern, 512, 0, &whole), OK);
	assert_int_equal(model->ops->resize(model, DISK, &f), -EINVAL);
	assert_true(f.text[0] != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(offered_features),	 CASE(config_space),
		CASE(resizing),		 CASE(seg_max_follows_the_queue_size),
		SLOW(write_cache_modes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
