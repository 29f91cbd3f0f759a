/*
 * The one place that names every device model, block backend and export, and
 * puts them together. Whoever adds one adds a line to a table of parts.c.
 */
#ifndef UVDPA_SERVE_PARTS_H
#define UVDPA_SERVE_PARTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "serve/spec.h"
#include "util/error.h"

struct packet;
struct runtime;

/* What a server serves, and below which directory. */
struct server {
	const char *vdpa;    /* where device files appear */
	const char *control; /* the control socket's path */
	mode_t mode;	     /* of device files */
	gid_t group;	     /* their group; (gid_t)-1: ours */
	const struct device_spec *specs;
	struct runtime **runtimes; /* one per spec */
	struct packet **ends;	   /* of cables between cards: not taken yet, per spec */
	unsigned count;
	bool in_use; /* an export could not be closed: runtimes stay */
};

/* 0, or -EINVAL with a fault that knows the types there are. `type` may be NULL. */
int parts_check_type(const char *type, struct error *err);
/* Whether the keys of the error backend make sense together. */
int parts_check_faults(const struct device_spec *spec, struct error *err);

/* Opens the backend of a server's device `index`, makes the model and a runtime for them. */
int parts_open(struct server *server, unsigned index, struct error *err);
/* Closes what is left of cables whose other card could not be opened. */
void parts_close_ends(struct server *server);

/* An export of the server. */
struct export_part {
	const char *name;
	bool to_the_last; /* closed when all devices are at their end: it tells how they get there
			   */
	/* *export NULL: it cannot be had here, which was logged, and need not be. */
	int (*open)(const struct server *server, void **export, struct error *err);
	void (*end)(void *export); /* begins to close; NULL: there is nothing to begin */
	/*
	 * Turns new clients away, ends the ones there are. Returns 0, or -EBUSY: a client keeps a
	 * thread of ours, so what it uses may not be freed.
	 */
	int (*close)(void *export);
};
extern const struct export_part parts_exports[];
extern const unsigned parts_export_count;

#endif
