/*
 * A network card behind the vhost-user export: what its protocol has besides a disk's, and that
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
#include "export/vhost_user/vhost_user.h"
#include "runtime/runtime.h"
#include "model/models.h"
#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/front.h"
#include "vhost_user/session.h"
#include "vhost_user/user.h"

#define BIT(n) (1ull << (n))
#define MTU    1500

struct card {
	struct runtime *runtime;
	struct vhost_user *export;
	char dir[64], path[96];
};

static void card_open(struct card *card)
{
	const struct runtime_options options = {.device = {.name = "card0",
							   .queue_size = SESSION_RING,
							   .asids = 1,
							   .park = true,
							   .suspend_timeout_ms = 60000}};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}, .mtu = MTU};
	struct vhost_user_options export = {0};
	struct packet *packet;
	struct model *model;
	struct error f;

	snprintf(card->dir, sizeof(card->dir), "/tmp/uvdpa-vu-card-XXXXXX");
	assert_non_null(mkdtemp(card->dir));
	snprintf(card->path, sizeof(card->path), "%s/s", card->dir);
	export.path = card->path;
	assert_int_equal(packet_loopback_open(1, &packet, &f), 0);
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &card->runtime, &f), 0);
	assert_int_equal(vhost_user_open(&export, card->runtime, &card->export, &f), 0);
}

static void card_close(struct card *card)
{
	vhost_user_close(card->export);
	runtime_free(card->runtime);
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
	assert_int_equal(uvdpa_driver_start(drv, &error), 0);
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

/* --- A card whose frames come back to it, as a front end of QEMU's kind has it ---------------- */

#define BUFFER	    2048
#define PATIENCE_MS 60000

struct bench {
	struct card card;
	struct session s; /* has the receive ring */
	struct uvdpa_queue *tx;
	uint8_t *buffers; /* 8 to receive, and one to send */
};

static void enable(const struct bench *b, unsigned ring, unsigned on)
{
	struct vhost_vring_state state = {.index = ring, .num = on};

	assert_int_equal(
		front_ack(b->s.fd, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0), 0);
}

static void add(const struct bench *b, struct uvdpa_queue *queue, unsigned buffer, uint32_t size)
{
	struct uvdpa_segment segment = {
		.iova = uvdpa_memory_iova(b->s.memory, b->buffers + BUFFER * buffer),
		.len = size,
		.writable = queue != b->tx};

	assert_true(uvdpa_queue_add(queue, &segment, 1, 0, buffer) >= 0);
	assert_true(uvdpa_queue_submit(queue) >= 0);
}

static void bench_begin(struct bench *b)
{
	const struct uvdpa_queue_options ring = {.size = SESSION_RING};
	struct uvdpa_error error;

	memset(b, 0, sizeof(*b));
	card_open(&b->card);
	session_init(&b->s, 1 << 20);
	b->s.features = BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	session_start(&b->s, b->card.path, 0);
	must(uvdpa_queue_new(b->s.memory, &ring, &b->tx, &error), &error);
	session_start_ring(b->s.fd, 1, b->tx, 0);
	b->buffers = uvdpa_memory_alloc(b->s.memory, 9 * BUFFER, BUFFER);
	assert_non_null(b->buffers);
	for (unsigned i = 0; i < 8; i++)
		add(b, b->s.queue, i, BUFFER);
}

static void bench_end(struct bench *b)
{
	session_hang_up(&b->s);
	uvdpa_queue_free(b->tx);
	session_free(&b->s);
	card_close(&b->card);
}

/* A broadcast with this number in it. */
static void post_frame(const struct bench *b, uint8_t number)
{
	uint8_t *frame = b->buffers + 8 * BUFFER + 12;

	memset(frame - 12, 0, 12 + 60);
	memset(frame, 0xff, 6);
	frame[6] = 2;
	frame[59] = number;
	add(b, b->tx, 8, 12 + 60);
}

static void is_done(struct uvdpa_queue *queue, struct uvdpa_completion *done)
{
	assert_int_equal(uvdpa_queue_wait(queue, PATIENCE_MS), 1);
	assert_int_equal(uvdpa_queue_poll(queue, done, 1), 1);
}

/* The next frame that comes back. */
static const uint8_t *next_frame(const struct bench *b)
{
	struct uvdpa_completion done;

	is_done(b->s.queue, &done);
	assert_int_equal(done.written, 12 + 60);
	return b->buffers + BUFFER * done.cookie + 12;
}

/* "Ring states": frames are taken and thrown away once their ring was disabled, not before. */
static void disabled_send_ring(void **state)
{
	const struct uvdpa_queue_options ring = {.size = SESSION_RING};
	struct uvdpa_completion done;
	struct uvdpa_error error;
	struct bench b;

	bench_begin(&b);
	post_frame(&b, 1);
	/* started, and never enabled: a guest that goes on loses nothing */
	assert_int_equal(uvdpa_queue_wait(b.tx, 100), 0);
	enable(&b, 1, 1);
	is_done(b.tx, &done);
	assert_int_equal(next_frame(&b)[59], 1);
	for (unsigned i = 0; i < 3; i++) {
		enable(&b, 1, 0);
		post_frame(&b, 2);
		is_done(b.tx, &done);
		enable(&b, 1, 1);
		post_frame(&b, 3);
		is_done(b.tx, &done);
		assert_int_equal(next_frame(&b)[59], 3);
	}
	/* a reset forgets that, too */
	enable(&b, 1, 0);
	assert_int_equal(front_ack(b.s.fd, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	session_send_features(&b.s, BIT(VIRTIO_F_VERSION_1));
	uvdpa_queue_free(b.tx);
	must(uvdpa_queue_new(b.s.memory, &ring, &b.tx, &error), &error);
	session_start_ring(b.s.fd, 1, b.tx, 0);
	session_start_ring(b.s.fd, 0, b.s.queue, uvdpa_queue_base(b.s.queue));
	post_frame(&b, 4);
	is_done(b.tx, &done);
	assert_int_equal(next_frame(&b)[59], 4);
	bench_end(&b);
}

static int64_t send_rarp(int fd, const uint8_t mac[6])
{
	uint8_t payload[8] = {0};

	memcpy(payload, mac, 6);
	return front_ack(fd, VHOST_USER_SEND_RARP, payload, sizeof(payload), NULL, 0);
}

/* QEMU's announce_self: the frame waits for the send ring to run. */
static void rarp(void **state)
{
	static const uint8_t mac[6] = {0x52, 0x54, 0, 0xab, 0xcd, 0xef}, none[6], many[6] = {1};
	const uint8_t *frame;
	struct bench b;

	bench_begin(&b);
	assert_int_equal(send_rarp(b.s.fd, none), EINVAL);
	assert_int_equal(send_rarp(b.s.fd, many), EINVAL);
	assert_int_equal(send_rarp(b.s.fd, mac), 0);
	enable(&b, 1, 1);
	for (unsigned i = 0; i < 2; i++) {
		frame = next_frame(&b);
		assert_memory_equal(frame, "\xff\xff\xff\xff\xff\xff", 6);
		assert_memory_equal(frame + 6, mac, 6);
		assert_memory_equal(frame + 12, "\x80\x35", 2);
		assert_memory_equal(frame + 22, mac, 6);
		assert_memory_equal(frame + 32, mac, 6);
		assert_int_equal(send_rarp(b.s.fd, mac), 0);
	}
	bench_end(&b);
}

/* What each kind of device offers: a card's config space is its front end's. */
static void protocol_of_each_kind(void **state)
{
	const uint64_t cards = BIT(VHOST_USER_PROTOCOL_F_NET_MTU) | BIT(VHOST_USER_PROTOCOL_F_RARP);
	const uint64_t config = BIT(VHOST_USER_PROTOCOL_F_CONFIG);
	const uint8_t mac[6] = {2};
	union vhost_user_payload ask = {.config = {.size = 6}};
	struct front_message answer;
	uint64_t protocol = 0;
	struct card card;
	struct disk disk;
	int fd;

	card_open(&card);
	fd = front_connect(card.path);
	front_greet(fd, &protocol);
	assert_int_equal(protocol & (cards | config), cards);
	/* and whoever asks for it all the same is answered */
	assert_int_equal(
		front_ask(fd, VHOST_USER_GET_CONFIG, &ask, VHOST_USER_CONFIG_HEADER + 6, &answer),
		0);
	assert_int_equal(answer.size, VHOST_USER_CONFIG_HEADER + 6);
	assert_memory_not_equal(answer.payload.config.bytes, (uint8_t[6]){0}, 6);
	close(fd);
	card_close(&card);
	disk_open(&disk, &(struct disk_options){0});
	fd = front_connect(disk.path);
	front_greet(fd, &protocol);
	assert_int_equal(protocol & (cards | config), config);
	assert_int_equal(send_rarp(fd, mac), -1);
	close(fd);
	disk_close(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mtu),
		cmocka_unit_test(stops_at_once),
		cmocka_unit_test(disabled_send_ring),
		cmocka_unit_test(rarp),
		cmocka_unit_test(protocol_of_each_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
