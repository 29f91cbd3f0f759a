/* util/args.c: good and bad command lines. */
#include "util/args.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

struct result {
	bool verbose;
	const char *dir;
	const char *items[4], *word_items[2];
	struct arg_list devices, words;
	struct error err;
};

/* Splits at spaces, like a shell without quotes, and parses. */
static int parse(const char *line, struct result *result)
{
	static char text[256];
	const struct arg table[] = {
		{"verbose", 'v', ARG_FLAG, &result->verbose},
		{"dir", 0, ARG_TEXT, &result->dir},
		{"device", 'd', ARG_LIST, &result->devices},
		{NULL},
	};
	char *argv[16], *rest;
	int argc = 0;

	*result = (struct result){
		.devices = {result->items, 0, 4},
		.words = {result->word_items, 0, 2},
	};
	memcpy(text, line, strlen(line) + 1);
	for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	return args_parse(argc, argv, table, &result->words, &result->err);
}

static void good_lines(void **state)
{
	struct result r;

	assert_int_equal(parse("serve", &r), 0);
	assert_int_equal(parse("serve --dir /x -v --device a -d b one --device=c two", &r), 0);
	assert_true(r.verbose);
	assert_string_equal(r.dir, "/x");
	assert_int_equal(r.devices.count, 3);
	assert_string_equal(r.devices.items[2], "c");
	assert_int_equal(r.words.count, 2);
	assert_string_equal(r.words.items[1], "two");
	assert_int_equal(parse("serve --dir=a=b -- --dir -", &r), 0);
	assert_string_equal(r.dir, "a=b");
	assert_string_equal(r.words.items[0], "--dir");
	assert_string_equal(r.words.items[1], "-");
}

static void bad_lines(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{"serve --dri x", "unknown option --dri; did you mean --dir?"},
		{"serve --dri=x", "unknown option --dri; did you mean --dir?"},
		{"serve --elephant", "unknown option --elephant (--help lists them)"},
		{"serve -x", "unknown option -x"},
		{"serve -vv", "unknown option -vv"},
		{"serve --dir", "--dir needs a value"},
		{"serve --dir a --dir b", "--dir is given twice"},
		{"serve --verbose=1", "--verbose takes no value"},
		{"serve a b c", "unexpected word 'c'"},
		{"serve -d 1 -d 2 -d 3 -d 4 -d 5", "unexpected word '5'"},
	};
	struct result r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(parse(cases[i].line, &r), -EINVAL);
		if (!strstr(r.err.text, cases[i].says))
			fail_msg("'%s' says '%s'", cases[i].line, r.err.text);
	}
}

static void numbers(void **state)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1x", "0x10", "4", "101", "99999999999999999999999"};
	struct error f;
	uint64_t n;

	assert_int_equal(args_number("depth", "5", 5, 100, &n, &f), 0);
	assert_int_equal(n, 5);
	assert_int_equal(args_number("depth", "100", 5, 100, &n, &f), 0);
	assert_int_equal(n, 100);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(args_number("depth", bad[i], 5, 100, &n, &f), -EINVAL);
	assert_string_equal(f.text, "--depth 99999999999999999999999: it is a number, 5 to 100");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_lines),
		cmocka_unit_test(bad_lines),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
