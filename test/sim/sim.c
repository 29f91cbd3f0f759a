/* The simulation's steps: who does what next, and coming to rest. See sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

uint32_t sim_random(struct sim *sim, uint32_t below)
{
	sim->random ^= sim->random << 13;
	sim->random ^= sim->random >> 7;
	sim->random ^= sim->random << 17;
	return below ? (uint32_t)(sim->random >> 32) % below : 0;
}

bool sim_chance(struct sim *sim, uint32_t one_in)
{
	return sim_random(sim, one_in) == 0;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (sim->failed)
		return;
	sim->failed = true;
	va_start(args, format);
	vsnprintf(sim->why, sizeof(sim->why), format, args);
	va_end(args);
	sim_trace(sim, "FAILED: %s", sim->why);
}

void sim_trace(struct sim *sim, const char *format, ...)
{
	va_list args;

	if (!sim->options.trace)
		return;
	va_start(args, format);
	printf("%6u [%llu] ", sim->step, (unsigned long long)sim->now);
	vprintf(format, args);
	printf("\n");
	va_end(args);
}

bool sim_plant(struct sim *sim, enum plant plant, uint32_t one_in)
{
	if (sim->options.plant != plant || !sim_chance(sim, one_in))
		return false;
	sim_trace(sim, "PLANTED: %s", plant_name(plant));
	sim->planted = true;
	return true;
}

const char *plant_name(enum plant plant)
{
	static const char *const names[PLANT_COUNT] = {
		"none",	       "wake-lost",	  "kick-lost",	"call-lost",   "call-suspended",
		"config-lost", "write-suspended", "used-twice", "base-off",    "swallowed",
		"torn",	       "stale-read",	  "late-data",	"write-again", "parked-lost",
		"record-lost", "first-call-lost",
	};

	return plant < PLANT_COUNT ? names[plant] : NULL;
}

/* --- The driver's verbs ------------------------------------------------------------------------
 */

static uint8_t *in_flight(struct sim *sim, unsigned q, unsigned i)
{
	return sim->packed ? &sim_packed_record(sim, q)->desc[i].inflight
			   : &sim_record(sim, q)->desc[i].inflight;
}

/* Forgets one request that is parked, if there is any. */
static void lose_parked(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++) {
		struct snapshot_queue *queue = &sim->snapshot.queues[q];
		bool *planted = &sim->planted;

		for (unsigned i = 0; sim->recorded && i < RING; i++)
			if (*in_flight(sim, q, i) && !*planted &&
			    sim_plant(sim, PLANT_PARKED_LOST, 1))
				*in_flight(sim, q, i) = 0;
		if (!sim->recorded && queue->in_flight_count && !*planted &&
		    sim_plant(sim, PLANT_PARKED_LOST, 1))
			queue->in_flight_count--;
	}
}

/*
 * The device is given to another: suspended, its bases set there, and reset here (S12); with the
 * saved state, too, or with the records, where requests are parked.
 */
static void move(struct sim *sim, bool saved)
{
	struct rig *from = sim_rig(sim), *to = &sim->rigs[!sim->active];
	uint32_t bases[QUEUES];
	bool late = sim_chance(sim, 2);

	if (saved && (device_save(from->device, &sim->snapshot, NULL) ||
		      device_state(to->device) != STATE_RESET))
		return;
	if (saved || sim->recorded)
		lose_parked(sim);
	to->capacity = from->capacity - 1;
	rig_resize(to);
	if (saved && device_restore(to->device, &sim->snapshot, NULL))
		sim_fail(sim, "a saved state is refused");
	memcpy(bases, from->bases, sizeof(bases));
	if (sim_plant(sim, PLANT_BASE_OFF, 1))
		bases[0] = sim->packed ? (bases[0] + 0x10001) % RING | 0x80008000
				       : (bases[0] + (sim_chance(sim, 2) ? 1 : 65535)) & 0xffff;
	sim->moves++;
	sim_trace(sim, "guest: moves to device %u%s", to->index, saved ? " by its state" : "");
	sim->guest.state = GUEST_MOVING;
	if (!late)
		rig_reset(from, sim_chance(sim, 2) ? EV_DRIVER_RESET : EV_DRIVER_GONE);
	sim->active = to->index;
	guest_up(sim, bases);
	if (late)
		rig_reset(from, EV_DRIVER_RESET);
	from->frozen = false;
}

/* Any base that a front end may come with: its own idea of the ring, or none. */
static uint32_t base_after_crash(struct sim *sim, unsigned q)
{
	const struct vq *vq = &sim->guest.queues[q].vq;
	const struct pq *pq = &sim->guest.queues[q].pq;
	uint32_t half = pq->next_used | (pq->used_wrap ? 0x8000u : 0);

	if (!sim->packed) {
		const uint16_t bases[] = {vq_used_index(vq), vq->next_avail, 0,
					  (uint16_t)sim_random(sim, 65536)};

		return bases[sim_random(sim, 4)];
	}
	/* of a record that nothing was taken with, the position is the base's */
	if (!inflight_packed_touched(sim_packed_record(sim, q), RING))
		return half | half << 16;
	half = sim_chance(sim, 2) ? half : sim_random(sim, RING) | 0x8000;
	return sim_chance(sim, 2) ? pq_base(pq) : half | half << 16;
}

/* Its process dies: what the disk had not done is gone, and nobody wrote to memory or record. */
static void kill_device(struct sim *sim, struct rig *rig)
{
	uint8_t *memory = malloc(sim->ram.size), *records = malloc(sizeof(sim->records));
	uint64_t capacity = rig->capacity;
	unsigned index = rig->index;

	assert(memory && records);
	memcpy(memory, sim->ram.bytes, sim->ram.size);
	memcpy(records, sim->records, sizeof(sim->records));
	rig_destroy(rig);
	rig_init(rig, sim, index);
	rig->disk->lazy = sim->slow;
	rig->capacity = capacity - 1;
	rig_resize(rig);
	memcpy(sim->ram.bytes, memory, sim->ram.size);
	memcpy(sim->records, records, sizeof(sim->records));
	free(memory);
	free(records);
}

/* The record forgets one request. */
static void lose_recorded(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++)
		for (unsigned i = 0; i < RING; i++)
			if (*in_flight(sim, q, i) && !sim->planted &&
			    sim_plant(sim, PLANT_RECORD_LOST, 1))
				*in_flight(sim, q, i) = 0;
}

/* Whether something is shown as used that the guest has not seen. */
static bool has_used(const struct sim *sim, unsigned q)
{
	const struct guest_queue *queue = &sim->guest.queues[q];

	return sim->packed ? pq_has_used(&queue->pq)
			   : vq_used_index(&queue->vq) != queue->vq.next_used;
}

/*
 * kill -9, and a new process in its place: the front end gives it the record and some base (S15).
 * The calls of the last pass may never have been made.
 */
static void crash(struct sim *sim)
{
	bool irq[QUEUES], call = sim_chance(sim, 3);
	uint32_t bases[QUEUES];

	sim->crashes++;
	sim_trace(sim, "device %u: killed%s", sim->active, call ? "" : " before it called");
	kill_device(sim, sim_rig(sim));
	lose_recorded(sim);
	oracle_cancelled(sim);
	for (unsigned q = 0; q < sim->queues; q++) {
		irq[q] = call && sim->guest.queues[q].irq;
		bases[q] = base_after_crash(sim, q);
	}
	for (unsigned q = 0; q < sim->queues; q++)
		if (has_used(sim, q) && !irq[q])
			sim_rig(sim)->uncalled |= 1u << q;
	guest_up(sim, bases);
	for (unsigned q = 0; q < sim->queues; q++)
		sim->guest.queues[q].irq = irq[q];
}

static void reset(struct sim *sim)
{
	sim->guest.state = GUEST_RESETTING;
	rig_reset(sim_rig(sim), sim_chance(sim, 2) ? EV_DRIVER_RESET : EV_DRIVER_GONE);
}

static void toggle_queue(struct sim *sim)
{
	unsigned q = sim_random(sim, sim->queues);
	struct guest_queue *queue = &sim->guest.queues[q];
	struct rig *rig = sim_rig(sim);
	struct ask *ask;

	queue->enabled = !queue->enabled;
	sim_trace(sim, "guest: queue %u %s", q, queue->enabled ? "on" : "off");
	sim->guest.busy++;
	ask = rig_ask(rig, sim->recorded ? ASK_STOP : ASK_DISABLE, 0, sim->timeout);
	ask->queue = q;
	rig_before(rig);
	if (sim->recorded && !queue->enabled)
		device_stop_vq(rig->device, q, sim->now, rig_answer, ask);
	else
		device_set_vq_ready(rig->device, q, queue->enabled, sim->now, rig_answer, ask);
	rig_after(rig);
}

/* Setting what is there already, and the status it already has (S11). */
static void rewrite(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);
	bool may = (rig->held & HOLDER_DRIVER) && rig->frozen;
	unsigned q = sim_random(sim, sim->queues);
	uint32_t base = 0;
	int r;

	rig_before(rig);
	device_get_vq_state(rig->device, q, &base);
	r = device_set_vq_state(rig->device, q, base);
	if (r != (may ? 0 : -EINVAL))
		sim_fail(sim, "setting a base answers %d, held by 0x%x", r, rig->held);
	r = device_set_status(rig->device, device_get_status(rig->device), sim->now);
	if (r)
		sim_fail(sim, "the status it has is refused: %d", r);
	rig_after(rig);
}

static void driver_verb(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);
	bool held = rig->held & HOLDER_DRIVER;

	if (sim->guest.busy)
		return;
	if (sim->guest.state == GUEST_DOWN) {
		guest_up(sim, NULL);
	} else if (sim->guest.state == GUEST_RESETTING ||
		   device_state(rig->device) == STATE_BROKEN || sim_chance(sim, 60)) {
		reset(sim);
	} else if (sim->recorded && sim_chance(sim, 8)) {
		crash(sim);
	} else if (held && rig->frozen && sim_chance(sim, 3)) {
		if (sim_chance(sim, 2))
			move(sim, sim_chance(sim, 4));
		else
			guest_swap(sim);
	} else if (rig->held & HOLDER_OPERATOR && rig->frozen &&
		   sim_chance(sim, sim->slow ? 2 : 4)) {
		move(sim, true);
	} else if (held && sim_chance(sim, 2)) {
		rig_resume(rig, HOLDER_DRIVER);
	} else if (sim_chance(sim, sim->slow && !sim->recorded ? 50 : 4)) {
		toggle_queue(sim);
	} else if (sim_chance(sim, 3)) {
		guest_remap(sim);
	} else if (sim_chance(sim, 3)) {
		rewrite(sim);
	} else if (sim_chance(sim, 100)) {
		guest_nonsense(sim);
	} else {
		rig_suspend(rig, HOLDER_DRIVER, sim_chance(sim, 3) ? 1 + sim_random(sim, 30) : 200,
			    false);
	}
}

static void operator_verb(struct sim *sim)
{
	struct rig *rig = &sim->rigs[sim_random(sim, 2)];

	/* who has a slow disk parks it */
	if (sim->slow && sim_chance(sim, 2) && !sim_rig(sim)->waiting[HOLDER_OPERATOR]) {
		rig_suspend(sim_rig(sim), HOLDER_OPERATOR, 2 + sim_random(sim, 20), true);
		return;
	}
	switch (sim_random(sim, 6)) {
	case 0:
		if (rig->waiting[HOLDER_OPERATOR] < 4)
			rig_suspend(rig, HOLDER_OPERATOR, 1 + sim_random(sim, 2 * sim->timeout),
				    sim_chance(sim, 2));
		break;
	case 1:
		rig_resize(sim_rig(sim));
		break;
	case 2:
		rig->disk->stubborn = sim_chance(sim, 4);
		rig->disk->lazy = sim->slow || sim_chance(sim, 4);
		break;
	default:
		if (rig->held & HOLDER_OPERATOR || rig->waiting[HOLDER_OPERATOR])
			rig_resume(rig, HOLDER_OPERATOR);
	}
}

/* --- Coming to rest -----------------------------------------------------------------------------
 */

/* Lets everything happen that is due, and nothing else: no kick, no look without an interrupt. */
static void process_queue(struct sim *sim)
{
	for (unsigned limit = 99999; limit && !sim->failed; limit--) {
		bool due = false;

		for (unsigned i = 0; i < 2; i++) {
			due |= rig_step(&sim->rigs[i]) || sim->rigs[i].disk->outstanding;
			disk_step(sim->rigs[i].disk);
		}
		for (unsigned q = 0; q < sim->queues; q++)
			due |= sim->guest.queues[q].irq;
		if (sim->guest.state == GUEST_UP)
			guest_interrupts(sim);
		else
			sim->guest.queues[0].irq = sim->guest.queues[1].irq = false;
		if (!due)
			return;
		/* What the disk has swallowed never becomes due: time has to end the wait. */
		if (limit % 1000 == 0) {
			sim->now += 100;
			rig_clock(&sim->rigs[0]);
			rig_clock(&sim->rigs[1]);
		}
		if (limit == 1)
			sim_fail(sim, "it never comes to rest: lost");
	}
}

/* One reason why requests would not come back is removed; false: there is none. */
static bool calm_down(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);

	if (sim->guest.busy)
		sim_fail(sim, "%u verbs are never answered", sim->guest.busy);
	else if (sim->guest.state == GUEST_RESETTING || device_state(rig->device) == STATE_BROKEN)
		reset(sim);
	else if (sim->guest.state == GUEST_DOWN)
		guest_up(sim, NULL);
	else if (rig->held & HOLDER_DRIVER)
		rig_resume(rig, HOLDER_DRIVER);
	else if (!sim->guest.queues[0].enabled ||
		 (sim->queues > 1 && !sim->guest.queues[1].enabled))
		toggle_queue(sim);
	else
		return false;
	return true;
}

static void check_lost(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++)
		for (unsigned i = 0; i < SLOTS; i++)
			if (sim->guest.queues[q].slots[i].in_flight)
				sim_fail(sim, "queue %u, slot %u did not come back: lost", q, i);
}

void sim_drain(struct sim *sim)
{
	sim->drains++;
	sim_trace(sim, "comes to rest");
	sim->calm = true;
	sim->late_posts = 6;
	for (unsigned i = 0; i < 2; i++) {
		sim->rigs[i].disk->stubborn = sim->rigs[i].disk->lazy = false;
		rig_resume(&sim->rigs[i], HOLDER_OPERATOR);
	}
	process_queue(sim);
	for (unsigned limit = 50; !sim->failed && calm_down(sim); limit--) {
		if (!limit)
			sim_fail(sim, "it never calms down");
		process_queue(sim);
	}
	if (sim_rig(sim)->uncalled)
		sim_fail(sim, "device %u: after a kill nobody was called of what was used",
			 sim->active);
	if (!sim->failed)
		guest_listen(sim);
	process_queue(sim);
	if (!sim->failed && device_state(sim_rig(sim)->device) != STATE_RUNNING)
		sim_fail(sim, "device %u: %s when all is calm", sim->active,
			 lifecycle_state_name(device_state(sim_rig(sim)->device)));
	check_lost(sim);
	if (!sim->failed)
		oracle_image(sim);
	oracle_memory(sim);
	sim->calm = false;
	sim->rigs[0].disk->lazy = sim->rigs[1].disk->lazy = sim->slow;
}

/* --- A life
 * --------------------------------------------------------------------------------------- */

static void take_time(struct sim *sim)
{
	sim->now += 1 + sim_random(sim, 10);
	rig_clock(&sim->rigs[0]);
	rig_clock(&sim->rigs[1]);
}

static void take_step(struct sim *sim)
{
	uint32_t who = sim_random(sim, 1000);

	if (who < 350)
		guest_step(sim);
	else if (who < 650)
		rig_step(&sim->rigs[sim_chance(sim, 8) ? !sim->active : sim->active]);
	else if (who < 880)
		disk_step(sim_rig(sim)->disk);
	else if (who < 920)
		take_time(sim);
	else if (who < 975)
		driver_verb(sim);
	else if (who < 995)
		operator_verb(sim);
	else if (who < 998)
		oracle_memory(sim);
	else
		sim_drain(sim);
}

bool sim_run(struct sim *sim, const struct sim_options *options)
{
	memset(sim, 0, sizeof(*sim));
	sim->options = *options;
	sim->random = options->seed * UINT64_C(0x9e3779b97f4a7c15) + 88172645463325252ull;
	sim->now = 1000;
	for (unsigned i = 0; i < 10; i++)
		sim_random(sim, 2);
	sim->queues = 1 + sim_random(sim, 2);
	sim->packed = sim_chance(sim, 3);
	sim->event_idx = sim_chance(sim, 2);
	sim->indirect = sim_chance(sim, 2);
	sim->slow = sim_chance(sim, 3);
	sim->timeout = sim->slow ? 30 : 200;
	sim->recorded = sim_chance(sim, 3);
	guest_init(sim);
	oracle_init(sim);
	rig_init(&sim->rigs[0], sim, 0);
	rig_init(&sim->rigs[1], sim, 1);
	sim->rigs[0].disk->lazy = sim->rigs[1].disk->lazy = sim->slow;
	for (sim->step = 0; sim->step < options->steps && !sim->failed; sim->step++)
		take_step(sim);
	if (!sim->failed)
		sim_drain(sim);
	sim->options.plant = PLANT_NONE;
	rig_destroy(&sim->rigs[0]);
	rig_destroy(&sim->rigs[1]);
	ram_destroy(&sim->ram);
	return !sim->failed;
}
