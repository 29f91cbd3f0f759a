/* util/keyval.c: QEMU's key=value habit. */
#include "util/keyval.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* Writes the items as "key[value]..." so that a case is one line. */
static void check(const char *text, const char *expected)
{
	struct keyvals keyvals;
	struct error err;
	char seen[256] = "";
	size_t used = 0;

	assert_int_equal(keyvals_parse(&keyvals, text, "type", &err), 0);
	for (unsigned i = 0; i < keyvals.count; i++)
		used += (size_t)snprintf(seen + used, sizeof(seen) - used, "%s[%s]",
					 keyvals.items[i].key, keyvals.items[i].value);
	assert_string_equal(seen, expected);
	keyvals_free(&keyvals);
}

static void good(void **state)
{
	check("blk", "type[blk]");
	check("blk,name=a", "type[blk]name[a]");
	check("type=blk,name=a", "type[blk]name[a]");
	check("blk,file=/tmp/a,,b=c,name=x", "type[blk]file[/tmp/a,b=c]name[x]");
	check("a,,b", "type[a,b]");
	check("blk,file=x,,,name=y", "type[blk]file[x,]name[y]");
}

static void bad(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"", "'type' has no value"},
		{"blk,", "'' is not of the form key=value"},
		{"blk,readonly", "'readonly' is not of the form key=value"},
		{"blk,name=", "'name' has no value"},
		{"blk,=x", "a value without a key: '=x'"},
		{"blk,name=a,name=b", "'name' is given twice"},
		{"blk,type=net", "'type' is given twice"},
	};
	struct keyvals keyvals;
	struct error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(keyvals_parse(&keyvals, cases[i].text, "type", &err), -EINVAL);
		if (strcmp(err.text, cases[i].says))
			fail_msg("'%s' says '%s'", cases[i].text, err.text);
	}
	assert_int_equal(keyvals_parse(&keyvals, "word", NULL, &err), -EINVAL);
}

static void too_many(void **state)
{
	struct keyvals keyvals;
	struct error err;
	char text[KEYVALS_MAX * 6 + 16] = "t";

	for (unsigned i = 0; i < KEYVALS_MAX; i++)
		snprintf(text + 1 + i * 5, sizeof(text) - 1 - i * 5, ",%c%c=1", 'a' + (int)i / 26,
			 'a' + (int)i % 26);
	assert_int_equal(keyvals_parse(&keyvals, text, "type", &err), -EINVAL);
	assert_non_null(strstr(err.text, "more than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
