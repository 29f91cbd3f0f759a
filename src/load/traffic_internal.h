/* What a traffic consists of, for the file that runs it and those that make one kind each. */
#ifndef UVDPA_LOAD_TRAFFIC_INTERNAL_H
#define UVDPA_LOAD_TRAFFIC_INTERNAL_H

#include "load/traffic.h"
#include "uvdpa/driver.h"

/* Completions in one collection. */
#define TRAFFIC_BATCH 64

struct traffic;

/* A kind of traffic. Results are negative errnos where something is wrong. */
struct traffic_kind {
	/* Fills the queues and submits. */
	int (*start)(struct traffic *t);
	/* Collects one batch and, with `again`, sends as much. The number collected. */
	int (*turn)(struct traffic *t, bool again);
	/* What has to come back before all is at rest. */
	unsigned (*in_flight)(const struct traffic *t);
	void (*free)(struct traffic *t);
};

struct traffic {
	const struct traffic_kind *kind;
	struct uvdpa_queue *queue; /* to wait for */
	bool poll;
	uint64_t errors;
	struct histogram latency;

	int64_t last; /* when completions were collected last; 0: not yet */
	atomic_uint_fast64_t gap;
	atomic_uint_fast64_t done, received;
};

int64_t traffic_now(void);

/* Completions were collected now: notes how long it was since the last ones. */
void traffic_note(struct traffic *t, unsigned count, int64_t now);

#endif
