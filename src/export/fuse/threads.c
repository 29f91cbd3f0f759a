/*
 * The threads of the FUSE door: readers take requests, executors go on with parked lanes.
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
#include "runtime/runner.h"
#include "util/log.h"
#include "util/relax.h"

/* How long a thread may take to come back when the door stops. */
#define STOP_SECONDS 5
/* Between two looks at whether all is quiet, while the door stops. */
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
static int spawn(struct fuse_door *door, void *(*run)(void *))
{
	sigset_t all, old;
	int r = EAGAIN;

	sigfillset(&all);
	sigdelset(&all, SIGBUS); /* a fault of the thread itself */
	sigdelset(&all, SIGSEGV);
	pthread_mutex_lock(&door->threads_lock);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (door->thread_count < door->thread_max)
		r = pthread_create(&door->threads[door->thread_count], NULL, run, door);
	if (!r)
		door->thread_count++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_mutex_unlock(&door->threads_lock);
	return -r;
}

/* Waits for a request and puts it where it belongs. False: it is over. Receiving lock held. */
static bool receive(struct fuse_door *door)
{
	struct pollfd fds[] = {{.fd = fuse_session_fd(door->session), .events = POLLIN},
			       {.fd = door->stop_fd, .events = POLLIN}};
	int n;

	if (atomic_load(&door->stopping) || fuse_session_exited(door->session))
		return false;
	while ((n = poll(fds, 2, 0)) == 0 && runner_now_ns() < atomic_load(&door->awake_until))
		relax();
	if (n == 0)
		n = poll(fds, 2, -1);
	if (n < 0)
		return errno == EINTR;
	if (fds[1].revents)
		return false;
	n = fuse_session_receive_buf(door->session, &door->buffer);
	if (n == -EINTR || n == -EAGAIN)
		return true;
	if (n <= 0)
		return false;
	fuse_session_process_buf(door->session, &door->buffer);
	return true;
}

/* Sees to it that a reserve looks in a while whether the receiver is still at the same request. */
static void watch(struct fuse_door *door)
{
	const struct itimerspec when = {.it_value.tv_nsec = RELIEF_NS};

	if (!atomic_load(&door->watched) && !atomic_exchange(&door->watched, true))
		timerfd_settime(door->relief_fd, 0, &when, NULL);
}

/* Takes the place of a receiver that has been at one request for too long. */
static bool relieve(struct fuse_door *door)
{
	uint64_t since;

	atomic_store(&door->watched, false);
	since = atomic_load(&door->serving);
	if (!since)
		return false;
	if (since == NOBODY_RECEIVES || runner_now_ns() - since >= RELIEF_NS)
		return atomic_compare_exchange_strong(&door->serving, &since, 0);
	watch(door);
	return false;
}

static void take_note(int fd)
{
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: nothing there, or another reserve was first */
}

/* A reserve's sleep. True: it is the receiver now; false: it is over. */
static bool wait_for_turn(struct fuse_door *door)
{
	struct pollfd fds[] = {{.fd = door->relief_fd, .events = POLLIN},
			       {.fd = door->stop_fd, .events = POLLIN}};

	while (!relieve(door)) {
		poll(fds, 2, -1);
		if (fds[1].revents)
			return false;
		if (fds[0].revents)
			take_note(door->relief_fd);
	}
	return true;
}

/*
 * Whether the client may well make the next call at once, and nobody is served until it has come:
 * of a device that is set up and does not run yet, or that was suspended in the midst of such
 * calls.
 */
static bool more_to_come(struct runner *runner, bool awake)
{
	enum device_state state = device_state(runner_lock(runner));

	runner_unlock(runner);
	return state == STATE_READY || (state == STATE_SUSPENDED && awake);
}

/* Serves a request with another reader left. True: the caller is the receiver still. */
static bool serve(struct fuse_door *door, struct job *job)
{
	struct runner *runner = job->node->runner;
	uint64_t since = job->came_ns;
	bool awake = since < atomic_load(&door->awake_until);

	atomic_store(&door->serving, since);
	watch(door);
	if (atomic_fetch_sub(&door->free_readers, 1) == 1 && !spawn(door, reader))
		atomic_fetch_add(&door->free_readers, 1);
	lane_serve(job);
	atomic_fetch_add(&door->free_readers, 1);
	if (more_to_come(runner, awake))
		atomic_store(&door->awake_until, runner_now_ns() + AWAKE_NS);
	return atomic_compare_exchange_strong(&door->serving, &since, 0);
}

static void *reader(void *arg)
{
	struct fuse_door *door = arg;
	bool mine = false, on = true;

	while (on && (mine || wait_for_turn(door))) {
		struct job *job;

		pthread_mutex_lock(&door->receiving);
		on = receive(door);
		job = fuse_take_mine();
		pthread_mutex_unlock(&door->receiving);
		mine = !job || serve(door, job);
	}
	if (fuse_session_exited(door->session) && !atomic_load(&door->stopping) &&
	    !atomic_exchange(&door->gone, true))
		log_warning(NULL, "%s was unmounted: its devices cannot be opened any more",
			    door->mountpoint);
	return NULL;
}

static struct job *next_ready(struct fuse_door *door)
{
	struct job *job;

	pthread_mutex_lock(&door->ready_lock);
	door->idle_executors++;
	while (!door->ready && !door->executors_stop)
		pthread_cond_wait(&door->ready_changed, &door->ready_lock);
	door->idle_executors--;
	job = door->ready;
	if (job) {
		door->ready = job->next;
		door->ready_count--;
		if (!door->ready)
			door->ready_last = &door->ready;
	}
	pthread_mutex_unlock(&door->ready_lock);
	return job;
}

static void *executor(void *arg)
{
	struct fuse_door *door = arg;
	struct job *job;

	while ((job = next_ready(door)))
		lane_serve(job);
	return NULL;
}

/* May be called with a runner's lock held: takes no time. */
void executor_submit(struct fuse_door *door, struct job *job)
{
	bool more;

	job->next = NULL;
	pthread_mutex_lock(&door->ready_lock);
	*door->ready_last = job;
	door->ready_last = &job->next;
	door->ready_count++;
	more = door->idle_executors < door->ready_count && door->executors < door->node_count;
	if (more)
		door->executors++;
	pthread_cond_signal(&door->ready_changed);
	pthread_mutex_unlock(&door->ready_lock);
	if (more && spawn(door, executor)) {
		pthread_mutex_lock(&door->ready_lock);
		door->executors--;
		pthread_mutex_unlock(&door->ready_lock);
	}
}

int threads_start(struct fuse_door *door, struct fault *fault_out)
{
	int r;

	/* A reader and an executor per device that may hang, and two readers beside. */
	door->thread_max = 2 * door->node_count + 3;
	door->threads = calloc(door->thread_max, sizeof(*door->threads));
	door->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	door->relief_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!door->threads || door->stop_fd < 0 || door->relief_fd < 0)
		return fault(fault_out, -ENOMEM, "%s: no memory for threads", door->mountpoint);
	atomic_store(&door->serving, NOBODY_RECEIVES);
	door->executors = 1;
	atomic_store(&door->free_readers, 2);
	r = spawn(door, executor);
	for (int i = 0; i < 2 && !r; i++)
		r = spawn(door, reader);
	return r ? fault(fault_out, r, "%s: no threads: %s", door->mountpoint, strerror(-r)) : 0;
}

unsigned threads_stop(struct fuse_door *door)
{
	struct timespec until = time_from_now(STOP_SECONDS);
	unsigned lost = 0;

	pthread_mutex_lock(&door->ready_lock);
	door->executors_stop = true;
	pthread_cond_broadcast(&door->ready_changed);
	pthread_mutex_unlock(&door->ready_lock);
	/* one that was still starting another when it was asked to stop has done so when it has
	 * ended */
	for (unsigned i = 0; i < fuse_door_threads(door); i++)
		if (pthread_timedjoin_np(door->threads[i], NULL, &until))
			lost++;
	return lost;
}

static bool all_idle(struct fuse_door *door)
{
	for (unsigned i = 0; i < door->node_count; i++)
		if (!lane_idle(&door->nodes[i]->lane))
			return false;
	return true;
}

/* Looks again and again: who frees a lane may not touch the door any more to tell of it. */
bool threads_wait_idle(struct fuse_door *door, unsigned seconds)
{
	const struct timespec nap = {.tv_nsec = IDLE_NAP_NS};
	uint64_t until = runner_now_ns() + seconds * UINT64_C(1000000000);
	bool idle;

	while (!(idle = all_idle(door)) && runner_now_ns() < until)
		nanosleep(&nap, NULL);
	return idle;
}
