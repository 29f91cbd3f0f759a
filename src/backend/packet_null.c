/*
 * The null packet backend: frames vanish, none arrive. It is also the tutorial: everything that a
 * backend must have, and nothing else.
 *
 * A backend is a struct that begins with `struct packet`, a table of operations, and a function
 * that opens it. Frames to send arrive checked (packet.c): they have a sensible size, and their
 * headers ask only for what the backend said it can do. One that can receive has an fd, too, and is
 * asked until it has nothing more (packet_pair.c).
 */
#include "backend/backends.h"

#include <errno.h>
#include <stdlib.h>

/* A backend with state per queue pair puts `struct packet_channel` first in a struct of its own. */
static int null_channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			     struct error *f)
{
	*channel = calloc(1, sizeof(**channel));
	return *channel ? 0 : error_set(f, -ENOMEM, "no memory for a channel of the null network");
}

static void null_channel_close(struct packet_channel *channel)
{
	free(channel);
}

static int null_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		     size_t size)
{
	return 0;
}

static int null_send_frames(struct packet_channel *channel, const struct packet_frame *frames,
			    unsigned count)
{
	return (int)count;
}

static int null_receive(struct packet_channel *channel, uint8_t *buffer)
{
	return 0;
}

static void null_close(struct packet *packet)
{
	free(packet);
}

static const struct packet_ops null_ops = {
	.name = "null",
	.channel_open = null_channel_open,
	.channel_close = null_channel_close,
	.send = null_send,
	.send_frames = null_send_frames,
	.receive = null_receive,
	.close = null_close,
};

int packet_null_open(unsigned pairs, struct packet **packet, struct error *f)
{
	*packet = calloc(1, sizeof(**packet));
	if (!*packet)
		return error_set(f, -ENOMEM, "no memory for the null network");
	**packet = (struct packet){
		.ops = &null_ops,
		.pairs = pairs,
		.send_offloads = PACKET_CSUM | PACKET_TSO4 | PACKET_TSO6 | PACKET_ECN | PACKET_UFO,
	};
	return 0;
}
