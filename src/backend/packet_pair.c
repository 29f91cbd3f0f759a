/*
 * Pairs inside this process: frames sent at one end arrive at the other.
 * A loopback is one pair whose two ends are the same card; a pair is one
 * between two cards of a server.
 *
 * Theory of operation
 * -------------------
 * Each queue pair of a card has a line for what arrives: a ring of bytes in which frames lie one
 * behind the other, each after its size. Senders copy in, the receiver copies out; a full line
 * drops. A frame is never broken at the ring's end: behind it there is room for the rest of one
 * that begins before it, and the same room at the beginning stays unused meanwhile.
 *
 * `head` is the receiver's, of whom there is one; it takes no lock. `next` and `tail` are the
 * senders': up to `tail` frames are shown, up to `next` they are written. A card with one pair is
 * the only sender of the lines it feeds, and shows a batch at once, at the flush. Where a card has
 * several pairs, they may share a line (set_pairs): each frame is written and shown under `lock`.
 *
 * The line's eventfd is written when frames are shown in an empty line, and never read: whoever
 * watches it wants changes (edges), not levels. That is enough for a receiver that goes on until it
 * has seen the line empty, or has a reason of its own to come back. The sender stores tail and then
 * loads head, the receiver stores head and then loads tail, all four in one order (seq_cst): so
 * either the receiver sees the frames, or the sender sees that it had come to the end.
 *
 * A line's receiver may have left a sink: then frames go straight from the sender's memory into the
 * receiver's, copied once, on the sender's thread, and lie in the line only while the receiver has
 * no buffers or stands still. Nothing overtakes: what is in the line goes first, and once a frame
 * of a batch went into the line, so do all after it. From the first frame of a batch to its flush
 * the sender is in the sink, or in the line. Locks: the sender holds its own card's ticket lock,
 * then `sink_lock`, and inside the sink the receiver's ticket lock (which may be the same one), for
 * which nobody waits; nor does a sender wait for `sink_lock`, which another one may have. Who
 * changes the sink holds all ticket locks of the receiver's card, so that nobody is in the sink,
 * and waits for `sink_lock` no longer than it takes to find that out. A receiver that is busy for
 * too many tries in a row gets a batch by the line, so that two cards that send to each other do
 * not wait for each other for ever.
 *
 * The two ends of a pair live as long as either does: the last one closed frees the pair. Frames
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
#define WARM_BYTES (LINE_BYTES / 8)
#define BUSY_MAX   64 /* tries in a row */

#define CACHE_LINE 64

struct line {
	/* the senders' */
	_Alignas(CACHE_LINE) pthread_mutex_t lock; /* if it is shared */
	bool shared;
	uint32_t next;	/* counts up, as the others do; next - head bytes are in use */
	uint32_t freed; /* head when last looked at */
	uint32_t shift; /* the position that is the ring's beginning */
	uint8_t *bytes;
	int fd;
	pthread_mutex_t sink_lock;
	_Atomic(struct packet_sink *) sink;

	/* each of these is written by one side and looked at by the other */
	_Alignas(CACHE_LINE) _Atomic uint32_t tail;
	_Alignas(CACHE_LINE) _Atomic uint32_t head;
	uint32_t seen; /* the receiver's: tail when last looked at */
};

struct pair;

struct pair_channel {
	struct packet_channel channel; /* the first member */
	/* the sender's, while a batch is under way: */
	struct line *into;	  /* NULL: none is */
	struct packet_sink *sink; /* takes the frames; its line's sink_lock is held. NULL: none */
	unsigned busy;		  /* tries in a row that found the receiver so */
};

/* One end, a card's backend. */
struct end {
	struct packet packet; /* the first member */
	struct pair *pair;
	struct end *other;	 /* itself: a loopback */
	_Atomic unsigned active; /* pairs that get frames */
	bool open;
	struct line lines[PACKET_MAX_PAIRS];
};

struct pair {
	struct end ends[2];
	unsigned count;
};

static struct line *line_of(struct packet_channel *channel)
{
	return &((struct end *)channel->packet)->lines[channel->index];
}

/* Where in the ring a position is. */
static uint32_t place(const struct line *line, uint32_t position)
{
	return (position - line->shift) % LINE_BYTES;
}

/* The line that frames of a channel go into. */
static struct line *line_to(struct packet_channel *channel)
{
	struct end *to = ((struct end *)channel->packet)->other;

	return &to->lines[channel->index % atomic_load(&to->active)];
}

static void lock(struct line *line)
{
	if (line->shared)
		pthread_mutex_lock(&line->lock);
}

static void unlock(struct line *line)
{
	if (line->shared)
		pthread_mutex_unlock(&line->lock);
}

/* What is written and not shown yet counts: nothing may overtake it. */
static bool is_empty(struct line *line)
{
	bool empty;

	lock(line);
	empty = atomic_load_explicit(&line->head, memory_order_acquire) == line->next;
	unlock(line);
	return empty;
}

/* As packet_sink.begin; after 1 the sink and its lock are the caller's, until leave_sink. */
static int enter_sink(struct line *line, struct packet_sink **out)
{
	struct packet_sink *sink;
	int entered = 0;

	if (!atomic_load_explicit(&line->sink, memory_order_relaxed))
		return 0; /* the lock is not worth it: it may be gone before the next one, too */
	if (pthread_mutex_trylock(&line->sink_lock))
		return -EAGAIN;
	sink = atomic_load_explicit(&line->sink, memory_order_relaxed);
	if (sink)
		entered = sink->begin(sink);
	if (entered > 0 && !is_empty(line)) {
		sink->end(sink); /* another sender of this line was faster */
		entered = 0;
	}
	if (entered > 0)
		*out = sink;
	else
		pthread_mutex_unlock(&line->sink_lock);
	return entered;
}

static void leave_sink(struct pair_channel *channel)
{
	if (!channel->sink)
		return;
	channel->sink->end(channel->sink);
	channel->sink = NULL;
	pthread_mutex_unlock(&channel->into->sink_lock);
}

/* The first frame of a batch. Returns 0, or -EBUSY: not at this very kind. */
static int begin_batch(struct pair_channel *channel)
{
	struct line *line = line_to(&channel->channel);

	if (enter_sink(line, &channel->sink) == -EAGAIN && channel->busy++ < BUSY_MAX)
		return -EBUSY;
	channel->busy = 0;
	channel->into = line;
	return 0;
}

static bool has_room(struct line *line, uint32_t size)
{
	if (LINE_BYTES - (line->next - line->freed) >= size)
		return true;
	line->freed = atomic_load_explicit(&line->head, memory_order_acquire);
	return LINE_BYTES - (line->next - line->freed) >= size;
}

/*
 * A batch that finds the line empty goes to the ring's beginning: what is there is still in the
 * cache, where a walk through all of the ring would not be. Nobody reads `shift` meanwhile, since
 * the receiver looks at it only while there is a frame.
 */
static void rewind_ring(struct line *line)
{
	if (place(line, line->next) < WARM_BYTES ||
	    line->next != atomic_load_explicit(&line->tail, memory_order_relaxed))
		return;
	line->freed = atomic_load_explicit(&line->head, memory_order_acquire);
	if (line->freed == line->next)
		line->shift = line->next;
}

static void copy_in(struct line *line, const struct iovec *iov, unsigned count, uint32_t size)
{
	uint8_t *to = line->bytes + place(line, line->next);

	memcpy(to, &size, sizeof(size));
	to += sizeof(size);
	for (unsigned i = 0; i < count; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	line->next += (uint32_t)sizeof(size) + size;
}

/* Shows what is written. Returns whether the receiver is to be told. */
static bool show(struct line *line)
{
	uint32_t tail = atomic_load_explicit(&line->tail, memory_order_relaxed);

	if (tail == line->next)
		return false;
	atomic_store(&line->tail, line->next);
	line->freed = atomic_load(&line->head);
	return line->freed == tail;
}

static void tell(struct line *line)
{
	uint64_t one = 1;

	if (write(line->fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

static int send_by_line(struct line *line, const struct iovec *iov, unsigned count, size_t size)
{
	bool room, first = false;

	lock(line);
	rewind_ring(line);
	room = has_room(line, (uint32_t)(sizeof(uint32_t) + size));
	if (room)
		copy_in(line, iov, count, (uint32_t)size);
	if (line->shared)
		first = show(line);
	unlock(line);
	if (first)
		tell(line);
	return room ? 0 : -EAGAIN;
}

static int pair_send(struct packet_channel *packet_channel, const struct iovec *iov, unsigned count,
		     size_t size)
{
	struct pair_channel *channel = (struct pair_channel *)packet_channel;

	if (!channel->into && begin_batch(channel) < 0)
		return -EBUSY;
	if (channel->sink && channel->sink->take(channel->sink, iov, count, size))
		return 0;
	leave_sink(channel);
	return send_by_line(channel->into, iov, count, size);
}

static int pair_send_frames(struct packet_channel *packet_channel,
			    const struct packet_frame *frames, unsigned count)
{
	struct pair_channel *channel = (struct pair_channel *)packet_channel;

	if (!channel->into && begin_batch(channel) < 0)
		return -EBUSY;
	return channel->sink ? (int)channel->sink->take_frames(channel->sink, frames, count) : 0;
}

static struct packet_lost pair_flush(struct packet_channel *packet_channel)
{
	struct pair_channel *channel = (struct pair_channel *)packet_channel;
	struct line *line = channel->into;

	if (!line)
		return (struct packet_lost){0};
	leave_sink(channel);
	channel->into = NULL;
	if (!line->shared && show(line))
		tell(line);
	return (struct packet_lost){0};
}

/* Looks at tail only when what it saw there last is used up. */
static bool line_has(struct line *line, uint32_t head)
{
	if (head != line->seen)
		return true;
	atomic_store(&line->head, head);
	line->seen = atomic_load(&line->tail);
	return head != line->seen;
}

/* The first frame; NULL: there is none. */
static uint8_t *first_frame(struct line *line, uint32_t *size)
{
	uint32_t head = atomic_load_explicit(&line->head, memory_order_relaxed);
	uint8_t *at;

	if (!line_has(line, head))
		return NULL;
	at = line->bytes + place(line, head);
	memcpy(size, at, sizeof(*size));
	return at + sizeof(*size);
}

static void pass_frame(struct line *line, uint32_t size)
{
	uint32_t head = atomic_load_explicit(&line->head, memory_order_relaxed);

	atomic_store_explicit(&line->head, head + (uint32_t)sizeof(size) + size,
			      memory_order_release);
}

static int pair_receive(struct packet_channel *channel, uint8_t *buffer)
{
	struct line *line = line_of(channel);
	uint32_t size;
	const uint8_t *frame = first_frame(line, &size);

	if (!frame)
		return 0;
	memcpy(buffer, frame, size);
	pass_frame(line, size);
	return (int)size;
}

static int pair_peek(struct packet_channel *channel, uint8_t **frame)
{
	uint32_t size = 0;

	*frame = first_frame(line_of(channel), &size);
	return (int)size;
}

static void pair_release(struct packet_channel *channel)
{
	struct line *line = line_of(channel);
	uint32_t size;

	if (first_frame(line, &size))
		pass_frame(line, size);
}

static int pair_fd(struct packet_channel *channel)
{
	return line_of(channel)->fd;
}

static int pair_channel_open(struct packet *packet, unsigned index, struct packet_channel **channel,
			     struct error *f)
{
	struct line *line = &((struct end *)packet)->lines[index];
	struct pair_channel *made = calloc(1, sizeof(*made));

	if (!made)
		return error_set(f, -ENOMEM, "no memory for a channel of a cable");
	*channel = &made->channel;
	line->seen = atomic_load(&line->tail);
	atomic_store(&line->head, line->seen);
	return 0;
}

static void pair_channel_close(struct packet_channel *channel)
{
	free(channel);
}

static void pair_set_sink(struct packet_channel *channel, struct packet_sink *sink)
{
	struct line *line = line_of(channel);

	pthread_mutex_lock(&line->sink_lock);
	atomic_store_explicit(&line->sink, sink, memory_order_relaxed);
	pthread_mutex_unlock(&line->sink_lock);
}

static void pair_set_pairs(struct packet *packet, unsigned pairs)
{
	atomic_store(&((struct end *)packet)->active, pairs);
}

static void free_pair(struct pair *pair)
{
	for (unsigned i = 0; i < pair->count; i++)
		for (unsigned k = 0; k < PACKET_MAX_PAIRS; k++) {
			struct line *line = &pair->ends[i].lines[k];

			if (!line->bytes)
				continue;
			free(line->bytes);
			close(line->fd);
			pthread_mutex_destroy(&line->lock);
			pthread_mutex_destroy(&line->sink_lock);
		}
	free(pair);
}

static void pair_close(struct packet *packet)
{
	struct end *end = (struct end *)packet;

	end->open = false;
	if (!end->other->open)
		free_pair(end->pair);
}

static const struct packet_ops pair_ops = {
	.name = "wire",
	.channel_open = pair_channel_open,
	.channel_close = pair_channel_close,
	.send = pair_send,
	.send_frames = pair_send_frames,
	.flush = pair_flush,
	.receive = pair_receive,
	.close = pair_close,
	.peek = pair_peek,
	.release = pair_release,
	.fd = pair_fd,
	.set_pairs = pair_set_pairs,
	.set_sink = pair_set_sink,
};

static bool make_line(struct line *line, bool shared)
{
	line->shared = shared;
	line->bytes = malloc(LINE_BYTES + sizeof(uint32_t) + PACKET_BUFFER);
	if (!line->bytes)
		return false;
	line->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	pthread_mutex_init(&line->lock, NULL);
	pthread_mutex_init(&line->sink_lock, NULL);
	return line->fd >= 0;
}

/* Checksums may stay undone on the way: whoever cannot take them so has them done. */
static bool make_end(struct pair *pair, unsigned i, const unsigned *pairs)
{
	struct end *end = &pair->ends[i];

	end->packet = (struct packet){
		.ops = &pair_ops,
		.pairs = pairs[i],
		.send_offloads = PACKET_CSUM,
		.receive_offloads = PACKET_CSUM,
	};
	end->pair = pair;
	end->other = &pair->ends[pair->count - 1 - i];
	end->open = true;
	atomic_store(&end->active, 1);
	for (unsigned k = 0; k < pairs[i]; k++)
		if (!make_line(&end->lines[k], pairs[pair->count - 1 - i] > 1))
			return false;
	return true;
}

static int make_pair(unsigned count, const unsigned pairs[2], struct pair **out, struct error *f)
{
	struct pair *pair = aligned_alloc(_Alignof(struct pair), sizeof(*pair));

	if (!pair)
		return error_set(f, -ENOMEM, "no memory for a cable");
	memset(pair, 0, sizeof(*pair));
	pair->count = count;
	for (unsigned i = 0; i < count; i++)
		if (!make_end(pair, i, pairs)) {
			free_pair(pair);
			return error_set(f, -ENOMEM, "no memory for a cable");
		}
	*out = pair;
	return 0;
}

int packet_loopback_open(unsigned pairs, struct packet **packet, struct error *f)
{
	struct pair *pair = NULL; /* for compilers that do not see what make_pair does */
	int error = make_pair(1, (unsigned[2]){pairs, 0}, &pair, f);

	if (!error)
		*packet = &pair->ends[0].packet;
	return error;
}

int packet_pair_open(const unsigned pairs[2], struct packet *packets[2], struct error *f)
{
	struct pair *pair = NULL; /* for compilers that do not see what make_pair does */
	int error = make_pair(2, pairs, &pair, f);

	for (unsigned i = 0; !error && i < 2; i++)
		packets[i] = &pair->ends[i].packet;
	return error;
}
