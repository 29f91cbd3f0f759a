/*
 * A transfer: a byte range of a chain's data on its way to or from a backend.
 *
 * Where the segments are mapped and aligned as the backend wants, the pieces are the segments
 * themselves, nothing is copied: mostly one piece, more only of what is longer than TRANSFER_SLICE,
 * so that no step keeps a worker for long (S10). Where a segment is reached only by copying, or is
 * not aligned, the range goes piece by piece through a bounce buffer of TRANSFER_BOUNCE bytes:
 *
 *     transfer_start -> transfer_next -> (the backend's work) -> transfer_done
 *                            ^_______________________________________|
 *
 * until transfer_next says that nothing is left. A request thus needs at most
 * TRANSFER_BOUNCE bytes, however long it is, and no request is too long.
 *
 * Buffers come from the queue's pool and return to it: after a while nothing
 * is allocated. A queue keeps at most as many as it ever had requests at once:
 * its depth times TRANSFER_BOUNCE.
 */
#ifndef UVDPA_MODEL_TRANSFER_H
#define UVDPA_MODEL_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ring/chain.h"

#define TRANSFER_BOUNCE	    (128u * 1024)
#define TRANSFER_SLICE	    (4u << 20) /* a multiple of every block size and alignment */
#define TRANSFER_INLINE_IOV 16

/* One thread's. */
struct transfer_pool {
	uint32_t alignment; /* of memory, as the backend wants it; at most TRANSFER_BOUNCE */
	void *bounces;	    /* free buffers, linked through their first bytes */
	void *tables;	    /* free lists of iovecs, likewise */
	unsigned bounce_count, table_count; /* made so far */
};

void transfer_pool_init(struct transfer_pool *pool, uint32_t alignment);
/* No transfer is between start and end. */
void transfer_pool_free(struct transfer_pool *pool);

struct transfer {
	/* The piece, valid after transfer_next. size 0: nothing is left. */
	uint64_t size;
	const struct iovec *iov;
	unsigned iov_count;

	/* Private. */
	struct transfer_pool *pool;
	const struct chain *chain;
	uint64_t offset, left; /* of the range, what is not in a finished piece */
	unsigned iov_behind;   /* entries of the list behind those of the piece */
	uint64_t cut;	       /* bytes of the piece's last entry that are not in it */
	bool to_chain;
	uint8_t *bounce;
	struct iovec *table;
	struct iovec inline_iov[TRANSFER_INLINE_IOV];
};

/*
 * Begins a transfer of [offset, offset + length) of the chain's writable part (to_chain), or from
 * its readable part. Returns 0, -ERANGE or -ENOMEM; only after 0 there is something to end.
 */
int transfer_start(struct transfer *transfer, struct transfer_pool *pool, const struct chain *chain,
		   bool to_chain, uint64_t offset, uint64_t length);

/* For those below: what a transfer that goes through a buffer has to do besides. */
int transfer_fill(struct transfer *transfer);
int transfer_drain(struct transfer *transfer);
void transfer_give_back(struct transfer *transfer);
/* For long ones: the piece is the first TRANSFER_SLICE bytes of the list; the list is what is left.
 */
void transfer_cut(struct transfer *transfer);
void transfer_advance(struct transfer *transfer);

/* Makes the next piece ready for the backend. Returns 0, or -EFAULT: the driver's memory is gone.
 */
static inline int transfer_next(struct transfer *transfer)
{
	transfer->size = transfer->left;
	if (transfer->bounce)
		return transfer->left ? transfer_fill(transfer) : 0;
	if (transfer->left > TRANSFER_SLICE)
		transfer_cut(transfer);
	return 0;
}

/* The backend is done with the piece. Returns as transfer_next does. */
static inline int transfer_done(struct transfer *transfer)
{
	int error = transfer->bounce ? transfer_drain(transfer) : 0;

	transfer->offset += transfer->size;
	transfer->left -= transfer->size;
	transfer->size = 0;
	if (transfer->left && !transfer->bounce)
		transfer_advance(transfer);
	return error;
}

static inline void transfer_end(struct transfer *transfer)
{
	if (transfer->bounce || transfer->table)
		transfer_give_back(transfer);
}

#endif
