/*
 * The contract of a block backend: where a disk's bytes live.
 *
 * A block is opened once per disk; a channel is opened per virtqueue and used
 * by one thread. Callers use the block_* functions below, which check range,
 * alignment, read-only and support in one place, count, and then call the
 * implementation; no implementation repeats a check.
 *
 * The null implementation (block_null.c) is the tutorial.
 */
#ifndef UVDPA_BACKEND_BLOCK_H
#define UVDPA_BACKEND_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES };

/* Entries of one request's iov, at most: the kernel's UIO_MAXIOV. */
#define BLOCK_MAX_IOV 1024

/* A region of memory that requests lie in. It stays where it is until block_region_invalidated. */
struct block_memory {
	uint64_t id; /* never another's; 0: not known */
	uint8_t *base;
	uint64_t size;
};

/* One request. The caller owns it again when `done` is called, which may be inside block_submit. */
struct block_request {
	enum block_op op;
	bool durable;	 /* write ops: on stable storage before done (FUA) */
	bool unmap;	 /* BLOCK_WRITE_ZEROES: may deallocate */
	uint64_t offset; /* bytes; unused by FLUSH */
	uint64_t length; /* bytes; READ and WRITE: the sum of iov */
	const struct iovec *iov;
	unsigned iov_count;
	struct block_memory
		memory; /* of a read or write, if known: all of iov, one entry, is in it */
	/* error: 0 or a negative errno (-EIO, -ENOSPC, -EFAULT: iov not accessible, -ECANCELED). */
	void (*done)(struct block_request *request, int error);

	/* The backend's while submitted. */
	struct block_request *next, *previous;
	uint64_t backend[3];
};

struct block;
struct block_channel;

struct block_limits {
	uint64_t size;		   /* bytes */
	uint32_t block_size;	   /* logical: offsets and lengths are multiples of it */
	uint32_t physical_size;	   /* physical block size, a power-of-two multiple of block_size */
	uint32_t optimal_io;	   /* bytes, 0: unknown */
	uint32_t memory_alignment; /* of iov bases and lengths (O_DIRECT); 1: any */
	/*
	 * How much of a range DISCARD and WRITE_ZEROES should be asked for at once, where submit
	 * does it there and then; 0: it does not.
	 */
	uint64_t range_slice;
	bool read_only;
	bool discard, write_zeroes;
};

struct block_ops {
	const char *name;
	/* Returns 0 or a negative errno with the error filled. */
	int (*channel_open)(struct block *block, unsigned depth, struct block_channel **channel,
			    struct error *err);
	/* No request is outstanding. */
	void (*channel_close)(struct block_channel *channel);
	void (*submit)(struct block_channel *channel, struct block_request *request);
	void (*close)(struct block *block);
	/* Optional. */
	void (*kick)(struct block_channel *channel);	 /* push the batch submitted so far */
	unsigned (*poll)(struct block_channel *channel); /* deliver completions, return how many */
	int (*fd)(struct block_channel *channel);	 /* readable when poll would find some */
	/* Whether fd stays readable, and each time that there is something is an edge. */
	bool (*fd_edge)(const struct block_channel *channel);
	/* Whether requests are out for which fd will not tell: somebody has to call poll again and
	 * again. */
	bool (*needs_poll)(const struct block_channel *channel);
	/* End outstanding requests soon: the caller sees to it that poll is called. */
	void (*cancel)(struct block_channel *channel);
	/* No request is in this region of memory, nor will be. poll is called later. */
	void (*region_invalidated)(struct block_channel *channel, uint64_t id);
	int (*resize)(struct block *block, uint64_t size, struct error *err); /* updates limits */
	/*
	 * Requests are about to come, or (none is outstanding) will not for now: another process
	 * that has the same disk open may have its turn. Neither counts: each may come several
	 * times. activate returns 0 or a negative errno with the error filled; it may wait for half
	 * a second.
	 */
	int (*activate)(struct block *block, struct error *err);
	void (*inactivate)(struct block *block);
};

struct block {
	const struct block_ops *ops;
	struct block_limits limits;
	bool wants_memory; /* it has a use for block_request.memory */
};

struct block_channel {
	struct block *block;
	unsigned depth; /* requests outstanding at most; more is the caller's bug */
	unsigned outstanding;
	uint64_t submitted, failed; /* counters */
};

/*
 * The checking front. All return as the op of that name does. A channel's functions are called by
 * one thread at a time: submit, kick and poll always by the same, its worker; open, cancel,
 * region_invalidated and close also by control, while the worker is held off.
 */
int block_channel_open(struct block *block, unsigned depth, struct block_channel **channel,
		       struct error *err);
void block_channel_close(struct block_channel *channel);
/*
 * Refusals arrive through done, too: -ERANGE, -EINVAL (alignment of range or memory), -EROFS,
 * -EOPNOTSUPP. Nothing to do (length 0) is done at once.
 */
void block_submit(struct block_channel *channel, struct block_request *request);
void block_kick(struct block_channel *channel);
unsigned block_poll(struct block_channel *channel);
int block_fd(struct block_channel *channel);
bool block_fd_edge(const struct block_channel *channel);
bool block_needs_poll(const struct block_channel *channel);
void block_cancel(struct block_channel *channel);
void block_region_invalidated(struct block_channel *channel, uint64_t id);
int block_resize(struct block *block, uint64_t size, struct error *err);
/* Whether there are such bytes: what block_submit asks of a request, for those who send several. */
bool block_holds(const struct block *block, uint64_t offset, uint64_t length);
int block_activate(struct block *block, struct error *err);
void block_inactivate(struct block *block);
void block_close(struct block *block);

/*
 * Before a channel is opened: gives a block larger logical blocks than it needs, of block_size
 * bytes, a power of two. Returns 0, or -EINVAL with the error filled: its size is not a multiple of
 * that.
 */
int block_raise_block_size(struct block *block, uint32_t block_size, struct error *err);

/* For those who open: refuses a size that is not whole sectors. `what` names the disk. */
int block_check_size(uint64_t size, const char *what, struct error *err);

/* Implementations call this, never request->done, so that counters stay right. */
void block_done(struct block_channel *channel, struct block_request *request, int error);

#endif
