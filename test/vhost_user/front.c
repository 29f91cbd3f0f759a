/* A front end for tests: see front.h. */
#include "vhost_user/front.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FDS_MAX (VHOST_USER_MAX_FDS + 2)

union control {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int front_connect(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

	assert(fd >= 0);
	assert(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	/* a server that is just starting: its name is there before it listens */
	for (unsigned i = 0; i < 20000; i++) {
		r = connect(fd, (struct sockaddr *)&at, sizeof(at));
		if (r == 0 || (errno != ECONNREFUSED && errno != ENOENT))
			break;
		usleep(500);
	}
	assert(r == 0);
	return fd;
}

int front_send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned fd_count)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;

	memset(&control, 0, sizeof(control));
	if (fd_count) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, fd_count * sizeof(int));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

int front_send(int fd, const struct front_message *m)
{
	uint8_t bytes[12 + sizeof(m->payload)];
	size_t size = m->size < sizeof(m->payload) ? m->size : sizeof(m->payload);

	memcpy(bytes, m, 12);
	memcpy(bytes + 12, &m->payload, size);
	return front_send_bytes(fd, bytes, 12 + size, m->fds, m->fd_count);
}

static int receive_all(int fd, void *to, size_t size, struct front_message *m)
{
	size_t got = 0;

	while (got < size) {
		struct iovec iov = {(char *)to + got, size - got};
		union control control;
		struct msghdr header = {.msg_iov = &iov,
					.msg_iovlen = 1,
					.msg_control = control.bytes,
					.msg_controllen = sizeof(control.bytes)};
		ssize_t n = recvmsg(fd, &header, 0);
		struct cmsghdr *c;

		if (n <= 0)
			return -1;
		got += (size_t)n;
		c = CMSG_FIRSTHDR(&header);
		if (!c)
			continue;
		m->fd_count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(m->fds, CMSG_DATA(c), m->fd_count * sizeof(int));
	}
	return 0;
}

int front_receive(int fd, struct front_message *m)
{
	memset(m, 0, sizeof(*m));
	if (receive_all(fd, m, 12, m) < 0)
		return -1;
	assert(m->size <= sizeof(m->payload));
	return receive_all(fd, &m->payload, m->size, m);
}

static void compose(struct front_message *m, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size)
{
	memset(m, 0, sizeof(*m));
	m->request = request;
	m->flags = VHOST_USER_VERSION | flags;
	m->size = size;
	if (size)
		memcpy(&m->payload, payload, size);
}

int64_t front_ack(int fd, uint32_t request, const void *payload, uint32_t size, const int *fds,
		  unsigned fd_count)
{
	struct front_message m, answer;

	compose(&m, request, VHOST_USER_NEED_REPLY, payload, size);
	if (fd_count)
		memcpy(m.fds, fds, fd_count * sizeof(int));
	m.fd_count = fd_count;
	if (front_send(fd, &m) < 0 || front_receive(fd, &answer) < 0)
		return -1;
	assert(answer.request == request &&
	       answer.flags == (VHOST_USER_VERSION | VHOST_USER_REPLY));
	assert(answer.size == 8);
	return (int64_t)answer.payload.u64;
}

int front_ask(int fd, uint32_t request, const void *payload, uint32_t size,
	      struct front_message *answer)
{
	struct front_message m;

	compose(&m, request, 0, payload, size);
	if (front_send(fd, &m) < 0 || front_receive(fd, answer) < 0)
		return -1;
	assert(answer->request == request &&
	       answer->flags == (VHOST_USER_VERSION | VHOST_USER_REPLY));
	return 0;
}

uint64_t front_greet(int fd, uint64_t *protocol)
{
	struct front_message m;
	uint64_t features;
	int r = front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &m);

	assert(r == 0);
	features = m.payload.u64;
	r = front_ask(fd, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0, &m);
	assert(r == 0);
	if (protocol)
		*protocol = m.payload.u64;
	compose(&m, VHOST_USER_SET_PROTOCOL_FEATURES, 0, (uint64_t[]){m.payload.u64}, 8);
	r = front_send(fd, &m);
	assert(r == 0);
	r = (int)front_ack(fd, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
	assert(r == 0);
	return features;
}
