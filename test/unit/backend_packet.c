/* Packet backends: the checking front, checksums, and the cables inside this process. */
#include "backend/packet.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "util/bytes.h"

static uint8_t buffer[PACKET_BUFFER], frame[PACKET_MAX_FRAME + 1];

static int send_with(struct packet_channel *channel, const uint8_t *header, size_t size)
{
	uint8_t copy[NET_HDR_SIZE];
	struct iovec iov[2] = {{copy, sizeof(copy)}, {frame, size}};

	memcpy(copy, header, sizeof(copy));
	return packet_send(channel, iov, 2);
}

static const uint8_t plain[NET_HDR_SIZE];

struct header_case {
	uint8_t flags, gso;
	uint16_t gso_size, start, offset, size;
	unsigned offloads;
	bool good;
};

static const struct header_case headers[] = {
	{0, 0, 0, 0, 0, 60, 0, true},
	{0, 0, 9, 9, 9, 60, 0, true}, /* fields that no flag gives a meaning */
	{1, 0, 0, 34, 16, 60, 0, false},
	{1, 0, 0, 34, 16, 60, PACKET_CSUM, true},
	{1, 0, 0, 34, 24, 60, PACKET_CSUM, true}, /* the last two bytes */
	{1, 0, 0, 34, 25, 60, PACKET_CSUM, false},
	{1, 0, 0, 65535, 65535, 60, PACKET_CSUM, false},
	{1, 0, 0, 13, 0, 60, PACKET_CSUM, false}, /* in the Ethernet header */
	{1, 1, 1000, 34, 16, 60, PACKET_CSUM, false},
	{1, 1, 1000, 34, 16, 60, PACKET_CSUM | PACKET_TSO4, true},
	{1, 1, 0, 34, 16, 60, PACKET_CSUM | PACKET_TSO4, false},
	{0, 1, 1000, 34, 16, 60, PACKET_CSUM | PACKET_TSO4, false}, /* GSO without checksum */
	{1, 0x81, 1000, 34, 16, 60, PACKET_CSUM | PACKET_TSO4, false},
	{1, 0x81, 1000, 34, 16, 60, PACKET_CSUM | PACKET_TSO4 | PACKET_ECN, true},
	{1, 4, 1000, 54, 16, 80, PACKET_CSUM | PACKET_TSO4, false},
	{1, 4, 1000, 54, 16, 80, PACKET_CSUM | PACKET_TSO6, true},
	{0, 3, 1000, 0, 0, 80, PACKET_CSUM | PACKET_UFO, true},
	{1, 5, 1000, 34, 6, 80, PACKET_CSUM | PACKET_UFO, false},
	{1, 5, 1000, 34, 6, 80, PACKET_CSUM | PACKET_USO, true},
	{1, 2, 1000, 34, 6, 80, ~0u, false}, /* there is no such type */
	{1, 0x80, 1000, 34, 6, 80, ~0u, false},
};

static void headers_are_checked(void **state)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		const struct header_case *c = &headers[i];
		uint8_t header[NET_HDR_SIZE] = {c->flags, c->gso};

		store_le16(header + NET_HDR_GSO_SIZE, c->gso_size);
		store_le16(header + NET_HDR_CSUM_START, c->start);
		store_le16(header + NET_HDR_CSUM_OFFSET, c->offset);
		if (packet_header_ok(header, c->size, c->offloads) != c->good)
			fail_msg("case %zu", i);
	}
}

/* The example of RFC 1071, section 3: 00 01 f2 03 f4 f5 f6 f7 sum up to dd f2. */
static void checksums_are_finished(void **state)
{
	static const uint8_t words[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0};

	for (unsigned odd = 0; odd < 2; odd++) {
		memset(buffer, 0, NET_HDR_SIZE + 64);
		buffer[NET_HDR_FLAGS] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		store_le16(buffer + NET_HDR_CSUM_START, 34);
		store_le16(buffer + NET_HDR_CSUM_OFFSET, 8);
		memcpy(buffer + NET_HDR_SIZE + 34, words, sizeof(words));
		/* a last odd byte counts as the high half of a word */
		buffer[NET_HDR_SIZE + 44] = odd ? 0x01 : 0;
		packet_finish_checksum(buffer, NET_HDR_SIZE + 44 + odd);
		assert_int_equal(buffer[NET_HDR_SIZE + 42], odd ? 0x21 : 0x22);
		assert_int_equal(buffer[NET_HDR_SIZE + 43], 0x0d);
		assert_int_equal(buffer[NET_HDR_FLAGS], 0);
	}
}

static void sizes_are_checked(void **state)
{
	struct packet_channel *channel;
	struct packet *packet;

	assert_int_equal(packet_null_open(2, &packet, NULL), 0);
	assert_int_equal(packet_channel_open(packet, 1, &channel, NULL), 0);
	assert_int_equal(send_with(channel, plain, 13), -EMSGSIZE);
	assert_int_equal(send_with(channel, plain, 14), 0);
	assert_int_equal(send_with(channel, plain, PACKET_MAX_FRAME), 0);
	assert_int_equal(send_with(channel, plain, PACKET_MAX_FRAME + 1), -EMSGSIZE);
	assert_int_equal(packet_receive(channel, buffer), 0);
	assert_int_equal(packet_fd(channel), -1);
	packet_channel_close(channel);
	packet_close(packet);
}

static bool readable(struct packet_channel *channel)
{
	struct pollfd fd = {.fd = packet_fd(channel), .events = POLLIN};

	return poll(&fd, 1, 0) == 1;
}

static void loopback_returns_frames(void **state)
{
	struct packet_channel *channel;
	struct packet *packet;
	unsigned sent = 0, received = 0;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	assert_int_equal(packet_channel_open(packet, 0, &channel, NULL), 0);
	assert_false(readable(channel));
	assert_int_equal(packet_receive(channel, buffer), 0);
	/* more than the line holds: the surplus is dropped, the rest is whole and in order */
	for (unsigned i = 0; i < 200; i++) {
		memset(frame, (int)i, 60000);
		if (send_with(channel, plain, 14 + i * 300) == 0)
			sent++;
	}
	assert_in_range(sent, 20, 199);
	assert_true(readable(channel));
	for (int size; (size = packet_receive(channel, buffer)) > 0; received++) {
		uint8_t tag = buffer[NET_HDR_SIZE];

		assert_int_equal(size, NET_HDR_SIZE + 14 + tag * 300);
		assert_int_equal(buffer[size - 1], tag);
	}
	assert_int_equal(received, sent);
	packet_channel_close(channel);
	packet_close(packet);
}

/* What lay in the cable before somebody listened is not for them. */
static void pairs_are_crossed(void **state)
{
	struct packet_channel *a, *b;
	struct packet *packets[2];

	assert_int_equal(packet_pair_open((unsigned[]){1, 2}, packets, NULL), 0);
	assert_int_equal(packet_channel_open(packets[0], 0, &a, NULL), 0);
	assert_int_equal(send_with(a, plain, 100), 0);
	assert_int_equal(packet_channel_open(packets[1], 0, &b, NULL), 0);
	assert_int_equal(packet_receive(b, buffer), 0);
	assert_int_equal(send_with(a, plain, 100), 0);
	assert_int_equal(packet_receive(a, buffer), 0);
	assert_int_equal(packet_receive(b, buffer), NET_HDR_SIZE + 100);
	assert_int_equal(send_with(b, plain, 50), 0);
	assert_int_equal(packet_receive(a, buffer), NET_HDR_SIZE + 50);
	packet_channel_close(a);
	packet_close(packets[0]);
	assert_int_equal(send_with(b, plain, 50), 0); /* into a cable nobody holds */
	packet_channel_close(b);
	packet_close(packets[1]);
}

#define CROWD 30000u

static int put_tagged(struct packet_channel *channel, unsigned tag)
{
	uint8_t header[NET_HDR_SIZE] = {0}, bytes[400] = {0};
	struct iovec iov[2] = {{header, sizeof(header)}, {bytes, 60 + tag % 300}};

	store_le32(bytes, tag);
	return packet_put(channel, iov, 2, iov[1].iov_len);
}

static void batches_go_with_the_flush(void **state)
{
	struct packet_channel *channel;
	struct packet *packet;
	uint64_t told = 0;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	assert_int_equal(packet_channel_open(packet, 0, &channel, NULL), 0);
	packet_flush(channel);
	assert_false(readable(channel));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(put_tagged(channel, i), 0);
	packet_flush(channel);
	assert_int_equal(read(packet_fd(channel), &told, sizeof(told)), sizeof(told));
	assert_int_equal(told, 1);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(packet_receive(channel, buffer), NET_HDR_SIZE + 60 + i);
		assert_int_equal(load_le32(buffer + NET_HDR_SIZE), i);
	}
	/* nobody has looked since, but nothing is left: that is empty */
	assert_int_equal(put_tagged(channel, 9), 0);
	packet_flush(channel);
	assert_true(readable(channel));
	assert_int_equal(packet_receive(channel, buffer), NET_HDR_SIZE + 69);
	assert_int_equal(packet_receive(channel, buffer), 0);
	packet_channel_close(channel);
	packet_close(packet);
}

/* A receiver that takes frames itself: so many of them, or answers begin with an error. */
struct eater {
	struct packet_sink sink; /* the first member */
	int appetite;
	unsigned begun, ended, eaten[8], count;
};

static int eater_begin(struct packet_sink *sink)
{
	struct eater *eater = (struct eater *)sink;

	if (eater->appetite < 0)
		return eater->appetite;
	eater->begun++;
	return eater->appetite > 0;
}

static bool eater_take(struct packet_sink *sink, const struct iovec *iov, unsigned count,
		       size_t size)
{
	struct eater *eater = (struct eater *)sink;

	assert_true(eater->begun == eater->ended + 1 && count == 2);
	if (!eater->appetite)
		return false;
	eater->appetite--;
	eater->eaten[eater->count++] = load_le32(iov[1].iov_base);
	return true;
}

static void eater_end(struct packet_sink *sink)
{
	((struct eater *)sink)->ended++;
}

static void expect_tagged(struct packet_channel *channel, unsigned tag)
{
	assert_int_equal(packet_receive(channel, buffer), NET_HDR_SIZE + 60 + tag % 300);
	assert_int_equal(load_le32(buffer + NET_HDR_SIZE), tag);
}

/* Straight to the receiver, until it has enough: from then on by the line, and nothing overtakes.
 */
static void a_receiver_that_takes_them_itself(void **state)
{
	struct eater eater = {{.begin = eater_begin, .take = eater_take, .end = eater_end},
			      .appetite = 3};
	struct packet_channel *channel;
	unsigned busy = 0;
	struct packet *packet;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	assert_int_equal(packet_channel_open(packet, 0, &channel, NULL), 0);
	packet_set_sink(channel, &eater.sink);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(put_tagged(channel, i), 0);
		eater.appetite += i == 4; /* too late for this batch */
	}
	assert_int_equal(eater.ended, 1);
	packet_flush(channel);
	assert_true(eater.begun == 1 && eater.ended == 1 && eater.count == 3);
	assert_true(eater.eaten[0] == 0 && eater.eaten[1] == 1 && eater.eaten[2] == 2);
	assert_int_equal(put_tagged(channel, 6), 0); /* three lie in the line: behind them */
	packet_flush(channel);
	assert_true(eater.begun == 2 && eater.ended == 2 && eater.count == 3);
	for (unsigned i = 3; i < 7; i++)
		expect_tagged(channel, i);
	assert_int_equal(packet_receive(channel, buffer), 0);
	eater.appetite = -EAGAIN;
	for (; put_tagged(channel, 7) == -EBUSY; busy++)
		packet_flush(channel);
	assert_in_range(busy, 1, 1000); /* not for ever */
	packet_flush(channel);
	expect_tagged(channel, 7);
	assert_int_equal(packet_receive(channel, buffer), 0);
	eater.appetite = 2;
	assert_int_equal(put_tagged(channel, 8), 0);
	packet_flush(channel);
	packet_set_sink(channel, NULL);
	assert_int_equal(put_tagged(channel, 9), 0);
	packet_flush(channel);
	assert_int_equal(eater.eaten[3], 8);
	expect_tagged(channel, 9);
	packet_channel_close(channel);
	packet_close(packet);
}

static void frames_are_read_where_they_lie(void **state)
{
	struct packet_channel *channel;
	struct packet *packet;
	uint8_t *at, *again;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	assert_int_equal(packet_channel_open(packet, 0, &channel, NULL), 0);
	packet_release(channel); /* nothing is there: nothing happens */
	/* many times around the ring, in a line that is never empty: every cut at its end */
	assert_int_equal(put_tagged(channel, 0), 0);
	for (unsigned i = 0; i < CROWD; i++) {
		assert_int_equal(put_tagged(channel, i + 1), 0);
		packet_flush(channel);
		assert_int_equal(packet_peek(channel, buffer, &at), NET_HDR_SIZE + 60 + i % 300);
		assert_ptr_not_equal(at, buffer);
		assert_int_equal(load_le32(at + NET_HDR_SIZE), i);
		at[NET_HDR_SIZE + 5] = 0xee;
		assert_int_equal(packet_peek(channel, buffer, &again), NET_HDR_SIZE + 60 + i % 300);
		assert_ptr_equal(again, at);
		assert_int_equal(again[NET_HDR_SIZE + 5], 0xee);
		packet_release(channel);
	}
	packet_release(channel);
	assert_int_equal(packet_peek(channel, buffer, &at), 0);
	packet_channel_close(channel);
	packet_close(packet);
}

static void *send_crowd(void *arg)
{
	struct packet_channel *channel = arg;

	for (unsigned i = 0; i < CROWD; i++) {
		while (put_tagged(channel, i) != 0) {
			packet_flush(channel);
			sched_yield();
		}
		if (i % 7 == 0 || i % 11 == 0)
			packet_flush(channel);
	}
	packet_flush(channel);
	return NULL;
}

/* Two threads at the two ends: all arrives in order, and a receiver that waits is always told. */
static void ends_need_not_agree(void **state)
{
	struct packet_channel *a, *b;
	struct packet *packets[2];
	pthread_t sender;
	unsigned next = 0;

	assert_int_equal(packet_pair_open((unsigned[]){*(unsigned *)*state, 1}, packets, NULL), 0);
	assert_int_equal(packet_channel_open(packets[0], 0, &a, NULL), 0);
	assert_int_equal(packet_channel_open(packets[1], 0, &b, NULL), 0);
	assert_int_equal(pthread_create(&sender, NULL, send_crowd, a), 0);
	while (next < CROWD) {
		struct pollfd fd = {.fd = packet_fd(b), .events = POLLIN};
		uint64_t told;

		assert_int_equal(poll(&fd, 1, -1), 1);
		assert_int_equal(read(fd.fd, &told, sizeof(told)), sizeof(told));
		for (int size; (size = packet_receive(b, buffer)) != 0; next++) {
			assert_int_equal(size, NET_HDR_SIZE + 60 + next % 300);
			assert_int_equal(load_le32(buffer + NET_HDR_SIZE), next);
		}
	}
	pthread_join(sender, NULL);
	packet_channel_close(a);
	packet_channel_close(b);
	packet_close(packets[0]);
	packet_close(packets[1]);
}

int main(void)
{
	/* a card with one pair is the only sender of its line, one with two is not */
	static unsigned one = 1, two = 2;

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(headers_are_checked),
		cmocka_unit_test(checksums_are_finished),
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(loopback_returns_frames),
		cmocka_unit_test(pairs_are_crossed),
		cmocka_unit_test(batches_go_with_the_flush),
		cmocka_unit_test(a_receiver_that_takes_them_itself),
		cmocka_unit_test(frames_are_read_where_they_lie),
		cmocka_unit_test_prestate(ends_need_not_agree, &one),
		cmocka_unit_test_prestate(ends_need_not_agree, &two),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
