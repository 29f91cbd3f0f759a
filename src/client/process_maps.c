/*
 * A client's mappings, and the files behind them.
 *
 * A window may be given only what the client itself has. A shared mapping that
 * is writable is proof that the client had the file open for writing, so the
 * same file, and no other, may be opened for writing here even when the server
 * has more rights than the client. Hence the comparison of device and inode on
 * the opened file, after the opening; names prove nothing. (Of the file system it is
 * known before that it answers at once: process_mounts.c.) Nor does what maps
 * said before the opening prove anything: the client may have put another
 * mapping there meanwhile, of the same file (or of one that got its number), as
 * one that it may only read. What is open keeps its number: so maps is read
 * again then (process_still_has).
 *
 * The file is found in /proc/PID/map_files where we are allowed to follow those
 * links (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; the only way to shared
 * anonymous memory), else among the client's descriptors.
 */
#include "client/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client/map.h"
#include "client/process_internal.h"
#include "client/foreign.h"

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

/* Whether a line is of a mapping that ends at or before `address`, without parsing all of it. */
static bool is_before(const char *line, uint64_t address)
{
	const char *end = strchr(line, '-');

	return !end || strtoull(end + 1, NULL, 16) <= address;
}

/* What is looked for, and found. */
struct search {
	uint64_t address, end;
	struct process_vma *vmas;
	unsigned count, max;
};

/* Takes one line. False: nothing behind it is wanted. */
static bool search_line(struct search *search, const char *line)
{
	struct process_vma *vma = &search->vmas[search->count];

	if (is_before(line, search->address))
		return true;
	if (!parse_vma(line, vma) || vma->start >= search->end)
		return false;
	return ++search->count < search->max;
}

/* Takes the complete lines in text[0..used). */
static bool search_lines(struct search *search, char *text, size_t used, size_t *consumed)
{
	char *line = text, *newline;

	while ((newline = memchr(line, '\n', used - (size_t)(line - text)))) {
		*newline = '\0';
		if (!search_line(search, line))
			return false;
		line = newline + 1;
	}
	*consumed = (size_t)(line - text);
	return true;
}

/* Reads maps from its beginning: there is no other way to a place in it. */
static int search_locked(struct process *process, struct search *search)
{
	size_t used = 0, consumed = 0;

	if (!process->text)
		process->text = malloc(MAPS_PIECE);
	if (!process->text)
		return -ENOMEM;
	if (lseek(process->maps, 0, SEEK_SET) < 0)
		return 0;
	for (;;) {
		ssize_t n = read(process->maps, process->text + used, MAPS_PIECE - used);

		if (n <= 0)
			return 0;
		used += (size_t)n;
		if (!search_lines(search, process->text, used, &consumed))
			return 0;
		used -= consumed;
		if (used == MAPS_PIECE)
			return 0; /* one line of 64 KiB: nothing we know */
		memmove(process->text, process->text + consumed, used);
	}
}

int process_find_vmas(struct process *process, uint64_t address, uint64_t size,
		      struct process_vma *vmas, unsigned max)
{
	struct search search = {
		.address = address, .end = address + size, .vmas = vmas, .max = max};
	int r;

	if (!size || search.end < address)
		return 0;
	pthread_mutex_lock(&process->lock);
	r = search_locked(process, &search);
	pthread_mutex_unlock(&process->lock);
	return r < 0 ? r : (int)search.count;
}

/* Takes `fd` over: returns it if it is the mapping's file, else closes it. */
static int keep_if_same(int fd, const struct process_vma *vma)
{
	struct stat st;

	if (fd < 0)
		return -ENOENT;
	if (!client_map_allowed(fd) && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    st.st_dev == vma->device && st.st_ino == vma->inode)
		return fd;
	foreign_close(fd);
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
	if (!process_sees_memory(process, vma->device))
		return -ENOENT;
	fd = open_map_file(process, vma, writable);
	return fd >= 0 ? fd : open_descriptor(process, vma, writable);
}

bool process_still_has(const struct process_vma *now, unsigned count, const struct process_vma *vma)
{
	const struct process_vma *found;
	unsigned low = 0, high = count;

	/* the last one that begins at or before it */
	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (now[middle].start <= vma->start)
			low = middle;
		else
			high = middle;
	}
	if (!count)
		return false;
	found = &now[low];
	return found->start <= vma->start && found->end >= vma->end &&
	       found->device == vma->device && found->inode == vma->inode &&
	       found->offset + (vma->start - found->start) == vma->offset && found->shared &&
	       found->readable && found->writable >= vma->writable;
}
