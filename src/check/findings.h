/*
 * What a run has found, kept until its end: one finding per root cause, however many cases show it.
 */
#ifndef UVDPA_CHECK_FINDINGS_H
#define UVDPA_CHECK_FINDINGS_H

#include <stddef.h>

#include "check/verdict.h"
#include "check/wire.h"

#define FINDING_CASES 400

struct finding {
	const struct check_case *kase; /* the first case that showed it */
	struct outcome out;	       /* of that case */
	struct wire wire;	       /* likewise */
	const struct check_case *cases[FINDING_CASES];
	size_t count; /* of these */
};

/* Notes a case that was broken or differs; another of the same root joins the first. */
void findings_add(const struct check *c);
/* The i-th, in the order of finding; NULL: there is none. */
const struct finding *findings_get(size_t i);
void findings_clear(void);
/* "broken", "contract", "robustness": how grave it is. */
const char *finding_severity(const struct finding *finding);

#endif
