/*
 * The datagram backend: a frame is a datagram, without a header, between two unix sockets or two
 * UDP ports: QEMU's `-netdev dgram`. Nothing is connected in the unix case, so that the other side
 * may go and come back; a UDP socket is, so that nobody else's datagrams get in.
 *
 * Frames that nobody takes are dropped, as in a cable that is not plugged in. Nobody reads while
 * the card is suspended: what arrives waits in the socket as far as the system has room.
 */
#include "backend/backends.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/unixname.h"

/* Frames that waited before anybody listened, thrown away at most when a channel opens. */
#define STALE_MAX 4096

struct address {
	socklen_t size;
	struct sockaddr_storage storage;
};

struct dgram {
	struct packet packet; /* the first member */
	struct packet_channel channel;
	int fd;
	struct unixname name;
	struct address remote; /* unix; UDP is connected: size 0 */
};

static struct dgram *dgram_of(struct packet *packet)
{
	return (struct dgram *)packet;
}

static int dgram_fd(struct packet_channel *channel)
{
	return dgram_of(channel->packet)->fd;
}

static int dgram_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		      size_t size)
{
	struct dgram *dgram = dgram_of(channel->packet);
	struct msghdr message = {
		.msg_name = dgram->remote.size ? &dgram->remote.storage : NULL,
		.msg_namelen = dgram->remote.size,
		.msg_iov = (struct iovec *)(uintptr_t)(iov + 1),
		.msg_iovlen = count - 1,
	};

	return sendmsg(dgram->fd, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* What went wrong with something sent earlier is reported here, too; it is not a frame. */
static int dgram_receive(struct packet_channel *channel, uint8_t *buffer)
{
	ssize_t n;

	do
		n = recv(dgram_fd(channel), buffer + NET_HDR_SIZE, PACKET_MAX_FRAME, MSG_TRUNC);
	while (n < 0 && errno == ECONNREFUSED);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if ((size_t)n > PACKET_MAX_FRAME)
		return -EMSGSIZE;
	memset(buffer, 0, NET_HDR_SIZE);
	return (int)(NET_HDR_SIZE + (size_t)n);
}

/* A card without a driver hears nothing: what waits is not for this one. */
static int dgram_channel_open(struct packet *packet, unsigned index, struct packet_channel **out,
			      struct error *f)
{
	struct dgram *dgram = dgram_of(packet);
	char stale;

	for (unsigned i = 0; i < STALE_MAX && recv(dgram->fd, &stale, 1, MSG_TRUNC) >= 0; i++)
		;
	*out = &dgram->channel;
	return 0;
}

static void dgram_channel_close(struct packet_channel *channel)
{
}

static void dgram_close(struct packet *packet)
{
	struct dgram *dgram = dgram_of(packet);

	unixname_remove(&dgram->name);
	if (dgram->fd >= 0)
		close(dgram->fd);
	free(dgram);
}

static const struct packet_ops dgram_ops = {
	.name = "dgram",
	.channel_open = dgram_channel_open,
	.channel_close = dgram_channel_close,
	.send = dgram_send,
	.receive = dgram_receive,
	.close = dgram_close,
	.fd = dgram_fd,
};

/* HOST:PORT or [HOST]:PORT, in numbers: nothing is looked up. */
static int parse_inet(const char *text, struct address *to, struct error *f)
{
	const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				       .ai_socktype = SOCK_DGRAM};
	const char *colon = strrchr(text, ':'), *from = text;
	size_t size = colon ? (size_t)(colon - text) : 0;
	struct addrinfo *found = NULL;
	char host[64];

	if (size > 2 && text[0] == '[' && colon[-1] == ']') {
		from = text + 1;
		size -= 2;
	}
	if (size && size < sizeof(host) && colon[1]) {
		memcpy(host, from, size);
		host[size] = '\0';
		if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
			found = NULL;
	}
	if (!found)
		return error_set(f, -EINVAL,
				 "'%s' is neither a path (with a '/') nor an address like "
				 "127.0.0.1:5000 or [::1]:5000",
				 text);
	to->size = found->ai_addrlen;
	memcpy(&to->storage, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	return 0;
}

static int open_inet(struct dgram *dgram, const struct packet_dgram_options *options,
		     struct error *f)
{
	struct address local, remote;
	int error = parse_inet(options->local, &local, f);

	if (!error)
		error = parse_inet(options->remote, &remote, f);
	if (error)
		return error;
	dgram->fd = socket(local.storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dgram->fd < 0)
		return error_set(f, -errno, "no UDP socket: %s", strerror(errno));
	if (bind(dgram->fd, (const struct sockaddr *)&local.storage, local.size) < 0)
		return error_set(f, -errno, "UDP %s cannot be bound: %s", options->local,
				 strerror(errno));
	if (connect(dgram->fd, (const struct sockaddr *)&remote.storage, remote.size) < 0)
		return error_set(f, -errno, "UDP %s cannot be reached from %s: %s", options->remote,
				 options->local, strerror(errno));
	return 0;
}

static int open_unix(struct dgram *dgram, const struct packet_dgram_options *options,
		     struct error *f)
{
	struct sockaddr_un remote;
	int error = unixname_address(options->remote, &remote, f);

	if (error)
		return error;
	dgram->remote.size = sizeof(remote);
	memcpy(&dgram->remote.storage, &remote, sizeof(remote));
	dgram->fd = unixname_bind(options->local, SOCK_DGRAM, NULL, &dgram->name, f);
	return dgram->fd < 0 ? dgram->fd : 0;
}

int packet_dgram_open(const struct packet_dgram_options *options, struct packet **packet,
		      struct error *f)
{
	bool local = strchr(options->local, '/'), remote = strchr(options->remote, '/');
	struct dgram *dgram;
	int error;

	if (local != remote)
		return error_set(f, -EINVAL, "'%s' and '%s': both are paths, or both addresses",
				 options->local, options->remote);
	dgram = calloc(1, sizeof(*dgram));
	if (!dgram)
		return error_set(f, -ENOMEM, "no memory for a datagram socket");
	dgram->packet = (struct packet){.ops = &dgram_ops, .pairs = 1};
	dgram->fd = -1;
	error = local ? open_unix(dgram, options, f) : open_inet(dgram, options, f);
	if (error) {
		dgram_close(&dgram->packet);
		return error;
	}
	*packet = &dgram->packet;
	return 0;
}
