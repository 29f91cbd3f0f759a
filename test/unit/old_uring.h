/*
 * Has the kernel be one before 6.1, which does not know rings of a single issuer, if that is
 * wanted. The linker puts it in between (--wrap=io_uring_queue_init_params).
 */
#ifndef UVDPA_TEST_OLD_URING_H
#define UVDPA_TEST_OLD_URING_H

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>

#define SINGLE_ISSUER (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)

static bool old_uring;
static unsigned last_ring_flags; /* of those that were made */
static struct io_uring *last_ring;

int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params);

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
				      struct io_uring_params *params)
{
	if (old_uring && params->flags & SINGLE_ISSUER)
		return -EINVAL;
	last_ring_flags = params->flags;
	last_ring = ring;
	return __real_io_uring_queue_init_params(entries, ring, params);
}

#endif
