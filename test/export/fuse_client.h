/* Clients of a server of the test's own: the target's export, and what several tests do. */
#ifndef UVDPA_TEST_FUSE_CLIENT_H
#define UVDPA_TEST_FUSE_CLIENT_H

#include "export/fuse_server.h"
#include "export/target.h"

extern struct fuse_server server; /* started and stopped by the test program */

/* A device's file, or -1 with errno. */
int open_device(const char *name, int flags);
/* Serves requests in TARGET_RAM bytes of the caller's. */
void use_memory(void *bytes);
/* Opens and closes the disk many times in a row; a cmocka test. */
void close_and_open(void **state);

#endif
