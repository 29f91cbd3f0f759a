/*
 * virtio-net: frames read straight into the driver's buffers, for backends that can do so: what the
 * kernel copies out of its own memory is then the only copy.
 *
 * How long a frame is shows only when it is there. So there is always room for the longest: buffers
 * of the driver's, by the batch and as many as may be needed, and behind them the queue's own.
 *
 *     iov   [ header, frame .. ][ .. ][ .. ]  driver's, from rooms.first on
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
struct rooms {
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
 * Lists what the next frame may use. Returns how many entries, and in *room the bytes of the
 * driver's among them; 0: there is too little left.
 */
static unsigned list_rooms(struct net_queue *queue, const struct rooms *rooms, struct iovec *iov,
			   uint32_t *room)
{
	bool merge = net_has(queue->net, VIRTIO_NET_F_MRG_RXBUF);
	uint32_t need = merge && offers_long(queue->net) ? PACKET_BUFFER : USUAL;
	unsigned n = 0;

	*room = 0;
	for (unsigned i = rooms->first; i < rooms->have && *room < need && (merge || !n); i++) {
		uint32_t size = rooms->batch[i].size;

		if (size > PACKET_BUFFER - *room)
			size = PACKET_BUFFER - *room;
		iov[n++] = (struct iovec){rooms->batch[i].host, size};
		*room += size;
	}
	if (!n || iov[0].iov_len < ROOM_LEAST)
		return 0;
	if (*room < need && merge && rooms->first) /* take more of them first */
		return 0;
	if (*room < PACKET_BUFFER)
		iov[n++] = (struct iovec){queue->frame, PACKET_BUFFER - *room};
	return n;
}

/* Puts a frame together that lies in pieces, the last of which is queue->frame if it is so long. */
static void gather(struct net_queue *queue, const struct iovec *iov, uint32_t room, uint32_t size)
{
	uint32_t at = 0;

	if (size > room)
		memmove(queue->frame + room, queue->frame, size - room);
	else
		room = size;
	for (; at < room; iov++) {
		size_t n = iov->iov_len < room - at ? iov->iov_len : room - at;

		memcpy(queue->frame + at, iov->iov_base, n);
		at += (uint32_t)n;
	}
	queue->arrived = queue->frame;
	queue->pending = size;
}

/* The frame is where it belongs. The header that the driver sees is the one that was judged. */
static void keep(struct net_queue *queue, struct rooms *rooms, uint8_t *header, uint32_t size)
{
	uint8_t *to = rooms->batch[rooms->first].host;
	unsigned begin = rooms->first;
	uint32_t left = size;

	while (left) {
		uint32_t n = rooms->batch[rooms->first].size;

		rooms->written[rooms->first++] = left < n ? left : n;
		left -= left < n ? left : n;
	}
	store_le16(header + NET_HDR_BUFFERS, (uint16_t)(rooms->first - begin));
	memcpy(to, header, NET_HDR_SIZE);
	net_count(&queue->counters.packets, 1);
	net_count(&queue->counters.bytes, size - NET_HDR_SIZE);
}

/* A frame has arrived. Returns false if it is pending. */
static bool settle(struct net_queue *queue, struct rooms *rooms, const struct iovec *iov,
		   uint32_t room, uint8_t *header, uint32_t size)
{
	struct net *net = queue->net;
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);
	uint32_t first = size < iov[0].iov_len ? size : (uint32_t)iov[0].iov_len;

	if (!net_wants(net, header, (const uint8_t *)iov[0].iov_base + NET_HDR_SIZE,
		       first - NET_HDR_SIZE, size - NET_HDR_SIZE)) {
		net_count(&queue->counters.filtered, 1);
		return true;
	}
	if (size > room || !packet_header_ok(header, size - NET_HDR_SIZE, offloads)) {
		gather(queue, iov, room, size);
		memcpy(queue->frame, header, NET_HDR_SIZE);
		return false;
	}
	header[NET_HDR_FLAGS] &= net_flags_for(offloads);
	keep(queue, rooms, header, size);
	return true;
}

/* Fills the rooms. Returns what net_receive_into does. */
static enum net_into fill(struct net_queue *queue, struct packet_channel *channel,
			  struct rooms *rooms, unsigned *budget)
{
	struct iovec iov[PACKET_MAX_IOV];
	uint8_t header[NET_HDR_SIZE];

	for (; *budget; --*budget) {
		uint32_t room;
		unsigned n = list_rooms(queue, rooms, iov, &room);
		int size;

		if (!n)
			return rooms->first ? NET_INTO_MORE : NET_INTO_NOT;
		size = packet_receive_into(channel, iov, n, header);
		if (!size)
			return NET_INTO_DRY;
		if (size < 0)
			net_count(&queue->counters.malformed, 1);
		if (size == -EFAULT) /* whoever copies finds out what is wrong with the buffers */
			return NET_INTO_NOT;
		if (size > 0 && !settle(queue, rooms, iov, room, header, (uint32_t)size))
			return NET_INTO_NOT;
	}
	return NET_INTO_MORE;
}

enum net_into net_receive_into(struct net_queue *queue, struct packet_channel *channel,
			       struct chain_source *source, unsigned *budget)
{
	struct rooms rooms = {.first = 0};
	enum net_into r;

	/* of a card that is not plugged in nothing is written to the driver's memory */
	if (queue->pending || queue->net->link_down || !source->take_batch ||
	    !packet_receives_into(channel))
		return NET_INTO_NOT;
	net_give_back(queue, source); /* they come first */
	rooms.have = source->take_batch(source, SPACE_WRITE, rooms.batch, ROOMS);
	if (!rooms.have)
		return NET_INTO_NOT;
	r = fill(queue, channel, &rooms, budget);
	source->unpop_batch(source, rooms.have - rooms.first);
	source->complete_batch(source, rooms.batch, rooms.written, rooms.first);
	return r;
}
