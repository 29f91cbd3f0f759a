/*
 * For files of runtime/ only. A crew: the lanes that share a worker thread. A lane (lane.c) is what
 * one device has of a worker; most workers have one lane only.
 *
 * Theory of operation
 * -------------------
 * Each pass of the worker is the pass of one lane: so whoever waits at the gate, for whichever
 * device, waits for no more than he would if the device had the worker for itself. Lanes that have
 * something to do, or look for it, stand in a circle and are run in turn:
 *
 *     ready(), calls -->  `turn` -> lane -> lane -> ... -.      a lane that has run and wants to
 *                           ^____________________________|      sleep leaves the circle
 *
 * `busy` counts those that did not merely look at their last pass; the worker polls while it is 0,
 * and sleeps when the circle is empty. When a lane looks for work and when it has enough of that is
 * its own poller's affair (runtime/poller.h).
 *
 * From other threads, and from a pass of another lane, a lane is put into the circle by crew_call:
 * it goes onto a stack (`called`), of which the next pass takes everything. `is_called` keeps it
 * from being there twice. It is cleared before the lane runs, so a caller who finds it set has told
 * what he wants (`wanted`, `settle_wanted`) before that run looks.
 *
 * Settling (lane_attend) takes a runtime's lock, so it comes after the pass with the gate open,
 * when lanes may come and go. `attending` keeps who wants to leave from doing so under its hands:
 *
 *     `attending`, then a runtime's lock, then gates
 *
 * Nobody who has a runtime's lock joins or leaves. A runtime's lock may be taken by control for as
 * long as a few system calls take, and the other lanes are not to wait for that: while there are
 * any that have something to do the lock is only tried, and the lane called again if it is not
 * free.
 *
 * Fields marked [gate] are used with the worker's gate, [thread] by the worker's thread only.
 */
#ifndef UVDPA_RUNTIME_CREW_H
#define UVDPA_RUNTIME_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "loop/worker.h"
#include "util/fault.h"

struct lane;

struct crew {
	struct worker *worker;
	struct lane **lanes; /* by number; NULL: free. Changed with `attending`, too [gate] */
	unsigned places;
	struct lane *turn;		  /* the next one to run; NULL: nobody wants to [gate] */
	unsigned busy;			  /* of those in the circle [gate] */
	struct lane *running;		  /* whose pass is under way [thread] */
	bool alone;			  /* it was the only one in the circle [thread] */
	_Atomic(struct lane *) called;	  /* the top of the stack */
	_Atomic(struct lane *) to_attend; /* set in passes; taken with `attending` */
	pthread_mutex_t attending;
};

/* What a lane's crew knows of it. */
struct crew_place {
	struct crew *crew;	      /* NULL: it is in none */
	unsigned number;	      /* among the crew's lanes */
	struct lane *next, *previous; /* in the circle; NULL: it is not there [gate] */
	bool busy;		      /* counted as such [gate] */
	_Atomic bool is_called;
	struct lane *below; /* in the stack */
};

/* Starts a worker of this name. 0 or a negative errno. */
int crew_new(const char *name, struct crew **crew, struct fault *fault);
/* All lanes have left. */
void crew_free(struct crew *crew);

/* From then on the lane is run. 0 or -ENOMEM. Without a runtime's lock, as crew_leave. */
int crew_join(struct crew *crew, struct lane *lane);
/* From its return on it is not run, attended to or called, and no source of it is reported. */
void crew_leave(struct lane *lane);

/* There will be a pass of this lane that begins after this call. Any thread. */
void crew_call(struct lane *lane);
/* Whether the calling thread is in a pass of this lane's worker, and if so, in whose. */
bool crew_in_pass(const struct lane *lane, const struct lane **whose);

/* As worker_watch and worker_unwatch. Tokens are below CREW_TOKENS. */
#define CREW_TOKENS UINT64_C(1024)
int crew_watch(struct lane *lane, int fd, enum worker_trigger trigger, uint64_t token);
void crew_unwatch(struct lane *lane, int fd);

#endif
