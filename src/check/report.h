/*
 * Telling what came out: TAP 14, a table for people, JSON, JUnit's XML, Markdown. All write to
 * stdout. The first three tell one case at a time, so that a run that is broken off has told what
 * it knew; the others, which need sums first, all at the end.
 */
#ifndef UVDPA_CHECK_REPORT_H
#define UVDPA_CHECK_REPORT_H

#include "check/run.h"

void report_begin(const struct check *c, unsigned count);
void report_case(const struct check *c);
void report_end(const struct check *c, const struct check_sum *sum);

/* --list, in the options' format. */
void report_list(const struct check_options *options);

#endif
