/* What runtime.c, context.c, group.c, tracer.c, binding.c and owner.c share. */
#ifndef UVDPA_RUNTIME_RUNTIME_INTERNAL_H
#define UVDPA_RUNTIME_RUNTIME_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "device/device.h"
#include "device/limits.h"
#include "runtime/group.h"
#include "runtime/notifier.h"
#include "runtime/poller.h"
#include "runtime/tracer.h"
#include "runtime/runtime.h"
#include "loop/worker.h"

/* What a device has of a worker, and what its queues want. Bit q: queue q. */
struct worker_context {
	struct runtime *runtime;
	struct worker *worker;	    /* its worker group's */
	struct group_member member; /* the worker group's */
	_Atomic uint64_t wanted;    /* passes asked for by others; any thread */
	uint64_t kicked;	    /* kicks seen since the last pass; the worker's thread only */
	uint64_t active;	    /* queues with work to do; likewise */
	uint64_t rest;		    /* of these, who did not come in the last pass; likewise */
	_Atomic uint64_t polled;    /* queues that nobody kicks: looked at whenever `tick` fires */
	int tick;		    /* timerfd, which runs while there are any */
	struct context_record *record; /* what it has seen, for the trace; NULL: none is kept */
	struct poller poller;	       /* likewise */
};

/* complaint.c: what the log has heard of a queue's failures; its worker's. */
struct complaint {
	uint64_t told;	  /* how many there were then; 0: nothing was told */
	uint64_t told_ns; /* when */
};

/*
 * Fields marked [lock] are read and written with the lock held; those marked [lock+ticket lock] are
 * written with both the lock and the queue's ticket lock, and read with either.
 */
struct runtime {
	struct device_runtime base;
	pthread_mutex_t lock;
	struct device *device;
	struct worker_context *contexts;
	unsigned context_count;
	char *worker_name;     /* of its only worker context's worker group, which is on the worker
				* registry; NULL: worker groups are ours
				*/
	struct tracer *tracer; /* NULL: no trace is kept */
	struct runtime_after *after; /* to be called at unlock, in this order [lock] */
	unsigned excluded;	     /* depth of exclude: all ticket locks are ours [lock] */
	_Atomic bool settle_wanted;  /* device_settle is due */
	_Atomic enum device_state published_state;
	_Atomic bool deadline_due; /* device_deadline is due */
	char *backend;		   /* NULL: unknown */
	int timer;		   /* timerfd, watched by worker context 0 */

	int kick[DEVICE_MAX_QUEUES];	/* -1: none [lock] */
	int poll_fd[DEVICE_MAX_QUEUES]; /* what worker contexts watch for models; -1: none [lock] */
	struct complaint complaints[DEVICE_MAX_QUEUES];
	struct notifier call[DEVICE_MAX_QUEUES]; /* [lock+ticket lock] */
	int config_call;			 /* [lock] */

	pthread_cond_t reset_over;
	bool ending;	 /* the last reset was begun [lock] */
	bool reset_done; /* [lock] */
	int reset_result;

	pthread_mutex_t owner_lock;   /* around the rest, see owner.c */
	char owner[96];		      /* "": nobody */
	enum owner_state owner_state; /* of the owner; never OWNER_ASKED */
	enum owner_state (*owner_look)(void *arg);
	void *owner_arg;
	struct owner_wait *owner_waits;
	uint64_t owner_asked,
		owner_heard; /* questions that exports put to themselves, and answers */
};

/* In a pass: tells the log, at times, of requests of a queue that failed. */
void complaint_look(struct runtime *runtime, unsigned queue);

/* context.c: the passes. For its worker group: */
void context_ready(struct worker_context *context, uint64_t token);
enum worker_next context_pass(struct worker_context *context);
/* In a pass: whether there is something for context_attend. */
bool context_wants_attention(const struct worker_context *context);
/*
 * After a pass, with the ticket lock open: does for the device what needs its lock. False: somebody
 * has it, and we are not to `wait`.
 */
bool context_attend(struct worker_context *context, bool wait);
/* For others: */
struct worker_context *runtime_context(struct runtime *runtime, unsigned queue);
uint64_t context_token_kick(unsigned queue);
uint64_t context_token_poll(unsigned queue);
#define CONTEXT_TOKEN_TIMER UINT64_C(1000)
#define CONTEXT_TOKEN_TICK  UINT64_C(1001)
/* There will be a pass over this queue. Any thread. */
void context_want(struct runtime *runtime, unsigned queue);
/* device_settle will be called after the pass in progress, or soon. Any thread. */
void context_settle(struct runtime *runtime);
/* As if in a pass of this worker context until the end, if that is possible without waiting. */
bool context_borrow_begin(struct worker_context *context);
void context_borrow_end(struct worker_context *context, unsigned queue);
/* Opens and closes the ticket locks of all worker contexts; nests. Control only. */
void runtime_exclude_begin(struct runtime *runtime);
void runtime_exclude_end(struct runtime *runtime);

/* As runtime_lock, if nobody has it. */
bool runtime_try_lock(struct runtime *runtime);

/* binding.c: eventfds. */
void binding_init(struct runtime *runtime);
void binding_forget(struct runtime *runtime, bool everything);
void binding_watch_queue(struct runtime *runtime, unsigned queue, bool started);

#endif
