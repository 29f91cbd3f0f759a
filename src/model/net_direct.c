/*
 * virtio-net: frames straight out of the sender's memory into our driver's buffers (packet_sink):
 * from the other card of a cable, or from this one's own send queue. The sender's worker runs this,
 * as a borrowing to our receive queue (model_port): meanwhile no pass of ours is under way, and all
 * that a pass may touch is ours. One borrowing is for a batch of frames, which are shown together.
 *
 * What waits in the cable goes first. Only the plain case is done here: for too few buffers, or a
 * checksum to be finished, the rest of the batch goes by the cable and net_data.c.
 */
#include "model/net_internal.h"

#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define BACKLOG	  64		  /* frames of the cable, per borrowing */
#define ADDRESSES (ETH_HLEN + 4u) /* what a filter looks at */

static struct net_queue *queue_of(struct packet_sink *sink)
{
	return (struct net_queue *)(void *)sink; /* its first member */
}

static unsigned index_of(const struct net_queue *queue)
{
	return (unsigned)(queue - queue->net->queues);
}

/* Where the next bytes go: into chain `at` of those taken, behind `offset` bytes of it. */
struct rundir {
	unsigned at;
	uint64_t offset;
	bool gone;
};

static void copy(struct net_queue *queue, struct rundir *place, const uint8_t *from, size_t size)
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

static void deliver(struct net_queue *queue, unsigned buffers, unsigned offloads,
		    const struct iovec *iov, unsigned count, size_t size)
{
	const struct chain *chain = &queue->taken[queue->first]->chain;
	struct rundir place = {.at = queue->first};
	uint8_t header[NET_HDR_SIZE];

	memcpy(header, iov[0].iov_base, sizeof(header));
	store_le16(header + NET_HDR_BUFFERS, (uint16_t)buffers);
	header[NET_HDR_FLAGS] &= net_flags_for(offloads);
	if (count == 2 && chain->segments[0].host && !chain->readable_count &&
	    chain->segments[0].size >= size) { /* most are like that */
		memmove(chain->segments[0].host + sizeof(header), iov[1].iov_base, iov[1].iov_len);
		memcpy(chain->segments[0].host, header, sizeof(header));
	} else {
		copy(queue, &place, header, sizeof(header));
		for (unsigned i = 1; i < count; i++)
			copy(queue, &place, iov[i].iov_base, iov[i].iov_len);
	}
	net_finish(queue, buffers, (unsigned)size, place.gone);
	net_count(&queue->counters.direct, 1);
}

/* The first bytes of the frame behind the header, in one piece. *size: how many there are. */
static const uint8_t *peek(const struct iovec *iov, unsigned count, uint8_t *room, unsigned *size)
{
	unsigned have = 0;

	if (count == 2 || iov[1].iov_len >= ADDRESSES) {
		*size = (unsigned)iov[1].iov_len;
		return iov[1].iov_base;
	}
	for (unsigned i = 1; i < count && have < ADDRESSES; i++) {
		size_t n = iov[i].iov_len;

		if (n > ADDRESSES - have)
			n = ADDRESSES - have;
		memcpy(room + have, iov[i].iov_base, n);
		have += (unsigned)n;
	}
	*size = have;
	return room;
}

static bool take(struct packet_sink *sink, const struct iovec *iov, unsigned count, size_t size)
{
	struct net_queue *queue = queue_of(sink);
	struct net *net = queue->net;
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);
	unsigned buffers, seen;
	uint8_t room[ADDRESSES];
	const uint8_t *start = peek(iov, count, room, &seen);
	bool dry;

	if (!net_wants(net, iov[0].iov_base, start, seen, size - NET_HDR_SIZE)) {
		net_count(&queue->counters.filtered, 1);
		return true;
	}
	if (!packet_header_ok(iov[0].iov_base, size - NET_HDR_SIZE, offloads))
		return false;
	buffers = net_take_buffers(queue, queue->borrowed, (unsigned)size, &dry);
	if (buffers)
		deliver(queue, buffers, offloads, iov, count, size);
	return buffers;
}

/* Puts a frame into a buffer that holds all of it. */
static void place(const struct batch_chain *batch, const struct packet_frame *frame,
		  unsigned offloads)
{
	memmove(batch->host + NET_HDR_SIZE, frame->data, frame->size);
	memcpy(batch->host, frame->header, NET_HDR_SIZE);
	store_le16(batch->host + NET_HDR_BUFFERS, 1);
	batch->host[NET_HDR_FLAGS] = frame->header[NET_HDR_FLAGS] & net_flags_for(offloads);
}

static void count_placed(struct net_queue *queue, unsigned packets, uint64_t bytes,
			 unsigned filtered)
{
	net_count(&queue->counters.packets, packets);
	net_count(&queue->counters.direct, packets);
	net_count(&queue->counters.bytes, bytes);
	if (filtered)
		net_count(&queue->counters.filtered, filtered);
}

static unsigned take_frames(struct packet_sink *sink, const struct packet_frame *frames,
			    unsigned count)
{
	struct net_queue *queue = queue_of(sink);
	struct chain_source *source = queue->borrowed;
	unsigned offloads =
		atomic_load_explicit(&queue->net->receive_offloads, memory_order_relaxed);
	struct batch_chain batch[NET_BATCH];
	unsigned have, n = 0, i;
	uint32_t written[NET_BATCH];
	uint64_t bytes = 0;

	if (!source->take_batch)
		return 0;
	net_give_back(queue, source); /* they come first */
	have = source->take_batch(source, SPACE_WRITE, batch,
				  count < NET_BATCH ? count : NET_BATCH);
	for (i = 0; i < count; i++) {
		const struct packet_frame *frame = &frames[i];

		if (!net_wants(queue->net, frame->header, frame->data, frame->size, frame->size))
			continue;
		if (n == have || batch[n].size < NET_HDR_SIZE + frame->size ||
		    !packet_header_ok(frame->header, frame->size, offloads))
			break;
		place(&batch[n], frame, offloads);
		written[n++] = NET_HDR_SIZE + frame->size;
		bytes += frame->size;
	}
	source->unpop_batch(source, have - n);
	source->complete_batch(source, batch, written, n);
	count_placed(queue, n, bytes, i - n);
	return i;
}

static void leave(struct net_queue *queue, bool waiting)
{
	struct model_port *port = queue->net->model.port;

	net_give_back(queue, queue->borrowed);
	port->leave(port, index_of(queue), waiting);
}

static void end(struct packet_sink *sink)
{
	leave(queue_of(sink), false);
}

static int begin(struct packet_sink *sink)
{
	struct net_queue *queue = queue_of(sink);
	struct net *net = queue->net;
	struct model_port *port = net->model.port;
	unsigned index = index_of(queue);
	bool waiting;
	int error;

	if (!port)
		return 0;
	error = port->enter(port, index, &queue->borrowed);
	if (error)
		return error == -EAGAIN ? error : 0;
	waiting =
		net_process_receive(queue, net->pair[index / 2].channel, queue->borrowed, BACKLOG);
	waiting = waiting || queue->pending;
	if (!waiting && !net->link_down)
		return 1;
	leave(queue, waiting);
	return 0;
}

const struct packet_sink net_sink = {
	.begin = begin, .take = take, .take_frames = take_frames, .end = end};
