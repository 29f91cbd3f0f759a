/*
 * Where a demonstration takes place: a temporary folder, a disk image in it, and two devices
 * that serve the image, each in a process of its own where files can be served, else both in
 * this one. Nothing of it is left afterwards.
 */
#ifndef UVDPA_CMD_SANDBOX_H
#define UVDPA_CMD_SANDBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/child.h"
#include "util/error.h"
#include "uvdpa/driver.h"

struct inproc_device;

struct sandbox {
	char dir[80]; /* "": none */
	char image[112];
	bool in_process;  /* set by the caller, as is */
	bool packed;	  /* offer packed rings; set by the caller */
	const char *keys; /* more of --device for both, or NULL */
	struct child servers[2];
	struct inproc_device *embedded[2];
};

/* Makes the folder below $TMPDIR or /tmp. */
int sandbox_make(struct sandbox *sandbox, struct error *f);

/* Whether files can be served here, by trying it. 0, or the reason in the error. */
int sandbox_can_serve(const struct sandbox *sandbox, struct error *f);

/*
 * Makes the image, `size` bytes and blank, and opens the two devices. They are used one at a
 * time. The drivers are the caller's, to close before sandbox_close().
 */
int sandbox_open(struct sandbox *sandbox, uint64_t size, struct uvdpa_driver *devices[2],
		 struct error *f);

/* Ends the servers and removes everything. 0, or -EIO: a server did not end well. */
int sandbox_close(struct sandbox *sandbox, struct error *f);

#endif
