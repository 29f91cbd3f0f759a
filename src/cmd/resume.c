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

static int run(int argc, char **argv)
{
	struct client_options options;
	const char *state = "?";
	struct fault f;
	json_t *result;
	int ret;

	if (client_parse(argc, argv, false, 1, 1, "NAME", &options, &f))
		return complain(&f);
	ret = client_call(&options, "resume", json_pack("{s:s}", "name", options.words[0]),
			  &result);
	if (ret)
		return ret;
	if (options.json)
		return client_print_json(result);
	json_unpack(result, "{s:s}", "state", &state);
	if (!strcmp(state, "SUSPENDED"))
		printf("%s is no longer held by the operator, but by its driver\n",
		       options.words[0]);
	else
		printf("%s is resumed (%s)\n", options.words[0], state);
	json_decref(result);
	return EXIT_OK;
}

const struct verb verb_resume = {
	.name = "resume",
	.summary = "let a suspended device go on",
	.help = help,
	.run = run,
};
