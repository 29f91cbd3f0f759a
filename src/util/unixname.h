/* Names of unix sockets: ours when nobody answers there, never taken from who does. */
#ifndef UVDPA_UTIL_UNIXNAME_H
#define UVDPA_UTIL_UNIXNAME_H

#include <sys/types.h>
#include <sys/un.h>

#include "util/error.h"

/* A bound socket's file, so that it is removed by who made it, and by nobody else. */
struct unixname {
	dev_t dev;
	ino_t ino;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* "": none */
};

/* Who may connect to a socket. */
struct unixname_access {
	mode_t mode;
	gid_t group; /* (gid_t)-1: as it comes */
};

/* Returns 0, or -ENAMETOOLONG with the error filled. */
int unixname_address(const char *path, struct sockaddr_un *to, struct error *err);
/*
 * A socket of this type (SOCK_STREAM, SOCK_DGRAM; more flags may be ORed in) bound to a path; what
 * a process that is gone left there is replaced. `access` NULL: what the umask leaves; otherwise
 * nobody gets in before both are set. Nothing but the new socket is ever touched, whatever others
 * put in its place (-ESTALE). Returns it or a negative errno, the error filled.
 */
int unixname_bind(const char *path, int type, const struct unixname_access *access,
		  struct unixname *name, struct error *err);
/* A stream connected to who listens there, which does not block. Returns it or a negative errno. */
int unixname_connect(const char *path);
/* Removes the file if it is still ours. Does not close the socket. */
void unixname_remove(struct unixname *name);

#endif
