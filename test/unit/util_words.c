/* Sizes, suggestions and faults: the words that people read and write. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "util/error.h"
#include "util/size.h"
#include "util/suggest.h"

static void sizes_parse(void **state)
{
	uint64_t n = 0;

	assert_int_equal(size_parse("512", &n), 0);
	assert_int_equal(n, 512);
	assert_int_equal(size_parse("64M", &n), 0);
	assert_int_equal(n, 64ull << 20);
	assert_int_equal(size_parse("1.5k", &n), 0);
	assert_int_equal(n, 1536);
	assert_int_equal(size_parse("1T", &n), 0);
	assert_int_equal(n, 1ull << 40);
}

static void sizes_refused(void **state)
{
	static const char *const bad[] = {"", "M", "-1", "1X", "1MB", "0x10", "nan", "1.0001"};
	uint64_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(size_parse(bad[i], &n), -EINVAL);
	assert_int_equal(size_parse("16E", &n), -ERANGE);
}

static void sizes_print(void **state)
{
	char b[32];

	assert_string_equal(size_format(64ull << 20, b), "64M");
	assert_string_equal(size_format(1000, b), "1000B");
	assert_string_equal(size_format(0, b), "0B");
}

static void suggestions(void **state)
{
	static const char *const known[] = {"status", "suspend", "resume", "resize", NULL};

	assert_string_equal(suggest("supsend", known), "suspend");
	assert_string_equal(suggest("resum", known), "resume");
	assert_null(suggest("frobnicate", known));
}

static void faults(void **state)
{
	struct error f = {0};

	assert_int_equal(error_set(&f, -ENOENT, "no file %s", "x"), -ENOENT);
	assert_int_equal(error_prefix(&f, "disk0"), -ENOENT);
	assert_string_equal(f.text, "disk0: no file x");
	assert_int_equal(error_set(NULL, -EIO, "unseen"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_parse), cmocka_unit_test(sizes_refused),
		cmocka_unit_test(sizes_print), cmocka_unit_test(suggestions),
		cmocka_unit_test(faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
