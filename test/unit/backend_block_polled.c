/*
 * The file backend with iopoll=on: what is polled, what is not, and that both arrive.
 *
 *	backend_block_polled DEVICE	a block device with polled queues, which is overwritten
 *
 * Run by test/guest/run_polled, since few machines have such a device.
 */
#include <fcntl.h>
#include <unistd.h>

#include "backend_support.h"

#define SIZE  (4 << 20)
#define DEPTH 300 /* more than a submission queue has entries */

static const char *path;
static struct block *block;
static struct block_channel *channel;
static _Alignas(4096) uint8_t bytes[SIZE], other[SIZE];

static void open_disk(void)
{
	struct block_file_options options = {.path = path, .direct = true, .iopoll = true};
	struct error f = {0};

	if (block_file_open(&options, &block, &f))
		fail_msg("%s", f.text);
	assert_int_equal(block_channel_open(block, DEPTH, &channel, NULL), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 0, NULL, SIZE), 0);
}

static void close_disk(void)
{
	assert_int_equal(channel->outstanding, 0);
	block_channel_close(channel);
	block_close(block);
}

static void wait_all(struct job *jobs, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(job_wait(channel, &jobs[i], 60000), 0);
		assert_int_equal(jobs[i].calls, 1);
	}
	assert_false(block_needs_poll(channel));
}

/* Everything at once, some of it polled and some not: the queues fill several times. */
static void deep(void **state)
{
	static struct job jobs[DEPTH];

	open_disk();
	pattern(bytes, SIZE, 9);
	for (unsigned i = 0; i < DEPTH; i++) {
		jobs[i].request.durable = i % 3 == 0;
		job_submit(channel, &jobs[i], BLOCK_WRITE, i * 4096, bytes + i * 4096, 4096);
	}
	wait_all(jobs, DEPTH);
	memset(other, 1, SIZE);
	for (unsigned i = 0; i < DEPTH; i++)
		job_submit(channel, &jobs[i], BLOCK_READ, i * 4096, other + i * 4096, 4096);
	wait_all(jobs, DEPTH);
	assert_memory_equal(other, bytes, DEPTH * 4096);
	memset(other, 1, SIZE);
	assert_int_equal(job_run(channel, BLOCK_READ, DEPTH * 4096, other, SIZE - DEPTH * 4096), 0);
	assert_true(all_zero(other, SIZE - DEPTH * 4096));
	close_disk();
}

/* Somebody has to look for what is polled, and for nothing else. */
static void polled_requests_are_silent(void **state)
{
	struct job job = {0};

	open_disk();
	assert_false(block_needs_poll(channel));
	job_submit(channel, &job, BLOCK_READ, 0, bytes, 4096);
	assert_true(block_needs_poll(channel));
	wait_all(&job, 1);
	job_submit(channel, &job, BLOCK_FLUSH, 0, NULL, 0);
	assert_false(block_needs_poll(channel));
	wait_all(&job, 1);
	job.request.durable = true;
	job_submit(channel, &job, BLOCK_WRITE, 0, bytes, 4096);
	assert_false(block_needs_poll(channel));
	wait_all(&job, 1);
	close_disk();
}

/* The kernel would have to split them, which polled requests do not bear everywhere. */
static void long_requests_are_not_polled(void **state)
{
	struct job job = {0};

	open_disk();
	pattern(bytes, SIZE, 3);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	job_submit(channel, &job, BLOCK_READ, 0, other, SIZE);
	assert_false(block_needs_poll(channel));
	wait_all(&job, 1);
	assert_memory_equal(other, bytes, SIZE);
	close_disk();
}

static void cancelled(void **state)
{
	static struct job jobs[DEPTH];

	open_disk();
	pattern(bytes, SIZE, 1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			job_submit(channel, &jobs[i], i % 2 ? BLOCK_WRITE : BLOCK_FLUSH, i * 4096,
				   i % 2 ? bytes : NULL, i % 2 ? 4096 : 0);
		if (round > 0)
			block_kick(channel);
		block_cancel(channel);
		for (unsigned i = 0; i < DEPTH; i++) {
			int result = job_wait(channel, &jobs[i], 60000);

			assert_true(result == 0 || result == -ECANCELED);
			assert_int_equal(jobs[i].calls, 1);
		}
		assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 4096), 0);
	}
	close_disk();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(deep),
		cmocka_unit_test(polled_requests_are_silent),
		cmocka_unit_test(long_requests_are_not_polled),
		cmocka_unit_test(cancelled),
	};

	if (argc != 2)
		leave_skipped("no device with polled queues is named");
	path = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
