/*
 * A virtio device behind any export: verbs with the kernel's names
 * (struct vdpa_config_ops), one life-cycle table, queues, config space, address
 * spaces, and suspension.
 *
 * Nothing in here does I/O, reads a clock or starts a thread: events come in
 * (verbs, kicks, completions, the time), effects go out through device_runtime.
 *
 * Two contexts call in. *Control*: all functions except those marked [worker];
 * one at a time per device. *Worker*: functions marked [worker]; per queue one at
 * a time. Between the runtime's exclude_begin and exclude_end no worker of the device
 * is in a [worker] function; the device uses them whenever it touches what workers
 * use.
 *
 * Verbs that may have to wait (suspend, reset, set_vq_ready off) take a
 * device_done, which is called exactly once on control, perhaps before the verb
 * returns. Their callers keep other verbs of the same client waiting meanwhile,
 * as the kernel's device mutex does.
 */
#ifndef UVDPA_DEVICE_DEVICE_H
#define UVDPA_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/lifecycle.h"
#include "device/limits.h"
#include "device/trace_event.h"
#include "util/error.h"

struct device;
struct model;
struct model_failure;
struct client_memory;

/* What a device needs from whoever runs it. All but `trace_emit`, borrow_begin and borrow_end are
 * required. */
struct device_runtime;
struct device_runtime_ops {
	/*
	 * Control: from the return of exclude_begin to exclude_end, no worker of this device is in
	 * a [worker] function. Not nested. In between, the device calls none of these ops but
	 * wake_queue, notify_queue, notify_config, set_deadline, queue_changed, forget and
	 * trace_emit.
	 */
	void (*exclude_begin)(struct device_runtime *runtime);
	void (*exclude_end)(struct device_runtime *runtime);
	/* [worker] and control: tell the driver that a queue has used buffers. */
	void (*notify_queue)(struct device_runtime *runtime, unsigned queue);
	/* Tell the driver that config space (or NEEDS_RESET) changed. */
	void (*notify_config)(struct device_runtime *runtime);
	/* Call device_run_queue for this queue soon, on its worker. */
	void (*wake_queue)(struct device_runtime *runtime, unsigned queue);
	/* [worker]: call device_settle soon, on control. */
	void (*settle)(struct device_runtime *runtime);
	/* Call device_deadline at this time (milliseconds, monotonic); 0: no deadline. */
	void (*set_deadline)(struct device_runtime *runtime, uint64_t at_ms);
	/* A queue was started (its model's poll_fd is now valid) or stopped. */
	void (*queue_changed)(struct device_runtime *runtime, unsigned queue, bool started);
	/* The driver's eventfds and the like are to be dropped: DRIVER_RESET drops the queue
	 * calls only (kernel-contract 4.3), DRIVER_GONE everything. */
	void (*forget)(struct device_runtime *runtime, bool everything);
	/* Control, and [worker] for TRACE_FIRST_CHAIN. NULL: nobody keeps a trace. */
	void (*trace_emit)(struct device_runtime *runtime, enum device_trace_event kind,
			   unsigned queue, uint64_t value);
	/*
	 * [worker of another queue or device]: as if on the worker of this queue until borrow_end,
	 * if that is possible without waiting. NULL: nobody borrows.
	 */
	bool (*borrow_begin)(struct device_runtime *runtime, unsigned queue);
	void (*borrow_end)(struct device_runtime *runtime, unsigned queue);
};
struct device_runtime {
	const struct device_runtime_ops *ops;
};

struct device_options {
	const char *name;
	unsigned queue_size; /* maximum entries per queue: a power of two, 2..DEVICE_MAX_QUEUE_SIZE
			      */
	unsigned asids;	     /* address spaces, 1..DEVICE_MAX_ASIDS */
	/*
	 * Virtqueue groups, up to DEVICE_MAX_GROUPS: queue q is in group q % groups. 0: as the
	 * model has them. A model whose queues differ (a control queue) decides for itself.
	 */
	unsigned groups;
	bool packed;	 /* offer VIRTIO_F_RING_PACKED: QEMU's shadow virtqueues refuse it */
	bool in_order;	 /* offer VIRTIO_F_IN_ORDER: what is slow holds up what is not */
	bool ring_reset; /* offer VIRTIO_F_RING_RESET where an export can (EXPORT_RESETS_QUEUES) */
	bool no_suspend; /* suspend=off (S1) */
	bool no_resume;	 /* resume=off (S1) */
	uint64_t features_off; /* feature bits the operator masks */
	bool park; /* on-timeout=park: an operator's suspend hands requests over rather than fail */
	uint32_t suspend_timeout_ms; /* default deadline of a driver's suspend and of resets */
};

/* Parties that may hold a device suspended (S14). */
enum device_holder { HOLDER_DRIVER = 1, HOLDER_OPERATOR = 2, HOLDER_UPGRADE = 4 };

typedef void (*device_done)(void *arg, int result);

/* Takes the model over, also on failure. Returns 0 or a negative errno with the error filled. */
int device_new(const struct device_options *options, struct model *model,
	       struct device_runtime *runtime, struct device **device, struct error *err);
/* The device is in state RESET, nothing in flight. */
void device_free(struct device *device);

/*
 * The client whose addresses IOTLB messages name; NULL: none. Forgets all mappings. -EBUSY: rings
 * or requests of the client before are still there; reset the device with EV_DRIVER_GONE first.
 */
int device_set_client(struct device *device, struct client_memory *memory);

/*
 * What an export's protocol has otherwise than vhost-vdpa; until the driver is gone. Default:
 * nothing.
 *
 * - IMPLIES_PLATFORM: its drivers do not know ACCESS_PLATFORM (to a vhost-user front end it means a
 *   vIOMMU), although their addresses go through a space: as if negotiated.
 * - SETS_QUEUES_ANY_TIME: a queue that is not ready may be set up while the device runs.
 * - RESETS_QUEUES: a single queue can be stopped and set up anew (virtio 1.3, 2.6.1).
 * - MOVES_RECORDS: whoever moves the device takes the records of requests in flight along.
 */
enum device_export_rules {
	EXPORT_IMPLIES_PLATFORM = 1,
	EXPORT_SETS_QUEUES_ANY_TIME = 2,
	EXPORT_MOVES_RECORDS = 4,
	EXPORT_RESETS_QUEUES = 8
};
void device_set_export_rules(struct device *device, unsigned rules);

/* --- Facts ------------------------------------------------------------------------------- */
const char *device_name(const struct device *device);
enum device_state device_state(const struct device *device);
unsigned device_holders(const struct device *device);
uint32_t device_get_device_id(const struct device *device);
uint16_t device_get_vq_num_max(const struct device *device);
unsigned device_get_vqs_count(const struct device *device);
unsigned device_get_group_count(const struct device *device);
unsigned device_get_asid_count(const struct device *device);
size_t device_get_config_size(const struct device *device);
uint64_t device_get_device_features(const struct device *device);
bool device_can_suspend(const struct device *device);
bool device_can_resume(const struct device *device);
/* Why the device is BROKEN; "" if it is not. */
const char *device_broken_reason(const struct device *device);
/* The model, for status displays. */
struct model *device_model(struct device *device);

/* --- Features, status, config (kernel: vhost_vdpa_set_status and friends) ------------------- */
/* Stores what both know. -EBUSY: FEATURES_OK is set. -EINVAL: ACCESS_PLATFORM or VERSION_1 missing.
 */
int device_set_driver_features(struct device *device, uint64_t features);
uint64_t device_get_driver_features(const struct device *device);
uint8_t device_get_status(const struct device *device);
/*
 * status not 0. -EINVAL if a set bit is missing. Other results through GET_STATUS, as in the
 * kernel. status 0 is device_reset.
 */
int device_set_status(struct device *device, uint8_t status, uint64_t now_ms);
/* event: EV_DRIVER_RESET, EV_DRIVER_GONE or EV_OPERATOR_RESET. done: 0, or -ETIMEDOUT (then
 * BROKEN). */
void device_reset(struct device *device, enum device_event event, uint64_t now_ms, device_done done,
		  void *arg);
/* -EINVAL beyond the config space or size 0. */
int device_get_config(struct device *device, size_t offset, void *to, size_t size);
/*
 * Likewise, and -EINVAL where it would change what the driver may not write, read-only or not
 * negotiated: then nothing is written. Otherwise it is read back from the return on (S7).
 */
int device_set_config(struct device *device, size_t offset, const void *from, size_t size);
/*
 * What a driver wrote may outlive resets (a disk's `writeback` does): a VMM resets a device behind
 * its guest's back, and does not write it again. An export says when who comes is not who left.
 */
void device_forget_choices(struct device *device);
/* Whether the driver may write all of these bytes now. */
bool device_config_is_writable(const struct device *device, size_t offset, size_t size);
uint32_t device_get_generation(const struct device *device);
/* The operator's resize: model changes now, shown and announced now or after resume (S5). */
int device_resize(struct device *device, uint64_t bytes, struct error *err);
/* Likewise: a network card's cable, and that its driver announce itself to the network. */
int device_set_link(struct device *device, bool up, struct error *err);
int device_announce(struct device *device, struct error *err);
/*
 * A VMM's: the network is to hear that `mac` is here now, by a frame that goes out when the send
 * queue runs. -EOPNOTSUPP: the device has no network.
 */
int device_send_rarp(struct device *device, uint64_t mac);

/* --- Virtqueues. `queue` is below device_get_vqs_count ------------------------------------- */
/*
 * Callers have checked form (alignment); these say whether it is allowed now. A size is always, of
 * packed rings one that is no power of two, too, and counts from when the queue is next made ready.
 */
int device_set_vq_num(struct device *device, unsigned queue, uint16_t num);
uint16_t device_get_vq_size(const struct device *device, unsigned queue);
/* -EINVAL while DRIVER_OK and not suspended by the driver (kernel 6.8+). */
int device_set_vq_address(struct device *device, unsigned queue, uint64_t desc, uint64_t driver,
			  uint64_t used);
/* base: split 0..65535; packed as linux's vhost_vring_ioctl encodes it. -EINVAL: out of range, too.
 */
int device_set_vq_state(struct device *device, unsigned queue, uint32_t base);
int device_get_vq_state(struct device *device, unsigned queue, uint32_t *base);
/* The same for the curious: it is not the driver who asks, and the trace says nothing. */
uint32_t device_peek_vq_state(struct device *device, unsigned queue);
/* done(0) always: a void op in the kernel. Off waits until nothing of the queue is in flight. */
void device_set_vq_ready(struct device *device, unsigned queue, bool ready, uint64_t now_ms,
			 device_done done, void *arg);
/*
 * The same as off, for somebody who can be told that it did not come about (S10). done: 0, nothing
 * of the queue is in flight; or, with EXPORT_MOVES_RECORDS and a record, what was in flight at half
 * of the device's time was given back by the backend, and is in the record. -ETIMEDOUT: the queue
 * is ready and runs on. -EBUSY: likewise; an operator has requests of it parked that the driver
 * does not know.
 */
void device_stop_vq(struct device *device, unsigned queue, uint64_t now_ms, device_done done,
		    void *arg);
/*
 * A queue that is to run without an effect: what is taken is thrown away as if done, until that is
 * taken back or the device is reset. False: not with these requests (only frames that are sent are
 * such), and nothing has changed.
 */
bool device_discard_vq(struct device *device, unsigned queue, bool discard);
bool device_get_vq_ready(const struct device *device, unsigned queue);
unsigned device_get_vq_group(const struct device *device, unsigned queue);
/* -EINVAL out of range, -EBUSY after DRIVER_OK (kernel 7.x). */
int device_set_group_asid(struct device *device, unsigned group, unsigned asid);

/*
 * The record of a queue's requests in flight (ring/inflight.h), NULL for none; until the driver is
 * gone; in the layout of its ring. The queue is not started. -EBUSY: it is.
 */
struct inflight_record;
int device_set_vq_record(struct device *device, unsigned queue, struct inflight_record *record);
/*
 * What is marked in a dirty log from now on: `data` in all queues' buffers, and for each queue
 * `used`, as if its used ring lay at `used_at`. NULL: nothing. The previous log is not used any
 * more at the return.
 */
struct dirty_log;
void device_set_log(struct device *device, struct dirty_log *data);
void device_set_vq_log(struct device *device, unsigned queue, struct dirty_log *used,
		       uint64_t used_at);

/* --- Address spaces ---------------------------------------------------------------------- */
/* As space_add and space_remove, with workers excluded. -EINVAL: no such asid, or no client. */
int device_dma_map(struct device *device, unsigned asid, uint64_t iova, uint64_t size,
		   uint64_t uaddr, uint8_t perm);
/* The same with what space_resolve found out for the device's client; NULL: at first use. */
struct pieces;
int device_dma_map_resolved(struct device *device, unsigned asid, uint64_t iova, uint64_t size,
			    uint64_t uaddr, uint8_t perm, struct pieces *pieces);
int device_dma_unmap(struct device *device, unsigned asid, uint64_t iova, uint64_t size);
/* Between begin and end, workers see the map as it was at begin; end shows all changes at once. */
void device_dma_batch(struct device *device, bool begin);

/* --- Suspension ---------------------------------------------------------------------------- */
/*
 * done: 0; -ETIMEDOUT at the deadline (the device runs on, S10); -EIO broken meanwhile; -ECANCELED
 * reset meanwhile; -EOPNOTSUPP; -EBUSY too many waiters. timeout_ms 0: the device's default.
 * A driver's suspend without DRIVER_OK succeeds and does nothing (S1).
 */
void device_suspend(struct device *device, enum device_holder holder, uint64_t now_ms,
		    uint32_t timeout_ms, device_done done, void *arg);
/*
 * The same, and says whether requests that are still in flight at half the time may be parked: the
 * backend is to give them back, and they are in the saved state (device/state.h). A driver's never
 * are: it would go on elsewhere without them; while some are, it cannot suspend (-EBUSY).
 */
void device_suspend_or_park(struct device *device, enum device_holder holder, uint64_t now_ms,
			    uint32_t timeout_ms, bool park, device_done done, void *arg);
/*
 * 0, also when it was not suspended; -EOPNOTSUPP; -EBUSY: what it works on is another process's by
 * now, and it stays suspended.
 */
int device_resume(struct device *device, enum device_holder holder);
/* The time set_deadline named has come (an early call does no harm). */
void device_deadline(struct device *device, uint64_t now_ms);
/* Acts on what workers found: drained, broken. */
void device_settle(struct device *device);
/* Chains taken and not given back, over all queues. */
unsigned device_in_flight(struct device *device);

/* --- Workers ------------------------------------------------------------------------------- */
/* [worker] The driver kicked this queue. Follow with device_run_queue. */
void device_kick_vq(struct device *device, unsigned queue);
enum device_turn {
	TURN_IDLE,  /* armed for kicks, or not to be run: nothing to do until somebody says so */
	TURN_DONE,  /* the same, but something was done first */
	TURN_MORE,  /* there is, or may be, more to do: again at once */
	TURN_FULL,  /* the same, and this pass has been as long as passes should be */
	TURN_EMPTY, /* only with `polling`: there was nothing to do, and no kick will tell */
};
/*
 * [worker] One pass: delivers completions, takes up to `budget` chains, publishes. With `polling`
 * the driver is not asked for kicks where there is nothing more: who says so looks again itself,
 * and, when it has enough of that, once more without `polling`.
 */
enum device_turn device_turn_queue(struct device *device, unsigned queue, unsigned budget,
				   bool polling);
/* [worker] Whether its backend has requests of it: completions will come without a kick. */
bool device_queue_is_inflight(const struct device *device, unsigned queue);
/* [worker] The same without polling: whether it should be called again at once. */
static inline bool device_run_queue(struct device *device, unsigned queue, unsigned budget)
{
	enum device_turn turn = device_turn_queue(device, queue, budget, false);

	return turn == TURN_MORE || turn == TURN_FULL;
}
/* The model's poll_fd of a started queue, or -1; `edge`: watch for changes, not for readability. */
int device_queue_poll_fd(struct device *device, unsigned queue, bool *edge);

struct device_queue_stats {
	uint64_t requests;	/* chains completed */
	uint64_t notifications; /* calls sent */
	uint64_t kicks;
	uint64_t passes;
	unsigned in_flight;
};
void device_get_vq_stats(struct device *device, unsigned queue, struct device_queue_stats *stats);

/*
 * [worker] What went through a queue so far, to the driver (packets received, disk reads) and from
 * it (packets sent, everything else that disks do). Never goes back.
 */
struct device_flow {
	uint64_t in, out;
};
struct device_flow device_get_vq_flow(const struct device *device, unsigned queue);
/* [worker] The latest request of a queue that failed; count 0: none, or its kind cannot fail. */
void device_get_vq_failure(const struct device *device, unsigned queue,
			   struct model_failure *failure);

#endif
