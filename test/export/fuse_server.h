/* A serving process for tests: all test devices as files of a mount, below a folder of its own. */
#ifndef UVDPA_TEST_FUSE_SERVER_H
#define UVDPA_TEST_FUSE_SERVER_H

#include <sys/types.h>

struct fuse_server {
	pid_t pid;
	char dir[64];	/* temporary */
	char mount[80]; /* DIR/vdpa */
	int stop;	/* closing it stops the server */
};

/* Exits with 77 and the reason where FUSE is not to be had. */
void fuse_server_start(struct fuse_server *server);
/* Returns the server's exit status. */
int fuse_server_stop(struct fuse_server *server);
/* What the server has: descriptors, mappings, threads. */
struct fuse_server_holds {
	unsigned fds, maps, threads;
};
struct fuse_server_holds fuse_server_holds(const struct fuse_server *server);

#endif
