/* The transport over a vhost-vdpa file: the kernel's node, or a regular file in uvdpa's file
 * system. */
#include "driver/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/error.h"

static int fd_of(void *ctx)
{
	return (int)(intptr_t)ctx;
}

static int file_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	int r = ioctl(fd_of(ctx), cmd, arg);

	return r < 0 ? -errno : r;
}

static ssize_t file_write(void *ctx, const void *buf, size_t len)
{
	ssize_t n = write(fd_of(ctx), buf, len);

	return n < 0 ? -errno : n;
}

static void file_close(void *ctx)
{
	close(fd_of(ctx));
}

static const struct uvdpa_transport file_transport = {file_ioctl, file_write, file_close};

int drv_file_open(const char *path, bool read_only, const struct uvdpa_transport **ops, void **ctx,
		  struct uvdpa_error *error)
{
	int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int r = -errno;

	if (fd < 0 && r == -EBUSY)
		return drv_error(error, r,
				 "%s: busy: the device has one user at a time, and has one now",
				 path);
	if (fd < 0)
		return drv_error(error, r, "%s: cannot open it: %s", path, strerror(-r));
	*ops = &file_transport;
	*ctx = (void *)(intptr_t)fd;
	return 0;
}
