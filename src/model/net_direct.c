/*
 * virtio-net: frames from the other card of a cable, straight out of the sender's memory into our
 * driver's buffers (packet_sink). The sender's worker runs this, as a visit to our receive queue
 * (model_port): meanwhile no pass of ours is under way, and all that a pass may touch is ours.
 *
 * Only the plain case is done here. Whatever else there is, a frame staged already, too few
 * buffers, a checksum to be finished, goes by the cable and net_data.c.
 */
#include "model/net_internal.h"

#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define ADDRESSES (ETH_HLEN + 4u) /* what a filter looks at */

struct visit {
	struct net_queue *queue;
	const struct iovec *iov; /* [0] is the header */
	unsigned count;
	unsigned size; /* with the header */
	int taken;
};

/* The first bytes of the frame behind the header. Returns how many there are, at most ADDRESSES. */
static unsigned peek(const struct visit *v, uint8_t *to)
{
	unsigned have = 0;

	for (unsigned i = 1; i < v->count && have < ADDRESSES; i++) {
		size_t n = v->iov[i].iov_len;

		if (n > ADDRESSES - have)
			n = ADDRESSES - have;
		memcpy(to + have, v->iov[i].iov_base, n);
		have += (unsigned)n;
	}
	return have;
}

/* Where the next bytes go: into chain `at` of those taken, behind `offset` bytes of it. */
struct place {
	unsigned at;
	uint64_t offset;
	bool gone;
};

static void copy(struct net_queue *queue, struct place *place, const uint8_t *from, size_t size)
{
	while (size) {
		struct chain *chain = &queue->taken[place->at]->chain;
		uint64_t n = chain->writable - place->offset;

		if (!n) {
			place->at++;
			place->offset = 0;
			continue;
		}
		if (n > size)
			n = size;
		place->gone = place->gone || chain_write(chain, place->offset, from, n) < 0;
		place->offset += n;
		from += n;
		size -= n;
	}
}

/* All chains are shown together, by the visit's publish. */
static void finish(struct visit *v, unsigned count, bool gone)
{
	struct net_queue *queue = v->queue;
	uint64_t left = v->size;

	for (unsigned i = 0; i < count; i++) {
		struct request *request = queue->taken[i];
		uint64_t n = left < request->chain.writable ? left : request->chain.writable;

		left -= n;
		request->chain.in_order = true; /* the log marks no more than is written */
		if (gone)
			request_refuse(request, "a receive buffer went away");
		else
			request_complete(request, (uint32_t)n);
	}
	net_count(&queue->counters.packets, 1);
	net_count(&queue->counters.bytes, v->size - NET_HDR_SIZE);
	net_count(&queue->counters.direct, 1);
	v->taken = 1;
}

static void deliver(struct visit *v, unsigned count, unsigned offloads)
{
	struct place place = {0};
	uint8_t header[NET_HDR_SIZE];

	memcpy(header, v->iov[0].iov_base, sizeof(header));
	store_le16(header + NET_HDR_BUFFERS, (uint16_t)count);
	if (!(offloads & PACKET_CSUM))
		header[NET_HDR_FLAGS] = 0;
	copy(v->queue, &place, header, sizeof(header));
	for (unsigned i = 1; i < v->count; i++)
		copy(v->queue, &place, v->iov[i].iov_base, v->iov[i].iov_len);
	finish(v, count, place.gone);
}

static void visit(void *arg, struct chain_source *source)
{
	struct visit *v = arg;
	struct net_queue *queue = v->queue;
	struct net *net = queue->net;
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);
	uint8_t start[ADDRESSES];
	unsigned count;
	bool dry;

	if (queue->staged || net->link_down)
		return;
	if (!filter_wants(&net->filter, start, peek(v, start))) {
		net_count(&queue->counters.filtered, 1);
		v->taken = 1;
		return;
	}
	if (!packet_header_ok(v->iov[0].iov_base, v->size - NET_HDR_SIZE, offloads))
		return;
	count = net_take_buffers(queue, source, v->size, &dry);
	if (count)
		deliver(v, count, offloads);
}

int net_take(struct packet_sink *sink, const struct iovec *iov, unsigned count, size_t size)
{
	struct net_queue *queue = (struct net_queue *)(void *)sink; /* its first member */
	struct net *net = queue->net;
	struct visit v = {queue, iov, count, (unsigned)size, 0};
	int error;

	if (!net->model.port)
		return 0;
	error = net->model.port->visit(net->model.port, (unsigned)(queue - net->queues), visit, &v);
	return error == -EAGAIN ? error : v.taken;
}
