/* A vhost-vdpa file as target.h's handle: the descriptor itself. */
#ifndef UVDPA_TEST_CLIENT_H
#define UVDPA_TEST_CLIENT_H

#include <errno.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

static inline int client_ioctl(void *handle, unsigned long cmd, void *arg)
{
	int r = ioctl((int)(intptr_t)handle, cmd, arg);

	return r < 0 ? -errno : r;
}

static inline ssize_t client_write(void *handle, const void *bytes, size_t size)
{
	ssize_t r = write((int)(intptr_t)handle, bytes, size);

	return r < 0 ? -errno : r;
}

static inline void client_close(void *handle)
{
	close((int)(intptr_t)handle);
}

#endif
