/*
 * A network card behind the vhost-user door: what its protocol has besides a disk's, and that
 * stopping its rings hands nothing over, since a card has no request in flight that could be
 * (buffers that wait for frames are not taken).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "door/vhost_user.h"
#include "host/runner.h"
#include "model/models.h"
#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/front.h"
#include "vhost_user/user.h"

#define BIT(n) (1ull << (n))
#define MTU    1500

struct card {
	struct runner *runner;
	struct vhost_user *door;
	char dir[64], path[96];
};

static void card_open(struct card *card)
{
	const struct runner_options options = {.device = {.name = "card0",
							  .queue_size = 64,
							  .asids = 1,
							  .park = true,
							  .suspend_timeout_ms = 60000}};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}, .mtu = MTU};
	struct vhost_user_options door = {0};
	struct packet *packet;
	struct model *model;
	struct fault f;

	snprintf(card->dir, sizeof(card->dir), "/tmp/uvdpa-vu-card-XXXXXX");
	assert_non_null(mkdtemp(card->dir));
	snprintf(card->path, sizeof(card->path), "%s/s", card->dir);
	door.path = card->path;
	assert_int_equal(packet_loopback_open(1, &packet, &f), 0);
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runner_new(&options, model, &card->runner, &f), 0);
	assert_int_equal(vhost_user_open(&door, card->runner, &card->door, &f), 0);
}

static void card_close(struct card *card)
{
	vhost_user_close(card->door);
	runner_free(card->runner);
	rmdir(card->dir);
}

static int64_t set_mtu(int fd, uint64_t mtu)
{
	return front_ack(fd, VHOST_USER_NET_SET_MTU, &mtu, sizeof(mtu), NULL, 0);
}

static void mtu(void **state)
{
	uint64_t protocol = 0;
	struct card card;
	struct disk disk;
	int fd;

	card_open(&card);
	fd = front_connect(card.path);
	front_greet(fd, &protocol);
	assert_true(protocol & BIT(VHOST_USER_PROTOCOL_F_NET_MTU));
	assert_int_equal(set_mtu(fd, MTU), 0);
	assert_int_equal(set_mtu(fd, 68), 0);
	assert_int_equal(set_mtu(fd, 67), EINVAL);
	assert_int_equal(set_mtu(fd, MTU + 1), EINVAL);
	assert_int_equal(set_mtu(fd, UINT64_MAX), EINVAL);
	close(fd);
	card_close(&card);
	disk_open(&disk, &(struct disk_options){0});
	fd = front_connect(disk.path);
	front_greet(fd, &protocol);
	assert_false(protocol & BIT(VHOST_USER_PROTOCOL_F_NET_MTU));
	assert_int_equal(set_mtu(fd, MTU), -1); /* not of a disk: it hangs up */
	close(fd);
	disk_close(&disk);
}

/* Receive buffers are there and no frame: the rings stop at once, though the backend has a minute.
 */
static void stops_at_once(void **state)
{
	struct uvdpa_error error = {0};
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[2];
	struct uvdpa_segment segment = {.len = 2048, .writable = 1};
	struct uvdpa_driver *drv;
	struct card card;
	uint64_t features = 0;
	uint32_t bases[2] = {7, 7};
	uint8_t *buffers;

	card_open(&card);
	assert_int_equal(uvdpa_driver_open(card.path, 0, &drv, &error), 0);
	assert_int_equal(uvdpa_driver_negotiate(drv, BIT(VIRTIO_F_VERSION_1), &features, &error),
			 0);
	assert_int_equal(
		uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, &memory, &error),
		0);
	assert_int_equal(uvdpa_driver_map(drv, memory, 0, &error), 0);
	for (unsigned q = 0; q < 2; q++) {
		const struct uvdpa_queue_options options = {.size = 64, .features = features};

		assert_int_equal(uvdpa_queue_new(memory, &options, &queues[q], &error), 0);
		assert_int_equal(uvdpa_driver_attach(drv, q, queues[q], 0, &error), 0);
	}
	assert_int_equal(uvdpa_driver_driver_ok(drv, &error), 0);
	buffers = uvdpa_memory_alloc(memory, 16 * 2048, 4096);
	assert_non_null(buffers);
	for (unsigned i = 0; i < 16; i++) {
		segment.iova = uvdpa_memory_iova(memory, buffers + 2048 * i);
		assert_true(uvdpa_queue_add(queues[0], &segment, 1, 0, i) >= 0);
	}
	assert_true(uvdpa_queue_submit(queues[0]) >= 0);
	assert_int_equal(uvdpa_driver_suspend(drv), 0);
	assert_int_equal(uvdpa_driver_get_bases(drv, bases, 2), 0);
	assert_int_equal(bases[0] + bases[1], 0);
	uvdpa_driver_close(drv);
	for (unsigned q = 0; q < 2; q++)
		uvdpa_queue_free(queues[q]);
	uvdpa_memory_free(memory);
	card_close(&card);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mtu),
		cmocka_unit_test(stops_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
