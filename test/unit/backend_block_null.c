/* The null backend: zeroes, and writes that vanish. */
#include "backend_support.h"

static void zeroes_and_vanishing(void **state)
{
	struct block_channel *channel;
	struct block *block;
	uint8_t bytes[1024];

	assert_int_equal(block_null_open(1ull << 40, &block, NULL), 0);
	assert_int_equal(block_channel_open(block, 8, &channel, NULL), 0);
	pattern(bytes, sizeof(bytes), 1);
	assert_int_equal(job_run(channel, BLOCK_WRITE, (1ull << 40) - 1024, bytes, 1024), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, (1ull << 40) - 1024, bytes, 1024), 0);
	assert_true(all_zero(bytes, sizeof(bytes)));
	assert_int_equal(job_run(channel, BLOCK_READ, 1ull << 40, bytes, 512), -ERANGE);
	assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(job_run(channel, BLOCK_DISCARD, 0, NULL, 4096), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 0, NULL, 4096), 0);
	block_channel_close(channel);
	block_close(block);
}

static void grows(void **state)
{
	struct error f = {0};
	struct block *block;

	assert_int_equal(block_null_open(1024, &block, NULL), 0);
	assert_int_equal(block_resize(block, 2048, &f), 0);
	assert_int_equal(block->limits.size, 2048);
	assert_int_equal(block_resize(block, 1024, &f), -EINVAL);
	assert_non_null(strstr(f.text, "shrink"));
	assert_int_equal(block_resize(block, 2049, &f), -EINVAL);
	assert_int_equal(block->limits.size, 2048);
	block_close(block);
}

static void bad_sizes(void **state)
{
	struct block *block;

	assert_int_equal(block_null_open(0, &block, NULL), -EINVAL);
	assert_int_equal(block_null_open(1000, &block, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroes_and_vanishing),
		cmocka_unit_test(grows),
		cmocka_unit_test(bad_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
