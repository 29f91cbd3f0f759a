/* Rings of the file backend: see block_file_ring.h. */
#include "backend/block_file_ring.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <string.h>

#define SQ_ENTRIES 128
#define SOME	   4  /* entries that are worth a system call */
#define SQ_IDLE_MS 10 /* sqpoll: then the kernel's thread sleeps */

static int refused(int error, struct fault *f)
{
	switch (error) {
	case -ENOSYS:
	case -EPERM:
	case -EACCES:
		return fault(f, error,
			     "io_uring is refused here (%s): allow the io_uring_* calls in the "
			     "container's seccomp profile and set kernel.io_uring_disabled=0",
			     strerror(-error));
	case -EMFILE:
	case -ENFILE:
		return fault(f, error, "too many open files for another io_uring: raise ulimit -n");
	case -ENOMEM:
		return fault(f, error,
			     "no memory for another io_uring: raise ulimit -l or free memory");
	}
	return fault(f, error, "cannot set up io_uring: %s", strerror(-error));
}

int file_ring_open(struct file_ring *ring, int fd, unsigned depth, enum file_ring_kind kind,
		   struct fault *f)
{
	/* Old kernels do not know all flags that help: what is only needed comes second. */
	static const unsigned flags[][2] = {
		[FILE_RING_PLAIN] = {IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG, 0},
		[FILE_RING_SQPOLL] = {IORING_SETUP_SQPOLL, IORING_SETUP_SQPOLL},
		[FILE_RING_POLLED] = {IORING_SETUP_IOPOLL, IORING_SETUP_IOPOLL},
	};
	int error = 0;

	*ring = (struct file_ring){.kind = kind, .fd = fd};
	for (unsigned i = 0; i < 2; i++) {
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
	ring->fixed = io_uring_register_files(&ring->ring, &fd, 1) == 0;
	return 0;
}

void file_ring_close(struct file_ring *ring)
{
	/* Rings end a while after they are closed; the file must not stay busy so long. */
	if (ring->fixed)
		io_uring_unregister_files(&ring->ring);
	io_uring_queue_exit(&ring->ring);
}

/*
 * The kernel refuses only when it is short of memory: what then remains goes with the next kick or
 * poll, and if nothing is with the kernel that would cause one, it is tried for a while.
 */
void file_ring_hand_over(struct file_ring *ring)
{
	for (unsigned tries = 0; ring->unsubmitted && tries < 1000; tries++) {
		int n = io_uring_submit(&ring->ring);

		/* the kernel's thread takes them when it gets to it: the count is of all it has not
		 */
		if (n > 0 && ring->kind == FILE_RING_SQPOLL)
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

bool file_ring_is_enough(const struct file_ring *ring)
{
	return ring->unsubmitted >= SOME && ring->unsubmitted * 4 > ring->in_kernel;
}

bool file_ring_reap(struct file_ring *ring, void **data, int *result)
{
	struct io_uring_cqe *cqe;

	if (io_uring_peek_cqe(&ring->ring, &cqe))
		return false;
	*data = io_uring_cqe_get_data(cqe);
	*result = cqe->res;
	io_uring_cqe_seen(&ring->ring, cqe);
	ring->in_kernel--;
	return true;
}
