/* uvdpa plot: traces as a picture. */
#include "plot/plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/verb.h"
#include "util/args.h"

static void help(FILE *to)
{
	fputs("Draws what 'uvdpa trace' wrote as an SVG: packets or requests of every 10 ms, and "
	      "the\n"
	      "steps of the latest standstill. With two traces, of the device that was left and of "
	      "the\n"
	      "one that took over (in either order), both are on one clock. They have to be of the "
	      "same\n"
	      "machine, since it last booted. Needs no server.\n"
	      "\n"
	      "Usage: uvdpa plot FILE.json [FILE2.json] --output FILE.svg\n"
	      "\n"
	      "  --output FILE where to; required\n"
	      "\n"
	      "Exit status: 0 drawn, 1 not (one line says why).\n",
	      to);
}

struct words {
	const char *output;
	const char *files[PLOT_FILES];
	unsigned count;
};

static int parse(int argc, char **argv, struct words *words, struct error *f)
{
	const struct arg table[] = {
		{"output", 0, ARG_TEXT, &words->output},
		{NULL},
	};
	struct arg_list list = {words->files, 0, PLOT_FILES};
	int r;

	*words = (struct words){0};
	r = args_parse(argc, argv, table, &list, f);
	words->count = list.count;
	if (!r && (!list.count || !words->output))
		r = error_set(
			f, -EINVAL,
			"usage: uvdpa plot FILE.json [FILE2.json] --output FILE.svg (see uvdpa "
			"plot --help)");
	return r;
}

/* Whether two traces can be in one picture. */
static int check_pair(const struct words *words, const struct trace_file *traces, struct error *f)
{
	if (strcmp(traces[0].boot, traces[1].boot) != 0)
		return error_set(
			f, -EINVAL,
			"'%s' and '%s' are of two machines, or one was booted between: their "
			"times do not compare; draw each alone",
			words->files[0], words->files[1]);
	if (strcmp(traces[0].unit, traces[1].unit) != 0)
		return error_set(f, -EINVAL, "'%s' counts %s and '%s' counts %s", words->files[0],
				 traces[0].unit, words->files[1], traces[1].unit);
	if (traces[0].slot_ms != traces[1].slot_ms)
		return error_set(f, -EINVAL, "'%s' and '%s' count over different times",
				 words->files[0], words->files[1]);
	return 0;
}

static int draw(const struct words *words, const struct trace_file *traces, struct error *f)
{
	struct plot plot;
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int r = -ENOMEM;

	if (to) {
		plot_prepare(&plot, traces, words->count);
		plot_draw(&plot, to);
		r = fclose(to) == 0 ? 0 : -ENOMEM;
	}
	r = r ? error_set(f, r, "out of memory") : text_file_write(words->output, text, size, f);
	free(text);
	return r;
}

static int run(int argc, char **argv)
{
	struct trace_file traces[PLOT_FILES] = {{{0}}};
	struct words words;
	struct error f;
	int r = parse(argc, argv, &words, &f);

	for (unsigned i = 0; !r && i < words.count; i++) {
		r = trace_file_read(words.files[i], &traces[i], &f);
		if (!r && !traces[i].event_count && !traces[i].slot_count)
			r = error_set(&f, -ENODATA, "'%s': nothing ever happened there",
				      words.files[i]);
	}
	if (!r && words.count == 2)
		r = check_pair(&words, traces, &f);
	if (!r)
		r = draw(&words, traces, &f);
	for (unsigned i = 0; i < PLOT_FILES; i++)
		trace_file_free(&traces[i]);
	return r ? complain(&f) : EXIT_OK;
}

const struct verb verb_plot = {
	.name = "plot",
	.summary = "draw traces as an SVG",
	.help = help,
	.run = run,
};
