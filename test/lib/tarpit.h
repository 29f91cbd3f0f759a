/*
 * A FUSE file system that lets its one file be opened once, and then answers nothing any more about
 * it: no read, no second open, no question, not even that it is closed.
 */
#ifndef UVDPA_TEST_TARPIT_H
#define UVDPA_TEST_TARPIT_H

#include <stdbool.h>
#include <sys/types.h>

#define TARPIT_SIZE (1 << 20)

struct tarpit {
	char dir[32];
	pid_t pid;
	int file; /* the one, open for reading and writing */
};

/* False: no such file system can be mounted here. */
bool tarpit_open(struct tarpit *tarpit);
void tarpit_close(struct tarpit *tarpit);

#endif
