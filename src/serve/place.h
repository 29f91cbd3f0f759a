/*
 * A server's place: the directory with its lock, its mount point and its
 * sockets. One live server per directory. What a dead one left is cleared away
 * by the exports (unixname_bind, fuse_mount_prepare). They may use paths below it,
 * as nobody else can change what these lead to: see util/trusted.h.
 */
#ifndef UVDPA_CMD_PLACE_H
#define UVDPA_CMD_PLACE_H

#include "util/fault.h"

struct place {
	char vdpa[128];	   /* DIR/vdpa */
	char control[104]; /* DIR/control; fits struct sockaddr_un */
	int lock;	   /* DIR/lock, locked, with our pid in it */
};

/* $XDG_RUNTIME_DIR/uvdpa, or /run/uvdpa. */
const char *place_default(void);

/* Only the paths: for clients. `dir` NULL: the default. 0 or -ENAMETOOLONG, or -EINVAL if empty. */
int place_paths(const char *dir, struct place *place, struct fault *fault);

/*
 * Makes the directory if need be and takes it. -EBUSY: a live server has it; the fault says which.
 * -EPERM: others could change it.
 */
int place_take(const char *dir, struct place *place, struct fault *fault);
void place_leave(struct place *place);

#endif
