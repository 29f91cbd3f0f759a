/* The log: see log.h. */
#include "util/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "util/log_limit.h"
#include "util/log_writer.h"

static _Atomic int max_level = LOG_LEVEL_INFO;
static void (*sink_fn)(enum log_level, const char *, void *);
static void *sink_arg;
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static struct log_limit limit;

void log_set_level(enum log_level level)
{
	atomic_store(&max_level, (int)level);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load(&max_level);
}

void log_set_sink(void (*sink)(enum log_level, const char *, void *), void *arg)
{
	sink_fn = sink;
	sink_arg = arg;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec;
}

static void put(char *line, size_t size)
{
	size_t used = strnlen(line, size - 2);

	line[used] = '\n';
	log_writer_put(line, used + 1);
}

static void tell_missed(const struct log_kind *kind)
{
	char line[256];

	snprintf(line, sizeof(line), "uvdpa: %s%s%u more lines like \"%.120s\" were not shown",
		 kind->who, kind->who[0] ? ": " : "", kind->missed, kind->format);
	put(line, sizeof(line));
}

static void tell_all_missed(uint64_t at)
{
	struct log_kind kind;
	bool more = true;

	while (more) {
		pthread_mutex_lock(&limit_lock);
		more = log_limit_over(&limit, at, &kind);
		pthread_mutex_unlock(&limit_lock);
		if (more)
			tell_missed(&kind);
	}
}

static void tick(void)
{
	tell_all_missed(now());
}

void log_begin(void)
{
	log_writer_start(tick,
			 LOG_LIMIT_SECONDS); /* without a thread, lines are written as before */
}

void log_end(void)
{
	tell_all_missed(UINT64_MAX);
	log_writer_stop();
}

/* What the operator asked for (-v) is all shown. */
static bool is_one_too_many(enum log_level level, const char *who, const char *format)
{
	struct log_kind before;
	bool allowed;

	if (level == LOG_LEVEL_TRACE)
		return false;
	pthread_mutex_lock(&limit_lock);
	allowed = log_limit_allows(&limit, format, who, now(), &before);
	pthread_mutex_unlock(&limit_lock);
	if (before.missed)
		tell_missed(&before);
	return !allowed;
}

void log_line(enum log_level level, const char *who, const char *format, ...)
{
	static const char *const words[] = {"error: ", "warning: ", "", ""};
	char line[640];
	size_t used;
	va_list args;

	if ((int)level > atomic_load(&max_level))
		return;
	if (!sink_fn && is_one_too_many(level, who, format))
		return;
	snprintf(line, sizeof(line), "uvdpa: %s%s%s", who ? who : "", who ? ": " : "",
		 words[level]);
	used = strlen(line);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	if (sink_fn)
		sink_fn(level, line, sink_arg);
	else
		put(line, sizeof(line));
}
