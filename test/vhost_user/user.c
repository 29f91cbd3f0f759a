/* Somebody who uses a disk: see user.h. */
#include "vhost_user/user.h"

#include <linux/virtio_config.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MEMORY (4 << 20)

void must(int r, const struct uvdpa_error *error)
{
	if (r < 0)
		print_message("%s\n", error->text);
	assert_true(r >= 0);
}

void user_begin(struct user *u, uint64_t features, size_t data)
{
	struct uvdpa_error e = {0};

	must(uvdpa_driver_negotiate(u->drv, features, &features, &e), &e);
	must(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = MEMORY}, &u->memory, &e), &e);
	must(uvdpa_driver_map(u->drv, u->memory, 0, &e), &e);
	must(uvdpa_queue_new(u->memory,
			     &(struct uvdpa_queue_options){.size = 64, .features = features},
			     &u->queue, &e),
	     &e);
	must(uvdpa_driver_attach(u->drv, 0, u->queue, uvdpa_queue_base(u->queue), &e), &e);
	must(uvdpa_driver_start(u->drv, &e), &e);
	must(uvdpa_blk_new(u->memory, u->queue, 16, &u->blk, &e), &e);
	u->data = uvdpa_memory_alloc(u->memory, data, 4096);
	assert_non_null(u->data);
}

void user_end(struct user *u)
{
	uvdpa_driver_close(u->drv);
	uvdpa_blk_free(u->blk);
	uvdpa_queue_free(u->queue);
	uvdpa_memory_free(u->memory);
}

void two_queues(struct uvdpa_driver *drv, struct uvdpa_memory **memory,
		struct uvdpa_queue *queues[2])
{
	struct uvdpa_error e = {0};
	uint64_t features = 0;

	must(uvdpa_driver_negotiate(drv, 1ull << VIRTIO_F_VERSION_1, &features, &e), &e);
	must(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, memory, &e), &e);
	must(uvdpa_driver_map(drv, *memory, 0, &e), &e);
	for (unsigned q = 0; q < 2; q++) {
		const struct uvdpa_queue_options options = {.size = 64, .features = features};

		must(uvdpa_queue_new(*memory, &options, &queues[q], &e), &e);
		must(uvdpa_driver_attach(drv, q, queues[q], 0, &e), &e);
	}
}

void server_end(pid_t pid, const char *dir)
{
	char path[160];

	if (pid <= 0)
		return;
	kill(pid, SIGTERM);
	waitpid(pid, NULL, 0);
	snprintf(path, sizeof(path), "%s/lock", dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/vdpa", dir);
	rmdir(path);
	rmdir(dir);
}
