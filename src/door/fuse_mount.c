/*
 * Mount points: is one free, is it a dead server's, is somebody alive there?
 *
 * A dead server leaves its mount behind; every access then fails with ENOTCONN,
 * which is how it is told from a live one. A live one is named by the pid in
 * its source in /proc/self/mountinfo ("uvdpa:PID", see fuse_door_start).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "door/fuse.h"

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
 * The server that is mounted at `path`: its pid, 0 if it is none of ours, -ENOENT: nothing is
 * mounted there. mountinfo: "id parent dev root MOUNTPOINT options ... - type SOURCE options".
 */
static int mounted_by(const char *path)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t room = 0;
	int found = -ENOENT;

	while (file && getline(&line, &room, file) > 0) {
		char where[4096], *source = strstr(line, " - ");

		if (!source || sscanf(line, "%*s %*s %*s %*s %4095s", where) != 1 ||
		    strcmp(where, path) != 0)
			continue;
		found = 0;
		source = strstr(source, " uvdpa:");
		if (source)
			found = (int)strtol(source + strlen(" uvdpa:"), NULL, 10);
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

int fuse_mount_prepare(const char *mountpoint, struct fault *fault_out)
{
	struct stat st;
	char *path;
	int pid;

	if (mkdir(mountpoint, 0755) && errno != EEXIST && errno != ENOTCONN)
		return fault(fault_out, -errno, "cannot make the mount point %s: %s", mountpoint,
			     strerror(errno));
	if (stat(mountpoint, &st) && errno == ENOTCONN) {
		pid = fuse_mount_remove(mountpoint);
		if (pid)
			return fault(
				fault_out, pid,
				"%s is left over from a dead server and cannot be unmounted: %s; "
				"try: fusermount3 -uz %s",
				mountpoint, strerror(-pid), mountpoint);
	}
	if (stat(mountpoint, &st) || !S_ISDIR(st.st_mode))
		return fault(fault_out, -ENOTDIR, "%s cannot be a mount point: it is no directory",
			     mountpoint);
	path = realpath(mountpoint, NULL);
	pid = path ? mounted_by(path) : -ENOENT;
	free(path);
	if (pid >= 0)
		return fault(fault_out, -EBUSY,
			     pid ? "%s is served by process %d already"
				 : "%s is a mount point already",
			     mountpoint, pid);
	return 0;
}
