/*
 * Requests made by hand, for tests of models: a chain of any cut, each segment
 * either mapped (memory of exactly its size, so that sanitizers see every
 * overrun) or copied (reached through a real address space only).
 */
#ifndef UVDPA_TEST_MODEL_SUPPORT_H
#define UVDPA_TEST_MODEL_SUPPORT_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "memory/client.h"
#include "memory/space.h"
#include "model/model.h"
#include "model/request.h"

#define COPIED_SIZE (8u << 20)
#define COPIED_IOVA 0x100000u

/* The client: one region of memory that can only be copied. */
struct copied_client {
	struct client_memory memory;
	struct space *space;
	uint8_t *bytes;
	uint64_t used;
	bool gone; /* accesses fail, as if its process had died */
};

static inline int copied_map(struct client_memory *memory, uint64_t uaddr, uint64_t size,
			     bool writable, struct window *out)
{
	*out = (struct window){.uaddr = uaddr, .size = size};
	return 0;
}

static inline void copied_unmap(struct client_memory *memory, struct window *window)
{
}

static inline int copied_read(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	struct copied_client *client = (struct copied_client *)memory;

	if (client->gone || uaddr > COPIED_SIZE || size > COPIED_SIZE - uaddr)
		return -EFAULT;
	memcpy(to, client->bytes + uaddr, size);
	return 0;
}

static inline int copied_write(struct client_memory *memory, uint64_t uaddr, const void *from,
			       size_t size)
{
	struct copied_client *client = (struct copied_client *)memory;

	if (client->gone || uaddr > COPIED_SIZE || size > COPIED_SIZE - uaddr)
		return -EFAULT;
	memcpy(client->bytes + uaddr, from, size);
	return 0;
}

static const struct client_memory_ops copied_ops = {
	.map = copied_map, .unmap = copied_unmap, .read = copied_read, .write = copied_write};

static inline void client_open(struct copied_client *client)
{
	int error;

	*client = (struct copied_client){.memory.ops = &copied_ops};
	client->bytes = calloc(1, COPIED_SIZE);
	client->space = space_new(&client->memory);
	assert(client->bytes && client->space);
	error = space_add(client->space, COPIED_IOVA, COPIED_SIZE, 0, 3 /* read and write */);
	assert(!error);
	(void)error;
}

static inline void client_close(struct copied_client *client)
{
	space_free(client->space);
	free(client->bytes);
}

/* A request and what became of it. */
struct made {
	struct segment segments[CHAIN_MAX_SEGMENTS];
	unsigned answers, refusals;
	uint32_t written;
	const char *why;
	struct request *request;
};

static inline void made_complete(struct request *request, uint32_t written)
{
	struct made *made = request->owner;

	made->answers++;
	made->written = written;
}

static inline void made_refuse(struct request *request, const char *why)
{
	struct made *made = request->owner;

	made->refusals++;
	made->why = why;
}

/* Nobody parks it: a cancelled request is the model's to fail. */
static bool made_cancelled(struct request *request)
{
	return false;
}

static const struct request_sink made_sink = {
	.complete = made_complete, .refuse = made_refuse, .cancelled = made_cancelled};

static inline void made_begin(struct made *made, struct copied_client *client, size_t scratch)
{
	memset(made, 0, sizeof(*made));
	/* aligned_alloc wants whole alignments */
	made->request = aligned_alloc(16, (sizeof(*made->request) + scratch + 15) / 16 * 16);
	assert(made->request);
	memset(made->request, 0xa5, sizeof(*made->request) + scratch);
	memset(made->request, 0, sizeof(*made->request));
	made->request->owner = made;
	made->request->sink = &made_sink;
	made->request->chain.space = client->space;
	made->request->chain.segments = made->segments;
	made->request->chain.max_segments = CHAIN_MAX_SEGMENTS;
	client->used = 0;
}

/* Adds a segment; readable ones first. Copied ones that do not fit any more become mapped. */
static inline void made_add(struct made *made, struct copied_client *client, bool writable,
			    uint64_t size, bool copied)
{
	struct chain *chain = &made->request->chain;
	struct segment *s = &made->segments[chain->readable_count + chain->writable_count];

	assert(size && (writable || !chain->writable_count));
	s->size = size;
	s->host = NULL;
	s->iova = 0;
	if (copied && size <= COPIED_SIZE - client->used) {
		s->iova = COPIED_IOVA + client->used;
		client->used += size;
	} else {
		s->host = malloc(size);
		assert(s->host);
		memset(s->host, 0xcc, size);
	}
	if (writable) {
		chain->writable_count++;
		chain->writable += size;
	} else {
		chain->readable_count++;
		chain->readable += size;
	}
}

/* Where byte `offset` of a part is. */
static inline uint8_t *made_byte(struct made *made, struct copied_client *client, bool writable,
				 uint64_t offset)
{
	struct chain *chain = &made->request->chain;
	struct segment *s = made->segments + (writable ? chain->readable_count : 0);

	while (offset >= s->size)
		offset -= s++->size;
	return s->host ? s->host + offset : client->bytes + (s->iova - COPIED_IOVA) + offset;
}

/* Copies into the readable part or out of the writable one. */
static inline void made_copy(struct made *made, struct copied_client *client, bool writable,
			     uint64_t offset, uint8_t *bytes, size_t size)
{
	struct chain *chain = &made->request->chain;
	struct segment *s = made->segments + (writable ? chain->readable_count : 0);

	for (; size; s++) {
		uint8_t *at = s->host ? s->host : client->bytes + (s->iova - COPIED_IOVA);
		size_t n;

		if (offset >= s->size) {
			offset -= s->size;
			continue;
		}
		n = s->size - offset < size ? s->size - offset : size;
		memcpy(writable ? bytes : at + offset, writable ? at + offset : bytes, n);
		bytes += n;
		size -= n;
		offset = 0;
	}
}

static inline void made_fill(struct made *made, struct copied_client *client, uint64_t offset,
			     const void *from, size_t size)
{
	made_copy(made, client, false, offset, (uint8_t *)(uintptr_t)from, size);
}

static inline void made_fetch(struct made *made, struct copied_client *client, uint64_t offset,
			      void *to, size_t size)
{
	made_copy(made, client, true, offset, to, size);
}

static inline void made_end(struct made *made)
{
	struct chain *chain = &made->request->chain;

	for (unsigned i = 0; i < (unsigned)chain->readable_count + chain->writable_count; i++)
		free(made->segments[i].host);
	free(made->request);
}

#endif
