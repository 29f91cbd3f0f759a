/*
 * The log: lines on stderr, "uvdpa: NAME: text", whole ones, so that threads do
 * not mix. Levels: errors and warnings always, info by default, trace (every
 * life-cycle step) with -v. Of each kind of line so many are shown, except of the
 * trace, and the others counted: util/log_limit.h.
 */
#ifndef UVDPA_UTIL_LOG_H
#define UVDPA_UTIL_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_TRACE };

/* Lines above this level are dropped. The default is LOG_LEVEL_INFO. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/*
 * For a server: from then on nobody who logs waits for whoever reads stderr; and the end, at which
 * lines that nobody takes are given up.
 */
void log_begin(void);
void log_end(void);

/* Tests and embedders may take the lines instead of stderr; NULL restores stderr. */
void log_set_sink(void (*sink)(enum log_level level, const char *line, void *arg), void *arg);

/* `who` is a device's name, or NULL for the process as a whole. */
void log_line(enum log_level level, const char *who, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(who, ...)   log_line(LOG_LEVEL_ERROR, who, __VA_ARGS__)
#define log_warning(who, ...) log_line(LOG_LEVEL_WARNING, who, __VA_ARGS__)
#define log_info(who, ...)    log_line(LOG_LEVEL_INFO, who, __VA_ARGS__)
#define log_trace(who, ...)   log_line(LOG_LEVEL_TRACE, who, __VA_ARGS__)

#endif
