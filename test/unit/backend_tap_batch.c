/*
 * backend/tap_batch.c, over a socket that keeps messages apart as a TAP descriptor does: frames
 * that go together go whole, each once and in order, and what there is no room for is counted.
 *
 *	backend_tap_batch old	the same where the descriptor knows no RWF_NOWAIT
 */
#include "backend/tap_batch.h"

#include <errno.h>
#include <liburing.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/bytes.h"

#define SIZE 1000u /* of a frame, in pieces of 200 */
#define MANY 32	   /* more frames than these are in no batch */

#define NO_FLAG 0x40000000 /* what a kernel does not know it answers with EOPNOTSUPP */

static bool old;
static unsigned entered; /* how often a ring was */

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	const struct io_uring_sq *sq = &ring->sq;

	entered++;
	for (unsigned i = sq->sqe_head; old && i != sq->sqe_tail; i++)
		if (sq->sqes[i & (sq->ring_entries - 1)].rw_flags & RWF_NOWAIT)
			sq->sqes[i & (sq->ring_entries - 1)].rw_flags = NO_FLAG;
	return __real_io_uring_submit(ring);
}

static int fds[2];
static struct tap_batch *batch;
static uint8_t bytes[MANY][SIZE];

static void set_up(void)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	batch = tap_batch_new(fds[0]);
	assert_non_null(batch);
}

static void tear_down(void)
{
	tap_batch_free(batch);
	close(fds[0]);
	close(fds[1]);
}

/* A frame with a number, whose header is gone when this returns. */
static bool add(unsigned slot, uint32_t number, unsigned pieces)
{
	uint8_t header[NET_HDR_SIZE] = {[NET_HDR_FLAGS] = (uint8_t)number};
	struct iovec iov[16] = {{header, sizeof(header)}};
	unsigned piece = SIZE / (pieces - 1);
	bool added;

	memset(bytes[slot], (int)number, SIZE);
	store_le32(bytes[slot], number);
	for (unsigned i = 1; i < pieces; i++)
		iov[i] = (struct iovec){bytes[slot] + (i - 1) * piece, piece};
	added = tap_batch_add(batch, iov, pieces);
	memset(header, 0xee, sizeof(header));
	return added;
}

/* The next frame that arrived; -1: there is none. */
static int64_t next(void)
{
	uint8_t frame[2 * SIZE];
	ssize_t n = recv(fds[1], frame, sizeof(frame), 0);

	if (n < 0)
		return -1;
	assert_int_equal(n, NET_HDR_SIZE + SIZE);
	assert_int_equal(frame[NET_HDR_FLAGS], frame[NET_HDR_SIZE]);
	assert_int_equal(frame[n - 1], frame[NET_HDR_SIZE]);
	return load_le32(frame + NET_HDR_SIZE);
}

static void together(void **state)
{
	uint32_t number = 0, expected = 0;

	set_up();
	assert_int_equal(tap_batch_send(batch).frames, 0); /* nothing is nothing */
	for (unsigned count = 1; count <= 5; count++) {
		entered = 0;
		for (unsigned i = 0; i < count; i++)
			assert_true(add(i, number++, i % 2 ? 2 : 6));
		assert_int_equal(next(), -1);
		assert_int_equal(tap_batch_send(batch).frames, 0);
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(next(), expected++);
		/* an old one is asked once, and then known */
		assert_int_equal(entered, count == 1 ? 0 : old && count == 2 ? 2 : 1);
	}
	assert_int_equal(next(), -1);
	tear_down();
}

static void what_does_not_fit(void **state)
{
	set_up();
	assert_false(add(0, 0, 11)); /* too many pieces, ever */
	for (unsigned i = 0; i < MANY; i++)
		assert_true(add(i, i, 2));
	assert_false(add(0, MANY, 2));
	tear_down(); /* what was not sent is gone */
}

/* A receiver that is full: some frames are lost, and counted, and the others are in order. */
static void no_room(void **state)
{
	uint32_t number = 0, got = 0, lost = 0;
	int64_t last = -1, now;
	int small = 4096;

	set_up();
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (unsigned round = 0; round < 20; round++) {
		struct packet_lost l;

		for (unsigned i = 0; i < 16; i++)
			assert_true(add(i, number++, 3));
		l = tap_batch_send(batch);
		assert_int_equal(l.bytes, (uint64_t)l.frames * SIZE);
		lost += l.frames;
		for (unsigned i = 0; i < 3 && (now = next()) >= 0; i++, got++) {
			assert_true(now > last);
			last = now;
		}
	}
	while ((now = next()) >= 0) {
		assert_true(now > last);
		last = now;
		got++;
	}
	assert_true(lost > 0 && got > 0);
	assert_int_equal(lost + got, number);
	tear_down();
}

/* The other end is gone: all is lost, and nothing waits for it. */
static void nobody(void **state)
{
	set_up();
	close(fds[1]);
	for (unsigned i = 0; i < 4; i++)
		assert_true(add(i, i, 2));
	assert_int_equal(tap_batch_send(batch).frames, 4);
	fds[1] = dup(fds[0]);
	tear_down();
}

/* Whether this is such a kernel: sockets of 6.1 do not know it either. */
static bool kernel_is_old(void)
{
	char byte = 0;
	struct iovec iov = {&byte, 1};
	int pair[2], error = 0;

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair))
		return false;
	if (pwritev2(pair[0], &iov, 1, -1, RWF_NOWAIT) < 0)
		error = errno;
	close(pair[0]);
	close(pair[1]);
	return error == EOPNOTSUPP;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(together),
		cmocka_unit_test(what_does_not_fit),
		cmocka_unit_test(no_room),
		cmocka_unit_test(nobody),
	};
	struct tap_batch *probe = tap_batch_new(0);

	old = kernel_is_old() || (argc > 1 && !strcmp(argv[1], "old"));
	if (!probe) {
		printf("io_uring is refused here\n");
		return 77;
	}
	tap_batch_free(probe);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
