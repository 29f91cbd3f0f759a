/* What `uvdpa bench` was asked, and what it found: for the file that measures and the one that
 * tells. */
#ifndef UVDPA_CMD_BENCH_H
#define UVDPA_CMD_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "load/histogram.h"
#include "load/moves.h"
#include "util/error.h"

/* What is done with the target. */
struct bench_rw {
	const char *name;
	bool net; /* with a network card, else with a disk */
	unsigned write_percent;
	bool sequential;
	bool send, receive;
};

extern const struct bench_rw bench_kinds[]; /* ends with one that has no name */

struct bench_options {
	const char *targets[2];	   /* [1] NULL: no hand-over */
	const struct bench_rw *rw; /* NULL: as suits the target */
	uint32_t block_size;	   /* or of a frame; 0: as suits the target */
	unsigned depth;		   /* in each queue */
	unsigned queues;
	bool poll, packed;
	uint32_t poll_us; /* before sleeping; 0: not at all */
	bool copied;	  /* the driver's memory: see load_session_options */
	double seconds;
	unsigned every_ms;	/* between suspensions, or moves */
	unsigned suspend_every; /* ms, for as long as it lasts; 0: not */
	uint64_t suspends, moves;
	uint64_t pid; /* of the server; 0: found out or unknown */
	bool json;
};

struct bench_result {
	bool interrupted; /* by a signal, before it was asked to end */
	double seconds;
	uint64_t requests, errors;
	uint64_t received; /* of a network card: of the requests, the frames that came in */
	struct histogram latency, suspend, resume;
	struct moves moves;
	uint64_t moved;
	double client_cpu; /* seconds */
	double server_cpu; /* negative: unknown */
};

/* Measures, fills what was left to the target, and adds to a blank result. 0, or a negative errno
 * with the error filled. */
int bench_measure(struct bench_options *options, struct bench_result *result, struct error *err);

void bench_print(const struct bench_options *options, const struct bench_result *result, FILE *to);
void bench_print_json(const struct bench_options *options, const struct bench_result *result,
		      FILE *to);

#endif
