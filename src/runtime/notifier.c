/*
 * Signals of one eventfd: see notifier.h.
 *
 * Theory of operation
 * -------------------
 * As with eventfd_signal(), the kernel gives the signal, since a write of ours could be made to
 * wait by the client: each completion of an io_uring is told to the eventfd that is registered with
 * it, and the request that does nothing completes at once. One ring of two entries per notifier, so
 * that the eventfd need not be named anew each time; it serves the next eventfd, too, if that comes
 * at once.
 */
#include "runtime/notifier.h"

#include <liburing.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/eventfd.h"

#define ENTRIES 2

void notifier_init(struct notifier *notifier)
{
	*notifier = (struct notifier){.fd = -1};
}

static struct io_uring *make_ring(void)
{
	struct io_uring *ring = calloc(1, sizeof(*ring));

	if (ring && io_uring_queue_init(ENTRIES, ring, 0) == 0)
		return ring;
	free(ring);
	return NULL;
}

static void unbind(struct notifier *notifier)
{
	if (notifier->told)
		io_uring_unregister_eventfd(notifier->ring);
	notifier->told = false;
	if (notifier->fd >= 0)
		close(notifier->fd);
	notifier->fd = -1;
}

static void drop_ring(struct notifier *notifier)
{
	if (notifier->ring)
		io_uring_queue_exit(notifier->ring);
	free(notifier->ring);
	notifier->ring = NULL;
}

void notifier_bind(struct notifier *notifier, int fd)
{
	unbind(notifier);
	notifier->fd = fd;
	if (fd < 0) {
		drop_ring(notifier);
		return;
	}
	if (!notifier->ring)
		notifier->ring = make_ring();
	notifier->told = notifier->ring && io_uring_register_eventfd(notifier->ring, fd) == 0;
}

/* False: the kernel did not do it (it may have no memory). */
static bool complete_nothing(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	unsigned done;

	if (sqe)
		io_uring_prep_nop(sqe);
	if (io_uring_submit(ring) < 1)
		return false;
	done = io_uring_cq_ready(ring);
	io_uring_cq_advance(ring, done);
	return done > 0;
}

void notifier_signal(struct notifier *notifier)
{
	if (!notifier->told || !complete_nothing(notifier->ring))
		eventfd_signal(notifier->fd);
}
