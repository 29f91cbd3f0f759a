/*
 * Device state over vhost-user (DEVICE_STATE): the bytes of uvdpa-state(5).
 *
 * The protocol lets the back end bring the channel. Ours is a memfd: to save, it is full when it is
 * handed out; to load, the front end fills it at its leisure and CHECK_DEVICE_STATE looks at it.
 * Nobody ever waits for the other's end of a pipe.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/state.h"
#include "util/log.h"

#define FAILED 1u
#define NO_FD  0x100u

static int save_into(struct vu_client *client, int fd)
{
	struct device_snapshot *snapshot = malloc(sizeof(*snapshot));
	uint8_t *bytes = malloc(STATE_MAX_BYTES);
	size_t size;
	int r = -ENOMEM;

	if (snapshot && bytes)
		r = device_save(client->export->device, snapshot, &client->err);
	else
		error_set(&client->err, r, "no memory to save the device");
	if (r == 0) {
		size = state_encode(snapshot, bytes);
		if (pwrite(fd, bytes, size, 0) != (ssize_t)size)
			r = error_set(&client->err, -ENOMEM, "no memory for the saved state");
	}
	free(bytes);
	free(snapshot);
	return r;
}

static int check(struct vu_client *client, const struct vhost_user_transfer *transfer)
{
	if (transfer->direction > VHOST_USER_TRANSFER_LOAD || transfer->phase)
		return error_set(&client->err, -EINVAL,
				 "SET_DEVICE_STATE_FD: direction %u, phase %u", transfer->direction,
				 transfer->phase);
	if (vu_rings_any_started(client))
		return error_set(&client->err, -EBUSY,
				 "SET_DEVICE_STATE_FD while rings are started");
	return 0;
}

/* Returns the front end's end of the channel or a negative errno. */
static int begin(struct vu_client *client, const struct vhost_user_transfer *transfer)
{
	int r = check(client, transfer), fd;

	if (r < 0)
		return r;
	fd = memfd_create("uvdpa-state", MFD_CLOEXEC);
	if (fd < 0)
		return error_set(&client->err, -errno, "no memory for a device's state");
	if (transfer->direction == VHOST_USER_TRANSFER_SAVE) {
		r = save_into(client, fd);
	} else {
		client->load_fd = dup(fd);
		r = client->load_fd < 0 ? error_set(&client->err, -errno, "no descriptor left") : 0;
	}
	if (r == 0)
		return fd;
	close(fd);
	return r;
}

static int answer(struct vu_client *client, struct vu_message *message, uint64_t value)
{
	if (client->err.text[0])
		log_warning(device_name(client->export->device), "%s: %s", client->name,
			    client->err.text);
	client->err.text[0] = '\0';
	message->payload.u64 = value;
	message->head.size = sizeof(uint64_t);
	return 0;
}

void vu_state_forget(struct vu_client *client)
{
	if (client->load_fd >= 0)
		close(client->load_fd);
	client->load_fd = -1;
}

int vu_set_device_state_fd(struct vu_client *client, struct vu_message *message)
{
	int fd;

	vu_state_forget(client);
	fd = begin(client, &message->payload.transfer);
	client->transferred = fd >= 0;
	vu_message_close(message);
	if (fd < 0)
		return answer(client, message, FAILED | NO_FD);
	message->fds[0] = fd;
	message->fd_count = 1;
	return answer(client, message, 0);
}

/* What the front end wrote. */
static int load(struct vu_client *client)
{
	struct device_snapshot *snapshot = malloc(sizeof(*snapshot));
	uint8_t *bytes = malloc(STATE_MAX_BYTES + 1);
	ssize_t size = bytes ? pread(client->load_fd, bytes, STATE_MAX_BYTES + 1, 0) : -1;
	int r;

	if (!snapshot || size < 0)
		r = error_set(&client->err, -ENOMEM, "no memory for a device's state");
	else
		r = state_decode(bytes, (size_t)size, snapshot, &client->err);
	if (r == 0)
		r = device_restore(client->export->device, snapshot, &client->err);
	client->restored |= r == 0;
	free(bytes);
	free(snapshot);
	return r;
}

int vu_check_device_state(struct vu_client *client, struct vu_message *message)
{
	bool ok = client->transferred;

	if (!ok)
		error_set(&client->err, -EINVAL, "CHECK_DEVICE_STATE without a transfer");
	else if (client->load_fd >= 0)
		ok = load(client) == 0;
	client->transferred = false;
	vu_state_forget(client);
	return answer(client, message, ok ? 0 : FAILED);
}
