/* Transfers: what goes directly, what through a bounce buffer, and that no byte is lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "model/transfer.h"
#include "model_support.h"

static struct copied_client client;
static struct transfer_pool pool;
static struct made made;
static struct transfer transfer;
static uint8_t expected[13u << 20];

static int set_up(void **state)
{
	client_open(&client);
	transfer_pool_init(&pool, 1);
	made_begin(&made, &client, 0);
	for (size_t i = 0; i < sizeof(expected); i++)
		expected[i] = (uint8_t)(i * 13 + (i >> 9));
	return 0;
}

static int tear_down(void **state)
{
	made_end(&made);
	transfer_pool_free(&pool);
	client_close(&client);
	return 0;
}

/* Plays the backend: fills or compares the piece with the disk at `at`. */
static void use_piece(uint64_t at)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < transfer.iov_count; i++) {
		if (transfer.to_chain)
			memcpy(transfer.iov[i].iov_base, expected + at + sum,
			       transfer.iov[i].iov_len);
		else
			assert_memory_equal(transfer.iov[i].iov_base, expected + at + sum,
					    transfer.iov[i].iov_len);
		sum += transfer.iov[i].iov_len;
	}
	assert_int_equal(sum, transfer.size);
}

/* Runs the whole transfer. Returns the number of pieces. */
static unsigned run(bool to_chain, uint64_t offset, uint64_t length)
{
	uint64_t at = 0;
	unsigned pieces = 0;

	if (!to_chain)
		made_fill(&made, &client, offset, expected, length);
	assert_int_equal(
		transfer_start(&transfer, &pool, &made.request->chain, to_chain, offset, length),
		0);
	for (;;) {
		assert_int_equal(transfer_next(&transfer), 0);
		if (!transfer.size)
			break;
		use_piece(at);
		at += transfer.size;
		pieces++;
		assert_int_equal(transfer_done(&transfer), 0);
	}
	assert_int_equal(at, length);
	transfer_end(&transfer);
	for (uint64_t i = 0; to_chain && i < length; i += i % 509 + 1)
		assert_int_equal(*made_byte(&made, &client, true, offset + i), expected[i]);
	return pieces;
}

static void mapped_goes_directly(void **state)
{
	made_add(&made, &client, false, 16, false);
	made_add(&made, &client, false, 4096, false);
	made_add(&made, &client, false, 1000, false);
	made_add(&made, &client, true, 1 << 20, false);
	made_add(&made, &client, true, 1, false);
	assert_int_equal(run(false, 16, 5096), 1);
	assert_int_equal(transfer.iov_count, 2);
	assert_ptr_equal(transfer.iov[0].iov_base, made.segments[1].host);
	assert_int_equal(run(true, 0, 1 << 20), 1);
	assert_ptr_equal(transfer.iov[0].iov_base, made.segments[3].host);
	assert_int_equal(pool.bounce_count, 0);
	assert_int_equal(pool.table_count, 0);
}

static void part_of_a_segment(void **state)
{
	made_add(&made, &client, false, 528, false);
	made_add(&made, &client, true, 513, false);
	assert_int_equal(run(false, 16, 512), 1);
	assert_ptr_equal(transfer.iov[0].iov_base, made.segments[0].host + 16);
	assert_int_equal(transfer.iov[0].iov_len, 512);
	assert_int_equal(run(true, 0, 512), 1);
	assert_int_equal(transfer.iov[0].iov_len, 512);
	assert_int_equal(run(true, 512, 1), 1);
	assert_int_equal(run(true, 513, 0), 0);
}

static void neighbours_become_one(void **state)
{
	made_add(&made, &client, true, 4096, false);
	made_add(&made, &client, true, 1024, false);
	free(made.segments[1].host);
	made.segments[0].size = 3072;
	made.segments[1].host = made.segments[0].host + 3072;
	assert_int_equal(run(true, 0, 4096), 1);
	assert_int_equal(transfer.iov_count, 1);
	made.segments[1].host = NULL; /* it was the first one's memory */
}

static void many_segments(void **state)
{
	for (unsigned i = 0; i < CHAIN_MAX_SEGMENTS; i++)
		made_add(&made, &client, true, 512, false);
	assert_int_equal(run(true, 0, CHAIN_MAX_SEGMENTS * 512), 1);
	assert_int_equal(run(true, 100, 100000), 1);
	assert_int_equal(pool.table_count, 1); /* made once, used twice */
	assert_int_equal(pool.bounce_count, 0);
}

/* One copied segment among mapped ones: the whole range goes through the buffer. */
static void copied_goes_through_a_buffer(void **state)
{
	for (unsigned i = 0; i < 20; i++)
		made_add(&made, &client, false, 777 + i, i == 7);
	for (unsigned i = 0; i < 20; i++)
		made_add(&made, &client, true, 999 + i, i == 19);
	assert_int_equal(run(false, 16, 15000), 1);
	assert_int_equal(run(true, 0, 19999), 1);
	assert_int_equal(run(true, 0, 18000), 1); /* without the copied one */
	assert_int_equal(pool.bounce_count, 1);
	assert_int_equal(pool.table_count, 1);
}

static void long_ones_in_pieces(void **state)
{
	made_add(&made, &client, false, 16, true);
	for (unsigned i = 0; i < 3; i++)
		made_add(&made, &client, false, 1000000, i != 1);
	assert_int_equal(run(false, 16, 3000000),
			 (3000000 + TRANSFER_BOUNCE - 1) / TRANSFER_BOUNCE);
	assert_int_equal(pool.bounce_count, 1);
}

/* Mapped ones, too, beyond a certain length: cut within segments, at their ends, and through one.
 */
static void very_long_ones_in_slices(void **state)
{
	static const uint32_t sizes[] = {TRANSFER_SLICE - 100, 100, 50, 2 * TRANSFER_SLICE + 7, 43};
	const uint64_t all = 3ull * TRANSFER_SLICE + 100;

	made_add(&made, &client, false, 16 + 2 * TRANSFER_SLICE + 1, false);
	for (unsigned i = 0; i < 5; i++)
		made_add(&made, &client, true, sizes[i], false);
	assert_int_equal(run(true, 0, all), 4);
	assert_int_equal(run(true, 1, all - 1), 4);
	assert_int_equal(run(true, 100, 3ull * TRANSFER_SLICE), 3);
	assert_int_equal(run(false, 16, 2 * TRANSFER_SLICE + 1), 3);
	assert_int_equal(run(false, 16, TRANSFER_SLICE), 1);
	assert_int_equal(pool.bounce_count, 0);
}

static void alignment(void **state)
{
	transfer_pool_free(&pool);
	transfer_pool_init(&pool, 512);
	made_add(&made, &client, true, 8192, false);
	free(made.segments[0].host);
	made.segments[0].host = aligned_alloc(512, 8192);
	assert_int_equal(run(true, 0, 8192), 1);
	assert_int_equal(pool.bounce_count, 0);
	assert_int_equal(run(true, 8, 4096), 1); /* base */
	assert_int_equal(pool.bounce_count, 1);
	assert_true((uintptr_t)transfer.iov[0].iov_base % 512 == 0);
	assert_int_equal(run(true, 512, 700), 1); /* length */
	assert_int_equal(pool.bounce_count, 1);
}

static void beyond_the_part(void **state)
{
	const struct chain *chain = &made.request->chain;

	made_add(&made, &client, true, 100, false);
	assert_int_equal(transfer_start(&transfer, &pool, chain, true, 0, 101), -ERANGE);
	assert_int_equal(transfer_start(&transfer, &pool, chain, true, 101, 0), -ERANGE);
	assert_int_equal(transfer_start(&transfer, &pool, chain, true, 1, UINT64_MAX), -ERANGE);
	assert_int_equal(transfer_start(&transfer, &pool, chain, false, 0, 1), -ERANGE);
}

static void client_gone(void **state)
{
	made_add(&made, &client, false, 1024, true);
	made_add(&made, &client, true, 1024, true);
	client.gone = true;
	assert_int_equal(transfer_start(&transfer, &pool, &made.request->chain, false, 0, 1024), 0);
	assert_int_equal(transfer_next(&transfer), -EFAULT);
	transfer_end(&transfer);
	assert_int_equal(transfer_start(&transfer, &pool, &made.request->chain, true, 0, 1024), 0);
	assert_int_equal(transfer_next(&transfer), 0);
	assert_int_equal(transfer_done(&transfer), -EFAULT);
	transfer_end(&transfer);
	client.gone = false;
}

/* Several at once have buffers of their own, and all come back to the pool. */
static void several_at_once(void **state)
{
	struct transfer t[8];

	made_add(&made, &client, true, 4096, true);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(
				transfer_start(&t[i], &pool, &made.request->chain, true, 0, 4096),
				0);
			assert_int_equal(transfer_next(&t[i]), 0);
			memset(t[i].iov[0].iov_base, (int)i, 4096);
		}
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(((uint8_t *)t[i].iov[0].iov_base)[4095], i);
			transfer_end(&t[i]);
		}
	}
	assert_int_equal(pool.bounce_count, 8);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(mapped_goes_directly),
		CASE(part_of_a_segment),
		CASE(neighbours_become_one),
		CASE(many_segments),
		CASE(copied_goes_through_a_buffer),
		CASE(long_ones_in_pieces),
		CASE(very_long_ones_in_slices),
		CASE(alignment),
		CASE(beyond_the_part),
		CASE(client_gone),
		CASE(several_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
