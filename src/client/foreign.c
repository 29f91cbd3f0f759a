/*
 * Closing what clients brought: see foreign.h.
 *
 * One thread closes what might have to be waited for, one after the other, for the whole process.
 * It is there while there is something to close, detached, and whoever ends the process does not
 * wait for it.
 */
#include "client/foreign.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct closing {
	struct closing *next;
	int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct closing *first, **last = &first; /* [lock] */
static bool running;			       /* [lock] */

static void *close_all(void *arg)
{
	pthread_mutex_lock(&lock);
	while (first) {
		struct closing *closing = first;

		first = closing->next;
		if (!first)
			last = &first;
		pthread_mutex_unlock(&lock);
		close(closing->fd);
		free(closing);
		pthread_mutex_lock(&lock);
	}
	running = false;
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Locked: it takes the lock when it begins. False: there is no thread. */
static bool start(void)
{
	pthread_t thread;

	if (!running && pthread_create(&thread, NULL, close_all, NULL) == 0) {
		pthread_setname_np(thread, "closing");
		pthread_detach(thread);
		running = true;
	}
	return running;
}

static bool hand_over(int fd)
{
	struct closing *closing = malloc(sizeof(*closing));
	bool taken;

	if (!closing)
		return false;
	*closing = (struct closing){.fd = fd};
	pthread_mutex_lock(&lock);
	taken = start();
	if (taken) {
		*last = closing;
		last = &closing->next;
	}
	pthread_mutex_unlock(&lock);
	if (!taken)
		free(closing);
	return taken;
}

/*
 * Nobody is asked for these: files of memory, which alone have seals, sockets, pipes, and what lies
 * in no file system (eventfds). Nor for this look (AT_STATX_DONT_SYNC).
 */
static bool closes_at_once(int fd)
{
	struct statx st;

	if (fcntl(fd, F_GET_SEALS) >= 0)
		return true;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st))
		return false;
	return !(st.stx_mode & S_IFMT) || S_ISSOCK(st.stx_mode) || S_ISFIFO(st.stx_mode);
}

void foreign_close(int fd)
{
	if (closes_at_once(fd) || !hand_over(fd))
		close(fd);
}
