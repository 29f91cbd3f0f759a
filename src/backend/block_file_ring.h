/*
 * A ring of the file backend: an io_uring, what has been prepared for it, and what the kernel has.
 *
 * Whoever first hands something over to a plain one is its issuer, and from then on alone hands
 * over and reaps (IORING_SETUP_SINGLE_ISSUER). In return, completions wait until he asks for them
 * (DEFER_TASKRUN) and do not interrupt him wherever in the kernel he is. Linux before 6.1 has no
 * such rings; there it is one that anybody may use.
 *
 * That something waits to be asked for makes such a ring's own fd readable, but wakes nobody who
 * sleeps for it (io_req_local_work_add wakes no poll_wq). What does is a registered eventfd. It
 * is never read: each ring is an edge. While entries are handed over it is masked, since what is
 * done by then is reaped at once.
 *
 * A polled one (IORING_SETUP_IOPOLL) takes reads and writes that go round the page cache and
 * nothing else; the disk does not interrupt for them, so that somebody has to look.
 */
#ifndef UVDPA_BACKEND_BLOCK_FILE_RING_H
#define UVDPA_BACKEND_BLOCK_FILE_RING_H

#include <liburing.h>
#include <stdbool.h>

#include "util/error.h"

enum file_ring_kind { FILE_RING_PLAIN, FILE_RING_SQPOLL, FILE_RING_POLLED };

struct file_ring {
	struct io_uring ring;
	enum file_ring_kind kind;
	int fd;		      /* the file's */
	bool fixed;	      /* it is registered */
	bool disabled;	      /* nobody is its issuer yet */
	bool refused;	      /* the kernel did not take all that was handed over last */
	bool missed;	      /* something may have come while the eventfd was masked */
	int cq_eventfd;	      /* -1: the ring's own fd will do */
	unsigned unsubmitted; /* entries prepared, not handed over */
	unsigned in_kernel;   /* entries handed over, not reaped */
};

/*
 * The completion queue has room for `depth` entries and one more. As long as the kernel has the
 * file for this ring it has `lifetime`, too (-1: nothing). 0 or a negative errno, fault filled.
 */
int file_ring_open(struct file_ring *ring, int fd, int lifetime, unsigned depth,
		   enum file_ring_kind kind, struct error *err);
/* What wakes who waits for completions. */
int file_ring_fd(const struct file_ring *ring);
/*
 * There are completions that the eventfd will not tell of, or something is to be handed over
 * (`waiting`: what found no entry free) and no completion will come that could remind of it.
 */
bool file_ring_needs_poll(const struct file_ring *ring, bool waiting);
/* By any thread. False: the kernel will let go of the file a while later. */
bool file_ring_close(struct file_ring *ring);

/* An entry to fill; NULL: the queue is full, and the kernel takes nothing now. */
struct io_uring_sqe *file_ring_entry(struct file_ring *ring);
/* Has an entry that is filled concern the file. */
void file_ring_name_file(const struct file_ring *ring, struct io_uring_sqe *sqe);
void file_ring_hand_over(struct file_ring *ring);
/* Whether the disk had better begin with what is prepared: see block_file.c. */
bool file_ring_is_enough(const struct file_ring *ring);
/* Takes a completion; `data` is the entry's. Returns false if there is none. */
bool file_ring_reap(struct file_ring *ring, void **data, int *result);

#endif
