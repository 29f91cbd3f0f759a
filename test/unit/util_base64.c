/* Base64: the vectors of RFC 4648, every length, and what is not base64. */
#include "util/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const vectors[][2] = {
	{"", ""},
	{"f", "Zg=="},
	{"fo", "Zm8="},
	{"foo", "Zm9v"},
	{"foob", "Zm9vYg=="},
	{"fooba", "Zm9vYmE="},
	{"foobar", "Zm9vYmFy"},
};

static void known(void **state)
{
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		size_t size;
		char *text = base64_encode((const uint8_t *)vectors[i][0], strlen(vectors[i][0]));
		uint8_t *bytes = base64_decode(vectors[i][1], &size);

		assert_string_equal(text, vectors[i][1]);
		assert_non_null(bytes);
		assert_int_equal(size, strlen(vectors[i][0]));
		assert_memory_equal(bytes, vectors[i][0], size);
		free(text);
		free(bytes);
	}
}

static void every_byte(void **state)
{
	uint8_t all[256], *back;
	size_t size;
	char *text;

	for (unsigned i = 0; i < 256; i++)
		all[i] = (uint8_t)(255 - i);
	for (unsigned n = 0; n <= 256; n++) {
		text = base64_encode(all, n);
		back = base64_decode(text, &size);
		assert_non_null(back);
		assert_int_equal(size, n);
		assert_memory_equal(back, all, n);
		free(text);
		free(back);
	}
}

static void nonsense(void **state)
{
	static const char *const bad[] = {"A",
					  "AA",
					  "AAA",
					  "A===",
					  "====",
					  "AB==",
					  "AAB=",
					  "Zg==Zg==",
					  "A-AA",
					  "AA=A",
					  "\xff\xff\xff\xff",
					  "AAA\n"};
	size_t size;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(base64_decode(bad[i], &size));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known),
		cmocka_unit_test(every_byte),
		cmocka_unit_test(nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
