/* The judgement of the simulation: what may be where. See sim.h. */
#include "sim/sim.h"

#include <linux/virtio_blk.h>
#include <string.h>

void oracle_init(struct sim *sim)
{
	for (unsigned s = 0; s < IMAGE; s++)
		sector_fill(sim->image + s * SECTOR, s, 0);
	for (unsigned s = 0; s < SECTORS; s++)
		sim->sectors[s] = (struct sector){.maybes = 1};
}

static void add_maybe(struct sector *sector, uint64_t generation)
{
	if (sector->maybes < MAYBE)
		sector->maybe[sector->maybes++] = generation;
}

/* Whether the sectors are free for it: no reader of what is written, one writer, room to remember.
 */
static bool is_free(const struct sim *sim, unsigned from, unsigned count, bool write)
{
	for (unsigned s = from; s < from + count; s++) {
		const struct sector *sector = &sim->sectors[s];

		if (sector->written || (write && (sector->readers || sector->maybes >= MAYBE)))
			return false;
	}
	return true;
}

static void claim(struct sim *sim, const struct slot *slot, int by)
{
	for (unsigned s = slot->sector; s < slot->sector + slot->count; s++) {
		if (slot->type == VIRTIO_BLK_T_OUT)
			sim->sectors[s].written = by > 0;
		else
			sim->sectors[s].readers += (unsigned)by;
	}
}

bool oracle_begin(struct sim *sim, struct guest_queue *queue, unsigned index)
{
	static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_OUT};
	struct slot *slot = &queue->slots[index];
	uint8_t *bytes = slot_bytes(sim, queue, index);
	uint64_t sector;

	slot->type = sim_chance(sim, 15) ? VIRTIO_BLK_T_FLUSH : types[sim_random(sim, 3)];
	slot->count = slot->type == VIRTIO_BLK_T_FLUSH ? 0 : 1 + sim_random(sim, MAX_DATA);
	slot->sector = sim_random(sim, SECTORS - slot->count + 1);
	if (!is_free(sim, slot->sector, slot->count, slot->type == VIRTIO_BLK_T_OUT) ||
	    sim->next_generation + 1 >= GENERATIONS)
		return false;
	slot->generation = slot->type == VIRTIO_BLK_T_OUT ? ++sim->next_generation : 0;
	sector = slot->sector;
	memset(bytes, CANARY, SLOT_SIZE);
	memset(bytes + SLOT_HEADER, 0, 16);
	memcpy(bytes + SLOT_HEADER, &slot->type, 4);
	memcpy(bytes + SLOT_HEADER + 8, &sector, 8);
	for (unsigned i = 0; slot->generation && i < slot->count; i++)
		sector_fill(bytes + SLOT_DATA + i * SECTOR, slot->sector + i, slot->generation);
	bytes[SLOT_STATUS] = 0xff;
	claim(sim, slot, 1);
	return true;
}

static void complete_write(struct sim *sim, const struct slot *slot, bool good)
{
	for (unsigned s = slot->sector; s < slot->sector + slot->count; s++) {
		if (good)
			sim->sectors[s].maybes = 0;
		add_maybe(&sim->sectors[s], slot->generation);
		if (good && !(sim->written[slot->generation] & (1u << s % 8)))
			sim_fail(sim, "generation %llu was acknowledged and never written: lost",
				 (unsigned long long)slot->generation);
	}
}

/* A sector was found to hold these bytes: one of its generations, and from now on that one. */
static void found(struct sim *sim, unsigned s, const uint8_t *bytes, const char *where)
{
	struct sector *sector = &sim->sectors[s];
	uint64_t generation = sector_generation(bytes, s);

	for (unsigned i = 0; i < sector->maybes; i++) {
		if (sector->maybe[i] != generation)
			continue;
		sector->maybe[0] = generation;
		sector->maybes = 1;
		return;
	}
	sim_fail(sim, "sector %u %s: generation %lld, expected %llu%s: corrupt", s, where,
		 (long long)generation, (unsigned long long)sector->maybe[0],
		 sector->maybes > 1 ? " or others" : "");
}

static bool is_canary(const uint8_t *bytes, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (bytes[i] != CANARY)
			return false;
	return true;
}

/* All of an idle slot, or what surrounds the buffers of one that is in flight. */
static bool is_clean(const uint8_t *bytes, const struct slot *slot)
{
	unsigned data = slot->count * SECTOR;

	if (!slot->in_flight)
		return is_canary(bytes, 0, SLOT_SIZE);
	return is_canary(bytes, 0, SLOT_HEADER) && is_canary(bytes, SLOT_HEADER + 16, SLOT_DATA) &&
	       is_canary(bytes, SLOT_DATA + data, SLOT_STATUS) &&
	       is_canary(bytes, SLOT_STATUS + 1, SLOT_TABLE) &&
	       is_canary(bytes, SLOT_TABLE + 64, SLOT_SIZE);
}

void oracle_complete(struct sim *sim, struct guest_queue *queue, unsigned index, uint32_t length)
{
	struct slot *slot = &queue->slots[index];
	const uint8_t *bytes = slot_bytes(sim, queue, index);
	uint8_t status = bytes[SLOT_STATUS];
	bool good = status == VIRTIO_BLK_S_OK, in = slot->type == VIRTIO_BLK_T_IN;

	if (status > VIRTIO_BLK_S_IOERR || (!good && !slot->failed))
		sim_fail(sim, "a request that did not fail came back with status %u", status);
	if (length != (!in ? 1 : good ? slot->count * SECTOR + 1 : 0))
		sim_fail(sim, "%u bytes written, says the device, of %u sectors", length,
			 slot->count);
	claim(sim, slot, -1);
	if (slot->type == VIRTIO_BLK_T_OUT)
		complete_write(sim, slot, good);
	for (unsigned i = 0; in && good && i < slot->count; i++)
		found(sim, slot->sector + i, bytes + SLOT_DATA + i * SECTOR, "read");
	if (!good)
		sim->guest.failed++;
	if (!is_clean(bytes, slot))
		sim_fail(sim, "bytes around the buffers of slot %u were written", index);
	slot->in_flight = false;
	/* From here on it is nobody's: whoever still writes there is found out. */
	memset(slot_bytes(sim, queue, index), CANARY, SLOT_SIZE);
}

void oracle_abandon(struct sim *sim, struct guest_queue *queue, unsigned index)
{
	struct slot *slot = &queue->slots[index];

	claim(sim, slot, -1);
	if (slot->type == VIRTIO_BLK_T_OUT)
		complete_write(sim, slot, false);
	slot->in_flight = false;
	memset(slot_bytes(sim, queue, index), CANARY, SLOT_SIZE);
}

void oracle_cancelled(struct sim *sim)
{
	for (unsigned q = 0; q < sim->queues; q++)
		for (unsigned i = 0; i < SLOTS; i++)
			if (sim->guest.queues[q].slots[i].in_flight)
				sim->again_ok[sim->guest.queues[q].slots[i].generation] = 0xff;
}

void oracle_written(struct sim *sim, unsigned sector, uint64_t generation)
{
	uint8_t bit = (uint8_t)(1u << sector % 8);

	if (!generation || generation > sim->next_generation)
		sim_fail(sim, "sector %u is written with what the guest never wrote", sector);
	else if (sim->written[generation] & sim->again_ok[generation] & bit)
		sim->again_ok[generation] &= (uint8_t)~bit;
	else if (sim->written[generation] & bit)
		sim_fail(sim, "generation %llu is written twice: duplicated",
			 (unsigned long long)generation);
	else
		sim->written[generation] |= bit;
}

void oracle_failed(struct sim *sim, unsigned sector, unsigned count)
{
	for (unsigned q = 0; q < sim->queues; q++) {
		for (unsigned i = 0; i < SLOTS; i++) {
			struct slot *slot = &sim->guest.queues[q].slots[i];

			if (slot->in_flight && (!count ? !slot->count
						       : sector < slot->sector + slot->count &&
								 slot->sector < sector + count))
				slot->failed = true;
		}
	}
}

void oracle_image(struct sim *sim)
{
	for (unsigned s = 0; s < SECTORS; s++)
		found(sim, s, sim->image + s * SECTOR, "in the image");
}

void oracle_memory(struct sim *sim)
{
	const uint8_t *other = sim->ram.bytes + !sim->half * (sim->ram.size / 2);

	for (unsigned q = 0; q < sim->queues; q++) {
		const struct guest_queue *queue = &sim->guest.queues[q];

		for (unsigned i = 0; i < SLOTS; i++)
			if (!is_clean(slot_bytes(sim, queue, i), &queue->slots[i]))
				sim_fail(sim,
					 "queue %u, slot %u: memory that is nobody's was written",
					 q, i);
	}
	for (unsigned i = 0; i < sim->ram.size / 2 && sim->swapped; i++)
		if (other[i] != 0xdd) {
			sim_fail(sim, "byte 0x%x of memory that was taken away was written", i);
			break;
		}
}
