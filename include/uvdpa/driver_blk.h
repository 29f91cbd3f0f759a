/*
 * Block requests over a queue of libuvdpa-driver; included by <uvdpa/driver.h>, whose
 * conventions hold. Sectors are 512 bytes whatever the device's block size (virtio 5.2.6).
 */
#ifndef UVDPA_DRIVER_BLK_H
#define UVDPA_DRIVER_BLK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvdpa_driver;
struct uvdpa_error;
struct uvdpa_memory;
struct uvdpa_queue;
struct uvdpa_segment;

/* The config space (virtio 5.2.4). What no negotiated feature covers has the value in brackets. */
struct uvdpa_blk_config {
	uint64_t capacity;	      /* sectors */
	uint32_t size_max;	      /* SIZE_MAX: bytes in one segment [0: no limit] */
	uint32_t seg_max;	      /* SEG_MAX: data segments in one request [1] */
	uint32_t blk_size;	      /* BLK_SIZE: bytes of a logical block [512] */
	uint32_t physical_block_exp;  /* TOPOLOGY: log2 of logical blocks in a physical one [0] */
	uint32_t alignment_offset;    /* TOPOLOGY: in logical blocks [0] */
	uint32_t min_io_size;	      /* TOPOLOGY: in logical blocks [0] */
	uint32_t opt_io_size;	      /* TOPOLOGY: in logical blocks [0] */
	uint32_t writeback;	      /* CONFIG_WCE: 1 the cache is on [FLUSH negotiated] */
	uint32_t num_queues;	      /* MQ [1] */
	uint32_t max_discard_sectors; /* DISCARD [0] */
	uint32_t max_discard_seg;     /* DISCARD [0] */
	uint32_t discard_alignment;   /* DISCARD: sectors [0] */
	uint32_t max_write_zeroes_sectors; /* WRITE_ZEROES [0] */
	uint32_t max_write_zeroes_seg;	   /* WRITE_ZEROES [0] */
	uint32_t write_zeroes_may_unmap;   /* WRITE_ZEROES [0] */
	uint32_t read_only;		   /* RO negotiated */
};

/*
 * Reads it, after the negotiation. -ENODEV: not a block device; -EPROTO: the config space is too
 * short for a negotiated feature.
 */
int uvdpa_blk_read_config(struct uvdpa_driver *drv, struct uvdpa_blk_config *config,
			  struct uvdpa_error *error);

/* Headers, statuses and bookkeeping for up to `depth` requests at once on one queue. */
struct uvdpa_blk;

/*
 * Takes 64 bytes per request from the arena; nothing is allocated after this. The queue must
 * outlive it, and is used by nobody else meanwhile (except to submit, kick, wait and look at).
 * -EINVAL: depth 0; -ENOSPC: the arena is too small.
 */
int uvdpa_blk_new(struct uvdpa_memory *memory, struct uvdpa_queue *queue, unsigned depth,
		  struct uvdpa_blk **blk, struct uvdpa_error *error);
void uvdpa_blk_free(struct uvdpa_blk *blk);

/*
 * A request: header, data, status (virtio 5.2.6). `data` segments are readable for VIRTIO_BLK_T_OUT
 * and writable for _IN and _GET_ID, whatever their own flag says; other types take the flag as it
 * is. DISCARD, WRITE_ZEROES and SECURE_ERASE have uvdpa_blk_range() instead. A type that nobody
 * knows is sent like any other.
 */
struct uvdpa_blk_request {
	uint32_t type;	      /* VIRTIO_BLK_T_* */
	uint32_t chain_flags; /* UVDPA_CHAIN_INDIRECT or 0 */
	uint64_t sector;
	const struct uvdpa_segment *data; /* copied into the ring: may go after the call */
	unsigned count;			  /* of data, at most 126 */
	uint64_t cookie;
};

/*
 * All of these put one request into the queue; uvdpa_queue_submit() sends what is there.
 *
 * -ENOSPC  `depth` requests are in flight, or the ring is full
 * -E2BIG   more data segments than 126 or than the queue can hold
 * -EFAULT  `buf` is not in the arena
 * else     as uvdpa_queue_add()
 */
int uvdpa_blk_request(struct uvdpa_blk *blk, const struct uvdpa_blk_request *request);
/*
 * Puts `count` requests into the queue and sends them, with what is there already: one store shows
 * them all, and there is one kick at most. Returns how many were put there, from the first on:
 * fewer where one of them does not fit, or cannot be; the error of the first if it is that one.
 */
int uvdpa_blk_submit(struct uvdpa_blk *blk, const struct uvdpa_blk_request *requests,
		     unsigned count);
/* `len` bytes, a multiple of 512, to or from one piece of the arena. */
int uvdpa_blk_read(struct uvdpa_blk *blk, uint64_t sector, void *buf, uint32_t len,
		   uint64_t cookie);
int uvdpa_blk_write(struct uvdpa_blk *blk, uint64_t sector, const void *buf, uint32_t len,
		    uint64_t cookie);
int uvdpa_blk_flush(struct uvdpa_blk *blk, uint64_t cookie);
/* VIRTIO_BLK_T_DISCARD, _WRITE_ZEROES, _SECURE_ERASE of one range; `flags`: bit 0 is unmap. */
int uvdpa_blk_range(struct uvdpa_blk *blk, uint32_t type, uint64_t sector, uint32_t sectors,
		    uint32_t flags, uint64_t cookie);
/* VIRTIO_BLK_T_GET_ID: 20 bytes to `buf` in the arena, without a NUL if all are used. */
int uvdpa_blk_get_id(struct uvdpa_blk *blk, void *buf, uint64_t cookie);

/* A status byte that the device did not write: it is set before each request. */
#define UVDPA_BLK_S_UNWRITTEN 0xff

struct uvdpa_blk_completion {
	uint64_t cookie;
	uint32_t written; /* as the device says: data and the status byte */
	uint8_t status;	  /* VIRTIO_BLK_S_OK 0, IOERR 1, UNSUPP 2; UVDPA_BLK_S_UNWRITTEN */
};

/* uvdpa_queue_poll() for block requests: a number, or -EPROTO. */
int uvdpa_blk_poll(struct uvdpa_blk *blk, struct uvdpa_blk_completion *completions, unsigned max);

/* Requests in flight. */
unsigned uvdpa_blk_in_flight(const struct uvdpa_blk *blk);

/*
 * Submits what is in the queue and waits for the one request with this cookie; other completions on
 * the way are an -EBUSY error of the caller's. For set-up and tests. Returns the status byte,
 * -ETIMEDOUT, or as uvdpa_queue_wait().
 */
int uvdpa_blk_finish(struct uvdpa_blk *blk, uint64_t cookie, int timeout);

#ifdef __cplusplus
}
#endif

#endif
