/* What `uvdpa bench` was asked, and what it found: for the file that measures and the one that
 * tells. */
#ifndef UVDPA_CMD_BENCH_H
#define UVDPA_CMD_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/histogram.h"
#include "cmd/moves.h"

struct bench_options {
	const char *targets[2]; /* [1] NULL: no hand-over */
	const char *rw;
	unsigned write_percent;
	bool sequential;
	uint32_t block_size;
	unsigned depth;
	double seconds;
	unsigned every_ms; /* between suspensions, or moves */
	uint64_t suspends, moves;
	uint64_t pid; /* of the server; 0: found out or unknown */
	bool json;
};

struct bench_result {
	double seconds;
	uint64_t requests, errors;
	struct histogram latency, suspend, resume;
	struct moves moves;
	uint64_t moved;
	double client_cpu; /* seconds */
	double server_cpu; /* negative: unknown */
};

void bench_print(const struct bench_options *options, const struct bench_result *result, FILE *to);
void bench_print_json(const struct bench_options *options, const struct bench_result *result,
		      FILE *to);

#endif
