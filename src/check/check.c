/* The verb: words, list, run. */
#include "check/check.h"

#include <stdio_ext.h>

#include "check/options.h"
#include "check/report.h"
#include "check/run.h"
#include "check/target.h"

void check_help(FILE *to)
{
	check_options_usage(to);
}

/* A verdict that nobody can read is none. */
static int finish(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fputs("uvdpa: check: not all of the output could be written\n", stderr);
	__fpurge(stdout); /* or whoever called us would find and tell it once more */
	clearerr(stdout);
	return 2;
}

int check_main(int argc, char **argv)
{
	struct check_options options;
	struct target targets[2] = {0};
	struct check_sum sum;
	struct error f = {0};
	int r;

	if (check_options_parse(&options, argc, argv, &f) < 0) {
		fprintf(stderr, "uvdpa: %s\n", f.text);
		return 2;
	}
	if (options.help || options.list) {
		if (options.help)
			check_options_usage(stdout);
		else
			report_list(&options);
		return finish(0);
	}
	for (unsigned i = 0; i < options.target_count; i++)
		targets[i].name = options.targets[i];
	r = check_run(&options, targets, &sum, &f);
	if (r == 2)
		fprintf(stderr, "uvdpa: check: %s\n", f.text);
	return finish(r);
}
