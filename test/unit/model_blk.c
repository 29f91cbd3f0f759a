/* The virtio-blk device as a whole: its options, queues, and what was negotiated. */
#include "blk_support.h"

static void features_not_negotiated(void **state)
{
	uint8_t range[16];

	model->ops->negotiated(model, 0);
	put_range(range, 0, 1, 0);
	assert_int_equal(run(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0, &whole), UNSUP);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, range, 16, 0, &whole), UNSUP);
	assert_int_equal(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, range, 16, 0, &whole), UNSUP);
	assert_int_equal(run(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &whole), OK);
	model->ops->negotiated(model, model->ops->features(model));
	assert_int_equal(run(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0, &whole), OK);
	assert_int_equal(stats_of(0).flushes, 1);
}

static void read_only(void **state)
{
	uint8_t range[16];

	disk->limits.read_only = true;
	put_range(range, 0, 1, 0);
	assert_int_equal(run(VIRTIO_BLK_T_OUT, 0, pattern, 512, 0, &whole), IOERR);
	assert_int_equal(run(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, range, 16, 0, &whole), IOERR);
	model->ops->negotiated(model, model->ops->features(model));
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, range, 16, 0, &whole), UNSUP);
}

static void bad_options(void **state)
{
	static const struct blk_options bad[] = {
		{.queues = 0}, {.queues = 65}, {.queues = 1, .serial = "123456789012345678901"}};
	struct model *other;
	struct block *block;

	for (unsigned i = 0; i < 3; i++) {
		struct error f = {0};

		assert_int_equal(block_null_open(DISK, &block, NULL), 0);
		assert_int_equal(blk_new(&bad[i], block, &other, &f), -EINVAL);
		assert_true(f.text[0] != 0);
	}
}

static void several_queues(void **state)
{
	struct blk_stats stats;

	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &whole);
	made.request->queue = 1;
	submit();
	assert_int_equal(outcome(), OK);
	made_end(&made);
	assert_int_equal(stats_of(1).reads, 1);
	assert_int_equal(stats_of(0).reads, 0);
	assert_false(blk_get_stats(model, 2, &stats));
	assert_ptr_equal(blk_get_block(model), disk);
	assert_int_equal(model->ops->poll_fd(model, 0), -1);
	assert_int_equal(model->ops->poll(model, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(features_not_negotiated),
		CASE(read_only),
		CASE(several_queues),
		cmocka_unit_test(bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
