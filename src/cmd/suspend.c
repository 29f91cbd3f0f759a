/* uvdpa suspend: holds a device for the operator. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/verb.h"

static void help(FILE *to)
{
	fputs("Suspends a device: returns when nothing of it is in flight any more. The hold is\n"
	      "the operator's; it stays until 'uvdpa resume', whatever the driver does.\n"
	      "\n"
	      "Usage: uvdpa suspend NAME [--timeout MS] [--on-timeout fail|park] [--dir DIR] "
	      "[--json]\n"
	      "\n"
	      "  --timeout MS  give up after so many milliseconds; the device then runs on.\n"
	      "                Default: the device's suspend-timeout\n"
	      "  --on-timeout fail|park\n"
	      "                park: after half of that time, have the backend give back what it\n"
	      "                has not done; that stays in flight, 'uvdpa save' lists it, and "
	      "whoever\n"
	      "                goes on does it again. Default: the device's "
	      "on-timeout\n" CLIENT_HELP CLIENT_HELP_EXIT
	      ",\n3 not in time (the device runs as before).\n",
	      to);
}

static int parse_timeout(const char *text, json_int_t *ms, struct error *f)
{
	char *end;

	*ms = 0;
	if (!text)
		return 0;
	errno = 0;
	*ms = strtoll(text, &end, 10);
	if (!isdigit((unsigned char)text[0]) || *end || errno || *ms < 1 || *ms > 3600000)
		return error_set(f, -EINVAL,
				 "--timeout %s: it is a number of milliseconds, 1 to 3600000",
				 text);
	return 0;
}

static void say(const struct client_options *options, const json_t *result)
{
	printf("%s is suspended; 'uvdpa resume %s%s%s' lets it go on\n", options->words[0],
	       options->words[0], options->dir ? " --dir " : "", options->dir ? options->dir : "");
}

static int run(int argc, char **argv)
{
	struct client_options options;
	json_int_t timeout;
	struct error f;
	json_t *arguments;

	if (client_parse(argc, argv, true, 1, 1, "NAME", &options, &f) ||
	    parse_timeout(options.timeout, &timeout, &f))
		return complain(&f);
	if (options.on_timeout && strcmp(options.on_timeout, "fail") &&
	    strcmp(options.on_timeout, "park")) {
		error_set(&f, -EINVAL, "--on-timeout %s: it is 'fail' or 'park'",
			  options.on_timeout);
		return complain(&f);
	}
	arguments = json_pack("{s:s, s:I}", "name", options.words[0], "timeout_ms", timeout);
	if (options.on_timeout)
		json_object_set_new(arguments, "on_timeout", json_string(options.on_timeout));
	return client_do(&options, "suspend", arguments, say);
}

const struct verb verb_suspend = {
	.name = "suspend",
	.summary = "make a device stand still",
	.help = help,
	.run = run,
};
