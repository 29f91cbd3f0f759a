/*
 * A worker: one thread that sleeps in epoll and makes passes.
 *
 * Theory of operation
 * -------------------
 *      +--> collect: epoll_wait                        ticket lock open
 *      |      |        sleeps here, and only here
 *      |      v
 *      |    ready() for each fd, pass()                ticket lock held
 *      |      |
 *      |      v
 *      +--- after()                                    ticket lock open
 *
 * All that a pass touches may be touched by other threads through
 * worker_enter/worker_leave (or worker_call): they run between two passes, in
 * the order they came (loop/tlock.h). While the worker sleeps the ticket lock is open,
 * so they run at once, on their own thread, without waking anybody.
 *
 * While pass() finds work the worker does not sleep but still collects every
 * few passes, so that a busy source cannot hide the others. A wake-up sets `woken`, and writes
 * the worker's eventfd only if it sleeps or is about to:
 *
 *     worker: sleeping = true;  then looks at woken, then sleeps
 *     waker:  woken = true;     then looks at sleeping, then writes
 *
 * One of the two sees the other. Sources are named by tokens, not pointers: an
 * event that was already collected when its source was removed is then merely
 * spurious. What the tokens mean, and the rest, is the owner's.
 *
 * A pass should never block. Where it might all the same (a write to an eventfd
 * that a client fills up at the wrong kind), it does not for ever: who waits
 * for the ticket lock for a second sends the worker a signal, SIGURG, whose handler does
 * nothing, so that the system call ends with EINTR.
 */
#ifndef UVDPA_LOOP_WORKER_H
#define UVDPA_LOOP_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct worker;

/* How a worker goes on after a pass. */
enum worker_next {
	WORKER_SLEEP, /* until a source has something, or somebody wakes it */
	WORKER_AGAIN, /* with another pass: there is work */
	WORKER_POLL,  /* likewise, but only to see whether work has come */
};

/* All called on the worker's thread. */
struct worker_ops {
	/* The source of this token has something. Ticket lock held; a pass follows. */
	void (*ready)(void *arg, uint64_t token);
	/* One bounded piece of work. Ticket lock held. */
	enum worker_next (*pass)(void *arg);
	/* After each pass, ticket lock open: may take locks, and enter ticket locks. */
	void (*after)(void *arg);
};

/* EDGE: one ready() per change, the fd is never read. LEVEL: as long as it is readable. */
enum worker_trigger { WORKER_EDGE, WORKER_LEVEL };

/* Starts the thread. `name` shows in ps -L (15 bytes are kept). 0 or a negative errno. */
int worker_new(const char *name, const struct worker_ops *ops, void *arg, struct worker **worker,
	       struct error *err);
/* Stops the thread after the pass it is in. Not from its own thread. */
void worker_free(struct worker *worker);
/*
 * Has the thread run on one processor only. Returns 0 or a negative errno: there is none of this
 * number for us.
 */
int worker_pin(struct worker *worker, unsigned cpu);

/* From any thread. An fd already readable is reported at once. 0 or a negative errno. */
int worker_watch(struct worker *worker, int fd, enum worker_trigger trigger, uint64_t token);
/* Before the fd is closed: an epoll set keeps files that somebody else holds open. */
void worker_unwatch(struct worker *worker, int fd);

/* There will be a pass that begins after this call. From any thread. */
void worker_wake(struct worker *worker);

/* Between these no pass runs. Not from within a pass, and not twice by one thread. */
void worker_enter(struct worker *worker);
/* The same, if it would not have to wait. Also from within another worker's pass. */
bool worker_try_enter(struct worker *worker);
void worker_leave(struct worker *worker);
/* Runs fn(arg) between two passes, on the calling thread. */
void worker_call(struct worker *worker, void (*fn)(void *arg), void *arg);

/* Whether the calling thread is this worker's. */
bool worker_is_current(const struct worker *worker);
/* Whether it is, and in ready() or pass(): inside its ticket lock. */
bool worker_in_pass(const struct worker *worker);

#endif
