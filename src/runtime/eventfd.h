/* Eventfds that somebody else shares with us: which one is it, and a signal that never blocks. */
#ifndef UVDPA_RUNTIME_EVENTFD_H
#define UVDPA_RUNTIME_EVENTFD_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether it is an eventfd: 0, or -EBADF, or -EINVAL: no, or one that is at 2^64 - 1 (kernel:
 * vhost_poll_start). Much cheaper than to identify it.
 */
int eventfd_check(int fd);

/*
 * Returns 0 and a number that all descriptors of the same eventfd share while one is open, or
 * an error of eventfd_check().
 */
int eventfd_identify(int fd, uint64_t *id);

/* Whether two descriptors are the same eventfd; false where that cannot be found out. */
bool eventfd_same(int a, int b);

/*
 * Adds 1, as the kernel's eventfd_signal does: if the counter is full, it stays full, and nobody
 * waits. -1 is allowed and does nothing. Any thread. For those that are signalled often:
 * runtime/notifier.h.
 */
void eventfd_signal(int fd);

/* Takes what signals need, a descriptor of the process, now and not with the first of them. */
void eventfd_prepare(void);

#endif
