/* The parts of the virtio-blk model: blk.c (life), blk_config.c, blk_request.c. */
#ifndef UVDPA_MODEL_BLK_INTERNAL_H
#define UVDPA_MODEL_BLK_INTERNAL_H

#include <stdatomic.h>

#include "backend/block.h"
#include "model/blk.h"
#include "model/model.h"
#include "model/models.h"
#include "model/transfer.h"

#define BLK_MAX_QUEUES	  64
#define BLK_MAX_SEGMENTS  254u /* seg_max at most */
#define BLK_MAX_RANGES	  16u  /* of one discard or write-zeroes request */
#define BLK_SECTOR	  512u
#define BLK_SERIAL_LENGTH 20u /* VIRTIO_BLK_ID_BYTES */
/* The longest ranges that one request may have: what bounds the time of a drain. */
#define BLK_DISCARD_SECTORS	 (4u << 21) /* 4 GiB */
#define BLK_WRITE_ZEROES_SECTORS (1u << 19) /* 256 MiB */
/*
 * The work of one pass, in bytes that backends were given and buffers were copied: a fraction of a
 * millisecond. What goes beyond waits for the next pass, so that control and the neighbours on the
 * worker get between (S10, S16). A step that has begun is finished: at most TRANSFER_SLICE more.
 */
#define BLK_PASS_BYTES (1u << 20)
/* In the same terms: a segment that only a system call reaches. */
#define BLK_COPIED_SEGMENT 2048u
/*
 * The config space of Linux 6.12 and later (with the zoned part, which stays zero): clients that
 * were built for a longer layout than ours can read all of it.
 */
#define BLK_CONFIG_SIZE 96u

/* Per queue: incremented by its worker, read by anyone. */
struct blk_counters {
	_Atomic uint64_t reads, writes, flushes, discards, write_zeroes;
	_Atomic uint64_t read_bytes, written_bytes, errors, unsupported;
	_Atomic int last_error;
	/* of the backend's failures: how many, the last one, and its number among all queues' */
	_Atomic uint64_t failures, failed_offset, failed_length, failed_number;
	_Atomic unsigned failed_op; /* enum block_op */
};

struct blk_request;

struct blk_queue {
	struct blk *blk;
	struct block_channel *channel; /* NULL: the queue is not started */
	struct transfer_pool pool;
	/* Where requests lay lately, if the backend wants to know; a guest has one or two. */
	struct block_memory memory[2];
	unsigned memory_next;			    /* to be replaced */
	unsigned finished;			    /* requests given back; counts up */
	bool cancelling;			    /* requests take no further step */
	uint64_t spent;				    /* bytes of work in this pass */
	struct blk_request *waiting, **waiting_end; /* for the next pass, in order of arrival */
	struct blk_counters counters;
};

struct blk {
	struct model model;
	struct block *block;
	unsigned queue_count;
	_Atomic uint64_t failures; /* of all queues */
	uint32_t seg_max;
	bool write_cache;  /* as a new device has it */
	bool writeback;	   /* the config field, as a driver set it; over resets */
	uint64_t features; /* negotiated */
	uint8_t serial[BLK_SERIAL_LENGTH];
	struct blk_queue queues[];
};

static inline struct blk *blk_of(const struct model *model)
{
	return (struct blk *)(uintptr_t)model;
}

static inline bool blk_has(const struct blk *blk, unsigned feature)
{
	return blk->features >> feature & 1;
}

/* A discard or write-zeroes range, checked. */
struct blk_range {
	uint64_t offset, length; /* bytes */
	bool unmap;
};

struct blk_type;

/* What a request that waits for the next pass goes on with. */
enum blk_due { BLK_DUE_BEGIN, BLK_DUE_STEP, BLK_DUE_RESULT };

/* Scratch of a request. */
struct blk_request {
	struct block_request block; /* the step that the backend has */
	struct blk_queue *queue;
	struct blk_request *next; /* in queue->waiting */
	enum blk_due due;
	const struct blk_type *type;
	union {
		struct transfer transfer; /* IN, OUT */
		struct blk_range ranges[BLK_MAX_RANGES];
	};
	uint64_t data;		     /* bytes of data that the answer reports or counts */
	unsigned steps;		     /* begun so far */
	unsigned range_count, range; /* how many; the one that is being done */
	bool submitting;	     /* inside block_submit ... */
	bool finished;		     /* ... which called done, with: */
	int result;
};

static inline bool blk_queue_sated(const struct blk_queue *queue)
{
	return queue->spent >= BLK_PASS_BYTES;
}

/* blk_config.c */
uint64_t blk_features(struct model *model);
void blk_config_read(struct model *model, uint8_t *config);
bool blk_config_writable(const struct model *model, uint64_t features, size_t offset);
void blk_config_write(struct model *model, size_t offset, const uint8_t *bytes, size_t size);
size_t blk_state_save(struct model *model, uint8_t *bytes);
int blk_state_check(struct model *model, const uint8_t *bytes, size_t size, struct error *f);
void blk_state_load(struct model *model, const uint8_t *bytes, size_t size);

/* blk_request.c */
void blk_handle(struct model *model, struct request *request);
/* A new pass begins: goes on with what waits for it. Returns whether the backend got something. */
bool blk_go_on(struct blk_queue *queue);

#endif
