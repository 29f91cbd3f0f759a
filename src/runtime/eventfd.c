/* Eventfds shared with a client: see eventfd.h. */
#include "runtime/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/*
 * Theory of operation
 * -------------------
 * write(2) to an eventfd waits while the counter is full, unless O_NONBLOCK is set; and that flag
 * belongs to the file that we share with the client, who may clear it and fill the counter between
 * any look of ours and the write. Linux has no write that does not wait for eventfds (RWF_NOWAIT is
 * for files with write_iter). But the kernel's own signal never waits (eventfd_signal), and
 * asynchronous I/O ends with one for whoever asks (IOCB_FLAG_RESFD): so nothing is read, and its
 * end is the signal. Events of the context are thrown away when it has no room for more.
 */
#define EVENTS 64

static struct {
	pthread_mutex_t lock;
	pid_t owner; /* contexts are not inherited by a child */
	aio_context_t context;
	int file; /* the one that nothing is read from; -1: this kernel has no asynchronous I/O */
} signals = {.lock = PTHREAD_MUTEX_INITIALIZER, .file = -1};

static void prepare_signals(void)
{
	signals.owner = getpid();
	signals.context = 0;
	if (signals.file >= 0)
		close(signals.file);
	signals.file = memfd_create("uvdpa-nothing", MFD_CLOEXEC);
	if (signals.file < 0 || syscall(SYS_io_setup, EVENTS, &signals.context) == 0)
		return;
	close(signals.file);
	signals.file = -1;
}

/* Returns whether the signal was given, or there is no eventfd to give it to. */
static bool signal_by_end(int fd)
{
	struct iocb nothing = {.aio_lio_opcode = IOCB_CMD_PREAD,
			       .aio_fildes = (uint32_t)signals.file,
			       .aio_flags = IOCB_FLAG_RESFD,
			       .aio_resfd = (uint32_t)fd};
	struct iocb *one = &nothing;
	struct io_event events[EVENTS];

	while (syscall(SYS_io_submit, signals.context, 1L, &one) < 0) {
		if (errno == EBADF || errno == EINVAL)
			return true;
		if (syscall(SYS_io_getevents, signals.context, 0L, (long)EVENTS, events, NULL) <= 0)
			return false;
	}
	return true;
}

static void signal_by_write(int fd)
{
	struct pollfd look = {.fd = fd, .events = POLLOUT};
	uint64_t one = 1;

	if (poll(&look, 1, 0) <= 0 || !(look.revents & POLLOUT))
		return;
	if (write(fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: full, so it is signalled */
}

void eventfd_prepare(void)
{
	pthread_mutex_lock(&signals.lock);
	if (signals.owner != getpid())
		prepare_signals();
	pthread_mutex_unlock(&signals.lock);
}

void eventfd_signal(int fd)
{
	bool given = false;

	if (fd < 0)
		return;
	eventfd_prepare();
	pthread_mutex_lock(&signals.lock);
	if (signals.file >= 0)
		given = signal_by_end(fd);
	pthread_mutex_unlock(&signals.lock);
	if (!given)
		signal_by_write(fd);
}
