/* model/net_into.c: frames that a backend reads straight into the driver's buffers. */
#include "batch_support.h"

#include <errno.h>

/* A backend with frames that wait. */
#define WAITING 80u

struct fountain {
	struct packet packet; /* the first member */
	struct {
		uint32_t size; /* with the header */
		uint8_t flags, last_of_mac, gso;
		int error;
	} frames[WAITING];
	unsigned count, at;
	unsigned pending; /* received the other way */
};

static struct fountain fountain;
static uint8_t image[PACKET_BUFFER];

/* The frame that is next, in `image`. Its size, or what else receive returns. */
static int next_frame(void)
{
	static const uint8_t mac[] = {0x52, 0x54, 0, 1, 2, 3};
	unsigned n = fountain.at;

	if (n == fountain.count)
		return 0;
	fountain.at++;
	if (fountain.frames[n].error)
		return fountain.frames[n].error;
	memset(image, (int)n + 1, fountain.frames[n].size);
	memset(image, 0, NET_HDR_SIZE);
	image[NET_HDR_FLAGS] = fountain.frames[n].flags;
	image[NET_HDR_GSO_TYPE] = fountain.frames[n].gso;
	if (fountain.frames[n].gso)
		store_le16(image + NET_HDR_GSO_SIZE, 1400);
	if (fountain.frames[n].flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		store_le16(image + NET_HDR_CSUM_START, 34);
		store_le16(image + NET_HDR_CSUM_OFFSET, 6);
	}
	memcpy(image + NET_HDR_SIZE, mac, sizeof(mac));
	image[NET_HDR_SIZE + 5] = (uint8_t)(3 + fountain.frames[n].last_of_mac);
	return (int)fountain.frames[n].size;
}

static int channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return *channel ? 0 : -ENOMEM;
}

static void channel_close(struct packet_channel *channel)
{
	free(channel);
}

static int send_none(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		     size_t size)
{
	return 0;
}

static int receive(struct packet_channel *channel, uint8_t *buffer)
{
	int size = next_frame();

	if (size > 0)
		memcpy(buffer, image, (size_t)size);
	fountain.pending += size != 0;
	return size;
}

static int receive_into(struct packet_channel *channel, const struct iovec *iov, unsigned count)
{
	int size = next_frame();
	size_t at = 0, room = 0;

	for (unsigned i = 0; i < count; i++)
		room += iov[i].iov_len;
	assert_int_equal(room, PACKET_BUFFER);
	for (; size > 0 && at < (size_t)size; iov++) {
		size_t n = iov->iov_len < (size_t)size - at ? iov->iov_len : (size_t)size - at;

		memcpy(iov->iov_base, image + at, n);
		at += n;
	}
	return size;
}

static void close_packet(struct packet *packet)
{
}

static const struct packet_ops ops = {
	.name = "fountain",
	.channel_open = channel_open,
	.channel_close = channel_close,
	.send = send_none,
	.receive = receive,
	.receive_into = receive_into,
	.close = close_packet,
};

#define OFFLOADS (1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4)
#define MERGE	 (1ull << VIRTIO_NET_F_MRG_RXBUF)

static void start(uint64_t features)
{
	memset(&fountain, 0, sizeof(fountain));
	fountain.packet = (struct packet){
		.ops = &ops, .pairs = 1, .receive_offloads = PACKET_CSUM | PACKET_TSO4};
	start_with(&fountain.packet, features);
}

static void wait_frame(uint32_t size)
{
	fountain.frames[fountain.count++].size = NET_HDR_SIZE + size;
}

static void offer_buffers(unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		memset(offer(&stocks[RX], size)->host, 0xee, size);
}

static bool run(unsigned budget)
{
	bool more = model->ops->process_queue(model, RX, &stocks[RX].source, budget);

	assert_int_equal(stocks[RX].taken, stocks[RX].completed);
	return more;
}

/* Buffers from `n` on have the m-th frame. Returns the buffer behind them. */
static unsigned expect(unsigned n, unsigned m)
{
	uint32_t size = fountain.frames[m].size, at = 0;
	unsigned begin = n, at_frame = fountain.at;
	uint8_t got[PACKET_BUFFER];

	for (; at < size; n++) {
		assert_true(n < stocks[RX].completed && stocks[RX].written[n]);
		memcpy(got + at, stocks[RX].bytes[n], stocks[RX].written[n]);
		at += stocks[RX].written[n];
	}
	assert_int_equal(at, size);
	fountain.at = m;
	next_frame();
	fountain.at = at_frame;
	assert_int_equal(load_le16(got + NET_HDR_BUFFERS), n - begin);
	assert_memory_equal(got + NET_HDR_SIZE, image + NET_HDR_SIZE, size - NET_HDR_SIZE);
	return n;
}

/* The frame that is pending is the m-th, whole. */
static void expect_pending(unsigned m)
{
	struct net_queue *queue = &net_of(model)->queues[RX];
	unsigned at_frame = fountain.at;

	assert_int_equal(queue->pending, fountain.frames[m].size);
	fountain.at = m;
	next_frame();
	fountain.at = at_frame;
	assert_memory_equal(queue->arrived + NET_HDR_SIZE, image + NET_HDR_SIZE,
			    queue->pending - NET_HDR_SIZE);
}

static void one_buffer_each(void **state)
{
	start(0);
	offer_buffers(20, SIZE);
	for (unsigned i = 0; i < 10; i++)
		wait_frame(14 + 100 * i);
	assert_false(run(64));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(expect(i, i), i + 1);
	assert_int_equal(stocks[RX].completed, 10);
	assert_int_equal(fountain.pending, 0);
	assert_int_equal(stats(RX).packets, 10);
	assert_int_equal(stats(RX).bytes, 10 * 14 + 100 * 45);
	stop();
}

static void no_more_than_asked_for(void **state)
{
	start(0);
	offer_buffers(20, SIZE);
	for (unsigned i = 0; i < 10; i++)
		wait_frame(60);
	assert_true(run(3));
	assert_int_equal(stocks[RX].completed, 3);
	assert_true(run(3));
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 10);
	assert_int_equal(fountain.pending, 0);
	stop();
}

/* Long ones lie in several buffers. */
static void merged(void **state)
{
	static const uint32_t sizes[] = {60, 3000, 60, 40000, 65000, 60};
	unsigned n = 0, m;

	start(MERGE | OFFLOADS);
	for (m = 0; m < sizeof(sizes) / sizeof(sizes[0]); m++)
		wait_frame(sizes[m]);
	offer_buffers(MOST, SIZE);
	assert_false(run(64));
	for (m = 0; m < fountain.count; m++)
		n = expect(n, m);
	assert_int_equal(n, stocks[RX].completed);
	assert_int_equal(n, 1 + 2 + 1 + 20 + 32 + 1);
	assert_int_equal(fountain.pending, 0);
	stop();
}

/* One that comes when too few are left is kept, and delivered when there are more. */
static void merged_later(void **state)
{
	start(MERGE | OFFLOADS);
	wait_frame(60);
	wait_frame(60000);
	wait_frame(60);
	offer_buffers(20, SIZE);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 1);
	expect(0, 0);
	expect_pending(1);
	assert_int_equal(fountain.at, 2);
	stop();
}

/* What does not fit goes on by another way, whole. */
static void too_long(void **state)
{
	start(0);
	offer_buffers(8, 1024);
	wait_frame(60);
	wait_frame(3000);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 1);
	expect(0, 0);
	expect_pending(1);
	stop();

	start(MERGE);
	offer_buffers(2, 1024);
	wait_frame(9000);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 0);
	expect_pending(0);
	stop();
}

/* The buffer that a frame nobody wants was read into is the next one's. */
static void filtered(void **state)
{
	start(0);
	net_of(model)->filter.modes = 0;
	offer_buffers(8, SIZE);
	for (unsigned i = 0; i < 4; i++) {
		wait_frame(60 + i);
		fountain.frames[i].last_of_mac = i % 2 ? 9 : 0;
	}
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 2);
	expect(0, 0);
	expect(1, 2);
	assert_int_equal(stats(RX).filtered, 2);
	stop();
}

/* A kernel may say that it checked a checksum; nothing else that we do not know of. */
static void headers_and_mtu(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		start(i ? OFFLOADS : 0);
		net_of(model)->mtu = 100;
		offer_buffers(8, SIZE);
		wait_frame(114);
		fountain.frames[0].flags = 0xfe;
		wait_frame(115);
		wait_frame(60);
		assert_false(run(64));
		assert_int_equal(stocks[RX].completed, 2);
		expect(0, 0);
		expect(1, 2);
		assert_int_equal(stocks[RX].bytes[0][NET_HDR_FLAGS],
				 i ? VIRTIO_NET_HDR_F_DATA_VALID : 0);
		assert_int_equal(stats(RX).filtered, 1);
		stop();
	}
}

/* A header that the driver cannot be shown is changed where the driver cannot reach it. */
static void not_for_this_driver(void **state)
{
	start(0);
	offer_buffers(8, SIZE);
	wait_frame(60);
	fountain.frames[0].flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 0);
	expect_pending(0);
	stop();

	start(OFFLOADS);
	offer_buffers(8, SIZE);
	wait_frame(60);
	fountain.frames[0].flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 1);
	assert_int_equal(stocks[RX].bytes[0][NET_HDR_FLAGS], VIRTIO_NET_HDR_F_NEEDS_CSUM);
	stop();
}

static void no_frames_at_all(void **state)
{
	start(0);
	offer_buffers(8, SIZE);
	wait_frame(13);
	wait_frame(60);
	fountain.frames[1].gso = 77; /* there is no such segmentation */
	wait_frame(60);
	fountain.frames[2].error = -EIO;
	wait_frame(60);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 1);
	expect(0, 3);
	assert_int_equal(stats(RX).malformed, 3);
	stop();
}

/* The driver's memory went away: the long way has a handler for that, and no frame is read in vain.
 */
static void memory_is_gone(void **state)
{
	start(0);
	offer_buffers(8, SIZE);
	wait_frame(60);
	fountain.frames[0].error = -EFAULT;
	wait_frame(60);
	wait_frame(60);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 0);
	assert_int_equal(fountain.at, 2);
	assert_int_equal(fountain.pending, 1);
	stop();
}

/* Room for the header and for what is looked at, in one piece, is the least. */
static void tiny_buffers(void **state)
{
	start(MERGE);
	offer_buffers(8, 63);
	wait_frame(60);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 0);
	assert_int_equal(fountain.pending, 1);
	stop();
}

/* A card that is not plugged in drops what comes, and its driver's memory is not touched by it. */
static void link_is_down(void **state)
{
	start(0);
	offer_buffers(4, 1526);
	wait_frame(60);
	wait_frame(1000);
	assert_int_equal(model->ops->set_link(model, false), 1);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 0);
	assert_int_equal(fountain.at, 2);
	for (unsigned i = 0; i < 4; i++)
		for (unsigned k = 0; k < 1526; k++)
			assert_int_equal(stocks[RX].bytes[i][k], 0xee);
	wait_frame(60);
	assert_int_equal(model->ops->set_link(model, true), 1);
	assert_false(run(64));
	assert_int_equal(stocks[RX].completed, 1);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(link_is_down),
		cmocka_unit_test(one_buffer_each),
		cmocka_unit_test(no_more_than_asked_for),
		cmocka_unit_test(merged),
		cmocka_unit_test(merged_later),
		cmocka_unit_test(too_long),
		cmocka_unit_test(filtered),
		cmocka_unit_test(headers_and_mtu),
		cmocka_unit_test(not_for_this_driver),
		cmocka_unit_test(no_frames_at_all),
		cmocka_unit_test(memory_is_gone),
		cmocka_unit_test(tiny_buffers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
