/* virtio-net: frames between chains and the backend (virtio 1.3, 5.1.6). */
#include "model/net_internal.h"

#include <assert.h>
#include <errno.h>

#include "util/bytes.h"

/* --- Receiving -------------------------------------------------------------------------------- */

/* Makes a frame what the driver can take. Returns false if that is not possible. */
static bool adapt(struct net *net, uint8_t *frame, unsigned size)
{
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);

	if (packet_header_ok(frame, size - NET_HDR_SIZE, offloads)) {
		/* DATA_VALID is for drivers that know of checksums, too */
		if (!(offloads & PACKET_CSUM))
			frame[NET_HDR_FLAGS] = 0;
		return true;
	}
	if (frame[NET_HDR_GSO_TYPE] != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	packet_finish_checksum(frame, size);
	frame[NET_HDR_FLAGS] = 0;
	return true;
}

/* Stages the next frame that the driver wants. Returns false if nothing more has arrived. */
static bool stage(struct net_queue *queue, struct packet_channel *channel)
{
	struct net *net = queue->net;
	int size = packet_peek(channel, queue->frame, &queue->arrived);

	if (size == 0)
		return false;
	if (size < 0) {
		net_count(&queue->counters.malformed, 1);
		return true;
	}
	if (net->link_down || !filter_wants(&net->filter, queue->arrived + NET_HDR_SIZE,
					    (unsigned)size - NET_HDR_SIZE))
		net_count(&queue->counters.filtered, 1);
	else if (!adapt(net, queue->arrived, (unsigned)size))
		net_count(&queue->counters.malformed, 1);
	else
		queue->staged = (unsigned)size;
	if (!queue->staged)
		packet_release(channel);
	return true;
}

/* Why a chain is no receive buffer; NULL: it is one (5.1.6.3.1). */
static const char *buffer_trouble(const struct chain *chain, unsigned number)
{
	if (!chain->writable)
		return "a receive buffer that cannot be written";
	if (!number && chain->writable < NET_HDR_SIZE)
		return "a receive buffer that does not hold the header";
	return NULL;
}

static void give_back(struct net_queue *queue, struct chain_source *source, unsigned count)
{
	while (count)
		source->untake(source, queue->taken[--count]);
}

unsigned net_take_buffers(struct net_queue *queue, struct chain_source *source, unsigned size,
			  bool *dry)
{
	unsigned most = net_has(queue->net, VIRTIO_NET_F_MRG_RXBUF) ? queue->depth : 1;
	uint64_t room = 0;
	unsigned count = 0;

	*dry = false;
	while (room < size && count < most) {
		struct request *request = source->take(source);
		const char *why;

		if (!request) {
			*dry = true;
			give_back(queue, source, count);
			return 0;
		}
		why = buffer_trouble(&request->chain, count);
		if (why) {
			request_refuse(request, why);
			while (count)
				request_refuse(queue->taken[--count], why);
			*dry = true;
			return 0;
		}
		queue->taken[count++] = request;
		room += request->chain.writable;
	}
	if (room >= size)
		return count;
	give_back(queue, source, count);
	return 0;
}

/* Writes the staged frame into the chains taken for it. They are shown together, by publish. */
static void deliver(struct net_queue *queue, unsigned count)
{
	uint32_t at = 0;
	bool gone = false;

	store_le16(queue->arrived + NET_HDR_BUFFERS, (uint16_t)count);
	for (unsigned i = 0; i < count; i++) {
		struct request *request = queue->taken[i];
		uint32_t n = queue->staged - at;

		if (n > request->chain.writable)
			n = (uint32_t)request->chain.writable;
		request->chain.in_order = true; /* the log marks no more than is written */
		gone = gone || chain_write(&request->chain, 0, queue->arrived + at, n) < 0;
		at += n;
		if (gone)
			request_refuse(request, "a receive buffer went away");
		else
			request_complete(request, n);
	}
	net_count(&queue->counters.packets, 1);
	net_count(&queue->counters.bytes, queue->staged - NET_HDR_SIZE);
}

bool net_pump_receive(struct net_queue *queue, struct packet_channel *channel,
		      struct chain_source *source, unsigned budget)
{
	for (; budget; budget--) {
		unsigned count;
		bool dry;

		if (!queue->staged && !stage(queue, channel))
			return false;
		if (!queue->staged)
			continue;
		count = net_take_buffers(queue, source, queue->staged, &dry);
		if (dry)
			return false; /* the frame stays staged */
		if (count)
			deliver(queue, count);
		else /* no buffer will ever do */
			net_count(&queue->counters.no_room, 1);
		queue->staged = 0;
		packet_release(channel);
	}
	return true;
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* The frame behind the header as the chain's own segments. 0: they have to be copied. */
static unsigned list_frame(const struct chain *chain, struct iovec *iov)
{
	uint64_t skip = NET_HDR_SIZE;
	unsigned n = 1;

	for (unsigned i = 0; i < chain->readable_count; i++) {
		const struct segment *s = &chain->segments[i];

		if (skip >= s->size) {
			skip -= s->size;
			continue;
		}
		if (!s->host || n == PACKET_MAX_IOV)
			return 0;
		iov[n++] = (struct iovec){s->host + skip, s->size - skip};
		skip = 0;
	}
	return n;
}

/* Sends one chain. The header is read once: what is checked is what is sent. */
static int send_chain(struct net_queue *queue, struct packet_channel *channel,
		      const struct chain *chain)
{
	struct iovec iov[PACKET_MAX_IOV];
	uint8_t header[NET_HDR_SIZE];
	unsigned n;

	if (chain->readable < NET_HDR_SIZE + ETH_HLEN || chain->readable > PACKET_BUFFER)
		return -EMSGSIZE;
	if (chain_read_head(chain, header, sizeof(header)) < 0)
		return -EFAULT;
	store_le16(header + NET_HDR_BUFFERS, 0);
	iov[0] = (struct iovec){header, sizeof(header)};
	n = list_frame(chain, iov);
	if (!n) {
		size_t size = chain->readable - NET_HDR_SIZE;

		if (chain_read(chain, NET_HDR_SIZE, queue->frame, size) < 0)
			return -EFAULT;
		iov[1] = (struct iovec){queue->frame, size};
		n = 2;
	}
	return packet_put(channel, iov, n);
}

static void count_sent(struct net_queue *queue, const struct chain *chain, int error)
{
	if (error == -EMSGSIZE || error == -EINVAL || error == -EFAULT) {
		net_count(&queue->counters.malformed, 1);
	} else if (error) {
		net_count(&queue->counters.no_room, 1);
	} else {
		net_count(&queue->counters.packets, 1);
		net_count(&queue->counters.bytes, chain->readable - NET_HDR_SIZE);
	}
}

/* Returns whether there may be more to send. */
static bool send_batch(struct net_queue *queue, struct packet_channel *channel,
		       struct chain_source *source, unsigned budget)
{
	for (; budget; budget--) {
		struct request *request = source->take(source);
		int error = -ENETDOWN;

		if (!request)
			return false;
		if (!queue->net->link_down)
			error = send_chain(queue, channel, &request->chain);
		if (error == -EBUSY) {
			source->untake(source, request);
			return true;
		}
		count_sent(queue, &request->chain, error);
		request_complete(request, 0);
	}
	return true;
}

bool net_pump_send(struct net_queue *queue, struct packet_channel *channel,
		   struct chain_source *source, unsigned budget)
{
	bool more;

	if (queue->tell && !queue->net->link_down) {
		queue->tell = false;
		net_tell(queue, channel);
	}
	more = send_batch(queue, channel, source, budget);
	packet_flush(channel);
	return more;
}
