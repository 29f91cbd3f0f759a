/*
 * The door's thread: what it waits for, and what it does then. See vhost_user_internal.h.
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
static void say_not_accepted(struct vhost_user *door, int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	door->accept_after_ms = runner_now_ms() + BREATHER_MS;
	log_warning(device_name(door->device), "a vhost-user front end cannot be let in: %s",
		    strerror(error));
}

static void accept_client(struct vhost_user *door)
{
	int fd = accept4(door->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		say_not_accepted(door, errno);
		return;
	}
	if (door->current) {
		log_warning(device_name(door->device),
			    "a second vhost-user front end was turned away: the device has %s",
			    door->current->name);
		close(fd);
		return;
	}
	door->current = vu_client_new(door, fd);
}

/* Any thread. */
static void on_settled(struct claim_wait *wait)
{
	struct vhost_user *door =
		(struct vhost_user *)((char *)wait - offsetof(struct vhost_user, wait));
	uint64_t one = 1;

	atomic_store(&door->settled, true);
	if (write(door->wake, &one, sizeof(one)) < 0)
		log_error(door->path, "its thread cannot be woken: %s", strerror(errno));
}

/* Somebody comes. Where the one before may be leaving, be it by another door, it has to wait. */
static void on_listen(struct vhost_user *door)
{
	atomic_store(&door->settled, false);
	door->wait.over = on_settled;
	door->expecting = !runner_claim_settled(door->runner, &door->wait);
	if (!door->expecting)
		accept_client(door);
}

/* Once per reason, not per attempt. */
static void say_not_connected(struct vhost_user *door, int error)
{
	if (error == door->said_error)
		return;
	door->said_error = error;
	log_info(device_name(door->device), "no front end at %s yet (%s): trying every %u ms",
		 door->path, strerror(-error), door->reconnect_ms);
}

/*
 * Client mode: an attempt, if one is due; returns how long to wait for the next, as poll() wants
 * it. Attempts are reconnect_ms apart also where a front end takes the connection only to close it.
 * None is made while somebody has the device by another door: a connection would end at once.
 */
static int try_connect(struct vhost_user *door)
{
	uint64_t now = runner_now_ms();
	char who[sizeof(door->current->name)];
	int fd;

	if (now < door->next_attempt_ms)
		return (int)(door->next_attempt_ms - now);
	door->next_attempt_ms = now + door->reconnect_ms;
	runner_claimant(door->runner, who, sizeof(who));
	if (who[0])
		return (int)door->reconnect_ms;
	fd = unixname_connect(door->path);
	if (fd < 0) {
		say_not_connected(door, fd);
		return (int)door->reconnect_ms;
	}
	door->said_error = 0;
	door->current = vu_client_new(door, fd);
	return door->current ? -1 : (int)door->reconnect_ms;
}

/* The device has something to say: its config space changed, or it broke. */
static void on_config(struct vhost_user *door)
{
	struct vu_client *client = door->current;
	bool broken;

	drain(door->config_fd);
	if (!client)
		return;
	runner_lock(door->runner);
	broken = device_state(door->device) == STATE_BROKEN;
	runner_unlock(door->runner);
	client->config_due = true;
	if (broken && !client->told_broken)
		vu_rings_signal_error(client);
	client->told_broken = broken;
	vu_notify(client);
}

/* An answer came, from the verb that waits or from the reset of a client that left. */
static void on_wake(struct vhost_user *door)
{
	struct vu_client *client = door->current;

	drain(door->wake);
	if (door->leaving && atomic_load(&door->gone.answered))
		vu_client_left(door);
	if (door->expecting && atomic_load(&door->settled)) {
		door->expecting = false;
		if (!door->leaving)
			accept_client(door);
	}
	if (client && client->waiting && atomic_load(&client->later.answered)) {
		int r = vu_finish(client);

		if (r < 0)
			vu_client_leave(door, client->fault.text);
	}
}

static void on_client(struct vhost_user *door, short events)
{
	struct vu_client *client = door->current;
	struct fault why = {0};
	bool stays = true;

	if (client->out.busy)
		stays = vu_client_write(client, &why);
	if (stays && !client->out.busy && !client->waiting)
		stays = vu_client_read(client, &why);
	else if (stays && events & (POLLHUP | POLLERR)) {
		fault(&why, -ECONNRESET, "it hung up");
		stays = false;
	}
	if (!stays)
		vu_client_leave(door, why.text);
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
static bool may_accept(const struct vhost_user *door, int *patience)
{
	uint64_t now;

	if (door->leaving || door->expecting || door->listen_fd < 0)
		return false;
	if (!door->accept_after_ms)
		return true;
	now = runner_now_ms();
	if (now >= door->accept_after_ms)
		return true;
	*patience = (int)(door->accept_after_ms - now);
	return false;
}

static void serve_once(struct vhost_user *door)
{
	int patience = -1;
	struct pollfd fds[FIXED_FDS + DEVICE_MAX_QUEUES] = {
		[POLL_WAKE] = {.fd = door->wake, .events = POLLIN},
		/* who comes while one leaves waits in the backlog: it may be the same, reconnecting
		 */
		[POLL_LISTEN] = {.fd = may_accept(door, &patience) ? door->listen_fd : -1,
				 .events = POLLIN},
		[POLL_CONFIG] = {.fd = door->config_fd, .events = POLLIN},
		[POLL_CLIENT] = {.fd = -1},
		[POLL_BACKEND] = {.fd = -1},
	};
	unsigned rings[DEVICE_MAX_QUEUES], calls = 0;
	struct vu_client *client = door->current;

	if (door->client_mode && !client && !door->leaving)
		patience = try_connect(door);
	client = door->current;
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
		on_client(door, fds[POLL_CLIENT].revents);
	if (fds[POLL_CONFIG].revents)
		on_config(door);
	if (fds[POLL_WAKE].revents)
		on_wake(door);
	if (fds[POLL_LISTEN].revents && !door->leaving && !door->expecting)
		on_listen(door);
}

static void *door_main(void *arg)
{
	struct vhost_user *door = arg;

	while (!atomic_load(&door->stopping))
		serve_once(door);
	runner_claim_forget(door->runner, &door->wait);
	if (door->current)
		vu_client_leave(door, "the server stops");
	while (door->leaving) {
		struct pollfd wake = {.fd = door->wake, .events = POLLIN};

		poll(&wake, 1, -1);
		on_wake(door);
	}
	return NULL;
}

static int start(struct vhost_user *door, struct fault *f)
{
	pthread_attr_t attr;
	sigset_t all, old;
	char name[16];
	pthread_t thread;
	int r;

	snprintf(name, sizeof(name), "vu/%.12s", device_name(door->device));
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&thread, &attr, door_main, door);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		return fault(f, -r, "%s: cannot start a thread: %s", door->path, strerror(r));
	door->thread = thread;
	pthread_setname_np(thread, name);
	return 0;
}

static void dispose(struct vhost_user *door)
{
	vu_unlisten(door);
	if (door->wake >= 0)
		close(door->wake);
	if (door->config_fd >= 0)
		close(door->config_fd);
	free(door->path);
	free(door);
}

int vhost_user_open(const struct vhost_user_options *options, struct runner *runner,
		    struct vhost_user **out, struct fault *f)
{
	struct vhost_user *door = calloc(1, sizeof(*door));
	int r = 0;

	if (!door)
		return fault(f, -ENOMEM, "no memory for a vhost-user socket");
	door->runner = runner;
	door->device = runner_lock(runner);
	runner_unlock(runner);
	door->client_mode = options->client;
	door->reconnect_ms = options->reconnect_ms ? options->reconnect_ms : RECONNECT_MS;
	door->mode = options->mode;
	door->gid = options->gid;
	door->listen_fd = -1;
	door->path = strdup(options->path);
	door->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	door->config_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!door->path || door->wake < 0 || door->config_fd < 0)
		r = fault(f, -ENOMEM, "%s: no memory or no descriptors", options->path);
	if (r == 0)
		r = door->client_mode ? unixname_address(door->path, &(struct sockaddr_un){0}, f)
				      : vu_listen(door, f);
	if (r == 0)
		r = start(door, f);
	if (r < 0) {
		dispose(door);
		return r;
	}
	*out = door;
	return 0;
}

void vhost_user_end(struct vhost_user *door)
{
	uint64_t one = 1;

	if (!door)
		return;
	atomic_store(&door->stopping, true);
	if (write(door->wake, &one, sizeof(one)) < 0)
		log_error(door->path, "its thread cannot be woken: %s", strerror(errno));
}

void vhost_user_close(struct vhost_user *door)
{
	if (!door)
		return;
	vhost_user_end(door);
	pthread_join(door->thread, NULL);
	dispose(door);
}
