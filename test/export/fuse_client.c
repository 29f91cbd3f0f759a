/* Clients of a server of the test's own: see fuse_client.h. */
#include "export/fuse_client.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <cmocka.h>

struct fuse_server server;

int open_device(const char *name, int flags)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", server.mount, name);
	return open(path, flags | O_CLOEXEC);
}

static int export_open(const char *name, void **handle)
{
	int fd = open_device(name, O_RDWR);

	*handle = (void *)(intptr_t)fd;
	return fd < 0 ? -errno : 0;
}

static int client_ioctl(void *handle, unsigned long cmd, void *arg)
{
	int r = ioctl((int)(intptr_t)handle, cmd, arg);

	return r < 0 ? -errno : r;
}

static ssize_t client_write(void *handle, const void *bytes, size_t size)
{
	ssize_t r = write((int)(intptr_t)handle, bytes, size);

	return r < 0 ? -errno : r;
}

static void client_close(void *handle)
{
	close((int)(intptr_t)handle);
}

const struct target_export target_export = {.over_fuse = true,
					    .open = export_open,
					    .ioctl = client_ioctl,
					    .write = client_write,
					    .close = client_close};

/* Serves requests in memory of every kind; what is mapped and what is copied is our own affair. */
void use_memory(void *bytes)
{
	struct target *t;
	void *state;

	assert_int_equal(target_setup(&state, "disk"), 0);
	t = state;
	target_move_ram(t, bytes);
	t_up(t);
	for (unsigned i = 1; i <= 100; i++) {
		t_post(t, 0);
		t_kick(t, 0);
		assert_true(t_used(t, 0, i));
	}
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_get(t, VHOST_GET_VRING_BASE, 0), 100);
	target_teardown(&state);
}

/* The release of the one before is still on its way when the next one comes. */
void close_and_open(void **state)
{
	for (int i = 0; i < 3000; i++) {
		int fd = open_device("disk", O_RDWR);

		if (fd < 0)
			fail_msg("open %d: %s", i, strerror(errno));
		if (i % 3 == 0)
			assert_int_equal(ioctl(fd, VHOST_SET_OWNER), 0);
		close(fd);
	}
}
