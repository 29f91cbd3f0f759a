/* Stamped sectors: each kind of wrong contents is told from the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "load/stamp.h"

static const struct stamp expected = {.instance = 7, .block = 12, .generation = 5, .sector = 3};

static enum stamp_verdict judge(struct stamp written)
{
	unsigned char sector[STAMP_SECTOR];
	struct stamp found;

	stamp_write(&written, sector);
	return stamp_judge(&expected, 4, sector, &found);
}

static void verdicts(void **state)
{
	struct stamp s = expected;

	assert_int_equal(judge(s), STAMP_GOOD);
	s.generation = 4;
	assert_int_equal(judge(s), STAMP_GOOD);
	s.generation = 3;
	assert_int_equal(judge(s), STAMP_STALE);
	s.generation = 6; /* from the future */
	assert_int_equal(judge(s), STAMP_CORRUPT);
	s = expected;
	s.block = 13;
	assert_int_equal(judge(s), STAMP_MISPLACED);
	s = expected;
	s.sector = 2;
	assert_int_equal(judge(s), STAMP_MISPLACED);
	s = expected;
	s.instance = 8; /* of another run */
	assert_int_equal(judge(s), STAMP_CORRUPT);
}

static void every_bit_counts(void **state)
{
	unsigned char sector[STAMP_SECTOR];
	struct stamp found;

	stamp_write(&expected, sector);
	for (unsigned bit = 0; bit < STAMP_SECTOR * 8; bit++) {
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_equal(stamp_judge(&expected, 4, sector, &found), STAMP_CORRUPT);
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_int_equal(stamp_judge(&expected, 4, sector, &found), STAMP_GOOD);
	assert_int_equal(found.generation, 5);
}

static void nothing_there(void **state)
{
	unsigned char sector[STAMP_SECTOR] = {0};
	struct stamp found;

	assert_int_equal(stamp_judge(&expected, 4, sector, &found), STAMP_CORRUPT);
	stamp_poison(sector, sizeof(sector));
	assert_int_equal(stamp_judge(&expected, 4, sector, &found), STAMP_UNFILLED);
	assert_string_equal(stamp_verdict_name(STAMP_UNFILLED), "not filled");
}

/* A sector that was being written while it was read has bytes of both generations. */
static void torn(void **state)
{
	unsigned char old[STAMP_SECTOR], new[STAMP_SECTOR];
	struct stamp stamp = expected, found;

	stamp_write(&expected, new);
	stamp.generation = expected.generation - 1;
	stamp_write(&stamp, old);
	for (unsigned cut = 33; cut < STAMP_SECTOR - 8; cut += 13) {
		unsigned char mixed[STAMP_SECTOR];

		memcpy(mixed, old, STAMP_SECTOR);
		memcpy(mixed, new, cut);
		assert_int_equal(stamp_judge(&expected, 4, mixed, &found), STAMP_CORRUPT);
		assert_true(stamp_is_mixture(&expected, 4, mixed));
		assert_false(stamp_is_mixture(&expected, 5, mixed)); /* the old one is no excuse */
		mixed[cut] ^= 1;
		mixed[cut - 1] ^= 1;
		assert_false(stamp_is_mixture(&expected, 4, mixed));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts),
		cmocka_unit_test(every_bit_counts),
		cmocka_unit_test(nothing_there),
		cmocka_unit_test(torn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
