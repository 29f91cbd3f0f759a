/* For tests of the vhost-user export: somebody who uses a disk, by way of the driver library. */
#ifndef TEST_VHOST_USER_USER_H
#define TEST_VHOST_USER_USER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "uvdpa/driver.h"

struct user {
	struct uvdpa_driver *drv; /* open already */
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct uvdpa_blk *blk;
	unsigned char *data;
};

/* Prints why something failed, and fails. */
void must(int r, const struct uvdpa_error *error);

/* One queue of 64 with `features`, up to DRIVER_OK; `data` has so many bytes. */
void user_begin(struct user *u, uint64_t features, size_t data);
void user_end(struct user *u);

/* Queues 0 and 1, of 64 entries each, in a memory of 1 MiB. DRIVER_OK is left to the caller. */
void two_queues(struct uvdpa_driver *drv, struct uvdpa_memory **memory,
		struct uvdpa_queue *queues[2]);

/* Ends an `uvdpa serve --dir DIR` and removes what it leaves there, and DIR. pid <= 0: nothing. */
void server_end(pid_t pid, const char *dir);

#endif
