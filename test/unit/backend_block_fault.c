/* The error wrapper: each kind of trouble, and stacked. */
#include <unistd.h>

#include "backend_support.h"

static struct block *block;
static struct block_channel *channel;
static struct block_channel
	*volatile stuck; /* cannot be closed; kept in sight of the leak checker */
static uint8_t bytes[8192], other[8192];

static void wrap(const struct block_fault_options *options)
{
	struct block *memory;

	assert_int_equal(block_memory_open(1 << 20, &memory, NULL), 0);
	assert_int_equal(block_fault_open(options, memory, &block, NULL), 0);
	assert_int_equal(block_channel_open(block, 4, &channel, NULL), 0);
}

static void unwrap(void)
{
	block_channel_close(channel);
	block_close(block);
}

static bool readable_within(int ms)
{
	struct pollfd pfd = {.fd = block_fd(channel), .events = POLLIN};

	return poll(&pfd, 1, ms) == 1;
}

static bool readable(void)
{
	return readable_within(0);
}

static void no_trouble(void **state)
{
	wrap(&(struct block_fault_options){0});
	pattern(bytes, 4096, 1);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 512, bytes, 4096), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, 512, other, 4096), 0);
	assert_memory_equal(bytes, other, 4096);
	assert_int_equal(block_resize(block, 2 << 20, NULL), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, (2 << 20) - 512, other, 512), 0);
	unwrap();
}

static void fails_every_third(void **state)
{
	wrap(&(struct block_fault_options){.fail_every = 3, .fail_error = ENOSPC});
	for (unsigned i = 1; i <= 9; i++)
		assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), i % 3 ? 0 : -ENOSPC);
	assert_int_equal(channel->failed, 3);
	unwrap();
}

static void delays_in_order(void **state)
{
	struct job jobs[3] = {0};

	wrap(&(struct block_fault_options){.delay_us = 2000});
	for (unsigned i = 0; i < 3; i++)
		job_submit(channel, &jobs[i], BLOCK_FLUSH, 0, NULL, 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(jobs[i].result, PENDING);
	assert_int_equal(job_wait(channel, &jobs[0], 10000), 0);
	assert_int_equal(job_wait(channel, &jobs[2], 10000), 0);
	assert_int_equal(jobs[1].result, 0);
	assert_false(readable());
	unwrap();
}

static void delays_every_second(void **state)
{
	struct job first = {0}, second = {0};

	wrap(&(struct block_fault_options){.delay_us = 1000000000, .delay_every = 2});
	job_submit(channel, &first, BLOCK_FLUSH, 0, NULL, 0);
	assert_int_equal(first.result, 0);
	job_submit(channel, &second, BLOCK_FLUSH, 0, NULL, 0);
	assert_int_equal(second.result, PENDING);
	assert_int_equal(block_poll(channel), 0);
	block_cancel(channel); /* what is late comes now, with its own result */
	assert_true(readable_within(10000));
	assert_int_equal(block_poll(channel), 1);
	assert_int_equal(second.result, 0);
	unwrap();
}

static void tears_writes(void **state)
{
	struct job job = {0};

	wrap(&(struct block_fault_options){.tear_every = 2});
	pattern(bytes, 4096, 1);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 4096), 0);
	pattern(other, 4096, 2);
	assert_int_equal(job_run(channel, BLOCK_READ, 4096, bytes + 4096, 512), 0);
	job_submit(channel, &job, BLOCK_WRITE, 0, other, 4096);
	assert_int_equal(job.result, -EIO);
	memcpy(bytes, other, 2048);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, other, 4096), 0);
	assert_memory_equal(other, bytes, 4096);
	unwrap();
}

static void a_sector_cannot_be_torn(void **state)
{
	wrap(&(struct block_fault_options){.tear_every = 1});
	pattern(bytes, 512, 1);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 512), -EIO);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, bytes, 512), 0);
	assert_true(all_zero(bytes, 512));
	unwrap();
}

static void never_until_cancelled(void **state)
{
	struct job jobs[3] = {0};

	wrap(&(struct block_fault_options){.never_every = 2});
	for (unsigned i = 0; i < 3; i++)
		job_submit(channel, &jobs[i], BLOCK_FLUSH, 0, NULL, 0);
	assert_int_equal(block_poll(channel), 0);
	assert_int_equal(channel->outstanding, 1);
	assert_int_equal(jobs[1].result, PENDING);
	assert_false(readable());
	block_cancel(channel);
	assert_int_equal(jobs[1].result, PENDING); /* arrives by poll, as everything */
	assert_true(readable_within(10000));
	assert_int_equal(block_poll(channel), 1);
	assert_int_equal(jobs[1].result, -ECANCELED);
	assert_false(readable());
	unwrap();
}

/* Nothing is done before its time; then it meets its fate. */
static void held_and_done(void **state)
{
	struct job jobs[2] = {0};

	wrap(&(struct block_fault_options){.hold_us = 2000, .fail_every = 2});
	pattern(bytes, 4096, 1);
	for (unsigned i = 0; i < 2; i++)
		job_submit(channel, &jobs[i], BLOCK_WRITE, i * 4096, bytes, 4096);
	assert_int_equal(jobs[0].result, PENDING);
	assert_int_equal(job_wait(channel, &jobs[0], 10000), 0);
	assert_int_equal(job_wait(channel, &jobs[1], 10000), -EIO);
	assert_false(readable());
	block_cancel(channel);
	assert_int_equal(block_poll(channel), 0);
	unwrap();
}

/* Cancelled before its time a request comes back undone. */
static void held_and_cancelled(void **state)
{
	struct job job = {0};

	wrap(&(struct block_fault_options){.hold_us = 1000000000});
	pattern(bytes, 4096, 1);
	job_submit(channel, &job, BLOCK_WRITE, 0, bytes, 4096);
	assert_int_equal(block_poll(channel), 0);
	assert_false(readable());
	block_cancel(channel);
	assert_int_equal(job.result, PENDING); /* arrives by poll, as everything */
	assert_true(readable_within(10000));
	assert_int_equal(block_poll(channel), 1);
	assert_int_equal(job.result, -ECANCELED);
	unwrap();
}

static void stubborn(void **state)
{
	struct job job = {0};

	/* The channel cannot be closed any more: what never ends stays, as in a real disk. */
	wrap(&(struct block_fault_options){.never_every = 1, .stubborn = true});
	job_submit(channel, &job, BLOCK_FLUSH, 0, NULL, 0);
	block_cancel(channel);
	assert_int_equal(block_poll(channel), 0);
	assert_int_equal(job.result, PENDING);
	assert_int_equal(channel->outstanding, 1);
	stuck = channel;
}

static void stacked(void **state)
{
	struct block_fault_options fails = {.fail_every = 2}, delays = {.delay_us = 100};
	struct block *null, *middle;

	assert_int_equal(block_null_open(1 << 20, &null, NULL), 0);
	assert_int_equal(block_fault_open(&delays, null, &middle, NULL), 0);
	assert_int_equal(block_fault_open(&fails, middle, &block, NULL), 0);
	assert_int_equal(block_channel_open(block, 4, &channel, NULL), 0);
	for (unsigned i = 1; i <= 4; i++)
		assert_int_equal(job_run(channel, BLOCK_READ, 0, bytes, 512), i % 2 ? 0 : -EIO);
	unwrap();
}

/* Around a backend that completes later: its fd is inside the wrapper's. */
static void around_a_file(void **state)
{
	char path[] = "/tmp/uvdpa-fault-XXXXXX";
	struct block_fault_options options = {.tear_every = 3, .delay_us = 100, .delay_every = 2};
	int fd = mkstemp(path);
	struct error f = {0};
	struct block *file;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1 << 20), 0);
	if (block_file_open(&(struct block_file_options){.path = path}, &file, &f)) {
		print_message("not tried around a file: %s\n", f.text);
	} else {
		assert_int_equal(block_fault_open(&options, file, &block, NULL), 0);
		assert_int_equal(block_channel_open(block, 4, &channel, NULL), 0);
		pattern(bytes, 4096, 1);
		for (unsigned i = 1; i <= 12; i++)
			assert_int_equal(job_run(channel, BLOCK_WRITE, i * 4096, bytes, 4096),
					 i % 3 ? 0 : -EIO);
		assert_int_equal(job_run(channel, BLOCK_READ, 2 * 4096, other, 8192), 0);
		assert_memory_equal(other, bytes, 4096);
		assert_memory_equal(other + 4096, bytes, 2048);
		assert_true(all_zero(other + 4096 + 2048, 2048));
		unwrap();
	}
	close(fd);
	unlink(path);
}

/* As many at once as the channel is deep, again and again: the pool comes back. */
static void reused(void **state)
{
	struct job jobs[4] = {0};

	wrap(&(struct block_fault_options){.delay_us = 10, .fail_every = 5});
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 4; i++)
			job_submit(channel, &jobs[i], BLOCK_READ, 0, bytes, 512);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(job_wait(channel, &jobs[i], 10000),
					 (round * 4 + i + 1) % 5 ? 0 : -EIO);
	}
	unwrap();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_trouble),
		cmocka_unit_test(fails_every_third),
		cmocka_unit_test(delays_in_order),
		cmocka_unit_test(delays_every_second),
		cmocka_unit_test(tears_writes),
		cmocka_unit_test(a_sector_cannot_be_torn),
		cmocka_unit_test(never_until_cancelled),
		cmocka_unit_test(held_and_done),
		cmocka_unit_test(held_and_cancelled),
		cmocka_unit_test(stubborn),
		cmocka_unit_test(stacked),
		cmocka_unit_test(around_a_file),
		cmocka_unit_test(reused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
