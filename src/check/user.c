/*
 * What only a vhost-user socket can be asked, message by message: what the cases that socket.c
 * leaves out try on a file, as far as the protocol has it, and that no nonsense of one front end
 * keeps the next from being served. (QEMU's specification: docs/interop/vhost-user.)
 */
#include "check/cases.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "check/options.h"
#include "check/target.h"
#include "check/verdict.h"
#include "wire/vhost_user.h"

#define NEED_REPLY (VHOST_USER_VERSION | VHOST_USER_NEED_REPLY)
#define GONE	   (-1)

struct letter {
	uint32_t request, flags, size;
	union vhost_user_payload payload;
};
static_assert(sizeof(struct vhost_user_header) == 12, "the head of a letter");

static int connect_to(struct check *c)
{
	struct timeval patience = {.tv_sec = 1 + c->options->patience / 1000};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct revival revival = {0};

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", c->targets[0].name);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		if (!target_revive(c, c->targets[0].name, -errno, &revival))
			broken(c, "a socket that takes connections", "connect: %s",
			       strerror(errno));
	return fd;
}

/* Sends it, with a descriptor if there is one. A peer that is gone is found at the answer. */
static void say(int fd, const struct letter *letter, int passed)
{
	uint32_t size = letter->size < sizeof(letter->payload) ? letter->size
							       : (uint32_t)sizeof(letter->payload);
	struct iovec iov[2] = {{(void *)(uintptr_t)letter, 12},
			       {(void *)(uintptr_t)&letter->payload, size}};
	struct msghdr header = {.msg_iov = iov, .msg_iovlen = 2};
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};

	if (passed >= 0) {
		header.msg_control = control.bytes;
		header.msg_controllen = sizeof(control.bytes);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &passed, sizeof(int));
	}
	if (sendmsg(fd, &header, MSG_NOSIGNAL) < 0)
		return;
}

/* The next letter: 0, or GONE. */
static int hear(struct check *c, int fd, struct letter *letter)
{
	ssize_t n;

	memset(letter, 0, sizeof(*letter));
	n = recv(fd, letter, 12, MSG_WAITALL);
	if (n < 0 && errno == EAGAIN)
		broken(c, "an answer, or the end of the connection", "silence");
	if (n != 12)
		return GONE;
	if (letter->size > sizeof(letter->payload))
		broken(c, "an answer of a size that exists", "%u bytes", letter->size);
	if (letter->size && recv(fd, &letter->payload, letter->size, MSG_WAITALL) != letter->size)
		return GONE;
	return 0;
}

/* Asks for a number that must come. */
static uint64_t ask(struct check *c, int fd, uint32_t request, uint32_t flags)
{
	struct letter letter = {.request = request, .flags = flags};

	say(fd, &letter, -1);
	if (hear(c, fd, &letter) == GONE)
		broken(c, "an answer", "request %u ends the connection", request);
	/* whether NEED_REPLY comes back with it is not said */
	if (letter.request != request || letter.size != 8 ||
	    (letter.flags | VHOST_USER_NEED_REPLY) != (NEED_REPLY | VHOST_USER_REPLY))
		broken(c, "one answer to each question, in their order",
		       "request %u is answered by %u, flags 0x%x, %u bytes", request,
		       letter.request, letter.flags, letter.size);
	return letter.payload.u64;
}

/*
 * A connection that has agreed on everything that is offered. The server may not have let go of the
 * one before; it is asked again, then.
 */
static int greet(struct check *c)
{
	struct letter letter = {.request = VHOST_USER_GET_FEATURES, .flags = VHOST_USER_VERSION};
	int64_t end = check_now() + c->options->patience * INT64_C(1000000);
	int fd = connect_to(c);

	for (say(fd, &letter, -1); hear(c, fd, &letter) == GONE; say(fd, &letter, -1)) {
		close(fd);
		if (check_now() > end)
			broken(c, "a front end that is served", "its connection is closed");
		check_sleep(2000);
		fd = connect_to(c);
		letter = (struct letter){.request = VHOST_USER_GET_FEATURES,
					 .flags = VHOST_USER_VERSION};
	}
	if (!(letter.payload.u64 >> VHOST_USER_F_PROTOCOL_FEATURES & 1))
		skip(c, "the device has no protocol features");
	letter.payload.u64 = ask(c, fd, VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_VERSION);
	if (!(letter.payload.u64 >> VHOST_USER_PROTOCOL_F_REPLY_ACK & 1))
		skip(c, "the device does not acknowledge (REPLY_ACK)");
	letter.request = VHOST_USER_SET_PROTOCOL_FEATURES;
	letter.flags = VHOST_USER_VERSION;
	letter.size = 8;
	say(fd, &letter, -1);
	return fd;
}

/* What became of a letter: 0 and up as acknowledged, or GONE. And the next front end is served. */
static int64_t outcome(struct check *c, int fd, struct letter *letter, int passed)
{
	int64_t result = GONE;

	say(fd, letter, passed);
	if (hear(c, fd, letter) == 0)
		result = (int64_t)letter->payload.u64;
	close(fd);
	close(greet(c));
	return result;
}

/* It should be refused; a device that does not look is told of. */
static void refused(struct check *c, int64_t result, const char *what)
{
	if (result == 0)
		defined(c, "%s is accepted", what);
}

static void u01(struct check *c)
{
	int fd = greet(c);

	ask(c, fd, VHOST_USER_GET_FEATURES, NEED_REPLY);
	ask(c, fd, VHOST_USER_GET_PROTOCOL_FEATURES, NEED_REPLY);
	ask(c, fd, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION);
}

static void u02(struct check *c)
{
	const struct letter wrong[] = {
		{.request = 0xffff, .flags = NEED_REPLY},
		{.request = VHOST_USER_GET_FEATURES, .flags = 2},
		{.request = VHOST_USER_SET_FEATURES, .flags = NEED_REPLY, .size = UINT32_MAX},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		int fd = greet(c);

		doing(c, "a message of kind %u that makes no sense", i);
		say(fd, &wrong[i], -1);
		close(fd);
		close(greet(c));
	}
}

/* Only one: others let those who come next wait, of whom there is room for one. */
static void u03(struct check *c)
{
	int first = greet(c), second = connect_to(c);

	ask(c, first, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION);
	close(second);
	ask(c, first, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION);
}

static void u04(struct check *c)
{
	struct letter letter = {.request = VHOST_USER_SET_FEATURES,
				.flags = NEED_REPLY,
				.size = 8,
				.payload.u64 = ~UINT64_C(0)};

	refused(c, outcome(c, greet(c), &letter, -1), "a feature that was not offered");
}

static void u05(struct check *c)
{
	struct letter letter = {.request = VHOST_USER_ADD_MEM_REG, .flags = NEED_REPLY, .size = 40};
	static const struct {
		struct vhost_user_region region;
		const char *what;
	} wrong[] = {
		{{0, 0, 0x1000, 0}, "a region of no bytes"},
		{{0, 0x2000, 0x1000, 0}, "a region that is longer than its file"},
		{{UINT64_MAX - 0xfff, 0x2000, 0x1000, 0}, "a region that wraps around"},
	};
	int memory = memfd_create("region", MFD_CLOEXEC);

	if (memory < 0 || ftruncate(memory, 0x1000) < 0)
		skip(c, "no memory for a region");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct letter each = letter;

		each.payload.region.region = wrong[i].region;
		refused(c, outcome(c, greet(c), &each, memory), wrong[i].what);
	}
}

static void u06(struct check *c)
{
	struct letter letter = {
		.request = VHOST_USER_SET_VRING_KICK, .flags = NEED_REPLY, .size = 8};
	int ends[2];

	if (pipe(ends) < 0)
		skip(c, "no pipe");
	refused(c, outcome(c, greet(c), &letter, ends[0]), "a kick descriptor that is no eventfd");
}

static void u07(struct check *c)
{
	uint32_t offsets[] = {0, c->facts->config_size, VHOST_USER_CONFIG_MAX - 8};

	for (unsigned i = 0; i < 3; i++) {
		struct letter letter = {.request = VHOST_USER_GET_CONFIG,
					.flags = VHOST_USER_VERSION,
					.size = VHOST_USER_CONFIG_HEADER + 8,
					.payload.config = {.offset = offsets[i], .size = 8}};
		int fd = greet(c);

		say(fd, &letter, -1);
		if (hear(c, fd, &letter) == GONE)
			broken(c, "an answer", "GET_CONFIG at %u ends the connection", offsets[i]);
		if (letter.size && letter.size != VHOST_USER_CONFIG_HEADER + 8)
			broken(c, "as many bytes as were asked for, or none",
			       "%u bytes to GET_CONFIG at %u", letter.size, offsets[i]);
		close(fd);
	}
}

static void u08(struct check *c)
{
	struct letter letter = {.request = VHOST_USER_GET_VRING_BASE,
				.flags = VHOST_USER_VERSION,
				.size = sizeof(struct vhost_vring_state)};
	int fd = greet(c);

	say(fd, &letter, -1);
	if (hear(c, fd, &letter) == GONE || letter.size != sizeof(struct vhost_vring_state) ||
	    letter.payload.state.index)
		broken(c, "where a ring that never ran stands", "no such answer");
	ask(c, fd, VHOST_USER_GET_FEATURES, VHOST_USER_VERSION);
}

#define SPEC "vhost-user messages"

const struct check_case user_cases[] = {
	{"U01", "user", SPEC, "a question is answered once, whether or not it asks for it", 'M',
	 NEED_SOCKET, u01, .user = "vhost-user messages"},
	{"U02", "user", SPEC, "nonsense of one front end leaves the next unharmed", 'M',
	 NEED_SOCKET, u02, .user = "robustness"},
	{"U03", "user", SPEC, "a second connection does not disturb the first", 'M', NEED_SOCKET,
	 u03, .user = "robustness"},
	{"U04", "user", SPEC, "features that were not offered", 'D', NEED_SOCKET, u04,
	 .user = "vhost-user messages"},
	{"U05", "user", SPEC, "regions that cannot be", 'D', NEED_SOCKET | NEED_REGIONS, u05,
	 .user = "robustness"},
	{"U06", "user", SPEC, "a kick descriptor that is something else", 'D', NEED_SOCKET, u06,
	 .user = "robustness"},
	{"U07", "user", SPEC, "config space is read whole or not at all, also beyond its end", 'M',
	 NEED_SOCKET | NEED_CONFIG, u07, .user = "vhost-user GET_CONFIG"},
	{"U08", "user", SPEC, "the base of a ring that never ran", 'M', NEED_SOCKET, u08,
	 .user = "vhost-user GET_VRING_BASE"},
};
CASE_COUNT(user);
