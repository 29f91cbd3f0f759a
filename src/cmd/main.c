/* uvdpa: finds the verb and runs it. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cmd/verb.h"
#include "util/suggest.h"

static const struct verb *const verbs[] = {
	&verb_serve, &verb_status, &verb_suspend, &verb_resume, &verb_resize, &verb_reset,
	&verb_save,  &verb_restore, &verb_state,  &verb_check,  &verb_demo,   &verb_bench,
	&verb_link,  &verb_announce,
	&verb_trace, &verb_plot,
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_help(FILE *to)
{
	fputs("uvdpa serves virtio devices as vhost-vdpa files that can be suspended.\n"
	      "\n"
	      "Usage: uvdpa VERB [OPTIONS] [WORDS]\n"
	      "\n",
	      to);
	for (size_t i = 0; i < VERBS; i++)
		fprintf(to, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
	fputs("\n"
	      "  uvdpa VERB --help   explains a verb\n"
	      "  uvdpa --version     tells the version\n",
	      to);
}

static int unknown_verb(const char *name)
{
	const char *known[VERBS + 1] = {NULL};
	const char *near;
	struct fault f;

	for (size_t i = 0; i < VERBS; i++)
		known[i] = verbs[i]->name;
	near = suggest(name, known);
	fault(&f, -EINVAL, "unknown verb '%s'%s%s%s", name, near ? "; did you mean '" : "",
	      near ? near : "", near ? "'?" : " ('uvdpa --help' lists them)");
	return complain(&f);
}

static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	return false;
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
	if (wants_help(argc, argv)) {
		verb->help(stdout);
		return EXIT_OK;
	}
	return verb->run(argc, argv);
}

int main(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	bool help =
		word && (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help"));

	if (!word || help) {
		print_help(word ? stdout : stderr);
		return word ? EXIT_OK : EXIT_REFUSED;
	}
	if (!strcmp(word, "--version")) {
		puts("uvdpa " UVDPA_VERSION);
		return EXIT_OK;
	}
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i]->name, word))
			return run_verb(verbs[i], argc - 1, argv + 1);
	return unknown_verb(word);
}
