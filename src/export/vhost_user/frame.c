/*
 * Framing: see vhost_user_frame.h.
 *
 * A message is a header of 12 bytes and as many bytes of payload as the header says. Descriptors
 * come with the header's first byte; who sends them elsewhere, or more than a message can have, is
 * not speaking this protocol. All descriptors received are owned by the frame until taken.
 */
#include "export/vhost_user/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/foreign.h"

#define HEAD sizeof(struct vhost_user_header)

union control {
	char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
	struct cmsghdr align;
};

void vu_message_close(struct vu_message *message)
{
	for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++) {
		if (message->fds[i] >= 0)
			foreign_close(message->fds[i]);
		message->fds[i] = -1;
	}
	message->fd_count = 0;
}

void vu_frame_init(struct vu_frame *frame)
{
	memset(frame, 0, sizeof(*frame));
	for (unsigned i = 0; i < VHOST_USER_MAX_FDS; i++)
		frame->message.fds[i] = -1;
}

void vu_frame_reset(struct vu_frame *frame)
{
	vu_message_close(&frame->message);
	vu_frame_init(frame);
}

/* Takes the descriptors out of what was received. All of them, so that none is lost. */
static int collect_fds(struct vu_message *message, struct msghdr *header)
{
	int r = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (message->fd_count < VHOST_USER_MAX_FDS) {
				message->fds[message->fd_count++] = fd;
			} else {
				foreign_close(fd);
				r = -EPROTO;
			}
		}
	}
	return header->msg_flags & MSG_CTRUNC ? -EPROTO : r;
}

/* One read of up to `size` bytes. Returns how many, 0 for "not now", or a negative errno. */
static ssize_t read_some(struct vu_frame *frame, int fd, void *to, size_t size, struct error *f)
{
	union control control;
	struct iovec iov = {.iov_base = to, .iov_len = size};
	struct msghdr header = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = control.bytes,
				.msg_controllen = sizeof(control.bytes)};
	unsigned before = frame->message.fd_count;
	ssize_t n;

	do
		n = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -ECONNRESET;
	if (n == 0)
		return -ECONNRESET;
	if (collect_fds(&frame->message, &header) < 0)
		return error_set(f, -EPROTO, "a message with more than %d descriptors",
				 VHOST_USER_MAX_FDS);
	if (frame->got && frame->message.fd_count > before)
		return error_set(f, -EPROTO, "descriptors in the middle of a message");
	return n;
}

static int check_head(const struct vhost_user_header *head, struct error *f)
{
	if ((head->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
		return error_set(f, -EPROTO, "message %u has version %u of the protocol, not 1",
				 head->request, head->flags & VHOST_USER_VERSION_MASK);
	if (head->flags & ~(VHOST_USER_VERSION_MASK | VHOST_USER_NEED_REPLY))
		return error_set(f, -EPROTO, "message %u has flags 0x%x", head->request,
				 head->flags);
	if (head->size > sizeof(union vhost_user_payload))
		return error_set(f, -EPROTO, "message %u says that %u bytes follow", head->request,
				 head->size);
	return 0;
}

int vu_frame_receive(struct vu_frame *frame, int fd, struct error *f)
{
	struct vu_message *message = &frame->message;

	for (;;) {
		size_t whole = HEAD + (frame->got >= HEAD ? message->head.size : 0);
		uint8_t *to = frame->got < HEAD
				      ? (uint8_t *)&message->head + frame->got
				      : (uint8_t *)&message->payload + (frame->got - HEAD);
		ssize_t n;

		if (frame->got >= HEAD && frame->got == whole)
			return 1;
		n = read_some(frame, fd, to, whole - frame->got, f);
		if (n <= 0)
			return (int)n;
		frame->got += (size_t)n;
		if (frame->got == HEAD) {
			int r = check_head(&message->head, f);

			if (r < 0)
				return r;
		}
	}
}

int vu_out_send(struct vu_out *out, int fd)
{
	struct vu_message *message = &out->message;
	size_t whole = HEAD + message->head.size;
	union control control = {0};

	while (out->sent < whole) {
		struct iovec iov[2] = {
			{.iov_base = &message->head, .iov_len = HEAD},
			{.iov_base = &message->payload, .iov_len = message->head.size},
		};
		struct msghdr header = {.msg_iov = iov, .msg_iovlen = 2};
		size_t skip = out->sent;
		ssize_t n;

		for (unsigned i = 0; i < 2; i++) {
			size_t cut = skip < iov[i].iov_len ? skip : iov[i].iov_len;

			iov[i].iov_base = (uint8_t *)iov[i].iov_base + cut;
			iov[i].iov_len -= cut;
			skip -= cut;
		}
		if (!out->sent && message->fd_count) {
			struct cmsghdr *c = &control.align;

			header.msg_control = control.bytes;
			header.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
			memcpy(CMSG_DATA(c), message->fds, message->fd_count * sizeof(int));
		}
		n = sendmsg(fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		out->sent += (size_t)n;
	}
	return 1;
}
