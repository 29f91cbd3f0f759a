/* uvdpa reset: makes a device's driver start it anew. */
#include "cmd/client.h"
#include "cmd/verb.h"

static void help(FILE *to)
{
	fputs("Breaks a device on purpose: it takes nothing more, shows DEVICE_NEEDS_RESET to its\n"
	      "driver, and is clean again when that resets it. Holds on it end.\n"
	      "\n"
	      "Usage: uvdpa reset NAME [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT
	      ",\n3 the backend did not give its requests back.\n",
	      to);
}

static void say(const struct client_options *options, const json_t *result)
{
	const char *state = json_string_value(json_object_get(result, "state"));

	printf("%s is reset (%s)\n", options->words[0], state ? state : "?");
}

static int run(int argc, char **argv)
{
	return client_do_one(argc, argv, "reset", say);
}

const struct verb verb_reset = {
	.name = "reset",
	.summary = "make a device's driver start it anew",
	.help = help,
	.run = run,
};
