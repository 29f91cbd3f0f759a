/*
 * The vhost-user export through the driver library: a disk is used, suspended, moved, reset,
 * resized, left and taken again.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/user.h"
#include "wire/vhost.h"

static void user_start(struct user *u, const char *path)
{
	struct uvdpa_error error = {0};

	memset(u, 0, sizeof(*u));
	must(uvdpa_driver_open(path, 0, &u->drv, &error), &error);
	user_begin(u, 1ull << VIRTIO_RING_F_EVENT_IDX, 65536);
}

static void write_and_read(struct user *u, unsigned sector, unsigned char mark)
{
	memset(u->data, mark, 4096);
	assert_int_equal(uvdpa_blk_write(u->blk, sector, u->data, 4096, 1), 0);
	assert_int_equal(uvdpa_blk_finish(u->blk, 1, 5000), 0);
	memset(u->data, 0, 4096);
	assert_int_equal(uvdpa_blk_read(u->blk, sector, u->data, 4096, 2), 0);
	assert_int_equal(uvdpa_blk_finish(u->blk, 2, 5000), 0);
	for (unsigned i = 0; i < 4096; i++)
		assert_int_equal(u->data[i], mark);
}

static void test_use(void **state)
{
	struct disk disk;
	struct user u;

	disk_open(&disk, &(struct disk_options){0});
	user_start(&u, disk.path);
	assert_int_equal(uvdpa_driver_device_id(u.drv), VIRTIO_ID_BLOCK);
	write_and_read(&u, 8, 0x5a);
	user_end(&u);
	disk_close(&disk);
}

/* S2, S8, S11 as far as a driver can see them: nothing moves while suspended, all of it afterwards.
 */
static void test_suspend_and_resume(void **state)
{
	struct uvdpa_blk_completion done;
	struct disk disk;
	struct user u;
	uint32_t base = 0;

	disk_open(&disk, &(struct disk_options){0});
	user_start(&u, disk.path);
	write_and_read(&u, 0, 1);
	assert_int_equal(uvdpa_driver_suspend(u.drv), 0);
	assert_int_equal(uvdpa_blk_read(u.blk, 0, u.data, 4096, 7), 0);
	assert_true(uvdpa_queue_submit(u.queue) >= 0);
	usleep(20000);
	assert_int_equal(uvdpa_blk_poll(u.blk, &done, 1), 0);
	assert_int_equal(uvdpa_get_vring_base(u.drv, 0, &base), 0);
	assert_int_equal(base, uvdpa_queue_base(u.queue));
	assert_int_equal(base, 2);
	assert_int_equal(uvdpa_driver_resume(u.drv), 0);
	assert_int_equal(uvdpa_blk_finish(u.blk, 7, 5000), 0);
	write_and_read(&u, 16, 2);
	user_end(&u);
	disk_close(&disk);
}

static void test_reset_and_again(void **state)
{
	struct uvdpa_error error = {0};
	struct disk disk;
	struct user u;
	uint64_t features;

	disk_open(&disk, &(struct disk_options){0});
	user_start(&u, disk.path);
	write_and_read(&u, 0, 3);
	for (unsigned i = 0; i < 5; i++) {
		must(uvdpa_driver_negotiate(u.drv, i & 1 ? 0 : 1ull << VIRTIO_RING_F_EVENT_IDX,
					    &features, &error),
		     &error);
		must(uvdpa_driver_map(u.drv, u.memory, 0, &error), &error);
		uvdpa_blk_free(u.blk);
		uvdpa_queue_free(u.queue);
		must(uvdpa_queue_new(
			     u.memory,
			     &(struct uvdpa_queue_options){.size = 32, .features = features},
			     &u.queue, &error),
		     &error);
		must(uvdpa_driver_attach(u.drv, 0, u.queue, 0, &error), &error);
		must(uvdpa_driver_start(u.drv, &error), &error);
		must(uvdpa_blk_new(u.memory, u.queue, 8, &u.blk, &error), &error);
		write_and_read(&u, 8 * i, (unsigned char)(0x10 + i));
	}
	user_end(&u);
	disk_close(&disk);
}

/* S12, with a request on its way that was announced to the first device only. */
static void test_move(void **state)
{
	char image[] = "/tmp/uvdpa-vu-image-XXXXXX";
	struct uvdpa_error error = {0};
	struct disk a, b;
	struct uvdpa_driver *other;
	struct user u;
	int fd = mkstemp(image);

	assert_true(fd >= 0 && ftruncate(fd, 16 << 20) == 0);
	disk_open(&a, &(struct disk_options){.file = image});
	disk_open(&b, &(struct disk_options){.file = image});
	user_start(&u, a.path);
	must(uvdpa_driver_open(b.path, 0, &other, &error), &error);
	for (unsigned i = 0; i < 20; i++) {
		struct uvdpa_driver *swap = u.drv;

		write_and_read(&u, 8 * i, (unsigned char)(0x40 + i));
		assert_int_equal(uvdpa_blk_read(u.blk, 8 * i, u.data, 4096, 9), 0);
		assert_true(uvdpa_queue_submit(u.queue) >= 0);
		must(uvdpa_handover(u.drv, other, 0, NULL, &error), &error);
		u.drv = other;
		other = swap;
		assert_int_equal(uvdpa_blk_finish(u.blk, 9, 5000), 0);
		assert_int_equal(u.data[4095], 0x40 + i);
	}
	uvdpa_driver_close(other);
	user_end(&u);
	disk_close(&a);
	disk_close(&b);
	close(fd);
	unlink(image);
}

static void test_one_at_a_time(void **state)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *second = NULL;
	struct disk disk;
	struct user u;

	disk_open(&disk, &(struct disk_options){0});
	for (unsigned i = 0; i < 3; i++) {
		user_start(&u, disk.path);
		assert_int_equal(uvdpa_driver_open(disk.path, 0, &second, &error), -EBUSY);
		assert_non_null(strstr(error.text, "busy"));
		write_and_read(&u, 0, 9);
		user_end(&u);
		for (unsigned k = 0; k < 2; k++) {
			must(uvdpa_driver_open(disk.path, 0, &second, &error), &error);
			uvdpa_driver_close(second);
		}
	}
	disk_close(&disk);
}

static void no_answer(void *arg, int result)
{
}

/* S14: an operator's hold beside the driver's, and S5: its resize is told after it. */
static void test_operator(void **state)
{
	struct uvdpa_blk_completion done;
	struct pollfd changed = {.fd = eventfd(0, 0), .events = POLLIN};
	struct device *device;
	struct error f = {0};
	struct disk disk;
	struct user u;
	uint64_t capacity = 0;

	disk_open(&disk, &(struct disk_options){0});
	user_start(&u, disk.path);
	assert_int_equal(uvdpa_set_config_call(u.drv, changed.fd), 0);
	device = runtime_lock(disk.runtime);
	device_suspend(device, HOLDER_OPERATOR, runtime_now_ms(), 0, no_answer, NULL);
	assert_int_equal(device_resize(device, 32 << 20, &f), 0);
	runtime_unlock(disk.runtime);
	assert_int_equal(uvdpa_blk_read(u.blk, 0, u.data, 4096, 3), 0);
	assert_true(uvdpa_queue_submit(u.queue) >= 0);
	assert_int_equal(poll(&changed, 1, 20), 0);
	assert_int_equal(uvdpa_blk_poll(u.blk, &done, 1), 0);
	assert_int_equal(uvdpa_get_config(u.drv, 0, &capacity, 8), 0);
	assert_int_equal(capacity, (16 << 20) / 512);
	device_resume(runtime_lock(disk.runtime), HOLDER_OPERATOR);
	runtime_unlock(disk.runtime);
	assert_int_equal(poll(&changed, 1, 5000), 1);
	assert_int_equal(uvdpa_get_config(u.drv, 0, &capacity, 8), 0);
	assert_int_equal(capacity, (32 << 20) / 512);
	assert_int_equal(uvdpa_blk_finish(u.blk, 3, 5000), 0);
	user_end(&u);
	close(changed.fd);
	disk_close(&disk);
}

/* A socket that somebody answers stays his; one of a dead process is replaced; a file is refused.
 */
static void test_socket_names(void **state)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct vhost_user_options options = {0};
	struct vhost_user *export = NULL;
	struct error f = {0};
	struct disk disk;
	char stale[100];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *file;

	disk_open(&disk, &(struct disk_options){0});
	options.path = disk.path;
	assert_int_equal(vhost_user_open(&options, disk.runtime, &export, &f), -EADDRINUSE);
	assert_non_null(strstr(f.text, "listens there"));
	snprintf(stale, sizeof(stale), "%s/stale", disk.dir);
	snprintf(at.sun_path, sizeof(at.sun_path), "%s", stale);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd);
	options.path = stale;
	assert_int_equal(vhost_user_open(&options, disk.runtime, &export, &f), 0);
	vhost_user_close(export);
	assert_int_equal(access(stale, F_OK), -1);
	file = fopen(stale, "we");
	fclose(file);
	assert_int_equal(vhost_user_open(&options, disk.runtime, &export, &f), -EEXIST);
	assert_int_equal(access(stale, F_OK), 0);
	unlink(stale);
	disk_close(&disk);
}

/* A client that goes at any kind leaves nothing behind. */
static void test_nothing_left(void **state)
{
	struct holdings before;
	struct disk disk;
	struct user u;

	disk_open(&disk, &(struct disk_options){.queues = 2});
	before = holdings_now();
	user_start(&u, disk.path);
	write_and_read(&u, 0, 1);
	user_end(&u);
	for (unsigned i = 0; i < 20; i++) {
		user_start(&u, disk.path);
		for (unsigned k = 0; k < i % 8; k++)
			assert_int_equal(uvdpa_blk_read(u.blk, k, u.data + 4096 * k, 4096, k), 0);
		assert_true(uvdpa_queue_submit(u.queue) >= 0);
		user_end(&u);
		usleep(20000);
	}
	assert_true(holdings_return_to(&before));
	disk_close(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use),
		cmocka_unit_test(test_suspend_and_resume),
		cmocka_unit_test(test_reset_and_again),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_operator),
		cmocka_unit_test(test_socket_names),
		cmocka_unit_test(test_nothing_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
