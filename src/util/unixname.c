/*
 * Binds and removes unix sockets' names: see unixname.h.
 *
 * bind() takes a path, and so do chmod() and chown(), which follow symbolic links: who may write
 * to the directory can put a link in the socket's place between two of these, and what it leads to
 * is opened to the world. So the file is opened once, as itself (O_PATH, O_NOFOLLOW), shown to be
 * the one that was just made, and reached by that descriptor from then on. What shows it: a
 * socket is born with the mode that its descriptor has (unix_bind_bsd() in Linux), here 0, which
 * nothing else of ours has, and which lets nobody in until the right one is set.
 */
#include "util/unixname.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int unixname_address(const char *path, struct sockaddr_un *to, struct error *f)
{
	*to = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(to->sun_path))
		return error_set(f, -ENAMETOOLONG, "%s: a socket's path has at most %zu bytes",
				 path, sizeof(to->sun_path) - 1);
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
	struct error f;
	struct sockaddr_un at;
	int error = unixname_address(path, &at, &f);

	return error ? error : connect_to(&at, SOCK_STREAM);
}

/* Somebody answers: who, as far as the kernel tells (not of datagram sockets). */
static int taken(const struct sockaddr_un *at, int fd, struct error *f)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);

	if (fd >= 0) {
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
		close(fd);
	}
	if (who.pid > 0)
		return error_set(f, -EADDRINUSE,
				 "%s: process %d listens there: stop it, or choose another name",
				 at->sun_path, (int)who.pid);
	return error_set(f, -EADDRINUSE,
			 "%s: another process has this socket: stop it, or choose another name",
			 at->sun_path);
}

/* The directory that a path's last name is in, and that name. Returns a descriptor or -errno. */
static int open_parent(const char *path, const char **last)
{
	char parent[sizeof(((struct sockaddr_un *)0)->sun_path)] = ".";
	const char *slash = strrchr(path, '/');
	int fd;

	*last = slash ? slash + 1 : path;
	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", slash > path ? (int)(slash - path) : 1,
			 path);
	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The file that a descriptor stands for, whatever becomes of its name. */
static void name_of_fd(int fd, char name[32])
{
	snprintf(name, 32, "/proc/self/fd/%d", fd);
}

/* Whether somebody answers at the socket that `entry` stands for: a descriptor or -errno. */
static int connect_to_entry(int entry, int type)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	name_of_fd(entry, at.sun_path);
	return connect_to(&at, type);
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Removes a name if it is still that file's. 0, or -errno; another file there is no error. */
static int remove_name(const char *path, const struct stat *file)
{
	const char *last;
	struct stat st;
	int parent = open_parent(path, &last), ret = 0;

	if (parent < 0)
		return parent;
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same(&st, file) &&
	    unlinkat(parent, last, 0) < 0 && errno != ENOENT)
		ret = -errno;
	close(parent);
	return ret;
}

/* What has the name that is wanted is open as `entry`. Frees it if nobody answers: 0. */
static int replace_entry(const struct sockaddr_un *at, int entry, int type, struct error *f)
{
	const char *path = at->sun_path;
	struct stat st;
	int ret;

	if (fstat(entry, &st) < 0)
		return error_set(f, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return error_set(f, -EEXIST,
				 "%s is there and is no socket: remove it, or choose another name",
				 path);
	ret = connect_to_entry(entry, type);
	/* EAGAIN: a backlog that is full is somebody, too; EPROTOTYPE: of another kind */
	if (ret != -ECONNREFUSED)
		return taken(at, ret, f);
	ret = remove_name(path, &st);
	return ret ? error_set(f, ret,
			       "%s: the socket of a process that is gone cannot be removed: %s",
			       path, strerror(-ret))
		   : 0;
}

/* The name is there. Frees it if nobody answers. Returns 0: try again. */
static int replace(const struct sockaddr_un *at, int type, struct error *f)
{
	int entry = open(at->sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret;

	if (entry < 0)
		return errno == ENOENT
			       ? 0
			       : error_set(f, -errno, "%s: %s", at->sun_path, strerror(errno));
	ret = replace_entry(at, entry, type, f);
	close(entry);
	return ret;
}

/* Whether `st` is what we have just made, `bare` if with mode 0. */
static bool is_just_made(const struct stat *st, bool bare)
{
	return S_ISSOCK(st->st_mode) && st->st_uid == geteuid() && st->st_nlink == 1 &&
	       !(bare && st->st_mode & 07777);
}

/* Lets in whom `access` says, through the socket's own descriptor. */
static int set_access(int entry, const struct unixname_access *access)
{
	char name[32];

	name_of_fd(entry, name);
	if (access->group != (gid_t)-1 &&
	    fchownat(entry, "", (uid_t)-1, access->group, AT_EMPTY_PATH) < 0)
		return -errno;
	return chmod(name, access->mode) < 0 ? -errno : 0;
}

/* After bind, with the new file open: lets in whom it is for. -ESTALE: it is not ours. */
static int adopt_entry(int entry, const struct sockaddr_un *at,
		       const struct unixname_access *access, struct unixname *name)
{
	struct stat st;
	int ret;

	if (fstat(entry, &st) < 0)
		return -errno;
	if (!is_just_made(&st, access != NULL))
		return -ESTALE;
	ret = access ? set_access(entry, access) : 0;
	if (ret) {
		remove_name(at->sun_path, &st);
		return ret;
	}
	*name = (struct unixname){.dev = st.st_dev, .ino = st.st_ino};
	memcpy(name->path, at->sun_path, sizeof(name->path));
	return 0;
}

static int adopt(const struct sockaddr_un *at, const struct unixname_access *access,
		 struct unixname *name)
{
	int entry = open(at->sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC), ret;

	if (entry < 0)
		return errno == ENOENT ? -ESTALE : -errno;
	ret = adopt_entry(entry, at, access, name);
	close(entry);
	return ret;
}

static int try_bind(const struct sockaddr_un *at, int type, const struct unixname_access *access,
		    struct unixname *name)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), error;

	if (fd < 0)
		return -errno;
	if ((access && fchmod(fd, 0) < 0) || bind(fd, (const struct sockaddr *)at, sizeof(*at)) < 0)
		error = -errno;
	else
		error = adopt(at, access, name);
	if (!error)
		return fd;
	close(fd);
	return error;
}

int unixname_bind(const char *path, int type, const struct unixname_access *access,
		  struct unixname *name, struct error *f)
{
	struct sockaddr_un at;
	int fd = unixname_address(path, &at, f);

	if (fd < 0)
		return fd;
	fd = try_bind(&at, type, access, name);
	if (fd == -EADDRINUSE) {
		fd = replace(&at, type, f);
		if (fd < 0)
			return fd;
		fd = try_bind(&at, type, access, name);
	}
	if (fd == -ESTALE)
		return error_set(f, fd,
				 "%s: somebody else changes the directory that it is in: choose "
				 "another one",
				 path);
	if (fd < 0)
		return error_set(f, fd, "%s: no socket can be made there: %s", path, strerror(-fd));
	return fd;
}

void unixname_remove(struct unixname *name)
{
	const struct stat ours = {.st_dev = name->dev, .st_ino = name->ino};

	if (name->path[0])
		remove_name(name->path, &ours);
	name->path[0] = '\0';
}
