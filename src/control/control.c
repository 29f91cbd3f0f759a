/* The control socket's thread and connections: see control_internal.h. */
#include "control/control_internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device/device.h"
#include "runtime/runtime.h"
#include "util/log.h"

/* Of a connection: its number, which is not 0, and its place. */
#define TOKEN_PLACES   256
#define TOKEN_LISTENER CONNECTIONS_MAX
#define TOKEN_WAKE     (CONNECTIONS_MAX + 1)
#define REST_MS	       500

static void hang_up(struct connection *connection)
{
	close(connection->fd); /* nobody else has it, so it leaves the epoll set, too */
	free(connection->in);
	free(connection->out);
	*connection = (struct connection){.state = CONNECTION_FREE, .fd = -1};
}

static uint64_t token_of(const struct control *control, const struct connection *connection)
{
	return connection->number * TOKEN_PLACES + (uint64_t)(connection - control->connections);
}

/* Sets what the connection is woken for. A hang-up is always told. */
static void set_state(struct control *control, struct connection *connection,
		      enum connection_state state)
{
	struct epoll_event event = {
		.events = state == CONNECTION_READING	? EPOLLIN
			  : state == CONNECTION_WRITING ? EPOLLOUT
							: 0,
		.data.u64 = token_of(control, connection),
	};

	if (connection->state == state)
		return;
	connection->state = state;
	if (epoll_ctl(control->epoll, EPOLL_CTL_MOD, connection->fd, &event) < 0)
		hang_up(connection);
}

/* Writes what the socket takes. The rest follows when it takes more. */
static void flush(struct control *control, struct connection *connection)
{
	ssize_t sent = send(connection->fd, connection->out + connection->out_sent,
			    connection->out_size - connection->out_sent, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN && errno != EINTR) {
		hang_up(connection);
		return;
	}
	if (sent > 0) {
		connection->out_sent += (size_t)sent;
		connection->heard = ++control->events;
	}
	if (connection->out_sent < connection->out_size) {
		set_state(control, connection, CONNECTION_WRITING);
		return;
	}
	free(connection->out);
	connection->out = NULL;
	if (connection->hang_up)
		hang_up(connection);
	else
		set_state(control, connection, CONNECTION_READING);
}

/* Takes the answer over. */
static void send_answer(struct control *control, struct connection *connection, json_t *answer)
{
	char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	size_t size = text ? strlen(text) : 0;
	char *grown = text ? realloc(text, size + 1) : NULL;

	json_decref(answer);
	if (!grown) {
		free(text);
		hang_up(connection);
		return;
	}
	grown[size] = '\n'; /* in place of the NUL */
	assert(!connection->out);
	connection->out = grown;
	connection->out_size = size + 1;
	connection->out_sent = 0;
	flush(control, connection);
}

static void answer_line(struct control *control, struct connection *connection, size_t size)
{
	json_t *answer = control_answer(control, connection->number, connection->in, size);

	connection->in_used -= size + 1;
	memmove(connection->in, connection->in + size + 1, connection->in_used);
	if (answer)
		send_answer(control, connection, answer);
	else
		set_state(control, connection, CONNECTION_WAITING);
}

/* Answers the lines that have come, as long as the client takes the answers. */
static void answer_lines(struct control *control, struct connection *connection)
{
	while (connection->state == CONNECTION_READING) {
		char *end = memchr(connection->in, '\n', connection->in_used);

		if (end) {
			answer_line(control, connection, (size_t)(end - connection->in));
		} else if (connection->in_used == LINE_MAX_BYTES) {
			connection->hang_up = true;
			send_answer(control, connection,
				    control_error(NULL, "BadRequest",
						  "a request is one line of at most 524287 bytes"));
		} else {
			return;
		}
	}
}

static void receive(struct control *control, struct connection *connection)
{
	ssize_t got = recv(connection->fd, connection->in + connection->in_used,
			   LINE_MAX_BYTES - connection->in_used, 0);

	if (got > 0) {
		connection->heard = ++control->events;
		connection->in_used += (size_t)got;
		answer_lines(control, connection);
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(connection);
	}
}

/*
 * A place for one who comes. Where all are taken, the one that has been silent for longest goes, be
 * it that it asks nothing or takes no answer: it shall not lock the operator out. One whose request
 * is being run stays.
 */
static struct connection *free_connection(struct control *control)
{
	struct connection *silent = NULL;

	for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
		struct connection *connection = &control->connections[i];

		if (connection->state == CONNECTION_FREE)
			return connection;
		if (connection->state != CONNECTION_WAITING &&
		    (!silent || connection->heard < silent->heard))
			silent = connection;
	}
	if (silent)
		hang_up(silent);
	return silent;
}

static void watch_listener(struct control *control, bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.u64 = TOKEN_LISTENER};

	if (!epoll_ctl(control->epoll, EPOLL_CTL_MOD, control->listener, &event))
		control->rest_until_ms = on ? 0 : runtime_now_ms() + REST_MS;
}

static int spare_descriptor(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

/*
 * Accepts, with the spare descriptor if there is no other. If that is not enough, whoever waits is
 * tried again after a rest: the listener stays readable meanwhile.
 */
static int accept_with_spare(struct control *control)
{
	int fd = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && control->spare >= 0) {
		close(control->spare);
		control->spare = -1;
		fd = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	if (fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return fd;
	log_warning(NULL, "somebody at the control socket cannot be let in: %s", strerror(errno));
	watch_listener(control, false);
	return -1;
}

static void accept_one(struct control *control)
{
	static const char full[] = "{\"id\":null,\"error\":{\"class\":\"Busy\",\"message\":"
				   "\"too many connections; try again later\"}}\n";
	struct epoll_event event = {.events = EPOLLIN};
	int fd = accept_with_spare(control);
	struct connection *connection;

	if (fd < 0)
		return;
	connection = free_connection(control);
	if (!connection) {
		send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
		close(fd);
		return;
	}
	*connection = (struct connection){
		.state = CONNECTION_READING,
		.fd = fd,
		.number = ++control->last_number,
		.heard = ++control->events,
		.in = malloc(LINE_MAX_BYTES),
	};
	event.data.u64 = token_of(control, connection);
	if (!connection->in || epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		hang_up(connection);
}

static void serve_connection(struct control *control, uint64_t token, uint32_t events)
{
	struct connection *connection = &control->connections[token % TOKEN_PLACES];

	if (connection->state == CONNECTION_FREE || connection->number != token / TOKEN_PLACES)
		return; /* it ended while this event was on its way */
	if (connection->state == CONNECTION_READING && events & EPOLLIN)
		receive(control, connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		hang_up(connection);
	else if (connection->state == CONNECTION_WRITING && events & EPOLLOUT) {
		flush(control, connection);
		answer_lines(control, connection);
	}
}

static struct connection *find_connection(struct control *control, uint64_t number)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (control->connections[i].state == CONNECTION_WAITING &&
		    control->connections[i].number == number)
			return &control->connections[i];
	return NULL;
}

static struct control_request *pop_answered(struct control *control)
{
	struct control_request *call;

	pthread_mutex_lock(&control->lock);
	call = control->answered;
	if (call)
		control->answered = call->next;
	pthread_mutex_unlock(&control->lock);
	return call;
}

/* Passes on the answers that have come. */
static void serve_answered(struct control *control)
{
	struct control_request *call;

	while ((call = pop_answered(control))) {
		struct connection *connection = find_connection(control, call->connection);

		if (connection) {
			send_answer(control, connection, json_incref(call->answer));
			answer_lines(control, connection);
		}
		control_request_free(call);
		control->requests--;
	}
}

static void *control_main(void *arg)
{
	struct control *control = arg;
	struct epoll_event events[16];
	uint64_t value;

	while (!atomic_load(&control->stopping)) {
		int count = epoll_wait(control->epoll, events, 16,
				       control->rest_until_ms ? REST_MS : -1);

		if (control->spare < 0)
			control->spare = spare_descriptor();
		if (control->rest_until_ms && runtime_now_ms() >= control->rest_until_ms)
			watch_listener(control, true);
		for (int i = 0; i < count; i++) {
			uint64_t token = events[i].data.u64;

			if (token == TOKEN_LISTENER)
				accept_one(control);
			else if (token >= TOKEN_PLACES)
				serve_connection(control, token, events[i].events);
			else if (read(control->wake, &value, sizeof(value)) > 0)
				serve_answered(control);
		}
	}
	return NULL;
}

/* Binds the socket for its owner only: who may connect may suspend and resize. */
static int listen_at(struct control *control, const char *path, struct error *f)
{
	const struct unixname_access owner = {.mode = 0600, .group = (gid_t)-1};
	int fd = unixname_bind(path, SOCK_STREAM, &owner, &control->name, f), error;

	if (fd < 0 || listen(fd, 16) == 0)
		return fd;
	error = errno;
	unixname_remove(&control->name);
	close(fd);
	return error_set(f, -error, "cannot listen at %s: %s", path, strerror(error));
}

static int add_source(struct control *control, int fd, uint64_t token)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};

	return epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void dispose(struct control *control)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (control->connections[i].state != CONNECTION_FREE)
			hang_up(&control->connections[i]);
	if (control->listener >= 0) {
		close(control->listener);
		unixname_remove(&control->name);
	}
	if (control->epoll >= 0)
		close(control->epoll);
	if (control->wake >= 0)
		close(control->wake);
	if (control->spare >= 0)
		close(control->spare);
	control_figures_free(control);
	pthread_mutex_destroy(&control->lock);
	pthread_cond_destroy(&control->call_changed);
	free(control);
}

static int start(struct control *control, const char *path, struct error *f)
{
	int ret;

	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	control->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	control->spare = spare_descriptor();
	if (control->epoll < 0 || control->wake < 0)
		return error_set(f, -errno, "cannot start the control socket: %s", strerror(errno));
	control->listener = listen_at(control, path, f);
	if (control->listener < 0)
		return control->listener;
	ret = add_source(control, control->listener, TOKEN_LISTENER);
	if (!ret)
		ret = add_source(control, control->wake, TOKEN_WAKE);
	if (!ret)
		ret = -pthread_create(&control->thread, NULL, control_main, control);
	return ret ? error_set(f, ret, "cannot start the control socket: %s", strerror(-ret)) : 0;
}

int control_new(const char *path, struct runtime *const *runtimes, unsigned count,
		struct control **out, struct error *f)
{
	struct control *control = calloc(1, sizeof(*control));
	int ret;

	if (!control)
		return error_set(f, -ENOMEM, "out of memory");
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->call_changed, NULL);
	control->runtimes = runtimes;
	control->runtime_count = count;
	control->listener = control->epoll = control->wake = control->spare = -1;
	ret = control_figures_new(control) < 0 ? error_set(f, -ENOMEM, "out of memory")
					       : start(control, path, f);
	if (ret) {
		dispose(control);
		return ret;
	}
	pthread_setname_np(control->thread, "control");
	*out = control;
	return 0;
}

/* Gives up suspensions that have not come about: their callers are about to be hung up on. */
static void cancel_suspensions(struct control *control)
{
	for (unsigned i = 0; i < control->runtime_count; i++) {
		struct device *device = runtime_lock(control->runtimes[i]);

		if (device_state(device) == STATE_SUSPENDING)
			device_resume(device, HOLDER_OPERATOR);
		runtime_unlock(control->runtimes[i]);
	}
}

/* Requests answer into `control`, so it stays until the last one has; all have a deadline. */
static void drain(struct control *control)
{
	if (control->requests)
		cancel_suspensions(control);
	pthread_mutex_lock(&control->lock);
	while (control->threads || (control->requests && !control->answered))
		pthread_cond_wait(&control->call_changed, &control->lock);
	pthread_mutex_unlock(&control->lock);
}

void control_free(struct control *control)
{
	uint64_t one = 1;

	atomic_store(&control->stopping, true);
	if (write(control->wake, &one, sizeof(one)) < 0)
		log_warning(NULL, "the control thread cannot be woken: %s", strerror(errno));
	pthread_join(control->thread, NULL);
	do {
		drain(control);
		serve_answered(control);
	} while (control->requests);
	dispose(control);
}
