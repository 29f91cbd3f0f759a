/* Requests and answers on the socket, and the device's own channel. */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
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

/* The first reason is the one that matters. Returns -ECONNRESET. */
static int __attribute__((format(printf, 3, 4), cold))
end(struct vu_front *front, int code, const char *format, ...)
{
	va_list args;

	if (front->end.code)
		return -ECONNRESET;
	front->end.code = code;
	va_start(args, format);
	vsnprintf(front->end.text, sizeof(front->end.text), format, args);
	va_end(args);
	/* the back end hears of it, and nobody waits for it again */
	shutdown(front->fd, SHUT_RDWR);
	if (front->on_lost)
		front->on_lost(front->arg, front->end.text);
	return -ECONNRESET;
}

static int hung_up(struct vu_front *front, uint32_t request)
{
	if (front->answered)
		return end(front, -ECONNRESET, "hung up at %s", vu_request_name(request));
	return end(front, -EBUSY,
		   "hung up at once: busy (the device has one user at a time), or no vhost-user "
		   "back end");
}

void vu_bound(struct vu_front *front)
{
	const struct timeval limit = {.tv_sec = front->answer_ms / 1000,
				      .tv_usec = front->answer_ms % 1000 * 1000};

	setsockopt(front->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(front->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

static void tell(struct vu_front *front, const struct vhost_user_header *head, const void *payload,
		 unsigned fds, bool is_answer)
{
	if (front->on_message)
		front->on_message(front->arg,
				  &(struct uvdpa_message){.name = vu_request_name(head->request),
							  .is_answer = is_answer,
							  .is_opening = front->opening,
							  .request = head->request,
							  .flags = head->flags,
							  .size = head->size,
							  .payload = payload,
							  .fds = fds});
}

static int send_all(struct vu_front *front, const struct vhost_user_header *head,
		    const void *payload, const int *fds, unsigned fd_count)
{
	struct iovec iov[2] = {{(void *)(uintptr_t)head, sizeof(*head)},
			       {(void *)(uintptr_t)payload, head->size}};
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = head->size ? 2 : 1};
	union control control;
	ssize_t n;

	tell(front, head, payload, fd_count, false);
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
		n = sendmsg(front->fd, &message, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return end(front, -ETIMEDOUT, "does not read %s within %.1f s",
			   vu_request_name(head->request), front->answer_ms / 1000.0);
	/* a blocking stream socket takes a message of this size whole */
	if (n != (ssize_t)(sizeof(*head) + head->size))
		return hung_up(front, head->request);
	return 0;
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

/* Reads that much before `limit` (ns; 0: none): how much came. Less: errno is EAGAIN, or 0. */
static size_t receive_all(int fd, void *to, size_t size, int64_t limit)
{
	size_t got = 0;

	while (got < size) {
		ssize_t n = recv(fd, (char *)to + got, size - got, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return got;
		errno = 0;
		if (n <= 0)
			return got;
		got += (size_t)n;
		/* crumbs do not lengthen the time, but by that of the last of them */
		errno = EAGAIN;
		if (got < size && limit && now_ns() > limit)
			return got;
	}
	return got;
}

/* Why only `got` bytes of the answer came. */
static int no_answer(struct vu_front *front, uint32_t request, size_t got)
{
	const char *name = vu_request_name(request);
	bool late = errno == EAGAIN;

	if (got)
		return end(front, late ? -ETIMEDOUT : -ECONNRESET,
			   "%s after %zu bytes of an answer to %s",
			   late ? "falls silent" : "hung up", got, name);
	if (late)
		return end(front, -ETIMEDOUT, "no answer to %s within %.1f s%s", name,
			   front->answer_ms / 1000.0,
			   front->answered
				   ? ""
				   : ": busy with another front end, or no vhost-user back end");
	return hung_up(front, request);
}

static int receive(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
		   uint32_t *size)
{
	int64_t limit = now_ns() + (int64_t)front->answer_ms * 1000000;
	struct vhost_user_header head;
	size_t got;

	if (front->hurry)
		look_for_answer(front->fd);
	got = receive_all(front->fd, &head, sizeof(head), limit);
	if (got < sizeof(head))
		return no_answer(front, request, got);
	if (head.request != request || !(head.flags & VHOST_USER_REPLY) ||
	    (head.flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
	    head.size > sizeof(*payload))
		return end(front, -EPROTO,
			   "the answer to %s is none: %s (%u), flags 0x%x, %u bytes",
			   vu_request_name(request), vu_request_name(head.request), head.request,
			   head.flags, head.size);
	*size = head.size;
	got = receive_all(front->fd, payload, head.size, limit);
	if (got < head.size)
		return no_answer(front, request, sizeof(head) + got);
	front->answered = true;
	tell(front, &head, payload, 0, true);
	return 0;
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
		return end(front, -EPROTO, "acknowledges %s with %u bytes instead of 8",
			   vu_request_name(request), got);
	/* The protocol says "not zero"; uvdpa's own back end says which error. */
	return !reply.u64 ? 0 : reply.u64 < 4096 ? -(int)reply.u64 : -EIO;
}

/* All acknowledgements that are owed. The first refusal is kept for vu_batch_end(). */
static int settle(struct vu_front *front)
{
	for (unsigned i = 0; i < front->owed_count && !front->end.code; i++) {
		int r = receive_ack(front, front->owed[i]);

		front->refused = front->refused ? front->refused : r;
	}
	front->owed_count = 0;
	return front->end.code ? -ECONNRESET : 0;
}

int vu_request(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
	       uint32_t size, const int *fds, unsigned fd_count)
{
	struct vhost_user_header head = {
		.request = request, .flags = VHOST_USER_VERSION, .size = size};
	bool ack = vu_has(front, VHOST_USER_PROTOCOL_F_REPLY_ACK);
	union vhost_user_payload none;
	int r = 0;

	if (front->owed_count == VU_MAX_OWED)
		r = settle(front);
	if (r < 0 || front->end.code)
		return -ECONNRESET;
	if (ack)
		head.flags |= VHOST_USER_NEED_REPLY;
	r = send_all(front, &head, payload ? payload : &none, fds, fd_count);
	if (r < 0 || !ack)
		return r;
	if (!front->together)
		return receive_ack(front, request);
	front->owed[front->owed_count++] = request;
	return 0;
}

int vu_ask(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
	   uint32_t size, uint32_t answer)
{
	const struct vhost_user_header head = {
		.request = request, .flags = VHOST_USER_VERSION, .size = size};
	uint32_t got = 0;
	int r = settle(front); /* answers come in the order of the requests */

	if (r == 0)
		r = send_all(front, &head, payload, NULL, 0);
	if (r == 0)
		r = receive(front, request, payload, &got);
	if (r < 0)
		return r;
	return got == answer ? 0 : got ? -EPROTO : -EINVAL;
}

void vu_batch_begin(struct vu_front *front)
{
	front->together++;
}

int vu_batch_end(struct vu_front *front)
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
	int r = vu_ask(front, request, &p, 0, sizeof(p.u64));

	if (r == -EPROTO || r == -EINVAL)
		return end(front, -EPROTO, "the answer to %s is no number of 8 bytes",
			   vu_request_name(request));
	if (r == 0)
		*value = p.u64;
	return r;
}

int vu_set_u64(struct vu_front *front, uint32_t request, uint64_t value)
{
	union vhost_user_payload p = {.u64 = value};

	return vu_request(front, request, &p, sizeof(p.u64), NULL, 0);
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

	while (receive_all(front->notices, &head, sizeof(head), 0) == sizeof(head) &&
	       head.size <= sizeof(payload) &&
	       receive_all(front->notices, &payload, head.size, 0) == head.size) {
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
	r = vu_request(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1);
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
