/* The operators' side of the control socket. */
#ifndef UVDPA_CMD_CLIENT_H
#define UVDPA_CMD_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "util/args.h"
#include "util/error.h"

/* What all operators' verbs understand, and their words. */
struct client_options {
	const char *dir;
	const char *timeout;	/* text of --timeout; only where the verb has it */
	const char *on_timeout; /* likewise, of --on-timeout */
	bool json;
	const char *words[2];
	unsigned word_count;
};

/*
 * Parses --dir, --json and, with `has_timeout`, --timeout; takes `min` to `max` words, which
 * `usage` names ("NAME SIZE").
 */
int client_parse(int argc, char **argv, bool has_timeout, unsigned min, unsigned max,
		 const char *usage, struct client_options *options, struct error *err);

/*
 * Asks the server of `dir` and waits for the answer. `arguments` is taken over. Returns an exit
 * code of cmd/verb.h; at EXIT_OK, `*result` is what the command returned. Otherwise it has
 * complained: in a line on stderr, and with `json` the error object on stdout.
 */
int client_call(const struct client_options *options, const char *command, json_t *arguments,
		json_t **result);

/* Says in words what the server did. Printed instead with --json: `result`. */
typedef void client_say(const struct client_options *options, const json_t *result);

/* Asks as client_call does, and prints what came of it. Returns an exit code. */
int client_do(const struct client_options *options, const char *command, json_t *arguments,
	      client_say *say);
/* All of a verb that is a command on one device and has no other word: uvdpa COMMAND NAME. */
int client_do_one(int argc, char **argv, const char *command, client_say *say);

/* Prints `result` as --json wants it, and drops it. Returns EXIT_OK. */
int client_print_json(json_t *result);

/* The lines of --help that the operators' verbs share. */
#define CLIENT_HELP                                                                    \
	"  --dir DIR     the server's directory; default $XDG_RUNTIME_DIR/uvdpa, or\n" \
	"                /run/uvdpa\n"                                                 \
	"  --json        print the server's answer as it is\n"

#define CLIENT_HELP_EXIT "\nExit status: 0 done, 1 refused (one line says why), 2 no server answers"

#endif
