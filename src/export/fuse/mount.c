/*
 * Mount points: is one free, is it a dead server's, is somebody alive there?
 *
 * A dead server leaves its mount behind; every access then fails with ENOTCONN,
 * which is how it is told from a live one. A live one is named by the pid in
 * its source in /proc/self/mountinfo ("uvdpa:PID", see fuse_export_start).
 */
#include "export/fuse/fuse.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fusermount3 -u -q -z MOUNTPOINT, which may unmount what its user mounted. */
static int run_fusermount(const char *mountpoint)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid) {
		execlp("fusermount3", "fusermount3", "-u", "-q", "-z", "--", mountpoint,
		       (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

int fuse_mount_remove(const char *mountpoint)
{
	if (!umount2(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW))
		return 0;
	return errno == EPERM ? run_fusermount(mountpoint) : -errno;
}

/*
 * The server that is mounted at `path`: its pid, 0 if it is none of ours. mountinfo: "id parent dev
 * root MOUNTPOINT options ... - type SOURCE options".
 */
static int mounted_by(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int found = 0;

	while (file && getline(&line, &room, file) > 0) {
		char where[4096], *source = strstr(line, " - ");

		if (!source || sscanf(line, "%*s %*s %*s %*s %4095s", where) != 1 ||
		    strcmp(where, path) != 0)
			continue;
		source = strstr(source, " uvdpa:");
		if (source)
			found = (int)strtol(source + strlen(" uvdpa:"), NULL, 10);
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* Asks the server, if there is one; attributes could be remembered by the kernel. */
static bool is_dead(const char *mountpoint)
{
	struct statfs fs;

	return statfs(mountpoint, &fs) && (errno == ENOTCONN || errno == ECONNABORTED);
}

static bool is_mounted(const char *path)
{
	char parent[PATH_MAX + 4];
	struct stat outer, inner;

	snprintf(parent, sizeof(parent), "%s/..", path);
	return !stat(path, &inner) && !stat(parent, &outer) && inner.st_dev != outer.st_dev;
}

int fuse_mount_prepare(const char *mountpoint, struct error *err)
{
	char path[PATH_MAX];
	struct stat st;
	int r;

	if (mkdir(mountpoint, 0755) && errno != EEXIST && errno != ENOTCONN)
		return error_set(err, -errno, "cannot make the mount point %s: %s", mountpoint,
				 strerror(errno));
	if (is_dead(mountpoint)) {
		r = fuse_mount_remove(mountpoint);
		if (r)
			return error_set(
				err, r,
				"%s is left over from a dead server and cannot be unmounted: %s; "
				"try: fusermount3 -uz %s",
				mountpoint, strerror(-r), mountpoint);
	}
	/* a link is none, wherever it leads: only a mount of ours goes on what we have made */
	if (lstat(mountpoint, &st) || !S_ISDIR(st.st_mode) || !realpath(mountpoint, path))
		return error_set(err, -ENOTDIR, "%s cannot be a mount point: it is no directory",
				 mountpoint);
	if (!is_mounted(path))
		return 0;
	r = mounted_by(path);
	if (r > 0)
		return error_set(err, -EBUSY, "%s is served by process %d already", mountpoint, r);
	return error_set(err, -EBUSY, "something is mounted on %s already", mountpoint);
}
