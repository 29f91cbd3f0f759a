/* Names of unix sockets: ours when nobody answers there, never taken from who does. */
#ifndef UVDPA_UTIL_UNIXNAME_H
#define UVDPA_UTIL_UNIXNAME_H

#include <sys/types.h>
#include <sys/un.h>

#include "util/fault.h"

/* A bound socket's file, so that it is removed by who made it, and by nobody else. */
struct unixname {
	dev_t dev;
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
};

/* Returns 0, or -ENAMETOOLONG with the fault filled. */
int unixname_address(const char *path, struct sockaddr_un *to, struct fault *fault);
/*
 * A socket of this type (SOCK_STREAM, SOCK_DGRAM; more flags may be ORed in) bound to a path; what
 * a process that is gone left there is replaced. Returns it or a negative errno, the fault filled.
 */
int unixname_bind(const char *path, int type, struct unixname *name, struct fault *fault);
/* A stream connected to who listens there, which does not block. Returns it or a negative errno. */
int unixname_connect(const char *path);
/* Removes the file if it is still ours. Does not close the socket. */
void unixname_remove(struct unixname *name);

#endif
