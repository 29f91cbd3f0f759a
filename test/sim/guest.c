/* The guest of the simulation: its rings, kicks and interrupts. See sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <string.h>

#include "wire/vhost.h"

#define BASE UINT64_C(0x1000000)
#define HALF (UINT64_C(128) << 10)

/* A slot's buffers: header, data (in one piece or two), status. Returns how many. */
static unsigned buffers_of(struct sim *sim, struct guest_queue *queue, unsigned index,
			   struct pq_buffer *buffers)
{
	const struct slot *slot = &queue->slots[index];
	uint64_t at = queue->slot_iova + (uint64_t)index * SLOT_SIZE;
	uint32_t size = slot->count * SECTOR;
	uint16_t way = slot->type == VIRTIO_BLK_T_IN ? D_WRITE : 0;
	uint32_t cut = size && sim_chance(sim, 3) ? 1 + sim_random(sim, size - 1) : 0;
	unsigned n = 0;

	buffers[n++] = (struct pq_buffer){at + SLOT_HEADER, 16, 0};
	if (cut)
		buffers[n++] = (struct pq_buffer){at + SLOT_DATA, cut, way};
	if (size)
		buffers[n++] = (struct pq_buffer){at + SLOT_DATA + cut, size - cut, way};
	buffers[n++] = (struct pq_buffer){at + SLOT_STATUS, 1, D_WRITE};
	return n;
}

/* The slot's own table, or the ring's descriptors from `head` on. */
static void fill_table(struct sim *sim, uint64_t table, uint16_t head,
		       const struct pq_buffer *buffers, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint16_t flags = (uint16_t)(buffers[i].flags | (i + 1 < n ? D_NEXT : 0));
		uint64_t at = table + 16u * (head + i);

		/* The last two fields: flags and next; packed: id, of no meaning here, and flags.
		 */
		if (sim->packed)
			vq_desc_at(&sim->ram, at, buffers[i].addr, buffers[i].len, 0,
				   flags & D_WRITE);
		else
			vq_desc_at(&sim->ram, at, buffers[i].addr, buffers[i].len, flags,
				   (uint16_t)(head + i + 1));
	}
}

static void offer(struct sim *sim, struct guest_queue *queue, unsigned index)
{
	uint64_t table = queue->slot_iova + (uint64_t)index * SLOT_SIZE + SLOT_TABLE;
	uint16_t head = (uint16_t)(4 * index);
	struct pq_buffer buffers[4], indirect;
	unsigned n = buffers_of(sim, queue, index, buffers);

	indirect = (struct pq_buffer){table, 16 * n, D_INDIRECT};
	if (sim->indirect && sim_chance(sim, 2)) {
		fill_table(sim, table, 0, buffers, n);
		if (sim->packed)
			pq_offer(&queue->pq, (uint16_t)index, &indirect, 1);
		else
			vq_desc(&queue->vq, head, table, 16 * n, D_INDIRECT, 0);
	} else if (sim->packed) {
		pq_offer(&queue->pq, (uint16_t)index, buffers, n);
	} else {
		fill_table(sim, queue->vq.desc, head, buffers, n);
	}
	if (!sim->packed)
		vq_offer(&queue->vq, head);
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
	offer(sim, queue, index);
	sim->guest.posted++;
	sim_trace(sim, "guest: queue %u, slot %u: type %u, sector %u+%u, generation %llu", q, index,
		  slot->type, slot->sector, slot->count, (unsigned long long)slot->generation);
	if (!sim->calm && sim_chance(sim, 3))
		queue->kick_due = true;
	else
		guest_kick(sim, q);
}

/*
 * In the midst of a pass, between any two accesses of the device to memory that it has to copy:
 * what a guest on another processor does. All races over rings are made of this.
 */
static void meanwhile(void *arg)
{
	struct sim *sim = arg;

	if (!sim->in_pass || sim->guest.state != GUEST_UP || !sim_chance(sim, sim->calm ? 6 : 30))
		return;
	/* Some also when all comes to rest: then nothing that follows heals what was missed. */
	if (sim->calm && (!sim->late_posts || !sim->late_posts--))
		return;
	post(sim, sim_random(sim, sim->queues));
}

/* Kicks if the device asked for it. */
void guest_kick(struct sim *sim, unsigned q)
{
	struct guest_queue *queue = &sim->guest.queues[q];

	queue->kick_due = false;
	if (sim->packed ? !pq_wants_kick(&queue->pq)
			: !vq_wants_kick(&queue->vq, queue->kicked_at, sim->event_idx))
		return;
	queue->kicked_at = queue->vq.next_avail;
	sim_trace(sim, "guest: kick of queue %u", q);
	rig_kick(sim_rig(sim), q);
}

static unsigned out_of(const struct guest_queue *queue)
{
	unsigned n = 0;

	for (unsigned i = 0; i < SLOTS; i++)
		n += queue->slots[i].in_flight;
	return n;
}

static bool has_used(const struct sim *sim, const struct guest_queue *queue)
{
	return sim->packed ? pq_has_used(&queue->pq)
			   : vq_used_index(&queue->vq) != queue->vq.next_used;
}

/* The next used slot, or SLOTS: not one of ours. */
static bool next_used(struct sim *sim, struct guest_queue *queue, unsigned *index, uint32_t *len)
{
	struct vq_used used;
	uint16_t id = 0;

	if (sim->packed) {
		if (!pq_take_used(&queue->pq, &id, len))
			return false;
		*index = id < SLOTS ? id : SLOTS;
		return true;
	}
	if (!vq_take_used(&queue->vq, &used))
		return false;
	*index = used.id % 4 || used.id / 4 >= SLOTS ? SLOTS : used.id / 4;
	*len = used.len;
	return true;
}

static void take_used(struct sim *sim, unsigned q)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	bool again = !sim->packed && has_used(sim, queue) && sim_plant(sim, PLANT_USED_TWICE, 10);
	unsigned index;
	uint32_t len;

	while (next_used(sim, queue, &index, &len)) {
		if (index == SLOTS || !queue->slots[index].in_flight) {
			sim_fail(sim, "queue %u: slot %u came back, and was not out: duplicated", q,
				 index);
			return;
		}
		sim_trace(sim, "guest: queue %u, slot %u is back", q, index);
		oracle_complete(sim, queue, index, len);
		sim->guest.completed++;
		if (again)
			queue->vq.next_used--; /* as if it had been written into two entries */
	}
}

/* From when on it wants interrupts: at once, or only later while others are in flight. */
static bool arm(struct sim *sim, unsigned q, bool at_once)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	uint16_t later = at_once ? 0 : (uint16_t)sim_random(sim, out_of(queue) + 1u);

	queue->deaf = later > 2;
	if (sim->packed && queue->deaf && !sim->event_idx)
		pq_no_calls(&queue->pq);
	else if (sim->packed)
		pq_want_calls(&queue->pq, sim->event_idx, queue->deaf ? later - 1 : 0);
	else if (sim->event_idx)
		vq_set_used_event(&queue->vq,
				  (uint16_t)(queue->vq.next_used + (queue->deaf ? later - 1 : 0)));
	else
		vq_set_avail_flags(&queue->vq, queue->deaf ? VRING_AVAIL_F_NO_INTERRUPT : 0);
	atomic_thread_fence(memory_order_seq_cst);
	return has_used(sim, queue);
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
		if (sim->recorded)
			sim_clear_record(sim, q);
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

/* The same memory in other pieces, at once, while requests are in flight in the old ones. */
void guest_remap(struct sim *sim)
{
	struct rig *rig = sim_rig(sim);

	sim_trace(sim, "guest: maps its memory anew");
	device_dma_batch(rig->device, true);
	unmap(sim);
	guest_map(sim);
	rig_before(rig);
	device_dma_batch(rig->device, false);
	rig_after(rig);
}

void guest_nonsense(struct sim *sim)
{
	struct guest_queue *queue = &sim->guest.queues[0];
	struct pq_buffer nowhere = {0xdead0000, 16, 0};

	sim_trace(sim, "guest: nonsense");
	sim->guest.nonsense = true;
	if (sim->packed)
		pq_offer(&queue->pq, SLOTS, &nowhere, 1);
	else
		vq_announce(&queue->vq, (uint16_t)(queue->vq.next_avail + RING + 1));
	rig_kick(sim_rig(sim), 0);
}

static void init_queue(struct sim *sim, unsigned q, uint64_t at)
{
	struct guest_queue *queue = &sim->guest.queues[q];

	memset(queue, 0, sizeof(*queue));
	at = sim->packed ? pq_init(&queue->pq, &sim->ram, RING, at)
			 : vq_init(&queue->vq, &sim->ram, RING, at);
	queue->slot_iova = (at + 63) & ~UINT64_C(63);
	memset(ram_at(&sim->ram, queue->slot_iova, SLOTS * SLOT_SIZE), CANARY, SLOTS * SLOT_SIZE);
}

void guest_init(struct sim *sim)
{
	static const enum ram_kind kinds[] = {RAM_DIRECT, RAM_DIRECT, RAM_DIRECT,
					      RAM_MAPPED, RAM_MIXED,  RAM_COPIED};

	ram_init(&sim->ram, kinds[sim_random(sim, 6)], 2 * HALF);
	sim->ram.region = 1000;
	sim->ram.hook = meanwhile;
	sim->ram.hook_arg = sim;
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
	uint16_t at = (uint16_t)(sim_chance(sim, 2) ? 65536 - sim_random(sim, 40) : 0);

	if (sim->packed) {
		pq_start_at(&queue->pq, at % RING, at % 3);
		return;
	}
	vq_init(&queue->vq, &sim->ram, RING, queue->vq.desc);
	vq_start_at(&queue->vq, at);
	queue->kicked_at = at;
}

static void setup_queue(struct sim *sim, unsigned q, const uint32_t *bases)
{
	struct guest_queue *queue = &sim->guest.queues[q];
	struct device *device = sim_rig(sim)->device;
	const struct pq *pq = &queue->pq;
	const struct vq *vq = &queue->vq;
	uint32_t base;
	int r;

	if (!bases)
		fresh_ring(sim, queue);
	if (!bases && sim->recorded)
		sim_clear_record(sim, q);
	base = bases ? bases[q] : sim->packed ? pq_base(pq) : vq->next_avail;
	r = device_set_vq_num(device, q, RING);
	if (!r && sim->packed)
		r = device_set_vq_address(device, q, pq->desc, pq->driver, pq->device);
	else if (!r)
		r = device_set_vq_address(device, q, vq->desc, vq->avail, vq->used);
	if (!r && sim->recorded)
		r = device_set_vq_record(device, q, sim_record(sim, q));
	if (sim->recorded)
		device_set_export_rules(device, EXPORT_MOVES_RECORDS);
	r = r ? r : device_set_vq_state(device, q, base);
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

	features |= sim->packed ? 1ull << VIRTIO_F_RING_PACKED : 0;
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
