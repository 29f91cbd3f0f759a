/*
 * The file block backend: opening an image or block device, finding out what
 * it can do, growing it, closing it. What is wrong with a path is said here,
 * before anything is served. The I/O is in block_file.c.
 */
#include "backend/block_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend/backends.h"
#include "backend/block_file_ring.h"
#include "util/log.h"

/* Alignments above this are no disk's. */
#define MAX_ALIGNMENT (64 * 1024)
/* Bytes of a polled request: every disk takes so much at once, and more is worth no polling. */
#define POLLED_LEAST 4096
#define POLLED_MOST  (64 * 1024)
/* The kernel's time to end rings that were closed; it takes it some milliseconds. */
#define RINGS_END_MS 2000

static int no_access(const struct block_file_options *options, int error, struct error *f)
{
	const char *path = options->path;

	switch (error) {
	case ENOENT:
		return error_set(f, -ENOENT,
				 "there is no %s; create an image with: truncate -s 1G %s", path,
				 path);
	case EACCES:
	case EPERM:
		return error_set(f, -error, "no permission to %s %s as user %u; %s",
				 options->read_only ? "read" : "write", path, (unsigned)geteuid(),
				 options->read_only
					 ? "change its owner or mode"
					 : "change its owner or mode, or use readonly=on");
	case EROFS:
		return error_set(f, -EROFS, "%s is on a read-only file system; use readonly=on",
				 path);
	case EBUSY:
		return error_set(
			f, -EBUSY,
			"%s is in use: it is mounted, or part of a RAID or volume group, or "
			"another server's; unmount or stop that first",
			path);
	case EINVAL:
		if (options->direct)
			return error_set(f, -EINVAL,
					 "the file system of %s cannot bypass the page cache; "
					 "leave out direct=on",
					 path);
		break;
	}
	return error_set(f, -error, "cannot open %s: %s", path, strerror(error));
}

static int wrong_kind(const char *path, const struct stat *st, struct error *f)
{
	if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode))
		return error_set(f, -EISDIR, "%s is a directory; name a disk image in it", path);
	return error_set(f, -EINVAL, "%s is neither a regular file nor a block device", path);
}

/* Looks before opening: opening a pipe may hang, and opening a tape may rewind it. */
static int open_path(struct file_block *file, const struct block_file_options *options,
		     struct error *f)
{
	int flags = O_CLOEXEC | (options->read_only ? O_RDONLY : O_RDWR) |
		    (options->direct ? O_DIRECT : 0);
	struct stat st;
	int error;

	if (stat(options->path, &st))
		return no_access(options, errno, f);
	error = wrong_kind(options->path, &st, f);
	if (error)
		return error;
	/*
	 * A file system's requests wait for each other, and so may its truncation (inode_dio_wait):
	 * for some that nobody would poll meanwhile.
	 */
	if (options->iopoll && !S_ISBLK(st.st_mode))
		return error_set(
			f, -EINVAL,
			"%s is no block device; only those can be polled, leave out iopoll=on",
			options->path);
	file->fd = S_ISBLK(st.st_mode) ? file_open_device(file, flags) : open(options->path, flags);
	if (file->fd < 0)
		return no_access(options, errno, f);
	if (fstat(file->fd, &st))
		return no_access(options, errno, f);
	file->regular = S_ISREG(st.st_mode);
	return wrong_kind(options->path, &st, f);
}

static bool is_in_memory(const struct file_block *file)
{
	struct statfs fs;

	return file->regular && !file->direct && fstatfs(file->fd, &fs) == 0 &&
	       fs.f_type == TMPFS_MAGIC;
}

static int size_now(const struct file_block *file, uint64_t *size)
{
	struct stat st;

	if (!file->regular)
		return ioctl(file->fd, BLKGETSIZE64, size) ? -errno : 0;
	if (fstat(file->fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static bool alignment_is_sane(uint64_t n)
{
	return n >= 1 && n <= MAX_ALIGNMENT && !(n & (n - 1));
}

/* Kernels that do not tell: the smallest read that is not refused. */
static int probe_alignment(const struct file_block *file, uint32_t *alignment)
{
	void *buffer = aligned_alloc(MAX_ALIGNMENT, MAX_ALIGNMENT);
	uint32_t n;

	if (!buffer)
		return -ENOMEM;
	for (n = 512; n <= MAX_ALIGNMENT; n *= 2)
		if (pread(file->fd, (uint8_t *)buffer + n % MAX_ALIGNMENT, n, 0) >= 0)
			break;
	free(buffer);
	*alignment = n;
	return n <= MAX_ALIGNMENT ? 0 : -EINVAL;
}

/* What O_DIRECT asks of offsets (it becomes the block size, unless that is raised) and of memory.
 */
static int direct_limits(struct file_block *file, struct error *f)
{
	struct block_limits *limits = &file->block.limits;
	uint32_t memory = 0, offset = 0;
	struct statx stx = {0};
	int error = 0;

	if (statx(file->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN) {
		memory = stx.stx_dio_mem_align;
		offset = stx.stx_dio_offset_align;
	} else {
		error = probe_alignment(file, &offset);
		memory = offset;
	}
	if (error == -ENOMEM)
		return error_set(f, error, "no memory to probe %s", file->path);
	if (error || !alignment_is_sane(memory) || !alignment_is_sane(offset))
		return error_set(
			f, -EINVAL,
			"%s cannot be used with direct=on here (it is encrypted, compressed or "
			"the like); leave it out",
			file->path);
	limits->memory_alignment = memory;
	limits->block_size = file->direct_size = offset > 512 ? offset : 512;
	return 0;
}

/* Hints only: where the system does not answer, the defaults stay. */
static void topology(struct file_block *file)
{
	struct block_limits *limits = &file->block.limits;
	unsigned physical = 4096, optimal = 0;
	struct stat st;

	if (!file->regular) {
		if (ioctl(file->fd, BLKPBSZGET, &physical))
			physical = limits->block_size;
		if (ioctl(file->fd, BLKIOOPT, &optimal))
			optimal = 0;
	} else if (fstat(file->fd, &st) == 0 && st.st_blksize > 0 && st.st_blksize <= 1 << 20) {
		physical = (unsigned)st.st_blksize;
	}
	if (!alignment_is_sane(physical) || physical < limits->block_size)
		physical = limits->block_size;
	limits->physical_size = physical;
	limits->optimal_io = optimal - optimal % limits->block_size;
}

static int find_limits(struct file_block *file, const struct block_file_options *options,
		       struct error *f)
{
	struct block_limits *limits = &file->block.limits;
	int error = size_now(file, &limits->size);

	if (error)
		return error_set(f, error, "cannot find out the size of %s: %s", file->path,
				 strerror(-error));
	if (!options->raw)
		error = file_check_format(file, limits->size, f);
	if (!error)
		error = block_check_size(limits->size, file->path, f);
	if (error)
		return error;
	limits->block_size = 512;
	limits->memory_alignment = 1;
	limits->discard = limits->write_zeroes = !options->read_only;
	if (file->direct)
		error = direct_limits(file, f);
	if (!error && limits->size % limits->block_size)
		return error_set(f, -EINVAL,
				 "%s has %llu bytes; with direct=on it must be a multiple of %u",
				 file->path, (unsigned long long)limits->size, limits->block_size);
	if (!error)
		topology(file);
	return error;
}

/* A number that a block device says of itself; -1: it does not. */
static long ask_disk(const struct file_block *file, const char *what)
{
	static const char *const places[] = {"queue", "../queue"}; /* a disk's, a partition's */
	char path[96], answer[24] = "";
	struct stat st;
	dev_t disk;
	int fd = -1;
	ssize_t n;

	if (fstat(file->fd, &st))
		return -1;
	disk = st.st_rdev;
	for (unsigned i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/%s", major(disk), minor(disk),
			 places[i], what);
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return -1;
	n = read(fd, answer, sizeof(answer) - 1);
	close(fd);
	return n > 0 ? strtol(answer, NULL, 10) : -1;
}

/*
 * What can be polled in one piece. Until Linux 6.3 a polled request must not wait, so it must not
 * be split either: the kernel would begin it again for ever (io_wq_submit_work, bio_split_rw).
 * Disks split what is too long, and at multiples of their chunk, if they have one.
 */
static uint32_t find_polled_max(const struct file_block *file)
{
	long most = ask_disk(file, "max_sectors_kb"), chunk = ask_disk(file, "chunk_sectors");
	uint32_t max = POLLED_LEAST;

	while (chunk == 0 && max < POLLED_MOST && (long)(2 * max / 1024) <= most)
		max *= 2;
	return max;
}

/* Reads the first block. Returns 0 or a negative errno. */
static int read_polled(struct file_block *file, struct file_ring *ring)
{
	unsigned size = file->block.limits.block_size;
	void *data, *buffer = aligned_alloc(MAX_ALIGNMENT, MAX_ALIGNMENT);
	struct io_uring_sqe *sqe = buffer ? file_ring_entry(ring) : NULL;
	int result = -ENOMEM;

	if (sqe) {
		io_uring_prep_read(sqe, 0, buffer, size, 0);
		file_ring_name_file(ring, sqe);
		file_ring_hand_over(ring);
		while (ring->in_kernel && !file_ring_reap(ring, &data, &result))
			;
	}
	free(buffer);
	return result < 0 ? result : 0;
}

/* Kernels refuse a polled request of a disk that cannot (6.12), or let it interrupt all the same.
 */
static int probe_polling(struct file_block *file, struct error *f)
{
	struct file_ring ring;
	int error;

	if (!file->direct)
		return error_set(f, -EINVAL, "what goes through the page cache cannot be polled");
	error = file_ring_open(&ring, file->fd, -1, 1, FILE_RING_POLLED, f);
	if (error)
		return error;
	file->polled_max = find_polled_max(file);
	error = ask_disk(file, "io_poll") == 0 ? -EOPNOTSUPP : read_polled(file, &ring);
	file_ring_close(&ring);
	if (error == -EOPNOTSUPP || error == -EINVAL)
		return error_set(
			f, -EOPNOTSUPP,
			"the disk of %s has no polled queues: give its driver some (as "
			"nvme.poll_queues=1, virtio_blk.poll_queues=1) or leave out iopoll=on",
			file->path);
	return error ? error_set(f, error, "cannot read %s by polling: %s", file->path,
				 strerror(-error))
		     : 0;
}

/* Whether io_uring may be used here, in this way: better said now than when a driver comes. */
static int probe(struct file_block *file, struct error *f)
{
	struct file_ring ring;
	int error = file_ring_open(&ring, file->fd, -1, 1,
				   file->sqpoll ? FILE_RING_SQPOLL : FILE_RING_PLAIN, f);

	if (error)
		return error;
	file_ring_close(&ring);
	return file->iopoll ? probe_polling(file, f) : 0;
}

int block_file_open(const struct block_file_options *options, struct block **block, struct error *f)
{
	size_t length = strlen(options->path) + 1;
	struct file_block *file = calloc(1, sizeof(*file) + length);
	int error;

	if (!file)
		return error_set(f, -ENOMEM, "no memory for the disk %s", options->path);
	memcpy(file->path, options->path, length);
	file->fd = file->lifetime[0] = file->lifetime[1] = -1;
	file->direct = options->direct;
	file->share = options->share;
	file->wait_ms = options->wait_ms;
	file->block.limits.read_only = options->read_only;
	file->sqpoll = options->sqpoll;
	file->iopoll = options->iopoll;
	file->fixed_buffers = file->block.wants_memory = options->fixed_buffers;
	file->block.ops = &file_ops;
	error = open_path(file, options, f);
	if (!error)
		error = file_lock(file, f);
	if (!error)
		error = find_limits(file, options, f);
	if (!error)
		error = probe(file, f);
	if (!error && pipe2(file->lifetime, O_CLOEXEC))
		error = error_set(f, -errno, "cannot make a pipe for %s: %s", file->path,
				  strerror(errno));
	file->in_memory = !error && is_in_memory(file);
	if (error)
		file_close(&file->block);
	else
		*block = &file->block;
	return error;
}

/* Bytes that others have already added to the file are never cut off again. */
int file_resize(struct block *block, uint64_t size, struct error *f)
{
	struct file_block *file = (struct file_block *)block;
	uint64_t now;
	int error = size_now(file, &now);

	if (error)
		return error_set(f, error, "cannot find out the size of %s: %s", file->path,
				 strerror(-error));
	if (now < size && block->limits.read_only)
		return error_set(f, -EROFS, "%s is served read-only and has only %llu bytes",
				 file->path, (unsigned long long)now);
	if (now < size && !file->regular)
		return error_set(f, -ENOSPC, "%s has only %llu bytes; grow the device first",
				 file->path, (unsigned long long)now);
	if (now < size && ftruncate(file->fd, (off_t)size))
		return error_set(f, -errno, "cannot grow %s to %llu bytes: %s", file->path,
				 (unsigned long long)size, strerror(errno));
	block->limits.size = size;
	return 0;
}

void file_note_end(struct file_block *file)
{
	uint64_t now = 0;

	if (atomic_exchange(&file->logged_end, true))
		return;
	size_now(file, &now);
	log_warning(
		NULL,
		"%s has only %llu bytes by now, and the disk %llu: somebody cut it off; what is "
		"missing reads as zeroes, and is lost",
		file->path, (unsigned long long)now, (unsigned long long)file->block.limits.size);
}

/* Whoever has the disk closed wants to unmount what it is on, perhaps, or detach it. */
static void wait_for_rings(const struct file_block *file)
{
	struct pollfd end = {.fd = file->lifetime[0]};

	while (poll(&end, 1, RINGS_END_MS) < 0 && errno == EINTR)
		;
}

void file_close(struct block *block)
{
	struct file_block *file = (struct file_block *)block;

	if (file->fd >= 0)
		file_unlock(file);
	if (file->lifetime[1] >= 0)
		close(file->lifetime[1]);
	if (file->lifetime_bound)
		wait_for_rings(file);
	if (file->lifetime[0] >= 0)
		close(file->lifetime[0]);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
}
