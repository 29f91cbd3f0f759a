/* The datagram backend: between two paths, and between two UDP ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "util/unixname.h"

static char folder[32], ours[64], theirs[64];
static uint8_t buffer[PACKET_BUFFER], frame[PACKET_MAX_FRAME + 64];

static struct packet_channel *start(const char *local, const char *remote)
{
	const struct packet_dgram_options options = {local, remote};
	struct packet_channel *channel;
	struct packet *packet;
	struct error f;

	if (packet_dgram_open(&options, &packet, &f))
		fail_msg("%s", f.text);
	assert_int_equal(packet_channel_open(packet, 0, &channel, &f), 0);
	return channel;
}

static void stop(struct packet_channel *channel)
{
	struct packet *packet = channel->packet;

	packet_channel_close(channel);
	packet_close(packet);
}

static int send_frame(struct packet_channel *channel, size_t size)
{
	static uint8_t header[NET_HDR_SIZE];
	struct iovec iov[2] = {{header, sizeof(header)}, {frame, size}};

	return packet_send(channel, iov, 2);
}

static void await(struct packet_channel *channel)
{
	struct pollfd fd = {.fd = packet_fd(channel), .events = POLLIN};

	assert_int_equal(poll(&fd, 1, 60000), 1);
}

static void between_paths(void **state)
{
	struct packet_channel *a, *b;
	int raw;

	a = start(ours, theirs);
	assert_int_equal(send_frame(a, 100), -ENOENT); /* nobody is there yet */
	b = start(theirs, ours);
	for (size_t size = 14; size <= 60000; size += 9997) {
		memset(frame, (int)size, size);
		assert_int_equal(send_frame(a, size), 0);
		assert_int_equal(packet_receive(b, buffer), (int)(NET_HDR_SIZE + size));
		assert_memory_equal(buffer + NET_HDR_SIZE, frame, size);
	}
	assert_int_equal(packet_receive(b, buffer), 0);
	assert_int_equal(send_frame(b, 50), 0);
	assert_int_equal(packet_receive(a, buffer), NET_HDR_SIZE + 50);
	/* it goes and returns: what was sent meanwhile is lost, what waited is not for it */
	stop(b);
	assert_int_equal(send_frame(a, 100), -ENOENT);
	b = start(theirs, ours);
	assert_int_equal(send_frame(a, 99), 0);
	assert_int_equal(packet_receive(b, buffer), NET_HDR_SIZE + 99);
	stop(b);
	/* what is no frame, from whoever may write there */
	raw = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	{
		struct sockaddr_un to;

		assert_int_equal(unixname_address(ours, &to, NULL), 0);
		assert_int_equal(connect(raw, (struct sockaddr *)&to, sizeof(to)), 0);
	}
	assert_int_equal(send(raw, "", 0, 0), 0);
	assert_int_equal(send(raw, frame, 13, 0), 13);
	assert_int_equal(send(raw, frame, PACKET_MAX_FRAME + 1, 0), PACKET_MAX_FRAME + 1);
	assert_int_equal(send(raw, frame, 60, 0), 60);
	assert_int_equal(packet_receive(a, buffer), -EMSGSIZE);
	assert_int_equal(packet_receive(a, buffer), -EMSGSIZE);
	assert_int_equal(packet_receive(a, buffer), -EMSGSIZE);
	assert_int_equal(packet_receive(a, buffer), NET_HDR_SIZE + 60);
	close(raw);
	stop(a);
	assert_int_equal(access(ours, F_OK), -1);
}

/* A free port: the system chooses it. It may be taken before it is used, hence the second try. */
static int free_port(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t size = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), port;
	const uint8_t *bytes = (const uint8_t *)&at.sin_port;

	at.sin_addr.s_addr = inet_addr("127.0.0.1");
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &size) < 0)
		return -1;
	port = bytes[0] << 8 | bytes[1];
	close(fd);
	return port;
}

static struct packet *open_there(const char *local, const char *remote)
{
	const struct packet_dgram_options options = {local, remote};
	struct packet *packet;

	return packet_dgram_open(&options, &packet, NULL) ? NULL : packet;
}

static void between_ports(void **state)
{
	char a_text[32], b_text[32], c_text[32];
	struct packet *ends[3] = {NULL};
	struct packet_channel *a, *b, *stranger;

	for (unsigned i = 0; i < 20 && !(ends[0] && ends[1] && ends[2]); i++) {
		for (unsigned k = 0; k < 3; k++)
			if (ends[k])
				packet_close(ends[k]);
		snprintf(a_text, sizeof(a_text), "127.0.0.1:%d", free_port());
		snprintf(b_text, sizeof(b_text), "127.0.0.1:%d", free_port());
		snprintf(c_text, sizeof(c_text), "127.0.0.1:%d", free_port());
		ends[0] = open_there(a_text, b_text);
		ends[1] = open_there(b_text, a_text);
		ends[2] = open_there(c_text, a_text);
	}
	if (!ends[0] || !ends[1] || !ends[2]) {
		print_message("no UDP over loopback here\n");
		exit(77);
	}
	assert_int_equal(packet_channel_open(ends[0], 0, &a, NULL), 0);
	assert_int_equal(packet_channel_open(ends[1], 0, &b, NULL), 0);
	assert_int_equal(packet_channel_open(ends[2], 0, &stranger, NULL), 0);
	assert_int_equal(send_frame(stranger, 70), 0); /* not from the other end: not heard */
	assert_int_equal(send_frame(b, 60), 0);
	await(a);
	assert_int_equal(packet_receive(a, buffer), NET_HDR_SIZE + 60);
	assert_int_equal(packet_receive(a, buffer), 0);
	/* nobody there: the network may say so later, which is no frame */
	stop(b);
	send_frame(a, 60);
	send_frame(a, 60);
	assert_int_equal(packet_receive(a, buffer), 0);
	stop(a);
	stop(stranger);
}

static void refusals(void **state)
{
	static const struct {
		const char *local, *remote, *says;
	} cases[] = {
		{"127.0.0.1", "127.0.0.1:5", "neither a path"},
		{"127.0.0.1:", "127.0.0.1:5", "neither a path"},
		{"localhost:5", "127.0.0.1:5", "neither a path"},
		{":5", "127.0.0.1:5", "neither a path"},
		{"[::1:5", "127.0.0.1:5", "neither a path"},
		{"127.0.0.1:0", "127.0.0.1:99999x", "neither a path"},
		{"127.0.0.1:0", "/tmp/x", "both are paths"},
		{"/nowhere/at/all", "/tmp/x", "no socket can be made"},
	};
	struct packet *packet;
	struct error f;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct packet_dgram_options options = {cases[i].local, cases[i].remote};

		assert_true(packet_dgram_open(&options, &packet, &f) < 0);
		if (!strstr(f.text, cases[i].says))
			fail_msg("%s: %s", cases[i].local, f.text);
	}
}

static int set_up(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/uvdpa-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(ours, sizeof(ours), "%s/ours", folder);
	snprintf(theirs, sizeof(theirs), "%s/theirs", folder);
	return 0;
}

static int tear_down(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(between_paths, set_up, tear_down),
		cmocka_unit_test(between_ports),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
