/*
 * block_rmw.c around a disk of 4096-byte blocks, against an array that is kept beside. The disk
 * below reads when a request comes and writes when it is polled, which is the worst order for
 * whoever changes a part of a block.
 */
#include <pthread.h>
#include <sys/eventfd.h>

#include "backend_support.h"

#define BLOCK	4096u
#define BLOCKS	128u
#define SIZE	(BLOCKS * BLOCK)
#define SECTOR	512u
#define SECTORS (BLOCK / SECTOR)

/* --- The disk below --------------------------------------------------------------------------- */

struct coarse {
	struct block block;
	bool at_once; /* done within submit */
	enum block_op fail_op;
	unsigned fail_after; /* so many requests of fail_op go well, the next does not; 0: all do */
	unsigned count[BLOCK_WRITE_ZEROES + 1], durable;
	uint8_t bytes[SIZE];
};

struct coarse_channel {
	struct block_channel channel;
	struct block_request *first, **end;
	int event;
};

static struct coarse *disk;
static struct block *block;
static struct block_channel *channels[2];
static uint8_t expected[SIZE];
static _Alignas(BLOCK) uint8_t bytes[SIZE], other[SIZE];

static int coarse_open(struct block *b, unsigned depth, struct block_channel **channel,
		       struct error *f)
{
	struct coarse_channel *ch = calloc(1, sizeof(*ch));

	assert_non_null(ch);
	ch->end = &ch->first;
	ch->event = eventfd(0, EFD_NONBLOCK);
	*channel = &ch->channel;
	return 0;
}

static void coarse_close(struct block_channel *channel)
{
	close(((struct coarse_channel *)channel)->event);
	free(channel);
}

static void transfer(const struct block_request *request)
{
	uint8_t *at = disk->bytes + request->offset;

	for (unsigned i = 0; i < request->iov_count; at += request->iov[i++].iov_len)
		if (request->op == BLOCK_READ)
			memcpy(request->iov[i].iov_base, at, request->iov[i].iov_len);
		else
			memcpy(at, request->iov[i].iov_base, request->iov[i].iov_len);
}

static int result_of(const struct block_request *request)
{
	if (disk->fail_after && request->op == disk->fail_op && !--disk->fail_after)
		return -ENOSPC;
	if (request->op == BLOCK_WRITE)
		transfer(request);
	else if (request->op == BLOCK_WRITE_ZEROES || request->op == BLOCK_DISCARD)
		memset(disk->bytes + request->offset, 0, request->length);
	return 0;
}

static void coarse_submit(struct block_channel *channel, struct block_request *request)
{
	struct coarse_channel *ch = (struct coarse_channel *)channel;

	__atomic_add_fetch(&disk->count[request->op], 1, __ATOMIC_RELAXED);
	if (request->durable)
		__atomic_add_fetch(&disk->durable, 1, __ATOMIC_RELAXED);
	if (request->op == BLOCK_READ)
		transfer(request);
	if (disk->at_once) {
		block_done(channel, request, result_of(request));
		return;
	}
	request->next = NULL;
	request->backend[0] = 0;
	*ch->end = request;
	ch->end = &request->next;
	assert_int_equal(eventfd_write(ch->event, 1), 0);
}

static unsigned coarse_poll(struct block_channel *channel)
{
	struct coarse_channel *ch = (struct coarse_channel *)channel;
	struct block_request *request = ch->first, *next;
	eventfd_t count;
	unsigned n = 0;

	eventfd_read(ch->event, &count);
	ch->first = NULL;
	ch->end = &ch->first;
	for (; request; request = next, n++) {
		next = request->next;
		block_done(channel, request, request->backend[0] ? -ECANCELED : result_of(request));
	}
	return n;
}

static int coarse_fd(struct block_channel *channel)
{
	return ((struct coarse_channel *)channel)->event;
}

static void coarse_cancel(struct block_channel *channel)
{
	for (struct block_request *r = ((struct coarse_channel *)channel)->first; r; r = r->next)
		r->backend[0] = 1;
}

static int coarse_resize(struct block *b, uint64_t size, struct error *f)
{
	b->limits.size = size;
	return 0;
}

static void coarse_end(struct block *b)
{
	free(b);
}

static const struct block_ops coarse_ops = {.name = "coarse",
					    .channel_open = coarse_open,
					    .channel_close = coarse_close,
					    .submit = coarse_submit,
					    .close = coarse_end,
					    .poll = coarse_poll,
					    .fd = coarse_fd,
					    .cancel = coarse_cancel,
					    .resize = coarse_resize};

/* --- Around it -------------------------------------------------------------------------------- */

static int setup(void **state)
{
	disk = calloc(1, sizeof(*disk));
	assert_non_null(disk);
	disk->block.ops = &coarse_ops;
	disk->block.limits = (struct block_limits){.size = SIZE,
						   .block_size = BLOCK,
						   .physical_size = BLOCK,
						   .memory_alignment = BLOCK,
						   .discard = true,
						   .write_zeroes = true};
	pattern(expected, SIZE, 77);
	memcpy(disk->bytes, expected, SIZE);
	assert_int_equal(block_rmw_open(SECTOR, &disk->block, &block, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(block_channel_open(block, 16, &channels[i], NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		block_channel_close(channels[i]);
	block_close(block);
	return 0;
}

static void expect_disk(void)
{
	for (unsigned i = 0; i < SIZE / SECTOR; i++)
		if (memcmp(disk->bytes + i * SECTOR, expected + i * SECTOR, SECTOR))
			fail_msg("sector %u is wrong", i);
}

/* The part of a range that is whole blocks; 0 bytes: none. */
static uint64_t inner_part(uint64_t *offset, uint64_t length)
{
	uint64_t end = (*offset + length) / BLOCK * BLOCK;

	*offset = (*offset + BLOCK - 1) / BLOCK * BLOCK;
	return end > *offset ? end - *offset : 0;
}

static void change(enum block_op op, uint64_t offset, uint64_t length, unsigned seed)
{
	uint8_t *data = bytes + (seed % 3 ? SECTOR : 0); /* memory of any alignment there is */
	uint64_t whole = offset, size = inner_part(&whole, length);

	pattern(data, length, seed);
	assert_int_equal(
		job_run(channels[seed % 2], op, offset, op == BLOCK_WRITE ? data : NULL, length),
		0);
	if (op == BLOCK_WRITE)
		memcpy(expected + offset, data, length);
	else if (op == BLOCK_WRITE_ZEROES)
		memset(expected + offset, 0, length);
	else if (size)
		memset(expected + whole, 0, size);
	expect_disk();
	assert_int_equal(job_run(channels[seed % 2], BLOCK_READ, offset, other + SECTOR, length),
			 0);
	assert_memory_equal(other + SECTOR, expected + offset, length);
}

static void every_offset_and_size(void)
{
	static const enum block_op ops[] = {BLOCK_WRITE, BLOCK_DISCARD, BLOCK_WRITE,
					    BLOCK_WRITE_ZEROES};
	unsigned seed = 0;

	for (uint64_t offset = 0; offset < 4 * BLOCK; offset += SECTOR)
		for (uint64_t size = SECTOR; offset + size <= 4 * BLOCK; size += SECTOR)
			for (unsigned i = 0; i < 4; i++)
				change(ops[i], offset, size, seed++);
}

static void every_range_later(void **state)
{
	every_offset_and_size();
}

static void every_range_at_once(void **state)
{
	disk->at_once = true;
	every_offset_and_size();
}

/* More than one buffer's worth; and to the disk's end. */
static void long_ranges(void **state)
{
	uint64_t size = SIZE - 3 * BLOCK - SECTOR;

	for (unsigned i = 0; i < 2; i++, disk->at_once = true) {
		change(BLOCK_WRITE, 3 * BLOCK + SECTOR, size, 1 + i);
		change(BLOCK_WRITE_ZEROES, 2 * BLOCK + 3 * SECTOR, size - SECTOR, 3 + i);
		change(BLOCK_WRITE, SIZE - SECTOR, SECTOR, 5 + i);
		change(BLOCK_WRITE, 0, SIZE - SECTOR, 7 + i);
	}
}

/* Disks below that ask little of memory: whole blocks at the end of a request are no whole request.
 */
static void long_ranges_in_any_memory(void **state)
{
	disk->block.limits.memory_alignment = SECTOR;
	long_ranges(state);
	change(BLOCK_WRITE, SECTOR, SIZE - SECTOR, 9);
	change(BLOCK_WRITE, BLOCK, SIZE - BLOCK, 10);
}

static void several_buffers(void **state)
{
	struct job job = {.iov = {{bytes, 512}, {bytes + 2048, 1024}, {bytes + 8192, 8192}},
			  .result = PENDING};

	pattern(bytes, SIZE, 3);
	for (unsigned i = 0; i < 2; i++) {
		job.result = PENDING;
		job.request = (struct block_request){.op = i ? BLOCK_READ : BLOCK_WRITE,
						     .offset = 7 * SECTOR,
						     .length = 9728,
						     .iov = job.iov,
						     .iov_count = 3,
						     .done = job_done};
		block_submit(channels[0], &job.request);
		assert_int_equal(job_wait(channels[0], &job, 10000), 0);
		memcpy(expected + 7 * SECTOR, bytes, 512);
		memcpy(expected + 8 * SECTOR, bytes + 2048, 1024);
		memcpy(expected + 10 * SECTOR, bytes + 8192, 8192);
		expect_disk();
		for (unsigned k = 0; k < 3; k++)
			job.iov[k].iov_base = (uint8_t *)job.iov[k].iov_base - bytes + other;
	}
	assert_memory_equal(other, bytes, 512);
	assert_memory_equal(other + 2048, bytes + 2048, 1024);
	assert_memory_equal(other + 8192, bytes + 8192, 8192);
}

/* Whole blocks in memory as the disk below wants it: nothing is read, nothing goes through a
 * buffer. */
static void whole_blocks_go_straight(void **state)
{
	change(BLOCK_WRITE, BLOCK, 40 * BLOCK, 6);
	assert_int_equal(disk->count[BLOCK_WRITE], 1);
	change(BLOCK_WRITE_ZEROES, BLOCK, 40 * BLOCK, 8);
	assert_int_equal(disk->count[BLOCK_WRITE_ZEROES], 1);
	assert_int_equal(disk->count[BLOCK_WRITE], 1);
}

/* Each write of a durable one is; a flush is a flush. */
static void durable(void **state)
{
	struct job job = {.request.durable = true};

	job_submit(channels[0], &job, BLOCK_WRITE, SECTOR, bytes, 40 * BLOCK);
	assert_int_equal(job_wait(channels[0], &job, 10000), 0);
	assert_int_equal(disk->durable, disk->count[BLOCK_WRITE]);
	assert_int_equal(job_run(channels[0], BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(disk->count[BLOCK_FLUSH], 1);
}

/* Polls both until nothing is left. */
static void finish_all(void)
{
	int news[2] = {watch_channel(channels[0]), watch_channel(channels[1])};

	while (channels[0]->outstanding + channels[1]->outstanding) {
		unsigned polled = 0;

		for (unsigned i = 0; i < 2; i++)
			if (has_news(channels[i], news[i], 0)) {
				block_poll(channels[i]);
				polled++;
			}
		if (!polled)
			fail_msg("requests are out and nothing tells of them");
	}
	close(news[0]);
	close(news[1]);
}

/* Nobody's write is undone by a neighbour's, from one queue or two. */
static void neighbours_in_flight(unsigned queues)
{
	struct job jobs[SECTORS] = {0};

	pattern(bytes, BLOCK, 9);
	memcpy(expected + BLOCK, bytes, BLOCK);
	for (unsigned i = 0; i < SECTORS; i++)
		job_submit(channels[i % queues], &jobs[i], BLOCK_WRITE, BLOCK + i * SECTOR,
			   bytes + i * SECTOR, SECTOR);
	finish_all();
	for (unsigned i = 0; i < SECTORS; i++)
		assert_int_equal(jobs[i].result, 0);
	expect_disk();
}

static void neighbours_of_one_queue(void **state)
{
	neighbours_in_flight(1);
}

static void neighbours_of_two_queues(void **state)
{
	neighbours_in_flight(2);
}

/* A whole block, or zeroes, written before or after a part of it: none is lost. */
static void parts_and_wholes(void **state)
{
	struct job whole = {0}, part = {0}, zeroes = {0};

	pattern(bytes, 4 * BLOCK, 9);
	pattern(other, SECTOR, 10);
	job_submit(channels[0], &whole, BLOCK_WRITE, 0, bytes, 4 * BLOCK);
	job_submit(channels[1], &part, BLOCK_WRITE, BLOCK + SECTOR, other, SECTOR);
	job_submit(channels[0], &zeroes, BLOCK_WRITE_ZEROES, 2 * SECTOR, NULL, BLOCK);
	finish_all();
	assert_int_equal(whole.result | part.result | zeroes.result, 0);
	memcpy(expected, bytes, 4 * BLOCK);
	memcpy(expected + BLOCK + SECTOR, other, SECTOR);
	memset(expected + 2 * SECTOR, 0, BLOCK);
	expect_disk();

	job_submit(channels[1], &part, BLOCK_WRITE, BLOCK + 5 * SECTOR, other, SECTOR);
	job_submit(channels[0], &whole, BLOCK_WRITE, BLOCK, bytes, BLOCK);
	finish_all();
	memcpy(expected + BLOCK, bytes, BLOCK);
	expect_disk();
}

/* Who waits comes back undone and is in nobody's way; who has its turn goes on. */
static void cancelled_while_waiting(void **state)
{
	struct job first = {0}, waits = {0}, behind = {0};

	pattern(bytes, BLOCK, 11);
	job_submit(channels[0], &first, BLOCK_WRITE, 0, bytes, SECTOR);
	job_submit(channels[1], &waits, BLOCK_WRITE, SECTOR, bytes, SECTOR);
	job_submit(channels[0], &behind, BLOCK_WRITE, 2 * SECTOR, bytes, SECTOR);
	block_cancel(channels[1]);
	assert_int_equal(waits.result, PENDING); /* arrives by poll, as everything */
	assert_int_equal(job_wait(channels[1], &waits, 10000), -ECANCELED);
	assert_int_equal(waits.calls, 1);
	assert_int_equal(first.result, PENDING);
	finish_all();
	assert_int_equal(first.result | behind.result, 0);
	memcpy(expected, bytes, SECTOR);
	memcpy(expected + 2 * SECTOR, bytes, SECTOR);
	expect_disk();
}

/* Those that wait longer than the one that gives up have not come nearer. */
static void cancelled_behind_another(void **state)
{
	struct job first = {0}, waits = {0}, behind = {0};

	pattern(bytes, BLOCK, 11);
	job_submit(channels[0], &first, BLOCK_WRITE, 0, bytes, SECTOR);
	job_submit(channels[0], &waits, BLOCK_WRITE, SECTOR, bytes, SECTOR);
	job_submit(channels[1], &behind, BLOCK_WRITE, 2 * SECTOR, bytes, SECTOR);
	block_cancel(channels[1]);
	finish_all();
	assert_int_equal(behind.result, -ECANCELED);
	assert_int_equal(first.result | waits.result, 0);
	memcpy(expected, bytes, SECTOR);
	memcpy(expected + SECTOR, bytes, SECTOR);
	expect_disk();
}

/* Between two steps, too; those behind have their turn. */
static void cancelled_at_work(void **state)
{
	struct job first = {0}, second = {0};

	pattern(bytes, BLOCK, 12);
	job_submit(channels[0], &first, BLOCK_WRITE, 0, bytes, SECTOR);
	job_submit(channels[1], &second, BLOCK_WRITE, SECTOR, bytes, SECTOR);
	block_cancel(channels[0]);
	finish_all();
	assert_int_equal(first.result, -ECANCELED);
	assert_int_equal(second.result, 0);
	memcpy(expected + SECTOR, bytes, SECTOR);
	expect_disk();
}

/* It had its turn, and its thread has not looked yet. */
static void cancelled_when_granted(void **state)
{
	struct job first = {0}, second = {0};

	pattern(bytes, BLOCK, 13);
	job_submit(channels[0], &first, BLOCK_WRITE, 0, bytes, SECTOR);
	job_submit(channels[1], &second, BLOCK_WRITE, SECTOR, bytes, SECTOR);
	assert_int_equal(job_wait(channels[0], &first, 10000), 0);
	block_cancel(channels[1]);
	finish_all();
	assert_int_equal(second.result, -ECANCELED);
	memcpy(expected, bytes, SECTOR);
	expect_disk();
	change(BLOCK_WRITE, SECTOR, SECTOR, 14);
}

static void errors_are_passed_up(void **state)
{
	struct job jobs[2] = {0};

	disk->fail_op = BLOCK_READ;
	for (unsigned i = 1; i <= 2; i++) { /* the first block, the last one */
		disk->fail_after = i;
		assert_int_equal(job_run(channels[0], BLOCK_WRITE, SECTOR, bytes, BLOCK), -ENOSPC);
		expect_disk();
	}
	disk->fail_after = 1;
	assert_int_equal(job_run(channels[0], BLOCK_READ, SECTOR, bytes, SECTOR), -ENOSPC);
	disk->fail_op = BLOCK_WRITE;
	disk->fail_after = 1;
	pattern(bytes, BLOCK, 15);
	for (unsigned i = 0; i < 2; i++) /* the second has to wait for the one that fails */
		job_submit(channels[i], &jobs[i], BLOCK_WRITE, i * SECTOR, bytes, SECTOR);
	finish_all();
	assert_int_equal(jobs[0].result, -ENOSPC);
	assert_int_equal(jobs[1].result, 0);
	memcpy(expected + SECTOR, bytes, SECTOR);
	expect_disk();
}

static void limits(void **state)
{
	struct error f = {0};

	assert_int_equal(block->limits.block_size, SECTOR);
	assert_int_equal(block->limits.physical_size, BLOCK);
	assert_int_equal(block->limits.memory_alignment, SECTOR);
	assert_int_equal(block_resize(block, SIZE + SECTOR, &f), -EINVAL);
	assert_non_null(strstr(f.text, "4096"));
	assert_int_equal(block_resize(block, SIZE + BLOCK, &f), 0);
	assert_true(block->limits.size == SIZE + BLOCK);
	assert_int_equal(block->limits.block_size, SECTOR);
	assert_int_equal(job_run(channels[0], BLOCK_READ, 256, bytes, SECTOR), -EINVAL);
}

#define ROUNDS 2000

/* Writes every other sector of a few blocks, with some requests out at any time. */
static void *write_sectors(void *argument)
{
	unsigned me = *(const unsigned *)argument;
	struct job jobs[4] = {0};

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct job *job = &jobs[i % 4];
		unsigned sector = (i * 2 + me) % (3 * SECTORS);

		if (i >= 4 && job_wait(channels[me], job, 10000))
			return NULL;
		job_submit(channels[me], job, BLOCK_WRITE, sector * SECTOR, bytes + sector * SECTOR,
			   SECTOR);
	}
	for (unsigned i = 0; i < 4; i++)
		if (job_wait(channels[me], &jobs[i], 10000))
			return NULL;
	return argument;
}

static void two_threads(void **state)
{
	unsigned numbers[2] = {0, 1};
	pthread_t threads[2];
	void *result;

	pattern(bytes, 3 * BLOCK, 16);
	memcpy(expected, bytes, 3 * BLOCK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_sectors, &numbers[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_ptr_equal(result, &numbers[i]);
	}
	expect_disk();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_range_later),
		CASE(every_range_at_once),
		CASE(long_ranges),
		CASE(long_ranges_in_any_memory),
		CASE(several_buffers),
		CASE(whole_blocks_go_straight),
		CASE(durable),
		CASE(neighbours_of_one_queue),
		CASE(neighbours_of_two_queues),
		CASE(parts_and_wholes),
		CASE(cancelled_while_waiting),
		CASE(cancelled_behind_another),
		CASE(cancelled_at_work),
		CASE(cancelled_when_granted),
		CASE(errors_are_passed_up),
		CASE(limits),
		CASE(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
