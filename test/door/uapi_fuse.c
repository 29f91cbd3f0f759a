/* The uAPI's cases through files of a real mount. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

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

static int door_ioctl(void *handle, unsigned long cmd, void *arg)
{
	int r = ioctl((int)(intptr_t)handle, cmd, arg);

	return r < 0 ? -errno : r;
}

static ssize_t door_write(void *handle, const void *bytes, size_t size)
{
	ssize_t r = write((int)(intptr_t)handle, bytes, size);

	return r < 0 ? -errno : r;
}

static void door_close(void *handle)
{
	close((int)(intptr_t)handle);
}

const struct target_door target_door = {.over_fuse = true,
					.open = door_open,
					.ioctl = door_ioctl,
					.write = door_write,
					.close = door_close};

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
