/* The stream backend against a peer that cuts frames, holds back, lies, and goes away. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "util/bytes.h"
#include "util/unixname.h"

#define PATIENCE 60000 /* ms; only a hang takes so long */
#define FRAME	 1000u

static char folder[32], path[64];
static struct packet *packet;
static struct packet_channel *channel;
static int listener, peer, outer;
static uint8_t buffer[PACKET_BUFFER], frame[PACKET_MAX_FRAME + 8];

static int call(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un at;

	assert_int_equal(unixname_address(path, &at, NULL), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

static void listen_there(void)
{
	struct unixname name;

	listener = unixname_bind(path, SOCK_STREAM, NULL, &name, NULL);
	assert_true(listener >= 0);
	assert_int_equal(listen(listener, 4), 0);
}

static int await(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&wait, 1, PATIENCE), 1);
	return fd;
}

/* As a worker watches it: changes, not levels. */
static void watch(void)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET};

	assert_int_equal(packet_channel_open(packet, 0, &channel, NULL), 0);
	outer = epoll_create1(EPOLL_CLOEXEC);
	assert_int_equal(epoll_ctl(outer, EPOLL_CTL_ADD, packet_fd(channel), &event), 0);
}

static void start(bool server)
{
	const struct packet_stream_options options = {
		.path = path, .server = server, .reconnect_ms = 1};
	struct error f;

	if (!server)
		listen_there();
	if (packet_stream_open(&options, &packet, &f))
		fail_msg("%s", f.text);
	peer = server ? call() : accept(await(listener), NULL, NULL);
	assert_true(peer >= 0);
	watch();
}

static void stop(void)
{
	packet_channel_close(channel);
	packet_close(packet);
	close(outer);
	close(peer);
}

/* Calls the receive side until a frame comes, as the watch says. */
static int receive(void)
{
	struct epoll_event event;
	int size;

	while ((size = packet_receive(channel, buffer)) == 0)
		assert_int_equal(epoll_wait(outer, &event, 1, PATIENCE), 1);
	return size;
}

static void give(const void *bytes, size_t size)
{
	assert_int_equal(send(peer, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

static const uint8_t *framed(uint32_t size, uint8_t tag)
{
	memset(frame, tag, sizeof(frame));
	store_be32(frame, size);
	return frame;
}

static void take(void *bytes, size_t size)
{
	assert_int_equal(recv(peer, bytes, size, MSG_WAITALL), (ssize_t)size);
}

static int send_frame(uint32_t size, uint8_t tag)
{
	static uint8_t header[NET_HDR_SIZE], body[PACKET_MAX_FRAME];
	struct iovec iov[3] = {{header, sizeof(header)}, {body, 10}, {body + 10, size - 10}};

	memset(body, tag, size);
	return packet_send(channel, iov, 3);
}

static void frames_are_whole(void **state)
{
	start(false);
	/* in pieces, of the size and of the frame */
	for (unsigned cut = 1; cut < 4 + FRAME; cut += cut < 6 ? 1 : 331) {
		give(framed(FRAME, 7), cut);
		assert_int_equal(packet_receive(channel, buffer), 0);
		give(framed(FRAME, 7) + cut, 4 + FRAME - cut);
		assert_int_equal(receive(), NET_HDR_SIZE + FRAME);
		assert_int_equal(buffer[0], 0);
		assert_int_equal(buffer[NET_HDR_SIZE], 7);
		assert_int_equal(buffer[NET_HDR_SIZE + FRAME - 1], 7);
	}
	/* several at once, of which one is no frame */
	give(framed(13, 1), 4 + 13);
	give(framed(0, 1), 4);
	give(framed(14, 9), 4 + 14);
	assert_int_equal(receive(), -EMSGSIZE);
	assert_int_equal(receive(), -EMSGSIZE);
	assert_int_equal(receive(), NET_HDR_SIZE + 14);
	/* and back */
	assert_int_equal(send_frame(FRAME, 5), 0);
	take(buffer, 4 + FRAME);
	assert_int_equal(load_be32(buffer), FRAME);
	assert_int_equal(buffer[4 + FRAME - 1], 5);
	stop();
	close(listener);
}

/* A socket so small that frames go into it by and by. It is the one that is connected there. */
static void make_small(void)
{
	int size = 1;

	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_un at = {0};
		socklen_t length = sizeof(at);

		if (getpeername(fd, (struct sockaddr *)&at, &length) == 0 &&
		    !strcmp(at.sun_path, path))
			assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)),
					 0);
	}
}

/* The peer does not read: frames are sent whole or not at all, and the rest goes by itself. */
static void full_socket(void **state)
{
	unsigned sent = 0, taken = 0;
	int error = 0;

	start(false);
	make_small();
	for (; !error; sent++)
		error = send_frame(30011, (uint8_t)sent);
	assert_int_equal(error, -EAGAIN);
	sent--;
	assert_int_equal(send_frame(100, 0xff), -EAGAIN); /* even if this one fitted */
	for (; taken < sent; taken++) {
		/* the receive side is called because there is room again */
		assert_int_equal(packet_receive(channel, buffer), 0);
		take(buffer, 4 + 1);
		assert_int_equal(load_be32(buffer), 30011);
		assert_int_equal(buffer[4], (uint8_t)taken);
		for (unsigned left = 30010; left;) {
			ssize_t n = recv(peer, buffer, left, MSG_DONTWAIT);

			if (n < 0)
				assert_int_equal(packet_receive(channel, buffer), 0);
			else
				left -= (unsigned)n;
		}
		assert_int_equal(buffer[0], (uint8_t)taken);
	}
	assert_int_equal(recv(peer, buffer, 1, MSG_DONTWAIT), -1);
	assert_int_equal(send_frame(100, 3), 0);
	take(buffer, 4 + 100);
	assert_int_equal(load_be32(buffer), 100);
	stop();
	close(listener);
}

/* It goes in the middle of a frame, in both directions: half of one is nobody's. */
static void peer_returns(void **state)
{
	start(false);
	make_small();
	give(framed(FRAME, 1), 500);
	while (!send_frame(60000, 1))
		;
	close(peer);
	assert_int_equal(packet_receive(channel, buffer), 0);
	assert_int_equal(send_frame(100, 1), -ENOTCONN);
	/* nobody is there for a while */
	close(listener);
	assert_int_equal(packet_receive(channel, buffer), 0);
	listen_there();
	while (packet_receive(channel, buffer) == 0 && send_frame(100, 2)) {
		struct epoll_event event;

		assert_int_equal(epoll_wait(outer, &event, 1, PATIENCE), 1);
	}
	peer = accept(await(listener), NULL, NULL);
	take(buffer, 4 + 100);
	assert_int_equal(load_be32(buffer), 100);
	assert_int_equal(buffer[4], 2);
	give(framed(14, 8), 4 + 14);
	assert_int_equal(receive(), NET_HDR_SIZE + 14);
	/* a peer that speaks something else is left, and called again */
	give("GET / HTTP/1.1\r\n", 16);
	assert_int_equal(receive(), -EPROTO);
	assert_int_equal(recv(peer, buffer, 1, 0), 0);
	close(peer);
	while (packet_receive(channel, buffer) == 0 && send_frame(100, 2)) {
		struct epoll_event event;

		assert_int_equal(epoll_wait(outer, &event, 1, PATIENCE), 1);
	}
	peer = accept(await(listener), NULL, NULL);
	take(buffer, 4 + 100);
	stop();
	close(listener);
}

/* We listen: one peer at a time, the next one waits for its turn. */
static void peers_in_turn(void **state)
{
	int second;

	start(true);
	second = call();
	give(framed(20, 1), 4 + 20);
	assert_int_equal(receive(), NET_HDR_SIZE + 20);
	assert_int_equal(send(second, framed(30, 2), 4 + 30, 0), 4 + 30);
	assert_int_equal(packet_receive(channel, buffer), 0);
	close(peer);
	assert_int_equal(receive(), NET_HDR_SIZE + 30);
	peer = second;
	assert_int_equal(send_frame(40, 1), 0);
	take(buffer, 4 + 40);
	stop();
	assert_int_equal(access(path, F_OK), -1);
}

/* How many may still queue up to be let in. */
static unsigned room_to_queue(int *fds, unsigned max)
{
	struct sockaddr_un at;
	unsigned n = 0;

	assert_int_equal(unixname_address(path, &at, NULL), 0);
	for (; n < max; n++) {
		fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(fds[n], (struct sockaddr *)&at, sizeof(at)) < 0) {
			close(fds[n]);
			break;
		}
	}
	return n;
}

/* Peers that come only to go: some of them per call, and the watch tells of the others. */
static void peers_in_a_hurry(void **state)
{
	int fds[8];
	unsigned all, n;

	start(true);
	give(framed(20, 1), 4 + 20);
	assert_int_equal(receive(), NET_HDR_SIZE + 20);
	close(peer);
	all = room_to_queue(fds, 8);
	assert_true(all > 4);
	for (unsigned i = 0; i < all; i++)
		close(fds[i]);
	assert_int_equal(packet_receive(channel, buffer), 0);
	n = room_to_queue(fds, 8);
	assert_in_range(n, 1, all - 1);
	for (unsigned i = 0; i + 1 < n; i++)
		close(fds[i]);
	peer = fds[n - 1];
	give(framed(30, 2), 4 + 30);
	assert_int_equal(receive(), NET_HDR_SIZE + 30);
	stop();
}

/* There is no descriptor for a peer: it is let in when there is one. */
static void no_descriptors(void **state)
{
	struct rlimit before, few;
	struct epoll_event event;
	int filler[256];
	unsigned n = 0;

	start(true);
	close(peer);
	assert_int_equal(packet_receive(channel, buffer), 0);
	peer = call();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)peer + 32;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 256 && (filler[n] = dup(peer)) >= 0)
		n++;
	give(framed(20, 1), 4 + 20);
	assert_int_equal(epoll_wait(outer, &event, 1, PATIENCE), 1);
	assert_int_equal(packet_receive(channel, buffer), 0);
	while (n)
		close(filler[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	assert_int_equal(receive(), NET_HDR_SIZE + 20);
	stop();
}

/* What came before a driver listened is not for it; a frame begun then is thrown away whole. */
static void stale_frames(void **state)
{
	start(false);
	packet_channel_close(channel);
	close(outer);
	give(framed(FRAME, 1), 4 + FRAME);
	give(framed(FRAME, 2), 300);
	watch();
	give(framed(FRAME, 2) + 300, 4 + FRAME - 300);
	give(framed(FRAME, 3), 4 + FRAME);
	assert_int_equal(receive(), NET_HDR_SIZE + FRAME);
	assert_int_equal(buffer[NET_HDR_SIZE], 2);
	assert_int_equal(receive(), NET_HDR_SIZE + FRAME);
	assert_int_equal(buffer[NET_HDR_SIZE], 3);
	stop();
	close(listener);
}

static void refusals(void **state)
{
	struct packet_stream_options options = {.path = path};
	struct error f;

	assert_int_equal(packet_stream_open(&options, &packet, &f), -ENOENT);
	assert_non_null(strstr(f.text, "passt"));
	listen_there();
	options.server = true;
	assert_int_equal(packet_stream_open(&options, &packet, &f), -EADDRINUSE);
	/* left behind by a process that is gone */
	close(listener);
	assert_int_equal(packet_stream_open(&options, &packet, &f), 0);
	packet_close(packet);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(packet_stream_open(&options, &packet, &f), -EEXIST);
	assert_int_equal(rmdir(path), 0);
}

static int set_up(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/uvdpa-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	return rmdir(folder);
}

#define WITH_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(frames_are_whole), WITH_FOLDER(full_socket),
		WITH_FOLDER(peer_returns),     WITH_FOLDER(peers_in_a_hurry),
		WITH_FOLDER(no_descriptors),   WITH_FOLDER(peers_in_turn),
		WITH_FOLDER(stale_frames),     WITH_FOLDER(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
