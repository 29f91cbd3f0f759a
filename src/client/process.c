/* A client's process, held open: see process.h. */
#include "client/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/process_internal.h"

/* Field `name` (with its colon) of /proc/TID/status: the column'th number after it. */
static int status_number(const char *text, const char *name, unsigned column, unsigned long *value)
{
	const char *at = strstr(text, name);
	char *end;

	if (!at)
		return -EINVAL;
	at += strlen(name);
	for (unsigned i = 0; i <= column; i++) {
		*value = strtoul(at, &end, 10);
		if (end == at)
			return -EINVAL;
		at = end;
	}
	return 0;
}

/* What /proc says of a thread, as text. Returns its length, 0: it is gone; or a negative errno. */
static ssize_t read_status(pid_t tid, char *text, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return n > 0 ? n : 0;
}

/* The thread group of `tid`, which must have file system uid `uid`. */
static int resolve(pid_t tid, uid_t uid, pid_t *pid, struct error *err)
{
	unsigned long group, fsuid;
	char text[4096];
	ssize_t n;

	if (tid <= 0)
		return error_set(
			err, -EPERM,
			"the client is in a pid namespace that cannot be seen from here: run "
			"server and client in the same one (containers: --pid=host)");
	n = read_status(tid, text, sizeof(text));
	if (n < 0)
		return error_set(err, n == -EMFILE ? -EMFILE : -ESRCH,
				 "client thread %d: /proc/%d/status: %s", (int)tid, (int)tid,
				 strerror((int)-n));
	if (n == 0)
		return error_set(err, -ESRCH, "client thread %d is gone", (int)tid);
	/* Uid: real, effective, saved, file system (proc(5)). */
	if (status_number(text, "\nTgid:", 0, &group) || status_number(text, "\nUid:", 3, &fsuid))
		return error_set(err, -ESRCH,
				 "client thread %d: /proc/%d/status is not as expected", (int)tid,
				 (int)tid);
	if (uid != (uid_t)-1 && fsuid != uid)
		return error_set(err, -ESRCH, "client thread %d is another thread by now",
				 (int)tid);
	*pid = (pid_t)group;
	return 0;
}

bool process_is_killed(pid_t tid)
{
	const char name[] = "\nSigPnd:"; /* as "%016lx" (fs/proc/array.c: render_sigset_t) */
	char text[4096];
	const char *at;

	if (tid <= 0 || read_status(tid, text, sizeof(text)) <= 0)
		return false;
	/* Whatever kills a process, it makes SIGKILL pending for each of its threads. */
	at = strstr(text, name);
	return at && strtoull(at + strlen(name), NULL, 16) >> (SIGKILL - 1) & 1;
}

/* Why a file of /proc/PID would not open, and what to do about it. */
static int refused(pid_t pid, const char *file, int error, struct error *err)
{
	if (error == EACCES || error == EPERM)
		return error_set(
			err, -EPERM,
			"client process %d: /proc/%d/%s may not be opened: the server needs the "
			"client's user id and kernel.yama.ptrace_scope=0, or CAP_SYS_PTRACE",
			(int)pid, (int)pid, file);
	return error_set(err, error == ENOENT ? -ESRCH : -error,
			 "client process %d: /proc/%d/%s: %s", (int)pid, (int)pid, file,
			 strerror(error));
}

static int open_files(struct process *process, struct error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d", (int)process->pid);
	process->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (process->dir < 0)
		return refused(process->pid, "", errno, err);
	process->mem = openat(process->dir, "mem", O_RDWR | O_CLOEXEC);
	if (process->mem < 0)
		return refused(process->pid, "mem", errno, err);
	process->maps = openat(process->dir, "maps", O_RDONLY | O_CLOEXEC);
	if (process->maps < 0)
		return refused(process->pid, "maps", errno, err);
	process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
	if (process->pidfd < 0)
		return refused(process->pid, "(pidfd)", errno, err);
	return 0;
}

static void process_free(struct process *process)
{
	const int fds[] = {process->dir, process->mem, process->maps, process->pidfd};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_mutex_destroy(&process->lock);
	free(process->text);
	free(process);
}

int process_open(pid_t tid, uid_t uid, struct process **process, struct error *err)
{
	struct process *p;
	pid_t pid = 0;
	int r = resolve(tid, uid, &pid, err);

	if (r)
		return r;
	p = calloc(1, sizeof(*p));
	if (!p)
		return error_set(err, -ENOMEM, "no memory for a client");
	p->dir = p->mem = p->maps = p->pidfd = -1;
	p->pid = pid;
	atomic_store(&p->references, 1);
	pthread_mutex_init(&p->lock, NULL);
	r = open_files(p, err);
	/* Opened by number: only if the thread is in there is it the right process. */
	if (!r && !process_has_thread(p, tid))
		r = error_set(err, -ESRCH, "client thread %d is gone", (int)tid);
	if (r) {
		process_free(p);
		return r;
	}
	*process = p;
	return 0;
}

struct process *process_ref(struct process *process)
{
	atomic_fetch_add(&process->references, 1);
	return process;
}

void process_unref(struct process *process)
{
	if (process && atomic_fetch_sub(&process->references, 1) == 1)
		process_free(process);
}

pid_t process_pid(const struct process *process)
{
	return process->pid;
}

/* /proc/PID/mem reads as empty once nobody uses the address space any more (mm_users is 0). */
static bool memory_alive(const struct process *process)
{
	char byte;

	return pread(process->mem, &byte, 1, 0) != 0;
}

bool process_has_thread(const struct process *process, pid_t tid)
{
	char name[32];

	snprintf(name, sizeof(name), "task/%d", (int)tid);
	return !faccessat(process->dir, name, F_OK, 0) && memory_alive(process);
}

/*
 * Rings are read two and four bytes at a time while the client stores to them. The kernel copies
 * such sizes byte by byte on some processors, eight aligned bytes never: read the whole word.
 */
static int read_word(struct process *process, uint64_t from, void *to, size_t size)
{
	uint8_t word[8];

	if (pread(process->mem, word, sizeof(word), (off_t)(from & ~7ull)) != sizeof(word))
		return -EFAULT;
	memcpy(to, word + (from & 7), size);
	return 0;
}

int process_read(struct process *process, uint64_t from, void *to, size_t size)
{
	if (from > INT64_MAX || size > INT64_MAX - from)
		return -EFAULT;
	if (size && size <= 8 && (from & 7) + size <= 8)
		return read_word(process, from, to, size);
	while (size) {
		ssize_t n = pread(process->mem, to, size, (off_t)from);

		if (n <= 0)
			return -EFAULT;
		to = (uint8_t *)to + n;
		from += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int process_write(struct process *process, uint64_t to, const void *from, size_t size)
{
	if (to > INT64_MAX || size > INT64_MAX - to)
		return -EFAULT;
	while (size) {
		ssize_t n = pwrite(process->mem, from, size, (off_t)to);

		if (n <= 0)
			return -EFAULT;
		from = (const uint8_t *)from + n;
		to += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int process_get_fd(struct process *process, int fd)
{
	int r;

	if (fd < 0)
		return -EBADF;
	r = (int)syscall(SYS_pidfd_getfd, process->pidfd, fd, 0);
	return r < 0 ? -errno : r;
}
