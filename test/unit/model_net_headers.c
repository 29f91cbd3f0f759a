/* The virtio-net model: what of a frame's header, and how long a frame, reaches a driver. */
#include "net_support.h"

/* virtio 1.3, 5.1.6.2.1: what another driver may say in a header, and what only a device may. */
static void headers(void **state)
{
	static const struct {
		uint8_t sent[10], got[10]; /* up to num_buffers */
	} cases[] = {
		{{VIRTIO_NET_HDR_F_DATA_VALID}, {0}},
		{{VIRTIO_NET_HDR_F_RSC_INFO}, {0}},
		{{0xfe}, {0}},
		{{0, 0, 0x60, 0xea, 9, 0, 8, 0, 7, 0}, {0}}, /* says what nothing asks for */
		{{1, 0, 0, 0, 0, 0, 34, 0, 6, 0}, {1, 0, 0, 0, 0, 0, 34, 0, 6, 0}},
		{{0xff, 0, 0, 0, 0, 0, 34, 0, 6, 0}, {1, 0, 0, 0, 0, 0, 34, 0, 6, 0}},
		{{1, 0, 0x60, 0xea, 0, 0, 34, 0, 6, 0}, {1, 0, 88, 0, 0, 0, 34, 0, 6, 0}},
		{{1, 0, 88, 0, 0, 0, 34, 0, 6, 0}, {1, 0, 88, 0, 0, 0, 34, 0, 6, 0}},
	};

	for (unsigned i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool knows = i % 2 == 0;

		start_loopback(1, knows ? EVERYTHING : ~(UINT64_C(1) << VIRTIO_NET_F_GUEST_CSUM));
		fill(100);
		memcpy(sent, cases[i / 2].sent, sizeof(cases[0].sent));
		store_le16(sent + NET_HDR_BUFFERS, 7);
		transmit(100, i % 2);
		offer(0, 1536, i % 2);
		assert_false(process_queue(RX));
		assert_int_equal(collect(1), 100);
		assert_int_equal(load_le16(got + NET_HDR_BUFFERS), 1);
		if (knows)
			assert_memory_equal(got, cases[i / 2].got, sizeof(cases[0].got));
		else
			assert_int_equal(got[NET_HDR_FLAGS], 0);
		stop();
	}
}

static bool arrives(unsigned size, unsigned tags)
{
	bool delivered;

	fill(NET_HDR_SIZE + size);
	for (unsigned i = 0; i < tags; i++) {
		sent[NET_HDR_SIZE + 12 + 4 * i] = i + 1 < tags ? 0x88 : 0x81;
		sent[NET_HDR_SIZE + 13 + 4 * i] = i + 1 < tags ? 0xa8 : 0;
	}
	transmit(NET_HDR_SIZE + size, false);
	offer(0, 70000, false);
	assert_false(process_queue(RX));
	delivered = taken - unpopn;
	clear();
	return delivered;
}

/* virtio 1.3, 5.1.4.1: no longer than agreed, behind the Ethernet header. */
static void mtu(void **state)
{
	struct net_stats stats;

	start_loopback(1, EVERYTHING & ~(UINT64_C(1) << VIRTIO_NET_F_CTRL_VLAN));
	assert_true(arrives(1414, 0) && arrives(1418, 1) && arrives(1422, 2));
	assert_false(arrives(1415, 0) || arrives(1419, 1) || arrives(1423, 2) || arrives(60000, 0));
	assert_true(net_get_stats(model, RX, &stats));
	assert_int_equal(stats.filtered, 4);
	model->ops->reset(model);
	model->ops->negotiated(model, model->ops->features(model) & ANY_LENGTH);
	assert_true(arrives(1415, 0) && arrives(60000, 0));
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers),
		cmocka_unit_test(mtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
