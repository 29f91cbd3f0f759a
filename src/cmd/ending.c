/* How a server is told to end: see ending.h. */
#include "cmd/ending.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/verb.h"
#include "export/fuse/fuse.h"
#include "util/log.h"

/* Closing has deadlines of its own (suspend-timeout); this is for what should not happen. */
#define END_SECONDS 60

static struct {
	sigset_t signals;
	const char *mountpoint;
} hurry;

/* SIGHUP comes with the terminal's end. Whom nohup(1) started does not want to know. */
static bool is_ignored(int number)
{
	struct sigaction action;

	return !sigaction(number, NULL, &action) && action.sa_handler == SIG_IGN;
}

void ending_prepare(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	if (!is_ignored(SIGHUP))
		sigaddset(signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* What a process that ends in order gets to do in any case. */
static void *end_at_once(void *arg)
{
	const struct timespec minute = {.tv_sec = END_SECONDS};
	int number;

	do
		number = sigtimedwait(&hurry.signals, NULL, &minute);
	while (number < 0 && errno == EINTR);
	log_warning(NULL, "%s%s: ending at once, what is in flight is dropped",
		    number < 0 ? "it takes too long" : "SIG",
		    number < 0 ? "" : sigabbrev_np(number));
	if (hurry.mountpoint)
		fuse_mount_remove(hurry.mountpoint);
	log_end();
	_exit(EXIT_REFUSED);
	return arg;
}

void ending_wait(const sigset_t *signals, const char *mountpoint)
{
	pthread_t thread;
	int number;

	while (sigwait(signals, &number) != 0)
		;
	log_info(NULL, "SIG%s: stopping", sigabbrev_np(number));
	hurry.signals = *signals;
	hurry.mountpoint = mountpoint;
	if (!pthread_create(&thread, NULL, end_at_once, NULL))
		pthread_detach(thread);
	else
		alarm(END_SECONDS);
}
