/*
 * A device model that does what the test says: requests stay in its hands
 * until the test finishes or refuses them. A request is 8 readable bytes (its
 * tag) and any number of writable bytes, filled with the tag's low byte.
 *
 * Config space: 0..7 a size (read only, set by resize), 8 a byte and 9 another
 * that the driver may write.
 */
#ifndef UVDPA_TEST_SCRIPT_MODEL_H
#define UVDPA_TEST_SCRIPT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "device/limits.h"
#include "model/model.h"

#define SCRIPT_CONFIG_SIZE 10
#define SCRIPT_MAX_HELD	   1024
#define SCRIPT_FEATURE	   (1ull << 7) /* offered besides what every device offers */

struct script_held {
	struct request *request;
	uint64_t tag;
	bool finished;
	const char *refusal; /* finished: with this, instead of success */
	bool cancelled;	     /* finished: given back undone */
	bool yields;	     /* it will be, when it is cancelled */
};

struct script_model {
	struct model model;
	unsigned queues, groups;
	bool instant;	    /* finish everything at once */
	bool sated;	    /* no pass may hold more work */
	bool needs_poll;    /* whoever holds something is not told when it is finished */
	bool undoes;	    /* what it did for memory that goes, on each queue's worker */
	bool gives_back;    /* what is held comes back undone when it is cancelled */
	unsigned bad_start; /* bit q: queue q cannot start */
	uint64_t size;
	uint8_t writable[2];
	uint64_t negotiated;
	unsigned starts, stops, resets, cancels, destroyed, batches, gone;
	unsigned polls[DEVICE_MAX_QUEUES];
	struct script_held held[SCRIPT_MAX_HELD]; /* in order of taking */
	unsigned held_count;
	/* Told of everything that happens, in words. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/* Fills in the operations; the rest of *model is the caller's. destroy frees nothing. */
void script_model_init(struct script_model *model, unsigned queues);

/* Marks a held request; the next poll of its queue delivers it. Returns its queue, or -1. */
int script_model_finish(struct script_model *model, uint64_t tag, const char *refusal);

#endif
