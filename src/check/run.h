/*
 * Running cases, each in a process of its own with a deadline: a device that hangs, or that makes
 * the checker crash, is a finding and not the end of the run.
 */
#ifndef UVDPA_CHECK_RUN_H
#define UVDPA_CHECK_RUN_H

#include "check/options.h"
#include "check/target.h"
#include "check/verdict.h"
#include "util/error.h"

struct check_sum {
	unsigned kept, broken, differs, skipped, noted;
	int64_t ns;
};

/*
 * Gathers facts, then runs every selected case and reports it (report.h). Returns 0 if all that ran
 * were kept, 1 if any was broken, 3 if none was but some differ from what is not owed, 2 (with the
 * fault filled) if the TARGET cannot be used or nothing ran.
 */
int check_run(const struct check_options *options, const struct target *targets,
	      struct check_sum *sum, struct error *f);

/*
 * Runs one body in a process of its own, `out` and `facts` shared with it: two of them in `facts`.
 * False: the process could not even be ended; the device is stuck.
 */
bool check_isolate(struct check *c, void (*body)(struct check *c), unsigned deadline);

#endif
