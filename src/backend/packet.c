/* The checking front of every packet backend, and what headers mean: see packet.h. */
#include "backend/packet.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/bytes.h"

int packet_channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			struct error *f)
{
	int error;

	assert(index < packet->pairs && packet->pairs <= PACKET_MAX_PAIRS);
	error = packet->ops->channel_open(packet, index, channel, f);
	if (error)
		return error;
	(*channel)->packet = packet;
	(*channel)->index = index;
	(*channel)->send_offloads = 0;
	return 0;
}

void packet_channel_close(struct packet_channel *channel)
{
	channel->packet->ops->channel_close(channel);
}

/* The offload that a GSO type is; 0 if there is no such type. */
static unsigned gso_offload(unsigned type)
{
	switch (type & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4:
		return PACKET_TSO4;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		return PACKET_TSO6;
	case VIRTIO_NET_HDR_GSO_UDP:
		return PACKET_UFO;
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return PACKET_USO;
	default:
		return 0;
	}
}

/* virtio 1.3, 5.1.6.2: what a sender may say. hdr_len is a hint and is not looked at. */
bool packet_request_ok(const uint8_t *header, size_t size, unsigned offloads)
{
	unsigned flags = header[NET_HDR_FLAGS], gso = header[NET_HDR_GSO_TYPE];
	size_t start = load_le16(header + NET_HDR_CSUM_START);
	size_t offset = load_le16(header + NET_HDR_CSUM_OFFSET);
	bool csum = flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	if (csum && (!(offloads & PACKET_CSUM) || start + offset + 2 > size || start < ETH_HLEN))
		return false;
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (!(offloads & gso_offload(gso)) || !load_le16(header + NET_HDR_GSO_SIZE))
		return false;
	if ((gso & VIRTIO_NET_HDR_GSO_ECN) && !(offloads & PACKET_ECN))
		return false;
	/* 5.1.6.2.1: GSO needs the checksum, too; UFO alone may come without */
	return csum || gso_offload(gso) == PACKET_UFO;
}

struct packet_lost packet_flush(struct packet_channel *channel)
{
	if (channel->packet->ops->flush)
		return channel->packet->ops->flush(channel);
	return (struct packet_lost){0};
}

/* For backends that take frames only one by one. */
static int send_each(struct packet_channel *channel, const struct packet_frame *frames,
		     unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		const struct packet_frame *frame = &frames[i];
		const struct iovec iov[2] = {{(void *)(uintptr_t)frame->header, NET_HDR_SIZE},
					     {(void *)(uintptr_t)frame->data, frame->size}};
		int error = channel->packet->ops->send(channel, iov, 2, NET_HDR_SIZE + frame->size);

		if (error)
			return i || error != -EBUSY ? (int)i : error;
	}
	return (int)count;
}

int packet_put_frames(struct packet_channel *channel, const struct packet_frame *frames,
		      unsigned count)
{
	const struct packet_ops *ops = channel->packet->ops;
	unsigned good = 0;

	while (good < count && frames[good].size >= ETH_HLEN &&
	       frames[good].size <= PACKET_MAX_FRAME &&
	       packet_header_ok(frames[good].header, frames[good].size, channel->send_offloads))
		good++;
	if (!good)
		return 0;
	return ops->send_frames ? ops->send_frames(channel, frames, good)
				: send_each(channel, frames, good);
}

int packet_send(struct packet_channel *channel, const struct iovec *iov, unsigned count)
{
	size_t size = 0;
	int error;

	assert(count >= 2 && count <= PACKET_MAX_IOV && iov[0].iov_len == NET_HDR_SIZE);
	for (unsigned i = 1; i < count; i++)
		size += iov[i].iov_len;
	error = packet_put(channel, iov, count, size);
	return packet_flush(channel).frames && !error ? -EAGAIN : error;
}

/* What a backend said that it received. As packet_receive. */
static int judge(const uint8_t *frame, int size)
{
	if (size <= 0)
		return size;
	assert((size_t)size <= PACKET_BUFFER);
	if ((size_t)size < NET_HDR_SIZE + ETH_HLEN)
		return -EMSGSIZE;
	/* what the receiver cannot take is the caller's to judge */
	if (!packet_header_ok(frame, (size_t)size - NET_HDR_SIZE, ~0u))
		return -EINVAL;
	return size;
}

int packet_receive(struct packet_channel *channel, uint8_t *buffer)
{
	return judge(buffer, channel->packet->ops->receive(channel, buffer));
}

int packet_receive_into(struct packet_channel *channel, const struct iovec *iov, unsigned count,
			uint8_t header[NET_HDR_SIZE])
{
	int size;

	assert(count && iov[0].iov_len >= NET_HDR_SIZE);
	size = channel->packet->ops->receive_into(channel, iov, count);
	if (size > 0)
		memcpy(header, iov[0].iov_base, NET_HDR_SIZE);
	return judge(header, size);
}

int packet_peek(struct packet_channel *channel, uint8_t *buffer, uint8_t **frame)
{
	int size, judged;

	*frame = buffer;
	if (!channel->packet->ops->peek)
		return packet_receive(channel, buffer);
	size = channel->packet->ops->peek(channel, frame);
	judged = judge(*frame, size);
	if (size > 0 && judged < 0)
		packet_release(channel);
	return judged;
}

void packet_release(struct packet_channel *channel)
{
	if (channel->packet->ops->release)
		channel->packet->ops->release(channel);
}

int packet_fd(struct packet_channel *channel)
{
	return channel->packet->ops->fd ? channel->packet->ops->fd(channel) : -1;
}

void packet_set_offloads(struct packet *packet, unsigned offloads)
{
	assert(!(offloads & ~packet->receive_offloads));
	if (packet->ops->set_offloads)
		packet->ops->set_offloads(packet, offloads);
}

void packet_set_pairs(struct packet *packet, unsigned pairs)
{
	assert(pairs && pairs <= packet->pairs);
	if (packet->ops->set_pairs)
		packet->ops->set_pairs(packet, pairs);
}

void packet_set_sink(struct packet_channel *channel, struct packet_sink *sink)
{
	if (channel->packet->ops->set_sink)
		channel->packet->ops->set_sink(channel, sink);
}

void packet_close(struct packet *packet)
{
	packet->ops->close(packet);
}

/*
 * The Internet checksum (RFC 1071) over what the header names; the sender has put the pseudo
 * header's sum where the result goes.
 */
void packet_finish_checksum(uint8_t *buffer, size_t size)
{
	size_t start = load_le16(buffer + NET_HDR_CSUM_START);
	size_t at = start + load_le16(buffer + NET_HDR_CSUM_OFFSET);
	uint8_t *frame = buffer + NET_HDR_SIZE;
	uint64_t sum = 0;

	size -= NET_HDR_SIZE;
	assert(at + 2 <= size);
	for (size_t i = start; i + 1 < size; i += 2)
		sum += (uint64_t)frame[i] << 8 | frame[i + 1];
	if ((size - start) & 1)
		sum += (uint64_t)frame[size - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	sum = ~sum & 0xffff;
	if (!sum)
		sum = 0xffff; /* 0 says "none" in UDP, and means the same elsewhere */
	frame[at] = (uint8_t)(sum >> 8);
	frame[at + 1] = (uint8_t)sum;
	buffer[NET_HDR_FLAGS] &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	memset(buffer + NET_HDR_CSUM_START, 0, 4);
}
