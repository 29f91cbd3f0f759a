/* Stamped sectors: each kind of wrong contents is told from the others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "load/pattern.h"

static const struct pattern expected = {.instance = 7, .block = 12, .generation = 5, .sector = 3};

static enum pattern_verdict judge(struct pattern written)
{
	unsigned char sector[PATTERN_SECTOR];
	struct pattern found;

	pattern_write(&written, sector);
	return pattern_judge(&expected, 4, sector, &found);
}

static void verdicts(void **state)
{
	struct pattern s = expected;

	assert_int_equal(judge(s), PATTERN_GOOD);
	s.generation = 4;
	assert_int_equal(judge(s), PATTERN_GOOD);
	s.generation = 3;
	assert_int_equal(judge(s), PATTERN_STALE);
	s.generation = 6; /* from the future */
	assert_int_equal(judge(s), PATTERN_CORRUPT);
	s = expected;
	s.block = 13;
	assert_int_equal(judge(s), PATTERN_MISPLACED);
	s = expected;
	s.sector = 2;
	assert_int_equal(judge(s), PATTERN_MISPLACED);
	s = expected;
	s.instance = 8; /* of another run */
	assert_int_equal(judge(s), PATTERN_CORRUPT);
}

static void every_bit_counts(void **state)
{
	unsigned char sector[PATTERN_SECTOR];
	struct pattern found;

	pattern_write(&expected, sector);
	for (unsigned bit = 0; bit < PATTERN_SECTOR * 8; bit++) {
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
		assert_int_equal(pattern_judge(&expected, 4, sector, &found), PATTERN_CORRUPT);
		sector[bit / 8] ^= (unsigned char)(1 << bit % 8);
	}
	assert_int_equal(pattern_judge(&expected, 4, sector, &found), PATTERN_GOOD);
	assert_int_equal(found.generation, 5);
}

static void nothing_there(void **state)
{
	unsigned char sector[PATTERN_SECTOR] = {0};
	struct pattern found;

	assert_int_equal(pattern_judge(&expected, 4, sector, &found), PATTERN_CORRUPT);
	pattern_poison(sector, sizeof(sector));
	assert_int_equal(pattern_judge(&expected, 4, sector, &found), PATTERN_UNFILLED);
	assert_string_equal(pattern_verdict_name(PATTERN_UNFILLED), "not filled");
}

/* A sector that was being written while it was read has bytes of both generations. */
static void torn(void **state)
{
	unsigned char old[PATTERN_SECTOR], new[PATTERN_SECTOR];
	struct pattern pattern = expected, found;

	pattern_write(&expected, new);
	pattern.generation = expected.generation - 1;
	pattern_write(&pattern, old);
	for (unsigned cut = 33; cut < PATTERN_SECTOR - 8; cut += 13) {
		unsigned char mixed[PATTERN_SECTOR];

		memcpy(mixed, old, PATTERN_SECTOR);
		memcpy(mixed, new, cut);
		assert_int_equal(pattern_judge(&expected, 4, mixed, &found), PATTERN_CORRUPT);
		assert_true(pattern_is_mixture(&expected, 4, mixed));
		assert_false(
			pattern_is_mixture(&expected, 5, mixed)); /* the old one is no excuse */
		mixed[cut] ^= 1;
		mixed[cut - 1] ^= 1;
		assert_false(pattern_is_mixture(&expected, 4, mixed));
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
