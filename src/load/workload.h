/*
 * A workload that knows what it ought to see: random reads and writes, a fixed number of them in
 * flight, over a region of a disk, through nothing but the public driver interface.
 *
 * Each block carries its number and generation in every sector (pattern.h). The workload keeps, per
 * block, the last generation acknowledged and the last one sent, and so can tell for every read
 * what may come back. It sees requests that never complete (lost), completions of requests that the
 * device did not do or did twice (duplicated), contents that no write sent (corrupt), that belong
 * elsewhere (misplaced), or that a later acknowledged write had replaced (stale).
 *
 * One thread runs it. Another may meanwhile suspend, resume and hand over the device, and look at
 * workload_done() and workload_take_gap().
 */
#ifndef UVDPA_LOAD_WORKLOAD_H
#define UVDPA_LOAD_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "load/histogram.h"
#include "util/error.h"

struct uvdpa_memory;
struct uvdpa_queue;

struct workload_options {
	uint64_t first_sector;
	uint32_t blocks;	/* in the region */
	uint32_t block_size;	/* bytes, a multiple of 512, at most 1 MiB; 0: 4096 */
	unsigned depth;		/* requests in flight; 0: 64 */
	unsigned write_percent; /* of the requests to blocks that have contents */
	unsigned flush_every;	/* one FLUSH in so many requests; 0: none */
	unsigned lost_after;	/* ms without completion after which a request is lost; 0: 10000 */
	uint64_t seed;		/* of all choices, and the mark of this run's sectors */
	bool blank;		/* the region holds nothing but zeroes at the start */
};

struct workload_counts {
	uint64_t reads, writes, flushes; /* completed */
	uint64_t errors;		 /* completed with a status other than OK */
	uint64_t lost;			 /* never completed */
	uint64_t duplicated;		 /* completed without having been done, or not in flight */
	uint64_t corrupt, misplaced, stale;
	uint64_t broken; /* the ring held other nonsense */
};

struct workload;

/* Bytes of arena that a workload takes for buffers and requests (the queue comes on top). */
uint64_t workload_memory_size(const struct workload_options *options);

/* Takes its buffers from the arena; `queue` must have room for depth chains of 3 (see
 * UVDPA_CHAIN_INDIRECT) and outlive the workload. Nothing is allocated after this. */
int workload_new(const struct workload_options *options, struct uvdpa_memory *memory,
		 struct uvdpa_queue *queue, struct workload **workload, struct error *f);
void workload_free(struct workload *w);

/*
 * One turn: collects and judges what has completed, fills up to the depth, submits. Returns the
 * number of completions, -ETIMEDOUT if a request is lost, -EPROTO if the ring is broken, or the
 * error of a kick. What was found wrong with contents is counted and no error.
 */
int workload_step(struct workload *w);

/* Turns, with waiting, until `stop` is set (may be NULL) or `requests` more completed (0: no
 * limit). 0 or as workload_step(). */
int workload_run(struct workload *w, const atomic_bool *stop, uint64_t requests);

/* Waits for what is in flight. 0, or -ETIMEDOUT: the rest counts as lost. */
int workload_drain(struct workload *w, int timeout_ms);

/* Drains, then reads and judges every block that was ever written with success and, of a blank
 * disk, every block never written. 0 or as workload_step(). */
int workload_verify(struct workload *w, int timeout_ms);

/*
 * Judges the same blocks as they are in the disk's file, past the device. `checked` gets how many.
 * 0, or the error of reading it; -EIO: the file is too short.
 */
int workload_check_file(struct workload *w, int fd, uint32_t *checked);

const struct workload_counts *workload_counts(const struct workload *w);

/* Nothing lost, duplicated, corrupt, misplaced, stale, broken, and no errors. */
bool workload_is_clean(const struct workload *w);

/* The first thing that went wrong, in one line; NULL: nothing. */
const char *workload_first_problem(const struct workload *w);

/* Time from submission to collection of every request, in ns. */
const struct histogram *workload_latency(const struct workload *w);

unsigned workload_in_flight(const struct workload *w);

/* Requests completed so far. From any thread. */
uint64_t workload_done(const struct workload *w);

/*
 * The longest time (ns) between two collections of completions that followed each other since this
 * was last called: taken around a move, the blackout that the client saw. From any thread.
 */
uint64_t workload_take_gap(struct workload *w);

#endif
