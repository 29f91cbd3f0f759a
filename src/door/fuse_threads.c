/* The threads of the FUSE door: readers take requests, executors go on with parked lanes. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "door/fuse_internal.h"
#include "util/log.h"

/* How long a thread may take to come back when the door stops. */
#define STOP_SECONDS 5

static struct timespec time_from_now(unsigned seconds)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += seconds;
	return t;
}

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
	if (poll(fds, 2, -1) < 0)
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

static void *reader(void *arg)
{
	struct fuse_door *door = arg;
	bool on = true;

	while (on) {
		struct job *job;

		pthread_mutex_lock(&door->receiving);
		on = receive(door);
		job = fuse_take_mine();
		pthread_mutex_unlock(&door->receiving);
		if (!job)
			continue;
		if (atomic_fetch_sub(&door->free_readers, 1) == 1 && !spawn(door, reader))
			atomic_fetch_add(&door->free_readers, 1);
		lane_serve(job);
		atomic_fetch_add(&door->free_readers, 1);
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
	if (!door->threads || door->stop_fd < 0)
		return fault(fault_out, -ENOMEM, "%s: no memory for threads", door->mountpoint);
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
	for (unsigned i = 0; i < door->thread_count; i++)
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

bool threads_wait_idle(struct fuse_door *door, unsigned seconds)
{
	struct timespec until = time_from_now(seconds);
	bool idle;
	int r = 0;

	pthread_mutex_lock(&door->ready_lock);
	while (!(idle = all_idle(door)) && !r)
		r = pthread_cond_timedwait(&door->lane_freed, &door->ready_lock, &until);
	pthread_mutex_unlock(&door->ready_lock);
	return idle;
}
