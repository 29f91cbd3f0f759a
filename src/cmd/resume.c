/* uvdpa resume: ends the operator's hold of a device. */
#include <string.h>

#include "cmd/client.h"
#include "cmd/verb.h"

static void help(FILE *to)
{
	fputs("Ends the operator's hold of a device. It runs on when nobody else holds it: what\n"
	      "its driver suspended, only the driver resumes. Not suspended: nothing happens.\n"
	      "\n"
	      "Usage: uvdpa resume NAME [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

static void say(const struct client_options *options, const json_t *result)
{
	const char *state = json_string_value(json_object_get(result, "state"));

	if (state && !strcmp(state, "SUSPENDED"))
		printf("%s is no longer held by the operator, but by its driver\n",
		       options->words[0]);
	else
		printf("%s is resumed (%s)\n", options->words[0], state ? state : "?");
}

static int run(int argc, char **argv)
{
	return client_do_one(argc, argv, "resume", say);
}

const struct verb verb_resume = {
	.name = "resume",
	.summary = "let a suspended device go on",
	.help = help,
	.run = run,
};
