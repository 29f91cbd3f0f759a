/*
 * Suspension: who holds the device, who waits for it to stand still, and until
 * when. The barrier itself is in the table: HOLD stops the queues, DRAINED
 * freezes them, DEADLINE lets them go on (S10).
 */
#include <errno.h>

#include "device/device_internal.h"

struct waiter *waiter_add(struct device *device, enum device_holder holder, uint64_t at,
			  device_done done, void *arg)
{
	unsigned places = holder ? DEVICE_MAX_WAITERS : WAITERS;

	for (unsigned i = holder ? 0 : DEVICE_MAX_WAITERS; i < places; i++) {
		struct waiter *waiter = &device->waiters[i];

		if (waiter->done)
			continue;
		*waiter = (struct waiter){.holder = holder, .done = done, .arg = arg, .at = at};
		return waiter;
	}
	return NULL;
}

static void waiter_answer(struct device *device, struct waiter *waiter, int result)
{
	device_answer(device, waiter->done, waiter->arg, result);
	waiter->done = NULL;
}

void waiters_answer(struct device *device, unsigned holders, int result)
{
	for (unsigned i = 0; i < WAITERS; i++) {
		struct waiter *waiter = &device->waiters[i];

		if (waiter->done && (waiter->holder & holders))
			waiter_answer(device, waiter, result);
	}
}

void reset_waiters_answer(struct device *device, int result)
{
	for (unsigned i = 0; i < WAITERS; i++) {
		struct waiter *waiter = &device->waiters[i];

		if (waiter->done && !waiter->holder)
			waiter_answer(device, waiter, result);
	}
}

/* Whether anybody still waits on behalf of this holder. */
static bool is_waiting(const struct device *device, enum device_holder holder)
{
	for (unsigned i = 0; i < WAITERS; i++)
		if (device->waiters[i].done && device->waiters[i].holder == holder)
			return true;
	return false;
}

/* Whether the driver waits, too, and would go on elsewhere without what is parked (S12). */
static bool driver_waits(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].disable_done && !queue_moves_along(&device->queues[i]))
			return true;
	return device->holders & HOLDER_DRIVER;
}

static bool may_park(const struct device *device, const struct waiter *waiter)
{
	return waiter->park_at && device->state == STATE_SUSPENDING && !device->parking &&
	       !driver_waits(device);
}

/* Tells the runtime the nearest deadline. */
void deadline_update(struct device *device)
{
	uint64_t at = 0;

	for (unsigned i = 0; i < WAITERS; i++) {
		const struct waiter *waiter = &device->waiters[i];

		if (waiter->done && (!at || waiter->at < at))
			at = waiter->at;
		if (waiter->done && may_park(device, waiter) && waiter->park_at < at)
			at = waiter->park_at;
	}
	for (unsigned i = 0; i < device->queue_count; i++) {
		uint64_t due = queue_disable_deadline(&device->queues[i]);

		if (due && (!at || due < at))
			at = due;
	}
	device->runtime->ops->set_deadline(device->runtime, at);
}

bool device_can_suspend(const struct device *device)
{
	return !device->options.no_suspend;
}

bool device_can_resume(const struct device *device)
{
	return !device->options.no_suspend && !device->options.no_resume;
}

unsigned device_holders(const struct device *device)
{
	return device->holders;
}

/* Takes the hold and waits. Workers excluded. Returns 0, or what to answer at once. */
static int hold(struct device *device, enum device_holder holder, uint64_t at, uint64_t park_at,
		device_done done, void *arg)
{
	bool had = device->holders & holder;
	struct waiter *waiter = waiter_add(device, holder, at, done, arg);
	int r;

	if (!waiter)
		return -EBUSY;
	waiter->park_at = park_at;
	device->holders |= holder;
	r = device_take(device, EV_HOLD);
	if (r < 0) {
		waiter->done = NULL;
		if (!had)
			device->holders &= ~(unsigned)holder;
	}
	return r;
}

/* Whether requests are kept in flight: a driver that moves on would know nothing of them (S12). */
static bool has_parked(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].resubmit_count && !queue_moves_along(&device->queues[i]))
			return true;
	return false;
}

void device_suspend(struct device *device, enum device_holder holder, uint64_t now_ms,
		    uint32_t timeout_ms, device_done done, void *arg)
{
	bool park = device->options.park && holder != HOLDER_DRIVER;

	device_suspend_or_park(device, holder, now_ms, timeout_ms, park, done, arg);
}

void device_suspend_or_park(struct device *device, enum device_holder holder, uint64_t now_ms,
			    uint32_t timeout_ms, bool park, device_done done, void *arg)
{
	uint32_t ms = timeout_ms ? timeout_ms : device->options.suspend_timeout_ms;
	uint64_t at = now_ms + ms, park_at = park ? now_ms + ms / 2 : 0;
	int r = 0;

	/* linux 6.9+ vhost_vdpa_suspend: without DRIVER_OK it succeeds and does nothing (S1). */
	if (holder == HOLDER_DRIVER && !(device->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
		device_answer(device, done, arg, 0);
	} else if (holder == HOLDER_DRIVER && !device_can_suspend(device)) {
		device_answer(device, done, arg, -EOPNOTSUPP);
	} else if (holder == HOLDER_DRIVER && (device->parking || has_parked(device))) {
		device_answer(device, done, arg, -EBUSY);
	} else {
		device_trace(device, TRACE_SUSPEND, 0, holder);
		exclude_begin(device);
		r = hold(device, holder, at, park_at, done, arg);
		exclude_end(device);
		if (r < 0)
			device_answer(device, done, arg, r);
	}
	device_give_answers(device);
}

static bool any_ready(const struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++)
		if (device->queues[i].ready)
			return true;
	return false;
}

/* Whether the device may go on when this holder lets go: it may be another's turn by now. */
static int may_go_on(struct device *device, enum device_holder holder)
{
	struct error f = {0};
	bool goes_on = device->state == STATE_SUSPENDED && device->holders == (unsigned)holder &&
		       any_ready(device);

	if (goes_on && device_activate(device, &f) < 0)
		log_warning(device->name, "not resumed: %s", f.text);
	return f.code;
}

int device_resume(struct device *device, enum device_holder holder)
{
	int r;

	if (holder == HOLDER_DRIVER && !(device->status & VIRTIO_CONFIG_S_DRIVER_OK))
		return 0;
	if (holder == HOLDER_DRIVER && !device_can_resume(device))
		return -EOPNOTSUPP;
	if (!(device->holders & holder))
		return 0; /* S11 */
	device_trace(device, TRACE_RESUME, 0, holder);
	exclude_begin(device);
	r = may_go_on(device, holder);
	if (r == 0) {
		device->holders &= ~(unsigned)holder;
		waiters_answer(device, holder, -ECANCELED);
	}
	if (!device->holders)
		device_take(device, EV_RELEASE);
	exclude_end(device);
	device_give_answers(device);
	return r;
}

/* Gives up on the waiters whose time is over, and on what they alone wanted. */
static void expire_waiters(struct device *device, uint64_t now_ms)
{
	bool reset_expired = false;

	for (unsigned i = 0; i < WAITERS; i++) {
		struct waiter *waiter = &device->waiters[i];

		if (!waiter->done || waiter->at > now_ms)
			continue;
		if (!waiter->holder) {
			reset_expired = true;
			continue; /* the table answers it */
		}
		waiter_answer(device, waiter, -ETIMEDOUT);
		if (!is_waiting(device, waiter->holder))
			device->holders &= ~(unsigned)waiter->holder;
	}
	if (device->state == STATE_SUSPENDING && !device->holders) {
		log_info(device->name, "not suspended: %u requests did not come back in time",
			 device_count_in_flight(device));
		device_take(device, EV_DEADLINE);
	}
	if (device->state == STATE_RESETTING && reset_expired) {
		error_set(&device->broken, -ETIMEDOUT,
			  "the backend did not give %u requests back for a reset",
			  device_count_in_flight(device));
		log_warning(device->name, "broken: %s", device->broken.text);
		device_take(device, EV_DEADLINE);
	}
}

const char *queue_trouble(const struct queue *queue)
{
	if (queue->refusal[0])
		return queue->refusal;
	if (!queue->ring.started)
		return NULL;
	/* first, since the zeros in its place make nonsense of a ring, too */
	if (space_lost(queue->ring.space))
		return "client memory went away (a truncated file?)";
	return queue->ring.broken ? ring_reason(&queue->ring) : NULL;
}

/* Passes on what a worker found in one queue. Workers excluded. */
static void settle_queue(struct device *device, struct queue *queue)
{
	const char *trouble = queue_trouble(queue);

	queue->settling = queue->reapable = false;
	if (trouble)
		device_break(device, queue, trouble);
}

/* Passes on what workers found, and what has come to its end by it. Workers excluded. */
static void settle_all(struct device *device)
{
	for (unsigned i = 0; i < device->queue_count; i++) {
		settle_queue(device, &device->queues[i]);
		queue_settle_disable(&device->queues[i]);
	}
	device_settle_drained(device);
}

void device_settle(struct device *device)
{
	exclude_begin(device);
	settle_all(device);
	deadline_update(device);
	spaces_reap(device);
	exclude_end(device);
	device_give_answers(device);
}

/* Half of the time of somebody who would rather have requests handed over than fail. */
static bool park_if_due(struct device *device, uint64_t now_ms)
{
	bool parked = false;

	for (unsigned i = 0; i < WAITERS; i++) {
		const struct waiter *waiter = &device->waiters[i];

		if (!waiter->done || !may_park(device, waiter) || waiter->park_at > now_ms)
			continue;
		log_info(device->name, "parking: %u requests did not come back so far",
			 device_count_in_flight(device));
		device_take(device, EV_PARK);
		parked = true;
	}
	for (unsigned i = 0; i < device->queue_count; i++)
		parked |= queue_park_if_due(&device->queues[i], now_ms);
	return parked;
}

void device_deadline(struct device *device, uint64_t now_ms)
{
	exclude_begin(device);
	settle_all(device);
	/*
	 * On a busy machine both times may have come when we hear of it: then what is given back at
	 * once still counts, and the end of the time, which set_deadline names again, comes after
	 * that.
	 */
	if (!park_if_due(device, now_ms)) {
		expire_waiters(device, now_ms);
		for (unsigned i = 0; i < device->queue_count; i++)
			queue_expire_disable(&device->queues[i], now_ms);
	}
	deadline_update(device);
	exclude_end(device);
	device_give_answers(device);
}
