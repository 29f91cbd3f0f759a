/*
 * runtime/: a network card with a loopback cable: frames go from its send ring straight to its
 * receive ring, copied once, in one visit per batch; through the cable only where there are no
 * buffers or somebody else has the receive queue. Nothing is lost, doubled or overtaken either way.
 */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "card_support.h"

#define RX 0
#define TX 1

static void set_up(struct card *card, unsigned workers, bool packed)
{
	struct packet *packet;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	open_card(card, packet, workers, packed);
	start_driver(card);
}

static void tear_down(struct card *card)
{
	stop_driver(card);
	runtime_free(card->runtime);
}

/* Frames with the numbers from `first` on, in one submission. */
static void send_batch(struct card *card, uint32_t first, unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		add_frame(card, 0, first + i, size);
	assert_true(uvdpa_queue_submit(card->queues[TX]) >= 0);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(await(card, TX).cookie, first + i);
}

static void nothing_delivered(struct card *card)
{
	struct uvdpa_completion done;

	assert_int_equal(uvdpa_queue_poll(card->queues[RX], &done, 1), 0);
}

/* The worker of both queues never finds the other one taken: each frame is copied once. */
static void straight(void **state)
{
	static const uint32_t sizes[] = {NUMBER_AT + 5, 72, 1024, 1025, 2048, 3000, 4096};

	for (unsigned packed = 0; packed < 2; packed++) {
		uint32_t number = 0;
		struct card card;

		set_up(&card, 1, packed);
		post_buffers(&card, 0, RING);
		for (unsigned i = 0; i < 7; i++, number += 10) {
			send_batch(&card, number, 10, sizes[i]);
			for (unsigned k = 0; k < 10; k++)
				expect_frame(&card, 0, number + k, sizes[i]);
			post_buffers(&card, 0, 10 * ((sizes[i] + BUFFER - 1) / BUFFER));
		}
		assert_int_equal(stats(&card, RX).direct, number);
		assert_int_equal(stats(&card, RX).packets, number);
		assert_int_equal(stats(&card, TX).packets, number);
		tear_down(&card);
	}
}

/* S2, S4, S6, S8: what finds no buffer waits, also through a suspension, and goes first after it.
 */
static void dry_and_suspended(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		uint32_t bases[3], again[3];
		struct card card;

		set_up(&card, 1 + i % 2, i / 2);
		post_buffers(&card, 0, 5);
		send_batch(&card, 0, 12, 300);
		for (unsigned k = 0; k < 5; k++)
			expect_frame(&card, 0, k, 300);
		nothing_delivered(&card);
		assert_int_equal(uvdpa_driver_suspend(card.drv), 0);
		assert_int_equal(uvdpa_driver_get_bases(card.drv, bases, 3), 0);
		post_buffers(&card, 0, 20);
		add_frame(&card, 0, 12, 300);
		assert_true(uvdpa_queue_submit(card.queues[TX]) >= 0);
		assert_int_equal(uvdpa_driver_get_bases(card.drv, again, 3), 0);
		assert_memory_equal(bases, again, sizeof(bases));
		nothing_delivered(&card);
		assert_int_equal(uvdpa_driver_resume(card.drv), 0);
		assert_int_equal(await(&card, TX).cookie, 12);
		for (unsigned k = 5; k < 13; k++)
			expect_frame(&card, 0, k, 300);
		send_batch(&card, 13, 3, 300);
		for (unsigned k = 13; k < 16; k++)
			expect_frame(&card, 0, k, 300);
		assert_int_equal(stats(&card, RX).packets, 16);
		tear_down(&card);
	}
}

/* Too few buffers for one frame: none of them is used, until there are enough. */
static void half_a_frame(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct card card;

		set_up(&card, 1, packed);
		post_buffers(&card, 0, 4);
		send_batch(&card, 0, 2, 3000);
		expect_frame(&card, 0, 0, 3000);
		nothing_delivered(&card);
		assert_int_equal(stats(&card, RX).direct, 1);
		post_buffers(&card, 0, 2);
		expect_frame(&card, 0, 1, 3000);
		tear_down(&card);
	}
}

/* What the driver does not want to hear takes no buffer. */
static void filtered(void **state)
{
	static const uint8_t picky[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0};
	struct card card;

	set_up(&card, 1, false);
	run_command(&card, picky, sizeof(picky));
	post_buffers(&card, 0, 4);
	send_batch(&card, 0, 3, 100); /* to 52:00:..., 52:01:... */
	nothing_delivered(&card);
	assert_int_equal(stats(&card, RX).filtered, 3);
	assert_int_equal(stats(&card, RX).packets, 0);
	tear_down(&card);
}

/* A window of frames goes round, while the card is suspended again and again. */
static void round_and_round(void **state)
{
	enum { FRAMES = 3000, WINDOW = 16 };

	for (unsigned i = 0; i < 4; i++) {
		unsigned sent = WINDOW, holds = 0;
		struct uvdpa_completion done;
		struct card card;

		set_up(&card, 1 + i % 2, i / 2);
		post_buffers(&card, 0, 12); /* fewer than frames: it runs dry */
		for (unsigned k = 0; k < WINDOW; k++)
			send(&card, 0, k, 200);
		while (card.expected < FRAMES) {
			done = await(&card, RX);
			check_frame(&card, 0, done, card.expected++, 200);
			post_buffers(&card, 0, 1);
			/* a frame may be here before its chain is back */
			if (card.expected == sent && sent < FRAMES) {
				await(&card, TX);
				send(&card, 0, sent++, 200);
			}
			while (uvdpa_queue_poll(card.queues[TX], &done, 1) == 1)
				if (sent < FRAMES)
					send(&card, 0, sent++, 200);
			if (card.expected / 300 > holds) {
				holds++;
				assert_int_equal(uvdpa_driver_suspend(card.drv), 0);
				assert_int_equal(uvdpa_driver_resume(card.drv), 0);
			}
		}
		assert_int_equal(stats(&card, RX).packets, FRAMES);
		/* the first ones for sure, unless another worker has the queue just then */
		assert_true(stats(&card, RX).direct > 0 || i % 2);
		tear_down(&card);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(straight),	   cmocka_unit_test(dry_and_suspended),
		cmocka_unit_test(half_a_frame),	   cmocka_unit_test(filtered),
		cmocka_unit_test(round_and_round),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
