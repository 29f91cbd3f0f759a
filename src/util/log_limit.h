/*
 * How often a kind of line may be in the log: what a client can have us say again and again is not
 * to fill a disk. A kind is a format and who it is about. So many lines of it are shown in a
 * region of time; the others are counted, and the count is told.
 */
#ifndef UVDPA_UTIL_LOG_LIMIT_H
#define UVDPA_UTIL_LOG_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LIMIT_LINES	  20 /* in each region */
#define LOG_LIMIT_SECONDS 10
#define LOG_LIMIT_KINDS	  64 /* that are told apart at once */
#define LOG_LIMIT_WHO	  64

/* One kind of line; all zero: none. */
struct log_kind {
	const char *format; /* as an address */
	char who[LOG_LIMIT_WHO];
	uint64_t since; /* when its region began, in seconds */
	unsigned shown, missed;
};

struct log_limit {
	struct log_kind kinds[LOG_LIMIT_KINDS];
};

/*
 * Whether a line may be shown at `now` (seconds of a clock that never goes back). *before, unless
 * its `missed` is 0, is a kind whose count is to be told first.
 */
bool log_limit_allows(struct log_limit *limit, const char *format, const char *who, uint64_t now,
		      struct log_kind *before);

/*
 * The next kind whose region is over and whose count was not told: call it until it says false.
 * At the end of everything: with UINT64_MAX.
 */
bool log_limit_over(struct log_limit *limit, uint64_t now, struct log_kind *over);

#endif
