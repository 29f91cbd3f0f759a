/*
 * Where the lines of the log go: to stderr, at once, or, once there is a writer, by a thread of its
 * own. stderr may be a pipe that nobody reads; whoever has something to say does not wait for it.
 * What finds no room meanwhile is lost, and counted.
 */
#ifndef UVDPA_UTIL_LOG_WRITER_H
#define UVDPA_UTIL_LOG_WRITER_H

#include <stddef.h>

#define LOG_WRITER_BYTES (256u * 1024) /* of lines that wait */

/* Starts the thread, which calls `tick` every `seconds` (or oftener). 0 or a negative errno. */
int log_writer_start(void (*tick)(void), unsigned seconds);

/* Ends it. What waits is written, unless nobody takes any of it for some seconds. */
void log_writer_stop(void);

/* One line, with its end. Any thread. */
void log_writer_put(const char *line, size_t size);

#endif
