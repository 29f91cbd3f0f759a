/* What a workload consists of, for the files that run it and judge what it sees. */
#ifndef UVDPA_LOAD_WORKLOAD_INTERNAL_H
#define UVDPA_LOAD_WORKLOAD_INTERNAL_H

#include "load/workload.h"

struct uvdpa_blk;

struct cell {
	uint32_t acked, sent;
	bool writing;
};

enum slot_kind { SLOT_FREE, SLOT_READ, SLOT_WRITE, SLOT_FLUSH };

struct slot {
	enum slot_kind kind;
	uint32_t block;
	uint32_t low; /* of a read: the oldest generation it may see; of a write: its own */
	int64_t start;
	unsigned char *buf;
};

struct workload {
	struct workload_options o;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct uvdpa_blk *blk;
	struct cell *cells;
	struct slot *slots;
	unsigned *free; /* a stack of slot numbers */
	unsigned free_count;
	uint64_t random;
	uint64_t sent_count;
	struct workload_counts counts;
	struct histogram latency;
	char problem[300];

	int64_t last; /* when completions were collected last; 0: not yet */
	atomic_uint_fast64_t gap;
	atomic_uint_fast64_t done;
};

/* Keeps the first of what goes wrong. */
void __attribute__((format(printf, 2, 3)))
workload_problem(struct workload *w, const char *format, ...);

/* Whether anything at all is known about a block's contents. */
bool workload_is_known(const struct workload *w, uint32_t block);

/*
 * Judges a block's contents, sector by sector, of generation `low` to the last one sent; counts the
 * first sector that is wrong.
 */
void workload_judge(struct workload *w, uint32_t block, uint32_t low, const unsigned char *data);

#endif
