/* The simulated disk: one image, finished when and how the random numbers say. See sim.h. */
#include "sim/sim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct channel {
	struct block_channel channel;
	int fd; /* a name only: which queue of which rig it is */
};

static struct disk *disk_of(struct block *block)
{
	return (struct disk *)(void *)block; /* its first member */
}

void sector_fill(uint8_t *bytes, unsigned sector, uint64_t generation)
{
	for (unsigned i = 0; i < SECTOR / 8; i++) {
		uint64_t word = (generation << 8 | sector) * UINT64_C(0x9e3779b97f4a7c15) + i * 31;

		memcpy(bytes + 8 * i, i ? &word : &generation, 8);
	}
}

uint64_t sector_generation(const uint8_t *bytes, unsigned sector)
{
	uint8_t should[SECTOR];
	uint64_t generation;

	memcpy(&generation, bytes, 8);
	sector_fill(should, sector, generation);
	return memcmp(should, bytes, SECTOR) ? UINT64_MAX : generation;
}

static void copy(const struct block_request *request, uint8_t *bytes, bool out)
{
	for (unsigned i = 0; i < request->iov_count; i++) {
		size_t n = request->iov[i].iov_len;

		if (out)
			memcpy(bytes, request->iov[i].iov_base, n);
		else
			memcpy(request->iov[i].iov_base, bytes, n);
		bytes += n;
	}
}

/* Keeps what a planted fault will do later. */
static void keep(struct sim *sim, const struct block_request *request, const uint8_t *bytes)
{
	if (request->length > sizeof(sim->again_bytes) || request->iov_count > 8)
		return;
	sim->again_request = *request;
	memcpy(sim->again_iov, request->iov, request->iov_count * sizeof(struct iovec));
	sim->again_request.iov = sim->again_iov;
	memcpy(sim->again_bytes, bytes, request->length);
	sim->again.request = &sim->again_request;
}

static void write_image(struct sim *sim, const struct block_request *request, uint64_t length)
{
	uint8_t *at = sim->image + request->offset;
	uint8_t bytes[MAX_DATA * SECTOR];

	assert(request->length <= sizeof(bytes));
	copy(request, bytes, true);
	if (length == request->length && sim_plant(sim, PLANT_TORN, 20))
		length = SECTOR / 2;
	memcpy(at, bytes, length);
	if (sim_plant(sim, PLANT_WRITE_AGAIN, 10))
		keep(sim, request, bytes);
}

static void read_image(struct sim *sim, const struct block_request *request)
{
	uint8_t bytes[MAX_DATA * SECTOR];

	assert(request->length <= sizeof(bytes));
	memcpy(bytes, sim->image + request->offset, request->length);
	if (sim_plant(sim, PLANT_STALE_READ, 20))
		sector_fill(bytes, (unsigned)(request->offset / SECTOR), 0);
	if (sim_plant(sim, PLANT_LATE_DATA, 20))
		keep(sim, request, bytes);
	else
		copy(request, bytes, false);
}

/* What a planted fault does late. */
static void do_again(struct sim *sim)
{
	const struct block_request *request = sim->again.request;

	if (!request || !sim_chance(sim, 120))
		return;
	sim->again.request = NULL;
	if (request->op == BLOCK_WRITE)
		memcpy(sim->image + request->offset, sim->again_bytes, request->length);
	else if (sim->ram.kind == RAM_DIRECT)
		copy(request, sim->again_bytes, false);
}

static void submit(struct block_channel *channel, struct block_request *request)
{
	struct disk *disk = disk_of(channel->block);
	struct sim *sim = disk->sim;
	struct rig *rig = &sim->rigs[disk->rig];

	/* Long requests take several operations, also while suspending. */
	if (device_state(rig->device) == STATE_SUSPENDED ||
	    device_state(rig->device) == STATE_RESET)
		sim_fail(sim, "device %u: an operation reached the disk in state %s", disk->rig,
			 lifecycle_state_name(device_state(rig->device)));
	if (request->op == BLOCK_WRITE) {
		uint8_t bytes[MAX_DATA * SECTOR];

		assert(request->length <= sizeof(bytes));
		copy(request, bytes, true);
		for (unsigned i = 0; i < request->length / SECTOR; i++) {
			unsigned sector = (unsigned)(request->offset / SECTOR) + i;

			oracle_written(sim, sector, sector_generation(bytes + i * SECTOR, sector));
		}
	}
	for (unsigned i = 0; i < MAX_OPS; i++) {
		if (disk->ops[i].request)
			continue;
		disk->ops[i] = (struct op){.request = request, .channel = channel};
		disk->outstanding++;
		return;
	}
	assert(!"as many operations as requests");
}

/* Does what the operation is to do, in part if it is to fail, and marks it finished. */
static void finish(struct disk *disk, struct op *op, int error)
{
	struct sim *sim = disk->sim;
	struct rig *rig = &sim->rigs[disk->rig];
	struct block_request *request = op->request;
	int fd = ((struct channel *)op->channel)->fd;
	uint64_t length = request->length;

	if (error && length)
		length = SECTOR * sim_random(sim, (uint32_t)(length / SECTOR));
	if (request->op == BLOCK_WRITE)
		write_image(sim, request, length);
	else if (request->op == BLOCK_READ && !error)
		read_image(sim, request);
	if (error && error != -ECANCELED)
		oracle_failed(sim, (unsigned)(request->offset / SECTOR),
			      (unsigned)(request->length / SECTOR));
	op->finished = true;
	op->error = error;
	for (unsigned q = 0; q < sim->queues; q++)
		if (rig->poll_fd[q] == fd)
			rig->wake[q] = true;
}

void disk_step(struct disk *disk)
{
	struct sim *sim = disk->sim;
	unsigned at = sim_random(sim, MAX_OPS);

	do_again(sim);
	if (disk->stubborn || (disk->lazy && !sim_chance(sim, 20)))
		return;
	for (unsigned n = 0; n < MAX_OPS; n++) {
		struct op *op = &disk->ops[(at + n) % MAX_OPS];

		if (!op->request || op->finished)
			continue;
		if (sim_plant(sim, PLANT_SWALLOWED, 40)) {
			op->finished = true;
			op->error = 1; /* never delivered */
			return;
		}
		finish(disk, op, !sim->calm && sim_chance(sim, 12) ? -EIO : 0);
		return;
	}
}

static unsigned poll(struct block_channel *channel)
{
	struct disk *disk = disk_of(channel->block);
	unsigned delivered = 0;

	for (unsigned i = 0; i < MAX_OPS; i++) {
		struct op op = disk->ops[i];

		if (!op.request || op.channel != channel || !op.finished || op.error > 0)
			continue;
		disk->ops[i].request = NULL;
		disk->outstanding--;
		delivered++;
		block_done(channel, op.request, op.error);
	}
	return delivered;
}

/* Everything ends soon: done, or not done. */
static void cancel(struct block_channel *channel)
{
	struct disk *disk = disk_of(channel->block);

	oracle_cancelled(disk->sim);
	for (unsigned i = 0; !disk->stubborn && i < MAX_OPS; i++) {
		struct op *op = &disk->ops[i];

		if (op->request && op->channel == channel && !op->finished)
			finish(disk, op, sim_chance(disk->sim, 2) ? -ECANCELED : 0);
	}
}

static int channel_open(struct block *block, unsigned depth, struct block_channel **out,
			struct error *err)
{
	static int next = 1000;
	struct channel *channel = calloc(1, sizeof(*channel));

	assert(channel);
	channel->fd = next++;
	*out = &channel->channel;
	return 0;
}

static void channel_close(struct block_channel *channel)
{
	free(channel);
}

static int channel_fd(struct block_channel *channel)
{
	return ((struct channel *)channel)->fd;
}

static int resize(struct block *block, uint64_t size, struct error *err)
{
	block->limits.size = size;
	return 0;
}

static void close_disk(struct block *block)
{
	free(block);
}

static const struct block_ops disk_ops = {
	.name = "sim",
	.channel_open = channel_open,
	.channel_close = channel_close,
	.submit = submit,
	.close = close_disk,
	.poll = poll,
	.fd = channel_fd,
	.cancel = cancel,
	.resize = resize,
};

struct disk *disk_new(struct sim *sim, unsigned rig)
{
	struct disk *disk = calloc(1, sizeof(*disk));

	assert(disk);
	disk->block.ops = &disk_ops;
	disk->block.limits = (struct block_limits){.size = SECTORS * SECTOR,
						   .block_size = SECTOR,
						   .physical_size = SECTOR,
						   .memory_alignment = 1};
	disk->sim = sim;
	disk->rig = rig;
	return disk;
}
