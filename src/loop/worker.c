/* A thread that sleeps in epoll and makes passes: see worker.h. */
#include "loop/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "loop/ticket_lock.h"
#include "util/relax.h"

#define EVENTS	   32
#define STACK	   (256 * 1024) /* the code has no large arrays; glibc's own needs fit */
#define TOKEN_WAKE UINT64_MAX
/*
 * While a worker does not sleep, so many passes lie between two looks at its sources, which cost as
 * much as a short pass; passes that only look for work are shorter still.
 */
#define PASSES	8
#define GLANCES 64

struct worker {
	struct ticket_lock tlock;
	const struct worker_ops *ops;
	void *arg;
	int epoll;
	int wake; /* eventfd, never read: each write is an edge */
	_Atomic bool sleeping;
	_Atomic bool woken;
	_Atomic bool stopping;
	bool in_pass; /* the worker's thread only */
	pthread_t thread;
};

static _Thread_local const struct worker *current;

/* Finds out what is ready; sleeps for it if there is nothing to do. Returns how many. */
static int collect(struct worker *worker, bool busy, struct epoll_event events[EVENTS])
{
	int timeout = 0, count;

	if (!busy) {
		atomic_store(&worker->sleeping, true);
		timeout = atomic_exchange(&worker->woken, false) ? 0 : -1;
	}
	count = epoll_wait(worker->epoll, events, EVENTS, timeout);
	atomic_store(&worker->sleeping, false);
	return count;
}

/* One turn inside the ticket lock. */
static enum worker_next pass(struct worker *worker, const struct epoll_event *events, int count)
{
	enum worker_next next;

	ticket_lock(&worker->tlock);
	worker->in_pass = true;
	for (int i = 0; i < count; i++)
		if (events[i].data.u64 != TOKEN_WAKE)
			worker->ops->ready(worker->arg, events[i].data.u64);
	next = worker->ops->pass(worker->arg);
	worker->in_pass = false;
	ticket_unlock(&worker->tlock);
	return next;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	enum worker_next next = WORKER_SLEEP;
	struct epoll_event events[EVENTS];
	unsigned unlooked = 0; /* in GLANCES; a pass with work counts as some of them */

	current = worker;
	while (!atomic_load(&worker->stopping)) {
		int count = 0;

		unlooked += next == WORKER_POLL ? 1 : GLANCES / PASSES;
		if (next == WORKER_SLEEP || unlooked >= GLANCES) {
			count = collect(worker, next != WORKER_SLEEP, events);
			unlooked = 0;
		} else if (next == WORKER_POLL) {
			relax();
		}
		next = pass(worker, events, count);
		worker->ops->after(worker->arg);
	}
	return NULL;
}

static void on_signal(int number)
{
	(void)number; /* that a system call was interrupted is all that is wanted */
}

static void install_handler(void)
{
	const struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
	struct sigaction old;

	if (!sigaction(SIGURG, NULL, &old) && old.sa_handler == SIG_DFL)
		sigaction(SIGURG, &action, NULL);
}

static void interrupt(void *arg)
{
	struct worker *worker = arg;

	pthread_kill(worker->thread, SIGURG);
}

static pthread_once_t handler_once = PTHREAD_ONCE_INIT;

/* Starts the thread with every signal blocked: signals are for the main thread. */
static int start(struct worker *worker, const char *name)
{
	sigset_t all, old;
	pthread_attr_t attr;
	char short_name[16] = "";
	int ret;

	sigfillset(&all);
	/* these report the thread's own mistakes, or memory of a client that went away */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGURG);
	pthread_once(&handler_once, install_handler);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = pthread_create(&worker->thread, &attr, worker_main, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (ret)
		return -ret;
	memcpy(short_name, name, strnlen(name, sizeof(short_name) - 1));
	pthread_setname_np(worker->thread, short_name);
	return 0;
}

static void dispose(struct worker *worker)
{
	if (worker->wake >= 0)
		close(worker->wake);
	if (worker->epoll >= 0)
		close(worker->epoll);
	free(worker);
}

int worker_new(const char *name, const struct worker_ops *ops, void *arg, struct worker **out,
	       struct error *err)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int ret;

	if (!worker)
		return error_set(err, -ENOMEM, "no memory for a worker thread");
	worker->ops = ops;
	worker->arg = arg;
	worker->wake = -1;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll >= 0)
		worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ret = worker->wake < 0 ? -errno
			       : worker_watch(worker, worker->wake, WORKER_EDGE, TOKEN_WAKE);
	if (!ret)
		ret = start(worker, name);
	if (ret) {
		dispose(worker);
		return error_set(err, ret, "cannot start a worker thread: %s", strerror(-ret));
	}
	*out = worker;
	return 0;
}

static void join(struct worker *worker)
{
	struct timespec until;

	do {
		interrupt(worker);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec++;
	} while (pthread_timedjoin_np(worker->thread, NULL, &until) == ETIMEDOUT);
}

void worker_free(struct worker *worker)
{
	assert(!worker_is_current(worker));
	atomic_store(&worker->stopping, true);
	worker_wake(worker);
	join(worker);
	dispose(worker);
}

int worker_pin(struct worker *worker, unsigned cpu)
{
	cpu_set_t set;

	if (cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return -pthread_setaffinity_np(worker->thread, sizeof(set), &set);
}

int worker_watch(struct worker *worker, int fd, enum worker_trigger trigger, uint64_t token)
{
	struct epoll_event event = {
		.events = trigger == WORKER_EDGE ? EPOLLIN | EPOLLET : EPOLLIN,
		.data.u64 = token,
	};

	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void worker_unwatch(struct worker *worker, int fd)
{
	/* EBADF and ENOENT: its owner has closed it already, which is as good */
	epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void worker_wake(struct worker *worker)
{
	uint64_t one = 1;

	atomic_store(&worker->woken, true);
	if (atomic_load(&worker->sleeping) && write(worker->wake, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* 2^64 wake-ups: it is readable */
}

void worker_enter(struct worker *worker)
{
	assert(!worker_in_pass(worker));
	ticket_lock_interrupting(&worker->tlock, interrupt, worker);
}

bool worker_try_enter(struct worker *worker)
{
	return ticket_trylock(&worker->tlock);
}

void worker_leave(struct worker *worker)
{
	ticket_unlock(&worker->tlock);
}

void worker_call(struct worker *worker, void (*fn)(void *), void *arg)
{
	worker_enter(worker);
	fn(arg);
	worker_leave(worker);
}

bool worker_is_current(const struct worker *worker)
{
	return current == worker;
}

bool worker_in_pass(const struct worker *worker)
{
	return worker_is_current(worker) && worker->in_pass;
}
