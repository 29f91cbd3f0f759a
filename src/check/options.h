/* The words of `uvdpa check`. */
#ifndef UVDPA_CHECK_OPTIONS_H
#define UVDPA_CHECK_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "util/error.h"

struct check_case;

enum check_format {
	FORMAT_AUTO,
	FORMAT_TABLE,
	FORMAT_TAP,
	FORMAT_JSON,
	FORMAT_JUNIT,
	FORMAT_MARKDOWN,
	FORMAT_NONE
};

#define CHECK_MAX_ONLY 64

struct check_options {
	const char *targets[2];
	unsigned target_count;
	const char *only[CHECK_MAX_ONLY]; /* ids and groups; none: all */
	unsigned only_count;
	unsigned rounds;     /* of racing cases */
	unsigned seconds;    /* one racing case lasts no longer */
	unsigned deadline;   /* seconds after which a case that does not come back is broken */
	unsigned patience;   /* ms that something which has to happen may take: machines are busy */
	unsigned answer_ms;  /* that one answer over a socket may take */
	uint32_t device_id;  /* --type: what is behind a socket; 0: guessed */
	const char *restart; /* the command that starts the server again, or NULL */
	bool lossless;	     /* frames that go out come back, all of them */
	uint64_t seed;
	bool scratch;
	bool packed; /* only the cases on packed rings */
	bool list, help;
	const char *control; /* the folder of control sockets, or NULL */
	enum check_format format;
};

/* Reads the words after the program's or verb's name. Returns 0 or -EINVAL with the error filled.
 */
int check_options_parse(struct check_options *o, int argc, char **argv, struct error *f);
/* The defaults, for callers that have no words. */
void check_options_init(struct check_options *o);
/* Whether the case is among those asked for. */
bool check_options_selects(const struct check_options *o, const struct check_case *kase);
void check_options_usage(FILE *to);

#endif
