/* virtio-net: frames between chains and the backend (virtio 1.3, 5.1.6). */
#include "model/net_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/bytes.h"

/* --- Receiving -------------------------------------------------------------------------------- */

/* Length of what goes before the network's packet: VLAN tags lengthen it. */
static size_t link_header(const uint8_t *frame, unsigned seen)
{
	size_t size = ETH_HLEN;

	for (; size <= seen && size < ETH_HLEN + 8; size += 4) {
		unsigned type = (unsigned)frame[size - 2] << 8 | frame[size - 1];

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
	}
	return size;
}

bool net_is_too_long(const struct net *net, const uint8_t *header, const uint8_t *frame,
		     unsigned seen, size_t size)
{
	unsigned gso = header[NET_HDR_GSO_TYPE] & ~(unsigned)VIRTIO_NET_HDR_GSO_ECN;

	/* what is still to be cut is as long as it likes */
	return gso == VIRTIO_NET_HDR_GSO_NONE && size > net->mtu + link_header(frame, seen);
}

/* Makes a frame what the driver can take. Returns false if that is not possible. */
static bool adapt(struct net *net, uint8_t *frame, unsigned size)
{
	unsigned offloads = atomic_load_explicit(&net->receive_offloads, memory_order_relaxed);

	if (packet_header_ok(frame, size - NET_HDR_SIZE, offloads)) {
		frame[NET_HDR_FLAGS] &= net_flags_for(offloads);
		return true;
	}
	if (frame[NET_HDR_GSO_TYPE] != VIRTIO_NET_HDR_GSO_NONE)
		return false;
	packet_finish_checksum(frame, size);
	frame[NET_HDR_FLAGS] = 0;
	return true;
}

/* Stages the next frame that the driver wants. Returns false if nothing more has arrived. */
static bool pending(struct net_queue *queue, struct packet_channel *channel)
{
	struct net *net = queue->net;
	int size = packet_peek(channel, queue->frame, &queue->arrived);

	if (size == 0)
		return false;
	if (size < 0) {
		net_count(&queue->counters.malformed, 1);
		return true;
	}
	if (net->link_down ||
	    !net_wants(net, queue->arrived, queue->arrived + NET_HDR_SIZE,
		       (unsigned)size - NET_HDR_SIZE, (unsigned)size - NET_HDR_SIZE))
		net_count(&queue->counters.filtered, 1);
	else if (!adapt(net, queue->arrived, (unsigned)size))
		net_count(&queue->counters.malformed, 1);
	else
		queue->pending = (unsigned)size;
	if (!queue->pending)
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

static void unpop(struct net_queue *queue, struct chain_source *source, unsigned down_to)
{
	while (queue->have > down_to)
		source->unpop(source, queue->taken[--queue->have]);
}

void net_give_back(struct net_queue *queue, struct chain_source *source)
{
	unpop(queue, source, queue->first);
	queue->first = queue->have = 0;
}

/* Chains to be taken at once: as many again as this pass has had, for what it goes on as it began.
 */
#define TAKE_MOST 16

/* Takes more chains behind those that wait for a frame. Returns false if there are none. */
static bool take_more(struct net_queue *queue, struct chain_source *source)
{
	unsigned want = queue->have ? queue->have : 1, room;

	if (queue->first == queue->have) {
		queue->first = queue->have = 0;
	} else if (queue->have == queue->depth) {
		queue->have -= queue->first;
		memmove(queue->taken, queue->taken + queue->first,
			queue->have * sizeof(queue->taken[0]));
		queue->first = 0;
	}
	room = queue->depth - queue->have;
	want = want < TAKE_MOST ? want : TAKE_MOST;
	want = source->take(source, queue->taken + queue->have, want < room ? want : room);
	queue->have += want;
	return want;
}

/* A chain is nonsense: those of the frame are refused, what was taken behind them goes back. */
static void refuse_buffers(struct net_queue *queue, struct chain_source *source, unsigned count,
			   const char *why)
{
	unpop(queue, source, queue->first + count);
	while (queue->have > queue->first)
		request_refuse(queue->taken[--queue->have], why);
}

unsigned net_take_buffers(struct net_queue *queue, struct chain_source *source, unsigned size,
			  bool *dry)
{
	unsigned most = net_has(queue->net, VIRTIO_NET_F_MRG_RXBUF) ? queue->depth : 1;
	uint64_t room = 0;
	unsigned count = 0;

	*dry = false;
	while (room < size && count < most) {
		const struct chain *chain;
		const char *why;

		if (queue->first + count == queue->have && !take_more(queue, source)) {
			*dry = true;
			return 0;
		}
		chain = &queue->taken[queue->first + count]->chain;
		why = buffer_trouble(chain, count++);
		if (why) {
			refuse_buffers(queue, source, count, why);
			*dry = true;
			return 0;
		}
		room += chain->writable;
	}
	return room >= size ? count : 0;
}

void net_finish(struct net_queue *queue, unsigned count, unsigned size, bool gone)
{
	uint64_t left = size;

	for (; count; count--) {
		struct request *request = queue->taken[queue->first++];
		uint64_t n = left < request->chain.writable ? left : request->chain.writable;

		left -= n;
		request->chain.in_order = true; /* the log marks no more than is written */
		if (gone)
			request_refuse(request, "a receive buffer went away");
		else
			request_complete(request, (uint32_t)n);
	}
	net_count(&queue->counters.packets, 1);
	net_count(&queue->counters.bytes, size - NET_HDR_SIZE);
}

/* Writes the pending frame into the chains taken for it. */
static void deliver(struct net_queue *queue, unsigned count)
{
	uint32_t at = 0;
	bool gone = false;

	store_le16(queue->arrived + NET_HDR_BUFFERS, (uint16_t)count);
	for (unsigned i = 0; i < count; i++) {
		const struct chain *chain = &queue->taken[queue->first + i]->chain;
		uint32_t n = queue->pending - at;

		if (n > chain->writable)
			n = (uint32_t)chain->writable;
		gone = gone || chain_write(chain, 0, queue->arrived + at, n) < 0;
		at += n;
	}
	net_finish(queue, count, queue->pending, gone);
}

/*
 * A pass is counted in chains of few pieces (S10, S16): so many tiny buffers, or pieces of a frame
 * that is sent, are as much work as a frame more.
 */
#define BUFFERS_PER_FRAME 8
#define PIECES_PER_FRAME  32

static void use_up(unsigned *budget, unsigned frames)
{
	*budget -= frames < *budget ? frames : *budget;
}

/*
 * One frame, by way of where it is pending, out of the budget. Returns false if there is none, or
 * no buffer for it.
 */
static bool receive_one(struct net_queue *queue, struct packet_channel *channel,
			struct chain_source *source, unsigned *budget)
{
	unsigned count;
	bool dry;

	use_up(budget, 1);

	if (!queue->pending && !pending(queue, channel))
		return false;
	if (!queue->pending)
		return true;
	count = net_take_buffers(queue, source, queue->pending, &dry);
	use_up(budget, count / BUFFERS_PER_FRAME);
	if (dry)
		return false; /* the frame stays pending */
	if (count)
		deliver(queue, count);
	else /* no buffer will ever do */
		net_count(&queue->counters.no_room, 1);
	queue->pending = 0;
	packet_release(channel);
	return true;
}

static bool receive(struct net_queue *queue, struct packet_channel *channel,
		    struct chain_source *source, unsigned budget)
{
	while (budget) {
		enum net_into into = net_receive_into(queue, channel, source, &budget);

		if (into == NET_INTO_DRY)
			return false;
		if (into == NET_INTO_MORE)
			continue;
		if (!receive_one(queue, channel, source, &budget))
			return false;
	}
	return true;
}

bool net_process_receive(struct net_queue *queue, struct packet_channel *channel,
			 struct chain_source *source, unsigned budget)
{
	bool more = receive(queue, channel, source, budget);

	net_give_back(queue, source);
	return more;
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* What became of a batch. */
struct stats {
	unsigned packets, malformed, no_room;
	uint64_t bytes;
};

/* The frame behind the header as the chain's own segments. 0: they have to be copied. */
static unsigned list_frame(const struct chain *chain, struct iovec *iov)
{
	const struct segment *first = &chain->segments[0];
	uint64_t skip = NET_HDR_SIZE;
	unsigned n = 1;

	if (chain->readable_count == 1 && first->host) { /* most are like that */
		iov[1] = (struct iovec){first->host + skip, first->size - skip};
		return 2;
	}
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

/*
 * Has a driver's header say what a driver may say, to whoever gets the frame (virtio 1.3,
 * 5.1.6.2.1): NEEDS_CSUM and segmentation, and what belongs to them. That somebody has checked the
 * checksum (DATA_VALID) or put segments together (RSC_INFO) is a device's to say, not another
 * driver's. hdr_len is a hint, which need not be right; a tap refuses what is beyond the frame.
 */
static inline void clean_header(uint8_t *header, size_t size)
{
	header[NET_HDR_FLAGS] &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
	if (!header[NET_HDR_FLAGS] && header[NET_HDR_GSO_TYPE] == VIRTIO_NET_HDR_GSO_NONE) {
		memset(header, 0, NET_HDR_SIZE);
		return;
	}
	if (load_le16(header + NET_HDR_HDR_LEN) > size)
		store_le16(header + NET_HDR_HDR_LEN, (uint16_t)size);
	store_le16(header + NET_HDR_BUFFERS, 0);
}

/* Sends one chain. The header is read once: what is checked is what is sent. */
static int send_chain(struct net_queue *queue, struct packet_channel *channel,
		      const struct chain *chain)
{
	struct iovec iov[PACKET_MAX_IOV];
	uint8_t header[NET_HDR_SIZE];
	size_t size = chain->readable - NET_HDR_SIZE;
	unsigned n;

	if (chain->readable < NET_HDR_SIZE + ETH_HLEN || chain->readable > PACKET_BUFFER)
		return -EMSGSIZE;
	if (chain_read_head(chain, header, sizeof(header)) < 0)
		return -EFAULT;
	clean_header(header, size);
	iov[0] = (struct iovec){header, sizeof(header)};
	n = list_frame(chain, iov);
	if (!n) {
		if (chain_read(chain, NET_HDR_SIZE, queue->frame, size) < 0)
			return -EFAULT;
		iov[1] = (struct iovec){queue->frame, size};
		n = 2;
	}
	return packet_put(channel, iov, n, size);
}

static void stats_add_sent(struct stats *stats, const struct chain *chain, int error)
{
	if (!error) {
		stats->packets++;
		stats->bytes += chain->readable - NET_HDR_SIZE;
	} else if (error == -EMSGSIZE || error == -EINVAL || error == -EFAULT) {
		stats->malformed++;
	} else {
		stats->no_room++;
	}
}

static void count_sent(struct net_queue *queue, const struct stats *stats)
{
	net_count(&queue->counters.packets, stats->packets);
	net_count(&queue->counters.bytes, stats->bytes);
	if (stats->malformed)
		net_count(&queue->counters.malformed, stats->malformed);
	if (stats->no_room)
		net_count(&queue->counters.no_room, stats->no_room);
}

/*
 * Sends chains, and gives back those that cannot go just now. Returns how many went. They are
 * completed when the backend has no more use for what they name: a completed chain may be shown.
 */
static unsigned send_chains(struct net_queue *queue, struct packet_channel *channel,
			    struct chain_source *source, struct request **batch, unsigned count)
{
	struct stats stats = {0};
	struct packet_lost lost;
	unsigned i;

	for (i = 0; i < count; i++) {
		int error = -ENETDOWN;

		if (!net_is_cut_off(queue))
			error = send_chain(queue, channel, &batch[i]->chain);
		if (error == -EBUSY)
			break;
		stats_add_sent(&stats, &batch[i]->chain, error);
	}
	lost = packet_flush(channel);
	stats.packets -= lost.frames;
	stats.no_room += lost.frames;
	stats.bytes -= lost.bytes;
	for (unsigned k = 0; k < i; k++)
		request_complete(batch[k], 0);
	for (unsigned k = count; k > i; k--)
		source->unpop(source, batch[k - 1]);
	count_sent(queue, &stats);
	return i;
}

/* The frame in a chain of one buffer. False: there is none in it. */
static inline bool frame_of(const struct batch_chain *batch, struct packet_frame *frame)
{
	if (batch->size < NET_HDR_SIZE + ETH_HLEN)
		return false;
	memcpy(frame->header, batch->host, NET_HDR_SIZE);
	frame->data = batch->host + NET_HDR_SIZE;
	frame->size = batch->size - NET_HDR_SIZE;
	clean_header(frame->header, frame->size);
	return true;
}

/*
 * Sends frames that lie in one buffer each, as most do: up to the first that does not, or that does
 * not go so easily. That one is for send_chains to judge and to count. Returns how many went.
 */
static unsigned send_batch(struct net_queue *queue, struct packet_channel *channel,
			   struct chain_source *source, unsigned max)
{
	struct batch_chain batch[NET_BATCH];
	struct packet_frame frames[NET_BATCH];
	struct stats stats = {0};
	struct packet_lost lost;
	unsigned have, n = 0;
	int sent = 0;

	if (!source->take_batch || net_is_cut_off(queue))
		return 0;
	have = source->take_batch(source, SPACE_READ, batch, max < NET_BATCH ? max : NET_BATCH);
	while (n < have && frame_of(&batch[n], &frames[n]))
		n++;
	if (n)
		sent = packet_put_frames(channel, frames, n);
	n = sent > 0 ? (unsigned)sent : 0;
	if (have) { /* else nothing was put */
		lost = packet_flush(channel);
		stats.no_room = lost.frames;
		stats.bytes -= lost.bytes;
	}
	source->unpop_batch(source, have - n);
	source->complete_batch(source, batch, NULL, n);
	for (unsigned i = 0; i < n; i++)
		stats.bytes += frames[i].size;
	stats.packets = n - stats.no_room;
	if (n)
		count_sent(queue, &stats);
	return n;
}

/* Returns whether there may be more to send. */
static bool send_all(struct net_queue *queue, struct packet_channel *channel,
		     struct chain_source *source, unsigned budget)
{
	struct request *batch[NET_BATCH];
	unsigned count, pieces;

	while (budget) {
		count = send_batch(queue, channel, source, budget);
		budget -= count;
		if (count)
			continue;
		count = source->take(source, batch, budget < NET_BATCH ? budget : NET_BATCH);
		if (!count)
			return false;
		pieces = 0;
		for (unsigned i = 0; i < count; i++)
			pieces += batch[i]->chain.readable_count;
		if (send_chains(queue, channel, source, batch, count) < count)
			break;
		use_up(&budget, count + pieces / PIECES_PER_FRAME);
	}
	return true;
}

bool net_process_send(struct net_queue *queue, struct packet_channel *channel,
		      struct chain_source *source, unsigned budget)
{
	if (queue->tell && !net_is_cut_off(queue)) {
		queue->tell = false;
		net_tell(queue, channel);
	}
	return send_all(queue, channel, source, budget);
}
