/*
 * The back end's own channel: config changes, in-band calls and errors. Nothing here waits: what
 * the socket does not take now is sent when it does, and several changes become one message.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"

int vu_set_backend_req_fd(struct vu_client *client, struct vu_message *message)
{
	socklen_t size = sizeof(int);
	int domain;

	/* not fstat, which a file system of the client's own may answer late or never */
	if (getsockopt(message->fds[0], SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
		return error_set(&client->err, -EINVAL, "SET_BACKEND_REQ_FD: not a socket");
	/* of others not all honour MSG_DONTWAIT, or close at once (SO_LINGER) */
	if (domain != AF_UNIX)
		return error_set(&client->err, -EINVAL, "SET_BACKEND_REQ_FD: not a unix socket");
	vu_notify_close(client);
	client->backend_fd = message->fds[0];
	message->fds[0] = -1;
	return 0;
}

void vu_notify_close(struct vu_client *client)
{
	if (client->backend_fd >= 0)
		close(client->backend_fd);
	client->backend_fd = -1;
	client->notice.busy = false;
}

static void compose(struct vu_client *client, uint32_t request, uint32_t size)
{
	struct vu_out *out = &client->notice;

	out->message.head.request = request;
	out->message.head.flags = VHOST_USER_VERSION;
	out->message.head.size = size;
	out->message.fd_count = 0;
	out->sent = 0;
	out->busy = true;
}

/* The same for one of the rings in a set. */
static bool next_of_rings(struct vu_client *client, uint64_t *due, uint32_t request)
{
	if (!*due)
		return false;
	client->notice.message.payload.state =
		(struct vhost_vring_state){.index = (unsigned)__builtin_ctzll(*due)};
	*due &= *due - 1;
	compose(client, request, sizeof(struct vhost_vring_state));
	return true;
}

/* Makes the next message that is due. Returns false if there is none. */
static bool next(struct vu_client *client)
{
	if (client->config_due && vu_has(client, VHOST_USER_PROTOCOL_F_CONFIG)) {
		client->config_due = false;
		compose(client, VHOST_USER_BACKEND_CONFIG_CHANGE, 0);
		return true;
	}
	client->config_due = false;
	return next_of_rings(client, &client->calls_due, VHOST_USER_BACKEND_VRING_CALL) ||
	       next_of_rings(client, &client->errors_due, VHOST_USER_BACKEND_VRING_ERR);
}

bool vu_notify_pending(const struct vu_client *client)
{
	return client->notice.busy;
}

void vu_notify(struct vu_client *client)
{
	while (client->backend_fd >= 0 && (client->notice.busy || next(client))) {
		int r = vu_out_send(&client->notice, client->backend_fd);

		if (r == 0)
			return;
		client->notice.busy = false;
		if (r < 0) {
			log_warning(device_name(client->export->device),
				    "%s: its channel for our messages: %s", client->name,
				    strerror(-r));
			vu_notify_close(client);
		}
	}
}
