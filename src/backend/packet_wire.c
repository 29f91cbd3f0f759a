/*
 * Cables inside this process: frames sent at one end arrive at the other.
 * A loopback is one cable whose two ends are the same card; a pair is one
 * between two cards of a server.
 *
 * Theory of operation
 * -------------------
 * Each queue pair of a card has a line for what arrives: a ring of bytes in which frames lie one
 * behind the other, each after its size. Senders copy in, the receiver copies out, under the line's
 * lock, since they are different workers; a full line drops. The line's eventfd is written when a
 * frame comes into an empty line, and never read: whoever watches it wants changes (edges), not
 * levels. That is enough for a receiver that goes on until it has seen the line empty, or has a
 * reason of its own to come back.
 *
 * A line's receiver may have left a sink: then frames go straight from the sender's memory into the
 * receiver's, copied once, on the sender's thread, and lie in the line only while the receiver has
 * no buffers or stands still. Nothing overtakes: what is in the line goes first. Locks: the sender
 * holds its own card's gate, then `sink_lock`, and inside the sink the receiver's gate, for which
 * nobody waits; who changes the sink may hold all gates of the receiver's card, and waits for
 * `sink_lock` no longer than one frame takes. A receiver that is busy for too many tries in a
 * row gets its frame by the line, so that two cards that send to each other do not wait for each
 * other for ever. A card's loopback has no sink: its own gate is taken.
 *
 * The two ends of a pair live as long as either does: the last one closed frees the cable. Frames
 * go into the line even while nobody listens, as into a tap's queue; opening a channel empties it.
 */
#include "backend/backends.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LINE_BYTES (1u << 20)
#define BUSY_MAX   64 /* tries in a row */

struct line {
	pthread_mutex_t lock;
	uint8_t *bytes;
	uint32_t head, tail; /* count up; tail - head bytes are in use */
	int fd;
	pthread_mutex_t sink_lock;
	struct packet_sink *sink;
	unsigned busy; /* tries in a row that found the receiver so */
};

struct cable;

/* One end, a card's backend. */
struct end {
	struct packet packet; /* the first member */
	struct cable *cable;
	struct end *other;	 /* itself: a loopback */
	_Atomic unsigned active; /* pairs that get frames */
	bool open;
	struct line lines[PACKET_MAX_PAIRS];
};

struct cable {
	struct end ends[2];
	unsigned count;
};

static void copy_in(struct line *line, const void *from, uint32_t size)
{
	uint32_t at = line->tail % LINE_BYTES, first = LINE_BYTES - at;

	if (first > size)
		first = size;
	memcpy(line->bytes + at, from, first);
	memcpy(line->bytes, (const uint8_t *)from + first, size - first);
	line->tail += size;
}

static void copy_out(struct line *line, void *to, uint32_t size)
{
	uint32_t at = line->head % LINE_BYTES, first = LINE_BYTES - at;

	if (first > size)
		first = size;
	memcpy(to, line->bytes + at, first);
	memcpy((uint8_t *)to + first, line->bytes, size - first);
	line->head += size;
}

static struct line *line_of(struct packet_channel *channel)
{
	return &((struct end *)channel->packet)->lines[channel->index];
}

static bool is_empty(struct line *line)
{
	bool empty;

	pthread_mutex_lock(&line->lock);
	empty = line->head == line->tail;
	pthread_mutex_unlock(&line->lock);
	return empty;
}

/* Offers a frame to the receiver itself. As packet_sink.take. */
static int hand_over(struct line *line, const struct iovec *iov, unsigned count, size_t size)
{
	int taken = 0;

	pthread_mutex_lock(&line->sink_lock);
	if (line->sink && is_empty(line))
		taken = line->sink->take(line->sink, iov, count, size);
	line->busy = taken == -EAGAIN ? line->busy + 1 : 0;
	if (line->busy > BUSY_MAX)
		line->busy = 0, taken = 0;
	pthread_mutex_unlock(&line->sink_lock);
	return taken;
}

static int wire_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		     size_t size)
{
	struct end *to = ((struct end *)channel->packet)->other;
	struct line *line = &to->lines[channel->index % atomic_load(&to->active)];
	uint32_t bytes = (uint32_t)size;
	int taken = hand_over(line, iov, count, size);
	uint64_t one = 1;
	bool room, first;

	if (taken)
		return taken < 0 ? -EBUSY : 0;

	pthread_mutex_lock(&line->lock);
	first = line->tail == line->head;
	room = LINE_BYTES - (line->tail - line->head) >= bytes + sizeof(bytes);
	if (room) {
		copy_in(line, &bytes, sizeof(bytes));
		for (unsigned i = 0; i < count; i++)
			copy_in(line, iov[i].iov_base, (uint32_t)iov[i].iov_len);
	}
	pthread_mutex_unlock(&line->lock);
	if (!room)
		return -EAGAIN;
	if (first && write(line->fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
	return 0;
}

static int wire_receive(struct packet_channel *channel, uint8_t *buffer)
{
	struct line *line = line_of(channel);
	uint32_t size = 0;

	pthread_mutex_lock(&line->lock);
	if (line->head != line->tail) {
		copy_out(line, &size, sizeof(size));
		copy_out(line, buffer, size);
	}
	pthread_mutex_unlock(&line->lock);
	return (int)size;
}

static int wire_fd(struct packet_channel *channel)
{
	return line_of(channel)->fd;
}

static int wire_channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			     struct fault *f)
{
	struct line *line = &((struct end *)packet)->lines[index];

	*channel = calloc(1, sizeof(**channel));
	if (!*channel)
		return fault(f, -ENOMEM, "no memory for a channel of a cable");
	pthread_mutex_lock(&line->lock);
	line->head = line->tail;
	pthread_mutex_unlock(&line->lock);
	return 0;
}

static void wire_channel_close(struct packet_channel *channel)
{
	free(channel);
}

static void wire_set_sink(struct packet_channel *channel, struct packet_sink *sink)
{
	struct end *end = (struct end *)channel->packet;
	struct line *line = line_of(channel);

	if (end->other == end)
		return;
	pthread_mutex_lock(&line->sink_lock);
	line->sink = sink;
	pthread_mutex_unlock(&line->sink_lock);
}

static void wire_set_pairs(struct packet *packet, unsigned pairs)
{
	atomic_store(&((struct end *)packet)->active, pairs);
}

static void free_cable(struct cable *cable)
{
	for (unsigned i = 0; i < cable->count; i++)
		for (unsigned k = 0; k < PACKET_MAX_PAIRS; k++) {
			struct line *line = &cable->ends[i].lines[k];

			if (!line->bytes)
				continue;
			free(line->bytes);
			close(line->fd);
			pthread_mutex_destroy(&line->lock);
			pthread_mutex_destroy(&line->sink_lock);
		}
	free(cable);
}

static void wire_close(struct packet *packet)
{
	struct end *end = (struct end *)packet;

	end->open = false;
	if (!end->other->open)
		free_cable(end->cable);
}

static const struct packet_ops wire_ops = {
	.name = "wire",
	.channel_open = wire_channel_open,
	.channel_close = wire_channel_close,
	.send = wire_send,
	.receive = wire_receive,
	.close = wire_close,
	.fd = wire_fd,
	.set_pairs = wire_set_pairs,
	.set_sink = wire_set_sink,
};

static bool make_line(struct line *line)
{
	line->bytes = malloc(LINE_BYTES);
	if (!line->bytes)
		return false;
	line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&line->lock, NULL);
	pthread_mutex_init(&line->sink_lock, NULL);
	return line->fd >= 0;
}

/* Checksums may stay undone on the way: whoever cannot take them so has them done. */
static bool make_end(struct cable *cable, unsigned i, unsigned pairs)
{
	struct end *end = &cable->ends[i];

	end->packet = (struct packet){
		.ops = &wire_ops,
		.pairs = pairs,
		.send_offloads = PACKET_CSUM,
		.receive_offloads = PACKET_CSUM,
	};
	end->cable = cable;
	end->other = &cable->ends[cable->count - 1 - i];
	end->open = true;
	atomic_store(&end->active, 1);
	for (unsigned k = 0; k < pairs; k++)
		if (!make_line(&end->lines[k]))
			return false;
	return true;
}

static int make_cable(unsigned count, const unsigned pairs[2], struct cable **out, struct fault *f)
{
	struct cable *cable = calloc(1, sizeof(*cable));

	if (!cable)
		return fault(f, -ENOMEM, "no memory for a cable");
	cable->count = count;
	for (unsigned i = 0; i < count; i++)
		if (!make_end(cable, i, pairs[i])) {
			free_cable(cable);
			return fault(f, -ENOMEM, "no memory for a cable");
		}
	*out = cable;
	return 0;
}

int packet_loopback_open(unsigned pairs, struct packet **packet, struct fault *f)
{
	struct cable *cable;
	int error = make_cable(1, (unsigned[2]){pairs, 0}, &cable, f);

	if (!error)
		*packet = &cable->ends[0].packet;
	return error;
}

int packet_pair_open(const unsigned pairs[2], struct packet *packets[2], struct fault *f)
{
	struct cable *cable;
	int error = make_cable(2, pairs, &cable, f);

	for (unsigned i = 0; !error && i < 2; i++)
		packets[i] = &cable->ends[i].packet;
	return error;
}
