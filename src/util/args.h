/*
 * Command lines: --name VALUE, --name=VALUE, --flag, -f, words, and -- to end
 * the options. Mistakes come back as one line that says what was meant.
 */
#ifndef UVDPA_UTIL_ARGS_H
#define UVDPA_UTIL_ARGS_H

#include <stdint.h>

#include "util/error.h"

/* A list of texts; the caller provides the room (argc entries are always enough). */
struct arg_list {
	const char **items;
	unsigned count, max;
};

enum arg_kind { ARG_FLAG, ARG_TEXT, ARG_LIST };

struct arg {
	const char *name; /* without the dashes; NULL ends a table */
	char letter;	  /* 0: none */
	enum arg_kind kind;
	void *to; /* bool *, const char ** (NULL before: given twice is refused), struct arg_list *
		   */
};

/*
 * Parses argv[1..]. Words that are no options go to `words`. Returns 0 or -EINVAL with the error
 * filled: unknown option (with a suggestion), missing or superfluous value, too many words.
 */
int args_parse(int argc, char **argv, const struct arg *table, struct arg_list *words,
	       struct error *err);

/* Reads the value of --`option`: a plain number, `min` to `max`. 0, or -EINVAL with the error. */
int args_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value,
		struct error *err);

#endif
