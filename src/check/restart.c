/* Starting a server again: see restart.h. */
#include "check/restart.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/options.h"
#include "check/verdict.h"

bool restart_server(struct check *c, const char *socket)
{
	pid_t pid = fork();

	if (pid == 0) {
		/* a session of its own: it outlives the case that needed it */
		setsid();
		signal(SIGPIPE, SIG_DFL);
		setenv("SOCKET", socket, 1);
		execl("/bin/sh", "sh", "-c", c->options->restart, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		c->servers->pids[c->servers->count++ % SERVERS_KEPT] = pid;
	return pid > 0;
}

int restart_reap(const struct servers *servers)
{
	int status, killed = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		bool ours = false;

		for (unsigned i = 0; i < SERVERS_KEPT; i++)
			ours |= servers->pids[i] == pid;
		if (ours && WIFSIGNALED(status))
			killed = WTERMSIG(status);
		if (ours && WIFEXITED(status) && WEXITSTATUS(status) > 128)
			killed = WEXITSTATUS(status) - 128; /* as a shell says it */
	}
	return killed;
}

void restart_end(const struct servers *servers)
{
	for (unsigned i = 0; i < SERVERS_KEPT; i++)
		if (servers->pids[i] > 0)
			kill(-servers->pids[i], SIGTERM);
}
