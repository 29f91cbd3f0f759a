/* The checking front of every block backend: see block.h. */
#include "backend/block.h"

#include <assert.h>
#include <errno.h>

int block_check_size(uint64_t size, const char *what, struct error *f)
{
	if (size == 0)
		return error_set(f, -EINVAL, "%s is empty; a disk needs at least 512 bytes", what);
	if (size % 512)
		return error_set(f, -EINVAL, "%s has %llu bytes, which is not a multiple of 512",
				 what, (unsigned long long)size);
	if (size > INT64_MAX)
		return error_set(f, -EFBIG, "%s has %llu bytes, more than files can have", what,
				 (unsigned long long)size);
	return 0;
}

int block_raise_block_size(struct block *block, uint32_t block_size, struct error *f)
{
	struct block_limits *limits = &block->limits;

	assert(block_size >= limits->block_size);
	if (limits->size % block_size)
		return error_set(
			f, -EINVAL,
			"the disk has %llu bytes, which is not a multiple of %u, the block size "
			"that is asked for",
			(unsigned long long)limits->size, block_size);
	limits->block_size = block_size;
	if (limits->physical_size < block_size)
		limits->physical_size = block_size;
	limits->optimal_io -= limits->optimal_io % block_size;
	return 0;
}

int block_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
		       struct error *f)
{
	const struct block_limits *limits = &block->limits;
	int error;

	assert(depth > 0);
	assert(limits->block_size >= 512 && !(limits->block_size & (limits->block_size - 1)));
	assert(limits->memory_alignment &&
	       !(limits->memory_alignment & (limits->memory_alignment - 1)));
	error = block->ops->channel_open(block, depth, channel, f);
	if (error)
		return error;
	(*channel)->block = block;
	(*channel)->depth = depth;
	(*channel)->outstanding = 0;
	(*channel)->submitted = (*channel)->failed = 0;
	return 0;
}

void block_channel_close(struct block_channel *channel)
{
	assert(channel->outstanding == 0);
	channel->block->ops->channel_close(channel);
}

/* The buffers of a read or write: their sum is the caller's promise, their alignment is checked. */
static int memory_refusal(const struct block_limits *limits, const struct block_request *request)
{
	const struct iovec *iov = request->iov;
	uint64_t sum = 0, bits = 0;

	if (request->iov_count > BLOCK_MAX_IOV)
		return -EINVAL;
	for (unsigned left = request->iov_count; left; left--, iov++) {
		sum += iov->iov_len;
		bits |= iov->iov_len | (uintptr_t)iov->iov_base;
	}
	assert(sum == request->length);
	return bits & (limits->memory_alignment - 1) ? -EINVAL : 0;
}

/* Whether requests that change something are taken, and this one is known. */
static int change_refusal(const struct block_limits *limits, enum block_op op)
{
	if (limits->read_only)
		return -EROFS;
	if (op == BLOCK_DISCARD && !limits->discard)
		return -EOPNOTSUPP;
	if (op == BLOCK_WRITE_ZEROES && !limits->write_zeroes)
		return -EOPNOTSUPP;
	return 0;
}

static bool is_within(const struct block_limits *limits, uint64_t offset, uint64_t length)
{
	return length <= limits->size && offset <= limits->size - length;
}

/* Why a request cannot be done by this block; 0: it may try. */
static int refusal(const struct block_limits *limits, const struct block_request *request)
{
	int error;

	if (request->op == BLOCK_FLUSH)
		return 0;
	error = request->op == BLOCK_READ ? 0 : change_refusal(limits, request->op);
	if (error)
		return error;
	if ((request->offset | request->length) & (limits->block_size - 1))
		return -EINVAL;
	if (!is_within(limits, request->offset, request->length))
		return -ERANGE;
	if (request->op == BLOCK_READ || request->op == BLOCK_WRITE)
		return memory_refusal(limits, request);
	return 0;
}

void block_submit(struct block_channel *channel, struct block_request *request)
{
	int error = refusal(&channel->block->limits, request);

	assert(channel->outstanding < channel->depth);
	channel->outstanding++;
	channel->submitted++;
	if (error || (request->op != BLOCK_FLUSH && request->length == 0))
		block_done(channel, request, error);
	else
		channel->block->ops->submit(channel, request);
}

void block_done(struct block_channel *channel, struct block_request *request, int error)
{
	assert(channel->outstanding > 0);
	assert(error <= 0);
	channel->outstanding--;
	if (error)
		channel->failed++;
	request->done(request, error);
}

void block_kick(struct block_channel *channel)
{
	if (channel->block->ops->kick)
		channel->block->ops->kick(channel);
}

unsigned block_poll(struct block_channel *channel)
{
	return channel->block->ops->poll ? channel->block->ops->poll(channel) : 0;
}

int block_fd(struct block_channel *channel)
{
	return channel->block->ops->fd ? channel->block->ops->fd(channel) : -1;
}

bool block_fd_edge(const struct block_channel *channel)
{
	const struct block_ops *ops = channel->block->ops;

	return ops->fd_edge && ops->fd_edge(channel);
}

bool block_needs_poll(const struct block_channel *channel)
{
	const struct block_ops *ops = channel->block->ops;

	return ops->needs_poll && ops->needs_poll(channel);
}

void block_cancel(struct block_channel *channel)
{
	if (channel->outstanding && channel->block->ops->cancel)
		channel->block->ops->cancel(channel);
}

void block_region_invalidated(struct block_channel *channel, uint64_t id)
{
	if (channel->block->ops->region_invalidated)
		channel->block->ops->region_invalidated(channel, id);
}

int block_resize(struct block *block, uint64_t size, struct error *f)
{
	int error;

	if (!block->ops->resize)
		return error_set(f, -EOPNOTSUPP, "a disk on the %s backend cannot be resized",
				 block->ops->name);
	if (size < block->limits.size)
		return error_set(
			f, -EINVAL,
			"the disk has %llu bytes; disks can grow but not shrink (asked for %llu)",
			(unsigned long long)block->limits.size, (unsigned long long)size);
	if (size % block->limits.block_size)
		return error_set(f, -EINVAL,
				 "the new size %llu is not a multiple of the block size %u",
				 (unsigned long long)size, block->limits.block_size);
	error = block_check_size(size, "the new size", f);
	return error ? error : block->ops->resize(block, size, f);
}

bool block_holds(const struct block *block, uint64_t offset, uint64_t length)
{
	return is_within(&block->limits, offset, length);
}

int block_activate(struct block *block, struct error *f)
{
	return block->ops->activate ? block->ops->activate(block, f) : 0;
}

void block_inactivate(struct block *block)
{
	if (block->ops->inactivate)
		block->ops->inactivate(block);
}

void block_close(struct block *block)
{
	block->ops->close(block);
}
