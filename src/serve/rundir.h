/*
 * A server's rundir: the directory with its lock, its mount point and its
 * sockets. One live server per directory. What a dead one left is cleared away
 * by the exports (unixname_bind, fuse_mount_prepare). They may use paths below it,
 * as nobody else can change what these lead to: see util/trusted.h.
 */
#ifndef UVDPA_SERVE_RUNDIR_H
#define UVDPA_SERVE_RUNDIR_H

#include "util/error.h"

struct rundir {
	char vdpa[128];	   /* DIR/vdpa */
	char control[104]; /* DIR/control; fits struct sockaddr_un */
	int lock;	   /* DIR/lock, locked, with our pid in it */
};

/* $XDG_RUNTIME_DIR/uvdpa, or /run/uvdpa. */
const char *rundir_default(void);

/* Only the paths: for clients. `dir` NULL: the default. 0 or -ENAMETOOLONG, or -EINVAL if empty. */
int rundir_paths(const char *dir, struct rundir *rundir, struct error *err);

/*
 * Makes the directory if need be and takes it. -EBUSY: a live server has it; the error says which.
 * -EPERM: others could change it.
 */
int rundir_take(const char *dir, struct rundir *rundir, struct error *err);
void rundir_leave(struct rundir *rundir);

#endif
