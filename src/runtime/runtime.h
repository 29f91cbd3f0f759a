/*
 * A runtime runs one device: its worker threads, eventfds, deadline timer and
 * the lock that makes "control" (device/device.h) one caller at a time. Exports
 * and the control socket reach the device only through it. Devices can share a
 * worker (runtime/group.h); to their callers that makes no difference.
 *
 * Lock order: the runtime's lock, then a worker's ticket lock. Workers never take the
 * runtime's lock inside a pass; what they found is settled after it.
 */
#ifndef UVDPA_RUNTIME_RUNTIME_H
#define UVDPA_RUNTIME_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "runtime/trace.h"
#include "util/error.h"

struct runtime;

struct runtime_options {
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

/* Takes the model over. Returns 0 or a negative errno with the error filled. */
int runtime_new(const struct runtime_options *options, struct model *model,
		struct runtime **runtime, struct error *err);
/*
 * The end of a device comes in steps, so that many can end at the same time: runtime_end begins its
 * reset and returns, runtime_wait_end waits for it (bounded by the device's deadline); until
 * runtime_free it can be looked at. Each does what was left out before it.
 */
void runtime_end(struct runtime *runtime);
void runtime_wait_end(struct runtime *runtime);
/* Resets the device (bounded by its deadline), stops the threads, frees everything. */
void runtime_free(struct runtime *runtime);

/* Control: between these, the caller may use every device function that is not [worker]. */
struct device *runtime_lock(struct runtime *runtime);
void runtime_unlock(struct runtime *runtime);
/* The device's state when the lock was last given back. Any thread, without waiting. */
enum device_state runtime_published_state(const struct runtime *runtime);
/*
 * Has `after->run` called once, by the thread that holds the lock now, when it has let go of it:
 * for what takes system calls, as an answer to a client does. With the lock held. `after` stays
 * the caller's; it must not be freed or handed in again before `run` is called.
 */
struct runtime_after {
	void (*run)(struct runtime_after *after);
	struct runtime_after *next; /* the runtime's */
};
void runtime_after(struct runtime *runtime, struct runtime_after *after);
/* The device without the lock: for facts that never change (name, device id). */
const struct device *runtime_device(const struct runtime *runtime);

/* The name of the worker that it may share with others; NULL: its workers are its own. */
const char *runtime_worker(const struct runtime *runtime);

/* What the device stands on, in words; NULL: unknown. Never changes. */
const char *runtime_backend(const struct runtime *runtime);

/* Milliseconds of the monotonic clock, as device verbs want them. */
uint64_t runtime_now_ms(void);
/* Nanoseconds of the same clock, as traces have them. */
uint64_t runtime_now_ns(void);

/*
 * One client at a time, over all exports.
 *
 * A client that closes its device, or is killed, is gone for everybody whom it tells so. Its export
 * hears of it a kind later, and then the device has to be reset, which takes what its backend
 * takes. Who comes in that time is not second: it waits, as it would for Linux's close(). So
 * exports tell what they know of their clients, and ask before they owner.
 */
enum owner_state {
	OWNER_ALIVE,
	OWNER_ASKED,   /* the export has to find out: runtime_owner_answered follows */
	OWNER_CLOSING, /* the client is gone, and the device will be free */
	OWNER_STUCK,   /* the client is gone, and the backend keeps its requests: who knows */
};

struct device_owner {
	const char *who; /* "vhost-vdpa file, pid 123": told to whom comes second; copied */
	/*
	 * Somebody else wants the device. Is the client there still? One that left before this call
	 * must not be missed, be it that the export has not heard of it. Takes no time, calls
	 * nothing of the runtime's. NULL: it stays until runtime_owner_closing.
	 */
	enum owner_state (*look)(void *arg);
	void *arg;
};

/* Who waits for it to be known whether the client leaves. Zeroed at first. */
struct owner_wait {
	/* Called once, by any thread, perhaps with the runtime's lock held: it must not call the
	 * runtime. */
	void (*over)(struct owner_wait *wait);
	struct owner_wait *next; /* these three are the runtime's */
	uint64_t number;
	bool waits;
};

/* Returns 0, or -EBUSY with the error naming the holder. */
int runtime_acquire(struct runtime *runtime, const struct device_owner *owner, struct error *err);
/* What runtime_acquire would answer, without claiming. */
int runtime_owner_check(struct runtime *runtime, struct error *err);
/*
 * Before a client's owner: true if it may hear what runtime_acquire answers now. Else somebody is
 * leaving, or may be, and `over` says when to owner.
 */
bool runtime_owner_settled(struct runtime *runtime, struct owner_wait *wait);
/* It waits no longer. False: it did not wait; `over` was called or will have been at once. */
bool runtime_owner_wait_cancel(struct runtime *runtime, struct owner_wait *wait);
/* The oldest OWNER_ASKED is answered: the client stays, or it is known by now to leave. */
void runtime_owner_answered(struct runtime *runtime, bool stays);
/* Of the client that has it: see enum owner_state. */
void runtime_owner_closing(struct runtime *runtime);
void runtime_owner_stuck(struct runtime *runtime);
void runtime_release(struct runtime *runtime);
/* Who has it, copied; "" if nobody. */
void runtime_owner(struct runtime *runtime, char *buffer, size_t size);

/*
 * Eventfds; call with the lock held. The runtime takes the fd over (-1 unbinds). Kicks are edges:
 * the counter is never read (kernel-contract 5.5, vhost_poll), each write is a kick, and a counter
 * above 0 at binding is one kick. Writes to call eventfds never block the worker.
 */
int runtime_bind_kick(struct runtime *runtime, unsigned queue, int fd);
/*
 * For a driver that does not kick: the queue is looked at every 250 microseconds, besides whenever
 * its kick eventfd is written, if it has one.
 */
void runtime_poll_kicks(struct runtime *runtime, unsigned queue, bool on);
void runtime_bind_call(struct runtime *runtime, unsigned queue, int fd);
void runtime_bind_config_call(struct runtime *runtime, int fd);

/* What the device did lately: see runtime/trace.h. Sorted by time. */
struct runtime_trace {
	struct trace_event *events;
	struct trace_slot *slots;
	unsigned event_count, slot_count;
	uint64_t events_lost, slots_lost; /* overwritten */
	uint64_t begun_ns, taken_ns;
};

/* Without the lock. 0, -ENOMEM, or -EOPNOTSUPP: it keeps none. The caller frees it. */
int runtime_get_trace(struct runtime *runtime, struct runtime_trace *trace);
void runtime_trace_free(struct runtime_trace *trace);
/* A call of the client was answered that came at this time. Any thread. */
void runtime_count_call(struct runtime *runtime, uint64_t begun_ns);

#endif
