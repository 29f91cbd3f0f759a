/*
 * Who else has an image: locks on it that other programs keep to, too.
 *
 * Theory of operation
 * -------------------
 * QEMU says what it does with a raw image, and what others must not do meanwhile, by locks of open
 * file descriptions on single bytes of it (block/file-posix.c, raw_apply_lock_bytes and
 * raw_check_lock_bytes); that there are such bytes in the file does not matter. Permission i is
 *
 *     held          a read lock on byte 100 + i
 *     not shared    a read lock on byte 200 + i: nobody else may hold it
 *
 * Whoever opens an image first takes its own locks, and then looks whether somebody's are against
 * that. Of two who come at once both may be refused, never both served.
 *
 * With share=on several servers may have the image open, so that a device can move from one to the
 * other: they share the permission to write. Only one of them works at a time: that one has a write
 * lock on byte TURN, and with it shares with nobody, from when its first queue starts until none
 * runs any more (suspended, stopped, reset). So the lock goes where the state goes. A server that
 * comes while another has the turn knows by that byte whose the bytes "not shared" are: of those
 * who do not share with others none could be there beside it.
 *
 * The locks are those of the file description that the rings do I/O on, on purpose. When a server
 * is killed the kernel keeps that one until the requests that were with it have ended, and it is
 * only then that the next server may begin; it waits for that a while (wait_ms).
 */
#include "backend/block_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "util/log.h"

/* QEMU's RAW_LOCK_PERM_BASE and RAW_LOCK_SHARED_BASE, and BLK_PERM_* by number. */
#define PERM_BASE     100
#define UNSHARED_BASE 200
enum { PERM_READ, PERM_WRITE, PERM_WRITE_UNCHANGED, PERM_RESIZE, PERM_COUNT };
/* Ours; QEMU looks at no such byte. */
#define TURN 300

#define BIT(n)	 (1u << (n))
#define UNSHARED (BIT(PERM_WRITE) | BIT(PERM_RESIZE))

#define TRY_MS 5

/* 0 or a negative errno; -EAGAIN: somebody's lock is against it. */
static int set_lock(int fd, short type, off_t byte)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
		return 0;
	return errno == EACCES ? -EAGAIN : -errno;
}

/* Whether somebody else has a lock of any kind on this byte. */
static bool is_locked(int fd, off_t byte)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};

	return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void file_unlock(const struct file_block *file)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET}; /* to the end */

	fcntl(file->fd, F_OFD_SETLK, &all);
}

static unsigned permissions(const struct file_block *file)
{
	return file->block.limits.read_only ? BIT(PERM_READ) : BIT(PERM_READ) | BIT(PERM_WRITE);
}

static unsigned unshared(const struct file_block *file)
{
	return file->share ? 0 : UNSHARED;
}

/* Whether somebody's lock at `base` is about one of these permissions. */
static bool any_locked(int fd, unsigned mask, off_t base)
{
	for (int i = 0; i < PERM_COUNT; i++)
		if (mask & BIT(i) && is_locked(fd, base + i))
			return true;
	return false;
}

static int lock_bytes(int fd, unsigned mask, off_t base)
{
	int error = 0;

	for (int i = 0; i < PERM_COUNT && !error; i++)
		if (mask & BIT(i))
			error = set_lock(fd, F_RDLCK, base + i);
	return error;
}

/* Whether others do not share what we want; who has the turn does so with the likes of us. */
static bool is_unshared(const struct file_block *file, unsigned want)
{
	return any_locked(file->fd, want, UNSHARED_BASE) &&
	       !(file->share && is_locked(file->fd, TURN));
}

/* 0; -EAGAIN: others are in the way; another errno: such files cannot be locked. */
static int try_lock(const struct file_block *file)
{
	unsigned want = permissions(file), not_beside = unshared(file);
	int error = lock_bytes(file->fd, want, PERM_BASE);

	if (!error)
		error = lock_bytes(file->fd, not_beside, UNSHARED_BASE);
	if (!error && (is_unshared(file, want) || any_locked(file->fd, not_beside, PERM_BASE)))
		error = -EAGAIN;
	if (error)
		file_unlock(file);
	return error;
}

/* Sleeps a kind. Returns false when `ms` are over. */
static bool wait_a_event(unsigned *waited, unsigned ms)
{
	const struct timespec kind = {.tv_nsec = TRY_MS * 1000000};

	if (*waited >= ms)
		return false;
	nanosleep(&kind, NULL);
	*waited += TRY_MS;
	return true;
}

int file_lock(struct file_block *file, struct error *f)
{
	unsigned waited = 0;
	int error;

	do {
		error = try_lock(file);
	} while (error == -EAGAIN && wait_a_event(&waited, file->wait_ms));
	if (error == -EAGAIN)
		return error_set(
			f, -EBUSY,
			"%s is in use: another device or program has it (a server, QEMU); stop "
			"that one, or say share=on in both servers if a device is to move",
			file->path);
	if (error)
		log_warning(NULL, "%s cannot be locked (%s): see to it that nobody else uses it",
			    file->path, strerror(-error));
	return 0;
}

int file_open_device(struct file_block *file, int flags)
{
	/* a writer alone keeps the kernel's own claim on the disk; others only look at it */
	bool keep = !file->share && !file->block.limits.read_only;
	unsigned waited = 0;
	int fd;

	if (file->share && file->block.limits.read_only)
		return open(file->path, flags);
	do {
		fd = open(file->path, flags | O_EXCL);
	} while (fd < 0 && errno == EBUSY && wait_a_event(&waited, file->wait_ms));
	if (fd < 0 || keep)
		return fd;
	close(fd);
	return open(file->path, flags);
}

/*
 * A server that was killed under load has its turn until the kernel is done with it, which takes
 * longer than half a second on a busy machine, and a start that gives up breaks the device. Workers
 * of the device wait meanwhile.
 */
int file_activate(struct block *block, struct error *f)
{
	struct file_block *file = (struct file_block *)block;
	unsigned waited = 0;
	int error;

	if (!file->share || block->limits.read_only)
		return 0;
	do {
		error = set_lock(file->fd, F_WRLCK, TURN);
	} while (error == -EAGAIN && wait_a_event(&waited, file->wait_ms));
	if (error != -EAGAIN) { /* of files that cannot be locked the log has spoken */
		lock_bytes(file->fd, UNSHARED, UNSHARED_BASE);
		return 0;
	}
	return error_set(f, -EBUSY,
			 "%s is in use by a device that runs; suspend or stop that one first",
			 file->path);
}

void file_inactivate(struct block *block)
{
	struct file_block *file = (struct file_block *)block;

	if (!file->share || block->limits.read_only)
		return;
	set_lock(file->fd, F_UNLCK, UNSHARED_BASE + PERM_WRITE);
	set_lock(file->fd, F_UNLCK, UNSHARED_BASE + PERM_RESIZE);
	set_lock(file->fd, F_UNLCK, TURN);
}
