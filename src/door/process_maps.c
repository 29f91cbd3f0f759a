/*
 * A client's mappings, and the files behind them.
 *
 * A window may be given only what the client itself has. A shared mapping that
 * is writable is proof that the client had the file open for writing, so the
 * same file, and no other, may be opened for writing here even when the server
 * has more rights than the client. Hence the comparison of device and inode on
 * the opened file, after the opening; names prove nothing.
 *
 * The file is found in /proc/PID/map_files where we are allowed to follow those
 * links (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; the only way to shared
 * anonymous memory), else among the client's descriptors.
 */
#include "door/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "door/process_internal.h"

#define MAPS_PIECE (64 * 1024)

/* "start-end rwxs offset major:minor inode path" */
static bool parse_vma(const char *line, struct process_vma *vma)
{
	unsigned long long start, end, offset, inode;
	unsigned maj, min;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu", &start, &end, perms, &offset, &maj, &min,
		   &inode) != 7)
		return false;
	*vma = (struct process_vma){
		.start = start,
		.end = end,
		.offset = offset,
		.device = makedev(maj, min),
		.inode = inode,
		.readable = perms[0] == 'r',
		.writable = perms[1] == 'w',
		.shared = perms[3] == 's',
	};
	return true;
}

/* Looks through the complete lines in text[0..used). Returns 1: found, 0: go on, -ENOENT: passed.
 */
static int search_lines(char *text, size_t used, uint64_t address, struct process_vma *vma,
			size_t *consumed)
{
	char *line = text, *newline;

	while ((newline = memchr(line, '\n', used - (size_t)(line - text)))) {
		*newline = '\0';
		/* The end address decides most lines without parsing all of them. */
		if (strtoull(strchr(line, '-') ? strchr(line, '-') + 1 : "0", NULL, 16) > address) {
			if (!parse_vma(line, vma) || vma->start > address)
				return -ENOENT;
			return 1;
		}
		line = newline + 1;
	}
	*consumed = (size_t)(line - text);
	return 0;
}

static int find_locked(struct process *process, uint64_t address, struct process_vma *vma)
{
	size_t used = 0, consumed = 0;

	if (!process->text)
		process->text = malloc(MAPS_PIECE);
	if (!process->text)
		return -ENOMEM;
	if (lseek(process->maps, 0, SEEK_SET) < 0)
		return -ENOENT;
	for (;;) {
		ssize_t n = read(process->maps, process->text + used, MAPS_PIECE - used);
		int r;

		if (n <= 0)
			return -ENOENT;
		used += (size_t)n;
		r = search_lines(process->text, used, address, vma, &consumed);
		if (r)
			return r < 0 ? r : 0;
		used -= consumed;
		if (used == MAPS_PIECE)
			return -ENOENT; /* one line of 64 KiB: nothing we know */
		memmove(process->text, process->text + consumed, used);
	}
}

int process_find_vma(struct process *process, uint64_t address, struct process_vma *vma)
{
	int r;

	pthread_mutex_lock(&process->lock);
	r = find_locked(process, address, vma);
	pthread_mutex_unlock(&process->lock);
	return r;
}

/* Takes `fd` over: returns it if it is the mapping's file, else closes it. */
static int keep_if_same(int fd, const struct process_vma *vma)
{
	struct stat st;

	if (fd < 0)
		return -ENOENT;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_dev == vma->device &&
	    st.st_ino == vma->inode)
		return fd;
	close(fd);
	return -ENOENT;
}

static int open_map_file(struct process *process, const struct process_vma *vma, bool writable)
{
	char name[64];

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)vma->start,
		 (unsigned long long)vma->end);
	return keep_if_same(
		openat(process->dir, name,
		       (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY),
		vma);
}

/*
 * Whether descriptor `name` of the client is the mapping's file, without asking the file system
 * behind it (AT_STATX_DONT_SYNC): the client could be the one who has to answer.
 */
static bool is_vma_file(int fds, const char *name, const struct process_vma *vma)
{
	struct statx st;

	return !statx(fds, name, AT_STATX_DONT_SYNC, STATX_TYPE | STATX_INO, &st) &&
	       S_ISREG(st.stx_mode) && st.stx_ino == vma->inode &&
	       makedev(st.stx_dev_major, st.stx_dev_minor) == vma->device;
}

static bool good_access(int fd, bool writable)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_PATH))
		return false;
	return (flags & O_ACCMODE) == O_RDWR || (!writable && (flags & O_ACCMODE) == O_RDONLY);
}

/* The same inode among the client's descriptors, opened in a way that will do. */
static int open_descriptor(struct process *process, const struct process_vma *vma, bool writable)
{
	int fds = openat(process->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int found = -ENOENT;
	struct dirent *entry;
	DIR *dir;

	dir = fds < 0 ? NULL : fdopendir(fds);
	if (!dir) {
		if (fds >= 0)
			close(fds);
		return -ENOENT;
	}
	while (found < 0 && (entry = readdir(dir))) {
		int fd;

		if (entry->d_name[0] == '.' || !is_vma_file(fds, entry->d_name, vma))
			continue;
		fd = keep_if_same(process_get_fd(process, (int)strtol(entry->d_name, NULL, 10)),
				  vma);
		if (fd >= 0 && !good_access(fd, writable))
			close(fd);
		else
			found = fd;
	}
	closedir(dir);
	return found;
}

int process_open_vma(struct process *process, const struct process_vma *vma, bool writable)
{
	int fd;

	if (!vma->shared || !vma->inode || !vma->readable || (writable && !vma->writable))
		return -ENOENT;
	fd = open_map_file(process, vma, writable);
	return fd >= 0 ? fd : open_descriptor(process, vma, writable);
}
