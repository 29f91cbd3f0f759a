/* Whether the kernel gives us io_uring: a container's may not, and an emulator of programs has
 * none. */
#ifndef UVDPA_TEST_URING_H
#define UVDPA_TEST_URING_H

#include <liburing.h>
#include <stdbool.h>

static inline bool uring_is_here(void)
{
	struct io_uring ring;

	if (io_uring_queue_init(2, &ring, 0) < 0)
		return false;
	io_uring_queue_exit(&ring);
	return true;
}

#endif
