/*
 * Messages of the vhost-user protocol on a socket that never blocks: one is put together piece by
 * piece, and one answer at a time goes out, so that a slow or silent peer costs nothing but its
 * own progress.
 */
#ifndef UVDPA_EXPORT_VHOST_USER_FRAME_H
#define UVDPA_EXPORT_VHOST_USER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/error.h"
#include "wire/vhost_user.h"

struct vu_message {
	struct vhost_user_header head;
	union vhost_user_payload payload;
	int fds[VHOST_USER_MAX_FDS]; /* -1 past the count, and where a verb took one over */
	unsigned fd_count;
};

/* The message that is coming in. */
struct vu_frame {
	struct vu_message message;
	size_t got; /* bytes of header and payload so far */
};

/* The message that is going out. */
struct vu_out {
	struct vu_message message;
	size_t sent;
	bool busy;
};

void vu_frame_init(struct vu_frame *frame);
/* Forgets what came, and closes descriptors that nobody took. */
void vu_frame_reset(struct vu_frame *frame);

/*
 * Reads what is there. 1: a whole message is in `frame`; 0: not yet; -ECONNRESET: the peer hung up;
 * other negative errnos, with the error filled: it is not this protocol.
 */
int vu_frame_receive(struct vu_frame *frame, int fd, struct error *err);

/* Sends a message as far as the socket takes it. 1: all of it; 0: call again; or a negative errno.
 */
int vu_out_send(struct vu_out *out, int fd);

/* Closes descriptors of a message that nobody took. */
void vu_message_close(struct vu_message *message);

#endif
