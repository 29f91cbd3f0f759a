/* uvdpa resize: makes a disk larger. */
#include <errno.h>

#include "cmd/client.h"
#include "cmd/verb.h"
#include "util/size.h"

static void help(FILE *to)
{
	fputs("Makes a disk larger, and tells its driver: now, or when it is resumed. It never\n"
	      "shrinks.\n"
	      "\n"
	      "Usage: uvdpa resize NAME SIZE [--dir DIR] [--json]\n"
	      "\n"
	      "  SIZE          bytes, or with a suffix: 512M, 20G, 1T\n" CLIENT_HELP
		      CLIENT_HELP_EXIT ".\n",
	      to);
}

static void say(const struct client_options *options, const json_t *result)
{
	printf("%s has %" JSON_INTEGER_FORMAT " bytes now\n", options->words[0],
	       json_integer_value(json_object_get(result, "bytes")));
}

static int run(int argc, char **argv)
{
	struct client_options options;
	json_t *arguments;
	uint64_t bytes;
	struct error f;

	if (client_parse(argc, argv, false, 2, 2, "NAME SIZE", &options, &f))
		return complain(&f);
	if (size_parse(options.words[1], &bytes) || !bytes || bytes % 512) {
		error_set(&f, -EINVAL, "'%s' is not a size of a disk: a multiple of 512, like 20G",
			  options.words[1]);
		return complain(&f);
	}
	arguments = json_pack("{s:s, s:I}", "name", options.words[0], "bytes", (json_int_t)bytes);
	return client_do(&options, "resize", arguments, say);
}

const struct verb verb_resize = {
	.name = "resize",
	.summary = "make a disk larger",
	.help = help,
	.run = run,
};
