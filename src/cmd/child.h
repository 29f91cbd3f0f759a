/*
 * A server in a process of its own: `uvdpa serve` of this very program, for as long as
 * somebody needs one.
 */
#ifndef UVDPA_CMD_CHILD_H
#define UVDPA_CMD_CHILD_H

#include <sys/types.h>

#include "util/error.h"

struct child {
	pid_t pid; /* 0: it has ended, with `status` */
	int status;
	char dir[96];  /* its --dir; "": there is none */
	char log[112]; /* what it says goes there */
};

/*
 * Starts `uvdpa serve --dir dir --device spec`; it ends, at the latest, with the calling
 * thread. 0 or a negative errno with the error filled.
 */
int child_start(struct child *child, const char *dir, const char *spec, struct error *f);

/* Waits until `path`, one of its files, is there. -EIO: it ended instead; the error says why. */
int child_wait(struct child *child, const char *path, int timeout_ms, struct error *f);

/* Ends it: SIGTERM and, if it stays, SIGKILL. 0, or -EIO if it did not end as asked. */
int child_stop(struct child *child, struct error *f);

#endif
