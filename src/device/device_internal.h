/*
 * For files of device/ only: what a device is made of.
 *
 * Theory of operation
 * -------------------
 * `state` is the one word that decides what is allowed; it changes only in
 * device_take(), by the life-cycle table. `status` is what the driver wrote
 * (and NEEDS_RESET), `holders` who wants the device to stand still. Invariants,
 * whenever no verb is running:
 *
 *   state RUNNING                 => holders == 0, queues that are ready are open
 *   state SUSPENDED               => holders != 0, nothing in flight, no ring is started
 *   state RESET                   => status == 0, nothing in flight, no queue is ready
 *   a waiter exists               => state is SUSPENDING or RESETTING
 *
 * Queue fields have two owners. The driver's settings (num, addresses, base,
 * ready) are control's alone; `ring`, `open`, `kicked`, the slots and counters are
 * used by the worker in a pass and by control only between exclude_begin and
 * exclude_end.
 *
 * Answers to those who wait are collected while things change and given at the
 * end of the verb, when everything is consistent: a caller may come right back
 * with the next verb.
 */
#ifndef UVDPA_DEVICE_DEVICE_INTERNAL_H
#define UVDPA_DEVICE_DEVICE_INTERNAL_H

#include "device/device.h"
#include "device/state.h"
#include "memory/client.h"
#include "memory/space.h"
#include "model/model.h"
#include "ring/ring.h"
#include "util/log.h"
#include "wire/vhost.h"

/* A request that was given back undone. */
struct parked {
	uint64_t sequence;
	uint16_t head;
};

#define QUEUE_FIRST_SHARE 8

/*
 * What a processing model takes from. A ring that runs dry is armed where it is dry, before the
 * model gives back what it took in vain: kicks are wanted for more than it could have had.
 */
struct queue_source {
	struct chain_source source; /* the first member */
	struct queue *queue;
	enum ring_pop_result result; /* of the last take; RING_CHAIN: it had something */
	bool more_came;		     /* chains came while the ring was being armed */
	bool polling;		     /* a ring that runs dry is not armed */
	unsigned batch;		     /* taken as such and not back yet */
};

struct queue {
	struct device *device;
	unsigned index;

	/* What the driver set up: control only. */
	uint16_t num;	   /* as it was last said */
	uint16_t ring_num; /* of the ring, since the queue was last made ready */
	uint64_t desc, driver, used;
	uint32_t base; /* of a ring that is not started; see has_base */
	bool has_base; /* false: nobody set one, the layout's first */
	bool told;     /* a ring of ours stopped there, and had called for all that it showed */
	/* Heads to take again, in this order, before any other chain: the ring's when it started.
	 */
	uint16_t *resubmit_list;
	unsigned resubmit_count;
	struct ring_used *reorder; /* for VIRTIO_F_IN_ORDER; made when the queue first needs them */
	/*
	 * What came back cancelled since FX_PARK. `parking` stays until the queue has nothing in
	 * flight: also of a suspension that was given up, late ones are to be taken again.
	 */
	struct parked *parked;
	unsigned parked_count;
	bool parking;
	bool ready;
	struct inflight_record *record;
	struct dirty_log *used_log;
	uint64_t used_log_at;
	device_done disable_done; /* somebody waits for this queue to drain */
	void *disable_arg;
	uint64_t disable_at;	  /* ms: deadline of that */
	uint64_t disable_park_at; /* ms: when requests may stay in the record; 0: never */
	bool disable_undo;	  /* at the deadline the queue runs on; else the device is broken */
	bool handing;		  /* that time came: what comes back undone stays so */

	/* The worker's. */
	struct ring ring;
	bool open;	/* chains may be taken */
	unsigned share; /* since it was opened: what the next pass takes, up to its budget */
	bool fresh;	/* ... and none has been, since */
	bool discard;	/* chains that come back are not shown to the driver any more */
	bool kicked;
	bool was_dry;		    /* the last look at the ring found nothing */
	bool signal_pending;	    /* the driver wants to hear of what this pass has shown */
	bool unmapped;		    /* the ring's memory was not there when last looked at */
	bool unmapped_logged;	    /* ... and the log says so */
	bool reapable;		    /* removed windows may have lost their last user */
	bool settling;		    /* control was asked to look; not again until it did */
	struct queue_source borrow; /* from queue_borrow to queue_give_back */
	char refusal[120];	    /* why the model refused a chain; "": it did not */

	/*
	 * Made when the queue first starts, kept until the driver is gone. A slot is touched when
	 * there are first so many chains in flight: a driver that keeps few there costs few pages.
	 */
	uint8_t *slots;
	struct ring_prefetch *prefetch; /* untouched while nothing has to be copied */
	struct segment *inline_segs,
		*overflow_segs; /* the chains' tables: those in use all the time are small */
	unsigned slot_count;	/* made so far: the worker's */
	struct request *free;
	unsigned in_flight;
	uint64_t next_sequence;

	struct device_queue_stats stats;
};

/* Somebody who waits for suspension (holder) or for a reset (holder 0). */
struct waiter {
	enum device_holder holder;
	device_done done; /* NULL: the entry is free */
	void *arg;
	uint64_t at;	  /* ms: deadline */
	uint64_t park_at; /* ms: when requests may be handed over in flight; 0: never */
};

/*
 * Those who wait for suspension have the first DEVICE_MAX_WAITERS places. The others are for
 * resets, so that a driver can always reset and leave: at most its reset, its leaving and one
 * operator's reset are there at once.
 */
#define WAITERS (DEVICE_MAX_WAITERS + 4)

struct answer {
	device_done done;
	void *arg;
	int result;
};

#define ANSWERS_MAX (2 * WAITERS + DEVICE_MAX_QUEUES)

struct device {
	struct model_port port; /* the first member */
	struct device_options options;
	char name[DEVICE_NAME_MAX + 1];
	struct model *model;
	struct device_runtime *runtime;

	enum device_state state;
	uint8_t status;
	unsigned holders;
	uint64_t features;
	unsigned export_rules; /* enum device_export_rules */
	struct dirty_log *data_log;
	bool parking; /* SUSPENDING, and PARK was taken: what came back undone stays so */
	bool gone;    /* a reset under way is for a driver that left */
	struct error broken;

	uint32_t generation;
	bool frozen;	     /* config is shown from `shown` */
	bool config_changed; /* while frozen: announce at thaw */
	size_t config_size;
	uint8_t shown[DEVICE_MAX_CONFIG];

	struct client_memory *client;
	struct space *spaces[DEVICE_MAX_ASIDS];
	unsigned group_asid[DEVICE_MAX_GROUPS];
	unsigned group_count;
	bool batching;

	struct waiter waiters[WAITERS];
	struct answer answers[ANSWERS_MAX];
	unsigned answer_count;

	struct queue *queues;
	unsigned queue_count;

	struct device_snapshot *restored; /* waits for its driver; NULL: none */
};

/* Slots lie one behind the other, each a request and the model's scratch, cache-line aligned. */
static inline size_t queue_slot_size(const struct device *device)
{
	return (sizeof(struct request) + device->model->ops->request_size + 63) & ~(size_t)63;
}

static inline struct request *queue_slot(const struct queue *queue, unsigned i)
{
	return (struct request *)(void *)(queue->slots + i * queue_slot_size(queue->device));
}

/* What comes back undone is not taken again: the device is being parked, or this queue is. */
static inline bool queue_stays(const struct queue *queue)
{
	return queue->parking && (queue->device->parking || queue->handing);
}

/* Requests that are left in flight come with whoever moves the device. */
static inline bool queue_moves_along(const struct queue *queue)
{
	return queue->record && queue->device->export_rules & EXPORT_MOVES_RECORDS;
}

/* Chains of a queue that are taken and not back, also those that a process before us took. */
static inline unsigned queue_in_flight(const struct queue *queue)
{
	bool stay = queue->discard || queue_stays(queue);

	return queue->in_flight + (stay ? 0 : ring_resubmits(&queue->ring) + queue->parked_count);
}

static inline void exclude_begin(struct device *device)
{
	device->runtime->ops->exclude_begin(device->runtime);
}

static inline void exclude_end(struct device *device)
{
	device->runtime->ops->exclude_end(device->runtime);
}

static inline void device_trace(struct device *device, enum device_trace_event kind, unsigned queue,
				uint64_t value)
{
	if (device->runtime->ops->trace_emit)
		device->runtime->ops->trace_emit(device->runtime, kind, queue, value);
}

/* life.c: takes an event with workers excluded. Returns 0 or the table's refusal. */
int device_take(struct device *device, enum device_event event);
/* The same, excluding workers around it. */
int device_take_excluded(struct device *device, enum device_event event);
/* Takes DRAINED if the state waits for it and nothing is in flight. Workers excluded. */
void device_settle_drained(struct device *device);
/* Remembers an answer; device_give_answers calls them all back, at the end of a verb. */
void device_answer(struct device *device, device_done done, void *arg, int result);
void device_give_answers(struct device *device);
/* Breaks a running device for a reason that goes to the log and to status. Workers excluded. */
void device_break(struct device *device, const struct queue *queue, const char *reason);

/* suspend.c */
struct waiter *waiter_add(struct device *device, enum device_holder holder, uint64_t at,
			  device_done done, void *arg);
/* Answers waiters whose holder is in `mask` (0 in `mask_reset`: those for a reset). */
void waiters_answer(struct device *device, unsigned holders, int result);
void reset_waiters_answer(struct device *device, int result);
void deadline_update(struct device *device);
/* Why a queue's worker cannot go on: nonsense, or memory that went away. NULL: it can. */
const char *queue_trouble(const struct queue *queue);

/* config.c */
void config_freeze(struct device *device);
void config_thaw(struct device *device);
/* Has the model load saved state, and tells the driver if its config space is another then. */
void config_load(struct device *device, const uint8_t *state, size_t size);

/* queues.c */
struct space *queue_space(const struct queue *queue);
/* Before the first of the queues starts. 0 or a negative errno with the error filled. */
int device_activate(struct device *device, struct error *f);
void queue_open(struct queue *queue);
void queue_close(struct queue *queue, bool discard);
void queue_freeze(struct queue *queue);
void queue_clear(struct queue *queue);
void queue_forget(struct queue *queue);
/* Where a ring that is not started stands. */
uint32_t queue_base(const struct queue *queue);
/* What it offers, whatever the export. */
uint64_t device_features_anywhere(const struct device *device);
/* In a pass: one more free slot, that was not in use before; NULL: all were. */
struct request *queue_make_slot(struct queue *queue);
/* Makes room for `again`. Returns 0 or -ENOMEM. */
int queue_make_resubmit_list(struct queue *queue);

/* stop.c: a queue that is being disabled. Workers excluded. */
void queue_settle_disable(struct queue *queue);
/* Half of its time is over, and its requests may stay where they are recorded: whether it came to
 * that. */
bool queue_park_if_due(struct queue *queue, uint64_t now_ms);
void queue_expire_disable(struct queue *queue, uint64_t now_ms);
/* When it is next to be looked at; 0: it is not being disabled. */
uint64_t queue_disable_deadline(const struct queue *queue);

/* park.c */
/* FX_PARK: has the backend give back what it can. Workers excluded. */
void queue_park(struct queue *queue);
/* Nothing is in flight: what came back undone, and what was not taken again yet, is `again`. */
void queue_keep_parked(struct queue *queue);
/* The queue goes on after all: what came back undone is taken again. */
void queue_resubmit(struct queue *queue);
unsigned device_count_in_flight(const struct device *device);

/* pass.c */
int queue_borrow(struct model_port *port, unsigned queue, struct chain_source **source);
void queue_give_back(struct model_port *port, unsigned queue, bool waiting);
extern const struct request_sink queue_sink;

/* state.c: what was restored is used: the driver is up, a queue starts. Workers excluded. */
void state_continue(struct device *device);
void state_continue_queue(struct queue *queue);
/* It is not used any more. */
void state_forget(struct device *device);

/* spaces.c */
/* The space of an ASID, made when it is first needed; NULL: memory is short, or there is no client.
 */
struct space *spaces_get(struct device *device, unsigned asid);
void spaces_reap(struct device *device);
void spaces_clear(struct device *device);

#endif
