/*
 * Between the two files of the read-modify-write wrapper: block_rmw.c has its theory of operation,
 * the channels and the disk, block_rmw_steps.c what is done with a request.
 */
#ifndef UVDPA_BACKEND_BLOCK_RMW_H
#define UVDPA_BACKEND_BLOCK_RMW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "backend/block.h"
#include "backend/block_ranges.h"

/* Bytes of whole blocks that go through a buffer at once, at most. No block is larger. */
#define RMW_PIECE (64u * 1024)

struct rmw_block {
	struct block block;
	struct block *inner;
	struct block_ranges ranges;
};

enum rmw_step {
	RMW_NEXT,  /* what is left is cut into a next piece */
	RMW_FIRST, /* its turn: read the first block, if only a part of it changes */
	RMW_LAST,  /* and the last */
	RMW_MOVE,  /* the piece itself */
	RMW_DONE,
};

struct rmw_request {
	struct block_request inner;
	struct block_range range;
	struct rmw_channel *channel;
	struct block_request *outer; /* NULL: free */
	uint64_t at, end;	     /* bytes of the disk that are left */
	uint64_t length;	     /* of the piece, from `at` */
	uint8_t *buffer;	     /* NULL: none was needed yet */
	struct iovec iov;	     /* in the buffer */
	struct rmw_request *next;    /* in `free`, `ready` or `steps` */
	enum rmw_step step;
	int error;
	bool straight;	/* the piece is whole blocks, and needs no buffer */
	bool entered;	/* its range has to be left */
	bool cancelled; /* it ends before its next step */
};

struct rmw_list {
	struct rmw_request *first, **end;
};

struct rmw_channel {
	struct block_channel channel;
	struct block_channel *inner;
	struct rmw_request *free;
	struct rmw_list steps;
	bool going;
	bool unkicked;	   /* something was submitted that kick has not pushed */
	unsigned finished; /* counts up */
	int event, epoll;
	pthread_mutex_t lock; /* of `ready`; taken inside that of ranges */
	struct rmw_list ready;
	_Atomic bool has_ready;
	struct rmw_request pool[];
};

static inline struct rmw_block *rmw_of(const struct rmw_channel *ch)
{
	return (struct rmw_block *)ch->channel.block;
}

/* The block's size of the backend below. */
static inline uint64_t rmw_block_size(const struct rmw_request *r)
{
	return rmw_of(r->channel)->inner->limits.block_size;
}

static inline uint64_t rmw_round_down(uint64_t n, uint64_t block)
{
	return n & ~(block - 1);
}

static inline uint64_t rmw_round_up(uint64_t n, uint64_t block)
{
	return rmw_round_down(n + block - 1, block);
}

/* block_rmw.c: the `done` of requests to the backend below. */
void rmw_inner_done(struct block_request *inner, int error);

/*
 * block_rmw_steps.c. Goes on with a request until it waits for the backend or its turn, or is over;
 * by its channel's thread.
 */
void rmw_advance(struct rmw_request *r);
/* The request is over, with r->error. */
void rmw_finish(struct rmw_request *r);

#endif
