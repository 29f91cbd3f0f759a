/*
 * The driver over a vhost-user socket whose back end misbehaves: silent, in crumbs, gone, or with
 * answers that are none. Each ends in an error in words within a bounded time, and never as "busy"
 * if the back end has answered.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "uvdpa/driver_raw.h"
#include "wire/vhost.h"
#include "wire/vhost_user.h"

#define BIT(n)	 (UINT64_C(1) << (n))
#define LIMIT_MS 200
#define ANY	 UINT32_MAX

/* What it does instead of a good answer. */
enum err {
	GOOD,
	SILENT,
	HANGS_UP,
	HALF,	   /* a header, the rest never */
	CRUMBS,	   /* a byte now and then */
	OTHER,	   /* the answer to another request */
	NO_REPLY,  /* without the reply flag */
	VERSION_0, /* of a protocol that there is not */
	EMPTY,
	SHORT,
	HUGE_SIZE,
	VALUE, /* `value` instead */
};

struct back {
	char dir[32], path[64];
	int listener;
	pthread_t thread;
	enum err err;
	uint32_t at; /* the request that it answers so */
	uint64_t value;
	uint16_t ring_max;
	uint64_t status;
};

static bool receive(int fd, struct vhost_user_header *head, union vhost_user_payload *payload)
{
	if (recv(fd, head, sizeof(*head), MSG_WAITALL) != sizeof(*head) ||
	    head->size > sizeof(*payload))
		return false;
	return !head->size || recv(fd, payload, head->size, MSG_WAITALL) == (ssize_t)head->size;
}

/* The good answer; its size, 0: only an acknowledgement. */
static uint32_t answer(struct back *back, uint32_t request, union vhost_user_payload *p)
{
	switch (request) {
	case VHOST_USER_GET_FEATURES:
		p->u64 = BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES);
		return 8;
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		p->u64 = BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
			 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_STATUS);
		return 8;
	case VHOST_USER_GET_QUEUE_NUM:
		p->u64 = 1;
		return 8;
	case VHOST_USER_GET_STATUS:
		p->u64 = back->status;
		return 8;
	case VHOST_USER_SET_STATUS:
		back->status = p->u64;
		return 0;
	case VHOST_USER_GET_VRING_BASE:
		return sizeof(p->state);
	case VHOST_USER_GET_CONFIG:
		return VHOST_USER_CONFIG_HEADER + p->config.size;
	default:
		return 0;
	}
}

static void send_bytes(int fd, const void *bytes, size_t size)
{
	if (send(fd, bytes, size, MSG_NOSIGNAL) < 0)
		return;
}

/* Waits for the driver to give up. */
static void wait_for_end(int fd)
{
	char byte;

	while (recv(fd, &byte, 1, 0) > 0)
		;
}

static void send_crumbs(int fd, const struct vhost_user_header *head)
{
	for (unsigned i = 0; i < sizeof(*head); i++) {
		if (send(fd, (const char *)head + i, 1, MSG_NOSIGNAL) < 0)
			return;
		usleep(LIMIT_MS * 1000 * 3 / 4);
	}
}

/* False: there is nothing more to say. */
static bool misbehave(struct back *back, int fd, struct vhost_user_header *head,
		      union vhost_user_payload *p)
{
	switch (back->err) {
	case SILENT:
		wait_for_end(fd);
		return false;
	case HANGS_UP:
		return false;
	case HALF:
		send_bytes(fd, head, 6);
		wait_for_end(fd);
		return false;
	case CRUMBS:
		send_crumbs(fd, head);
		return false;
	case OTHER:
		head->request++;
		break;
	case NO_REPLY:
		head->flags &= ~VHOST_USER_REPLY;
		break;
	case VERSION_0:
		head->flags &= ~VHOST_USER_VERSION;
		break;
	case EMPTY:
		head->size = 0;
		break;
	case SHORT:
		head->size = 4;
		break;
	case HUGE_SIZE:
		send_bytes(fd, &(struct vhost_user_header){head->request, head->flags, UINT32_MAX},
			   sizeof(*head));
		return true;
	default:
		p->u64 = back->value;
	}
	send_bytes(fd, head, sizeof(*head));
	send_bytes(fd, p, head->size);
	return true;
}

static void serve(struct back *back, int fd)
{
	struct vhost_user_header head;
	union vhost_user_payload p;

	while (receive(fd, &head, &p)) {
		uint32_t size = answer(back, head.request, &p);
		uint64_t refuse =
			head.request == VHOST_USER_SET_VRING_NUM && p.state.num > back->ring_max;

		if (!size && !(head.flags & VHOST_USER_NEED_REPLY))
			continue;
		if (!size)
			p.u64 = refuse;
		head.size = size ? size : 8;
		head.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
		if (back->err && (back->at == head.request || back->at == ANY)) {
			if (!misbehave(back, fd, &head, &p))
				return;
			continue;
		}
		send_bytes(fd, &head, sizeof(head));
		send_bytes(fd, &p, head.size);
	}
}

static void *back_main(void *arg)
{
	struct back *back = arg;
	int fd = accept(back->listener, NULL, NULL);

	serve(back, fd);
	close(fd);
	return NULL;
}

static void start(struct back *back, enum err err, uint32_t at)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	*back = (struct back){
		.dir = "/tmp/uvdpa-bad-XXXXXX", .err = err, .at = at, .ring_max = UINT16_MAX};
	assert_non_null(mkdtemp(back->dir));
	snprintf(back->path, sizeof(back->path), "%s/socket", back->dir);
	memcpy(address.sun_path, back->path, strlen(back->path) + 1);
	back->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(back->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(back->listener, 1), 0);
	assert_int_equal(pthread_create(&back->thread, NULL, back_main, back), 0);
}

static void finish(struct back *back, struct uvdpa_driver *drv)
{
	uvdpa_driver_close(drv);
	pthread_join(back->thread, NULL);
	close(back->listener);
	unlink(back->path);
	rmdir(back->dir);
}

static const struct uvdpa_open_options bounded = {.answer_ms = LIMIT_MS};

/* Opening ends so, with these words in its error. */
static void refused(enum err err, uint32_t at, int code, const char *words)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;
	struct back back;

	start(&back, err, at);
	assert_int_equal(uvdpa_driver_open_with(back.path, &bounded, &drv, &error), code);
	assert_int_equal(error.code, code);
	if (!strstr(error.text, words) || !strstr(error.text, back.path))
		fail_msg("\"%s\" says nothing of \"%s\"", error.text, words);
	if (code != -EBUSY && at != VHOST_USER_GET_FEATURES && strstr(error.text, "busy"))
		fail_msg("\"%s\"", error.text);
	finish(&back, NULL);
}

static void silence(void **state)
{
	refused(SILENT, VHOST_USER_GET_FEATURES, -ETIMEDOUT, "no answer to GET_FEATURES");
	refused(SILENT, VHOST_USER_GET_QUEUE_NUM, -ETIMEDOUT, "no answer to GET_QUEUE_NUM");
}

static void pieces(void **state)
{
	refused(HALF, VHOST_USER_GET_FEATURES, -ETIMEDOUT, "falls silent after 6 bytes");
	refused(CRUMBS, VHOST_USER_GET_PROTOCOL_FEATURES, -ETIMEDOUT, "falls silent after");
}

static void gone(void **state)
{
	refused(HANGS_UP, VHOST_USER_GET_FEATURES, -EBUSY, "hung up at once");
	refused(HANGS_UP, VHOST_USER_GET_QUEUE_NUM, -ECONNRESET, "hung up at GET_QUEUE_NUM");
}

static void wrong_answers(void **state)
{
	refused(OTHER, VHOST_USER_GET_FEATURES, -EPROTO, "SET_FEATURES (2)");
	refused(NO_REPLY, VHOST_USER_GET_FEATURES, -EPROTO, "flags 0x1");
	refused(VERSION_0, VHOST_USER_GET_FEATURES, -EPROTO, "flags 0x4");
	refused(EMPTY, VHOST_USER_GET_FEATURES, -EPROTO, "8 bytes");
	refused(SHORT, VHOST_USER_GET_PROTOCOL_FEATURES, -EPROTO, "8 bytes");
	refused(HUGE_SIZE, VHOST_USER_GET_QUEUE_NUM, -EPROTO, "4294967295 bytes");
}

/* Sets what a back end answers instead of the truth, and opens. */
static int open_with(struct back *back, uint32_t at, uint64_t value, struct uvdpa_driver **drv,
		     struct uvdpa_error *error)
{
	start(back, VALUE, at);
	back->value = value;
	return uvdpa_driver_open_with(back->path, &bounded, drv, error);
}

static void no_queues(void **state)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;
	struct back back;
	uint32_t count = 0;

	assert_int_equal(open_with(&back, VHOST_USER_GET_QUEUE_NUM, 0, &drv, &error), -ENODEV);
	finish(&back, NULL);
	assert_int_equal(open_with(&back, VHOST_USER_GET_QUEUE_NUM, UINT64_C(1) << 63, &drv, NULL),
			 0);
	assert_int_equal(uvdpa_get_vqs_count(drv, &count), 0);
	assert_true(count > 0 && count <= 64);
	finish(&back, drv);
}

/* After the opening: the call ends, the reason is kept, and every call after it ends at once. */
static void later(void **state)
{
	struct uvdpa_driver *drv = NULL;
	struct back back;
	uint8_t status;

	start(&back, SILENT, VHOST_USER_GET_STATUS);
	assert_int_equal(uvdpa_driver_open_with(back.path, &bounded, &drv, NULL), 0);
	assert_null(uvdpa_driver_lost(drv));
	assert_int_equal(uvdpa_get_status(drv, &status), -ECONNRESET);
	assert_non_null(uvdpa_driver_lost(drv));
	assert_non_null(strstr(uvdpa_driver_lost(drv), "no answer to GET_STATUS within 0.2 s"));
	assert_int_equal(uvdpa_set_status(drv, 1), -ECONNRESET);
	assert_non_null(strstr(uvdpa_driver_lost(drv), "GET_STATUS"));
	finish(&back, drv);
}

static void never_acknowledges(void **state)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;
	struct back back;

	start(&back, SILENT, VHOST_USER_SET_FEATURES);
	assert_int_equal(uvdpa_driver_open_with(back.path, &bounded, &drv, NULL), 0);
	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), -ECONNRESET);
	assert_non_null(strstr(error.text, "no answer to SET_FEATURES"));
	finish(&back, drv);
}

/* A call whose answer is another's: that call alone fails. */
static void config_of_another_place(void **state)
{
	struct uvdpa_driver *drv = NULL;
	struct back back;
	uint8_t bytes[8];

	assert_int_equal(
		open_with(&back, VHOST_USER_GET_CONFIG, 99 | UINT64_C(8) << 32, &drv, NULL), 0);
	assert_int_equal(uvdpa_get_config(drv, 0, bytes, 8), -EPROTO);
	assert_null(uvdpa_driver_lost(drv));
	finish(&back, drv);
	start(&back, SHORT, VHOST_USER_GET_CONFIG);
	assert_int_equal(uvdpa_driver_open_with(back.path, &bounded, &drv, NULL), 0);
	assert_int_equal(uvdpa_get_config(drv, 0, bytes, 8), -EPROTO);
	finish(&back, drv);
}

/* The largest ring is what the back end takes. */
static void ring_sizes(void **state)
{
	static const struct {
		uint16_t takes, found;
	} sizes[] = {{2, 2},	 {16, 16},     {100, 64},	  {256, 256},
		     {512, 512}, {1024, 1024}, {UINT16_MAX, 1024}};

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct uvdpa_driver *drv = NULL;
		struct back back;
		uint16_t max = 0;

		start(&back, GOOD, ANY);
		back.ring_max = sizes[i].takes;
		assert_int_equal(uvdpa_driver_open_with(back.path, &bounded, &drv, NULL), 0);
		assert_int_equal(uvdpa_get_vring_num(drv, &max), 0);
		assert_int_equal(max, sizes[i].found);
		finish(&back, drv);
	}
}

/* Others wait already and nobody takes them: connect() itself would wait for ever. */
static void nobody_accepts(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char dir[] = "/tmp/uvdpa-bad-XXXXXX";
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[4];
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;

	assert_non_null(mkdtemp(dir));
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", dir);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (unsigned i = 0; i < 4; i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(waiting[i], (struct sockaddr *)&address, sizeof(address)) < 0)
			assert_int_equal(errno, EAGAIN);
	}
	assert_int_equal(uvdpa_driver_open_with(address.sun_path, &bounded, &drv, &error), -EBUSY);
	assert_non_null(strstr(error.text, "takes no connection within 0.2 s"));
	for (unsigned i = 0; i < 4; i++)
		close(waiting[i]);
	close(listener);
	unlink(address.sun_path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence),
		cmocka_unit_test(pieces),
		cmocka_unit_test(gone),
		cmocka_unit_test(wrong_answers),
		cmocka_unit_test(no_queues),
		cmocka_unit_test(later),
		cmocka_unit_test(never_acknowledges),
		cmocka_unit_test(config_of_another_place),
		cmocka_unit_test(ring_sizes),
		cmocka_unit_test(nobody_accepts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
