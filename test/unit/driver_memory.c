/* The driver's arena: kinds, addresses, taking and giving back, references. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"

static struct uvdpa_memory *make(size_t size, enum uvdpa_memory_kind kind)
{
	const struct uvdpa_memory_options o = {.size = size, .kind = kind};
	struct uvdpa_memory *m = NULL;

	assert_int_equal(uvdpa_memory_new(&o, &m, NULL), 0);
	return m;
}

static void shared_memory_is_a_file(void **state)
{
	struct uvdpa_memory *m = make(10000, UVDPA_MEMORY_SHARED);
	char *p = uvdpa_memory_alloc(m, 5, 1), back[5];
	struct stat st;

	assert_int_equal(fstat(uvdpa_memory_fd(m), &st), 0);
	assert_int_equal((size_t)st.st_size, uvdpa_memory_size(m));
	assert_int_equal(uvdpa_memory_size(m) % (size_t)sysconf(_SC_PAGESIZE), 0);
	memcpy(p, "hello", 5);
	assert_int_equal(pread(uvdpa_memory_fd(m), back, 5, 0), 5);
	assert_memory_equal(back, "hello", 5);
	uvdpa_memory_free(m);
}

static void private_memory_is_not(void **state)
{
	struct uvdpa_memory *m = make(10000, UVDPA_MEMORY_PRIVATE);

	assert_int_equal(uvdpa_memory_fd(m), -1);
	memset(uvdpa_memory_base(m), 1, uvdpa_memory_size(m));
	uvdpa_memory_free(m);
}

static void addresses(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const struct uvdpa_memory_options o = {.size = 2 * page, .iova = 0x7000};
	struct uvdpa_memory *m = make(2 * page, UVDPA_MEMORY_SHARED);
	char *base = uvdpa_memory_base(m);

	assert_int_not_equal(uvdpa_memory_iova(m, base), (uintptr_t)base);
	assert_true(uvdpa_memory_iova(m, base) > UINT32_MAX);
	uvdpa_memory_free(m);
	assert_int_equal(uvdpa_memory_new(&o, &m, NULL), 0);
	base = uvdpa_memory_base(m);
	assert_int_equal(uvdpa_memory_iova(m, base + 5), 0x7005);
	assert_ptr_equal(uvdpa_memory_ptr(m, 0x7005, 2 * page - 5), base + 5);
	assert_null(uvdpa_memory_ptr(m, 0x7005, 2 * page - 4));
	assert_null(uvdpa_memory_ptr(m, 0x6fff, 1));
	assert_null(uvdpa_memory_ptr(m, 0x7001 + 2 * page, 0));
	assert_null(uvdpa_memory_ptr(m, 0x7001, SIZE_MAX));
	uvdpa_memory_free(m);
}

static void taking_and_giving_back(void **state)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct uvdpa_memory *m = make(page, UVDPA_MEMORY_SHARED);
	char *base = uvdpa_memory_base(m);
	size_t mark;

	assert_ptr_equal(uvdpa_memory_alloc(m, 3, 1), base);
	assert_ptr_equal(uvdpa_memory_alloc(m, 8, 64), base + 64);
	mark = uvdpa_memory_mark(m);
	assert_null(uvdpa_memory_alloc(m, page, 1));
	assert_int_equal(uvdpa_memory_mark(m), mark);
	assert_null(uvdpa_memory_alloc(m, 1, 3));
	assert_null(uvdpa_memory_alloc(m, 1, 0));
	assert_null(uvdpa_memory_alloc(m, SIZE_MAX, 1));
	assert_non_null(uvdpa_memory_alloc(m, page - 72, 1));
	assert_null(uvdpa_memory_alloc(m, 1, 1));
	uvdpa_memory_rewind(m, mark);
	assert_ptr_equal(uvdpa_memory_alloc(m, 1, 1), base + 72);
	uvdpa_memory_free(m);
}

static void refusals(void **state)
{
	static const struct uvdpa_memory_options bad[] = {
		{.size = 0},
		{.size = SIZE_MAX},
		{.size = 4096, .kind = 7},
		{.size = 4096, .iova = 1},
		{.size = 8192, .iova = UINT64_MAX - 4095},
	};
	struct uvdpa_error error;
	struct uvdpa_memory *m;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(uvdpa_memory_new(&bad[i], &m, &error), -EINVAL);
		assert_int_equal(error.code, -EINVAL);
		assert_true(strlen(error.text) > 0);
	}
}

static void lives_as_long_as_its_queues(void **state)
{
	struct uvdpa_memory *m = make(65536, UVDPA_MEMORY_SHARED);
	struct uvdpa_queue_areas areas;
	struct uvdpa_queue *q;

	assert_int_equal(uvdpa_queue_new(m, &(struct uvdpa_queue_options){.size = 16}, &q, NULL),
			 0);
	uvdpa_memory_free(m);
	uvdpa_queue_areas(q, &areas);
	memset(areas.desc, 0xee, areas.desc_len);
	uvdpa_queue_free(q);
	uvdpa_memory_free(NULL);
	uvdpa_queue_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared_memory_is_a_file),
		cmocka_unit_test(private_memory_is_not),
		cmocka_unit_test(addresses),
		cmocka_unit_test(taking_and_giving_back),
		cmocka_unit_test(refusals),
		cmocka_unit_test(lives_as_long_as_its_queues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
