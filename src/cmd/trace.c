/* uvdpa trace: what a device did lately, as a file that 'uvdpa plot' draws. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/client.h"
#include "plot/trace_file.h"
#include "cmd/verb.h"
#include "util/args.h"

static void help(FILE *to)
{
	fputs("Writes the trace of a device: the latest steps of its life, and the packets or\n"
	      "requests of every 10 ms, all with their times. 'uvdpa plot' draws it; "
	      "uvdpa-trace(5)\n"
	      "says what is in it. Without --output it goes to standard output.\n"
	      "\n"
	      "Usage: uvdpa trace NAME [--output FILE] [--dir DIR]\n"
	      "\n"
	      "  --output FILE where to\n"
	      "  --dir DIR     the server's directory; default $XDG_RUNTIME_DIR/uvdpa, or\n"
	      "                /run/uvdpa\n" CLIENT_HELP_EXIT ".\n",
	      to);
}

/* Whose clock it was: times of two traces compare if this is the same. "": not known. */
static void read_boot_id(char id[64])
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "r");

	id[0] = '\0';
	if (file && fgets(id, 64, file))
		id[strcspn(id, "\n")] = '\0';
	if (file)
		fclose(file);
}

static int write_trace(json_t *trace, const char *path, struct error *f)
{
	char *text = json_dumps(trace, JSON_COMPACT | JSON_ENSURE_ASCII);
	int r;

	if (!text)
		return error_set(f, -ENOMEM, "out of memory");
	r = text_file_write(path, text, strlen(text), f);
	free(text);
	return r;
}

static int parse(int argc, char **argv, struct client_options *options, const char **output,
		 struct error *f)
{
	const struct arg table[] = {
		{"dir", 0, ARG_TEXT, &options->dir},
		{"output", 0, ARG_TEXT, output},
		{NULL},
	};
	struct arg_list words = {options->words, 0, 1};
	int r = args_parse(argc, argv, table, &words, f);

	if (!r && !words.count)
		r = error_set(f, -EINVAL,
			      "usage: uvdpa trace NAME [--output FILE] (see uvdpa trace --help)");
	return r;
}

static int run(int argc, char **argv)
{
	struct client_options options = {0};
	const char *output = NULL;
	json_t *trace;
	char boot[64];
	struct error f;
	int ret;

	if (parse(argc, argv, &options, &output, &f))
		return complain(&f);
	ret = client_call(&options, "trace", json_pack("{s:s}", "name", options.words[0]), &trace);
	if (ret)
		return ret;
	read_boot_id(boot);
	json_object_set_new(trace, "boot", json_string(boot));
	if (!output)
		return client_print_json(trace);
	ret = write_trace(trace, output, &f);
	if (!ret)
		printf("the trace of %s is in %s (%zu events, %zu slots of time)\n",
		       options.words[0], output, json_array_size(json_object_get(trace, "events")),
		       json_array_size(json_object_get(trace, "slots")));
	json_decref(trace);
	return ret ? complain(&f) : EXIT_OK;
}

const struct verb verb_trace = {
	.name = "trace",
	.summary = "write what a device did lately to a file",
	.help = help,
	.run = run,
};
