/*
 * virtio-net: frames read straight into the driver's buffers, for backends that can do so: what the
 * kernel copies out of its own memory is then the only copy.
 *
 * How long a frame is shows only when it is there. So there is always rx_buf for the longest:
 * buffers of the driver's, by the batch and as many as may be needed, and behind them the queue's
 * own.
 *
 *     iov   [ header, frame .. ][ .. ][ .. ]  driver's, from rx_bufs.first on
 *           [ what did not fit ............]  queue->frame
 *
 * A frame that the driver does not want, or that is none, leaves traces in buffers that stay where
 * they are: it is the next one's. One that does not fit, or that has to be changed before the
 * driver may see it, is put together in queue->frame and pending, and goes on as those of other
 * backends do (net_data.c). All of this is within one pass; between passes no buffer is taken.
 */
#include "model/net_internal.h"

#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define ROOMS	   (PACKET_MAX_IOV - 1)
#define ROOM_LEAST 64u /* of a first buffer: the header, and what a filter looks at */
/* The longest frame without segmentation offloads; one of jumbo size goes on behind it. */
#define USUAL (NET_HDR_SIZE + 1522u)

/* Buffers of the driver's: those before `first` have a frame. */
struct rx_bufs {
	struct batch_chain batch[ROOMS];
	uint32_t written[ROOMS];
	unsigned first, have;
};

static bool offers_long(const struct net *net)
{
	return atomic_load_explicit(&net->receive_offloads, memory_order_relaxed) &
	       (PACKET_TSO4 | PACKET_TSO6 | PACKET_UFO | PACKET_USO);
}

/*
 * Lists what the next frame may use. Returns how many entries, and in *rx_buf the bytes of the
 * driver's among them; 0: there is too little left.
 */
static unsigned list_rx_bufs(struct net_queue *queue, const struct rx_bufs *rx_bufs,
			     struct iovec *iov, uint32_t *rx_buf)
{
	bool merge = net_has(queue->net, VIRTIO_NET_F_MRG_RXBUF);
	uint32_t need = merge && offers_long(queue->net) ? PACKET_BUFFER : USUAL;
	unsigned n = 0;

	*rx_buf = 0;
	for (unsigned i = rx_bufs->first; i < rx_bufs->have && *rx_buf < need && (merge || !n);
	     i++) {
		uint32_t size = rx_bufs->batch[i].size;

		if (size > PACKET_BUFFER - *rx_buf)
			size = PACKET_BUFFER - *rx_buf;
		iov[n++] = (struct iovec){rx_bufs->batch[i].host, size};
		*rx_buf += size;
	}
	if (!n || iov[0].iov_len < ROOM_LEAST)
		return 0;
	if (*rx_buf < need && merge && rx_bufs->first) /* take more of them first */
		return 0;
	if (*rx_buf < PACKET_BUFFER)
		iov[n++] = (struct iovec){queue->frame, PACKET_BUFFER - *rx_buf};
	return n;
}

/* Puts a frame together that lies in pieces, the last of which is queue->frame if it is so long. */
static void gather(struct net_queue *queue, const struct iovec *iov, uint32_t rx_buf, uint32_t size)
{
	uint32_t at = 0;

	if (size > rx_buf)
		memmove(queue->frame + rx_buf, queue->frame, size - rx_buf);
	else
		rx_buf = size;
	for (; at < rx_buf; iov++) {
		size_t n = iov->iov_len < rx_buf - at ? iov->iov_len : rx_buf - at;

		memcpy(queue->frame + at, iov->iov_base, n);
		at += (uint32_t)n;
	}
	queue->arrived = queue->frame;
	queue->pending = size;
}

/* The frame is where it belongs. The header that the driver sees is the one that was judged. */
static void keep(struct net_queue *queue, struct rx_bufs *rx_bufs, uint8_t *header, uint32_t size)
{
	uint8_t *to = rx_bufs->batch[rx_bufs->first].host;
	unsigned begin = rx_bufs->first;
	uint32_t left = size;

	while (left) {
		uint32_t n = rx_bufs->batch[rx_bufs->first].size;

		rx_bufs->written[rx_bufs->first++] = left < n ? left : n;
		left -= left < n ? left : n;
	}
	store_le16(header + NET_HDR_BUFFERS, (uint16_t)(rx_bufs->first - begin));
	memcpy(to, header, NET_HDR_SIZE);
	net_count(&queue->counters.packets, 1);
	net_count(&queue->counters.bytes, size - NET_HDR_SIZE);
}

/* A frame has arrived. Returns false if it is pending. */
static bool settle(struct net_queue *queue, struct rx_bufs *rx_bufs, const struct iovec *iov,
		   uint32_t rx_buf, uint8_t *header, uint32_t size)
{
	struct net *net = queue->net;
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);
	uint32_t first = size < iov[0].iov_len ? size : (uint32_t)iov[0].iov_len;

	if (!net_wants(net, header, (const uint8_t *)iov[0].iov_base + NET_HDR_SIZE,
		       first - NET_HDR_SIZE, size - NET_HDR_SIZE)) {
		net_count(&queue->counters.filtered, 1);
		return true;
	}
	if (size > rx_buf || !packet_header_ok(header, size - NET_HDR_SIZE, offloads)) {
		gather(queue, iov, rx_buf, size);
		memcpy(queue->frame, header, NET_HDR_SIZE);
		return false;
	}
	header[NET_HDR_FLAGS] &= net_flags_for(offloads);
	keep(queue, rx_bufs, header, size);
	return true;
}

/* Fills the rx_bufs. Returns what net_receive_into does. */
static enum net_into fill(struct net_queue *queue, struct packet_channel *channel,
			  struct rx_bufs *rx_bufs, unsigned *budget)
{
	struct iovec iov[PACKET_MAX_IOV];
	uint8_t header[NET_HDR_SIZE];

	for (; *budget; --*budget) {
		uint32_t rx_buf;
		unsigned n = list_rx_bufs(queue, rx_bufs, iov, &rx_buf);
		int size;

		if (!n)
			return rx_bufs->first ? NET_INTO_MORE : NET_INTO_NOT;
		size = packet_receive_into(channel, iov, n, header);
		if (!size)
			return NET_INTO_DRY;
		if (size < 0)
			net_count(&queue->counters.malformed, 1);
		if (size == -EFAULT) /* whoever copies finds out what is wrong with the buffers */
			return NET_INTO_NOT;
		if (size > 0 && !settle(queue, rx_bufs, iov, rx_buf, header, (uint32_t)size))
			return NET_INTO_NOT;
	}
	return NET_INTO_MORE;
}

enum net_into net_receive_into(struct net_queue *queue, struct packet_channel *channel,
			       struct chain_source *source, unsigned *budget)
{
	struct rx_bufs rx_bufs = {.first = 0};
	enum net_into r;

	/* of a card that is not plugged in nothing is written to the driver's memory */
	if (queue->pending || queue->net->link_down || !source->take_batch ||
	    !packet_receives_into(channel))
		return NET_INTO_NOT;
	net_give_back(queue, source); /* they come first */
	rx_bufs.have = source->take_batch(source, SPACE_WRITE, rx_bufs.batch, ROOMS);
	if (!rx_bufs.have)
		return NET_INTO_NOT;
	r = fill(queue, channel, &rx_bufs, budget);
	source->unpop_batch(source, rx_bufs.have - rx_bufs.first);
	source->complete_batch(source, rx_bufs.batch, rx_bufs.written, rx_bufs.first);
	return r;
}
