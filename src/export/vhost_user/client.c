/* A client's life: claimed at hello, read message by message, and reset at goodbye. */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/state.h"
#include "client/program.h"
#include "util/log.h"

/* Messages of one client before others of the door (its own answers, say) get a look. */
#define MESSAGES_AT_ONCE 32

static void client_free(struct vu_client *client)
{
	vu_notify_close(client);
	vu_rings_free(client);
	vu_log_report(client);
	client_unmap(&client->log);
	client_unmap(&client->inflight);
	vu_memory_free(client->memory);
	vu_frame_reset(&client->frame);
	if (client->out.busy)
		vu_message_close(&client->out.message);
	if (client->fd >= 0)
		close(client->fd);
	free(client);
}

static struct vu_client *allocate(struct vhost_user *door, int fd)
{
	struct vu_client *client = calloc(1, sizeof(*client));
	struct ucred who = {0};
	char program[PROGRAM_TEXT];
	socklen_t size = sizeof(who);

	if (!client) {
		close(fd);
		return NULL;
	}
	client->door = door;
	client->fd = fd;
	client->backend_fd = client->load_fd = -1;
	client->later.door = door;
	vu_frame_init(&client->frame);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	client->pid = who.pid;
	program_of(who.pid, program);
	snprintf(client->name, sizeof(client->name), "vhost-user front end, pid %d%s", (int)who.pid,
		 program);
	client->memory = vu_memory_new();
	if (!client->memory || vu_rings_new(client, device_get_vqs_count(door->device)) < 0) {
		client_free(client);
		return NULL;
	}
	return client;
}

/* A socket knows at once when its other end is closed; what was sent before is read all the same.
 */
static enum claim_news look(void *arg)
{
	struct vu_client *client = arg;
	struct pollfd end = {.fd = client->fd};

	return poll(&end, 1, 0) > 0 ? CLAIM_LEAVES : CLAIM_STAYS;
}

/* Makes the device this client's. */
static int enter(struct vhost_user *door, struct vu_client *client, struct fault *f)
{
	const struct claimant who = {.who = client->name, .look = look, .arg = client};
	struct device *device;
	int r = runner_claim(door->runner, &who, f), config;

	if (r < 0)
		return r;
	config = dup(door->config_fd);
	device = runner_lock(door->runner);
	r = device_set_client(device, vu_memory_client(client->memory));
	if (r == 0) {
		/* A front end that connects again does not repeat what its guest set. */
		if (client->pid != door->last_pid)
			device_forget_choices(device);
		door->last_pid = client->pid;
		vu_set_door_rules(client);
		runner_bind_config_call(door->runner, config);
	}
	runner_unlock(door->runner);
	if (r < 0) {
		if (config >= 0)
			close(config);
		runner_unclaim(door->runner);
		return fault(f, r, "device '%s' still has requests of its last driver",
			     device_name(device));
	}
	return 0;
}

struct vu_client *vu_client_new(struct vhost_user *door, int fd)
{
	struct vu_client *client = allocate(door, fd);
	struct fault f = {0};

	if (!client) {
		log_error(device_name(door->device), "no memory for a vhost-user front end");
		return NULL;
	}
	if (enter(door, client, &f) < 0) {
		log_warning(device_name(door->device), "%s turned away: %s", client->name, f.text);
		client_free(client);
		return NULL;
	}
	log_info(device_name(door->device), "%s connected", client->name);
	return client;
}

static void ask_for_reset(struct vhost_user *door)
{
	atomic_store(&door->gone.answered, false);
	door->gone.door = door;
	device_reset(runner_lock(door->runner), EV_DRIVER_GONE, runner_now_ms(), vu_later_done,
		     &door->gone);
	runner_unlock(door->runner);
}

void vu_client_leave(struct vhost_user *door, const char *why)
{
	struct vu_client *client = door->current;

	log_info(device_name(door->device), "%s gone: %s", client->name,
		 why && *why ? why : "it hung up");
	door->current = NULL;
	door->leaving = client;
	vu_notify_close(client);
	vu_state_forget(client);
	runner_claim_leaves(door->runner); /* from here on nobody looks at it */
	close(client->fd);
	client->fd = -1;
	ask_for_reset(door);
}

void vu_client_left(struct vhost_user *door)
{
	struct vu_client *client = door->leaving;
	int r = door->gone.result;

	/* A verb of the client's that still waits is answered by the reset before it ends. */
	if (r == 0) {
		device_set_client(runner_lock(door->runner), NULL);
		if (client->restored)
			device_forget_restored(door->device); /* it was for this client */
		runner_unlock(door->runner);
		runner_unclaim(door->runner);
		door->leaving = NULL;
		client_free(client);
		return;
	}
	runner_claim_kept(door->runner);
	log_error(device_name(door->device), "%s left requests that the backend does not give back",
		  client->name);
	if (!atomic_load(&door->stopping)) {
		ask_for_reset(door);
		return;
	}
	/* They may still write to the client's memory: it stays until the process ends. */
	door->leaving = NULL;
}

bool vu_client_write(struct vu_client *client, struct fault *why)
{
	int r = vu_out_send(&client->out, client->fd);

	if (r < 0) {
		fault(why, r, "it takes no answer: %s", strerror(-r));
		return false;
	}
	if (r == 1) {
		client->out.busy = false;
		vu_message_close(&client->out.message);
	}
	return true;
}

/* One whole message. False: hang up. */
static bool handle(struct vu_client *client, struct fault *why)
{
	int r;

	client->fault = (struct fault){0};
	r = vu_handle(client);
	if (r >= 0)
		return !client->out.busy || vu_client_write(client, why);
	*why = client->fault;
	return false;
}

bool vu_client_read(struct vu_client *client, struct fault *why)
{
	for (unsigned i = 0; i < MESSAGES_AT_ONCE; i++) {
		int r;

		if (client->waiting || client->out.busy)
			return true;
		r = vu_frame_receive(&client->frame, client->fd, why);
		if (r == 0)
			return true;
		if (r < 0)
			return false;
		if (!handle(client, why))
			return false;
	}
	return true;
}
