/*
 * A runner runs one device: its worker threads, eventfds, deadline timer and
 * the lock that makes "control" (device/device.h) one caller at a time. Exports
 * and the control socket reach the device only through it. Devices can share a
 * worker (runtime/crew.h); to their callers that makes no difference.
 *
 * Lock order: the runner's lock, then a worker's gate. Workers never take the
 * runner's lock inside a pass; what they found is settled after it.
 */
#ifndef UVDPA_HOST_RUNNER_H
#define UVDPA_HOST_RUNNER_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "runtime/trace.h"
#include "util/fault.h"

struct runner;

struct runner_options {
	struct device_options device;
	unsigned workers; /* worker threads; queue q belongs to worker q % workers. 0: one */
	/* NULL, or the one worker thread of all queues, shared by all devices here that name it. */
	const char *worker;
	bool trace;	     /* keep one */
	const char *backend; /* what the device stands on, in words; copied. NULL: unknown */
	/* How long a worker looks for more work itself before it sleeps, at most; 0: not at all. */
	unsigned poll_us;
	/* Worker i runs on processor cpu + i only. Who share one have to agree, or leave it open.
	 */
	bool pinned;
	unsigned cpu;
};

/* Takes the model over. Returns 0 or a negative errno with the fault filled. */
int runner_new(const struct runner_options *options, struct model *model, struct runner **runner,
	       struct fault *fault);
/*
 * The end of a device comes in steps, so that many can end at the same time: runner_end begins its
 * reset and returns, runner_wait_end waits for it (bounded by the device's deadline); until
 * runner_free it can be looked at. Each does what was left out before it.
 */
void runner_end(struct runner *runner);
void runner_wait_end(struct runner *runner);
/* Resets the device (bounded by its deadline), stops the threads, frees everything. */
void runner_free(struct runner *runner);

/* Control: between these, the caller may use every device function that is not [worker]. */
struct device *runner_lock(struct runner *runner);
void runner_unlock(struct runner *runner);
/* The device's state when the lock was last given back. Any thread, without waiting. */
enum device_state runner_published_state(const struct runner *runner);
/*
 * Has `after->run` called once, by the thread that holds the lock now, when it has let go of it:
 * for what takes system calls, as an answer to a client does. With the lock held. `after` stays
 * the caller's; it must not be freed or handed in again before `run` is called.
 */
struct runner_after {
	void (*run)(struct runner_after *after);
	struct runner_after *next; /* the runner's */
};
void runner_after(struct runner *runner, struct runner_after *after);
/* The device without the lock: for facts that never change (name, device id). */
const struct device *runner_device(const struct runner *runner);

/* The name of the worker that it may share with others; NULL: its workers are its own. */
const char *runner_worker(const struct runner *runner);

/* What the device stands on, in words; NULL: unknown. Never changes. */
const char *runner_backend(const struct runner *runner);

/* Milliseconds of the monotonic clock, as device verbs want them. */
uint64_t runner_now_ms(void);
/* Nanoseconds of the same clock, as traces have them. */
uint64_t runner_now_ns(void);

/*
 * One client at a time, over all exports.
 *
 * A client that closes its device, or is killed, is gone for everybody whom it tells so. Its export
 * hears of it a moment later, and then the device has to be reset, which takes what its backend
 * takes. Who comes in that time is not second: it waits, as it would for Linux's close(). So
 * exports tell what they know of their clients, and ask before they claim.
 */
enum claim_news {
	CLAIM_STAYS,
	CLAIM_ASKED,  /* the export has to find out: runner_claim_answered follows */
	CLAIM_LEAVES, /* the client is gone, and the device will be free */
	CLAIM_KEPT,   /* the client is gone, and the backend keeps its requests: who knows */
};

struct claimant {
	const char *who; /* "vhost-vdpa file, pid 123": told to whom comes second; copied */
	/*
	 * Somebody else wants the device. Is the client there still? One that left before this call
	 * must not be missed, be it that the export has not heard of it. Takes no time, calls
	 * nothing of the runner's. NULL: it stays until runner_claim_leaves.
	 */
	enum claim_news (*look)(void *arg);
	void *arg;
};

/* Who waits for it to be known whether the client leaves. Zeroed at first. */
struct claim_wait {
	/* Called once, by any thread, perhaps with the runner's lock held: it must not call the
	 * runner. */
	void (*over)(struct claim_wait *wait);
	struct claim_wait *next; /* these three are the runner's */
	uint64_t number;
	bool waits;
};

/* Returns 0, or -EBUSY with the fault naming the holder. */
int runner_claim(struct runner *runner, const struct claimant *claimant, struct fault *fault);
/* What runner_claim would answer, without claiming. */
int runner_claim_look(struct runner *runner, struct fault *fault);
/*
 * Before a client's claim: true if it may hear what runner_claim answers now. Else somebody is
 * leaving, or may be, and `over` says when to claim.
 */
bool runner_claim_settled(struct runner *runner, struct claim_wait *wait);
/* It waits no longer. False: it did not wait; `over` was called or will have been at once. */
bool runner_claim_forget(struct runner *runner, struct claim_wait *wait);
/* The oldest CLAIM_ASKED is answered: the client stays, or it is known by now to leave. */
void runner_claim_answered(struct runner *runner, bool stays);
/* Of the client that has it: see enum claim_news. */
void runner_claim_leaves(struct runner *runner);
void runner_claim_kept(struct runner *runner);
void runner_unclaim(struct runner *runner);
/* Who has it, copied; "" if nobody. */
void runner_claimant(struct runner *runner, char *buffer, size_t size);

/*
 * Eventfds; call with the lock held. The runner takes the fd over (-1 unbinds). Kicks are edges:
 * the counter is never read (kernel-contract 5.5, vhost_poll), each write is a kick, and a counter
 * above 0 at binding is one kick. Writes to call eventfds never block the worker.
 */
int runner_bind_kick(struct runner *runner, unsigned queue, int fd);
/*
 * For a driver that does not kick: the queue is looked at every 250 microseconds, besides whenever
 * its kick eventfd is written, if it has one.
 */
void runner_poll_kicks(struct runner *runner, unsigned queue, bool on);
void runner_bind_call(struct runner *runner, unsigned queue, int fd);
void runner_bind_config_call(struct runner *runner, int fd);

/* What the device did lately: see runtime/trace.h. Sorted by time. */
struct runner_trace {
	struct trace_event *events;
	struct trace_slot *slots;
	unsigned event_count, slot_count;
	uint64_t events_lost, slots_lost; /* overwritten */
	uint64_t begun_ns, taken_ns;
};

/* Without the lock. 0, -ENOMEM, or -EOPNOTSUPP: it keeps none. The caller frees it. */
int runner_get_trace(struct runner *runner, struct runner_trace *trace);
void runner_trace_free(struct runner_trace *trace);
/* A call of the client was answered that came at this time. Any thread. */
void runner_count_call(struct runner *runner, uint64_t begun_ns);

#endif
