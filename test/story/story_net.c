/*
 * Stories of network cards: verbs over a real virtio-net model whose cable is the story's.
 *
 *     arrive 5 100        a frame of 100 bytes to address 52:54:00:00:00:05; the cable holds four
 *     buffer 1 200        a receive buffer; no kick
 *     send 7 60           a frame of 60 bytes, with a kick
 *     command 9 0 0 1     class, number and data, with a kick; `answer` prints the answer
 *     link down, announce, save, restore
 *     config, counters    print what there is
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/packet.h"
#include "device/state.h"
#include "model/models.h"
#include "model/net.h"
#include "story.h"
#include "util/bytes.h"

#define RX	    0
#define TX	    1
#define CVQ	    2
#define CABLE_HOLDS 4
#define BUFFER	    1024u

/* A cable that is filled by hand; what is sent into it is written into the book. */
struct cable {
	struct packet packet; /* the first member */
	struct packet_channel channel;
	struct play *play;
	unsigned tags[CABLE_HOLDS], sizes[CABLE_HOLDS], count;
};

static struct cable cables[2];
static struct device_snapshot snapshot;
static uint64_t last_answer;

static struct cable *cable_of(struct packet *packet)
{
	return (struct cable *)(void *)packet;
}

static int cable_open(struct packet *packet, unsigned index, struct packet_channel **channel,
		      struct error *f)
{
	*channel = &cable_of(packet)->channel;
	return 0;
}

static void cable_channel_close(struct packet_channel *channel)
{
}

static int cable_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		      size_t size)
{
	const uint8_t *frame = iov[1].iov_base;

	book_line(&cable_of(channel->packet)->play->theatre.book, "cable: frame to %u, %zu bytes",
		  frame[5], size - NET_HDR_SIZE);
	return 0;
}

static void fill(uint8_t *frame, unsigned tag, unsigned size)
{
	static const uint8_t oui[] = {0x52, 0x54};

	memset(frame, (int)tag, size);
	memset(frame, 0, ETH_ALEN);
	memcpy(frame, oui, sizeof(oui));
	frame[5] = (uint8_t)tag;
}

static int cable_receive(struct packet_channel *channel, uint8_t *buffer)
{
	struct cable *cable = cable_of(channel->packet);
	unsigned size = cable->sizes[0];

	if (!cable->count)
		return 0;
	memset(buffer, 0, NET_HDR_SIZE);
	fill(buffer + NET_HDR_SIZE, cable->tags[0], size);
	cable->count--;
	memmove(cable->tags, cable->tags + 1, sizeof(cable->tags) - sizeof(cable->tags[0]));
	memmove(cable->sizes, cable->sizes + 1, sizeof(cable->sizes) - sizeof(cable->sizes[0]));
	return (int)(NET_HDR_SIZE + size);
}

static void cable_close(struct packet *packet)
{
}

static const struct packet_ops cable_ops = {
	.name = "story",
	.channel_open = cable_open,
	.channel_close = cable_channel_close,
	.send = cable_send,
	.receive = cable_receive,
	.close = cable_close,
};

struct model *story_net_model(struct play *play, unsigned index)
{
	const struct net_options options = {.mac = {0x52, 0x54, 0, 0, 0, 1}, .announce = true};
	struct cable *cable = &cables[index];
	struct model *model = NULL;
	int error;

	*cable = (struct cable){.packet = {.ops = &cable_ops, .pairs = 1}, .play = play};
	error = net_new(&options, &cable->packet, &model, NULL);
	assert(!error);
	return model;
}

/* --- Verbs ------------------------------------------------------------------------------------ */

static struct cable *cable_here(struct play *play)
{
	return &cables[play->on - play->stages];
}

static void do_arrive(struct play *play)
{
	struct cable *cable = cable_here(play);
	unsigned tag = story_number(play, 1), size = story_number(play, 2);

	if (cable->count == CABLE_HOLDS) {
		book_line(&play->theatre.book, "cable: full, frame to %u dropped", tag);
		return;
	}
	cable->tags[cable->count] = tag;
	cable->sizes[cable->count++] = size;
	/* as the worker that watches the cable's descriptor; suspended, nobody runs */
	play->on->wake[RX] = true;
	stage_run(play->on);
}

/* A chain of a readable and a writable part, either of which may be none. */
static uint64_t post(struct play *play, unsigned queue, uint64_t tag, unsigned readable,
		     unsigned writable)
{
	struct theatre *t = &play->theatre;
	struct vq *vq = &t->vqs[queue];
	uint16_t head = (uint16_t)(2u * vq->next_avail % vq->num);
	uint16_t second = (uint16_t)(readable ? head + 1 : head);
	uint64_t at = t->buffers + (uint64_t)BUFFER * (t->next_buffer++ % 64);

	if (readable + writable > BUFFER)
		story_die(play, "too large");
	if (readable)
		vq_desc(vq, head, at, readable, writable ? D_NEXT : 0, second);
	if (writable)
		vq_desc(vq, second, at + readable, writable, D_WRITE, 0);
	t->tags[queue][head] = tag;
	vq_offer(vq, head);
	return at;
}

static void do_buffer(struct play *play)
{
	post(play, RX, story_number(play, 1), 0, story_number(play, 2));
}

static void do_send(struct play *play)
{
	unsigned tag = story_number(play, 1), size = story_number(play, 2);
	uint64_t at = post(play, TX, tag, NET_HDR_SIZE + size, 0);
	uint8_t *bytes = ram_at(&play->theatre.ram, at, NET_HDR_SIZE + size);

	memset(bytes, 0, NET_HDR_SIZE);
	fill(bytes + NET_HDR_SIZE, tag, size);
	stage_kick(play->on, TX);
}

static void do_command(struct play *play)
{
	unsigned size = play->words - 2;
	uint8_t *bytes;

	last_answer = post(play, CVQ, story_number(play, 1), size, 1) + size;
	bytes = ram_at(&play->theatre.ram, last_answer - size, size + 1);
	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)story_number(play, 2 + i);
	bytes[size] = 0xee;
	stage_kick(play->on, CVQ);
}

static void do_answer(struct play *play)
{
	uint8_t answer = *(uint8_t *)ram_at(&play->theatre.ram, last_answer, 1);

	book_line(&play->theatre.book, "answer: %s",
		  answer == VIRTIO_NET_OK    ? "done"
		  : answer == VIRTIO_NET_ERR ? "error"
					     : "none");
}

static void do_link(struct play *play)
{
	int r;

	stage_begin(play->on);
	r = device_set_link(play->on->device, !strcmp(story_arg(play, 1), "up"), NULL);
	stage_end(play->on);
	story_tell(play, "link", r);
}

static void do_announce(struct play *play)
{
	int r;

	stage_begin(play->on);
	r = device_announce(play->on->device, NULL);
	stage_end(play->on);
	story_tell(play, "announce", r);
}

static void do_config(struct play *play)
{
	struct device *device = play->on->device;
	struct virtio_net_config config;
	unsigned status;

	stage_begin(play->on);
	device_get_config(device, 0, &config, sizeof(config));
	stage_end(play->on);
	status = load_le16(&config.status);
	book_line(&play->theatre.book, "config: address %u, link %s%s, generation %u",
		  config.mac[5], status & VIRTIO_NET_S_LINK_UP ? "up" : "down",
		  status & VIRTIO_NET_S_ANNOUNCE ? ", announce" : "",
		  device_get_generation(device));
}

static void do_counters(struct play *play)
{
	static const char *const names[] = {"received", "sent", "commands"};
	const struct model *model = device_model(play->on->device);
	struct net_stats s;

	for (unsigned queue = RX; queue < CVQ; queue++) {
		net_get_stats(model, queue, &s);
		book_line(&play->theatre.book,
			  "%s: %u, filtered %u, malformed %u, no room %u; waiting %u", names[queue],
			  (unsigned)s.packets, (unsigned)s.filtered, (unsigned)s.malformed,
			  (unsigned)s.no_room, queue == RX ? cable_here(play)->count : 0);
	}
	net_get_stats(model, CVQ, &s);
	book_line(&play->theatre.book, "%s: %u, refused %u", names[CVQ], (unsigned)s.commands,
		  (unsigned)s.refused);
}

static void do_save(struct play *play)
{
	story_tell(play, "save", device_save(play->on->device, &snapshot, NULL));
}

static void do_restore(struct play *play)
{
	story_tell(play, "restore", device_restore(play->on->device, &snapshot, NULL));
}

const struct story_verb story_net_verbs[] = {
	{"arrive", do_arrive},	   {"buffer", do_buffer},   {"send", do_send},
	{"command", do_command},   {"answer", do_answer},   {"link", do_link},
	{"announce", do_announce}, {"config", do_config},   {"counters", do_counters},
	{"save", do_save},	   {"restore", do_restore}, {NULL, NULL},
};
