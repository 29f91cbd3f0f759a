/*
 * The tap backend: a TAP interface of this machine, one descriptor per queue pair.
 *
 * Headers pass through as they are (IFF_VNET_HDR with virtio_net_hdr_v1), so that checksums and
 * segmentation stay undone as far as both the guest and the kernel can take it. All descriptors are
 * opened at once, so that a mistake shows before anything is served, and so that rights can be
 * dropped afterwards; a queue nobody uses is detached and gets no frames.
 *
 * Frames to send go to the kernel by the batch where that can be had (tap_batch.h).
 *
 * The interface is neither configured nor put up: whoever made it does that.
 */
#include "backend/backends.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend/tap_batch.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* Frames that waited before anybody listened, thrown away at most when a channel opens. */
#define STALE_MAX 4096

struct tap_channel {
	struct packet_channel channel; /* the first member */
	int fd;
	struct tap_batch *batch; /* NULL: each frame goes by itself */
	struct packet_lost lost; /* of the batches since the last flush */
};

struct tap {
	struct packet packet; /* the first member */
	unsigned attached;
	int fds[PACKET_MAX_PAIRS];
};

static struct tap *tap_of(struct packet *packet)
{
	return (struct tap *)packet;
}

static int channel_fd(struct packet_channel *channel)
{
	return ((struct tap_channel *)channel)->fd;
}

static int received(ssize_t n)
{
	/* EBADFD: the interface is gone or this queue is detached; nothing comes from it */
	if (n < 0)
		return errno == EAGAIN || errno == EBADFD || errno == EINTR ? 0 : -errno;
	return (int)n;
}

static int tap_receive(struct packet_channel *channel, uint8_t *buffer)
{
	return received(read(channel_fd(channel), buffer, PACKET_BUFFER));
}

static int tap_receive_into(struct packet_channel *channel, const struct iovec *iov, unsigned count)
{
	return received(readv(channel_fd(channel), iov, (int)count));
}

static void send_batch(struct tap_channel *channel)
{
	struct packet_lost lost = tap_batch_send(channel->batch);

	channel->lost.frames += lost.frames;
	channel->lost.bytes += lost.bytes;
}

static int tap_send(struct packet_channel *packet_channel, const struct iovec *iov, unsigned count,
		    size_t size)
{
	struct tap_channel *channel = (struct tap_channel *)packet_channel;

	if (channel->batch) {
		if (tap_batch_add(channel->batch, iov, count))
			return 0;
		send_batch(channel); /* nothing overtakes */
		if (tap_batch_add(channel->batch, iov, count))
			return 0;
	}
	return writev(channel->fd, iov, (int)count) < 0 ? -errno : 0;
}

static struct packet_lost tap_flush(struct packet_channel *packet_channel)
{
	struct tap_channel *channel = (struct tap_channel *)packet_channel;
	struct packet_lost lost;

	if (channel->batch)
		send_batch(channel);
	lost = channel->lost;
	channel->lost = (struct packet_lost){0};
	return lost;
}

static int tap_channel_open(struct packet *packet, unsigned index, struct packet_channel **out,
			    struct error *f)
{
	struct tap_channel *channel = calloc(1, sizeof(*channel));
	char stale[64];

	if (!channel)
		return error_set(f, -ENOMEM, "no memory for a channel of a tap");
	channel->fd = tap_of(packet)->fds[index];
	/* a card without a driver hears nothing: what waits is not for this one */
	for (unsigned i = 0; i < STALE_MAX && read(channel->fd, stale, sizeof(stale)) > 0; i++)
		;
	channel->batch = tap_batch_new(channel->fd);
	*out = &channel->channel;
	return 0;
}

static void tap_channel_close(struct packet_channel *channel)
{
	tap_batch_free(((struct tap_channel *)channel)->batch);
	free(channel);
}

static unsigned tun_offloads(unsigned offloads)
{
	unsigned flags = 0;

	if (!(offloads & PACKET_CSUM))
		return 0; /* everything else needs it */
	flags |= TUN_F_CSUM;
	flags |= offloads & PACKET_TSO4 ? TUN_F_TSO4 : 0;
	flags |= offloads & PACKET_TSO6 ? TUN_F_TSO6 : 0;
	flags |= offloads & PACKET_UFO ? TUN_F_UFO : 0;
	flags |= offloads & PACKET_USO ? TUN_F_USO4 | TUN_F_USO6 : 0;
	if (offloads & PACKET_ECN && flags & (TUN_F_TSO4 | TUN_F_TSO6))
		flags |= TUN_F_TSO_ECN;
	return flags;
}

/* The interface's, whichever descriptor says it. What fails was not offered. */
static void tap_set_offloads(struct packet *packet, unsigned offloads)
{
	(void)!ioctl(tap_of(packet)->fds[0], TUNSETOFFLOAD, (unsigned long)tun_offloads(offloads));
}

static void tap_set_pairs(struct packet *packet, unsigned pairs)
{
	struct tap *tap = tap_of(packet);
	struct ifreq request = {0};

	for (; tap->attached < pairs; tap->attached++) {
		request.ifr_flags = IFF_ATTACH_QUEUE;
		if (ioctl(tap->fds[tap->attached], TUNSETQUEUE, &request) < 0)
			return;
	}
	for (; tap->attached > pairs; tap->attached--) {
		request.ifr_flags = IFF_DETACH_QUEUE;
		if (ioctl(tap->fds[tap->attached - 1], TUNSETQUEUE, &request) < 0)
			return;
	}
}

static void tap_close(struct packet *packet)
{
	struct tap *tap = tap_of(packet);

	for (unsigned i = 0; i < packet->pairs; i++)
		if (tap->fds[i] >= 0)
			close(tap->fds[i]);
	free(tap);
}

static const struct packet_ops tap_ops = {
	.name = "tap",
	.channel_open = tap_channel_open,
	.channel_close = tap_channel_close,
	.send = tap_send,
	.flush = tap_flush,
	.receive = tap_receive,
	.receive_into = tap_receive_into,
	.close = tap_close,
	.fd = channel_fd,
	.set_offloads = tap_set_offloads,
	.set_pairs = tap_set_pairs,
};

static int explain(const char *name, unsigned index, int error, struct error *f)
{
	switch (error) {
	case EPERM:
	case EACCES:
		return error_set(
			f, -error,
			"tap '%s': no permission; run as root, or let its owner be you: ip "
			"tuntap add %s mode tap user $USER vnet_hdr",
			name, name);
	case EBUSY:
		return error_set(f, -error, "tap '%s' is in use by another program", name);
	case EINVAL:
		return error_set(f, -error,
				 "'%s' is no tap interface, or has fewer queues than asked for: ip "
				 "tuntap add %s mode tap vnet_hdr multi_queue",
				 name, name);
	case E2BIG:
		return error_set(f, -error, "tap '%s' has no more than %u queues to give", name,
				 index);
	default:
		return error_set(f, -error, "tap '%s' cannot be opened: %s", name, strerror(error));
	}
}

/* Opens one queue. Returns the descriptor or a negative errno. */
static int attach(const char *name, unsigned flags)
{
	struct ifreq request = {0};
	int size = NET_HDR_SIZE, le = 1, error;
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, name, strlen(name));
	request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | flags);
	if (ioctl(fd, TUNSETIFF, &request) == 0 && ioctl(fd, TUNSETVNETHDRSZ, &size) == 0 &&
	    ioctl(fd, TUNSETVNETLE, &le) == 0)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static int open_queues(struct tap *tap, const struct packet_tap_options *options, struct error *f)
{
	unsigned flags = options->pairs > 1 ? IFF_MULTI_QUEUE : 0;

	for (unsigned i = 0; i < options->pairs; i++) {
		int fd = attach(options->name, flags);

		/* one queue of an interface that could have several */
		if (fd == -EINVAL && options->pairs == 1)
			fd = attach(options->name, IFF_MULTI_QUEUE);
		if (fd < 0)
			return explain(options->name, i, -fd, f);
		tap->fds[i] = fd;
	}
	return 0;
}

/* What the kernel at hand can do: it refuses what it does not know. */
static unsigned find_offloads(struct tap *tap, bool uso)
{
	static const unsigned wanted[] = {PACKET_TSO4 | PACKET_TSO6 | PACKET_ECN, PACKET_UFO,
					  PACKET_USO};
	unsigned found = PACKET_CSUM;

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		if (wanted[i] == PACKET_USO && !uso)
			continue;
		if (ioctl(tap->fds[0], TUNSETOFFLOAD,
			  (unsigned long)tun_offloads(PACKET_CSUM | wanted[i])) == 0)
			found |= wanted[i];
	}
	(void)!ioctl(tap->fds[0], TUNSETOFFLOAD, 0ul);
	return found;
}

/* The interface's MTU; 0 if there is no such interface. */
static int look_up(const char *name, uint16_t *mtu, struct error *f)
{
	struct ifreq request = {0};
	int fd, error = 0;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return error_set(f, -EINVAL, "tap '%s': interfaces have names of 1 to %d bytes",
				 name, IFNAMSIZ - 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(f, -errno, "tap '%s': no socket to ask for it: %s", name,
				 strerror(errno));
	memcpy(request.ifr_name, name, strlen(name));
	*mtu = 0;
	if (ioctl(fd, SIOCGIFMTU, &request) == 0)
		*mtu = (uint16_t)(request.ifr_mtu > UINT16_MAX ? UINT16_MAX : request.ifr_mtu);
	else if (errno != ENODEV)
		error = error_set(f, -errno, "tap '%s': %s", name, strerror(errno));
	close(fd);
	return error;
}

int packet_tap_open(const struct packet_tap_options *options, struct packet **packet,
		    struct error *f)
{
	uint16_t mtu;
	struct tap *tap;
	int error = look_up(options->name, &mtu, f);

	if (error)
		return error;
	if (!mtu && !options->create)
		return error_set(f, -ENODEV,
				 "there is no interface '%s': make it (ip tuntap add %s mode tap "
				 "vnet_hdr%s), or say create=on",
				 options->name, options->name,
				 options->pairs > 1 ? " multi_queue" : "");
	tap = calloc(1, sizeof(*tap));
	if (!tap)
		return error_set(f, -ENOMEM, "no memory for a tap");
	tap->packet = (struct packet){.ops = &tap_ops, .pairs = options->pairs};
	for (unsigned i = 0; i < PACKET_MAX_PAIRS; i++)
		tap->fds[i] = -1;
	error = open_queues(tap, options, f);
	if (!error && !mtu)
		error = look_up(options->name, &mtu, f);
	if (error) {
		tap_close(&tap->packet);
		return error;
	}
	tap->attached = options->pairs;
	tap_set_pairs(&tap->packet, 1);
	tap->packet.mtu = mtu;
	tap->packet.send_offloads = tap->packet.receive_offloads = find_offloads(tap, options->uso);
	*packet = &tap->packet;
	return 0;
}
