/* The checking front: what reaches a backend, and what is refused before. */
#include "backend_support.h"

/* A backend that counts what reaches it and keeps it until told. */
static struct block_request *kept;
static unsigned reached, cancels;

static int keeper_open(struct block *block, unsigned depth, struct block_channel **channel,
		       struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return 0;
}

static void keeper_channel_close(struct block_channel *channel)
{
	free(channel);
}

static void keeper_submit(struct block_channel *channel, struct block_request *request)
{
	reached++;
	kept = request;
}

static void keeper_cancel(struct block_channel *channel)
{
	cancels++;
}

static void keeper_close(struct block *block)
{
}

static const struct block_ops keeper_ops = {
	.name = "keeper",
	.channel_open = keeper_open,
	.channel_close = keeper_channel_close,
	.submit = keeper_submit,
	.cancel = keeper_cancel,
	.close = keeper_close,
};

static struct block keeper = {.ops = &keeper_ops};
static struct block_channel *channel;
static _Alignas(4096) uint8_t buffer[64 * 1024];

static int set_up(void **state)
{
	keeper.limits = (struct block_limits){.size = 1 << 20,
					      .block_size = 4096,
					      .physical_size = 4096,
					      .memory_alignment = 512,
					      .discard = true,
					      .write_zeroes = true};
	reached = cancels = 0;
	return block_channel_open(&keeper, 4, &channel, NULL);
}

static int tear_down(void **state)
{
	block_channel_close(channel);
	return 0;
}

/* Refused ones come back at once and never reach the backend. */
static int refused(enum block_op op, uint64_t offset, void *bytes, uint64_t length)
{
	struct job job = {0};
	unsigned before = reached;

	job_submit(channel, &job, op, offset, bytes, length);
	if (job.result == PENDING) {
		assert_int_equal(reached, before + 1);
		assert_int_equal(channel->outstanding, 1);
		block_done(channel, kept, 0);
		assert_int_equal(job.result, 0);
		return 0;
	}
	assert_int_equal(reached, before);
	assert_int_equal(job.calls, 1);
	assert_int_equal(channel->outstanding, 0);
	return job.result;
}

static void ranges(void **state)
{
	const uint64_t end = 1 << 20;

	assert_int_equal(refused(BLOCK_READ, 0, buffer, 4096), 0);
	assert_int_equal(refused(BLOCK_READ, end - 4096, buffer, 4096), 0);
	assert_int_equal(refused(BLOCK_READ, end - 4096, buffer, 8192), -ERANGE);
	assert_int_equal(refused(BLOCK_READ, end, buffer, 4096), -ERANGE);
	assert_int_equal(refused(BLOCK_WRITE, UINT64_MAX - 4095, buffer, 4096), -ERANGE);
	assert_int_equal(refused(BLOCK_WRITE, UINT64_MAX - 4095, buffer, 8192), -ERANGE);
	assert_int_equal(refused(BLOCK_DISCARD, 0, NULL, UINT64_MAX - 4095), -ERANGE);
	assert_int_equal(refused(BLOCK_WRITE_ZEROES, 4096, NULL, end), -ERANGE);
	assert_int_equal(refused(BLOCK_DISCARD, 0, NULL, end), 0);
	assert_int_equal(refused(BLOCK_FLUSH, UINT64_MAX, NULL, 0), 0);
}

static void alignment(void **state)
{
	assert_int_equal(refused(BLOCK_READ, 512, buffer, 4096), -EINVAL);
	assert_int_equal(refused(BLOCK_READ, 0, buffer, 512), -EINVAL);
	assert_int_equal(refused(BLOCK_READ, 0, buffer + 512, 4096), 0);
	assert_int_equal(refused(BLOCK_READ, 0, buffer + 8, 4096), -EINVAL);
	assert_int_equal(refused(BLOCK_WRITE_ZEROES, 1, NULL, 4096), -EINVAL);
}

static void nothing_to_do(void **state)
{
	struct job job = {0};

	job_submit(channel, &job, BLOCK_WRITE, 1 << 20, NULL, 0);
	assert_int_equal(job.result, 0);
	assert_int_equal(reached, 0);
	job_submit(channel, &job, BLOCK_WRITE, (1 << 20) + 4096, NULL, 0);
	assert_int_equal(job.result, -ERANGE);
}

static void support(void **state)
{
	keeper.limits.discard = keeper.limits.write_zeroes = false;
	assert_int_equal(refused(BLOCK_DISCARD, 0, NULL, 4096), -EOPNOTSUPP);
	assert_int_equal(refused(BLOCK_WRITE_ZEROES, 0, NULL, 4096), -EOPNOTSUPP);
	keeper.limits.read_only = true;
	assert_int_equal(refused(BLOCK_WRITE, 0, buffer, 4096), -EROFS);
	assert_int_equal(refused(BLOCK_DISCARD, 0, NULL, 4096), -EROFS);
	assert_int_equal(refused(BLOCK_READ, 0, buffer, 4096), 0);
	assert_int_equal(refused(BLOCK_FLUSH, 0, NULL, 0), 0);
}

static void too_many_buffers(void **state)
{
	static struct iovec many[BLOCK_MAX_IOV + 8];
	struct job job = {.result = PENDING};

	for (unsigned i = 0; i < BLOCK_MAX_IOV + 8; i++)
		many[i] = (struct iovec){buffer, 512};
	job.request = (struct block_request){.op = BLOCK_READ,
					     .length = sizeof(many) / sizeof(many[0]) * 512,
					     .iov = many,
					     .iov_count = BLOCK_MAX_IOV + 8,
					     .done = job_done};
	block_submit(channel, &job.request);
	assert_int_equal(job.result, -EINVAL);
}

static void counters(void **state)
{
	struct job job = {0};

	assert_int_equal(refused(BLOCK_READ, 1, buffer, 4096), -EINVAL);
	job_submit(channel, &job, BLOCK_READ, 0, buffer, 4096);
	assert_int_equal(channel->outstanding, 1);
	block_done(channel, &job.request, -EIO);
	assert_int_equal(channel->outstanding, 0);
	assert_int_equal(channel->submitted, 2);
	assert_int_equal(channel->failed, 2);
}

static void optional_operations(void **state)
{
	struct error f = {0};
	struct job job = {0};

	block_kick(channel);
	assert_int_equal(block_poll(channel), 0);
	assert_int_equal(block_fd(channel), -1);
	block_cancel(channel); /* nothing outstanding: nothing to ask for */
	assert_int_equal(cancels, 0);
	job_submit(channel, &job, BLOCK_READ, 0, buffer, 4096);
	block_cancel(channel);
	assert_int_equal(cancels, 1);
	block_done(channel, &job.request, 0);
	assert_int_equal(block_resize(&keeper, 2 << 20, &f), -EOPNOTSUPP);
	assert_non_null(strstr(f.text, "keeper"));
}

static void sizes(void **state)
{
	struct error f = {0};

	assert_int_equal(block_check_size(512, "disk", &f), 0);
	assert_int_equal(block_check_size(0, "disk", &f), -EINVAL);
	assert_int_equal(block_check_size(511, "disk", &f), -EINVAL);
	assert_int_equal(block_check_size(513, "disk", &f), -EINVAL);
	assert_int_equal(block_check_size(1ull << 63, "disk", &f), -EFBIG);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(ranges),
		CASE(alignment),
		CASE(nothing_to_do),
		CASE(support),
		CASE(too_many_buffers),
		CASE(counters),
		CASE(optional_operations),
		cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
