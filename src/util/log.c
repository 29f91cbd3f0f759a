/* The log: see log.h. */
#include "util/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static _Atomic int max_level = LOG_LEVEL_INFO;
static void (*sink_fn)(enum log_level, const char *, void *);
static void *sink_arg;

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

void log_line(enum log_level level, const char *who, const char *format, ...)
{
	static const char *const words[] = {"error: ", "warning: ", "", ""};
	char line[640];
	size_t used;
	va_list args;

	if ((int)level > atomic_load(&max_level))
		return;
	snprintf(line, sizeof(line), "uvdpa: %s%s%s", who ? who : "", who ? ": " : "", words[level]);
	used = strlen(line);
	va_start(args, format);
	vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	va_end(args);
	if (sink_fn) {
		sink_fn(level, line, sink_arg);
		return;
	}
	used = strlen(line);
	line[used] = '\n';
	if (write(STDERR_FILENO, line, used + 1) < 0)
		return; /* nobody left to tell */
}
