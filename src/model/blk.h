/* What operators may ask of a virtio-blk device. It is made by blk_new (model/models.h). */
#ifndef UVDPA_MODEL_BLK_H
#define UVDPA_MODEL_BLK_H

#include <stdbool.h>
#include <stdint.h>

struct block;
struct model;

/* Requests that were answered, since the device was made. */
struct blk_stats {
	uint64_t reads, writes, flushes, discards, write_zeroes; /* with success */
	uint64_t read_bytes, written_bytes;
	uint64_t errors;      /* answered with VIRTIO_BLK_S_IOERR */
	uint64_t unsupported; /* answered with VIRTIO_BLK_S_UNSUPP */
	int last_error;	      /* of the backend: a negative errno; 0: none yet */
	uint64_t failed;      /* requests that it failed; if any, the latest: */
	uint64_t failed_number, failed_offset,
		failed_length;	 /* its place among all queues'; bytes */
	const char *failed_what; /* "write" */
};

/* Fills the counters of one queue. Returns false if the model is no virtio-blk device. Any thread.
 */
bool blk_get_stats(const struct model *model, unsigned queue, struct blk_stats *stats);

/* The disk behind the model, for its name and limits; NULL if the model is no virtio-blk device. */
const struct block *blk_get_block(const struct model *model);

#endif
