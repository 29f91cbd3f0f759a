/* virtio-blk requests, well and badly formed, in every cut, mapped and copied. */
#include "blk_support.h"

/* --- Well formed ------------------------------------------------------------------------- */

static const struct cut cuts[] = {
	{{0}, false},	   {{16}, false},	 {{16, 512}, false},   {{1}, false},
	{{3, 700}, false}, {{16, 4096}, true},	 {{5, 11, 512}, true}, {{1000, 1}, true},
	{{0}, true},	   {{15, 2, 513}, true}, {{512}, true},
};

static void in_and_out_in_every_cut(void **state)
{
	static const uint32_t lengths[] = {512, 1024, 4096, 65536, 300 * 512, 1 << 20};

	for (unsigned c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			uint64_t sector = 7 + c + i * 3;

			assert_int_equal(
				run(VIRTIO_BLK_T_OUT, sector, pattern + c, lengths[i], 0, &cuts[c]),
				OK);
			assert_int_equal(made.written, 1);
			assert_int_equal(
				run(VIRTIO_BLK_T_IN, sector, NULL, 0, lengths[i], &cuts[c]), OK);
			assert_int_equal(made.written, lengths[i] + 1);
			assert_memory_equal(bytes, pattern + c, lengths[i]);
		}
	}
	assert_int_equal(stats_of(0).reads, 6 * sizeof(cuts) / sizeof(cuts[0]));
	assert_int_equal(stats_of(0).writes, stats_of(0).reads);
	assert_int_equal(stats_of(0).read_bytes, stats_of(0).written_bytes);
	assert_int_equal(stats_of(0).errors, 0);
	assert_int_equal(stats_of(1).reads, 0);
}

static void ends_of_the_disk(void **state)
{
	const uint64_t last = DISK / 512 - 1;

	assert_int_equal(run(VIRTIO_BLK_T_OUT, last, pattern, 512, 0, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_IN, last, NULL, 0, 512, &whole), OK);
	assert_memory_equal(bytes, pattern, 512);
	assert_int_equal(run(VIRTIO_BLK_T_IN, 0, NULL, 0, DISK, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_IN, last + 1, NULL, 0, 0, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_IN, last + 2, NULL, 0, 0, &whole), IOERR);
}

static void get_id(void **state)
{
	assert_int_equal(run(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 20, &whole), OK);
	assert_int_equal(made.written, 21);
	assert_memory_equal(bytes, "disk0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	assert_int_equal(run(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 20, &cuts[7]), OK);
	assert_memory_equal(bytes, "disk0", 6);
	assert_int_equal(run(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 64, &whole), OK);
	assert_int_equal(made.written, 20); /* the status is far behind */
	assert_int_equal(run(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 19, &whole), IOERR);
	assert_int_equal(run(VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 0, &whole), IOERR);
}

/* Types that write nothing but their status, with room for more before it. */
static void more_room_than_needed(void **state)
{
	uint8_t range[16];

	put_range(range, 0, 1, 0);
	for (unsigned c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		assert_int_equal(run(VIRTIO_BLK_T_OUT, 0, pattern, 512, 512, &cuts[c]), OK);
		assert_int_equal(made.written, 0);
		assert_int_equal(run(VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 512, &cuts[c]), OK);
		assert_int_equal(made.written, 0);
		assert_int_equal(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, range, 16, 1, &cuts[c]), OK);
		assert_int_equal(made.written, 0);
	}
}

static void discard_and_write_zeroes(void **state)
{
	uint8_t ranges[16 * 17];

	for (unsigned c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		assert_int_equal(run(VIRTIO_BLK_T_OUT, 0, pattern, 65536, 0, &whole), OK);
		memcpy(bytes + 65536, pattern, 65536);
		for (unsigned i = 0; i < 16; i++) {
			put_range(ranges + i * 16, i * 8 + 1, i % 4, i % 2);
			memset(bytes + 65536 + (i * 8 + 1) * 512, 0, i % 4 * 512);
		}
		assert_int_equal(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 256, 0, &cuts[c]), OK);
		assert_int_equal(made.written, 1);
		assert_int_equal(run(VIRTIO_BLK_T_IN, 0, NULL, 0, 65536, &whole), OK);
		assert_memory_equal(bytes, bytes + 65536, 65536);
	}
	put_range(ranges, 64, 64, 0);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 16, 0, &whole), OK);
	assert_int_equal(run(VIRTIO_BLK_T_IN, 64, NULL, 0, 32768, &whole), OK);
	for (unsigned i = 0; i < 32768; i++)
		assert_int_equal(bytes[i], 0);
	assert_int_equal(stats_of(0).discards, 1);
	assert_int_equal(stats_of(0).write_zeroes, sizeof(cuts) / sizeof(cuts[0]));
}

/* --- Badly formed ------------------------------------------------------------------------ */

static void refused_transfers(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector, out, in;
		int status;
	} cases[] = {
		{VIRTIO_BLK_T_IN, 0, 0, 511, IOERR},
		{VIRTIO_BLK_T_IN, 0, 0, 1, IOERR},
		{VIRTIO_BLK_T_OUT, 0, 513, 0, IOERR},
		{VIRTIO_BLK_T_IN, DISK / 512, 0, 512, IOERR},
		{VIRTIO_BLK_T_IN, DISK / 512 - 1, 0, 1024, IOERR},
		{VIRTIO_BLK_T_OUT, DISK / 512, 512, 0, IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX, 0, 512, IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX / 512, 0, 512, IOERR},
		{VIRTIO_BLK_T_IN, UINT64_MAX / 512 + 1, 0, 512, IOERR},
		{VIRTIO_BLK_T_OUT, UINT64_MAX / 512 - 1, 1024, 0, IOERR},
		{2, 0, 0, 0, UNSUP}, /* SCSI_CMD */
		{5, 0, 0, 0, UNSUP}, /* FLUSH_OUT of old */
		{10, 0, 0, 512, UNSUP},
		{VIRTIO_BLK_T_SECURE_ERASE, 0, 16, 0, UNSUP},
		{0x80000000, 0, 0, 512, UNSUP},
		{UINT32_MAX, 0, 0, 0, UNSUP},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned copied = 0; copied < 2; copied++) {
			struct cut cut = {{0}, copied};

			assert_int_equal(run(cases[i].type, cases[i].sector, pattern, cases[i].out,
					     cases[i].in, &cut),
					 cases[i].status);
			assert_int_equal(made.written, cases[i].in ? 0 : 1);
		}
	}
	assert_int_equal(stats_of(0).errors, 20);
	assert_int_equal(stats_of(0).unsupported, 12);
}

static void refused_ranges(void **state)
{
	static const struct {
		uint64_t sector;
		uint32_t count, flags;
		int zeroes, discard; /* statuses */
	} cases[] = {
		{0, 1, 1, OK, UNSUP},
		{0, 1, 2, UNSUP, UNSUP},
		{0, 1, 0x80000001, UNSUP, UNSUP},
		{DISK / 512, 1, 0, IOERR, IOERR},
		{DISK / 512 - 1, 2, 0, IOERR, IOERR},
		{UINT64_MAX, 1, 0, IOERR, IOERR},
		{UINT64_MAX / 512, 1, 0, IOERR, IOERR},
		{0, UINT32_MAX, 0, IOERR, IOERR},
		{DISK / 512, 0, 0, OK, OK},
		{0, 0, 0, OK, OK},
	};
	uint8_t ranges[16 * 17] = {0};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_range(ranges, cases[i].sector, cases[i].count, cases[i].flags);
		assert_int_equal(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 16, 0, &whole),
				 cases[i].zeroes);
		assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 16, 0, &whole),
				 cases[i].discard);
	}
	memset(ranges, 0, sizeof(ranges));
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 0, 0, &whole), IOERR);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 15, 0, &whole), IOERR);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 17, 0, &whole), IOERR);
	assert_int_equal(run(VIRTIO_BLK_T_DISCARD, 0, ranges, 17 * 16, 0, &whole), IOERR);
}

/* A flag that nobody knows in the last range: nothing of the first ones is done. */
static void all_ranges_are_checked_first(void **state)
{
	uint8_t ranges[32];

	assert_int_equal(run(VIRTIO_BLK_T_OUT, 0, pattern, 4096, 0, &whole), OK);
	put_range(ranges, 0, 8, 0);
	put_range(ranges + 16, 0, 8, 4);
	assert_int_equal(run(VIRTIO_BLK_T_WRITE_ZEROES, 0, ranges, 32, 0, &whole), UNSUP);
	assert_int_equal(run(VIRTIO_BLK_T_IN, 0, NULL, 0, 4096, &whole), OK);
	assert_memory_equal(bytes, pattern, 4096);
}

/* Chains that virtio has no answer for. */
static void nonsense(void **state)
{
	for (unsigned readable = 0; readable < 16; readable++) {
		made_begin(&made, &client, model->ops->request_size);
		if (readable)
			made_add(&made, &client, false, readable, readable % 2);
		made_add(&made, &client, true, 513, false);
		submit();
		assert_int_equal(outcome(), BREAKS);
		made_end(&made);
	}
	made_begin(&made, &client, model->ops->request_size);
	made_add(&made, &client, false, 16, false);
	submit();
	assert_int_equal(outcome(), BREAKS);
	made_end(&made);
}

static void client_region_invalidated(void **state)
{
	static const struct cut all = {{0}, true}, status = {{16}, false};

	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &all);
	client.gone = true;
	submit();
	assert_int_equal(outcome(), BREAKS);
	made_end(&made);
	client.gone = false;
	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &status);
	free(made.segments[made.request->chain.readable_count].host);
	made.segments[made.request->chain.readable_count].host = NULL; /* data at a wrong address */
	submit();
	assert_int_equal(outcome(), BREAKS);
	made_end(&made);
}

/* --- Steps ------------------------------------------------------------------------------- */

static void errors_of_the_backend(void **state)
{
	static const struct {
		int error, status;
	} cases[] = {{-EIO, IOERR},	   {-ENOSPC, IOERR},  {-ECANCELED, IOERR},
		     {-EOPNOTSUPP, UNSUP}, {-EFAULT, BREAKS}, {-ENOMEM, IOERR}};
	struct block_channel *channel = held_channel;

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &cuts[i]);
		submit();
		assert_int_equal(made.answers + made.refusals, 0);
		answer_held(cases[i].error);
		assert_int_equal(outcome(), cases[i].status);
		if (made.answers)
			assert_int_equal(made.written, 0);
		made_end(&made);
		assert_int_equal(stats_of(0).last_error, cases[i].error);
	}
	assert_int_equal(stats_of(0).errors, 4);
	assert_int_equal(stats_of(0).unsupported, 1);
	assert_int_equal(channel->outstanding, 0);
}

/* Ranges are done one after the other; the first error ends it. */
static void ranges_in_turn(void **state)
{
	uint8_t ranges[48];

	for (unsigned i = 0; i < 3; i++)
		put_range(ranges + i * 16, i * 100, i + 1, 0);
	make(VIRTIO_BLK_T_DISCARD, 0, ranges, 48, 0, &whole);
	submit();
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(made.answers, 0);
		assert_int_equal(held_count, 1);
		assert_int_equal(held[0]->offset, i * 100 * 512);
		assert_int_equal(held[0]->length, (i + 1) * 512);
		answer_held(0);
	}
	assert_int_equal(outcome(), OK);
	made_end(&made);
	make(VIRTIO_BLK_T_DISCARD, 0, ranges, 48, 0, &whole);
	submit();
	answer_held(0);
	answer_held(-EIO);
	assert_int_equal(outcome(), IOERR);
	assert_int_equal(held_count, 0);
	made_end(&made);
}

static uint64_t failures(void)
{
	struct model_failure failure;

	model->ops->failure(model, 0, &failure);
	return failure.count;
}

/* What was asked for and comes back cancelled is no failure of the backend's. */
static void cancelled_is_no_failure(void **state)
{
	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &cuts[0]);
	submit();
	model->ops->cancel(model, 0);
	answer_held(-ECANCELED);
	assert_int_equal(outcome(), IOERR);
	made_end(&made);
	assert_int_equal(failures(), 0);
	make(VIRTIO_BLK_T_IN, 0, NULL, 0, 512, &cuts[0]);
	submit();
	answer_held(-EIO);
	assert_int_equal(outcome(), IOERR);
	made_end(&made);
	assert_int_equal(failures(), 1);
}

/* After a cancel a request takes no further step. */
static void cancelled_between_steps(void **state)
{
	uint8_t ranges[48];

	for (unsigned i = 0; i < 3; i++)
		put_range(ranges + i * 16, i, 1, 0);
	make(VIRTIO_BLK_T_DISCARD, 0, ranges, 48, 0, &whole);
	submit();
	answer_held(0);
	model->ops->cancel(model, 0);
	answer_held(0);
	assert_int_equal(outcome(), IOERR);
	assert_int_equal(held_count, 0);
	made_end(&made);
}

/* A backend that answers at once, and sees how deep the stack is then. */
static uintptr_t highest, lowest;

static void quick_submit(struct block_channel *channel, struct block_request *request)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);

	highest = here > highest ? here : highest;
	lowest = here < lowest ? here : lowest;
	block_done(channel, request, 0);
}

static const struct block_ops quick_ops = {.name = "quick",
					   .channel_open = slow_channel_open,
					   .channel_close = slow_channel_close,
					   .submit = quick_submit,
					   .close = slow_close};

/* Many steps, each finished inside block_submit: the stack does not grow with them. */
static void many_steps_one_stack(void **state)
{
	stop();
	slow.ops = &quick_ops;
	slow.limits.size = 1ull << 40;
	start_over(&slow, &(struct blk_options){.queues = 1});
	made_type = VIRTIO_BLK_T_IN;
	made_begin(&made, &client, model->ops->request_size);
	made_add(&made, &client, false, 16, true);
	made_fill(&made, &client, 0, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	made_add(&made, &client, true, 512, true); /* decides: all goes through a bounce buffer */
	for (unsigned i = 0; i < 64; i++)
		made_add(&made, &client, true, 1u << 20, false);
	made_add(&made, &client, true, 1, false);
	highest = 0;
	lowest = UINTPTR_MAX;
	submit();
	assert_int_equal(outcome(), OK);
	assert_int_equal(made.written, 64u * (1u << 20) + 513);
	assert_true(held_channel->submitted > 500);
	assert_true(highest - lowest < 1024);
	made_end(&made);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(in_and_out_in_every_cut),
		CASE(ends_of_the_disk),
		CASE(get_id),
		CASE(more_room_than_needed),
		CASE(discard_and_write_zeroes),
		CASE(refused_transfers),
		CASE(refused_ranges),
		CASE(all_ranges_are_checked_first),
		CASE(nonsense),
		CASE(client_region_invalidated),
		SLOW(errors_of_the_backend),
		SLOW(ranges_in_turn),
		SLOW(cancelled_between_steps),
		SLOW(cancelled_is_no_failure),
		SLOW(many_steps_one_stack),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
