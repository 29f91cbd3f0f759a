/*
 * The control socket: the operators' export. One JSON object per line,
 *
 *     {"id": ANY, "command": "suspend", "arguments": {"name": "disk0"}}
 *     {"id": ANY, "return": {...}}  or  {"id": ANY, "error": {"class": ..., "message": ...}}
 *
 * as uvdpa-control(7) describes.
 */
#ifndef UVDPA_CONTROL_CONTROL_H
#define UVDPA_CONTROL_CONTROL_H

#include "util/error.h"

struct control;
struct runtime;

/*
 * Listens at `path`, for its owner alone, and serves on a thread of its own. What a process that is
 * gone left there is replaced. The runtimes outlive the export. Returns 0 or a negative errno with
 * the error filled.
 */
int control_new(const char *path, struct runtime *const *runtimes, unsigned count,
		struct control **control, struct error *err);
/* Hangs up on everybody, gives up what they wait for, removes the socket. */
void control_free(struct control *control);

#endif
