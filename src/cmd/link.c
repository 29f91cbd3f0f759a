/* uvdpa link: plugs a network card's cable in, or pulls it. */
#include <errno.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/verb.h"

static void help(FILE *to)
{
	fputs("Plugs a network card's cable in or pulls it, and tells its driver: now, or when it "
	      "is\n"
	      "resumed. While it is out, frames are dropped and counted.\n"
	      "\n"
	      "Usage: uvdpa link NAME up|down [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

static void say(const struct client_options *options, const json_t *result)
{
	printf("the link of %s is %s\n", options->words[0], options->words[1]);
}

static int run(int argc, char **argv)
{
	struct client_options options;
	struct error f;
	bool up;

	if (client_parse(argc, argv, false, 2, 2, "NAME up|down", &options, &f))
		return complain(&f);
	up = !strcmp(options.words[1], "up");
	if (!up && strcmp(options.words[1], "down")) {
		error_set(&f, -EINVAL, "'%s': a link is up or down", options.words[1]);
		return complain(&f);
	}
	return client_do(&options, "link",
			 json_pack("{s:s, s:b}", "name", options.words[0], "up", up), say);
}

const struct verb verb_link = {
	.name = "link",
	.summary = "plug a network card's cable in, or pull it",
	.help = help,
	.run = run,
};
