/*
 * Walks a path name by name, each opened relative to the one before and without following links,
 * so that what is judged is what is used: see trusted.h. Links are followed by hand, by putting
 * their text before what is left of the path.
 */
#include "util/trusted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as Linux has it (MAXSYMLINKS) */

struct walk {
	int dir;	     /* O_PATH: where we are */
	char at[PATH_MAX];   /* its name, for faults */
	char rest[PATH_MAX]; /* what is still to come */
	uid_t owner_of_root;
	unsigned links;
	struct error *f;
};

static bool is_trusted(const struct walk *walk, uid_t uid)
{
	return uid == 0 || uid == geteuid() || uid == walk->owner_of_root;
}

static const char *user_name(uid_t uid, char name[64])
{
	const struct passwd *user = getpwuid(uid);

	if (user)
		snprintf(name, 64, "user %s", user->pw_name);
	else
		snprintf(name, 64, "user %u", (unsigned)uid);
	return name;
}

/* Whether a group is root's, or our user's alone. */
static bool is_group_of_none(gid_t gid)
{
	const struct passwd *user = getpwuid(geteuid());
	const struct group *group = getgrgid(gid);

	if (gid == 0)
		return true;
	if (!user || !group || user->pw_gid != gid || strcmp(user->pw_name, group->gr_name) != 0)
		return false;
	for (char **member = group->gr_mem; *member; member++)
		if (strcmp(*member, user->pw_name) != 0)
			return false;
	return true;
}

/* With an access list the group's bits are the most that any of those in it may do (acl(5)). */
static bool has_access_list(int dir)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", dir);
	return getxattr(name, "system.posix_acl_access", NULL, 0) > 0;
}

static bool others_may_write(int dir, const struct stat *st)
{
	if (st->st_mode & S_IWOTH)
		return true;
	return st->st_mode & S_IWGRP && (!is_group_of_none(st->st_gid) || has_access_list(dir));
}

/* One directory on the way, or the last one. */
static int judge(struct walk *walk, int dir, const struct stat *st, bool last)
{
	char name[64];

	if (!is_trusted(walk, st->st_uid) || (last && st->st_uid != geteuid()))
		return error_set(walk->f, -EPERM,
				 "%s belongs to %s, who can put other files in place of ours: "
				 "choose a directory %s",
				 walk->at, user_name(st->st_uid, name),
				 last ? "of your own" : "that is elsewhere");
	if (others_may_write(dir, st) && (last || !(st->st_mode & S_ISVTX)))
		return error_set(
			walk->f, -EPERM,
			"others may write to %s (mode %04o) and put other files in place of "
			"ours: chmod go-w it, or choose another directory",
			walk->at, (unsigned)st->st_mode & 07777);
	return 0;
}

/* Takes the next name from what is left: 1, 0 at the end, or -ENAMETOOLONG. */
static int next_name(struct walk *walk, char name[NAME_MAX + 1])
{
	size_t skip = strspn(walk->rest, "/"), size = strcspn(walk->rest + skip, "/");

	if (!size)
		return 0;
	if (size > NAME_MAX)
		return error_set(walk->f, -ENAMETOOLONG, "%s: a name in this path is too long",
				 walk->at);
	snprintf(name, NAME_MAX + 1, "%.*s", (int)size, walk->rest + skip);
	memmove(walk->rest, walk->rest + skip + size, strlen(walk->rest + skip + size) + 1);
	return 1;
}

static bool is_last(const struct walk *walk)
{
	return !walk->rest[strspn(walk->rest, "/")];
}

/* Goes to "/" to begin with, and for a link that says so. */
static int go_to_root(struct walk *walk)
{
	int dir = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return error_set(walk->f, -errno, "cannot open /: %s", strerror(errno));
	if (walk->dir >= 0)
		close(walk->dir);
	walk->dir = dir;
	walk->at[0] = '\0';
	return 0;
}

/* Puts a path before what is left of the way. */
static int go_by(struct walk *walk, const char *path)
{
	char rest[PATH_MAX];

	if (snprintf(rest, sizeof(rest), "%s/%s", path, walk->rest) >= (int)sizeof(rest))
		return error_set(walk->f, -ENAMETOOLONG, "%s: this path becomes too long",
				 walk->at);
	memcpy(walk->rest, rest, strlen(rest) + 1);
	return path[0] == '/' ? go_to_root(walk) : 0;
}

/* A link that is open as `link`, in the directory that we are in. */
static int follow(struct walk *walk, int link, const struct stat *st)
{
	char text[PATH_MAX], name[64];
	ssize_t size = readlinkat(link, "", text, sizeof(text) - 1);

	if (size < 0)
		return error_set(walk->f, -errno, "%s: %s", walk->at, strerror(errno));
	if (!is_trusted(walk, st->st_uid))
		return error_set(
			walk->f, -EPERM,
			"%s is a symbolic link of %s: name the directory itself, or choose "
			"another one",
			walk->at, user_name(st->st_uid, name));
	if (++walk->links > LINKS_MAX)
		return error_set(walk->f, -ELOOP, "%s: too many symbolic links", walk->at);
	text[size] = '\0';
	*strrchr(walk->at, '/') = '\0'; /* its text goes on from where it is */
	return go_by(walk, text);
}

/* A name where we are: a directory, mounted if need be (automount), or what else it is. */
static int open_here(const struct walk *walk, const char *name)
{
	const int flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(walk->dir, name, flags | O_DIRECTORY);

	return fd < 0 && errno == ENOTDIR ? openat(walk->dir, name, flags) : fd;
}

/* The same with an error; made if it is the last name. */
static int open_name(struct walk *walk, const char *name)
{
	int fd = open_here(walk, name);

	if (fd < 0 && errno == ENOENT && is_last(walk)) {
		if (mkdirat(walk->dir, name, 0755) < 0 && errno != EEXIST)
			return error_set(walk->f, -errno, "cannot make the directory %s: %s",
					 walk->at, strerror(errno));
		fd = open_here(walk, name);
	}
	return fd >= 0 ? fd : error_set(walk->f, -errno, "%s: %s", walk->at, strerror(errno));
}

/* One step: into a directory, or to where a link leads. */
static int step(struct walk *walk, const char *name)
{
	size_t used = strlen(walk->at);
	struct stat st;
	int fd, ret;

	snprintf(walk->at + used, sizeof(walk->at) - used, "/%s", name);
	fd = open_name(walk, name);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		ret = error_set(walk->f, -errno, "%s: %s", walk->at, strerror(errno));
	else if (S_ISLNK(st.st_mode))
		ret = follow(walk, fd, &st);
	else if (!S_ISDIR(st.st_mode))
		ret = error_set(walk->f, -ENOTDIR, "%s is no directory", walk->at);
	else
		ret = judge(walk, fd, &st, false);
	if (ret || !S_ISDIR(st.st_mode)) {
		close(fd);
		return ret;
	}
	close(walk->dir);
	walk->dir = fd;
	return 0;
}

static int begin(struct walk *walk, const char *path)
{
	char here[PATH_MAX];
	struct stat st;
	int ret = go_by(walk, path);

	if (!ret && path[0] != '/')
		ret = getcwd(here, sizeof(here))
			      ? go_by(walk, here)
			      : error_set(walk->f, -errno, "the current directory: %s",
					  strerror(errno));
	if (!ret && fstat(walk->dir, &st) < 0)
		ret = error_set(walk->f, -errno, "/: %s", strerror(errno));
	if (ret)
		return ret;
	walk->owner_of_root = st.st_uid;
	return judge(walk, walk->dir, &st, false);
}

int trusted_dir(const char *path, struct error *f)
{
	struct walk walk = {.dir = -1, .f = f};
	char name[NAME_MAX + 1];
	struct stat st;
	int ret = begin(&walk, path);

	while (!ret && (ret = next_name(&walk, name)) > 0)
		ret = step(&walk, name);
	if (!ret)
		ret = fstat(walk.dir, &st) < 0
			      ? error_set(f, -errno, "%s: %s", walk.at, strerror(errno))
			      : judge(&walk, walk.dir, &st, true);
	if (!ret)
		return walk.dir;
	if (walk.dir >= 0)
		close(walk.dir);
	return ret;
}
