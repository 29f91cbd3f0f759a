/* Slices of buffer lists, against a byte-by-byte count. */
#include <string.h>

#include "backend/iov.h"
#include "backend_support.h"

static uint8_t bytes[64];
static const struct iovec list[] = {
	{bytes, 5}, {bytes + 10, 0}, {bytes + 20, 7}, {bytes + 40, 1}, {bytes + 50, 3}};

/* The n-th byte of a list; NULL past its end. */
static uint8_t *byte_at(const struct iovec *iov, unsigned count, uint64_t n)
{
	for (unsigned i = 0; i < count; i++) {
		if (n < iov[i].iov_len)
			return (uint8_t *)iov[i].iov_base + n;
		n -= iov[i].iov_len;
	}
	return NULL;
}

static void every_slice(void **state)
{
	struct iovec slice[5];

	for (uint64_t skip = 0; skip <= 17; skip++) {
		for (uint64_t size = 0; size <= 17; size++) {
			unsigned n = iov_slice(slice, list, 5, skip, size);
			uint64_t expected = skip >= 16 ? 0 : size < 16 - skip ? size : 16 - skip;

			for (uint64_t i = 0; i < expected; i++)
				assert_ptr_equal(byte_at(slice, n, i), byte_at(list, 5, skip + i));
			assert_null(byte_at(slice, n, expected));
		}
	}
}

static void zero_the_rest(void **state)
{
	for (uint64_t skip = 0; skip <= 17; skip++) {
		memset(bytes, 0xaa, sizeof(bytes));
		iov_zero(list, 5, skip);
		for (uint64_t i = 0; i < 16; i++)
			assert_int_equal(*byte_at(list, 5, i), i < skip ? 0xaa : 0);
		assert_int_equal(bytes[5], 0xaa);
		assert_int_equal(bytes[19], 0xaa);
		assert_int_equal(bytes[53], 0xaa);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slice),
		cmocka_unit_test(zero_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
