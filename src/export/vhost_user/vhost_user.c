/*
 * The export's thread: what it waits for, and what it does then. See vhost_user_internal.h.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/log.h"

#define STACK	     (256 * 1024)
#define FIXED_FDS    5
#define RECONNECT_MS 1000
#define BREATHER_MS  500 /* after which somebody who could not be let in is tried again */

enum { POLL_WAKE, POLL_LISTEN, POLL_CONFIG, POLL_CLIENT, POLL_BACKEND };

/* Whatever an eventfd has counted is taken note of. */
static void drain(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: somebody else was first */
}

/* Who waits stays in the backlog, and the socket readable: it is looked at again in a while. */
static void say_not_accepted(struct vhost_user *export, int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	export->accept_after_ms = runtime_now_ms() + BREATHER_MS;
	log_warning(device_name(export->device), "a vhost-user front end cannot be let in: %s",
		    strerror(error));
}

static void accept_client(struct vhost_user *export)
{
	int fd = accept4(export->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		say_not_accepted(export, errno);
		return;
	}
	if (export->current) {
		log_warning(device_name(export->device),
			    "a second vhost-user front end was turned away: the device has %s",
			    export->current->name);
		close(fd);
		return;
	}
	export->current = vu_client_new(export, fd);
}

/* Any thread. */
static void on_settled(struct owner_wait *wait)
{
	struct vhost_user *export =
		(struct vhost_user *)((char *)wait - offsetof(struct vhost_user, wait));
	uint64_t one = 1;

	atomic_store(&export->settled, true);
	if (write(export->wake, &one, sizeof(one)) < 0)
		log_error(export->path, "its thread cannot be woken: %s", strerror(errno));
}

/* Somebody comes. Where the one before may be leaving, be it by another export, it has to wait. */
static void on_listen(struct vhost_user *export)
{
	atomic_store(&export->settled, false);
	export->wait.over = on_settled;
	export->expecting = !runtime_owner_settled(export->runtime, &export->wait);
	if (!export->expecting)
		accept_client(export);
}

/* Once per reason, not per attempt. */
static void say_not_connected(struct vhost_user *export, int error)
{
	if (error == export->said_error)
		return;
	export->said_error = error;
	log_info(device_name(export->device), "no front end at %s yet (%s): trying every %u ms",
		 export->path, strerror(-error), export->reconnect_ms);
}

/*
 * Client mode: an attempt, if one is due; returns how long to wait for the next, as poll() wants
 * it. Attempts are reconnect_ms apart also where a front end takes the connection only to close it.
 * None is made while somebody has the device by another export: a connection would end at once.
 */
static int try_connect(struct vhost_user *export)
{
	uint64_t now = runtime_now_ms();
	char who[sizeof(export->current->name)];
	int fd;

	if (now < export->next_attempt_ms)
		return (int)(export->next_attempt_ms - now);
	export->next_attempt_ms = now + export->reconnect_ms;
	runtime_owner(export->runtime, who, sizeof(who));
	if (who[0])
		return (int)export->reconnect_ms;
	fd = unixname_connect(export->path);
	if (fd < 0) {
		say_not_connected(export, fd);
		return (int)export->reconnect_ms;
	}
	export->said_error = 0;
	export->current = vu_client_new(export, fd);
	return export->current ? -1 : (int)export->reconnect_ms;
}

/* The device has something to say: its config space changed, or it broke. */
static void on_config(struct vhost_user *export)
{
	struct vu_client *client = export->current;
	bool broken;

	drain(export->config_fd);
	if (!client)
		return;
	runtime_lock(export->runtime);
	broken = device_state(export->device) == STATE_BROKEN;
	runtime_unlock(export->runtime);
	client->config_due = true;
	if (broken && !client->logged_broken)
		vu_rings_signal_error(client);
	client->logged_broken = broken;
	vu_notify(client);
}

/* An answer came, from the verb that waits or from the reset of a client that left. */
static void on_wake(struct vhost_user *export)
{
	struct vu_client *client = export->current;

	drain(export->wake);
	if (export->leaving && atomic_load(&export->gone.answered))
		vu_client_left(export);
	if (export->expecting && atomic_load(&export->settled)) {
		export->expecting = false;
		if (!export->leaving)
			accept_client(export);
	}
	if (client && client->waiting && atomic_load(&client->later.answered)) {
		int r = vu_finish(client);

		if (r < 0)
			vu_client_leave(export, client->err.text);
	}
}

static void on_client(struct vhost_user *export, short events)
{
	struct vu_client *client = export->current;
	struct error why = {0};
	bool stays = true;

	if (client->out.busy)
		stays = vu_client_write(client, &why);
	if (stays && !client->out.busy && !client->waiting)
		stays = vu_client_read(client, &why);
	else if (stays && events & (POLLHUP | POLLERR)) {
		error_set(&why, -ECONNRESET, "it hung up");
		stays = false;
	}
	if (!stays)
		vu_client_leave(export, why.text);
}

/* In-band calls: the worker wrote an eventfd of ours; the front end gets a message. */
static void collect_calls(struct vu_client *client, const struct pollfd *fds, const unsigned *rings,
			  unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!(fds[i].revents & POLLIN))
			continue;
		drain(fds[i].fd);
		client->calls_due |= BIT(rings[i]);
	}
	vu_notify(client);
}

static unsigned prepare_client(const struct vu_client *client, struct pollfd *fds, unsigned *rings)
{
	unsigned count = 0;

	fds[POLL_CLIENT].fd = client->fd;
	if (client->out.busy)
		fds[POLL_CLIENT].events = POLLOUT;
	else if (!client->waiting)
		fds[POLL_CLIENT].events = POLLIN;
	fds[POLL_BACKEND].fd = client->backend_fd;
	fds[POLL_BACKEND].events = vu_notify_pending(client) ? POLLOUT : 0;
	for (unsigned i = 0; i < client->ring_count; i++) {
		if (!client->rings[i].inband_call)
			continue;
		rings[count] = i;
		fds[FIXED_FDS + count++] =
			(struct pollfd){.fd = client->rings[i].call, .events = POLLIN};
	}
	return count;
}

/* Whether somebody who comes may be let in; if only later, *patience is how long that is. */
static bool may_accept(const struct vhost_user *export, int *patience)
{
	uint64_t now;

	if (export->leaving || export->expecting || export->listen_fd < 0)
		return false;
	if (!export->accept_after_ms)
		return true;
	now = runtime_now_ms();
	if (now >= export->accept_after_ms)
		return true;
	*patience = (int)(export->accept_after_ms - now);
	return false;
}

static void serve_once(struct vhost_user *export)
{
	int patience = -1;
	struct pollfd fds[FIXED_FDS + DEVICE_MAX_QUEUES] = {
		[POLL_WAKE] = {.fd = export->wake, .events = POLLIN},
		/* who comes while one leaves waits in the backlog: it may be the same, reconnecting
		 */
		[POLL_LISTEN] = {.fd = may_accept(export, &patience) ? export->listen_fd : -1,
				 .events = POLLIN},
		[POLL_CONFIG] = {.fd = export->config_fd, .events = POLLIN},
		[POLL_CLIENT] = {.fd = -1},
		[POLL_BACKEND] = {.fd = -1},
	};
	unsigned rings[DEVICE_MAX_QUEUES], calls = 0;
	struct vu_client *client = export->current;

	if (export->client_mode && !client && !export->leaving)
		patience = try_connect(export);
	client = export->current;
	if (client)
		calls = prepare_client(client, fds, rings);
	poll(fds, FIXED_FDS + calls, patience);
	if (client && calls)
		collect_calls(client, fds + FIXED_FDS, rings, calls);
	if (client && fds[POLL_BACKEND].revents & (POLLHUP | POLLERR))
		vu_notify_close(client);
	else if (client && fds[POLL_BACKEND].revents & POLLOUT)
		vu_notify(client);
	if (client && fds[POLL_CLIENT].revents)
		on_client(export, fds[POLL_CLIENT].revents);
	if (fds[POLL_CONFIG].revents)
		on_config(export);
	if (fds[POLL_WAKE].revents)
		on_wake(export);
	if (fds[POLL_LISTEN].revents && !export->leaving && !export->expecting)
		on_listen(export);
}

static void *export_main(void *arg)
{
	struct vhost_user *export = arg;

	while (!atomic_load(&export->stopping))
		serve_once(export);
	runtime_owner_wait_cancel(export->runtime, &export->wait);
	if (export->current)
		vu_client_leave(export, "the server stops");
	while (export->leaving) {
		struct pollfd wake = {.fd = export->wake, .events = POLLIN};

		poll(&wake, 1, -1);
		on_wake(export);
	}
	return NULL;
}

static int start(struct vhost_user *export, struct error *f)
{
	pthread_attr_t attr;
	sigset_t all, old;
	char name[16];
	pthread_t thread;
	int r;

	snprintf(name, sizeof(name), "vu/%.12s", device_name(export->device));
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, export_main, export);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return error_set(f, -r, "%s: cannot start a thread: %s", export->path, strerror(r));
	export->thread = thread;
	pthread_setname_np(thread, name);
	return 0;
}

static void dispose(struct vhost_user *export)
{
	vu_unlisten(export);
	if (export->wake >= 0)
		close(export->wake);
	if (export->config_fd >= 0)
		close(export->config_fd);
	free(export->path);
	free(export);
}

int vhost_user_open(const struct vhost_user_options *options, struct runtime *runtime,
		    struct vhost_user **out, struct error *f)
{
	struct vhost_user *export = calloc(1, sizeof(*export));
	int r = 0;

	if (!export)
		return error_set(f, -ENOMEM, "no memory for a vhost-user socket");
	export->runtime = runtime;
	export->device = runtime_lock(runtime);
	runtime_unlock(runtime);
	export->client_mode = options->client;
	export->reconnect_ms = options->reconnect_ms ? options->reconnect_ms : RECONNECT_MS;
	export->mode = options->mode;
	export->gid = options->gid;
	export->listen_fd = -1;
	export->path = strdup(options->path);
	export->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	export->config_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!export->path || export->wake < 0 || export->config_fd < 0)
		r = error_set(f, -ENOMEM, "%s: no memory or no descriptors", options->path);
	if (r == 0)
		r = export->client_mode
			    ? unixname_address(export->path, &(struct sockaddr_un){0}, f)
			    : vu_listen(export, f);
	if (r == 0)
		r = start(export, f);
	if (r < 0) {
		dispose(export);
		return r;
	}
	*out = export;
	return 0;
}

void vhost_user_end(struct vhost_user *export)
{
	uint64_t one = 1;

	if (!export)
		return;
	atomic_store(&export->stopping, true);
	if (write(export->wake, &one, sizeof(one)) < 0)
		log_error(export->path, "its thread cannot be woken: %s", strerror(errno));
}

void vhost_user_close(struct vhost_user *export)
{
	if (!export)
		return;
	vhost_user_end(export);
	pthread_join(export->thread, NULL);
	dispose(export);
}
