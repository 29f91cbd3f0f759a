/* The verbs of the program: one file each, named in the table of main.c. */
#ifndef UVDPA_CMD_VERB_H
#define UVDPA_CMD_VERB_H

#include <stdio.h>

#include "util/error.h"

/* Exit codes of the verbs here; verbs with more codes document them in their help. */
enum {
	EXIT_OK = 0,
	EXIT_REFUSED = 1,   /* bad usage, or it cannot be done; one line on stderr says why */
	EXIT_NO_SERVER = 2, /* nobody answers on the control socket */
	EXIT_TIMED_OUT = 3, /* the deadline passed; the device runs as before */
};

struct verb {
	const char *name;
	const char *summary;	/* for the list of verbs */
	void (*help)(FILE *to); /* all of --help */
	/* argv[0] is the verb. Returns the exit code. */
	int (*run)(int argc, char **argv);
};

extern const struct verb verb_serve, verb_status, verb_suspend, verb_resume, verb_resize,
	verb_reset, verb_save, verb_restore, verb_state, verb_check, verb_demo, verb_bench,
	verb_link, verb_announce, verb_trace, verb_plot;

/*
 * At the end of a program: whether all that was printed has been written. Returns `code`, or what a
 * failure makes of a success: EXIT_REFUSED, with a complaint.
 */
int finish_output(int code);

/* Puts '?' for characters that would steer a terminal: C0, DEL, and C1 in UTF-8. */
void make_printable(char *text);
/* Prints the one line of a fault to stderr. Returns EXIT_REFUSED. */
int complain(const struct error *err);

#endif
