/*
 * The thread that writes the log: see log_writer.h.
 *
 * Lines wait in a buffer without beginning or end: [from, to) of it, as positions that count up.
 * The thread copies some of them out and writes them with the lock open.
 */
#include "util/log_writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_SECONDS 5
#define PIECE		 4096 /* a pipe takes it in one piece */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	pthread_t thread;
	bool running, stopping, idle;
	void (*tick)(void);
	unsigned seconds;
	uint64_t from, to; /* positions; modulo LOG_WRITER_BYTES in `bytes` */
	unsigned long lost;
	char bytes[LOG_WRITER_BYTES];
} w = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void write_all(const char *text, size_t size)
{
	while (size) {
		ssize_t n = write(STDERR_FILENO, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return; /* nobody left to tell */
		text += n;
		size -= (size_t)n;
	}
}

/* [lock] False: there is no room. */
static bool keep(const char *text, size_t size)
{
	if (size > LOG_WRITER_BYTES - (w.to - w.from))
		return false;
	for (size_t i = 0; i < size; i++)
		w.bytes[(w.to + i) % LOG_WRITER_BYTES] = text[i];
	w.to += size;
	return true;
}

/* [lock] Says how many lines were lost, once there is room again. */
static void tell_lost(void)
{
	char line[96];
	int size;

	if (!w.lost)
		return;
	size = snprintf(line, sizeof(line),
			"uvdpa: warning: %lu lines were lost: nobody read them\n", w.lost);
	if (keep(line, (size_t)size))
		w.lost = 0;
}

/* [lock] */
static void wait_for_lines(void)
{
	struct timespec until;
	bool over = false;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += w.seconds;
	w.idle = true;
	pthread_cond_broadcast(&w.changed);
	while (w.from == w.to && !w.stopping && !over)
		over = pthread_cond_timedwait(&w.changed, &w.lock, &until) == ETIMEDOUT;
	w.idle = false;
}

static void *writer_main(void *arg)
{
	char piece[PIECE];

	pthread_mutex_lock(&w.lock);
	while (!w.stopping || w.from < w.to) {
		size_t size = w.to - w.from < PIECE ? w.to - w.from : PIECE;

		for (size_t i = 0; i < size; i++)
			piece[i] = w.bytes[(w.from + i) % LOG_WRITER_BYTES];
		pthread_mutex_unlock(&w.lock);
		if (size)
			write_all(piece, size);
		else
			w.tick();
		pthread_mutex_lock(&w.lock);
		w.from += size;
		tell_lost();
		if (w.from == w.to && !w.stopping)
			wait_for_lines();
	}
	w.idle = true;
	pthread_cond_broadcast(&w.changed);
	pthread_mutex_unlock(&w.lock);
	return arg;
}

int log_writer_start(void (*tick)(void), unsigned seconds)
{
	sigset_t all, old;
	int ret;

	w.tick = tick;
	w.seconds = seconds;
	w.stopping = false;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = -pthread_create(&w.thread, NULL, writer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (ret)
		return ret;
	pthread_setname_np(w.thread, "log");
	pthread_mutex_lock(&w.lock);
	w.running = true;
	pthread_mutex_unlock(&w.lock);
	return 0;
}

void log_writer_stop(void)
{
	struct timespec until;
	uint64_t seen;
	bool done, running;

	pthread_mutex_lock(&w.lock);
	running = w.running;
	w.stopping = true;
	pthread_cond_broadcast(&w.changed);
	do {
		seen = w.from;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += PATIENCE_SECONDS;
		while (running && !(w.idle && w.from == w.to) &&
		       pthread_cond_timedwait(&w.changed, &w.lock, &until) != ETIMEDOUT)
			;
		done = !running || (w.idle && w.from == w.to);
	} while (!done && seen != w.from);
	w.running = false;
	pthread_mutex_unlock(&w.lock);
	if (running && done)
		pthread_join(w.thread, NULL);
	else if (running)
		pthread_detach(w.thread); /* it waits for a reader; the process ends without it */
}

void log_writer_put(const char *line, size_t size)
{
	bool running;

	pthread_mutex_lock(&w.lock);
	running = w.running;
	if (running && !keep(line, size))
		w.lost++;
	if (running)
		pthread_cond_broadcast(&w.changed);
	pthread_mutex_unlock(&w.lock);
	if (!running)
		write_all(line, size);
}
