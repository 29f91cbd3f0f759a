/* uvdpa resize: gives a disk another size. */
#include <inttypes.h>

#include "cmd/client.h"
#include "cmd/verb.h"
#include "util/size.h"

static void help(FILE *to)
{
	fputs("Gives a disk another size, and tells its driver: now, or when it is resumed.\n"
	      "\n"
	      "Usage: uvdpa resize NAME SIZE [--dir DIR] [--json]\n"
	      "\n"
	      "  SIZE          bytes, or with a suffix: 512M, 20G, 1T\n" CLIENT_HELP
		      CLIENT_HELP_EXIT ".\n",
	      to);
}

static int run(int argc, char **argv)
{
	struct client_options options;
	uint64_t bytes;
	struct fault f;
	json_t *result;
	int ret;

	if (client_parse(argc, argv, false, 2, 2, "NAME SIZE", &options, &f))
		return complain(&f);
	ret = size_parse(options.words[1], &bytes);
	if (ret || !bytes || bytes % 512) {
		fault(&f, -1, "'%s' is not a size of a disk: a multiple of 512, like 20G",
		      options.words[1]);
		return complain(&f);
	}
	ret = client_call(
		&options, "resize",
		json_pack("{s:s, s:I}", "name", options.words[0], "bytes", (json_int_t)bytes),
		&result);
	if (ret)
		return ret;
	if (options.json)
		return client_print_json(result);
	json_decref(result);
	printf("%s has %" PRIu64 " bytes now\n", options.words[0], bytes);
	return EXIT_OK;
}

const struct verb verb_resize = {
	.name = "resize",
	.summary = "give a disk another size",
	.help = help,
	.run = run,
};
