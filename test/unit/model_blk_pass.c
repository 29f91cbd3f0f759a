/* How much of virtio-blk requests is done within one pass: a bounded part, whatever they ask for.
 */
#include "model/blk_internal.h"

#include "blk_support.h"

#define MOST	 (BLK_PASS_BYTES + TRANSFER_SLICE) /* bytes of work in a pass */
#define REQUESTS 4				   /* the depth of the queue */

/* --- A backend that counts what it is given, and answers at once or by the poll ----------- */

static uint64_t submitted, expected_offset;
static bool by_poll;
static struct block_request *parcel[REQUESTS];
static unsigned parcels;

static void counting_submit(struct block_channel *channel, struct block_request *request)
{
	if (request->op == BLOCK_READ || request->op == BLOCK_WRITE)
		assert_in_range(request->length, 1, TRANSFER_SLICE);
	assert_int_equal(request->offset, expected_offset);
	submitted += request->length;
	expected_offset += request->length;
	if (by_poll)
		parcel[parcels++] = request;
	else
		block_done(channel, request, 0);
}

static unsigned counting_poll(struct block_channel *channel)
{
	struct block_request *now[REQUESTS];
	unsigned count = parcels;

	memcpy(now, parcel, sizeof(now));
	parcels = 0;
	for (unsigned i = 0; i < count; i++)
		block_done(channel, now[i], 0);
	return count;
}

static const struct block_ops counting_ops = {.name = "counting",
					      .channel_open = slow_channel_open,
					      .channel_close = slow_channel_close,
					      .submit = counting_submit,
					      .poll = counting_poll,
					      .close = slow_close};

static int set_up_counting(void **state)
{
	submitted = expected_offset = 0;
	by_poll = false;
	parcels = 0;
	slow = (struct block){.ops = &counting_ops,
			      .limits = {.size = 1ull << 40,
					 .block_size = 512,
					 .physical_size = 512,
					 .memory_alignment = 1,
					 .range_slice = 1u << 20,
					 .discard = true,
					 .write_zeroes = true}};
	start_over(&slow, &(struct blk_options){.queues = 1, .write_cache = true});
	return 0;
}

/* --- Passes -------------------------------------------------------------------------------- */

static void pass(void)
{
	model->ops->poll(model, 0);
}

/* As a device: chains are handed over in one pass, until the model has enough of it. */
static unsigned pass_with(struct made *several, unsigned count)
{
	unsigned taken = 0;

	pass();
	while (taken < count && !model->ops->sated(model, 0))
		model->ops->handle(model, several[taken++].request);
	model->ops->batch_end(model, 0);
	return taken;
}

/*
 * A chain of `count` segments of `size` bytes each, all in the same memory: for data that nobody
 * looks at, as long as chains can be.
 */
static void make_giant(struct made *m, uint64_t sector, unsigned count, uint32_t size)
{
	static uint8_t memory[4u << 20];
	struct chain *chain;
	uint8_t header[16] = {0};

	store_le32(header, VIRTIO_BLK_T_IN);
	store_le64(header + 8, sector);
	made_begin(m, &client, model->ops->request_size);
	made_add(m, &client, false, 16, false);
	made_fill(m, &client, 0, header, 16);
	chain = &m->request->chain;
	for (unsigned i = 0; i < count; i++)
		m->segments[++chain->writable_count] =
			(struct segment){.host = memory + i % 2, .size = size};
	chain->writable = (uint64_t)count * size;
	made_add(m, &client, true, 1, false);
}

static void end_giant(struct made *m)
{
	free(m->segments[0].host);
	free(m->segments[m->request->chain.writable_count].host);
	free(m->request);
}

/* One request of 3.9 GiB: no pass does more than a slice beyond the limit, and all of it is done.
 */
static void one_giant(void **state)
{
	uint64_t length = 1000ull * ((4u << 20) - 512), before = 0;
	unsigned passes = 1;

	make_giant(&made, 0, 1000, (4u << 20) - 512);
	assert_int_equal(pass_with(&made, 1), 1);
	while (!made.answers) {
		assert_in_range(submitted - before, 1, MOST);
		assert_true(model->ops->sated(model, 0));
		before = submitted;
		pass();
		passes++;
	}
	assert_int_equal(submitted, length);
	assert_in_range(passes, length / MOST, length / BLK_PASS_BYTES + 1);
	assert_int_equal(made.written, length + 1);
	end_giant(&made);
}

/* Many requests: those that a pass has no room for are not even begun, and none overtakes another.
 */
static void many_in_turn(void **state)
{
	struct made *several = calloc(REQUESTS, sizeof(*several));
	unsigned taken = 0, answered = 0;

	for (unsigned i = 0; i < REQUESTS; i++)
		make_giant(&several[i], i * (3u << 20) / 512, 3, 1u << 20);
	while (answered < REQUESTS) {
		uint64_t before = submitted;

		taken += pass_with(several + taken, REQUESTS - taken);
		assert_in_range(submitted - before, 0, MOST);
		while (answered < REQUESTS && several[answered].answers)
			answered++;
		for (unsigned i = answered; i < REQUESTS; i++)
			assert_int_equal(several[i].answers, 0);
	}
	assert_int_equal(submitted, REQUESTS * (3u << 20));
	for (unsigned i = 0; i < REQUESTS; i++)
		end_giant(&several[i]);
	free(several);
}

/* A device may hand over what it has taken already: that waits, and comes first. */
static void handed_over_all_the_same(void **state)
{
	struct made *several = calloc(3, sizeof(*several));

	for (unsigned i = 0; i < 3; i++)
		make_giant(&several[i], i * (2u << 20) / 512, 2, 1u << 20);
	pass();
	for (unsigned i = 0; i < 3; i++)
		model->ops->handle(model, several[i].request);
	model->ops->batch_end(model, 0);
	assert_int_equal(submitted, 2u << 20);
	assert_int_equal(several[0].answers, 1);
	pass();
	assert_int_equal(submitted, 4u << 20);
	assert_int_equal(several[1].answers, 1);
	pass();
	assert_int_equal(several[2].answers, 1);
	assert_true(model->ops->sated(model, 0));
	pass();
	assert_false(model->ops->sated(model, 0));
	for (unsigned i = 0; i < 3; i++)
		end_giant(&several[i]);
	free(several);
}

/* The same where data goes through a buffer; and each segment is a system call of its own. */
static void copied(void **state)
{
	static const struct cut halves = {{512, 4096}, true}, crumbs = {{1}, true};
	uint64_t before = 0;

	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 6u << 20, &halves);
	assert_int_equal(pass_with(&made, 1), 1);
	for (; !made.answers; pass()) {
		assert_in_range(submitted - before, 1, BLK_PASS_BYTES + TRANSFER_BOUNCE);
		before = submitted;
	}
	assert_int_equal(submitted, 6u << 20);
	made_end(&made);
	pass();
	expected_offset = 0;
	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &crumbs);
	assert_int_equal(pass_with(&made, 1), 1);
	assert_true(model->ops->sated(model, 0));
	pass();
	assert_int_equal(made.answers, 1);
	made_end(&made);
}

/* What a backend finishes all at once is copied by and by, too. */
static void many_answers(void **state)
{
	struct made *several = calloc(REQUESTS, sizeof(*several));
	const struct cut two = {{TRANSFER_BOUNCE - 512, TRANSFER_BOUNCE}, true};
	unsigned answered = 0, passes = 0;

	by_poll = true;
	pass();
	for (unsigned i = 0; i < REQUESTS; i++) {
		make(VIRTIO_BLK_T_IN, expected_offset / 512, NULL, 0, TRANSFER_BOUNCE, &two);
		several[i] = made;
		several[i].request->owner = &several[i];
		several[i].request->chain.segments = several[i].segments;
		model->ops->handle(model, several[i].request);
	}
	/* not begun is what waits; here all were given to the backend */
	assert_int_equal(parcels, REQUESTS);
	blk_of(model)->queues[0].spent = BLK_PASS_BYTES - 1;
	model->ops->batch_end(model, 0);
	while (answered < REQUESTS) {
		unsigned before = answered;

		for (answered = 0; answered < REQUESTS && several[answered].answers;)
			answered++;
		assert_in_range(answered - before, passes ? 1 : 0, REQUESTS - 1);
		assert_in_range(++passes, 1, REQUESTS);
		pass();
	}
	assert_true(passes > 1);
	for (unsigned i = 0; i < REQUESTS; i++)
		made_end(&several[i]);
	free(several);
}

/* Ranges that the backend does at once come in slices; others in one piece. */
static void ranges(void **state)
{
	uint8_t range[32];

	put_range(range, 0, 8u << 11, 0);
	put_range(range + 16, 8u << 11, 3, 0);
	make(VIRTIO_BLK_T_DISCARD, 0, range, 32, 0, &whole);
	assert_int_equal(pass_with(&made, 1), 1);
	assert_int_equal(submitted, 1u << 20);
	while (!made.answers) {
		uint64_t before = submitted;

		pass();
		assert_in_range(submitted - before, 1, BLK_PASS_BYTES + (1u << 20));
	}
	assert_int_equal(submitted, (8u << 20) + 3 * 512);
	made_end(&made);
	slow.limits.range_slice = 0;
	submitted = expected_offset = 0;
	put_range(range, 0, 8u << 11, 0);
	make(VIRTIO_BLK_T_DISCARD, 0, range, 16, 0, &whole);
	submit();
	assert_int_equal(held_channel->submitted, 10); /* 9 before */
	assert_int_equal(outcome(), OK);
	made_end(&made);
}

/* Nothing is done of what waits once it is cancelled: neither begun nor gone on with. */
static void cancelled_while_waiting(void **state)
{
	struct made *several = calloc(2, sizeof(*several));
	uint64_t before;

	make_giant(&several[0], 0, 8, 4u << 20);
	make_giant(&several[1], 0, 8, 4u << 20);
	pass();
	model->ops->handle(model, several[0].request);
	model->ops->handle(model, several[1].request);
	model->ops->batch_end(model, 0);
	before = submitted;
	model->ops->cancel(model, 0);
	while (!several[0].answers || !several[1].answers)
		pass();
	assert_int_equal(submitted, before);
	assert_int_equal(several[0].written, 0); /* their status has data before it */
	assert_int_equal(several[1].written, 0);
	assert_int_equal(stats_of(0).errors, 2);
	end_giant(&several[0]);
	end_giant(&several[1]);
	free(several);
}

/* One byte beyond the end of the disk: nothing of a long request is done. */
static void beyond_the_end(void **state)
{
	slow.limits.size = (32u << 20) - 512;
	make_giant(&made, 0, 8, 4u << 20);
	submit();
	assert_int_equal(outcome(), IOERR);
	assert_int_equal(submitted, 0);
	assert_int_equal(stats_of(0).last_error, -ERANGE);
	end_giant(&made);
	slow.limits.size = 32u << 20;
	make_giant(&made, 0, 8, 4u << 20);
	submit();
	assert_int_equal(made.answers, 1);
	assert_int_equal(submitted, 32u << 20);
	end_giant(&made);
}

#define COUNTING(name) cmocka_unit_test_setup_teardown(name, set_up_counting, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		COUNTING(one_giant),
		COUNTING(many_in_turn),
		COUNTING(handed_over_all_the_same),
		COUNTING(copied),
		COUNTING(many_answers),
		COUNTING(ranges),
		COUNTING(cancelled_while_waiting),
		COUNTING(beyond_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
