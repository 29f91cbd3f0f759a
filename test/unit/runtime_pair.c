/*
 * runtime/: two network cards on one cable, all real but the export. Frames go from ring to ring,
 * copied once, on the sender's thread; through the cable only where the receiver has no buffers or
 * stands still; whole and in order either way.
 */
#include "runtime/runtime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "card_support.h"
#include "device/state.h"

static void set_up(struct card cards[2], unsigned pairs, unsigned workers)
{
	struct packet *packets[2];

	assert_int_equal(packet_pair_open((unsigned[]){pairs, pairs}, packets, NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		open_card(&cards[i], packets[i], workers, false);
	for (unsigned i = 0; i < 2; i++)
		start_driver(&cards[i]);
}

static void tear_down(struct card cards[2])
{
	for (unsigned i = 0; i < 2; i++) {
		stop_driver(&cards[i]);
		runtime_free(cards[i].runtime);
	}
}

/* Where there are buffers each frame is copied once, however it is cut. */
static void straight(void **state)
{
	static const uint32_t sizes[] = {NUMBER_AT + 4, 72, 1024, 1025, 2048, 3000, 4096};
	struct card cards[2];

	set_up(cards, 1, 1);
	post_buffers(&cards[1], 0, RING);
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]);) {
		uint64_t direct = stats(&cards[1], 0).direct;

		send_and_await(&cards[0], 0, i, sizes[i]);
		expect_frame(&cards[1], 0, i, sizes[i]);
		post_buffers(&cards[1], 0, (sizes[i] + BUFFER - 1) / BUFFER);
		/* a receiver that was busy for long got it by the cable: once more */
		i += stats(&cards[1], 0).direct > direct;
	}
	tear_down(cards);
}

/* Frames that find no buffers wait in the cable; those that come later do not overtake them. */
static void starved(void **state)
{
	struct card cards[2];

	set_up(cards, 1, 2);
	for (unsigned i = 0; i < 5; i++)
		send_and_await(&cards[0], 0, i, 1500);
	post_buffers(&cards[1], 0, 1);
	send_and_await(&cards[0], 0, 5, 100);
	assert_int_equal(stats(&cards[1], 0).direct, 0);
	post_buffers(&cards[1], 0, 20);
	for (unsigned i = 0; i < 5; i++)
		expect_frame(&cards[1], 0, i, 1500);
	expect_frame(&cards[1], 0, 5, 100);
	tear_down(cards);
}

/* S2, S4, S11: nothing reaches a card that is suspended; all of it does afterwards. */
static void suspended(void **state)
{
	struct uvdpa_queue_view view;
	struct card cards[2];
	uint32_t bases[3];

	set_up(cards, 1, 2);
	post_buffers(&cards[1], 0, 16);
	send_and_await(&cards[0], 0, 0, 100);
	expect_frame(&cards[1], 0, 0, 100);
	assert_int_equal(uvdpa_driver_suspend(cards[1].drv), 0);
	for (unsigned i = 1; i < 5; i++)
		send_and_await(&cards[0], 0, i, 100);
	uvdpa_queue_debug_snapshot(cards[1].queues[0], &view);
	assert_int_equal(view.used_idx, view.last_used);
	assert_int_equal(uvdpa_driver_get_bases(cards[1].drv, bases, 3), 0);
	assert_int_equal(bases[0], 1);
	/* the sender may be suspended, too: it waits for nobody */
	assert_int_equal(uvdpa_driver_suspend(cards[0].drv), 0);
	send(&cards[0], 0, 5, 100);
	assert_int_equal(uvdpa_driver_resume(cards[1].drv), 0);
	for (unsigned i = 1; i < 5; i++)
		expect_frame(&cards[1], 0, i, 100);
	assert_int_equal(uvdpa_driver_resume(cards[0].drv), 0);
	assert_int_equal(await(&cards[0], 1).cookie, 5);
	expect_frame(&cards[1], 0, 5, 100);
	tear_down(cards);
}

/* Collects what came in one direction; posts a buffer for each and sends as many again. */
static unsigned turn(struct card *from, struct card *to, unsigned *sent, unsigned most)
{
	struct uvdpa_completion done;
	unsigned received = 0;

	while (uvdpa_queue_poll(from->queues[1], &done, 1) == 1)
		if (*sent < most)
			send(from, 0, (*sent)++, 200);
	while (uvdpa_queue_poll(to->queues[0], &done, 1) == 1) {
		check_frame(to, 0, done, to->expected++, 200);
		post_buffers(to, 0, 1);
		received++;
	}
	return received;
}

/*
 * Both send as fast as they can, while one is suspended, and taken away, again and again. Whether
 * frames go straight depends on who finds whom busy, and is no matter here.
 */
static void both_ways(void **state)
{
	enum { FRAMES = 3000, WINDOW = 16 };
	unsigned sent[2] = {WINDOW, WINDOW}, received = 0, holds = 0;
	struct card cards[2];

	set_up(cards, 1, 2);
	for (unsigned i = 0; i < 2; i++)
		post_buffers(&cards[i], 0, RING);
	for (unsigned i = 0; i < WINDOW; i++)
		for (unsigned k = 0; k < 2; k++)
			send(&cards[k], 0, i, 200);
	while (cards[0].expected < FRAMES || cards[1].expected < FRAMES) {
		received += turn(&cards[0], &cards[1], &sent[0], FRAMES);
		received += turn(&cards[1], &cards[0], &sent[1], FRAMES);
		if (received / 500 > holds) {
			struct card *held = &cards[holds++ % 2];

			assert_int_equal(uvdpa_driver_suspend(held->drv), 0);
			assert_int_equal(uvdpa_driver_resume(held->drv), 0);
		}
	}
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(stats(&cards[i], 0).packets, FRAMES);
		assert_int_equal(stats(&cards[i], 0).no_room, 0);
	}
	tear_down(cards);
}

/* The receiver's driver goes and comes back while the other one sends. */
static void receiver_goes(void **state)
{
	struct card cards[2];
	uint32_t number = 0;

	set_up(cards, 1, 1);
	for (unsigned i = 0; i < 5; i++) {
		for (unsigned k = 0; k < 20; k++)
			send(&cards[0], 0, number + k, 100);
		post_buffers(&cards[1], 0, 10);
		stop_driver(&cards[1]);
		for (unsigned k = 0; k < 20; k++)
			assert_int_equal(await(&cards[0], 1).cookie, number + k);
		number += 20;
		start_driver(&cards[1]);
		post_buffers(&cards[1], 0, 4);
		send_and_await(&cards[0], 0, number, 100);
		/* what was sent before somebody listened is not for him, but some of it may be left
		 */
		for (struct uvdpa_completion done = await(&cards[1], 0);;
		     done = await(&cards[1], 0)) {
			const uint8_t *at = cards[1].rx[0] + done.cookie * BUFFER;

			if (load_le32(at + NUMBER_AT) == number)
				break;
			post_buffers(&cards[1], 0, 1);
		}
		number++;
	}
	tear_down(cards);
}

/* A buffer that is none breaks the card whose driver gave it, and not the one that sends. */
static void nonsense_of_the_receiver(void **state)
{
	const struct timespec nap = {0, 1000000};
	struct card cards[2];
	uint8_t status = 0;

	set_up(cards, 1, 1);
	add(&cards[1], 0, cards[1].rx[0], 100, false, 0);
	send_and_await(&cards[0], 0, 1, 100);
	for (unsigned i = 0; i < PATIENCE && !(status & 0x40 /* NEEDS_RESET */); i++) {
		assert_int_equal(uvdpa_get_status(cards[1].drv, &status), 0);
		nanosleep(&nap, NULL);
	}
	assert_int_equal(status & 0x40, 0x40);
	send_and_await(&cards[0], 0, 2, 100);
	assert_int_equal(uvdpa_get_status(cards[0].drv, &status), 0);
	assert_int_equal(status, 0xf);
	tear_down(cards);
}

static void use_pairs(struct card *card, uint8_t pairs)
{
	run_command(card,
		    (uint8_t[]){VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 0}, 4);
}

/* Each send queue has a receive queue opposite, as far as the other driver uses them. */
static void several_queues(void **state)
{
	struct card cards[2];
	uint8_t config[10];

	set_up(cards, 2, 2);
	assert_int_equal(uvdpa_get_config(cards[1].drv, 0, config, sizeof(config)), 0);
	assert_int_equal(config[8], 2);
	for (unsigned pair = 0; pair < 2; pair++)
		post_buffers(&cards[1], pair, 8);
	send_and_await(&cards[0], 1, 1, 100); /* only the first is in use yet */
	expect_frame(&cards[1], 0, 1, 100);
	use_pairs(&cards[1], 2);
	for (unsigned i = 2; i < 10; i++) {
		send_and_await(&cards[0], i % 2, i, 100);
		expect_frame(&cards[1], i % 2, i, 100);
	}
	assert_int_equal(stats(&cards[1], 0).packets, 5);
	assert_int_equal(stats(&cards[1], 2).packets, 4);
	use_pairs(&cards[1], 1);
	post_buffers(&cards[1], 0, 1);
	send_and_await(&cards[0], 1, 10, 100);
	expect_frame(&cards[1], 0, 10, 100);
	tear_down(cards);
}

/* What the driver set goes with the saved state, through its bytes, and holds at the other card. */
static void saved_and_restored(void **state)
{
	static const uint8_t mac[] = {
		VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0x52, 0x54, 0, 0, 0, 9};
	static const uint8_t picky[] = {VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0};
	static struct device_snapshot saved, decoded;
	static uint8_t bytes[STATE_MAX_BYTES];
	struct net_state_view view;
	struct card cards[2], other;
	struct packet *packet;
	struct error f;
	size_t size;
	uint8_t config[6];

	set_up(cards, 2, 2);
	run_command(&cards[0], mac, sizeof(mac));
	run_command(&cards[0], picky, sizeof(picky));
	use_pairs(&cards[0], 2);
	assert_int_equal(uvdpa_driver_suspend(cards[0].drv), 0);
	assert_int_equal(device_save(runtime_lock(cards[0].runtime), &saved, &f), 0);
	runtime_unlock(cards[0].runtime);
	size = state_encode(&saved, bytes);
	assert_int_equal(state_decode(bytes, size, &decoded, &f), 0);
	assert_true(net_view_state(decoded.model, decoded.model_size, &view));
	assert_memory_equal(view.mac, mac + 2, 6);
	assert_int_equal(view.pairs, 2);
	assert_false(view.promiscuous);
	tear_down(cards);

	assert_int_equal(packet_loopback_open(2, &packet, NULL), 0);
	open_card(&other, packet, 1, false);
	assert_int_equal(device_restore(runtime_lock(other.runtime), &decoded, &f), 0);
	runtime_unlock(other.runtime);
	start_driver(&other);
	assert_int_equal(uvdpa_get_config(other.drv, 0, config, sizeof(config)), 0);
	assert_memory_equal(config, mac + 2, 6);
	post_buffers(&other, 1, 4);
	send_and_await(&other, 1, 1, 100); /* to nobody that it wants to hear of */
	memcpy(other.tx + (size_t)(other.next_tx % RING) * 4096 + NET_HDR_SIZE, mac + 2, 6);
	other.next_tx++;
	add(&other, 3, other.tx + (size_t)4096, 100, false, 2); /* and to itself */
	assert_int_equal(await(&other, 3).cookie, 2);
	assert_int_equal(await(&other, 2).written, 100);
	assert_int_equal(stats(&other, 2).filtered, 1);
	assert_int_equal(stats(&other, 2).packets, 1);
	stop_driver(&other);
	runtime_free(other.runtime);
}

/* What is sent is then delivered in the sender's pass, of the receiver's own worker. */
static int on_one_worker(void **state)
{
	shared = "shared";
	return 0;
}

int main(void)
{
#define SHARED(fn) cmocka_unit_test_setup(fn, on_one_worker)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(straight),
		cmocka_unit_test(starved),
		cmocka_unit_test(suspended),
		cmocka_unit_test(both_ways),
		cmocka_unit_test(receiver_goes),
		cmocka_unit_test(nonsense_of_the_receiver),
		cmocka_unit_test(several_queues),
		cmocka_unit_test(saved_and_restored),
		SHARED(straight),
		SHARED(starved),
		SHARED(suspended),
		SHARED(both_ways),
		SHARED(receiver_goes),
		SHARED(nonsense_of_the_receiver),
		SHARED(several_queues),
		SHARED(saved_and_restored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
