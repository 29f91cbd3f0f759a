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

/* Messages of one client before others of the export (its own answers, say) get a look. */
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

static struct vu_client *allocate(struct vhost_user *export, int fd)
{
	struct vu_client *client = calloc(1, sizeof(*client));
	struct ucred who = {0};
	char program[PROGRAM_TEXT];
	socklen_t size = sizeof(who);

	if (!client) {
		close(fd);
		return NULL;
	}
	client->export = export;
	client->fd = fd;
	client->backend_fd = client->load_fd = -1;
	client->later.export = export;
	vu_frame_init(&client->frame);
	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size);
	client->pid = who.pid;
	program_of(who.pid, program);
	snprintf(client->name, sizeof(client->name), "vhost-user front end, pid %d%s", (int)who.pid,
		 program);
	client->memory = vu_memory_new();
	if (!client->memory || vu_rings_new(client, device_get_vqs_count(export->device)) < 0) {
		client_free(client);
		return NULL;
	}
	return client;
}

/* A socket knows at once when its other end is closed; what was sent before is read all the same.
 */
static enum owner_state look(void *arg)
{
	struct vu_client *client = arg;
	struct pollfd end = {.fd = client->fd};

	return poll(&end, 1, 0) > 0 ? OWNER_CLOSING : OWNER_ALIVE;
}

/* Makes the device this client's. */
static int enter(struct vhost_user *export, struct vu_client *client, struct error *f)
{
	const struct device_owner who = {.who = client->name, .look = look, .arg = client};
	struct device *device;
	int r = runtime_acquire(export->runtime, &who, f), config;

	if (r < 0)
		return r;
	config = dup(export->config_fd);
	device = runtime_lock(export->runtime);
	r = device_set_client(device, vu_memory_client(client->memory));
	if (r == 0) {
		/* A front end that connects again does not repeat what its guest set. */
		if (client->pid != export->last_pid)
			device_forget_choices(device);
		export->last_pid = client->pid;
		vu_set_export_rules(client);
		runtime_bind_config_call(export->runtime, config);
	}
	runtime_unlock(export->runtime);
	if (r < 0) {
		if (config >= 0)
			close(config);
		runtime_release(export->runtime);
		return error_set(f, r, "device '%s' still has requests of its last driver",
				 device_name(device));
	}
	return 0;
}

struct vu_client *vu_client_new(struct vhost_user *export, int fd)
{
	struct vu_client *client = allocate(export, fd);
	struct error f = {0};

	if (!client) {
		log_error(device_name(export->device), "no memory for a vhost-user front end");
		return NULL;
	}
	if (enter(export, client, &f) < 0) {
		log_warning(device_name(export->device), "%s turned away: %s", client->name,
			    f.text);
		client_free(client);
		return NULL;
	}
	log_info(device_name(export->device), "%s connected", client->name);
	return client;
}

static void ask_for_reset(struct vhost_user *export)
{
	atomic_store(&export->gone.answered, false);
	export->gone.export = export;
	device_reset(runtime_lock(export->runtime), EV_DRIVER_GONE, runtime_now_ms(), vu_later_done,
		     &export->gone);
	runtime_unlock(export->runtime);
}

void vu_client_leave(struct vhost_user *export, const char *why)
{
	struct vu_client *client = export->current;

	log_info(device_name(export->device), "%s gone: %s", client->name,
		 why && *why ? why : "it hung up");
	export->current = NULL;
	export->leaving = client;
	vu_notify_close(client);
	vu_state_forget(client);
	runtime_owner_closing(export->runtime); /* from here on nobody looks at it */
	close(client->fd);
	client->fd = -1;
	ask_for_reset(export);
}

void vu_client_left(struct vhost_user *export)
{
	struct vu_client *client = export->leaving;
	int r = export->gone.result;

	/* A verb of the client's that still waits is answered by the reset before it ends. */
	if (r == 0) {
		device_set_client(runtime_lock(export->runtime), NULL);
		if (client->restored)
			device_forget_restored(export->device); /* it was for this client */
		runtime_unlock(export->runtime);
		runtime_release(export->runtime);
		export->leaving = NULL;
		client_free(client);
		return;
	}
	runtime_owner_stuck(export->runtime);
	log_error(device_name(export->device),
		  "%s left requests that the backend does not give back", client->name);
	if (!atomic_load(&export->stopping)) {
		ask_for_reset(export);
		return;
	}
	/* They may still write to the client's memory: it stays until the process ends. */
	export->leaving = NULL;
}

bool vu_client_write(struct vu_client *client, struct error *why)
{
	int r = vu_out_send(&client->out, client->fd);

	if (r < 0) {
		error_set(why, r, "it takes no answer: %s", strerror(-r));
		return false;
	}
	if (r == 1) {
		client->out.busy = false;
		vu_message_close(&client->out.message);
	}
	return true;
}

/* One whole message. False: hang up. */
static bool handle(struct vu_client *client, struct error *why)
{
	int r;

	client->err = (struct error){0};
	r = vu_handle(client);
	if (r >= 0)
		return !client->out.busy || vu_client_write(client, why);
	*why = client->err;
	return false;
}

bool vu_client_read(struct vu_client *client, struct error *why)
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
