/*
 * model/net_data.c and net_direct.c: frames in one buffer each, by the batch. What is not plain is
 * left to the long way, which model_net.c is about: here that finds nothing.
 */
#include "batch_support.h"

#define FRAMES 40u

static void offer_buffers(unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		memset(offer(&stocks[RX], size)->host, 0xee, size);
}

/* A frame of `size` bytes behind its header, for our card, with a number in it. */
static uint8_t *offer_frame(uint32_t size)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 1, 2, 3};
	struct batch_chain *plain = offer(&stocks[TX], NET_HDR_SIZE + size);

	memset(plain->host, 0, NET_HDR_SIZE);
	memset(plain->host + NET_HDR_SIZE, plain->head + 1, size);
	memcpy(plain->host + NET_HDR_SIZE, mac, size < sizeof(mac) ? size : sizeof(mac));
	return plain->host;
}

static void start(uint64_t features)
{
	struct packet *packet;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	start_with(packet, features);
}

static void run(void)
{
	model->ops->process_queue(model, TX, &stocks[TX].source, 64);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(stocks[i].taken, stocks[i].completed);
	assert_int_equal(left_waiting, 0);
}

/* The n-th buffer has the m-th frame, of `size` bytes, and no header that asks for anything. */
static void expect_received(unsigned n, unsigned m, uint32_t size)
{
	const uint8_t *buffer = stocks[RX].bytes[n];
	uint8_t header[NET_HDR_SIZE] = {0};

	store_le16(header + NET_HDR_BUFFERS, 1);
	assert_int_equal(stocks[RX].written[n], NET_HDR_SIZE + size);
	assert_memory_equal(buffer, header, NET_HDR_SIZE);
	assert_memory_equal(buffer + NET_HDR_SIZE, stocks[TX].bytes[m] + NET_HDR_SIZE, size);
	assert_true(NET_HDR_SIZE + size == SIZE || buffer[NET_HDR_SIZE + size] == 0xee);
}

static void all_of_them(void **state)
{
	start(0);
	offer_buffers(FRAMES, SIZE);
	for (unsigned i = 0; i < FRAMES; i++)
		offer_frame(14 + 50 * i);
	run();
	assert_int_equal(stocks[TX].completed, FRAMES);
	assert_int_equal(stocks[RX].completed, FRAMES);
	for (unsigned i = 0; i < FRAMES; i++)
		expect_received(i, i, 14 + 50 * i);
	assert_int_equal(stats(RX).direct, FRAMES);
	assert_int_equal(stats(RX).packets, FRAMES);
	assert_int_equal(stats(TX).packets, FRAMES);
	assert_int_equal(stats(TX).bytes, stats(RX).bytes);
	assert_true(entered <= 3); /* a visit is for a batch */
	stop();
}

/* What finds no buffer goes no further, and nothing after it; it is still the driver's. */
static void too_few_buffers(void **state)
{
	start(0);
	offer_buffers(2, SIZE);
	for (unsigned i = 0; i < 4; i++)
		offer_frame(60);
	run();
	assert_int_equal(stocks[TX].completed, 2);
	assert_int_equal(stats(TX).packets, 2);
	offer_buffers(1, NET_HDR_SIZE + 59); /* too small: the long way knows what to do */
	offer_buffers(5, SIZE);
	run();
	assert_int_equal(stocks[TX].completed, 2);
	assert_int_equal(stocks[RX].completed, 2);
	expect_received(0, 0, 60);
	expect_received(1, 1, 60);
	stop();
}

/* Frames that nobody wants take no buffer. */
static void filtered(void **state)
{
	start(0);
	net_of(model)->filter.modes = 0; /* no command was given: promiscuous */
	offer_buffers(8, SIZE);
	offer_frame(60);
	offer_frame(60)[NET_HDR_SIZE + 5] = 77;
	offer_frame(60)[NET_HDR_SIZE + 5] = 78;
	offer_frame(60);
	offer_frame(60)[NET_HDR_SIZE + 5] = 79;
	run();
	assert_int_equal(stocks[TX].completed, 5);
	assert_int_equal(stocks[RX].completed, 2);
	expect_received(0, 0, 60);
	expect_received(1, 3, 60);
	assert_int_equal(stats(RX).filtered, 3);
	assert_int_equal(stats(RX).packets, 2);
	assert_int_equal(stats(TX).packets, 5);
	stop();
}

/* What a driver says of a frame that is not a driver's to say, and frames that are too long. */
static void headers_and_mtu(void **state)
{
	uint8_t *chain;

	start(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	net_of(model)->mtu = 100;
	offer_buffers(8, SIZE);
	offer_frame(60)[NET_HDR_FLAGS] = VIRTIO_NET_HDR_F_DATA_VALID;
	offer_frame(115);
	chain = offer_frame(60);
	chain[NET_HDR_FLAGS] = 0xfe;
	store_le16(chain + NET_HDR_HDR_LEN, 60000);
	store_le16(chain + NET_HDR_BUFFERS, 7);
	offer_frame(114);
	chain = offer_frame(115);
	chain[NET_HDR_SIZE + 12] = 0x81; /* with a tag it is not too long */
	chain[NET_HDR_SIZE + 13] = 0;
	run();
	assert_int_equal(stocks[TX].completed, 5);
	assert_int_equal(stocks[RX].completed, 4);
	expect_received(0, 0, 60);
	expect_received(1, 2, 60);
	expect_received(2, 3, 114);
	expect_received(3, 4, 115);
	assert_int_equal(stats(RX).filtered, 1);
	stop();
}

static void ask_for_checksum(uint8_t *chain)
{
	chain[NET_HDR_FLAGS] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	store_le16(chain + NET_HDR_CSUM_START, 34);
	store_le16(chain + NET_HDR_CSUM_OFFSET, 6);
}

/* A checksum that the receiver does not do for itself: not here. */
static void checksums(void **state)
{
	start(1ull << VIRTIO_NET_F_CSUM);
	offer_buffers(8, SIZE);
	offer_frame(60);
	ask_for_checksum(offer_frame(60));
	run();
	assert_int_equal(stocks[TX].completed, 1);
	assert_int_equal(stocks[RX].completed, 1);
	stop();

	start(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_GUEST_CSUM);
	offer_buffers(8, SIZE);
	ask_for_checksum(offer_frame(60));
	run();
	assert_int_equal(stocks[RX].completed, 1);
	assert_int_equal(stocks[RX].bytes[0][NET_HDR_FLAGS], VIRTIO_NET_HDR_F_NEEDS_CSUM);
	stop();
}

static void nonsense(void **state)
{
	for (unsigned i = 0; i < 3; i++) {
		start(0);
		offer_buffers(8, SIZE);
		offer_frame(60);
		if (i == 0)
			offer_frame(13); /* no Ethernet header fits in */
		else if (i == 1)
			offer(&stocks[TX], NET_HDR_SIZE - 1);
		else
			offer_frame(60)[NET_HDR_GSO_TYPE] = VIRTIO_NET_HDR_GSO_TCPV4;
		offer_frame(60);
		run();
		assert_int_equal(stocks[TX].completed, 1);
		assert_int_equal(stocks[RX].completed, 1);
		assert_int_equal(stats(TX).malformed, 0); /* it is not judged yet */
		stop();
	}
}

/* Without a cable frames are lost one by one, and counted. */
static void link_down(void **state)
{
	start(0);
	model->ops->set_link(model, false);
	offer_frame(60);
	run();
	assert_int_equal(stocks[TX].completed, 0);
	stop();
}

/* A backend that takes frames only one by one, and some of them not. */
struct picky {
	struct packet packet; /* the first member */
	unsigned sent, bad_at, flushes, lost;
	int error;
};

static struct picky picky;

static int picky_channel_open(struct packet *packet, unsigned index,
			      struct packet_channel **channel, struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return *channel ? 0 : -ENOMEM;
}

static void picky_channel_close(struct packet_channel *channel)
{
	free(channel);
}

static int picky_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		      size_t size)
{
	assert_int_equal(count, 2);
	assert_int_equal(size, iov[0].iov_len + iov[1].iov_len);
	if (picky.sent == picky.bad_at && picky.error)
		return picky.error;
	picky.sent++;
	return 0;
}

static struct packet_lost picky_flush(struct packet_channel *channel)
{
	struct packet_lost lost = {picky.lost, 60ull * picky.lost};

	picky.flushes++;
	picky.lost = 0;
	return lost;
}

static int picky_receive(struct packet_channel *channel, uint8_t *buffer)
{
	return 0;
}

static void picky_close(struct packet *packet)
{
}

static const struct packet_ops picky_ops = {
	.name = "picky",
	.channel_open = picky_channel_open,
	.channel_close = picky_channel_close,
	.send = picky_send,
	.receive = picky_receive,
	.flush = picky_flush,
	.close = picky_close,
};

static void start_picky(unsigned bad_at, int error, unsigned lost)
{
	picky = (struct picky){.packet = {.ops = &picky_ops, .pairs = 1},
			       .bad_at = bad_at,
			       .error = error,
			       .lost = lost};
	start_with(&picky.packet, 0);
	for (unsigned i = 0; i < 6; i++)
		offer_frame(60);
	run();
	assert_true(picky.flushes);
}

static void one_by_one(void **state)
{
	start_picky(0, 0, 0);
	assert_int_equal(stocks[TX].completed, 6);
	assert_int_equal(stats(TX).packets, 6);
	stop();

	/* what was kept back until the flush, and did not go then */
	start_picky(0, 0, 2);
	assert_int_equal(stocks[TX].completed, 6);
	assert_int_equal(stats(TX).packets, 4);
	assert_int_equal(stats(TX).no_room, 2);
	assert_int_equal(stats(TX).bytes, 4 * 60);
	stop();

	for (unsigned i = 0; i < 2; i++) {
		start_picky(4, i ? -EBUSY : -EAGAIN, 0);
		assert_int_equal(stocks[TX].completed, 4);
		assert_int_equal(stats(TX).packets, 4);
		assert_int_equal(stats(TX).no_room, 0);
		stop();
		start_picky(0, i ? -EBUSY : -EAGAIN, 0);
		assert_int_equal(stocks[TX].completed, 0);
		stop();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_of_them), cmocka_unit_test(too_few_buffers),
		cmocka_unit_test(filtered),    cmocka_unit_test(headers_and_mtu),
		cmocka_unit_test(checksums),   cmocka_unit_test(nonsense),
		cmocka_unit_test(link_down),   cmocka_unit_test(one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
