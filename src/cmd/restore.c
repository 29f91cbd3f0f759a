/* uvdpa restore: has a device go on from a saved state when its driver comes. */
#include <errno.h>
#include <stdlib.h>

#include "cmd/client.h"
#include "cmd/state_file.h"
#include "cmd/verb.h"
#include "util/base64.h"

static void help(FILE *to)
{
	fputs("Gives a device that no driver has set up the state that 'uvdpa save' wrote. When "
	      "the\n"
	      "driver comes, every queue that it sets up as it was (entries and addresses) and "
	      "whose\n"
	      "base it leaves alone or sets to the same goes on from there, with the requests "
	      "that\n"
	      "were in flight first. A queue that is set up otherwise begins as the driver says; "
	      "the\n"
	      "server's log tells. A state that does not fit the device is refused.\n"
	      "\n"
	      "Usage: uvdpa restore NAME FILE [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

static char *read_state(const char *path, struct error *f)
{
	size_t size;
	uint8_t *bytes = state_file_read(path, &size, f);
	char *text = bytes ? base64_encode(bytes, size) : NULL;

	if (bytes && !text)
		error_set(f, -ENOMEM, "out of memory");
	free(bytes);
	return text;
}

static void say(const struct client_options *options, const json_t *result)
{
	printf("%s has the state of %s and waits for its driver\n", options->words[0],
	       options->words[1]);
}

static int run(int argc, char **argv)
{
	struct client_options options;
	struct error f;
	char *text;
	int ret;

	if (client_parse(argc, argv, false, 2, 2, "NAME FILE", &options, &f))
		return complain(&f);
	text = read_state(options.words[1], &f);
	if (!text)
		return complain(&f);
	ret = client_do(&options, "restore",
			json_pack("{s:s, s:s}", "name", options.words[0], "state", text), say);
	free(text);
	return ret;
}

const struct verb verb_restore = {
	.name = "restore",
	.summary = "give a device the state from a file",
	.help = help,
	.run = run,
};
