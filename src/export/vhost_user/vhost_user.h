/*
 * The vhost-user export: a device as a back end of QEMU's vhost-user protocol, on a unix socket.
 *
 * One thread per export reads messages, one client at a time, and never waits for the peer or for
 * the backend: what takes time is answered when it is done. A client that comes second is turned
 * away; when the first leaves, the next may come.
 */
#ifndef UVDPA_EXPORT_VHOST_USER_VHOST_USER_H
#define UVDPA_EXPORT_VHOST_USER_VHOST_USER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"

struct runtime;
struct vhost_user;

struct vhost_user_options {
	const char *path;      /* of the socket */
	bool client;	       /* connect to the front end, which listens, instead of listening */
	uint32_t reconnect_ms; /* client: time between attempts; 0: one second */
	mode_t mode;	       /* of the socket file; 0: what the umask leaves */
	gid_t gid;	       /* its group, if mode is given; -1: ours */
};

/*
 * Listening: a socket of a dead process is replaced; one that somebody answers is -EADDRINUSE, with
 * the error naming who. `runtime` outlives the export. Returns 0 or a negative errno with the error
 * filled.
 */
int vhost_user_open(const struct vhost_user_options *options, struct runtime *runtime,
		    struct vhost_user **export, struct error *err);
/* Begins what vhost_user_close does, and returns: many can end at the same time. */
void vhost_user_end(struct vhost_user *export);
/* Hangs up, resets the device as for a driver that left, and removes the socket if it is ours. */
void vhost_user_close(struct vhost_user *export);

#endif
