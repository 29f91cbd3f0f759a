/* The virtio-net model: commands, filters, and frames through chains of every cut. */
#include "net_support.h"

/* --- Commands --------------------------------------------------------------------------------- */

static int command(const void *bytes, size_t size)
{
	struct made *made = offer(size, 1, false);
	uint8_t answer = 0xee;

	made_fill(made, &client, 0, bytes, size);
	assert_false(process_queue(control));
	assert_int_equal(made->answers, 1);
	assert_int_equal(made->written, 1);
	made_fetch(made, &client, 0, &answer, 1);
	clear();
	return answer;
}

#define COMMAND(...) command((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))
#define DONE	     VIRTIO_NET_OK
#define ERR	     VIRTIO_NET_ERR

static bool hears(const uint8_t *mac, int vlan)
{
	uint8_t frame[60] = {0};

	memcpy(frame, mac, 6);
	if (vlan >= 0) {
		frame[12] = 0x81;
		frame[14] = (uint8_t)(vlan >> 8);
		frame[15] = (uint8_t)vlan;
	}
	return filter_wants(&net_of(model)->filter, frame, sizeof(frame));
}

static const uint8_t other[] = {0x52, 0x54, 0, 9, 9, 9}, multi[] = {0x33, 0x33, 0, 0, 0, 1},
		     broad[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void receive_modes(void **state)
{
	start_loopback(1, EVERYTHING);
	assert_true(hears(other, -1)); /* promiscuous until told otherwise */
	assert_int_equal(COMMAND(0, 0, 0), DONE);
	assert_true(hears(ours, -1));
	assert_true(hears(broad, -1));
	assert_false(hears(other, -1));
	assert_false(hears(multi, -1));
	assert_int_equal(COMMAND(0, 1, 1), DONE); /* all multicast */
	assert_true(hears(multi, -1));
	assert_int_equal(COMMAND(0, 3, 1), DONE); /* and yet none */
	assert_false(hears(multi, -1));
	assert_int_equal(COMMAND(0, 2, 1), DONE); /* all unicast */
	assert_true(hears(other, -1));
	assert_int_equal(COMMAND(0, 4, 1), DONE); /* no unicast */
	assert_false(hears(ours, -1));
	assert_int_equal(COMMAND(0, 5, 1), DONE); /* no broadcast */
	assert_false(hears(broad, -1));
	assert_int_equal(COMMAND(0, 0, 1), DONE);
	assert_true(hears(broad, -1));
	assert_int_equal(COMMAND(0, 0, 2), ERR);
	assert_int_equal(COMMAND(0, 6, 1), ERR);
	assert_int_equal(COMMAND(0, 0), ERR);
	assert_int_equal(COMMAND(0, 0, 1, 0), ERR);
	assert_true(hears(broad, -1));
	stop();
}

static void mac_tables(void **state)
{
	static const uint8_t table[] = {1, 0, 1, 0, 0, 0,    0x52, 0x54, 0, 9, 9,
					9, 1, 0, 0, 0, 0x33, 0x33, 0,	 0, 0, 1};
	uint8_t large[2 + 4 + 65 * 6 + 4] = {1, 0, 65}, last[6];

	start_loopback(1, EVERYTHING);
	assert_int_equal(COMMAND(0, 0, 0), DONE);
	assert_int_equal(command(table, sizeof(table)), DONE);
	assert_true(hears(other, -1));
	assert_true(hears(multi, -1));
	for (size_t size = 2; size < sizeof(table); size++)
		assert_int_equal(command(table, size), ERR); /* cut off anywhere */
	assert_int_equal(COMMAND(1, 0, 0, 0, 0, 0x80, 0, 0, 0, 0), ERR);
	assert_int_equal(COMMAND(1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0), ERR);
	assert_true(hears(other, -1)); /* nothing changed */
	memcpy(last, (const uint8_t[]){0x52, 0x54, 0, 7, 7, 7}, 6);
	assert_false(hears(last, -1));
	assert_int_equal(command(large, sizeof(large)), DONE); /* too many: all unicast */
	assert_true(hears(last, -1));
	assert_false(hears(multi, -1));
	assert_int_equal(COMMAND(1, 0, 0, 0, 0, 0, 0, 0, 0, 0), DONE);
	assert_false(hears(last, -1));
	assert_false(hears(other, -1));
	stop();
}

static void mac_address(void **state)
{
	uint8_t config[NET_CONFIG_SIZE];

	start_loopback(1, EVERYTHING);
	assert_int_equal(COMMAND(0, 0, 0), DONE);
	assert_int_equal(COMMAND(1, 1, 0x52, 0x54, 0, 9, 9, 9), DONE);
	assert_true(hears(other, -1));
	assert_false(hears(ours, -1));
	model->ops->config_read(model, config);
	assert_memory_equal(config, other, 6);
	assert_int_equal(COMMAND(1, 1, 0x33, 0x33, 0, 0, 0, 1), ERR);
	assert_int_equal(COMMAND(1, 1, 0x52, 0x54, 0, 9, 9), ERR);
	assert_true(hears(other, -1));
	model->ops->reset(model);
	model->ops->config_read(model, config);
	assert_memory_equal(config, ours, 6);
	stop();
}

static void vlans(void **state)
{
	start_loopback(1, EVERYTHING);
	assert_true(hears(ours, -1));
	assert_true(hears(ours, 0));
	assert_false(hears(ours, 5));
	assert_int_equal(COMMAND(2, 0, 5, 0), DONE);
	assert_int_equal(COMMAND(2, 0, 0xff, 0x0f), DONE);
	assert_true(hears(ours, 5));
	assert_true(hears(ours, 4095));
	assert_false(hears(ours, 6));
	assert_int_equal(COMMAND(2, 1, 5, 0), DONE);
	assert_false(hears(ours, 5));
	assert_int_equal(COMMAND(2, 0, 0x00, 0x10), ERR); /* 4096 */
	assert_int_equal(COMMAND(2, 2, 5, 0), ERR);
	stop();
	start_loopback(1, ~(UINT64_C(1) << VIRTIO_NET_F_CTRL_VLAN));
	assert_true(hears(ours, 5)); /* without the feature there is no filter */
	assert_int_equal(COMMAND(2, 0, 5, 0), ERR);
	stop();
}

static void pairs_and_the_rest(void **state)
{
	struct net_stats stats;

	start_loopback(3, EVERYTHING);
	assert_int_equal(control, 6);
	assert_int_equal(model->ops->queue_group(model, 6), 1);
	assert_int_equal(model->ops->queue_group(model, 5), 0);
	assert_int_equal(COMMAND(4, 0, 3, 0), DONE);
	assert_int_equal(COMMAND(4, 0, 4, 0), ERR);
	assert_int_equal(COMMAND(4, 0, 0, 0), ERR);
	assert_int_equal(atomic_load(&net_of(model)->active), 3);
	assert_int_equal(COMMAND(3, 0), DONE);
	assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0), DONE);
	assert_int_equal(COMMAND(5, 0, 2, 0, 0, 0, 0, 0, 0, 0x40), ERR); /* not negotiated */
	assert_int_equal(COMMAND(9, 0), ERR);
	assert_int_equal(COMMAND(0), ERR);
	assert_true(net_get_stats(model, control, &stats));
	assert_int_equal(stats.commands, 3);
	assert_int_equal(stats.refused, 5);
	model->ops->negotiated(model, 0);
	net_of(model)->features = UINT64_C(1) << VIRTIO_NET_F_CTRL_VQ;
	assert_int_equal(net_control_queue(net_of(model)), 2);
	assert_int_equal(model->ops->queue_group(model, 2), 1);
	stop();
}

static void a_command_without_room(void **state)
{
	struct made *made;

	start_loopback(1, EVERYTHING);
	made = offer(3, 0, false);
	assert_false(process_queue(control));
	assert_int_equal(made->refusals, 1);
	stop();
}

static void config_space(void **state)
{
	uint8_t config[NET_CONFIG_SIZE];

	start_loopback(3, EVERYTHING);
	model->ops->config_read(model, config);
	assert_memory_equal(config, ours, 6);
	assert_int_equal(load_le16(config + 6), 1);
	assert_int_equal(load_le16(config + 8), 3);
	assert_int_equal(load_le16(config + 10), 1400);
	assert_int_equal(load_le32(config + 12), 1000);
	assert_int_equal(config[16], 1);
	stop();
}

/* What one card saved another of its kind goes on with; nonsense is refused. */
static void saved_state(void **state)
{
	uint8_t bytes[MODEL_STATE_MAX], bad[MODEL_STATE_MAX];
	static const struct {
		unsigned at;
		uint8_t value;
	} spoilt[] = {{2, 1}, {4, 0x80}, {14, 1}, {16, 0}, {16, 4}, {18, 5}, {20, 65}, {22, 2}};
	struct error f;
	size_t size;

	start_loopback(3, EVERYTHING);
	assert_int_equal(COMMAND(0, 0, 0), DONE);
	assert_int_equal(COMMAND(1, 1, 0x52, 0x54, 0, 9, 9, 9), DONE);
	assert_int_equal(COMMAND(1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1), DONE);
	assert_int_equal(COMMAND(2, 0, 5, 0), DONE);
	assert_int_equal(COMMAND(4, 0, 2, 0), DONE);
	size = model->ops->state_save(model, bytes);
	assert_in_range(size, 1, MODEL_STATE_MAX);
	stop();
	start_loopback(3, EVERYTHING);
	assert_int_equal(model->ops->state_check(model, bytes, size, &f), 0);
	assert_int_equal(model->ops->state_check(model, bytes, size - 1, &f), -EINVAL);
	for (size_t i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
		memcpy(bad, bytes, sizeof(bad));
		bad[spoilt[i].at] = spoilt[i].value;
		if (model->ops->state_check(model, bad, size, &f) != -EINVAL)
			fail_msg("byte %u = %u is accepted", spoilt[i].at, spoilt[i].value);
	}
	model->ops->state_load(model, bytes, size);
	assert_true(hears(other, -1));
	assert_false(hears(ours, -1));
	assert_true(hears(multi, 5));
	assert_false(hears(multi, 6));
	assert_int_equal(atomic_load(&net_of(model)->active), 2);
	stop();
}

/* --- Frames ----------------------------------------------------------------------------------- */

static void frames_of_every_cut(void **state)
{
	static const unsigned sizes[] = {26, 27, 60, 1526, 4096, 65000, PACKET_BUFFER};
	static const unsigned rooms[] = {12, 100, 1536, 4096, 70000};

	start_loopback(1, ANY_LENGTH);
	for (unsigned i = 0; i < 7 * 5 * 2; i++) {
		unsigned size = sizes[i % 7], room = rooms[i / 7 % 5], copied = i / 35;
		unsigned count = (size + room - 1) / room;

		if (count > MOST)
			continue;
		fill(size);
		transmit(size, copied);
		for (unsigned k = 0; k < count; k++)
			offer(0, room, copied);
		assert_false(process_queue(RX));
		assert_int_equal(taken, count);
		assert_int_equal(collect(count), size);
		assert_int_equal(load_le16(got + NET_HDR_BUFFERS), count);
		assert_memory_equal(got + NET_HDR_SIZE, sent + NET_HDR_SIZE, size - NET_HDR_SIZE);
		clear();
	}
	stop();
}

/* A frame that finds too few chains takes none of them, and is there when more come. */
static void starved(void **state)
{
	struct net_stats stats;

	start_loopback(1, EVERYTHING);
	fill(1000);
	transmit(1000, false);
	offer(0, 400, false);
	offer(0, 400, false);
	assert_false(process_queue(RX));
	assert_int_equal(taken, 0);
	assert_int_equal(unpopn, 2);
	assert_int_equal(mades[0].answers + mades[1].answers, 0);
	offer(0, 400, false);
	assert_false(process_queue(RX));
	assert_int_equal(collect(3), 1000);
	assert_memory_equal(got + NET_HDR_SIZE, sent + NET_HDR_SIZE, 1000 - NET_HDR_SIZE);
	assert_true(net_get_stats(model, RX, &stats));
	assert_int_equal(stats.packets, 1);
	stop();
}

/* A queue that is stopped, and a reset, drop the frame that was pending and no other. */
static void starved_to_the_end(void **state)
{
	start_loopback(1, EVERYTHING);
	for (unsigned size = 1000; size < 1003; size++)
		transmit(size, false);
	assert_false(process_queue(RX));
	model->ops->queue_stop(model, RX);
	assert_int_equal(model->ops->queue_start(model, RX, MOST, NULL), 0);
	assert_false(process_queue(RX));
	model->ops->reset(model);
	offer(0, 2000, false);
	assert_false(process_queue(RX));
	assert_int_equal(collect(1), 1002);
	stop();
}

/* Without mergeable buffers a frame has one chain, or is dropped; the chain stays. */
static void one_buffer(void **state)
{
	struct net_stats stats;

	start_loopback(1, ~(UINT64_C(1) << VIRTIO_NET_F_MRG_RXBUF));
	fill(1000);
	transmit(1000, false);
	offer(0, 999, false);
	offer(0, 1000, false);
	assert_false(process_queue(RX));
	assert_int_equal(taken, 0);
	assert_true(net_get_stats(model, RX, &stats));
	assert_int_equal(stats.no_room, 1);
	clear();
	transmit(1000, false);
	offer(0, 1000, false);
	assert_false(process_queue(RX));
	assert_int_equal(collect(1), 1000);
	stop();
}

/* Nothing arrived: nothing is taken, so that no suspension waits for it. */
static void no_frame_no_chain(void **state)
{
	start_loopback(1, EVERYTHING);
	offer(0, 1536, false);
	assert_false(process_queue(RX));
	assert_int_equal(taken + unpopn, 0);
	stop();
}

static void bad_frames(void **state)
{
	struct net_stats stats;

	start_loopback(1, EVERYTHING);
	fill(100);
	transmit(25, false); /* no Ethernet header fits */
	transmit(5, false);
	sent[NET_HDR_GSO_TYPE] = VIRTIO_NET_HDR_GSO_TCPV4; /* not offered by a loopback */
	transmit(100, false);
	sent[NET_HDR_GSO_TYPE] = 0;
	sent[NET_HDR_FLAGS] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	store_le16(sent + NET_HDR_CSUM_START, 90);
	transmit(100, false);
	assert_true(net_get_stats(model, TX, &stats));
	assert_int_equal(stats.malformed, 4);
	assert_int_equal(stats.packets, 0);
	offer(0, 1536, false);
	assert_false(process_queue(RX));
	assert_int_equal(taken, 0);
	stop();
}

static void bad_buffers(void **state)
{
	start_loopback(1, EVERYTHING);
	fill(100);
	transmit(100, false);
	offer(30, 0, false);
	assert_false(process_queue(RX));
	assert_int_equal(mades[0].refusals, 1);
	clear();
	offer(0, 11, false);
	assert_false(process_queue(RX));
	assert_int_equal(mades[0].refusals, 1);
	clear();
	offer(0, 50, true);
	client.gone = true;
	offer(0, 50, true);
	offer(0, 50, true);
	assert_false(process_queue(RX));
	assert_int_equal(mades[0].refusals, 1);
	assert_int_equal(mades[1].refusals, 1);
	client.gone = false;
	stop();
}

/* A receiver that does not know checksums gets them done. */
static void checksum_for_the_ignorant(void **state)
{
	start_loopback(1, ~(UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM));
	fill(100);
	sent[NET_HDR_FLAGS] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	store_le16(sent + NET_HDR_CSUM_START, 34);
	store_le16(sent + NET_HDR_CSUM_OFFSET, 16);
	transmit(100, false);
	offer(0, 1536, false);
	assert_false(process_queue(RX));
	assert_int_equal(collect(1), 100);
	assert_int_equal(got[NET_HDR_FLAGS], 0);
	packet_finish_checksum(sent, 100);
	assert_memory_equal(got + NET_HDR_SIZE, sent + NET_HDR_SIZE, 100 - NET_HDR_SIZE);
	stop();
}

static void filtered(void **state)
{
	struct net_stats stats;

	start_loopback(1, EVERYTHING);
	assert_int_equal(COMMAND(0, 0, 0), DONE);
	fill(100);
	memcpy(sent + NET_HDR_SIZE, other, 6);
	transmit(100, false);
	offer(0, 1536, false);
	assert_false(process_queue(RX));
	assert_int_equal(taken, 0);
	assert_true(net_get_stats(model, RX, &stats));
	assert_int_equal(stats.filtered, 1);
	stop();
}

static void budget_is_kept(void **state)
{
	start_loopback(1, EVERYTHING);
	fill(60);
	for (unsigned i = 0; i < 3; i++)
		transmit(60, false);
	for (unsigned i = 0; i < 5; i++)
		offer(0, 1536, false);
	assert_true(model->ops->process_queue(model, RX, &source, 2));
	assert_int_equal(taken, 2);
	assert_false(model->ops->process_queue(model, RX, &source, 2));
	assert_int_equal(taken, 3);
	stop();
}

static void bad_options(void **state)
{
	struct net_options options = {.mac = {0x52}, .mtu = 67};
	struct packet *packet;
	struct error f;

	assert_int_equal(packet_null_open(1, &packet, NULL), 0);
	assert_int_equal(net_new(&options, packet, &model, &f), -EINVAL);
	assert_int_equal(packet_null_open(1, &packet, NULL), 0);
	options = (struct net_options){.mac = {0x53}};
	assert_int_equal(net_new(&options, packet, &model, &f), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(receive_modes),
		cmocka_unit_test(mac_tables),
		cmocka_unit_test(mac_address),
		cmocka_unit_test(vlans),
		cmocka_unit_test(pairs_and_the_rest),
		cmocka_unit_test(a_command_without_room),
		cmocka_unit_test(config_space),
		cmocka_unit_test(frames_of_every_cut),
		cmocka_unit_test(starved),
		cmocka_unit_test(starved_to_the_end),
		cmocka_unit_test(one_buffer),
		cmocka_unit_test(no_frame_no_chain),
		cmocka_unit_test(bad_frames),
		cmocka_unit_test(bad_buffers),
		cmocka_unit_test(checksum_for_the_ignorant),

		cmocka_unit_test(filtered),
		cmocka_unit_test(budget_is_kept),
		cmocka_unit_test(bad_options),
		cmocka_unit_test(saved_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
