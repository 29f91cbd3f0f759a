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

/* Whether somebody has the name: 0, or why nobody can be reached there. */
static int knock(const struct sockaddr_un *at, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
		error = -errno;
	close(fd);
	return error;
}

/* The name is there. Frees it if nobody answers. Returns 0: try again. */
static int replace(const struct sockaddr_un *at, int type, struct fault *f)
{
	const char *path = at->sun_path;
	struct stat st;
	int error;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fault(f, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fault(f, -EEXIST,
			     "%s is there and is no socket: remove it, or choose another name",
			     path);
	error = knock(at, type);
	if (error == -ENOENT)
		return 0;
	if (error == -ECONNREFUSED && (unlink(path) == 0 || errno == ENOENT))
		return 0;
	/* EAGAIN: a backlog that is full is somebody, too; EPROTOTYPE: of another kind */
	return fault(f, -EADDRINUSE,
		     "%s: another process has this socket: stop it, or choose another name", path);
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
