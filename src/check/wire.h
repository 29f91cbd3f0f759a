/*
 * What goes over a vhost-user socket: the last messages of a case, decoded, and how many of each
 * kind there were in all. It lies in memory that the case's process shares with the runner.
 */
#ifndef UVDPA_CHECK_WIRE_H
#define UVDPA_CHECK_WIRE_H

#include <stdint.h>

#include "uvdpa/driver.h"

#define WIRE_LINES    16
#define WIRE_LINE     160
#define WIRE_REQUESTS 64

struct wire {
	unsigned long sent[WIRE_REQUESTS]; /* by request, in the whole run; 0: of unknown kinds */
	const char *names[WIRE_REQUESTS];  /* of the requests, once sent */
	unsigned own;			   /* of this case, without those that only open */
	unsigned count;			   /* of this case, both ways */
	uint64_t features, protocol;	   /* as the back end offers them */
	char lost[200];			   /* why a connection of this case was lost; "": none */
	char lines[WIRE_LINES][WIRE_LINE]; /* the last of them */
};

/* For struct uvdpa_open_options; `arg` is the wire. */
void wire_note(void *arg, const struct uvdpa_message *message);
void wire_lost(void *arg, const char *why);
/* A case begins. */
void wire_begin(struct wire *wire);
/* What was noted since is none of the case's, but counts as sent. */
void wire_restore(struct wire *wire, const struct wire *before);
/* The i-th of the last messages, the oldest first; NULL: there is none. */
const char *wire_line(const struct wire *wire, unsigned i);

#endif
