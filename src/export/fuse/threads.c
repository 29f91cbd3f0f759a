/*
 * The threads of the FUSE export: readers take requests, executors go on with parked request
 * queues.
 *
 * One reader at a time is the receiver; the others are reserves and sleep. A receiver that has got
 * a request stays the receiver while it serves it: to wake another reader for each would be a
 * quarter of what a call takes, and often puts the device's worker off its processor. But serving
 * may take for ever: where it takes longer than RELIEF_NS a reserve takes the receiver's place. A
 * timer wakes it, which is set when a request is served and not set already, and which nobody
 * stops.
 *
 * While a device is set up or handed over the calls follow each other closely, and what they take
 * is time without a disk. So then the receiver also stays awake for a while after a call.
 *
 * `serving` is both the clock and the token: 0 while the receiver receives, else since when it
 * serves, or NOBODY_RECEIVES. Who changes it to 0 is the receiver. `serving` is stored before
 * `watched` is looked at, and by the reserve the other way round: no request goes unwatched.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "export/fuse/fuse_internal.h"
#include "runtime/runtime.h"
#include "util/log.h"
#include "util/relax.h"

/* How long a thread may take to come back when the export stops. */
#define STOP_SECONDS 5
/* Between two looks at whether all is quiet, while the export stops. */
#define IDLE_NAP_NS 2000000

/* How long a request may keep the others waiting. */
#define RELIEF_NS 1000000

/* How long the receiver looks for the next call to a device that stands still before it sleeps. */
#define AWAKE_NS 60000

#define NOBODY_RECEIVES UINT64_MAX

static struct timespec time_from_now(unsigned seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	return t;
}

static void *reader(void *arg);

/* A thread that takes no signals: those are for the program's main thread. */
static int spawn(struct fuse_export *export, void *(*run)(void *))
{
	sigset_t all, old;
	int r = EAGAIN;

	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* a fault of the thread itself */
	sigdelset(&all, SIGSEGV);
	pthread_mutex_lock(&export->threads_lock);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (export->thread_count < export->thread_max)
		r = pthread_create(&export->threads[export->thread_count], NULL, run, export);
	if (!r)
		export->thread_count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_unlock(&export->threads_lock);
	return -r;
}

/* Waits for a request and puts it where it belongs. False: it is over. Receiving lock held. */
static bool receive(struct fuse_export *export)
{
	struct pollfd fds[] = {{.fd = fuse_session_fd(export->session), .events = POLLIN},
			       {.fd = export->stop_fd, .events = POLLIN}};
	int n;

	if (atomic_load(&export->stopping) || fuse_session_exited(export->session))
		return false;
	while ((n = poll(fds, 2, 0)) == 0 && runtime_now_ns() < atomic_load(&export->awake_until))
		relax();
	if (n == 0)
		n = poll(fds, 2, -1);
	if (n < 0)
		return errno == EINTR;
	if (fds[1].revents)
		return false;
	n = fuse_session_receive_buf(export->session, &export->buffer);
	if (n == -EINTR || n == -EAGAIN)
		return true;
	if (n <= 0)
		return false;
	fuse_session_process_buf(export->session, &export->buffer);
	return true;
}

/* Sees to it that a reserve looks in a while whether the receiver is still at the same request. */
static void watch(struct fuse_export *export)
{
	const struct itimerspec when = {.it_value.tv_nsec = RELIEF_NS};

	if (!atomic_load(&export->watched) && !atomic_exchange(&export->watched, true))
		timerfd_settime(export->relief_fd, 0, &when, NULL);
}

/* Takes the place of a receiver that has been at one request for too long. */
static bool relieve(struct fuse_export *export)
{
	uint64_t since;

	atomic_store(&export->watched, false);
	since = atomic_load(&export->serving);
	if (!since)
		return false;
	if (since == NOBODY_RECEIVES || runtime_now_ns() - since >= RELIEF_NS)
		return atomic_compare_exchange_strong(&export->serving, &since, 0);
	watch(export);
	return false;
}

static void take_note(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: nothing there, or another reserve was first */
}

/* A reserve's sleep. True: it is the receiver now; false: it is over. */
static bool wait_for_turn(struct fuse_export *export)
{
	struct pollfd fds[] = {{.fd = export->relief_fd, .events = POLLIN},
			       {.fd = export->stop_fd, .events = POLLIN}};

	while (!relieve(export)) {
		poll(fds, 2, -1);
		if (fds[1].revents)
			return false;
		if (fds[0].revents)
			take_note(export->relief_fd);
	}
	return true;
}

/*
 * Whether the client may well make the next call at once, and nobody is served until it has come:
 * of a device that is set up and does not run yet, or that was suspended in the midst of such
 * calls.
 */
static bool more_to_come(struct runtime *runtime, bool awake)
{
	enum device_state state = device_state(runtime_lock(runtime));

	runtime_unlock(runtime);
	return state == STATE_READY || (state == STATE_SUSPENDED && awake);
}

/* Serves a request with another reader left. True: the caller is the receiver still. */
static bool serve(struct fuse_export *export, struct fuse_request *request)
{
	struct runtime *runtime = request->node->runtime;
	uint64_t since = request->came_ns;
	bool awake = since < atomic_load(&export->awake_until);

	atomic_store(&export->serving, since);
	watch(export);
	if (atomic_fetch_sub(&export->free_readers, 1) == 1 && !spawn(export, reader))
		atomic_fetch_add(&export->free_readers, 1);
	fifo_serve(request);
	atomic_fetch_add(&export->free_readers, 1);
	if (more_to_come(runtime, awake))
		atomic_store(&export->awake_until, runtime_now_ns() + AWAKE_NS);
	return atomic_compare_exchange_strong(&export->serving, &since, 0);
}

static void *reader(void *arg)
{
	struct fuse_export *export = arg;
	bool mine = false, on = true;

	while (on && (mine || wait_for_turn(export))) {
		struct fuse_request *request;

		pthread_mutex_lock(&export->receiving);
		on = receive(export);
		request = fuse_take_mine();
		pthread_mutex_unlock(&export->receiving);
		mine = !request || serve(export, request);
	}
	if (fuse_session_exited(export->session) && !atomic_load(&export->stopping) &&
	    !atomic_exchange(&export->gone, true))
		log_warning(NULL, "%s was unmounted: its devices cannot be opened any more",
			    export->mountpoint);
	return NULL;
}

static struct fuse_request *next_ready(struct fuse_export *export)
{
	struct fuse_request *request;

	pthread_mutex_lock(&export->ready_lock);
	export->idle_executors++;
	while (!export->ready && !export->executors_stop)
		pthread_cond_wait(&export->ready_changed, &export->ready_lock);
	export->idle_executors--;
	request = export->ready;
	if (request) {
		export->ready = request->next;
		export->ready_count--;
		if (!export->ready)
			export->ready_last = &export->ready;
	}
	pthread_mutex_unlock(&export->ready_lock);
	return request;
}

static void *executor(void *arg)
{
	struct fuse_export *export = arg;
	struct fuse_request *request;

	while ((request = next_ready(export)))
		fifo_serve(request);
	return NULL;
}

/* May be called with a runtime's lock held: takes no time. */
void executor_submit(struct fuse_export *export, struct fuse_request *request)
{
	bool more;

	request->next = NULL;
	pthread_mutex_lock(&export->ready_lock);
	*export->ready_last = request;
	export->ready_last = &request->next;
	export->ready_count++;
	more = export->idle_executors < export->ready_count &&
	       export->executors < export->node_count;
	if (more)
		export->executors++;
	pthread_cond_signal(&export->ready_changed);
	pthread_mutex_unlock(&export->ready_lock);
	if (more && spawn(export, executor)) {
		pthread_mutex_lock(&export->ready_lock);
		export->executors--;
		pthread_mutex_unlock(&export->ready_lock);
	}
}

int threads_start(struct fuse_export *export, struct error *err)
{
	int r;

	/* A reader and an executor per device that may hang, and two readers beside. */
	export->thread_max = 2 * export->node_count + 3;
	export->threads = calloc(export->thread_max, sizeof(*export->threads));
	export->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	export->relief_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!export->threads || export->stop_fd < 0 || export->relief_fd < 0)
		return error_set(err, -ENOMEM, "%s: no memory for threads", export->mountpoint);
	atomic_store(&export->serving, NOBODY_RECEIVES);
	export->executors = 1;
	atomic_store(&export->free_readers, 2);
	r = spawn(export, executor);
	for (int i = 0; i < 2 && !r; i++)
		r = spawn(export, reader);
	return r ? error_set(err, r, "%s: no threads: %s", export->mountpoint, strerror(-r)) : 0;
}

unsigned threads_stop(struct fuse_export *export)
{
	struct timespec until = time_from_now(STOP_SECONDS);
	unsigned lost = 0;

	pthread_mutex_lock(&export->ready_lock);
	export->executors_stop = true;
	pthread_cond_broadcast(&export->ready_changed);
	pthread_mutex_unlock(&export->ready_lock);
	/* one that was still starting another when it was asked to stop has done so when it has
	 * ended */
	for (unsigned i = 0; i < fuse_export_threads(export); i++)
		if (pthread_timedjoin_np(export->threads[i], NULL, &until))
			lost++;
	return lost;
}

static bool all_idle(struct fuse_export *export)
{
	for (unsigned i = 0; i < export->node_count; i++)
		if (!fifo_idle(&export->nodes[i]->fifo))
			return false;
	return true;
}

/* Looks again and again: who frees a request queue may not touch the export any more to tell of it.
 */
bool threads_wait_idle(struct fuse_export *export, unsigned seconds)
{
	const struct timespec nap = {.tv_nsec = IDLE_NAP_NS};
	uint64_t until = runtime_now_ns() + seconds * UINT64_C(1000000000);
	bool idle;

	while (!(idle = all_idle(export)) && runtime_now_ns() < until)
		nanosleep(&nap, NULL);
	return idle;
}
