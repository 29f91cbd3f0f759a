/*
 * The null block backend: reads give zeroes, writes vanish. It is also the
 * tutorial: everything that a backend must have, and nothing else.
 *
 * A backend is a struct that begins with `struct block`, a table of operations,
 * and a function that opens it. Requests arrive checked (block.c): in range,
 * aligned, allowed. For each of them the backend calls block_done exactly
 * once, on the thread that uses the channel: inside submit, as here, or later
 * from its poll operation (then it also has an fd, see block_file.c).
 */
#include "backend/backends.h"

#include <errno.h>
#include <stdlib.h>

#include "backend/iov.h"

/* A backend with state per queue puts `struct block_channel` first in a struct of its own. */
static int null_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
			     struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return *channel ? 0 : error_set(f, -ENOMEM, "no memory for a channel of the null disk");
}

static void null_channel_close(struct block_channel *channel)
{
	free(channel);
}

static void null_submit(struct block_channel *channel, struct block_request *request)
{
	if (request->op == BLOCK_READ)
		iov_zero(request->iov, request->iov_count, 0);
	block_done(channel, request, 0);
}

static int null_resize(struct block *block, uint64_t size, struct error *f)
{
	block->limits.size = size;
	return 0;
}

static void null_close(struct block *block)
{
	free(block);
}

static const struct block_ops null_ops = {
	.name = "null",
	.channel_open = null_channel_open,
	.channel_close = null_channel_close,
	.submit = null_submit,
	.close = null_close,
	.resize = null_resize,
};

int block_null_open(uint64_t size, struct block **block, struct error *f)
{
	int error = block_check_size(size, "the null disk", f);

	if (error)
		return error;
	*block = calloc(1, sizeof(**block));
	if (!*block)
		return error_set(f, -ENOMEM, "no memory for the null disk");
	(*block)->ops = &null_ops;
	(*block)->limits = (struct block_limits){
		.size = size,
		.block_size = 512,
		.physical_size = 4096,
		.memory_alignment = 1,
		.discard = true,
		.write_zeroes = true,
	};
	return 0;
}
