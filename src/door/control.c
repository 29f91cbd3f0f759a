/* The control socket's thread and connections: see control_internal.h. */
#include "door/control_internal.h"

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
#include "host/runner.h"
#include "util/log.h"

#define TOKEN_LISTENER CONNECTIONS_MAX
#define TOKEN_WAKE     (CONNECTIONS_MAX + 1)

static void hang_up(struct connection *connection)
{
	close(connection->fd); /* nobody else has it, so it leaves the epoll set, too */
	free(connection->in);
	free(connection->out);
	*connection = (struct connection){.mood = CONNECTION_FREE, .fd = -1};
}

/* Sets what the connection is woken for. A hang-up is always told. */
static void set_mood(struct control *control, struct connection *connection, enum mood mood)
{
	struct epoll_event event = {
		.events = mood == CONNECTION_READING   ? EPOLLIN
			  : mood == CONNECTION_WRITING ? EPOLLOUT
						       : 0,
		.data.u64 = (uint64_t)(connection - control->connections),
	};

	if (connection->mood == mood)
		return;
	connection->mood = mood;
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
	if (sent > 0)
		connection->out_sent += (size_t)sent;
	if (connection->out_sent < connection->out_size) {
		set_mood(control, connection, CONNECTION_WRITING);
		return;
	}
	free(connection->out);
	connection->out = NULL;
	if (connection->hang_up)
		hang_up(connection);
	else
		set_mood(control, connection, CONNECTION_READING);
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
		set_mood(control, connection, CONNECTION_WAITING);
}

/* Answers the lines that have come, as long as the client takes the answers. */
static void answer_lines(struct control *control, struct connection *connection)
{
	while (connection->mood == CONNECTION_READING) {
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
		connection->in_used += (size_t)got;
		answer_lines(control, connection);
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(connection);
	}
}

static struct connection *free_connection(struct control *control)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (control->connections[i].mood == CONNECTION_FREE)
			return &control->connections[i];
	return NULL;
}

static void accept_one(struct control *control)
{
	static const char full[] = "{\"id\":null,\"error\":{\"class\":\"Busy\",\"message\":"
				   "\"too many connections; try again later\"}}\n";
	struct connection *connection = free_connection(control);
	struct epoll_event event = {.events = EPOLLIN};
	int fd = accept4(control->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!connection) {
		send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL);
		close(fd);
		return;
	}
	event.data.u64 = (uint64_t)(connection - control->connections);
	*connection = (struct connection){
		.mood = CONNECTION_READING,
		.fd = fd,
		.number = ++control->last_number,
		.in = malloc(LINE_MAX_BYTES),
	};
	if (!connection->in || epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		hang_up(connection);
}

static void serve_connection(struct control *control, struct connection *connection,
			     uint32_t events)
{
	if (connection->mood == CONNECTION_FREE)
		return; /* it ended while this event was on its way */
	if (connection->mood == CONNECTION_READING && events & EPOLLIN)
		receive(control, connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		hang_up(connection);
	else if (connection->mood == CONNECTION_WRITING && events & EPOLLOUT) {
		flush(control, connection);
		answer_lines(control, connection);
	}
}

static struct connection *find_connection(struct control *control, uint64_t number)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (control->connections[i].mood == CONNECTION_WAITING &&
		    control->connections[i].number == number)
			return &control->connections[i];
	return NULL;
}

static struct job *pop_answered(struct control *control)
{
	struct job *job;

	pthread_mutex_lock(&control->lock);
	job = control->answered;
	if (job)
		control->answered = job->next;
	pthread_mutex_unlock(&control->lock);
	return job;
}

/* Passes on the answers that have come. */
static void serve_answered(struct control *control)
{
	struct job *job;

	while ((job = pop_answered(control))) {
		struct connection *connection = find_connection(control, job->connection);

		if (connection) {
			send_answer(control, connection, json_incref(job->answer));
			answer_lines(control, connection);
		}
		job_free(job);
		control->jobs--;
	}
}

static void *control_main(void *arg)
{
	struct control *control = arg;
	struct epoll_event events[16];
	uint64_t value;

	while (!atomic_load(&control->stopping)) {
		int count = epoll_wait(control->epoll, events, 16, -1);

		for (int i = 0; i < count; i++) {
			uint64_t token = events[i].data.u64;

			if (token == TOKEN_LISTENER)
				accept_one(control);
			else if (token < CONNECTIONS_MAX)
				serve_connection(control, &control->connections[token],
						 events[i].events);
			else if (read(control->wake, &value, sizeof(value)) > 0)
				serve_answered(control);
		}
	}
	return NULL;
}

/* Binds the socket for its owner only: who may connect may suspend and resize. */
static int listen_at(struct control *control, const char *path, struct fault *f)
{
	const struct unixname_access owner = {.mode = 0600, .group = (gid_t)-1};
	int fd = unixname_bind(path, SOCK_STREAM, &owner, &control->name, f), error;

	if (fd < 0 || listen(fd, 16) == 0)
		return fd;
	error = errno;
	unixname_remove(&control->name);
	close(fd);
	return fault(f, -error, "cannot listen at %s: %s", path, strerror(error));
}

static int add_source(struct control *control, int fd, uint64_t token)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};

	return epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void dispose(struct control *control)
{
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (control->connections[i].mood != CONNECTION_FREE)
			hang_up(&control->connections[i]);
	if (control->listener >= 0) {
		close(control->listener);
		unixname_remove(&control->name);
	}
	if (control->epoll >= 0)
		close(control->epoll);
	if (control->wake >= 0)
		close(control->wake);
	control_figures_free(control);
	pthread_mutex_destroy(&control->lock);
	pthread_cond_destroy(&control->job_changed);
	free(control);
}

static int start(struct control *control, const char *path, struct fault *f)
{
	int ret;

	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	control->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control->epoll < 0 || control->wake < 0)
		return fault(f, -errno, "cannot start the control socket: %s", strerror(errno));
	control->listener = listen_at(control, path, f);
	if (control->listener < 0)
		return control->listener;
	ret = add_source(control, control->listener, TOKEN_LISTENER);
	if (!ret)
		ret = add_source(control, control->wake, TOKEN_WAKE);
	if (!ret)
		ret = -pthread_create(&control->thread, NULL, control_main, control);
	return ret ? fault(f, ret, "cannot start the control socket: %s", strerror(-ret)) : 0;
}

int control_new(const char *path, struct runner *const *runners, unsigned count,
		struct control **out, struct fault *f)
{
	struct control *control = calloc(1, sizeof(*control));
	int ret;

	if (!control)
		return fault(f, -ENOMEM, "out of memory");
	pthread_mutex_init(&control->lock, NULL);
	pthread_cond_init(&control->job_changed, NULL);
	control->runners = runners;
	control->runner_count = count;
	control->listener = control->epoll = control->wake = -1;
	ret = control_figures_new(control) < 0 ? fault(f, -ENOMEM, "out of memory")
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
	for (unsigned i = 0; i < control->runner_count; i++) {
		struct device *device = runner_lock(control->runners[i]);

		if (device_state(device) == STATE_SUSPENDING)
			device_resume(device, HOLDER_OPERATOR);
		runner_unlock(control->runners[i]);
	}
}

/* Jobs answer into `control`, so it stays until the last one has; all have a deadline. */
static void drain(struct control *control)
{
	if (control->jobs)
		cancel_suspensions(control);
	pthread_mutex_lock(&control->lock);
	while (control->threads || (control->jobs && !control->answered))
		pthread_cond_wait(&control->job_changed, &control->lock);
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
	} while (control->jobs);
	dispose(control);
}
