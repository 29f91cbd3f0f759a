/* uvdpa save: what another device needs to go on where this one stands, as a file. */
#include <errno.h>
#include <stdlib.h>

#include "cmd/client.h"
#include "cmd/state_file.h"
#include "cmd/verb.h"
#include "util/base64.h"

static void help(FILE *to)
{
	fputs("Writes the state of a suspended device to a file, which only you can read. 'uvdpa\n"
	      "restore' has another device of the same kind go on from it, 'uvdpa state' shows "
	      "it;\n"
	      "uvdpa-state(5) says what is in it. The device stays suspended: let its driver go "
	      "on\n"
	      "either here or there.\n"
	      "\n"
	      "Usage: uvdpa save NAME FILE [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

/* Puts the state of the answer into the file, and takes it out of the answer. */
static int write_state(json_t *result, const char *path, struct error *f)
{
	const char *text = json_string_value(json_object_get(result, "state"));
	size_t size = 0;
	uint8_t *bytes = text ? base64_decode(text, &size) : NULL;
	int r;

	if (!bytes)
		return error_set(f, -EPROTO, "the server's answer has no state in it");
	r = state_file_write(path, bytes, size, f);
	free(bytes);
	json_object_del(result, "state");
	return r;
}

static int run(int argc, char **argv)
{
	struct client_options options;
	struct error f;
	json_t *result;
	int ret;

	if (client_parse(argc, argv, false, 2, 2, "NAME FILE", &options, &f))
		return complain(&f);
	ret = client_call(&options, "save", json_pack("{s:s}", "name", options.words[0]), &result);
	if (ret)
		return ret;
	if (write_state(result, options.words[1], &f)) {
		json_decref(result);
		return complain(&f);
	}
	if (options.json)
		return client_print_json(result);
	printf("%s is saved in %s (%" JSON_INTEGER_FORMAT " bytes)\n", options.words[0],
	       options.words[1], json_integer_value(json_object_get(result, "bytes")));
	json_decref(result);
	return EXIT_OK;
}

const struct verb verb_save = {
	.name = "save",
	.summary = "write the state of a suspended device to a file",
	.help = help,
	.run = run,
};
