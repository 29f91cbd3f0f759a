/*
 * The transport over a vhost-user socket: a front end that answers as a vhost-vdpa file does.
 *
 * What the protocol has no word for is answered here: the device id (guessed from the features),
 * one group and one address space. The largest ring is found by trying. A ring's settings are kept
 * and sent when it is enabled, since that is when a vhost-user ring starts. SUSPEND is
 * GET_VRING_BASE of every ring, RESUME starts them again where they stood. Memory has to be shared
 * (UVDPA_MEMORY_SHARED).
 *
 * A back end may have little: the status is then kept here, memory goes over as a whole table of at
 * most 8 regions, and there is no config space. REPLY_ACK it must have.
 * Without STATUS it does not know of DRIVER_OK: rings that are enabled before are started then.
 */
#ifndef UVDPA_DRIVER_VHOST_USER_H
#define UVDPA_DRIVER_VHOST_USER_H

#include <stdbool.h>

#include "uvdpa/driver.h"

/* Whether the path is a socket. */
bool drv_vhost_user_is(const char *path);
/* Over a socket that is connected already. `fd` is taken over, also on failure. */
int drv_vhost_user_take(int fd, const char *name, const struct uvdpa_open_options *options,
			const struct uvdpa_transport **ops, void **ctx, struct uvdpa_error *error);
int drv_vhost_user_open(const char *path, const struct uvdpa_open_options *options,
			const struct uvdpa_transport **ops, void **ctx, struct uvdpa_error *error);
/* As uvdpa_driver_lost(); NULL, too, if the connection is another. */
const char *drv_vhost_user_lost(struct uvdpa_driver *drv);

/*
 * For a hand-over; nothing if the connection is another. hurry: an answer is looked for a while
 * before the thread sleeps. together: what needs no answer but an acknowledgement is not waited for
 * until collect: 0 or the first refusal.
 */
void drv_vhost_user_busy_poll(struct uvdpa_driver *drv, bool on);
void drv_vhost_user_batch_begin(struct uvdpa_driver *drv);
int drv_vhost_user_batch_end(struct uvdpa_driver *drv);

/* The process at the other end; 0: the socket does not tell. */
pid_t drv_vhost_user_peer(const void *ctx);

#endif
