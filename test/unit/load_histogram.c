/* Percentiles: exact where they can be, close where they must be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "load/histogram.h"

static struct histogram *fresh(void)
{
	return calloc(1, sizeof(struct histogram));
}

static void small_values_are_exact(void **state)
{
	struct histogram *h = fresh();

	assert_int_equal(histogram_percentile(h, 50), 0);
	for (unsigned i = 1; i <= 50; i++)
		histogram_add(h, i);
	assert_int_equal(histogram_percentile(h, 50), 25);
	assert_int_equal(histogram_percentile(h, 99), 50);
	assert_int_equal(histogram_percentile(h, 0), 1);
	assert_int_equal(histogram_percentile(h, 100), 50);
	assert_int_equal(h->max, 50);
	free(h);
}

/* Every value alone: what comes back is at least it, and at most 1.6 per cent more; the maximum
 * caps it. */
static void large_values_are_close(void **state)
{
	for (uint64_t v = 1; v < UINT64_C(1) << 40; v = v * 9 / 8 + 1) {
		struct histogram *h = fresh();
		uint64_t p;

		histogram_add(h, v);
		histogram_add(h, UINT64_C(1) << 50);
		p = histogram_percentile(h, 50);
		assert_true(p >= v);
		assert_true(p - v <= v / 64 + 1);
		free(h);
	}
}

static void beyond_the_range(void **state)
{
	struct histogram *h = fresh();

	histogram_add(h, UINT64_MAX);
	assert_int_equal(h->max, UINT64_MAX);
	histogram_add(h, 5);
	assert_int_equal(histogram_percentile(h, 50), 5);
	free(h);
}

static void merging(void **state)
{
	struct histogram *a = fresh(), *b = fresh();

	for (unsigned i = 0; i < 10; i++) {
		histogram_add(a, 1);
		histogram_add(b, 60);
	}
	histogram_merge(a, b);
	assert_int_equal(a->count, 20);
	assert_int_equal(a->max, 60);
	assert_int_equal(histogram_percentile(a, 50), 1);
	assert_int_equal(histogram_percentile(a, 51), 60);
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(large_values_are_close),
		cmocka_unit_test(beyond_the_range),
		cmocka_unit_test(merging),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
