/*
 * Fuzz target: what the peer of a card sends over a socket: a stream of frames with their sizes,
 * in pieces of any length, or datagrams.
 *
 * Checked, besides what sanitizers see: exactly the frames come out that another reader of the same
 * bytes finds in them; what are no frames ends the connection, and the next peer is heard from
 * its beginning.
 *
 * An input is a kind (stream, datagrams) and a sequence of pieces: a byte, how long; if it is 255,
 * a whole frame of the size in the next two bytes.
 */
#include "fuzz.h"

#include <errno.h>
#include <net/ethernet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/backends.h"
#include "util/bytes.h"
#include "util/log.h"
#include "util/unixname.h"

#define PIECE_MAX (4 + 65535)

/* What went into the stream and has not come out. */
struct sent {
	uint8_t bytes[2 * PIECE_MAX];
	size_t size;
};

static char paths[2][64];
static struct packet_channel *stream, *dgram;
static uint8_t buffer[PACKET_BUFFER], piece[PIECE_MAX];
static struct sent sent;

static void forget_names(void)
{
	unlink(paths[0]);
	unlink(paths[1]);
}

static void open_cables(void)
{
	const struct packet_stream_options s = {.path = paths[0], .server = true};
	const struct packet_dgram_options d = {.local = paths[1], .remote = "/nowhere/at/all"};
	struct packet *packet;
	int r;

	log_set_level(LOG_LEVEL_ERROR);
	for (unsigned i = 0; i < 2; i++)
		snprintf(paths[i], sizeof(paths[i]), "/tmp/uvdpa-fuzz-cable-%d-%u", (int)getpid(),
			 i);
	atexit(forget_names);
	r = packet_stream_open(&s, &packet, NULL) || packet_channel_open(packet, 0, &stream, NULL);
	assert(!r);
	r = packet_dgram_open(&d, &packet, NULL) || packet_channel_open(packet, 0, &dgram, NULL);
	assert(!r);
	(void)r;
}

static int call(const char *path, int type)
{
	struct sockaddr_un at;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0), r;

	r = unixname_address(path, &at, NULL) || connect(fd, (struct sockaddr *)&at, sizeof(at));
	assert(!r);
	(void)r;
	return fd;
}

/* The next piece of the input. */
static size_t next_piece(struct food *food)
{
	size_t size = eat_byte(food);

	if (size < 255) {
		eat(food, piece, size);
		return size;
	}
	size = eat_u16(food);
	store_be32(piece, (uint32_t)size);
	memset(piece + 4, (int)size, size);
	return 4 + size;
}

/* What a frame that was found is received as. */
static int expected_of(size_t size)
{
	return size < ETH_HLEN ? -EMSGSIZE : (int)(NET_HDR_SIZE + size);
}

/* Takes the next frame out of what was sent. False: there is no whole one. */
static bool take_sent(int got)
{
	size_t size = sent.size >= 4 ? load_be32(sent.bytes) : 0;

	if (sent.size < 4 || size + 4 > sent.size)
		return false;
	assert(got == expected_of(size));
	if (got > 0)
		assert(!memcmp(buffer + NET_HDR_SIZE, sent.bytes + 4, size));
	sent.size -= 4 + size;
	memmove(sent.bytes, sent.bytes + 4 + size, sent.size);
	return true;
}

static bool is_nonsense(void)
{
	return sent.size >= 4 && load_be32(sent.bytes) > PACKET_MAX_FRAME;
}

/* Everything that has come out by now. False: the connection has been ended. */
static bool hear_stream(void)
{
	for (;;) {
		bool nonsense = is_nonsense();
		int got = packet_receive(stream, buffer);

		if (nonsense) {
			assert(got == -EPROTO);
			return false;
		}
		if (!take_sent(got)) {
			assert(got == 0);
			return true;
		}
	}
}

static void try_stream(struct food *food)
{
	int fd = call(paths[0], SOCK_STREAM), got;
	bool open = true;

	sent.size = 0;
	while (open && food->left) {
		size_t size = next_piece(food);
		ssize_t n = send(fd, piece, size, MSG_NOSIGNAL);

		assert(n == (ssize_t)size);
		(void)n;
		memcpy(sent.bytes + sent.size, piece, size);
		sent.size += size;
		open = hear_stream();
		/* what waits for its rest is kept small, as the reader here does not keep more */
		open = open && sent.size < PIECE_MAX;
	}
	close(fd);
	got = packet_receive(stream, buffer); /* hears that the peer is gone */
	assert(got == 0);
	(void)got;
}

static void try_datagrams(struct food *food)
{
	int fd = call(paths[1], SOCK_DGRAM);

	while (food->left) {
		size_t size = next_piece(food);
		ssize_t n = send(fd, piece, size, MSG_NOSIGNAL);
		int got = packet_receive(dgram, buffer);

		assert(n == (ssize_t)size);
		(void)n;
		assert(got == expected_of(size));
		if (got > 0)
			assert(!memcmp(buffer + NET_HDR_SIZE, piece, size));
		assert(packet_receive(dgram, buffer) == 0);
	}
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct food food = {data, size};

	if (!stream)
		open_cables();
	if (eat_byte(&food) & 1)
		try_datagrams(&food);
	else
		try_stream(&food);
	return 0;
}
