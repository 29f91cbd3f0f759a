/* What the reports' formats share, and their functions. */
#ifndef UVDPA_CHECK_REPORT_INTERNAL_H
#define UVDPA_CHECK_REPORT_INTERNAL_H

#include "check/basis.h"
#include "check/case.h"
#include "check/findings.h"
#include "check/options.h"
#include "check/report.h"
#include "check/target.h"
#include "check/wire.h"

/* "kept", "broken", "skipped", "differs". */
const char *report_verdict(enum verdict verdict);
/* The command that tries a case again, with every option that matters, into a buffer. */
void report_reproduction(const struct check *c, const struct check_case *kase, char *text,
			 size_t size);
/* What the sentence says that the outcome broke; "": it was not in the table. */
const char *report_requirement(const struct outcome *out);
/* A text of several lines, each with what goes before it. */
void report_lines(const char *before, const char *text);
bool report_is_finding(const struct outcome *out);

/* Each format: begin, one case, end. */
struct report {
	void (*begin)(const struct check *c, unsigned count);
	void (*one)(const struct check *c);
	void (*end)(const struct check *c, const struct check_sum *sum);
};
extern const struct report report_table, report_tap, report_json, report_junit, report_markdown;

/* JSON of one case's entry in the table of cases: no braces. */
void report_json_facts(const struct check_case *kase);

#endif
