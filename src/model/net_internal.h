/*
 * The parts of the virtio-net model: net.c (life), net_config.c (features and config space),
 * net_filter.c (what the driver wants to hear), net_data.c (frames), net_control.c (commands).
 *
 * Theory of operation
 * -------------------
 * Queues are RX0, TX0, RX1, TX1, ... and last the control queue, in a group of its own. Without
 * VIRTIO_NET_F_MQ the control queue is number 2, however many pairs there could be (virtio 1.3,
 * 5.1.2).
 *
 * A frame received is pending (at most one per receive queue) before any chain is taken for it: in
 * the queue's buffer or, where the backend lets it lie (packet_peek), there.
 * Chains are taken some at a time, what is over goes back at the end of the pass.
 * Without enough chains it stays pending, the chains go back, and the next kick goes on. So nothing
 * is in flight between two passes, a suspension never waits, and no frame is delivered by half: all
 * its chains are published with one store. What arrives while the device is suspended waits in the
 * backend.
 *
 * The control queue's worker writes the filter while receive queues' workers read it: see
 * net_filter.c.
 */
#ifndef UVDPA_MODEL_NET_INTERNAL_H
#define UVDPA_MODEL_NET_INTERNAL_H

#include <stdatomic.h>

#include "backend/packet.h"
#include "model/model.h"
#include "model/models.h"
#include "model/net.h"

/* As QEMU has it: beyond this, a table is as good as full and everything of its kind gets through.
 */
#define NET_MAX_MACS 64u
#define NET_VLANS    4096u
/* struct virtio_net_config of Linux 7.x has 28 bytes; clients built for more can read 32. */
#define NET_CONFIG_SIZE 32u

#define NET_NO_MTU PACKET_MAX_FRAME

/* Chains that are taken at once: what they name is on its way while the first ones are used. */
#define NET_BATCH 32

/* Bits of net_filter.modes. */
enum {
	MODE_PROMISC = 1,
	MODE_ALLMULTI = 2,
	MODE_ALLUNI = 4,
	MODE_NOMULTI = 8,
	MODE_NOUNI = 16,
	MODE_NOBCAST = 32,
	MODE_UNI_OVERFLOW = 64,
	MODE_MULTI_OVERFLOW = 128,
	MODE_VLAN = 256, /* only VLANs in the table */
};

struct net_filter {
	_Atomic unsigned version; /* odd: being changed */
	_Atomic unsigned modes;
	_Atomic uint64_t mac;		/* ours */
	_Atomic unsigned unicast, macs; /* macs[0 .. unicast) and then multicast ones */
	_Atomic uint64_t table[NET_MAX_MACS];
	_Atomic uint64_t vlans[NET_VLANS / 64];
};

struct net_counters {
	_Atomic uint64_t packets, bytes, filtered, malformed, no_room, commands, refused, direct;
};

struct net_queue {
	struct packet_sink sink; /* the first member. Receive queues: net_direct.c */
	struct net *net;
	uint8_t *frame;		/* PACKET_BUFFER bytes; NULL: the queue is not started */
	uint8_t *arrived;	/* the frame that is pending */
	unsigned pending;	/* received and not delivered yet: bytes of it */
	struct request **taken; /* `depth` of them; within a pass: */
	unsigned first, have;	/* those from first to have are taken, and have no frame yet */
	unsigned depth;
	struct chain_source *borrowed; /* from packet_sink.begin to its end */
	bool discards; /* frames that are sent go nowhere, as if the cable were out */
	bool tell;     /* the network is to hear where the card is, and was not told yet: */
	uint64_t told; /* its address; 0: as it is by then */
	struct net_counters counters;
};

struct net_pair {
	struct packet_channel *channel; /* NULL: neither queue is started */
	unsigned users;			/* queues that are */
};

struct net {
	struct model model;
	struct packet *packet;
	unsigned pairs, queue_count;
	struct net_options options;
	uint64_t features;		   /* negotiated; 0: not yet */
	unsigned mtu;			   /* negotiated; NET_NO_MTU: any length will do */
	_Atomic unsigned active;	   /* pairs in use, as the driver set them */
	_Atomic unsigned receive_offloads; /* what the driver can take */
	bool link_down;			   /* the operator's: survives resets and is not saved */
	_Atomic bool announce;		   /* asked of the driver */
	struct net_filter filter;
	struct net_pair pair[PACKET_MAX_PAIRS];
	struct net_queue queues[];
};

static inline struct net *net_of(const struct model *model)
{
	return (struct net *)(uintptr_t)model;
}

static inline bool net_has(const struct net *net, unsigned feature)
{
	return net->features >> feature & 1;
}

/* A queue's counters are written by whoever has the queue, and only read by others. */
static inline void net_count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t count = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, count + n, memory_order_relaxed);
}

static inline uint64_t net_mac(const uint8_t *bytes)
{
	uint64_t mac = 0;

	for (unsigned i = 0; i < ETH_ALEN; i++)
		mac = mac << 8 | bytes[i];
	return mac;
}

/* net.c: which queue has the commands; queue_count if there is none. */
unsigned net_control_queue(const struct net *net);

static inline bool net_is_cut_off(const struct net_queue *queue)
{
	return queue->net->link_down || queue->discards;
}

/* net_tell.c: on the worker of a send queue. */
void net_tell(struct net_queue *queue, struct packet_channel *channel);

/* net_config.c */
uint64_t net_features(struct model *model);
void net_config_read(struct model *model, uint8_t *config);
/* What frames sent and received may leave undone, going by features. */
unsigned net_send_offloads(uint64_t features);
unsigned net_receive_offloads(uint64_t features);
/* What the driver is told; 0: nothing. */
unsigned net_mtu(const struct net *net);

/* net_filter.c. Changes: by one thread at a time, each between begin and end. */
void filter_reset(struct net_filter *filter, uint64_t mac, bool vlans);
void filter_begin(struct net_filter *filter);
void filter_end(struct net_filter *filter);
/* Whether the driver wants a frame. */
bool filter_wants(struct net_filter *filter, const uint8_t *frame, unsigned size);

/* net_data.c: whether a frame is longer than the driver agreed to (virtio 1.3, 5.1.4.1). */
bool net_is_too_long(const struct net *net, const uint8_t *header, const uint8_t *frame,
		     unsigned seen, size_t size);

/*
 * Whether the driver wants a frame of `size` bytes, the first `seen` of which are at `frame`: all
 * of them, or at least its addresses and tags.
 */
static inline bool net_wants(struct net *net, const uint8_t *header, const uint8_t *frame,
			     unsigned seen, size_t size)
{
	if (size > net->mtu + ETH_HLEN && net_is_too_long(net, header, frame, seen, size))
		return false;
	return filter_wants(&net->filter, frame, seen);
}

/* What flags a driver understands: DATA_VALID is for those that know of checksums, too. */
static inline uint8_t net_flags_for(unsigned offloads)
{
	return offloads & PACKET_CSUM ? VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID
				      : 0;
}

/* net_direct.c: of a receive queue. */
extern const struct packet_sink net_sink;

/* net_into.c */
enum net_into {
	NET_INTO_MORE, /* that is all for this time: there may be more */
	NET_INTO_DRY,  /* nothing more has arrived */
	NET_INTO_NOT,  /* not like this: the long way */
};
/* Has frames received straight into the driver's buffers; *budget is how many, and is used up. */
enum net_into net_receive_into(struct net_queue *queue, struct packet_channel *channel,
			       struct chain_source *source, unsigned *budget);

/* net_data.c */
/*
 * Finds chains for a frame of `size` bytes, header included: queue->taken, from queue->first on.
 * Returns how many, for net_finish to be called; 0: *dry, there are too few now, or a chain was
 * nonsense; otherwise the frame never fits.
 */
unsigned net_take_buffers(struct net_queue *queue, struct chain_source *source, unsigned size,
			  bool *dry);
/* The frame is in the chains, or (gone) their memory went away. They are shown together, by
 * publish.
 */
void net_finish(struct net_queue *queue, unsigned count, unsigned size, bool gone);
/* Chains that were taken and are not needed: before a pass or a borrowing ends. */
void net_give_back(struct net_queue *queue, struct chain_source *source);
bool net_process_receive(struct net_queue *queue, struct packet_channel *channel,
			 struct chain_source *source, unsigned budget);
bool net_process_send(struct net_queue *queue, struct packet_channel *channel,
		      struct chain_source *source, unsigned budget);

/* net_state.c */
size_t net_state_save(struct model *model, uint8_t *bytes);
int net_state_check(struct model *model, const uint8_t *bytes, size_t size, struct error *f);
void net_state_load(struct model *model, const uint8_t *bytes, size_t size);

/* net_control.c */
bool net_process_control(struct net_queue *queue, struct chain_source *source, unsigned budget);

#endif
