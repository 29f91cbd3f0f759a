/* Binds and removes unix sockets' names: see unixname.h. */
#include "util/unixname.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int unixname_address(const char *path, struct sockaddr_un *to, struct fault *f)
{
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(to->sun_path))
		return fault(f, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes", path,
			     sizeof(to->sun_path) - 1);
	memcpy(to->sun_path, path, strlen(path) + 1);
	return 0;
}

static int connect_to(const struct sockaddr_un *at, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

int unixname_connect(const char *path)
{
	struct fault f;
	struct sockaddr_un at;
	int error = unixname_address(path, &at, &f);

	return error ? error : connect_to(&at, SOCK_STREAM);
}

/* Somebody answers: who, as far as the kernel tells (not of datagram sockets). */
static int taken(const struct sockaddr_un *at, int fd, struct fault *f)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);

	if (fd >= 0) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
		close(fd);
	}
	if (who.pid > 0)
		return fault(f, -EADDRINUSE,
			     "%s: process %d listens there: stop it, or choose another name",
			     at->sun_path, (int)who.pid);
	return fault(f, -EADDRINUSE,
		     "%s: another process has this socket: stop it, or choose another name",
		     at->sun_path);
}

/* The name is there. Frees it if nobody answers. Returns 0: try again. */
static int replace(const struct sockaddr_un *at, int type, struct fault *f)
{
	const char *path = at->sun_path;
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fault(f, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fault(f, -EEXIST,
			     "%s is there and is no socket: remove it, or choose another name",
			     path);
	fd = connect_to(at, type);
	if (fd == -ENOENT)
		return 0;
	/* EAGAIN: a backlog that is full is somebody, too; EPROTOTYPE: of another kind */
	if (fd != -ECONNREFUSED)
		return taken(at, fd, f);
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return fault(f, -errno, "%s: the socket of a process that is gone cannot be removed: %s",
		     path, strerror(errno));
}

static int try_bind(const struct sockaddr_un *at, int type, struct unixname *name)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 &&
	    lstat(at->sun_path, &st) == 0) {
		*name = (struct unixname){.dev = st.st_dev, .ino = st.st_ino};
		memcpy(name->path, at->sun_path, sizeof(name->path));
		return fd;
	}
	error = -errno;
	close(fd);
	return error;
}

int unixname_bind(const char *path, int type, struct unixname *name, struct fault *f)
{
	struct sockaddr_un at;
	int fd = unixname_address(path, &at, f);

	if (fd < 0)
		return fd;
	fd = try_bind(&at, type, name);
	if (fd == -EADDRINUSE) {
		fd = replace(&at, type, f);
		if (fd < 0)
			return fd;
		fd = try_bind(&at, type, name);
	}
	if (fd < 0)
		return fault(f, fd, "%s: no socket can be made there: %s", path, strerror(-fd));
	return fd;
}

void unixname_remove(struct unixname *name)
{
	struct stat st;

	if (name->path[0] && lstat(name->path, &st) == 0 && st.st_dev == name->dev &&
	    st.st_ino == name->ino)
		unlink(name->path);
	name->path[0] = '\0';
}
