/* Registered buffers of the file backend: see block_file_buffers.h. */
#include "backend/block_file_buffers.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"

#define PART	    (16ull << 20) /* some milliseconds to pin, if it has never been touched */
#define NUMBERS	    16384u	  /* IORING_MAX_REG_BUFFERS: 256 GiB */
#define STRETCHES   64u		  /* a guest has a few */
#define STRETCH_MAX (1ull << 44)  /* bytes of one; what is larger is no memory */
/* Of a part, instead of one more than a number. */
#define NOT_YET 0
#define REFUSED UINT16_MAX

struct region {
	uint64_t id; /* 0: none, or gone */
	uint8_t *base;
	uint64_t size;
	unsigned count;	 /* of parts */
	uint16_t *parts; /* NULL: this place is free */
};

struct file_buffers {
	struct file_block *file;
	struct file_ring *ring;
	struct region regions[STRETCHES];
	struct region *last; /* hit */
	bool gone;	     /* some of them are, and have not been let go of */
	bool full;	     /* there is no sense in registering more */
	unsigned free_count;
	uint16_t free[NUMBERS]; /* numbers */
};

/* Once for a disk. */
static void tell(struct file_block *file, int error)
{
	if (!atomic_exchange(&file->logged, true))
		log_info(NULL,
			 "%s: fixed-buffers=on has no effect on some memory, which cannot be "
			 "registered: %s%s",
			 file->path, strerror(-error),
			 error == -ENOMEM ? " (raise ulimit -l)" : "");
}

struct file_buffers *file_buffers_new(struct file_block *file, struct file_ring *ring)
{
	struct file_buffers *buffers = calloc(1, sizeof(*buffers));
	int error = -ENOMEM;

	if (buffers) {
		buffers->file = file;
		buffers->ring = ring;
		error = io_uring_register_buffers_sparse(&ring->ring, NUMBERS);
	}
	if (error) {
		tell(file, error);
		free(buffers);
		return NULL;
	}
	for (unsigned i = 0; i < NUMBERS; i++)
		buffers->free[buffers->free_count++] = (uint16_t)(NUMBERS - 1 - i);
	return buffers;
}

void file_buffers_free(struct file_buffers *buffers)
{
	if (!buffers)
		return;
	for (unsigned i = 0; i < STRETCHES; i++)
		free(buffers->regions[i].parts);
	free(buffers);
}

const struct file_ring *file_buffers_ring(const struct file_buffers *buffers)
{
	return buffers->ring;
}

static struct region *add_region(struct file_buffers *buffers, const struct block_memory *memory)
{
	uint64_t count = (memory->size + PART - 1) / PART;

	for (unsigned i = 0; memory->size <= STRETCH_MAX && i < STRETCHES; i++) {
		struct region *region = &buffers->regions[i];

		if (region->parts)
			continue;
		region->parts = calloc(count, sizeof(region->parts[0]));
		if (!region->parts)
			return NULL;
		region->id = memory->id;
		region->base = memory->base;
		region->size = memory->size;
		region->count = (unsigned)count;
		return region;
	}
	return NULL;
}

static struct region *find_region(struct file_buffers *buffers, const struct block_memory *memory)
{
	if (buffers->last && buffers->last->id == memory->id)
		return buffers->last;
	for (unsigned i = 0; i < STRETCHES; i++)
		if (buffers->regions[i].id == memory->id)
			return buffers->last = &buffers->regions[i];
	return buffers->last = buffers->full ? NULL : add_region(buffers, memory);
}

static int set(struct file_buffers *buffers, unsigned number, uint8_t *base, uint64_t size)
{
	const struct iovec iov = {base, size};
	int n = io_uring_register_buffers_update_tag(&buffers->ring->ring, number, &iov, NULL, 1);

	return n < 0 ? n : 0;
}

static void register_part(struct file_buffers *buffers, struct region *region, unsigned part)
{
	uint64_t offset = part * PART, left = region->size - offset;
	unsigned number;
	int error;

	if (buffers->full || !buffers->free_count)
		return;
	number = buffers->free[buffers->free_count - 1];
	error = set(buffers, number, region->base + offset, left < PART ? left : PART);
	if (error) {
		tell(buffers->file, error);
		region->parts[part] = REFUSED;
		buffers->full = error == -ENOMEM;
		return;
	}
	buffers->free_count--;
	region->parts[part] = (uint16_t)(number + 1);
}

unsigned file_buffers_find(struct file_buffers *buffers, const struct block_request *request)
{
	struct region *region = find_region(buffers, &request->memory);
	uint64_t offset;
	unsigned part;

	if (!region)
		return 0;
	offset = (uint64_t)((uint8_t *)request->iov[0].iov_base - region->base);
	assert(offset < region->size && request->length <= region->size - offset);
	if (offset / PART != (offset + request->length - 1) / PART)
		return 0;
	part = (unsigned)(offset / PART);
	if (region->parts[part] == NOT_YET)
		register_part(buffers, region, part);
	return region->parts[part] == REFUSED ? 0 : region->parts[part];
}

void file_buffers_gone(struct file_buffers *buffers, uint64_t id)
{
	for (unsigned i = 0; i < STRETCHES; i++)
		if (buffers->regions[i].id == id) {
			buffers->regions[i].id = 0;
			buffers->gone = true;
		}
	buffers->last = NULL;
}

static void release(struct file_buffers *buffers, struct region *region)
{
	for (unsigned i = 0; i < region->count; i++) {
		unsigned number = region->parts[i] - 1u;

		if (region->parts[i] == NOT_YET || region->parts[i] == REFUSED)
			continue;
		/* one that cannot be emptied is not used again: it pins until the ring ends */
		if (!set(buffers, number, NULL, 0))
			buffers->free[buffers->free_count++] = (uint16_t)number;
	}
	free(region->parts);
	*region = (struct region){0};
}

void file_buffers_release(struct file_buffers *buffers)
{
	if (!buffers->gone)
		return;
	for (unsigned i = 0; i < STRETCHES; i++)
		if (buffers->regions[i].parts && !buffers->regions[i].id)
			release(buffers, &buffers->regions[i]);
	buffers->gone = buffers->full = false;
}
