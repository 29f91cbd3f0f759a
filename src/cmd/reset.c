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

static int run(int argc, char **argv)
{
	struct client_options options;
	const char *state = "?";
	struct fault f;
	json_t *result;
	int ret;

	if (client_parse(argc, argv, false, 1, 1, "NAME", &options, &f))
		return complain(&f);
	ret = client_call(&options, "reset", json_pack("{s:s}", "name", options.words[0]), &result);
	if (ret)
		return ret;
	if (options.json)
		return client_print_json(result);
	json_unpack(result, "{s:s}", "state", &state);
	printf("%s is reset (%s)\n", options.words[0], state);
	json_decref(result);
	return EXIT_OK;
}

const struct verb verb_reset = {
	.name = "reset",
	.summary = "make a device's driver start it anew",
	.help = help,
	.run = run,
};
