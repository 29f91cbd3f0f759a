/*
 * Network cards for tests of runtime/: all real but the export, each with a driver that numbers its
 * frames. Needs cmocka's headers before it.
 */
#ifndef UVDPA_TEST_CARD_SUPPORT_H
#define UVDPA_TEST_CARD_SUPPORT_H

#include <string.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"
#include "model/models.h"
#include "model/net.h"
#include "util/bytes.h"
#include "wire/net.h"

#define MOST_PAIRS 2
#define RING	   64
#define BUFFER	   1024u
#define PATIENCE   60000 /* ms; only a hang takes so long */
#define NUMBER_AT  (NET_HDR_SIZE + ETH_HLEN)

/* A card and its driver. */
struct card {
	struct runtime *runtime;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[2 * MOST_PAIRS + 1];
	unsigned pairs, next_tx, next_rx;
	uint8_t *tx, *rx[MOST_PAIRS], *command;
	uint32_t expected; /* the next frame's number */
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl,
	.write = inprocess_write,
	.close = inprocess_close,
};

static const char *shared; /* the worker of all cards, of the tests from here on; or NULL */

static inline void open_card(struct card *card, struct packet *packet, unsigned workers,
			     bool packed)
{
	const struct runtime_options options = {
		.device = {.name = "n",
			   .queue_size = RING,
			   .asids = 2,
			   .packed = packed,
			   .suspend_timeout_ms = 10000},
		.workers = workers,
		.worker = shared,
	};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}};
	struct model *model;
	struct error f;

	memset(card, 0, sizeof(*card));
	card->pairs = packet->pairs;
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &card->runtime, &f), 0);
}

static inline void start_driver(struct card *card)
{
	const struct uvdpa_memory_options memory = {.size = 4 << 20};
	struct uvdpa_queue_options queue = {.size = RING};
	struct inprocess *export;
	struct uvdpa_error e;
	struct error f;

	assert_int_equal(inprocess_open(card->runtime, &(struct inprocess_options){0}, &export, &f),
			 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, export, "n", 0, &card->drv, &e),
			 0);
	assert_int_equal(uvdpa_driver_negotiate(card->drv, UINT64_MAX, &queue.features, &e), 0);
	assert_int_equal(uvdpa_memory_new(&memory, &card->memory, &e), 0);
	assert_int_equal(uvdpa_driver_map(card->drv, card->memory, 0, &e), 0);
	for (unsigned i = 0; i < 2 * card->pairs + 1; i++) {
		assert_int_equal(uvdpa_queue_new(card->memory, &queue, &card->queues[i], &e), 0);
		assert_int_equal(uvdpa_driver_attach(card->drv, i, card->queues[i],
						     uvdpa_queue_base(card->queues[i]), &e),
				 0);
	}
	assert_int_equal(uvdpa_driver_start(card->drv, &e), 0);
	card->tx = uvdpa_memory_alloc(card->memory, (size_t)RING * 4096, 64);
	card->command = uvdpa_memory_alloc(card->memory, 64, 64);
	assert_true(card->tx && card->command);
	for (unsigned i = 0; i < card->pairs; i++) {
		card->rx[i] = uvdpa_memory_alloc(card->memory, (size_t)RING * BUFFER, 64);
		assert_non_null(card->rx[i]);
	}
	card->next_tx = card->next_rx = 0;
}

static inline void stop_driver(struct card *card)
{
	uvdpa_driver_close(card->drv);
	for (unsigned i = 0; i < 2 * card->pairs + 1; i++)
		uvdpa_queue_free(card->queues[i]);
	uvdpa_memory_free(card->memory);
}

static inline void add(struct card *card, unsigned queue, uint8_t *bytes, uint32_t size,
		       bool writable, uint64_t cookie)
{
	const struct uvdpa_segment segment = {uvdpa_memory_iova(card->memory, bytes), size,
					      writable};

	assert_true(uvdpa_queue_add(card->queues[queue], &segment, 1, 0, cookie) >= 0);
	assert_true(uvdpa_queue_submit(card->queues[queue]) >= 0);
}

/* Waits for a queue to have something. */
static inline struct uvdpa_completion await(struct card *card, unsigned queue)
{
	struct uvdpa_completion done = {0};
	int n;

	while (!(n = uvdpa_queue_poll(card->queues[queue], &done, 1)))
		assert_true(uvdpa_queue_wait(card->queues[queue], PATIENCE) > 0);
	assert_int_equal(n, 1);
	return done;
}

static inline void post_buffers(struct card *card, unsigned pair, unsigned count)
{
	for (; count; count--, card->next_rx++) {
		unsigned slot = card->next_rx % RING;

		add(card, 2 * pair, card->rx[pair] + (size_t)slot * BUFFER, BUFFER, true, slot);
	}
}

/* A frame with a number; not shown yet. */
static inline void add_frame(struct card *card, unsigned pair, uint32_t number, uint32_t size)
{
	uint8_t *frame = card->tx + (size_t)(card->next_tx++ % RING) * 4096;
	struct uvdpa_segment segment = {uvdpa_memory_iova(card->memory, frame), size, false};

	assert_true(size >= NUMBER_AT + 4 && size <= 4096);
	memset(frame, 0, NET_HDR_SIZE);
	memset(frame + NET_HDR_SIZE, (int)number & 0xff, size - NET_HDR_SIZE);
	frame[NET_HDR_SIZE] = 0x52;
	store_le32(frame + NUMBER_AT, number);
	assert_true(uvdpa_queue_add(card->queues[2 * pair + 1], &segment, 1, 0, number) >= 0);
}

/* Shown, and not awaited. */
static inline void send(struct card *card, unsigned pair, uint32_t number, uint32_t size)
{
	add_frame(card, pair, number, size);
	assert_true(uvdpa_queue_submit(card->queues[2 * pair + 1]) >= 0);
}

static inline void send_and_await(struct card *card, unsigned pair, uint32_t number, uint32_t size)
{
	send(card, pair, number, size);
	assert_int_equal(await(card, 2 * pair + 1).cookie, number);
}

/* The frame that starts in this buffer; the ones it goes on in are awaited. */
static inline void check_frame(struct card *card, unsigned pair, struct uvdpa_completion done,
			       uint32_t number, uint32_t size)
{
	const uint8_t *at = card->rx[pair] + done.cookie * BUFFER;
	unsigned buffers = load_le16(at + NET_HDR_BUFFERS);
	uint32_t sum = done.written;

	assert_int_equal(load_le32(at + NUMBER_AT), number);
	assert_int_equal(buffers, (size + BUFFER - 1) / BUFFER);
	while (--buffers) {
		done = await(card, 2 * pair);
		sum += done.written;
		at = card->rx[pair] + done.cookie * BUFFER;
	}
	assert_int_equal(sum, size);
	assert_int_equal(at[done.written - 1], number & 0xff);
}

static inline void expect_frame(struct card *card, unsigned pair, uint32_t number, uint32_t size)
{
	check_frame(card, pair, await(card, 2 * pair), number, size);
}

static inline struct net_stats stats(struct card *card, unsigned queue)
{
	struct net_stats s;

	assert_true(net_get_stats(device_model(runtime_lock(card->runtime)), queue, &s));
	runtime_unlock(card->runtime);
	return s;
}

static inline void run_command(struct card *card, const uint8_t *bytes, uint32_t size)
{
	unsigned queue = 2 * card->pairs;
	struct uvdpa_segment segments[2];

	memcpy(card->command, bytes, size);
	card->command[size] = 0xee;
	segments[0] =
		(struct uvdpa_segment){uvdpa_memory_iova(card->memory, card->command), size, 0};
	segments[1] =
		(struct uvdpa_segment){uvdpa_memory_iova(card->memory, card->command + size), 1, 1};
	assert_true(uvdpa_queue_add(card->queues[queue], segments, 2, 0, 1) >= 0);
	assert_true(uvdpa_queue_submit(card->queues[queue]) >= 0);
	await(card, queue);
	assert_int_equal(card->command[size], VIRTIO_NET_OK);
}

#endif
