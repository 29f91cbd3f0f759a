/*
 * The contract of a packet backend: where a network card's frames go and come from.
 *
 * A packet backend is opened once per card; a channel is opened per queue pair. A channel's
 * receive side and its send side may be used by two threads at once, each by one. Callers use the
 * packet_* functions below, which check sizes and headers in one place and then call the
 * implementation; no implementation repeats a check.
 *
 * A frame is a virtio_net_hdr_v1 (NET_HDR_SIZE bytes) and an Ethernet frame. The header says what
 * is left to do to it (checksum, segmentation): only what the other side said it can do.
 *
 * Nothing waits: a frame that cannot be sent now is dropped, as a cable would. Frames that arrive
 * while nobody receives wait in the backend as far as it has room, and are dropped beyond.
 *
 * The null implementation (packet_null.c) is the tutorial.
 */
#ifndef UVDPA_BACKEND_PACKET_H
#define UVDPA_BACKEND_PACKET_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/error.h"
#include "wire/net.h"

#define PACKET_MAX_PAIRS 16
/* The longest Ethernet frame there can be: 64 KiB of IP, Ethernet header, two VLAN tags. */
#define PACKET_MAX_FRAME (65535u + 22u)
#define PACKET_BUFFER	 (NET_HDR_SIZE + PACKET_MAX_FRAME)
/* Entries of an iov, at most. */
#define PACKET_MAX_IOV 64

/* What may be left undone in a frame, and is said in its header. */
enum packet_offload {
	PACKET_CSUM = 1,
	PACKET_TSO4 = 2,
	PACKET_TSO6 = 4,
	PACKET_ECN = 8,
	PACKET_UFO = 16,
	PACKET_USO = 32,
};

struct packet;

struct packet_channel {
	struct packet *packet;
	unsigned index;
	unsigned send_offloads; /* what frames to send may ask for: the caller's */
};

/* A frame to send, all of it in one piece. */
struct packet_frame {
	uint8_t header[NET_HDR_SIZE];
	uint32_t size; /* bytes of the frame, without the header */
	const uint8_t *data;
};

/*
 * Whoever receives on a channel may want frames straight out of the sender's memory, on the
 * sender's thread, a batch at a time.
 */
struct packet_sink {
	/*
	 * 1: the receiver waits for frames, until end, and has taken what the cable had before;
	 * 0: the cable is to keep them; -EAGAIN: not at this very kind.
	 */
	int (*begin)(struct packet_sink *sink);
	/* True: taken, or thrown away; false: the cable is to keep it, and those after it. */
	bool (*take)(struct packet_sink *sink, const struct iovec *iov, unsigned count,
		     size_t size);
	/* The same for frames in a row: how many of them, from the first on. */
	unsigned (*take_frames)(struct packet_sink *sink, const struct packet_frame *frames,
				unsigned count);
	void (*end)(struct packet_sink *sink);
};

/* What was accepted for sending, and did not go after all. Bytes: without headers. */
struct packet_lost {
	unsigned frames;
	uint64_t bytes;
};

struct packet_ops {
	const char *name;
	/* Returns 0 or a negative errno with the error filled. */
	int (*channel_open)(struct packet *packet, unsigned index, struct packet_channel **channel,
			    struct error *err);
	void (*channel_close)(struct packet_channel *channel);
	/*
	 * iov[0] is the header. 0, or a negative errno: the frame was not sent (-EAGAIN: no room;
	 * -EBUSY: the receiver takes it itself and is busy for a kind: keep it, try again).
	 */
	int (*send)(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		    size_t size);
	/* One frame into PACKET_BUFFER bytes. Its size; 0: none is there; negative: one was lost.
	 */
	int (*receive)(struct packet_channel *channel, uint8_t *buffer);
	void (*close)(struct packet *packet);
	/* Optional. */
	/*
	 * As send, for frames in a row, at least one: how many went, from the first on; what is
	 * over is sent one by one. Or -EBUSY.
	 */
	int (*send_frames)(struct packet_channel *channel, const struct packet_frame *frames,
			   unsigned count);
	/*
	 * Frames sent may be kept back until this, what iov names (but for the header) in the
	 * caller's memory: what is worth doing once for several.
	 */
	struct packet_lost (*flush)(struct packet_channel *channel);
	/*
	 * As receive, into pieces one behind the other, PACKET_BUFFER bytes in all. Their memory
	 * may be a client's: -EFAULT, and the frame is lost, if some of it went away.
	 */
	int (*receive_into)(struct packet_channel *channel, const struct iovec *iov,
			    unsigned count);
	/*
	 * Both or none. As receive, but the frame stays where it lies, the next one to be had,
	 * until release: then it is gone. Meanwhile it may be changed in place.
	 */
	int (*peek)(struct packet_channel *channel, uint8_t **frame);
	void (*release)(struct packet_channel *channel);
	int (*fd)(struct packet_channel *channel); /* readable when frames arrived */
	/* What frames received may leave undone. */
	void (*set_offloads)(struct packet *packet, unsigned offloads);
	/* How many of the channels get frames. */
	void (*set_pairs)(struct packet *packet, unsigned pairs);
	/* NULL takes it away: when that returns, nobody is in it or comes to it. */
	void (*set_sink)(struct packet_channel *channel, struct packet_sink *sink);
};

struct packet {
	const struct packet_ops *ops;
	unsigned pairs;		   /* channels that can be opened */
	uint16_t mtu;		   /* 0: not known */
	unsigned send_offloads;	   /* what it can do to frames sent */
	unsigned receive_offloads; /* what it can leave to the receiver */
};

/* The checking front. All return as the op of that name does. */
int packet_channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			struct error *err);
void packet_channel_close(struct packet_channel *channel);
/* Also -EMSGSIZE (no Ethernet frame fits in it, or too long), -EINVAL: the header is nonsense. */
int packet_send(struct packet_channel *channel, const struct iovec *iov, unsigned count);
/*
 * As packet_put, for a batch: how many went, from the first on, or -EBUSY. The one that follows
 * them did not: packet_put says why, or has more luck.
 */
int packet_put_frames(struct packet_channel *channel, const struct packet_frame *frames,
		      unsigned count);
struct packet_lost packet_flush(struct packet_channel *channel);
/* Also -EMSGSIZE, -EINVAL: what arrived is no frame, or has a header that is nonsense. */
int packet_receive(struct packet_channel *channel, uint8_t *buffer);
/*
 * As packet_receive, with *frame where it is: in `buffer` or in the backend, until packet_release,
 * which follows every frame. What is lost or no frame needs none.
 */
int packet_peek(struct packet_channel *channel, uint8_t *buffer, uint8_t **frame);
void packet_release(struct packet_channel *channel);
static inline bool packet_receives_into(const struct packet_channel *channel)
{
	return channel->packet->ops->receive_into;
}
/*
 * As packet_receive, into pieces as receive_into has them, the first of which has room for the
 * header. That is copied to `header` and judged there, since others may write to the pieces.
 */
int packet_receive_into(struct packet_channel *channel, const struct iovec *iov, unsigned count,
			uint8_t header[NET_HDR_SIZE]);
int packet_fd(struct packet_channel *channel);
void packet_set_offloads(struct packet *packet, unsigned offloads);
void packet_set_pairs(struct packet *packet, unsigned pairs);
void packet_set_sink(struct packet_channel *channel, struct packet_sink *sink);
void packet_close(struct packet *packet);

/* As packet_header_ok, for one that asks for something. */
bool packet_request_ok(const uint8_t *header, size_t size, unsigned offloads);
/* Does what the header asks for as to the checksum (no segmentation), in place. */
void packet_finish_checksum(uint8_t *buffer, size_t size);

/* Whether a header makes sense for a frame of `size` bytes that may leave `offloads` undone. */
static inline bool packet_header_ok(const uint8_t *header, size_t size, unsigned offloads)
{
	return (!(header[NET_HDR_FLAGS] & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
		header[NET_HDR_GSO_TYPE] == VIRTIO_NET_HDR_GSO_NONE) ||
	       packet_request_ok(header, size, offloads);
}

/*
 * As packet_send, for one of a batch, which goes with the flush at the latest: until then what
 * iov[1] and so on name has to stay as it is. `size`: bytes of the frame, without the header.
 */
static inline int packet_put(struct packet_channel *channel, const struct iovec *iov,
			     unsigned count, size_t size)
{
	if (size < ETH_HLEN || size > PACKET_MAX_FRAME)
		return -EMSGSIZE;
	if (!packet_header_ok(iov[0].iov_base, size, channel->send_offloads))
		return -EINVAL;
	return channel->packet->ops->send(channel, iov, count, NET_HDR_SIZE + size);
}

#endif
