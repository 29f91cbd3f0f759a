/* A server's directory: see rundir.h. */
#include "serve/rundir.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/log.h"
#include "util/trusted.h"

static_assert(sizeof(((struct rundir *)0)->control) <= sizeof(((struct sockaddr_un *)0)->sun_path),
	      "a control path fits a socket address");

const char *rundir_default(void)
{
	static char path[96];
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	if (!runtime || runtime[0] != '/' || strlen(runtime) > sizeof(path) - 8)
		return "/run/uvdpa";
	snprintf(path, sizeof(path), "%s/uvdpa", runtime);
	return path;
}

int rundir_paths(const char *dir, struct rundir *rundir, struct error *f)
{
	int used;

	if (!dir)
		dir = rundir_default();
	if (!dir[0])
		return error_set(f, -EINVAL, "--dir: it is empty");
	used = snprintf(rundir->control, sizeof(rundir->control), "%s/control", dir);
	if (used < 0 || (size_t)used >= sizeof(rundir->control))
		return error_set(f, -ENAMETOOLONG,
				 "--dir %.40s...: too long, a socket's path has at most %zu bytes",
				 dir, sizeof(rundir->control) - 1);
	snprintf(rundir->vdpa, sizeof(rundir->vdpa), "%s/vdpa", dir);
	return 0;
}

/* The command line of a process, blanks for its NULs; "?" if it cannot be read. */
static void read_command(long pid, char *buffer, size_t size)
{
	char path[48];
	ssize_t got = -1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		got = read(fd, buffer, size - 1);
		close(fd);
	}
	if (got <= 0) {
		snprintf(buffer, size, "?");
		return;
	}
	for (ssize_t i = 0; i < got; i++)
		if (!isprint((unsigned char)buffer[i]))
			buffer[i] = ' ';
	while (got > 0 && buffer[got - 1] == ' ')
		got--;
	buffer[got] = '\0';
}

static int tell_holder(int lock, const char *dir, struct error *f)
{
	char text[24] = "", command[160];
	long pid;

	if (pread(lock, text, sizeof(text) - 1, 0) < 0)
		text[0] = '\0';
	pid = strtol(text, NULL, 10);
	if (pid <= 0)
		return error_set(f, -EBUSY, "%s is in use by another server that is just starting",
				 dir);
	read_command(pid, command, sizeof(command));
	return error_set(f, -EBUSY,
			 "%s is served by process %ld (%s); stop it or take another --dir", dir,
			 pid, command);
}

/* Locks DIR/lock. The lock goes with the process, however it ends, so it is never stale. */
static int take_lock(int at, const char *dir, struct rundir *rundir, struct error *f)
{
	int fd = openat(at, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644), ret;

	if (fd < 0)
		return error_set(f, -errno, "cannot make %s/lock: %s", dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ret = errno == EWOULDBLOCK ? tell_holder(fd, dir, f)
					   : error_set(f, -errno, "cannot lock %s/lock: %s", dir,
						       strerror(errno));
		close(fd);
		return ret;
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0) {
		ret = error_set(f, -errno, "cannot write %s/lock: %s", dir, strerror(errno));
		close(fd);
		return ret;
	}
	rundir->lock = fd;
	return 0;
}

int rundir_take(const char *dir, struct rundir *rundir, struct error *f)
{
	int ret = rundir_paths(dir, rundir, f), at;

	if (ret)
		return ret;
	at = trusted_dir(dir ? dir : rundir_default(), f);
	if (at < 0)
		return dir ? at : error_prefix(f, "without --dir");
	ret = take_lock(at, dir ? dir : rundir_default(), rundir, f);
	close(at);
	return ret;
}

void rundir_leave(struct rundir *rundir)
{
	/* the file stays: removing it could take it from under a server that just locked it */
	if (ftruncate(rundir->lock, 0) < 0)
		log_warning(NULL, "the lock file keeps our process id: %s", strerror(errno));
	close(rundir->lock);
	rundir->lock = -1;
}
