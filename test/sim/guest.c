/* The guest of the simulation: its rings, kicks and interrupts. See sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "wire/vhost.h"

#define BASE UINT64_C(0x1000000)
#define HALF (UINT64_C(128) << 10)

/* Three descriptors of a slot, or one that names the slot's table. */
static void describe(struct sim *sim, struct guest_queue *queue, unsigned index)
{
	const struct slot *slot = &queue->slots[index];
	uint64_t at = queue->slot_iova + (uint64_t)index * SLOT_SIZE;
	uint32_t size = slot->count * SECTOR;
	uint16_t head = (uint16_t)(4 * index), next = head;
	bool in = slot->type == VIRTIO_BLK_T_IN, indirect = sim->indirect && sim_chance(sim, 2);
	uint64_t table = indirect ? at + SLOT_TABLE : queue->vq.desc;
	uint32_t cut = size && sim_chance(sim, 3) ? 1 + sim_random(sim, size - 1) : 0;

	if (indirect) {
		vq_desc(&queue->vq, head, table, 16u * (2 + (size > 0) + (cut > 0)), D_INDIRECT, 0);
		next = 0;
	}
#define ADD(addr, len, flags)                                                       \
	vq_desc_at(&sim->ram, table + 16u * next, addr, len,                        \
		   (uint16_t)((flags) | ((addr) == at + SLOT_STATUS ? 0 : D_NEXT)), \
		   (uint16_t)(next + 1)),                                           \
		next++
	ADD(at + SLOT_HEADER, 16, 0);
	if (cut)
		ADD(at + SLOT_DATA, cut, in ? D_WRITE : 0);
	if (size)
		ADD(at + SLOT_DATA + cut, size - cut, in ? D_WRITE : 0);
	ADD(at + SLOT_STATUS, 1, D_WRITE);
#undef ADD
}

static void post(struct sim *sim, unsigned q)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	unsigned index = sim_random(sim, SLOTS);
	struct slot *slot = &queue->slots[index];

	if (slot->in_flight || !oracle_begin(sim, queue, index))
		return;
	slot->in_flight = true;
	slot->failed = false;
	describe(sim, queue, index);
	vq_offer(&queue->vq, (uint16_t)(4 * index));
	sim->guest.posted++;
	sim_trace(sim, "guest: queue %u, slot %u: type %u, sector %u+%u, generation %llu", q, index,
		  slot->type, slot->sector, slot->count, (unsigned long long)slot->generation);
	if (sim_chance(sim, 3))
		queue->kick_due = true;
	else
		guest_kick(sim, q);
}

/* Kicks if the device asked for it. */
void guest_kick(struct sim *sim, unsigned q)
{
	struct guest_queue *queue = &sim->guest.queues[q];

	queue->kick_due = false;
	if (!vq_wants_kick(&queue->vq, queue->kicked_at, sim->event_idx))
		return;
	queue->kicked_at = queue->vq.next_avail;
	sim_trace(sim, "guest: kick of queue %u", q);
	rig_kick(sim_rig(sim), q);
}

static void take_used(struct sim *sim, unsigned q)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	struct vq_used used;

	if (!sim->planted && vq_used_index(&queue->vq) != queue->vq.next_used &&
	    sim_plant(sim, PLANT_USED_TWICE, 10))
		queue->vq.next_used--;
	while (vq_take_used(&queue->vq, &used)) {
		unsigned index = used.id / 4;

		if (used.id % 4 || index >= SLOTS || !queue->slots[index].in_flight) {
			sim_fail(sim,
				 "queue %u: descriptor %u came back, and was not out: duplicated",
				 q, used.id);
			return;
		}
		sim_trace(sim, "guest: queue %u, slot %u is back", q, index);
		oracle_complete(sim, queue, index, used.len);
		sim->guest.completed++;
	}
}

/* From when on it wants interrupts: at once, or only later while others are in flight. */
static bool arm(struct sim *sim, unsigned q, bool at_once)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	uint16_t out = (uint16_t)(queue->vq.next_avail - queue->vq.next_used);
	uint16_t later = at_once || out < 3 ? 0 : (uint16_t)sim_random(sim, out);

	queue->deaf = later > 2;
	if (sim->event_idx)
		vq_set_used_event(&queue->vq,
				  (uint16_t)(queue->vq.next_used + (queue->deaf ? later : 0)));
	else
		vq_set_avail_flags(&queue->vq, queue->deaf ? VRING_AVAIL_F_NO_INTERRUPT : 0);
	atomic_thread_fence(memory_order_seq_cst);
	return vq_used_index(&queue->vq) != queue->vq.next_used;
}

static void handle_irq(struct sim *sim, unsigned q, bool at_once)
{
	sim->guest.queues[q].irq = false;
	do
		take_used(sim, q);
	while (!sim->failed && arm(sim, q, at_once));
}

void guest_interrupts(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++)
		if (sim->guest.queues[q].irq)
			handle_irq(sim, q, sim->calm || sim_chance(sim, 2));
}

void guest_listen(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++) {
		struct guest_queue *queue = &sim->guest.queues[q];

		if (queue->deaf)
			handle_irq(sim, q, true);
		/* It has thought about kicking for everything it posted. */
		if (queue->kick_due)
			guest_kick(sim, q);
	}
}

void guest_step(struct sim *sim)
{
	unsigned q = sim_random(sim, sim->queues);
	struct guest_queue *queue = &sim->guest.queues[q];

	if (sim->guest.state != GUEST_UP)
		return;
	switch (sim_random(sim, 4)) {
	case 0:
		if (queue->kick_due)
			guest_kick(sim, q);
		break;
	case 1:
		guest_interrupts(sim);
		break;
	default:
		post(sim, q);
	}
}

void guest_abandon(struct sim *sim)
{
	sim_trace(sim, "guest: gives up what is in flight");
	for (unsigned q = 0; q < sim->queues; q++) {
		struct guest_queue *queue = &sim->guest.queues[q];

		for (unsigned i = 0; i < SLOTS; i++) {
			if (!queue->slots[i].in_flight)
				continue;
			oracle_abandon(sim, queue, i);
			sim->guest.abandoned++;
		}
		queue->irq = queue->kick_due = queue->enabled = false;
	}
	sim->guest.state = GUEST_DOWN;
	sim->guest.nonsense = false;
}

/* Maps the half that is in use, in one to four pieces. */
void guest_map(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);
	uint64_t from = 0, to;
	int r;

	for (unsigned n = 1 + sim_random(sim, 4); n; n--, from = to) {
		to = n == 1 ? HALF : from + (HALF - from) / 2 + sim_random(sim, 512);
		rig_before(rig);
		r = device_dma_map(rig->device, 0, BASE + from, to - from,
				   sim->ram.uaddr + sim->half * HALF + from, 3);
		if (r)
			sim_fail(sim, "a mapping is refused: %d", r);
		rig_after(rig);
	}
}

static void unmap(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);

	rig_before(rig);
	device_dma_unmap(rig->device, 0, 0, 0);
	rig_after(rig);
}

/*
 * Other memory with the same contents at the same addresses, while nothing runs: what the device
 * remembers of the old place is poison.
 */
void guest_swap(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);
	bool batch = sim_chance(sim, 2);
	uint8_t *old = sim->ram.bytes + sim->half * HALF;

	sim_trace(sim, "guest: exchanges its memory%s", batch ? " in a batch" : "");
	sim->half = !sim->half;
	sim->swapped = true;
	memcpy(sim->ram.bytes + sim->half * HALF, old, HALF);
	memset(old, 0xdd, HALF);
	sim->ram.iova = BASE - sim->half * HALF;
	if (batch)
		device_dma_batch(rig->device, true);
	unmap(sim);
	guest_map(sim);
	if (batch) {
		rig_before(rig);
		device_dma_batch(rig->device, false);
		rig_after(rig);
	}
}

void guest_nonsense(struct sim *sim)
{
	struct vq *vq = &sim->guest.queues[0].vq;

	sim_trace(sim, "guest: nonsense");
	sim->guest.nonsense = true;
	vq_announce(vq, (uint16_t)(vq->next_avail + RING + 1));
	rig_kick(sim_rig(sim), 0);
}

static void init_queue(struct sim *sim, unsigned q, uint64_t at)
{
	struct guest_queue *queue = &sim->guest.queues[q];

	memset(queue, 0, sizeof(*queue));
	at = vq_init(&queue->vq, &sim->ram, RING, at);
	queue->slot_iova = (at + 63) & ~UINT64_C(63);
	memset(ram_at(&sim->ram, queue->slot_iova, SLOTS * SLOT_SIZE), CANARY, SLOTS * SLOT_SIZE);
}

void guest_init(struct sim *sim)
{
	ram_init(&sim->ram,
		 sim_chance(sim, 4)   ? RAM_MIXED
		 : sim_chance(sim, 4) ? RAM_COPIED
				      : RAM_DIRECT,
		 2 * HALF);
	sim->ram.stretch = 1000;
	sim->ram.iova = BASE;
	for (unsigned q = 0; q < sim->queues; q++)
		init_queue(sim, q, BASE + q * (HALF / 2));
}

uint8_t *slot_bytes(struct sim *sim, const struct guest_queue *queue, unsigned slot)
{
	return ram_at(&sim->ram, queue->slot_iova + (uint64_t)slot * SLOT_SIZE, SLOT_SIZE);
}

/* A ring from the beginning, at a base of the driver's choice. */
static void fresh_ring(struct sim *sim, struct guest_queue *queue)
{
	vq_init(&queue->vq, &sim->ram, RING, queue->vq.desc);
	vq_start_at(&queue->vq, (uint16_t)(sim_chance(sim, 2) ? 65536 - sim_random(sim, 40) : 0));
	queue->kicked_at = queue->vq.next_avail;
}

static void setup_queue(struct sim *sim, unsigned q, const uint32_t *bases)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	struct device *device = sim_rig(sim)->device;
	int r;

	if (!bases)
		fresh_ring(sim, queue);
	r = device_set_vq_num(device, q, RING);
	r = r ? r
	      : device_set_vq_address(device, q, queue->vq.desc, queue->vq.avail, queue->vq.used);
	r = r ? r : device_set_vq_state(device, q, bases ? bases[q] : queue->vq.next_avail);
	if (r)
		sim_fail(sim, "queue %u cannot be set up: %d", q, r);
	sim->guest.busy++;
	device_set_vq_ready(device, q, true, sim->now, rig_answer,
			    rig_ask(sim_rig(sim), ASK_OTHER, 0, 0));
	queue->enabled = true;
	arm(sim, q, true);
}

void guest_up(struct sim *sim, const uint32_t *bases)
{
	static const uint8_t steps[] = {1, 3, 0xb, 0xf};
	struct rig *rig = sim_rig(sim);
	uint64_t features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
			    1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_MQ;

	features |= sim->event_idx ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0;
	features |= sim->indirect ? 1ull << VIRTIO_RING_F_INDIRECT_DESC : 0;
	/* The map may have outlived a reset (not the driver's leaving): it is made anew. */
	unmap(sim);
	guest_map(sim);
	for (unsigned i = 0; i < sizeof(steps); i++) {
		if (steps[i] == 0xb && device_set_driver_features(rig->device, features))
			sim_fail(sim, "features refused");
		if (steps[i] == 0xf)
			for (unsigned q = 0; q < sim->queues; q++)
				setup_queue(sim, q, bases);
		rig_before(rig);
		if (device_set_status(rig->device, steps[i], sim->now))
			sim_fail(sim, "status 0x%x refused", steps[i]);
		rig_after(rig);
	}
	sim->guest.state = GUEST_UP;
	sim_trace(sim, "guest: up on device %u", sim->active);
	/* What the device before had published without our having looked (kernel-contract 5.10). */
	for (unsigned q = 0; bases && q < sim->queues; q++)
		sim->guest.queues[q].irq = true;
}
