/* runtime/eventfd.c: telling eventfds apart, and signals that never block. */
#include "runtime/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/notifier.h"

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

/* The client fills this one as soon as somebody has looked whether it is full. */
static int sly = -1;

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
	const struct timespec none = {0};
	int ready = ppoll(fds, count, timeout < 0 ? NULL : &none, NULL);

	if (sly >= 0)
		assert_int_equal(eventfd_write(sly, UINT64_MAX - 1), 0);
	sly = -1;
	return ready;
}

/* A blocking eventfd at its maximum would stop a writer for ever. */
static void never_blocks(void **state)
{
	int fd = eventfd(0, 0);
	eventfd_t value;

	alarm(60); /* else it would never end */
	eventfd_signal(fd);
	eventfd_signal(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 2);
	sly = fd;
	eventfd_signal(fd);
	sly = -1;
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	eventfd_signal(fd);
	eventfd_signal(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_true(value == UINT64_MAX);   /* as the kernel's own devices leave it */
	for (unsigned i = 0; i < 1000; i++) /* more than the kernel keeps in mind */
		eventfd_signal(fd);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 1000);
	close(fd);
	eventfd_signal(fd);
	eventfd_signal(-1);
	alarm(0);
}

/* A child has none of what its parent signals with. */
static void signals_of_a_child(void **state)
{
	int fd = eventfd(0, 0), status = -1;
	eventfd_t value;
	pid_t child;

	eventfd_signal(fd);
	child = fork();
	if (child == 0) {
		eventfd_signal(fd);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 2);
	close(fd);
}

static void signal_and_expect(struct notifier *notifier, int fd)
{
	eventfd_t value;

	for (unsigned i = 0; i < 100; i++)
		notifier_signal(notifier);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_int_equal(value, 100);
	assert_int_equal(eventfd_write(fd, UINT64_MAX - 1), 0);
	notifier_signal(notifier);
	notifier_signal(notifier);
	assert_int_equal(eventfd_read(fd, &value), 0);
	assert_true(value == UINT64_MAX);
	sly = fd;
	notifier_signal(notifier);
	sly = -1;
	assert_int_equal(eventfd_read(fd, &value), 0);
}

/* One after the other, each gets its own signals; also where the kernel grants no ring. */
static void notifiers(void **state)
{
	int a = eventfd(0, 0), b = eventfd(0, 0);
	struct notifier notifier;

	alarm(60);
	notifier_init(&notifier);
	notifier_signal(&notifier);
	notifier_bind(&notifier, dup(a));
	signal_and_expect(&notifier, a);
	notifier_bind(&notifier, dup(b));
	signal_and_expect(&notifier, b);
	notifier_bind(&notifier, -1);
	notifier_signal(&notifier);
	notifier_bind(&notifier, dup(a));
	notifier.told = false;
	signal_and_expect(&notifier, a);
	notifier_bind(&notifier, -1);
	close(a);
	close(b);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_file_same_number),
		cmocka_unit_test(refuses_others),
		cmocka_unit_test(never_blocks),
		cmocka_unit_test(signals_of_a_child),
		cmocka_unit_test(notifiers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
