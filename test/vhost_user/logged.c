/* What the server said in its log: see logged.h. */
#include "vhost_user/logged.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"

#define PATIENCE_MS 60000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char text[65536]; /* lines, each with its end; what does not fit is lost */
static size_t used;

static void take(enum log_level level, const char *line, void *arg)
{
	size_t length = strlen(line);

	pthread_mutex_lock(&lock);
	if (level < LOG_LEVEL_TRACE && used + length + 2 <= sizeof(text)) {
		memcpy(text + used, line, length);
		used += length;
		text[used++] = '\n';
		text[used] = '\0';
	}
	pthread_mutex_unlock(&lock);
}

void logged_begin(void)
{
	logged_forget();
	log_set_sink(take, NULL);
}

void logged_forget(void)
{
	pthread_mutex_lock(&lock);
	used = 0;
	text[0] = '\0';
	pthread_mutex_unlock(&lock);
}

bool logged(const char *what)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = strstr(text, what) != NULL;
	pthread_mutex_unlock(&lock);
	return found;
}

bool logged_soon(const char *what)
{
	for (unsigned i = 0; i < PATIENCE_MS && !logged(what); i++)
		usleep(1000);
	return logged(what);
}

void logged_print(void)
{
	pthread_mutex_lock(&lock);
	fputs(text, stderr);
	pthread_mutex_unlock(&lock);
}
