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
	int tie[2];
	bool tied;    /* a ring that was closed may still have it */
	bool regular; /* not a block device */
	bool direct, sqpoll, iopoll, fixed_buffers;
	uint32_t polled_max; /* iopoll: bytes, a power of two */
	bool in_memory;	     /* its file system has nothing to wait for */
	_Atomic bool told;   /* that not all can be registered, by any of its queues */
	char path[];	     /* for messages */
};

extern const struct block_ops file_ops;

/* The resize and close operations (block_file_open.c). */
int file_resize(struct block *block, uint64_t size, struct fault *fault);
void file_close(struct block *block);

#endif
