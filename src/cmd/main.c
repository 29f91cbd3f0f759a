/* uvdpa: finds the verb and runs it. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "cmd/verb.h"
#include "util/suggest.h"

static const struct verb *const verbs[] = {
	&verb_serve, &verb_status,   &verb_suspend, &verb_resume, &verb_resize, &verb_reset,
	&verb_save,  &verb_restore,  &verb_state,   &verb_check,  &verb_demo,	&verb_bench,
	&verb_link,  &verb_announce, &verb_trace,   &verb_plot,
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
	      "  uvdpa help VERB     explains a verb, as uvdpa VERB --help does\n"
	      "  uvdpa --version     tells the version, as -V does\n",
	      to);
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < VERBS; i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

static int unknown_verb(const char *name)
{
	const char *known[VERBS + 1] = {NULL};
	const char *near;
	struct error f;

	for (size_t i = 0; i < VERBS; i++)
		known[i] = verbs[i]->name;
	near = suggest(name, known);
	error_set(&f, -EINVAL, "unknown verb '%s'%s%s%s", name, near ? "; did you mean '" : "",
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

/* uvdpa help [VERB] */
static int explain(const char *name)
{
	const struct verb *verb = name ? find_verb(name) : NULL;

	if (name && !verb)
		return unknown_verb(name);
	if (verb)
		verb->help(stdout);
	else
		print_help(stdout);
	return EXIT_OK;
}

static bool is_one_of(const char *word, const char *one, const char *two, const char *three)
{
	return !strcmp(word, one) || !strcmp(word, two) || !strcmp(word, three);
}

static int run(int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	const struct verb *verb;

	if (!word) {
		print_help(stderr);
		return EXIT_REFUSED;
	}
	if (is_one_of(word, "--help", "-h", "help"))
		return explain(argv[2]);
	if (is_one_of(word, "--version", "-V", "version")) {
		puts("uvdpa " UVDPA_VERSION);
		return EXIT_OK;
	}
	verb = find_verb(word);
	return verb ? run_verb(verb, argc - 1, argv + 1) : unknown_verb(word);
}

int main(int argc, char **argv)
{
	return finish_output(run(argc, argv));
}
