/*
 * For the files of the control export only.
 *
 * Theory of operation
 * -------------------
 * One thread (control.c) has the socket, the connections and everything in
 * them. A connection is in one of three states, and never reads while it is in
 * the latter two, so that a client can have at most one request in the works
 * and one answer unread:
 *
 *     reading    collects a line, at most LINE_MAX_BYTES
 *     waiting    its request is being run; others are served meanwhile
 *     writing    its answer is not yet taken by the client
 *
 * The thread itself never touches a device: one whose client keeps it stuck
 * would take the socket along. Each request is run by a thread of its own
 * (control_commands.c); `status`, which an operator wants most when a device is
 * stuck, is answered from published figures (control_figures.c). Its answer, or the device's when
 * that answers later (device_done: on any thread, with the device's lock held), is put on
 * `answered`, under `lock`, which nests in nothing else, and the socket's thread
 * is woken. The client may be gone by then: connections are numbered anew at
 * every accept, and an answer for a number that is not there is dropped.
 */
#ifndef UVDPA_CONTROL_CONTROL_INTERNAL_H
#define UVDPA_CONTROL_CONTROL_INTERNAL_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "util/unixname.h"

#define CONNECTIONS_MAX 32
#define LINE_MAX_BYTES	(512 * 1024) /* a saved state fits, as base64 */

enum connection_state {
	CONNECTION_FREE,
	CONNECTION_READING,
	CONNECTION_WAITING,
	CONNECTION_WRITING
};

struct connection {
	enum connection_state state;
	int fd;
	uint64_t number;
	uint64_t heard; /* when something of it was last read or written: counts up */
	bool hang_up;	/* after the answer */
	char *in;	/* LINE_MAX_BYTES */
	size_t in_used;
	char *out;
	size_t out_size, out_sent;
};

/* A request that is being run. */
struct control_request {
	struct control *control;
	uint64_t connection;
	json_t *request; /* the line */
	json_t *answer;
	struct runtime *runtime; /* of a request that a device answers later */
	const char *command;
	struct control_request *next;
};

struct control_figures;

struct control {
	struct unixname name; /* of the listener */
	struct runtime *const *runtimes;
	unsigned runtime_count;
	pthread_t thread;
	int listener, epoll, wake;
	int spare; /* a descriptor to let somebody in with when there are no others; -1: used up */
	uint64_t rest_until_ms; /* the listener is not watched before; 0: it is */
	uint64_t events;
	_Atomic bool stopping;
	uint64_t last_number;
	struct connection connections[CONNECTIONS_MAX];

	pthread_mutex_t lock;
	pthread_cond_t call_changed;
	struct control_request *answered; /* [lock] */
	struct control_figures *figures;  /* one per runtime [lock] */
	unsigned threads;		  /* that run requests [lock] */
	unsigned requests; /* not answered to their connections; the socket's thread only */
};

/*
 * control_commands.c: begins to answer one line. Returns the answer, or NULL if it comes through
 * control->answered later.
 */
json_t *control_answer(struct control *control, uint64_t connection, const char *line, size_t size);
/* Frees a request. */
void control_request_free(struct control_request *call);
/* An answer that is an error. Takes `id` over (NULL: null). */
json_t *control_error(json_t *id, const char *class, const char *message);

/*
 * control_state.c: the state of a device as base64, and back. NULL or a negative errno with the
 * fault filled.
 */
json_t *control_save(struct runtime *runtime, struct error *err);
int control_restore(struct runtime *runtime, const char *text, struct error *err);

/* control_trace.c: what a device did lately. NULL with the error filled. */
json_t *control_trace(struct runtime *runtime, struct error *err);

/*
 * Starts a detached thread, which control_free waits for: it calls control_thread_ends last.
 * Returns 0 or a negative errno.
 */
int control_thread_start(struct control *control, void *(*start)(void *arg), void *arg);
void control_thread_ends(struct control *control);

/* control_status.c: all there is to know of a device. Waits for it. */
json_t *control_device_status(struct runtime *runtime);

/*
 * control_figures.c: what was last seen of the devices, `only` one or (NULL) all, as an array.
 * Waits for none of them but a kind.
 */
json_t *control_figures_tell(struct control *control, const struct runtime *only);
/* Looks for the first time, when nobody has the devices yet. 0 or -ENOMEM. */
int control_figures_new(struct control *control);
void control_figures_free(struct control *control);

#endif
