/* The memory backend: bytes stay until overwritten, discarded, or the disk is closed. */
#include "backend_support.h"

#define SIZE (64 * 1024)

static struct block *block;
static struct block_channel *channel;
static uint8_t expected[2 * SIZE], bytes[2 * SIZE];

static int set_up(void **state)
{
	if (block_memory_open(SIZE, &block, NULL) || block_channel_open(block, 8, &channel, NULL))
		return -1;
	pattern(expected, SIZE, 5);
	memset(expected + SIZE, 0, SIZE);
	return job_run(channel, BLOCK_WRITE, 0, expected, SIZE);
}

static int tear_down(void **state)
{
	block_channel_close(channel);
	block_close(block);
	return 0;
}

static void expect_disk(uint64_t size)
{
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(job_run(channel, BLOCK_READ, 0, bytes, size), 0);
	assert_memory_equal(bytes, expected, size);
}

static void several_buffers(void **state)
{
	struct job job = {.iov = {{bytes, 100}, {bytes + 1000, 412}, {bytes + 100, 512}}};

	job.result = PENDING;
	job.request = (struct block_request){.op = BLOCK_READ,
					     .offset = 512,
					     .length = 1024,
					     .iov = job.iov,
					     .iov_count = 3,
					     .done = job_done};
	block_submit(channel, &job.request);
	assert_int_equal(job.result, 0);
	assert_memory_equal(bytes, expected + 512, 100);
	assert_memory_equal(bytes + 1000, expected + 612, 412);
	assert_memory_equal(bytes + 100, expected + 1024, 512);
}

/* Every combination of page edges: inside a page, to an edge, across, whole pages. */
static void zeroing(void **state)
{
	static const struct {
		uint64_t offset, length;
	} cases[] = {{512, 512},   {4096, 4096},  {3584, 1024},
		     {3584, 8192}, {8192, 12288}, {0, SIZE}};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum block_op op = i % 2 ? BLOCK_DISCARD : BLOCK_WRITE_ZEROES;

		assert_int_equal(job_run(channel, op, cases[i].offset, NULL, cases[i].length), 0);
		memset(expected + cases[i].offset, 0, cases[i].length);
		expect_disk(SIZE);
	}
}

static void growing(void **state)
{
	assert_int_equal(block_resize(block, 2 * SIZE, NULL), 0);
	expect_disk(2 * SIZE);
	assert_int_equal(job_run(channel, BLOCK_WRITE, SIZE, expected, SIZE), 0);
	memcpy(expected + SIZE, expected, SIZE);
	expect_disk(2 * SIZE);
}

static void too_big(void **state)
{
	struct error f = {0};
	struct block *huge;

	assert_int_equal(block_memory_open(1ull << 62, &huge, &f), -ENOMEM);
	assert_non_null(strstr(f.text, "no memory"));
	assert_int_equal(block_resize(block, 1ull << 62, &f), -ENOMEM);
	expect_disk(SIZE);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(several_buffers),
		CASE(zeroing),
		CASE(growing),
		CASE(too_big),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
