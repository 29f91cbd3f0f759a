/* The uAPI's cases through files of a real mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "door/client.h"
#include "door/fuse_server.h"
#include "door/target.h"

static struct fuse_server server;

static int door_open(const char *name, void **handle)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", server.mount, name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	*handle = (void *)(intptr_t)fd;
	return fd < 0 ? -errno : 0;
}

const struct target_door target_door = {.over_fuse = true,
					.open = door_open,
					.ioctl = client_ioctl,
					.write = client_write,
					.close = client_close};

int main(void)
{
	int failed;

	fuse_server_start(&server);
	failed = cases_calls() + cases_iotlb() + cases_suspend();
	if (fuse_server_stop(&server)) {
		fprintf(stderr, "the server did not end well\n");
		failed++;
	}
	return failed ? 1 : 0;
}
