/*
 * A ring of the file backend: an io_uring, what has been prepared for it, and what the kernel has.
 *
 * A polled one (IORING_SETUP_IOPOLL) takes reads and writes that go round the page cache and
 * nothing else; the disk does not interrupt for them, so that somebody has to look.
 */
#ifndef UVDPA_BACKEND_BLOCK_FILE_RING_H
#define UVDPA_BACKEND_BLOCK_FILE_RING_H

#include <liburing.h>
#include <stdbool.h>

#include "util/fault.h"

enum file_ring_kind { FILE_RING_PLAIN, FILE_RING_SQPOLL, FILE_RING_POLLED };

struct file_ring {
	struct io_uring ring;
	enum file_ring_kind kind;
	int fd;		      /* the file's */
	bool fixed;	      /* it is registered as number 0 */
	unsigned unsubmitted; /* entries prepared, not handed over */
	unsigned in_kernel;   /* entries handed over, not reaped */
};

/* The completion queue has room for `depth` entries and one more. 0 or a negative errno, fault
 * filled. */
int file_ring_open(struct file_ring *ring, int fd, unsigned depth, enum file_ring_kind kind,
		   struct fault *fault);
void file_ring_close(struct file_ring *ring);

/* An entry to fill, which names the file; NULL: the queue is full, and the kernel takes nothing
 * now. */
struct io_uring_sqe *file_ring_entry(struct file_ring *ring);
void file_ring_hand_over(struct file_ring *ring);
/* Whether the disk had better begin with what is prepared: see block_file.c. */
bool file_ring_is_enough(const struct file_ring *ring);
/* Takes a completion; `data` is the entry's. Returns false if there is none. */
bool file_ring_reap(struct file_ring *ring, void **data, int *result);

#endif
