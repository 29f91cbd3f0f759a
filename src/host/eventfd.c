/* Eventfds shared with a client: see eventfd.h. */
#include "host/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int eventfd_check(int fd)
{
	static const char expected[] = "anon_inode:[eventfd]"; /* linux: eventfd_create() */
	struct pollfd look = {.fd = fd};
	char path[48], target[sizeof(expected)];
	ssize_t size;

	if (fd < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	size = readlink(path, target, sizeof(target));
	if (size < 0)
		return -EBADF;
	if (size != sizeof(expected) - 1 || memcmp(target, expected, sizeof(expected) - 1) != 0)
		return -EINVAL;
	return poll(&look, 1, 0) > 0 && look.revents & POLLERR ? -EINVAL : 0;
}

/* Finds "eventfd-id: N" (Linux 5.2) in /proc/self/fdinfo/FD; 0 without the line in an eventfd's. */
static int parse_fdinfo(const char *text, uint64_t *id)
{
	const char *line = strstr(text, "eventfd-id:");

	if (!strstr(text, "eventfd-count:"))
		return -EINVAL;
	*id = line ? strtoull(line + strlen("eventfd-id:"), NULL, 10) : 0;
	return 0;
}

static int read_fdinfo(int fd, char *text, size_t size)
{
	char path[48];
	ssize_t got;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	if (info < 0)
		return -EBADF;
	got = read(info, text, size - 1);
	close(info);
	if (got < 0)
		return -EINVAL;
	text[got] = '\0';
	return 0;
}

int eventfd_identify(int fd, uint64_t *id)
{
	char text[512];
	int ret = eventfd_check(fd);

	if (!ret)
		ret = read_fdinfo(fd, text, sizeof(text));
	return ret ? ret : parse_fdinfo(text, id);
}

bool eventfd_same(int a, int b)
{
	long order = syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b);
	uint64_t id_a, id_b;

	if (order >= 0)
		return order == 0;
	/* not built in, or forbidden (containers do): the long way */
	return !eventfd_identify(a, &id_a) && !eventfd_identify(b, &id_b) && id_a && id_a == id_b;
}

void eventfd_signal(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLOUT};
	uint64_t one = 1;

	if (fd < 0 || poll(&look, 1, 0) <= 0 || !(look.revents & POLLOUT))
		return;
	if (write(fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: full, so it is signalled */
}
