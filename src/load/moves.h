/* What moves took, step by step, over many of them. */
#ifndef UVDPA_LOAD_MOVES_H
#define UVDPA_LOAD_MOVES_H

#include <stdio.h>

#include "load/histogram.h"
#include "uvdpa/driver.h"

enum move_step {
	MOVE_SUSPEND,	/* SUSPEND, until it answered */
	MOVE_BASES,	/* every GET_VRING_BASE */
	MOVE_ATTACH,	/* SET_VRING_BASE and all else that sets up a queue in the target */
	MOVE_DRIVER_OK, /* status */
	MOVE_KICK,
	MOVE_RELEASE,  /* reset of the source, when the target serves already */
	MOVE_ALL,      /* from SUSPEND to the kick */
	MOVE_BLACKOUT, /* from the last completion before to the first one after */
	MOVE_STEPS
};

struct moves {
	struct histogram steps[MOVE_STEPS];
};

/* Adds a move; `blackout` in ns. */
void moves_add(struct moves *moves, const struct uvdpa_handover_times *times, uint64_t blackout);

/* What a step is called, in a word, and what it is, in a few. */
const char *moves_step_name(enum move_step step);
const char *moves_step_text(enum move_step step);

/* One line per step: p50, p99 and the longest, in us. */
void moves_print(const struct moves *moves, FILE *to);

#endif
