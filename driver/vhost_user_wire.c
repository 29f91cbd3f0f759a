/* Requests and answers on the socket, and the device's own channel. */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* How long an answer is looked for before the thread sleeps, where nobody is served meanwhile:
 * twice what a quick one takes. */
#define LOOK_NS 50000

union control {
	char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

static int send_all(int fd, const struct vhost_user_header *head, const void *payload,
		    const int *fds, unsigned fd_count)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)head, sizeof(*head)},
			       {(void *)(uintptr_t)payload, head->size}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = head->size ? 2 : 1};
	union control control;
	ssize_t n;

	if (fd_count) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, fd_count * sizeof(int));
	}
	do
		n = sendmsg(fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* a blocking stream socket takes a message of this size whole */
	return n == (ssize_t)(sizeof(*head) + head->size) ? 0 : -ECONNRESET;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Looks for something to receive instead of sleeping, but not for long. */
static void look_for_answer(int fd)
{
	int64_t end = now_ns() + LOOK_NS;
	char byte;

	while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN && now_ns() < end)
		;
}

static int receive_all(int fd, void *to, size_t size)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = recv(fd, (char *)to + got, size - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -ECONNRESET;
		got += (size_t)n;
	}
	return 0;
}

static int receive(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
		   uint32_t *size)
{
	struct vhost_user_header head;
	int r;

	if (front->hurry)
		look_for_answer(front->fd);
	r = receive_all(front->fd, &head, sizeof(head));
	if (r < 0)
		return r;
	if (head.request != request || !(head.flags & VHOST_USER_REPLY) ||
	    head.size > sizeof(*payload))
		return -ECONNRESET;
	*size = head.size;
	return receive_all(front->fd, payload, head.size);
}

/* What a request was acknowledged with. */
static int receive_ack(struct vu_front *front, uint32_t request)
{
	union vhost_user_payload reply;
	uint32_t got = 0;
	int r = receive(front, request, &reply, &got);

	if (r < 0)
		return r;
	if (got != sizeof(reply.u64))
		return -ECONNRESET;
	/* The protocol says "not zero"; uvdpa's own back end says which error. */
	return !reply.u64 ? 0 : reply.u64 < 4096 ? -(int)reply.u64 : -EIO;
}

/* All acknowledgements that are owed. The first refusal is kept for vu_collect(). */
static int settle(struct vu_front *front)
{
	for (unsigned i = 0; i < front->owed_count; i++) {
		int r = receive_ack(front, front->owed[i]);

		front->refused = front->refused ? front->refused : r;
		if (r == -ECONNRESET)
			break;
	}
	front->owed_count = 0;
	return front->refused == -ECONNRESET ? -ECONNRESET : 0;
}

int vu_request(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
	       uint32_t size, const int *fds, unsigned fd_count, bool answers)
{
	struct vhost_user_header head = {
		.request = request, .flags = VHOST_USER_VERSION, .size = size};
	bool ack = !answers && vu_has(front, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	union vhost_user_payload none;
	uint32_t got = 0;
	int r = 0;

	/* answers come in the order of the requests */
	if (answers || front->owed_count == VU_MAX_OWED)
		r = settle(front);
	if (r < 0)
		return r;
	if (ack)
		head.flags |= VHOST_USER_NEED_REPLY;
	r = send_all(front->fd, &head, payload ? payload : &none, fds, fd_count);
	if (r < 0 || (!answers && !ack))
		return r;
	if (ack && front->together) {
		front->owed[front->owed_count++] = request;
		return 0;
	}
	if (ack)
		return receive_ack(front, request);
	r = receive(front, request, payload, &got);
	if (r < 0)
		return r;
	return got ? 0 : -EINVAL; /* a config answer of no bytes is a refusal */
}

void vu_together(struct vu_front *front)
{
	front->together++;
}

int vu_collect(struct vu_front *front)
{
	int r;

	if (--front->together > 0)
		return 0;
	settle(front);
	r = front->refused;
	front->refused = 0;
	return r;
}

int vu_get_u64(struct vu_front *front, uint32_t request, uint64_t *value)
{
	union vhost_user_payload p;
	int r = vu_request(front, request, &p, 0, NULL, 0, true);

	*value = p.u64;
	return r;
}

int vu_set_u64(struct vu_front *front, uint32_t request, uint64_t value)
{
	union vhost_user_payload p = {.u64 = value};

	return vu_request(front, request, &p, sizeof(p.u64), NULL, 0, false);
}

/* --- The device's own channel -------------------------------------------------------------------
 */

static void signal_fd(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* full: it is signalled */
}

static void *listen_main(void *arg)
{
	struct vu_front *front = arg;
	union vhost_user_payload payload;
	struct vhost_user_header head;

	while (receive_all(front->notices, &head, sizeof(head)) == 0 &&
	       head.size <= sizeof(payload) &&
	       receive_all(front->notices, &payload, head.size) == 0) {
		pthread_mutex_lock(&front->call_lock);
		if (head.request == VHOST_USER_BACKEND_CONFIG_CHANGE)
			signal_fd(front->config_call);
		pthread_mutex_unlock(&front->call_lock);
	}
	return NULL;
}

int vu_front_listen(struct vu_front *front)
{
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	r = vu_request(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1, false);
	close(pair[1]);
	if (r == 0) {
		front->notices = pair[0];
		r = -pthread_create(&front->listener, NULL, listen_main, front);
	}
	if (r < 0) {
		front->notices = -1;
		close(pair[0]);
		return r;
	}
	front->has_listener = true;
	return 0;
}

void vu_front_unlisten(struct vu_front *front)
{
	if (!front->has_listener)
		return;
	shutdown(front->notices, SHUT_RDWR);
	pthread_join(front->listener, NULL);
	close(front->notices);
}
