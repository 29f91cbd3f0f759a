/*
 * The socket's name: ours when nobody answers there, never taken from who does.
 */
#include "door/vhost_user_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address(const char *path, struct sockaddr_un *to)
{
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(to->sun_path))
		return -ENAMETOOLONG;
	memcpy(to->sun_path, path, strlen(path) + 1);
	return 0;
}

int vu_check_path(const char *path, struct fault *f)
{
	struct sockaddr_un at;
	int r = address(path, &at);

	return r < 0 ? fault(f, r, "%s: a socket's path has at most %zu bytes", path,
			     sizeof(at.sun_path) - 1)
		     : 0;
}

int vu_connect(const char *path)
{
	struct sockaddr_un at;
	int r = address(path, &at), fd;

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
		return fd;
	r = -errno;
	close(fd);
	return r;
}

/* Somebody has the name already. Frees it if nobody answers. Returns 0: try again. */
static int replace(const char *path, struct fault *f)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : fault(f, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fault(f, -EEXIST,
			     "%s is there and is no socket: remove it, or choose another name",
			     path);
	fd = vu_connect(path);
	/* EAGAIN: a backlog that is full is somebody, too */
	if (fd < 0 && fd != -EAGAIN && fd != -ECONNREFUSED)
		return fd == -ENOENT ? 0 : fault(f, fd, "%s: %s", path, strerror(-fd));
	if (fd == -ECONNREFUSED) {
		if (unlink(path) < 0 && errno != ENOENT)
			return fault(
				f, -errno,
				"%s: the socket of a process that is gone cannot be removed: %s",
				path, strerror(errno));
		return 0;
	}
	if (fd >= 0) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
		close(fd);
	}
	return fault(f, -EADDRINUSE,
		     "%s: process %d listens there: stop it, or choose another name", path,
		     (int)who.pid);
}

/* Before anybody can connect: who may. */
static int set_access(const struct vhost_user *door)
{
	if (!door->mode)
		return 0;
	if (door->gid != (gid_t)-1 && chown(door->path, (uid_t)-1, door->gid) < 0)
		return -1;
	return chmod(door->path, door->mode);
}

static int bind_and_listen(struct vhost_user *door, const struct sockaddr_un *at)
{
	struct stat st;
	int r;

	door->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (door->listen_fd < 0)
		return -errno;
	if (bind(door->listen_fd, (const struct sockaddr *)at, sizeof(*at)) == 0 &&
	    set_access(door) == 0 && listen(door->listen_fd, 4) == 0 &&
	    lstat(door->path, &st) == 0) {
		door->socket_dev = st.st_dev;
		door->socket_ino = st.st_ino;
		return 0;
	}
	r = -errno;
	close(door->listen_fd);
	door->listen_fd = -1;
	return r;
}

int vu_listen(struct vhost_user *door, struct fault *f)
{
	struct sockaddr_un at;
	int r = vu_check_path(door->path, f);

	if (r < 0)
		return r;
	address(door->path, &at);
	r = bind_and_listen(door, &at);
	if (r == -EADDRINUSE) {
		r = replace(door->path, f);
		if (r < 0)
			return r;
		r = bind_and_listen(door, &at);
	}
	return r < 0 ? fault(f, r, "%s: cannot listen: %s", door->path, strerror(-r)) : 0;
}

void vu_unlisten(struct vhost_user *door)
{
	struct stat st;

	if (door->listen_fd < 0)
		return;
	/* Somebody may have put a socket of his own there meanwhile. */
	if (lstat(door->path, &st) == 0 && st.st_dev == door->socket_dev &&
	    st.st_ino == door->socket_ino)
		unlink(door->path);
	close(door->listen_fd);
	door->listen_fd = -1;
}
