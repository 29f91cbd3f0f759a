/*
 * The stream backend: frames over a unix stream socket, each after its size in four bytes, most
 * significant first, and without a header. That is what passt speaks, and QEMU's
 * `-netdev stream`. We connect, or listen for one peer at a time.
 *
 * Theory of operation
 * -------------------
 * The receive side owns the connection: it alone connects, accepts and closes. The send side may
 * run on another thread, so `fd` changes, and `out` is used, under `lock` only.
 *
 * A frame that is taken in by the socket in part is sent: its rest waits in `out`, and nothing else
 * goes before it. What arrives is prefetched into `in`, and delivered when it is whole; what is
 * left of a frame when the peer goes is thrown away. So neither side ever sees half a frame.
 *
 * What is watched is an epoll descriptor, which is readable when something is to be done on the
 * receive side: frames came, there is room for the rest of `out`, a peer came, or it is time to
 * try to reach one again. Nobody calls us while the card is suspended: frames wait in the socket.
 */
#include "backend/backends.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "util/bytes.h"
#include "util/log.h"
#include "util/unixname.h"

#define SIZE_BYTES 4u
#define IN_BYTES   (4u * (SIZE_BYTES + PACKET_MAX_FRAME))
#define OUT_BYTES  (SIZE_BYTES + PACKET_MAX_FRAME)
/* Frames that waited before anybody listened, thrown away at most when a channel opens. */
#define STALE_MAX     4096
#define PEERS_AT_ONCE 4 /* that come and go before anybody else is served */

struct stream {
	struct packet packet; /* the first member */
	struct packet_channel channel;
	struct sockaddr_un at;
	struct unixname name; /* of the listener */
	uint32_t reconnect_ms;
	int listener; /* -1: we connect */
	int timer;    /* runs while a peer is to be tried again */
	int watched;  /* epoll */
	uint32_t in_from, in_to;
	uint8_t *in;

	pthread_mutex_t lock;
	int fd; /* -1: no peer. Changed by the receive side with the lock held */
	uint32_t out_from, out_to;
	uint8_t *out;
};

static struct stream *stream_of(struct packet *packet)
{
	return (struct stream *)packet;
}

static int watch(struct stream *stream, int how, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	return epoll_ctl(stream->watched, how, fd, &event) < 0 ? -errno : 0;
}

/* --- The connection: receive side only -------------------------------------------------------- */

static void set_timer(struct stream *stream, uint32_t ms)
{
	struct timespec every = {ms / 1000, (long)(ms % 1000) * 1000000};
	struct itimerspec when = {every, every};

	if (stream->timer >= 0)
		timerfd_settime(stream->timer, 0, &when, NULL);
}

/* Takes the descriptor over. */
static bool adopt(struct stream *stream, int fd)
{
	if (watch(stream, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP) < 0) {
		close(fd);
		return false;
	}
	stream->in_from = stream->in_to = 0;
	pthread_mutex_lock(&stream->lock);
	stream->out_from = stream->out_to = 0;
	stream->fd = fd;
	pthread_mutex_unlock(&stream->lock);
	set_timer(stream, 0);
	return true;
}

/* Returns a connected descriptor or a negative errno. Never waits: unix sockets do not. */
static int reach(const struct stream *stream)
{
	int fd, error;

	if (stream->listener >= 0) {
		fd = accept4(stream->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&stream->at, sizeof(stream->at)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Who cannot be let in stays in the backlog, and nothing more would tell of it. */
static void try_later(struct stream *stream, int error)
{
	if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
		return;
	log_warning(NULL, "stream %s: a peer cannot be let in: %s", stream->at.sun_path,
		    strerror(error));
	set_timer(stream, stream->reconnect_ms);
}

/* Looks for a peer if it is time to. */
static bool find_peer(struct stream *stream)
{
	uint64_t expirations;
	int fd;

	/* who listens need not wait for it */
	if (read(stream->timer, &expirations, sizeof(expirations)) < 0 && stream->listener < 0)
		return false;
	fd = reach(stream);
	if (fd < 0 && stream->listener >= 0)
		try_later(stream, -fd);
	if (fd < 0 || !adopt(stream, fd))
		return false;
	log_info(NULL, "stream %s: a peer is there", stream->at.sun_path);
	return true;
}

static void lose_peer(struct stream *stream, const char *why)
{
	log_info(NULL, "stream %s: %s", stream->at.sun_path, why);
	pthread_mutex_lock(&stream->lock);
	close(stream->fd);
	stream->fd = -1;
	pthread_mutex_unlock(&stream->lock);
	stream->in_from = stream->in_to = 0;
	if (stream->listener < 0)
		set_timer(stream, stream->reconnect_ms);
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Sends what is left of a frame. Returns 0: nothing is. With the lock held. */
static int send_rest(struct stream *stream)
{
	while (stream->out_from < stream->out_to) {
		ssize_t n = send(stream->fd, stream->out + stream->out_from,
				 stream->out_to - stream->out_from, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		stream->out_from += (uint32_t)n;
		if (stream->out_from == stream->out_to)
			watch(stream, EPOLL_CTL_MOD, stream->fd, EPOLLIN | EPOLLRDHUP);
	}
	return 0;
}

/* Keeps what comes after the first `skip` bytes, and asks to hear when there is room for it. */
static void keep_rest(struct stream *stream, const struct iovec *iov, unsigned count, size_t skip)
{
	stream->out_from = stream->out_to = 0;
	for (unsigned i = 0; i < count; i++) {
		size_t n = iov[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		memcpy(stream->out + stream->out_to, (const uint8_t *)iov[i].iov_base + skip,
		       n - skip);
		stream->out_to += (uint32_t)(n - skip);
		skip = 0;
	}
	watch(stream, EPOLL_CTL_MOD, stream->fd, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
}

static int send_frame(struct stream *stream, struct iovec *iov, unsigned count, size_t size)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;
	int error;

	if (stream->fd < 0)
		return -ENOTCONN;
	error = send_rest(stream);
	if (error)
		return error;
	n = sendmsg(stream->fd, &message, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	if ((size_t)n < size)
		keep_rest(stream, iov, count, (size_t)n);
	return 0;
}

static int stream_send(struct packet_channel *channel, const struct iovec *iov, unsigned count,
		       size_t size)
{
	struct stream *stream = stream_of(channel->packet);
	struct iovec parts[PACKET_MAX_IOV];
	uint8_t length[SIZE_BYTES];
	int error;

	size -= NET_HDR_SIZE;
	store_be32(length, (uint32_t)size);
	memcpy(parts, iov, count * sizeof(parts[0]));
	parts[0] = (struct iovec){length, sizeof(length)};
	pthread_mutex_lock(&stream->lock);
	error = send_frame(stream, parts, count, SIZE_BYTES + size);
	pthread_mutex_unlock(&stream->lock);
	return error;
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* Reads more of what came. Returns false: there is no more now. */
static bool fill(struct stream *stream)
{
	ssize_t n;

	pthread_mutex_lock(&stream->lock);
	send_rest(stream);
	pthread_mutex_unlock(&stream->lock);
	memmove(stream->in, stream->in + stream->in_from, stream->in_to - stream->in_from);
	stream->in_to -= stream->in_from;
	stream->in_from = 0;
	assert(stream->in_to < IN_BYTES);
	n = recv(stream->fd, stream->in + stream->in_to, IN_BYTES - stream->in_to, 0);
	if (n > 0) {
		stream->in_to += (uint32_t)n;
		return true;
	}
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		lose_peer(stream, "the peer is gone");
	return false;
}

/* One frame out of what was read; 0: it holds no whole one. `buffer` may be NULL. */
static int next_frame(struct stream *stream, uint8_t *buffer)
{
	uint32_t have = stream->in_to - stream->in_from, size;

	if (have < SIZE_BYTES)
		return 0;
	size = load_be32(stream->in + stream->in_from);
	if (size > PACKET_MAX_FRAME) {
		lose_peer(stream, "the peer sends what are no frames");
		return -EPROTO;
	}
	if (have - SIZE_BYTES < size)
		return 0;
	if (buffer) {
		memset(buffer, 0, NET_HDR_SIZE);
		memcpy(buffer + NET_HDR_SIZE, stream->in + stream->in_from + SIZE_BYTES, size);
	}
	stream->in_from += SIZE_BYTES + size;
	return (int)(NET_HDR_SIZE + size);
}

static int stream_receive(struct packet_channel *channel, uint8_t *buffer)
{
	struct stream *stream = stream_of(channel->packet);

	for (unsigned peers = 0; peers < PEERS_AT_ONCE;) {
		int size;

		if (stream->fd < 0 && !find_peer(stream))
			return 0;
		size = next_frame(stream, buffer);
		if (size)
			return size;
		/* a peer that went may have a successor in the backlog already */
		if (!fill(stream) && (stream->fd >= 0 || stream->listener < 0))
			return 0;
		peers += stream->fd < 0;
	}
	/* they come and go: others on this worker first; and we are told of the next one anew */
	watch(stream, EPOLL_CTL_MOD, stream->listener, EPOLLIN);
	return 0;
}

/* --- Life ------------------------------------------------------------------------------------- */

static int stream_fd(struct packet_channel *channel)
{
	return stream_of(channel->packet)->watched;
}

/* A card without a driver hears nothing: what waits is not for this one. */
static int stream_channel_open(struct packet *packet, unsigned index, struct packet_channel **out,
			       struct error *f)
{
	struct stream *stream = stream_of(packet);

	stream->channel.packet = packet;
	for (unsigned i = 0; i < STALE_MAX && stream_receive(&stream->channel, NULL); i++)
		;
	*out = &stream->channel;
	return 0;
}

static void stream_channel_close(struct packet_channel *channel)
{
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void stream_close(struct packet *packet)
{
	struct stream *stream = stream_of(packet);

	unixname_remove(&stream->name);
	close_fd(stream->fd);
	close_fd(stream->listener);
	close_fd(stream->timer);
	close_fd(stream->watched);
	pthread_mutex_destroy(&stream->lock);
	free(stream->in);
	free(stream->out);
	free(stream);
}

static const struct packet_ops stream_ops = {
	.name = "stream",
	.channel_open = stream_channel_open,
	.channel_close = stream_channel_close,
	.send = stream_send,
	.receive = stream_receive,
	.close = stream_close,
	.fd = stream_fd,
};

static struct stream *allocate(void)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->packet = (struct packet){.ops = &stream_ops, .pairs = 1};
	stream->fd = stream->listener = -1;
	stream->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	pthread_mutex_init(&stream->lock, NULL);
	stream->in = malloc(IN_BYTES);
	stream->out = malloc(OUT_BYTES);
	stream->watched = epoll_create1(EPOLL_CLOEXEC);
	if (stream->in && stream->out && stream->watched >= 0 && stream->timer >= 0)
		return stream;
	stream_close(&stream->packet);
	return NULL;
}

static int open_listener(struct stream *stream, const char *path, struct error *f)
{
	int error;

	stream->listener = unixname_bind(path, SOCK_STREAM, NULL, &stream->name, f);
	if (stream->listener < 0)
		return stream->listener;
	if (listen(stream->listener, 4) < 0)
		return error_set(f, -errno, "%s: cannot listen: %s", path, strerror(errno));
	error = watch(stream, EPOLL_CTL_ADD, stream->listener, EPOLLIN);
	if (!error)
		error = watch(stream, EPOLL_CTL_ADD, stream->timer, EPOLLIN);
	return error ? error_set(f, error, "%s: cannot be watched: %s", path, strerror(-error)) : 0;
}

/* The first time the peer has to be there, so that a slip of the pen shows. */
static int open_connection(struct stream *stream, const char *path, struct error *f)
{
	int fd = reach(stream), error = 0;

	if (fd < 0)
		return error_set(f, fd,
				 "nobody can be reached at '%s': %s; start the peer first (passt "
				 "--socket %s), or listen for it: server=on",
				 path, strerror(-fd), path);
	error = watch(stream, EPOLL_CTL_ADD, stream->timer, EPOLLIN);
	if (error) {
		close(fd);
		return error_set(f, error, "%s: no timer: %s", path, strerror(-error));
	}
	return adopt(stream, fd) ? 0 : error_set(f, -ENOMEM, "%s: cannot be watched", path);
}

int packet_stream_open(const struct packet_stream_options *options, struct packet **packet,
		       struct error *f)
{
	struct stream *stream = allocate();
	int error;

	if (!stream)
		return error_set(f, -ENOMEM, "no memory for a stream socket");
	stream->reconnect_ms = options->reconnect_ms ? options->reconnect_ms : 1000;
	error = unixname_address(options->path, &stream->at, f);
	if (!error)
		error = options->server ? open_listener(stream, options->path, f)
					: open_connection(stream, options->path, f);
	if (error) {
		stream_close(&stream->packet);
		return error;
	}
	*packet = &stream->packet;
	return 0;
}
