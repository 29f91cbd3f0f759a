/*
 * Traffic of a network card: see traffic.h.
 *
 * A queue pair in one thread. All frames that are sent are the same, broadcasts of a type that
 * nobody answers, with an empty header: no checksum is asked for and no segmentation. Receive
 * buffers hold a whole frame each, so that merging them (MRG_RXBUF) never happens for frames of
 * this size.
 */
#include "load/traffic_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load/session.h"
#include "wire/net.h"

#define ETHERTYPE 0x88b5 /* IEEE 802: for local experiments */

struct card {
	struct traffic traffic;
	struct net_traffic_options o;
	struct uvdpa_queue *rx, *tx;
	struct uvdpa_segment *buffers; /* o.depth for receiving, then as many frames */
	int64_t *starts;	       /* of frames, by number */
};

static struct card *card_of(struct traffic *t)
{
	return (struct card *)t;
}

/* A frame's room, so that no two share a cache line. */
static uint32_t room(const struct net_traffic_options *o)
{
	return (NET_HDR_SIZE + o->frame_size + 63) / 64 * 64;
}

uint64_t traffic_net_memory_size(const struct net_traffic_options *o)
{
	return (uint64_t)o->depth * 2 * room(o) + 8192;
}

static void write_frame(unsigned char *frame, uint32_t size)
{
	static const unsigned char head[ETH_HLEN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff,	      0x52,
		0x54, 0x00, 0xbe, 0xef, 0x01, ETHERTYPE >> 8, ETHERTYPE & 0xff};

	memset(frame, 0, NET_HDR_SIZE + size);
	memcpy(frame + NET_HDR_SIZE, head, sizeof(head));
}

static int get_buffers(struct card *c, struct load_session *session, struct error *f)
{
	c->buffers = calloc(c->o.depth * 2, sizeof(*c->buffers));
	c->starts = calloc(c->o.depth, sizeof(*c->starts));
	if (!c->buffers || !c->starts)
		return error_set(f, -ENOMEM, "out of memory");
	for (unsigned i = 0; i < c->o.depth * 2; i++) {
		struct uvdpa_segment *s = &c->buffers[i];
		void *buffer = uvdpa_memory_alloc(session->memory, room(&c->o), 64);

		if (!buffer)
			return error_set(f, -ENOSPC, "no room for %u frames of %u", c->o.depth * 2,
					 c->o.frame_size);
		s->iova = uvdpa_memory_iova(session->memory, buffer);
		s->writable = i < c->o.depth;
		s->len = s->writable ? room(&c->o) : NET_HDR_SIZE + c->o.frame_size;
		if (!s->writable)
			write_frame(buffer, c->o.frame_size);
	}
	return 0;
}

static void card_free(struct traffic *t)
{
	struct card *c = card_of(t);

	free(c->buffers);
	free(c->starts);
	free(c);
}

static int send(struct card *c, unsigned number, int64_t now)
{
	int r = uvdpa_queue_add(c->tx, &c->buffers[c->o.depth + number], 1, 0, number);

	c->starts[number] = now;
	return r < 0 ? r : 0;
}

static int post(struct card *c, unsigned number)
{
	int r = uvdpa_queue_add(c->rx, &c->buffers[number], 1, 0, number);

	return r < 0 ? r : 0;
}

static int card_start(struct traffic *t)
{
	struct card *c = card_of(t);
	int64_t now = traffic_now();
	int r = 0;

	for (unsigned i = 0; i < c->o.depth && r >= 0; i++) {
		if (c->o.receive)
			r = post(c, i);
		if (c->o.send && r >= 0)
			r = send(c, i, now);
	}
	if (r >= 0)
		r = uvdpa_queue_submit(c->rx);
	return r < 0 ? r : uvdpa_queue_submit(c->tx);
}

static int turn_sent(struct card *c, bool again, int64_t now)
{
	struct uvdpa_completion done[TRAFFIC_BATCH];
	int n = uvdpa_queue_poll(c->tx, done, TRAFFIC_BATCH), r = 0;

	if (n <= 0)
		return n;
	for (int i = 0; i < n && r >= 0; i++) {
		histogram_add(&c->traffic.latency, (uint64_t)(now - c->starts[done[i].cookie]));
		if (again)
			r = send(c, (unsigned)done[i].cookie, now);
	}
	if (r >= 0 && again)
		r = uvdpa_queue_submit(c->tx);
	return r < 0 ? r : n;
}

static int turn_received(struct card *c, bool again)
{
	struct uvdpa_completion done[TRAFFIC_BATCH];
	int n = uvdpa_queue_poll(c->rx, done, TRAFFIC_BATCH), r = 0;

	if (n <= 0)
		return n;
	for (int i = 0; i < n && r >= 0; i++) {
		c->traffic.errors += done[i].written <= NET_HDR_SIZE;
		if (again)
			r = post(c, (unsigned)done[i].cookie);
	}
	if (r >= 0 && again)
		r = uvdpa_queue_submit(c->rx);
	atomic_fetch_add_explicit(&c->traffic.received, (unsigned)n, memory_order_relaxed);
	return r < 0 ? r : n;
}

static int card_turn(struct traffic *t, bool again)
{
	struct card *c = card_of(t);
	int64_t now = traffic_now();
	int sent = c->o.send ? turn_sent(c, again, now) : 0, received = 0;

	if (sent >= 0 && c->o.receive)
		received = turn_received(c, again);
	if (sent < 0 || received < 0)
		return sent < 0 ? sent : received;
	if (sent + received)
		traffic_note(t, (unsigned)(sent + received), now);
	return sent + received;
}

/* Receive buffers stay with the device to the end. */
static unsigned card_in_flight(const struct traffic *t)
{
	return uvdpa_queue_in_flight(((const struct card *)t)->tx);
}

static const struct traffic_kind card_kind = {card_start, card_turn, card_in_flight, card_free};

int traffic_net_new(const struct net_traffic_options *options, struct load_session *session,
		    unsigned pair, struct traffic **out, struct error *f)
{
	struct card *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return error_set(f, -ENOMEM, "out of memory");
	c->traffic.kind = &card_kind;
	c->traffic.poll = options->poll;
	c->o = *options;
	c->rx = session->queues[2 * pair];
	c->tx = session->queues[2 * pair + 1];
	c->traffic.queue = options->receive ? c->rx : c->tx;
	r = get_buffers(c, session, f);
	if (r < 0) {
		card_free(&c->traffic);
		return r;
	}
	uvdpa_queue_want_calls(c->rx, 0);
	uvdpa_queue_want_calls(c->tx, 0);
	*out = &c->traffic;
	return 0;
}
