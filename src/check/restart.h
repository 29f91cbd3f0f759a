/*
 * Servers that end with each connection (passt, virtiofsd), or that a case has ended: --restart
 * COMMAND is run whenever nobody listens at the socket, whose path it finds in $SOCKET.
 *
 * The runner is the reaper of what it started (PR_SET_CHILD_SUBREAPER), so that it hears of a
 * server that a signal has ended.
 */
#ifndef UVDPA_CHECK_RESTART_H
#define UVDPA_CHECK_RESTART_H

#include <stdbool.h>

#include <sys/types.h>

struct check;

#define SERVERS_KEPT 8

/* The last that were started; in memory that all processes of a run share. */
struct servers {
	pid_t pids[SERVERS_KEPT]; /* 0: none */
	unsigned count;
};

/* Runs the command, and does not wait for it. */
bool restart_server(struct check *c, const char *socket);
/* Collects servers that have ended. The signal that ended one of them, or 0. */
int restart_reap(const struct servers *servers);
/* Ends those that still run. */
void restart_end(const struct servers *servers);

#endif
