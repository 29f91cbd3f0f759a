/* Rings of the file backend: see block_file_ring.h. */
#include "backend/block_file_ring.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SQ_ENTRIES 128
#define SOME	   4  /* entries that are worth a system call */
#define SQ_IDLE_MS 10 /* sqpoll: then the kernel's thread sleeps */
#define THE_FILE   1  /* among registered ones: between two ties, in whichever order they go */

static int refused(int error, struct error *f)
{
	switch (error) {
	case -ENOSYS:
	case -EPERM:
	case -EACCES:
		return error_set(f, error,
				 "io_uring is refused here (%s): allow the io_uring_* calls in the "
				 "container's seccomp profile and set kernel.io_uring_disabled=0",
				 strerror(-error));
	case -EMFILE:
	case -ENFILE:
		return error_set(f, error,
				 "too many open files for another io_uring: raise ulimit -n");
	case -ENOMEM:
		return error_set(f, error,
				 "no memory for another io_uring: raise ulimit -l or free memory");
	}
	return error_set(f, error, "cannot set up io_uring: %s", strerror(-error));
}

static int register_cq_eventfd(struct file_ring *ring, struct error *f)
{
	int error;

	ring->cq_eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->cq_eventfd < 0)
		return refused(-errno, f);
	error = io_uring_register_eventfd(&ring->ring, ring->cq_eventfd);
	return error ? refused(error, f) : 0;
}

#define DEFERRED (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED)

int file_ring_open(struct file_ring *ring, int fd, int lifetime, unsigned depth,
		   enum file_ring_kind kind, struct error *f)
{
	/* Old kernels do not know all flags that help: what is only needed comes last. */
	static const unsigned flags[][3] = {
		[FILE_RING_PLAIN] = {DEFERRED | IORING_SETUP_TASKRUN_FLAG,
				     IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0},
		[FILE_RING_SQPOLL] = {IORING_SETUP_SQPOLL, IORING_SETUP_SQPOLL,
				      IORING_SETUP_SQPOLL},
		[FILE_RING_POLLED] = {IORING_SETUP_IOPOLL, IORING_SETUP_IOPOLL,
				      IORING_SETUP_IOPOLL},
	};
	const int files[] = {lifetime, fd, lifetime};
	int error = 0;

	*ring = (struct file_ring){.kind = kind, .fd = fd, .cq_eventfd = -1};
	for (unsigned i = 0; i < 3; i++) {
		struct io_uring_params params = {
			.flags = flags[kind][i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
			.sq_thread_idle = SQ_IDLE_MS,
			.cq_entries = depth + 2 > 2 * SQ_ENTRIES ? depth + 2 : 2 * SQ_ENTRIES,
		};

		error = io_uring_queue_init_params(SQ_ENTRIES, &ring->ring, &params);
		if (error != -EINVAL)
			break;
	}
	if (error)
		return refused(error, f);
	ring->fixed = io_uring_register_files(&ring->ring, files, 3) == 0;
	ring->disabled = ring->ring.flags & IORING_SETUP_R_DISABLED;
	error = ring->disabled ? register_cq_eventfd(ring, f) : 0;
	if (error)
		file_ring_close(ring);
	return error;
}

int file_ring_fd(const struct file_ring *ring)
{
	return ring->cq_eventfd >= 0 ? ring->cq_eventfd : ring->ring.ring_fd;
}

bool file_ring_needs_poll(const struct file_ring *ring, bool waiting)
{
	/*
	 * The kernel moves the submission queue's head after a batch (io_submit_sqes), when what
	 * was in it may be completed and reaped already. The queue is full until then, and it is
	 * nothing that anybody would be told of. Likewise, entries that it had no memory for.
	 */
	if (!ring->in_kernel && (waiting || ring->refused))
		return true;
	return ring->cq_eventfd >= 0 && (ring->missed || io_uring_cq_ready(&ring->ring));
}

bool file_ring_close(struct file_ring *ring)
{
	/*
	 * Rings end a while after they are closed; the file should not stay busy so long. But what
	 * a ring with an issuer has nobody else may take from it.
	 */
	bool gone = !ring->fixed || !io_uring_unregister_files(&ring->ring);

	io_uring_queue_exit(&ring->ring);
	if (ring->cq_eventfd >= 0)
		close(ring->cq_eventfd);
	return gone;
}

/* The calling thread becomes the issuer. (liburing.so 2.3 does not export io_uring_enable_rings.)
 */
static void enable(struct file_ring *ring)
{
	long error = syscall(__NR_io_uring_register, ring->ring.ring_fd,
			     IORING_REGISTER_ENABLE_RINGS, NULL, 0);

	assert(!error);
	ring->disabled = false;
}

static void mask(struct file_ring *ring)
{
	if (ring->cq_eventfd >= 0)
		io_uring_cq_eventfd_toggle(&ring->ring, false);
}

/* The kernel says that there is something before it looks at the eventfd, and we the other way
 * round.
 */
static void unmask(struct file_ring *ring)
{
	if (ring->cq_eventfd < 0)
		return;
	io_uring_cq_eventfd_toggle(&ring->ring, true);
	atomic_thread_fence(memory_order_seq_cst);
	ring->missed |= *(volatile unsigned *)ring->ring.sq.kflags & IORING_SQ_TASKRUN;
}

/*
 * The kernel refuses only when it is short of memory: what then remains goes with the next kick or
 * poll, and if nothing is with the kernel that would cause one, it is tried for a while.
 */
static void submit(struct file_ring *ring)
{
	for (unsigned tries = 0; ring->unsubmitted && tries < 1000; tries++) {
		int n = io_uring_submit(&ring->ring);

		/*
		 * The kernel's thread takes them when it gets to it. The count is of those that it
		 * has not taken yet, and 0 if it was faster than we are.
		 */
		if (n >= 0 && ring->kind == FILE_RING_SQPOLL)
			n = (int)ring->unsubmitted;
		if (n > 0) {
			assert((unsigned)n <= ring->unsubmitted);
			ring->unsubmitted -= (unsigned)n;
			ring->in_kernel += (unsigned)n;
		} else if (n != -EINTR) {
			if (ring->in_kernel)
				return;
			sched_yield();
		}
	}
}

void file_ring_hand_over(struct file_ring *ring)
{
	if (!ring->unsubmitted)
		return;
	if (ring->disabled)
		enable(ring);
	mask(ring);
	submit(ring);
	ring->refused = ring->unsubmitted;
	unmask(ring);
}

struct io_uring_sqe *file_ring_entry(struct file_ring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);

	if (!sqe) {
		file_ring_hand_over(ring);
		sqe = io_uring_get_sqe(&ring->ring);
	}
	if (sqe)
		ring->unsubmitted++;
	return sqe;
}

void file_ring_name_file(const struct file_ring *ring, struct io_uring_sqe *sqe)
{
	sqe->fd = ring->fixed ? THE_FILE : ring->fd;
	if (ring->fixed)
		sqe->flags |= IOSQE_FIXED_FILE;
}

bool file_ring_is_enough(const struct file_ring *ring)
{
	return ring->unsubmitted >= SOME && ring->unsubmitted * 4 > ring->in_kernel;
}

bool file_ring_reap(struct file_ring *ring, void **data, int *result)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(&ring->ring, &cqe)) {
		ring->missed = false; /* it asked, if there was anything to ask for */
		return false;
	}
	*data = io_uring_cqe_get_data(cqe);
	*result = cqe->res;
	io_uring_cqe_seen(&ring->ring, cqe);
	if (!--ring->in_kernel)
		ring->missed = false;
	return true;
}
