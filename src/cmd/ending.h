/* How a server is told to end, and what it does if that takes too long. */
#ifndef UVDPA_CMD_ENDING_H
#define UVDPA_CMD_ENDING_H

#include <stdbool.h>
#include <signal.h>

/* Before the first thread starts: from then on the signals that end a server wait to be taken. */
void ending_prepare(sigset_t *signals);

/*
 * Waits for the first of them and returns. Another one, or a minute, ends the process then at once,
 * with exit status 1: what is in flight is dropped, but `mountpoint` (NULL: nothing is mounted)
 * does not stay behind as a dead mount.
 */
void ending_wait(const sigset_t *signals, const char *mountpoint);

#endif
