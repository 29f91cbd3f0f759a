/*
 * Signals one eventfd of a client again and again, as eventfd_signal() does, in one cheap system
 * call: what a queue's notifications (calls) go through.
 */
#ifndef UVDPA_RUNTIME_NOTIFIER_H
#define UVDPA_RUNTIME_NOTIFIER_H

#include <stdbool.h>

struct io_uring;

/* For one thread at a time. */
struct notifier {
	int fd;		       /* -1: none */
	struct io_uring *ring; /* once there was one; NULL: the kernel grants none */
	bool told;	       /* whether the ring tells of its completions there */
};

void notifier_init(struct notifier *notifier);
/* Takes `fd` over and closes the one before. -1: none, and nothing is left to be freed. */
void notifier_bind(struct notifier *notifier, int fd);
void notifier_signal(struct notifier *notifier);

#endif
