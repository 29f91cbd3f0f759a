/*
 * The memory block backend: a disk in anonymous memory of this process. Pages
 * exist once written; discarding gives them back.
 */
#include "backend/backends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGE_SLICE (4u << 20) /* up to a thousand pages to give back */

struct memory_block {
	struct block block;
	uint8_t *bytes;
};

static struct memory_block *of(struct block *block)
{
	return (struct memory_block *)block;
}

static int memory_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
			       struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return *channel ? 0 : error_set(f, -ENOMEM, "no memory for a channel of the memory disk");
}

static void memory_channel_close(struct block_channel *channel)
{
	free(channel);
}

static void copy(uint8_t *bytes, const struct block_request *request)
{
	for (unsigned i = 0; i < request->iov_count; i++) {
		if (request->op == BLOCK_READ)
			memcpy(request->iov[i].iov_base, bytes, request->iov[i].iov_len);
		else
			memcpy(bytes, request->iov[i].iov_base, request->iov[i].iov_len);
		bytes += request->iov[i].iov_len;
	}
}

/* Whole pages go back to the system and read as zero from then on; the edges are overwritten. */
static int zero(uint8_t *begin, uint64_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t first = ((uintptr_t)begin + page - 1) & ~(page - 1);
	uintptr_t last = ((uintptr_t)begin + size) & ~(page - 1);

	if (first >= last) {
		memset(begin, 0, size);
		return 0;
	}
	memset(begin, 0, first - (uintptr_t)begin);
	memset((uint8_t *)last, 0, (uintptr_t)begin + size - last);
	return madvise((void *)first, last - first, MADV_DONTNEED) ? -errno : 0;
}

static void memory_submit(struct block_channel *channel, struct block_request *request)
{
	uint8_t *begin = of(channel->block)->bytes + request->offset;
	int error = 0;

	switch (request->op) {
	case BLOCK_READ:
	case BLOCK_WRITE:
		copy(begin, request);
		break;
	case BLOCK_DISCARD:
	case BLOCK_WRITE_ZEROES:
		error = zero(begin, request->length);
		break;
	case BLOCK_FLUSH:
		break;
	}
	block_done(channel, request, error);
}

static int memory_resize(struct block *block, uint64_t size, struct error *f)
{
	struct memory_block *memory = of(block);
	void *moved = mremap(memory->bytes, block->limits.size, size, MREMAP_MAYMOVE);

	if (moved == MAP_FAILED)
		return error_set(f, -ENOMEM, "no memory for %llu bytes of disk: %s",
				 (unsigned long long)size, strerror(errno));
	memory->bytes = moved;
	block->limits.size = size;
	return 0;
}

static void memory_close(struct block *block)
{
	munmap(of(block)->bytes, block->limits.size);
	free(block);
}

static const struct block_ops memory_ops = {
	.name = "memory",
	.channel_open = memory_channel_open,
	.channel_close = memory_channel_close,
	.submit = memory_submit,
	.close = memory_close,
	.resize = memory_resize,
};

int block_memory_open(uint64_t size, struct block **block, struct error *f)
{
	struct memory_block *memory;
	int error = block_check_size(size, "the memory disk", f);

	if (error)
		return error;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return error_set(f, -ENOMEM, "no memory for the memory disk");
	memory->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory->bytes == MAP_FAILED) {
		error = error_set(f, -errno, "no memory for a disk of %llu bytes: %s",
				  (unsigned long long)size, strerror(errno));
		free(memory);
		return error;
	}
	memory->block.ops = &memory_ops;
	memory->block.limits = (struct block_limits){
		.size = size,
		.block_size = 512,
		.physical_size = 4096,
		.memory_alignment = 1,
		.range_slice = RANGE_SLICE,
		.discard = true,
		.write_zeroes = true,
	};
	*block = &memory->block;
	return 0;
}
