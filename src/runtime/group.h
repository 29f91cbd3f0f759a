/*
 * For files of runtime/ only. A worker group: the worker contexts that share a worker thread. A
 * worker context (context.c) is what one device has of a worker; most workers have one worker
 * context only.
 *
 * Theory of operation
 * -------------------
 * Each pass of the worker is the pass of one worker context: so whoever waits at the ticket lock,
 * for whichever device, waits for no more than he would if the device had the worker for itself.
 * Worker contexts that have something to do, or look for it, stand in a circle and are run in turn:
 *
 *     ready(), calls -->  `turn` -> context -> context -> ... -.    one that has run and wants to
 *                           ^____________________________|      sleep leaves the circle
 *
 * `busy` counts those that did not merely look at their last pass; the worker polls while it is 0,
 * and sleeps when the circle is empty. When a worker context looks for work and when it has enough
 * of that is its own poller's affair (runtime/poller.h).
 *
 * From other threads, and from a pass of another worker context, a worker context is put into the
 * circle by group_call: it goes onto a stack (`called`), of which the next pass takes everything.
 * `is_called` keeps it from being there twice. It is cleared before the worker context runs, so a
 * caller who finds it set has told what he wants (`wanted`, `settle_wanted`) before that run looks.
 *
 * Settling (context_attend) takes a runtime's lock, so it comes after the pass with the ticket lock
 * open, when worker contexts may come and go. `attending` keeps who wants to leave from doing so
 * under its hands:
 *
 *     `attending`, then a runtime's lock, then ticket locks
 *
 * Nobody who has a runtime's lock joins or leaves. A runtime's lock may be taken by control for as
 * long as a few system calls take, and the other worker contexts are not to wait for that: while
 * there are any that have something to do the lock is only tried, and the worker context called
 * again if it is not free.
 *
 * Fields marked [ticket lock] are used with the worker's ticket lock, [thread] by the worker's
 * thread only.
 */
#ifndef UVDPA_RUNTIME_GROUP_H
#define UVDPA_RUNTIME_GROUP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/worker.h"
#include "util/error.h"

struct worker_context;

struct worker_group {
	struct worker *worker;
	struct worker_context *
		*contexts; /* by number; NULL: free. Changed with `attending`, too [ticket lock] */
	unsigned room;
	struct worker_context *turn; /* the next one to run; NULL: nobody wants to [ticket lock] */
	unsigned busy;		     /* of those in the circle [ticket lock] */
	struct worker_context *running;		    /* whose pass is under way [thread] */
	bool alone;				    /* it was the only one in the circle [thread] */
	_Atomic(struct worker_context *) called;    /* the top of the stack */
	_Atomic(struct worker_context *) to_attend; /* set in passes; taken with `attending` */
	pthread_mutex_t attending;
};

/* What a worker context's worker group knows of it. */
struct group_member {
	struct worker_group *group; /* NULL: it is in none */
	unsigned number;	    /* among the worker group's worker contexts */
	struct worker_context *next,
		*previous; /* in the circle; NULL: it is not there [ticket lock] */
	bool busy;	   /* counted as such [ticket lock] */
	_Atomic bool is_called;
	struct worker_context *below; /* in the stack */
};

/* Starts a worker of this name. 0 or a negative errno. */
int group_new(const char *name, struct worker_group **group, struct error *err);
/* All worker contexts have left. */
void group_free(struct worker_group *group);

/* From then on the worker context is run. 0 or -ENOMEM. Without a runtime's lock, as group_leave.
 */
int group_join(struct worker_group *group, struct worker_context *context);
/* From its return on it is not run, attended to or called, and no source of it is reported. */
void group_leave(struct worker_context *context);

/* There will be a pass of this worker context that begins after this call. Any thread. */
void group_call(struct worker_context *context);
/* Whether the calling thread is in a pass of this worker context's worker, and if so, in whose. */
bool group_in_pass(const struct worker_context *context, const struct worker_context **whose);

/* As worker_watch and worker_unwatch. Tokens are below GROUP_TOKENS. */
#define GROUP_TOKENS UINT64_C(1024)
int group_watch(struct worker_context *context, int fd, enum worker_trigger trigger,
		uint64_t token);
void group_unwatch(struct worker_context *context, int fd);

#endif
