/* A rule of order: see rules.c for which there are, model.h for how one is tried. */
#ifndef UVDPA_TEST_LITMUS_LITMUS_H
#define UVDPA_TEST_LITMUS_LITMUS_H

#include <stdbool.h>

#include "model.h"

enum rule_layout { RULE_SPLIT, RULE_SPLIT_EVENT, RULE_PACKED, RULE_PACKED_EVENT, RULE_LAYOUTS };

struct rule {
	const char *name;
	unsigned layouts, kinds; /* sets of enum rule_layout and enum rig_memory */
	void (*set_up)(void);	 /* on a rig with an empty ring; NULL: that will do */
	/* The device's and the driver's end. No second one: it dies somewhere. */
	void (*threads[MODEL_THREADS])(void);
	bool (*holds)(void);
	/* Kinds of order without which the rule does not hold, each taken away alone. */
	unsigned needs[MODEL_THREADS];
};

extern const struct rule rules[]; /* the last has no name */

#endif
