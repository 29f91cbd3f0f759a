/* What the two halves of the file backend share: opening (block_file_open.c), I/O (block_file.c).
 */
#ifndef UVDPA_BACKEND_BLOCK_FILE_H
#define UVDPA_BACKEND_BLOCK_FILE_H

#include "backend/block.h"

struct file_block {
	struct block block;
	int fd;
	/*
	 * A pipe, the write end of which the rings have, too: when nobody is left who has that,
	 * nobody but we has the file.
	 */
	int lifetime[2];
	bool lifetime_bound; /* a ring that was closed may still have it */
	bool regular;	     /* not a block device */
	bool direct, sqpoll, iopoll, fixed_buffers;
	uint32_t direct_size;	 /* direct: what the kernel takes is multiples of it */
	bool share;		 /* other servers may have the file open, too */
	uint32_t wait_ms;	 /* for somebody else's locks to go */
	uint32_t polled_max;	 /* iopoll: bytes, a power of two */
	bool in_memory;		 /* its file system has nothing to wait for */
	_Atomic bool logged_end; /* that it is shorter than the disk */
	_Atomic bool logged;	 /* that not all can be registered, by any of its queues */
	char path[];		 /* for messages */
};

extern const struct block_ops file_ops;

/* The resize and close operations (block_file_open.c). */
int file_resize(struct block *block, uint64_t size, struct error *err);
void file_close(struct block *block);
/* A read came to the end of the file within the disk: says so, once. Any worker. */
void file_note_end(struct file_block *file);

/* block_file_lock.c. All but the last two are for opening; file->share and read_only are set. */

/*
 * Opens a block device, which nobody (a mounted file system, RAID, another writer) may have to
 * themselves. Returns the fd, or -1 with errno: EBUSY if somebody has.
 */
int file_open_device(struct file_block *file, int flags);
/* Takes the locks that say what is done with the file. -EBUSY with the error filled: others have
 * it.
 */
int file_lock(struct file_block *file, struct error *err);
/* Gives up all locks: the last request is done. The kernel may keep the file open for longer. */
void file_unlock(const struct file_block *file);
/* The activate and inactivate operations. */
int file_activate(struct block *block, struct error *err);
void file_inactivate(struct block *block);

/* block_file_probe.c: 0, or -EINVAL with the error filled: it is not a raw image. `size`: bytes. */
int file_check_format(const struct file_block *file, uint64_t size, struct error *err);

#endif
