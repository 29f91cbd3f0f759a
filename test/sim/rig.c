/* A device and its runtime in the simulation, and what a suspended one must keep. See sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "model/models.h"

static struct rig *rig_of(struct device_runtime *runtime)
{
	return (struct rig *)(void *)runtime; /* its first member */
}

static bool suspended(const struct rig *rig)
{
	return device_state(rig->device) == STATE_SUSPENDED;
}

/* --- What the device asks for ----------------------------------------------------------------- */

static void exclude_begin(struct device_runtime *runtime)
{
	assert(!rig_of(runtime)->excluded);
	rig_of(runtime)->excluded = true;
}

static void exclude_end(struct device_runtime *runtime)
{
	assert(rig_of(runtime)->excluded);
	rig_of(runtime)->excluded = false;
}

static void notify_queue(struct device_runtime *runtime, unsigned queue)
{
	struct rig *rig = rig_of(runtime);
	struct sim *sim = rig->sim;

	sim_trace(sim, "device %u: call of queue %u", rig->index, queue);
	if (suspended(rig))
		sim_fail(sim, "device %u: a call while suspended (S5)", rig->index);
	if (rig->index != sim->active)
		sim_fail(sim, "device %u: a call from a device that is not in use", rig->index);
	if (sim_plant(sim, PLANT_CALL_LOST, 10) ||
	    (rig->uncalled >> queue & 1 && sim_plant(sim, PLANT_FIRST_CALL_LOST, 1)))
		return;
	sim->guest.queues[queue].irq = true;
	rig->uncalled &= ~(1u << queue);
}

static void notify_config(struct device_runtime *runtime)
{
	struct rig *rig = rig_of(runtime);

	if (suspended(rig))
		sim_fail(rig->sim, "device %u: a config interrupt while suspended", rig->index);
	if (!(rig->resuming && sim_plant(rig->sim, PLANT_CONFIG_LOST, 1)))
		rig->config_calls++;
}

static void wake_queue(struct device_runtime *runtime, unsigned queue)
{
	struct rig *rig = rig_of(runtime);

	if (!(rig->resuming && sim_plant(rig->sim, PLANT_WAKE_LOST, 1)))
		rig->wake[queue] = true;
}

static void settle(struct device_runtime *runtime)
{
	assert(!rig_of(runtime)->excluded);
	rig_of(runtime)->settle = true;
}

static void set_deadline(struct device_runtime *runtime, uint64_t at_ms)
{
	rig_of(runtime)->deadline = at_ms;
}

static void queue_changed(struct device_runtime *runtime, unsigned queue, bool started)
{
	struct rig *rig = rig_of(runtime);
	bool edge;

	rig->poll_fd[queue] = started ? device_queue_poll_fd(rig->device, queue, &edge) : -1;
}

static void forget(struct device_runtime *runtime, bool everything)
{
}

static const struct device_runtime_ops rig_ops = {
	.exclude_begin = exclude_begin,
	.exclude_end = exclude_end,
	.notify_queue = notify_queue,
	.notify_config = notify_config,
	.wake_queue = wake_queue,
	.settle = settle,
	.set_deadline = set_deadline,
	.queue_changed = queue_changed,
	.forget = forget,
};

void rig_init(struct rig *rig, struct sim *sim, unsigned index)
{
	struct device_options options = {.name = index ? "sim1" : "sim0",
					 .queue_size = RING,
					 .asids = 1,
					 .packed = true,
					 .suspend_timeout_ms = sim->timeout};
	struct blk_options blk = {.queues = QUEUES, .queue_size = RING, .write_cache = true};
	struct model *model;
	int r;

	memset(rig, 0, sizeof(*rig));
	rig->runtime.ops = &rig_ops;
	rig->sim = sim;
	rig->index = index;
	rig->poll_fd[0] = rig->poll_fd[1] = -1;
	rig->disk = disk_new(sim, index);
	rig->capacity = SECTORS;
	r = blk_new(&blk, &rig->disk->block, &model, NULL);
	assert(r == 0);
	r = device_new(&options, model, &rig->runtime, &rig->device, NULL);
	assert(r == 0);
	r = device_set_client(rig->device, &sim->ram.memory);
	assert(r == 0);
}

/* Ends it, however it stands: the disk gives everything back. */
void rig_destroy(struct rig *rig)
{
	for (unsigned i = 0; i < MAX_OPS; i++)
		if (rig->disk->ops[i].request) {
			rig->disk->ops[i].finished = true;
			rig->disk->ops[i].error = -ECANCELED;
		}
	rig->disk->stubborn = false;
	rig_reset(rig, EV_DRIVER_GONE);
	for (unsigned i = 0; i < 100 && device_state(rig->device) != STATE_RESET; i++) {
		for (unsigned q = 0; q < QUEUES; q++)
			device_run_queue(rig->device, q, 1);
		device_settle(rig->device);
	}
	device_free(rig->device);
}

/* --- What a suspended device keeps --------------------------------------------------------------
 */

static void look(struct rig *rig, uint32_t *bases, uint8_t *config, uint32_t *generation)
{
	for (unsigned q = 0; q < QUEUES; q++)
		device_get_vq_state(rig->device, q, &bases[q]);
	device_get_config(rig->device, 0, config, device_get_config_size(rig->device));
	*generation = device_get_generation(rig->device);
}

/* Whoever goes on from here, here or elsewhere, may need kicks: they are asked for. */
static void check_kicks(struct rig *rig, unsigned q)
{
	struct sim *sim = rig->sim;
	const struct guest_queue *queue = &sim->guest.queues[q];
	bool wanted = !(vq_used_flags(&queue->vq) & 1);

	if (sim->event_idx)
		wanted = vq_avail_event(&queue->vq) == (rig->bases[q] & 0xffff);
	if (!wanted)
		sim_fail(sim, "device %u: suspended, and queue %u wants no kicks", rig->index, q);
}

/* Ring entries of requests that are kept in flight: one each; packed: their descriptors. */
static unsigned count_parked(struct rig *rig, unsigned q)
{
	struct sim *sim = rig->sim;
	const struct inflight_packed *packed = sim_packed_record(sim, q);
	const struct inflight_record *split = sim_record(sim, q);
	unsigned n = 0;

	for (unsigned i = 0; sim->recorded && i < RING; i++) {
		if (!sim->packed)
			n += split->desc[i].inflight;
		else if (packed->desc[i].inflight)
			n += packed->desc[i].num;
	}
	if (!sim->recorded && device_save(rig->device, &sim->snapshot, NULL) == 0)
		n = sim->snapshot.queues[q].in_flight_count;
	sim->parked += n;
	return n;
}

/* How far the base is ahead of what is used. */
static unsigned prefetch(const struct rig *rig, unsigned q)
{
	const struct sim *sim = rig->sim;
	uint32_t base = rig->bases[q];

	if (!sim->packed)
		return (uint16_t)(base - vq_used_index(&sim->guest.queues[q].vq));
	return (base & 0x7fff) + ((base ^ base >> 16) & 0x8000 ? RING : 0) - (base >> 16 & 0x7fff);
}

/* Suspended as of now: what has to hold at once, and what has to stay as it is. */
static void begin_suspension(struct rig *rig)
{
	struct sim *sim = rig->sim;

	rig->frozen = true;
	assert(device_get_config_size(rig->device) <= sizeof(rig->config));
	look(rig, rig->bases, rig->config, &rig->generation);
	if (device_in_flight(rig->device) || rig->disk->outstanding)
		sim_fail(sim,
			 "device %u: suspended with %u requests and %u operations in flight (S3)",
			 rig->index, device_in_flight(rig->device), rig->disk->outstanding);
	for (unsigned q = 0; q < sim->queues && rig->index == sim->active; q++) {
		const struct guest_queue *queue = &sim->guest.queues[q];

		unsigned parked = count_parked(rig, q);

		if (queue->enabled && prefetch(rig, q) != parked)
			sim_fail(sim,
				 "device %u: base 0x%x of queue %u is %u ahead, %u parked (S6)",
				 rig->index, rig->bases[q], q, prefetch(rig, q), parked);
		if (queue->enabled && !sim->packed)
			check_kicks(rig, q);
	}
}

static void check_suspension(struct rig *rig)
{
	struct sim *sim = rig->sim;
	uint32_t bases[QUEUES], generation;
	uint8_t config[sizeof(rig->config)];

	look(rig, bases, config, &generation);
	if (memcmp(bases, rig->bases, sizeof(bases)))
		sim_fail(sim, "device %u: a base moved while suspended (S6)", rig->index);
	if (generation != rig->generation ||
	    memcmp(config, rig->config, device_get_config_size(rig->device)))
		sim_fail(sim, "device %u: the config space changed while suspended (S5)",
			 rig->index);
	if (rig->index == sim->active && sim->ram.frozen && ram_changed(&sim->ram) >= 0)
		sim_fail(sim,
			 "device %u: byte 0x%" PRIx64 " of memory changed while suspended (S4)",
			 rig->index, (uint64_t)ram_changed(&sim->ram));
}

void rig_before(struct rig *rig)
{
	if (rig->frozen && rig->index == rig->sim->active)
		ram_freeze(&rig->sim->ram);
}

/* S14: it stands still as long as somebody holds it, and not longer. */
static void check_holders(struct rig *rig)
{
	struct sim *sim = rig->sim;
	enum device_state state = device_state(rig->device);
	bool ok = device_get_status(rig->device) & 4;
	bool wanted = rig->held || rig->waiting[HOLDER_DRIVER] || rig->waiting[HOLDER_OPERATOR];

	if (rig->held && ok && state == STATE_RUNNING)
		sim_fail(sim, "device %u: runs while held by 0x%x (S14)", rig->index, rig->held);
	if (!wanted && (state == STATE_SUSPENDED || state == STATE_SUSPENDING))
		sim_fail(sim, "device %u: %s, and nobody wants it", rig->index,
			 lifecycle_state_name(state));
	if (state == STATE_BROKEN && !rig->broken && !sim->guest.nonsense)
		sim_fail(sim, "device %u: broken: %s", rig->index,
			 device_broken_reason(rig->device));
}

void rig_after(struct rig *rig)
{
	if (!suspended(rig)) {
		rig->frozen = false;
	} else if (!rig->frozen) {
		begin_suspension(rig);
		sim_trace(rig->sim, "device %u: suspended at %u, %u", rig->index, rig->bases[0],
			  rig->bases[1]);
	} else {
		check_suspension(rig);
	}
	check_holders(rig);
}

/* --- The runtime's work
 * ----------------------------------------------------------------------------
 */

static void plant_while_suspended(struct rig *rig)
{
	struct sim *sim = rig->sim;

	if (!rig->frozen || rig->index != sim->active)
		return;
	if (sim_plant(sim, PLANT_CALL_SUSPENDED, 3))
		notify_queue(&rig->runtime, 0);
	if (sim_plant(sim, PLANT_WRITE_SUSPENDED, 3))
		*(uint8_t *)ram_at(&sim->ram, sim->guest.queues[0].slot_iova, 1) ^= 1;
}

/* One pass; one in eight is of a worker that polls, and looks again where there was nothing. */
static void run_queue(struct rig *rig, unsigned queue)
{
	uint64_t budget = 1 + sim_random(rig->sim, 8);

	rig->wake[queue] = false;
	rig_before(rig);
	rig->sim->in_pass = rig->index == rig->sim->active;
	switch (device_turn_queue(rig->device, queue, (unsigned)budget, budget == 8)) {
	case TURN_MORE:
	case TURN_FULL:
	case TURN_EMPTY:
		rig->wake[queue] = true;
		break;
	default:
		break;
	}
	rig->sim->in_pass = false;
	plant_while_suspended(rig);
	rig_after(rig);
}

static void run_settle(struct rig *rig)
{
	rig->settle = false;
	rig_before(rig);
	device_settle(rig->device);
	rig_after(rig);
}

bool rig_is_due(const struct rig *rig)
{
	return rig->settle || rig->wake[0] || rig->wake[1];
}

bool rig_step(struct rig *rig)
{
	unsigned at = sim_random(rig->sim, QUEUES + 1);

	for (unsigned n = 0; n <= QUEUES; n++, at = (at + 1) % (QUEUES + 1)) {
		if (at == QUEUES && rig->settle) {
			run_settle(rig);
			return true;
		}
		if (at < QUEUES && rig->wake[at]) {
			run_queue(rig, at);
			return true;
		}
	}
	return false;
}

void rig_kick(struct rig *rig, unsigned queue)
{
	if (sim_plant(rig->sim, PLANT_KICK_LOST, 1))
		return;
	rig->wake[queue] = true;
	if (rig->sim->in_pass) {
		device_kick_vq(rig->device, queue);
		return;
	}
	rig_before(rig);
	device_kick_vq(rig->device, queue);
	rig_after(rig);
}

/* Passes the time on to the device; nothing may be waited for longer than asked (S10). */
void rig_clock(struct rig *rig)
{
	struct sim *sim = rig->sim;

	/* twice: at the end of its time, too, a device parks first */
	for (unsigned i = 0; i < 2 && rig->deadline && rig->deadline <= sim->now; i++) {
		rig_before(rig);
		device_deadline(rig->device, sim->now);
		rig_after(rig);
	}
	for (unsigned i = 0; i < MAX_ASKS; i++)
		if (sim->asks[i].rig == rig && sim->asks[i].deadline < sim->now)
			sim_fail(sim, "device %u: no answer in time (S10)", rig->index);
}

/* --- Verbs with an answer ------------------------------------------------------------------------
 */

struct ask *rig_ask(struct rig *rig, enum ask_kind kind, enum device_holder holder, uint32_t ms)
{
	struct sim *sim = rig->sim;

	for (unsigned i = 0; i < MAX_ASKS; i++) {
		if (sim->asks[i].rig)
			continue;
		sim->asks[i] = (struct ask){
			.rig = rig, .kind = kind, .holder = holder, .deadline = sim->now + ms};
		return &sim->asks[i];
	}
	assert(!"room for as many verbs as can wait");
	return NULL;
}

static void suspend_answered(struct rig *rig, const struct ask *ask, int result)
{
	struct sim *sim = rig->sim;

	rig->waiting[ask->holder]--;
	if (result == 0) {
		sim->suspends++;
		if (device_get_status(rig->device) & 4 || ask->holder == HOLDER_OPERATOR)
			rig->held |= ask->holder;
		if (device_get_status(rig->device) & 4 && !suspended(rig))
			sim_fail(sim, "device %u: suspend succeeded in state %s", rig->index,
				 lifecycle_state_name(device_state(rig->device)));
	} else if (result == -ETIMEDOUT) {
		sim->timeouts++;
		if (ask->deadline > sim->now)
			sim_fail(sim, "device %u: a time-out before its time", rig->index);
	} else if (result == -EBUSY && ask->holder == HOLDER_DRIVER) {
		sim_trace(sim, "device %u: requests are parked for an operator", rig->index);
	} else if (result != -ECANCELED && result != -EIO) {
		sim_fail(sim, "device %u: suspend answered %d", rig->index, result);
	}
}

static void reset_answered(struct rig *rig, int result)
{
	struct sim *sim = rig->sim;

	sim->resets++;
	if (result == 0 && device_state(rig->device) != STATE_RESET)
		sim_fail(sim, "device %u: a reset succeeded in state %s (S13)", rig->index,
			 lifecycle_state_name(device_state(rig->device)));
	if (result == -ETIMEDOUT && sim->calm)
		sim_fail(sim, "device %u: a reset timed out while the disk gave everything back",
			 rig->index);
	rig->broken = result != 0;
	if (result && result != -ETIMEDOUT)
		sim_fail(sim, "device %u: reset answered %d", rig->index, result);
	if (rig->index == sim->active && sim->guest.state == GUEST_RESETTING && result == 0)
		guest_abandon(sim);
}

void rig_answer(void *arg, int result)
{
	struct ask *ask = arg, mine = *ask;
	struct rig *rig = ask->rig;

	assert(rig); /* answered once */
	ask->rig = NULL;
	sim_trace(rig->sim, "device %u: answer %d (kind %u, holder %u)", rig->index, result,
		  mine.kind, mine.holder);
	if (mine.kind != ASK_SUSPEND || mine.holder == HOLDER_DRIVER)
		rig->sim->guest.busy--;
	if (mine.kind == ASK_SUSPEND)
		suspend_answered(rig, &mine, result);
	else if (mine.kind == ASK_RESET)
		reset_answered(rig, result);
	/* One that cannot be stopped runs on (S10). */
	if (mine.kind == ASK_STOP && (result == -ETIMEDOUT || result == -EBUSY))
		rig->sim->guest.queues[mine.queue].enabled = true;
	else if (mine.kind == ASK_STOP && result && result != -EIO)
		sim_fail(rig->sim, "device %u: a stop answered %d", rig->index, result);
	/* A queue that cannot be disabled in time breaks the device. */
	if (mine.kind == ASK_DISABLE && mine.deadline <= rig->sim->now)
		rig->broken = true;
}

void rig_suspend(struct rig *rig, enum device_holder holder, uint32_t ms, bool park)
{
	struct ask *ask = rig_ask(rig, ASK_SUSPEND, holder, ms);

	sim_trace(rig->sim, "device %u: suspend for %u, %u ms%s", rig->index, holder, ms,
		  park ? ", or park" : "");
	rig->waiting[holder]++;
	if (holder == HOLDER_DRIVER)
		rig->sim->guest.busy++;
	rig_before(rig);
	device_suspend_or_park(rig->device, holder, rig->sim->now, ms, park, rig_answer, ask);
	rig_after(rig);
}

void rig_resume(struct rig *rig, enum device_holder holder)
{
	unsigned calls = rig->config_calls;
	bool was = suspended(rig);
	int r;

	sim_trace(rig->sim, "device %u: resume for %u", rig->index, holder);
	rig_before(rig);
	rig->held &= ~(unsigned)holder;
	rig->resuming = true;
	r = device_resume(rig->device, holder);
	rig->resuming = false;
	if (r)
		sim_fail(rig->sim, "device %u: resume answered %d", rig->index, r);
	if (was && !suspended(rig)) {
		if (rig->config_calls - calls < rig->config_due)
			sim_fail(rig->sim, "device %u: a config change was never announced (S5)",
				 rig->index);
		rig->config_due = 0;
	}
	rig_after(rig);
}

void rig_reset(struct rig *rig, enum device_event event)
{
	struct sim *sim = rig->sim;
	struct ask *ask = rig_ask(rig, ASK_RESET, 0, sim->timeout);

	sim_trace(sim, "device %u: %s", rig->index, lifecycle_event_name(event));
	sim->guest.busy++;
	rig_before(rig);
	rig->held &= ~(unsigned)HOLDER_DRIVER;
	rig->config_due = rig->uncalled = 0;
	device_reset(rig->device, event, sim->now, rig_answer, ask);
	rig_after(rig);
}

/* The operator grows the disk: shown and announced now, or after resume (S5). */
void rig_resize(struct rig *rig)
{
	struct sim *sim = rig->sim;
	unsigned calls = rig->config_calls;
	bool ok = device_get_status(rig->device) & 4;

	if (rig->capacity >= IMAGE)
		return;
	rig->capacity++;
	rig_before(rig);
	if (device_resize(rig->device, rig->capacity * SECTOR, NULL))
		sim_fail(sim, "device %u: cannot be resized", rig->index);
	if (suspended(rig))
		rig->config_due = 1;
	else if (ok && rig->config_calls != calls + 1)
		sim_fail(sim, "device %u: a resize was announced %u times", rig->index,
			 rig->config_calls - calls);
	rig_after(rig);
}
