/* host/eventfd.c: telling eventfds apart, and signals that never block. */
#include "host/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

static void same_file_same_number(void **state)
{
	int a = eventfd(0, 0), b = eventfd(0, 0), a2 = dup(a);
	uint64_t id_a, id_b, id_a2;

	assert_int_equal(eventfd_identify(a, &id_a), 0);
	assert_int_equal(eventfd_identify(b, &id_b), 0);
	assert_int_equal(eventfd_identify(a2, &id_a2), 0);
	assert_int_equal(id_a, id_a2);
	if (id_a) /* 0: a kernel before 5.2 */
		assert_int_not_equal(id_a, id_b);
	assert_true(eventfd_same(a, a2));
	assert_false(eventfd_same(a, b));
	assert_false(eventfd_same(a, -1));
	close(a);
	close(b);
	close(a2);
}

static void refuses_others(void **state)
{
	uint64_t id;
	int file = open("/dev/null", O_RDWR);
	int full = eventfd(0, EFD_NONBLOCK);

	assert_int_equal(eventfd_identify(-1, &id), -EBADF);
	assert_int_equal(eventfd_check(-1), -EBADF);
	assert_int_equal(eventfd_identify(file, &id), -EINVAL);
	assert_int_equal(eventfd_check(file), -EINVAL);
	close(file);
	assert_int_equal(eventfd_identify(file, &id), -EBADF);
	assert_int_equal(eventfd_check(file), -EBADF);
	file = epoll_create1(0); /* anonymous as well */
	assert_int_equal(eventfd_check(file), -EINVAL);
	close(file);
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1), 0);
	assert_int_equal(eventfd_check(full), 0);
	assert_int_equal(eventfd_identify(full, &id), 0); /* full, but not overflown */
	close(full);
}

/* A blocking eventfd at its maximum would stop a writer for ever. */
static void never_blocks(void **state)
{
	int fd = eventfd(0, 0);
	eventfd_t value;

	eventfd_signal(fd);
	eventfd_signal(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 2);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	eventfd_signal(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_true(value == UINT64_MAX - 1);
	close(fd);
	eventfd_signal(fd);
	eventfd_signal(-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_file_same_number),
		cmocka_unit_test(refuses_others),
		cmocka_unit_test(never_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
