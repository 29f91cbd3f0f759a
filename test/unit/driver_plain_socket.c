/*
 * The driver over a vhost-user socket whose back end has little: no STATUS, no CONFIG, no
 * CONFIGURE_MEM_SLOTS. QEMU's storage daemon lacks the first, DPDK's vhost library the others.
 * The back end here is a thread that answers and notes what it was asked.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
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
#include "uvdpa/driver_queue.h"
#include "uvdpa/driver_raw.h"
#include "wire/vhost.h"
#include "wire/vhost_user.h"

#define BIT(n)	 (UINT64_C(1) << (n))
#define PROTOCOL (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK))
#define FEATURES (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define KEPT	 64
#define SLOTS	 3 /* regions, where they come one by one */

struct back {
	char dir[32], path[64];
	int listener;
	pthread_t thread;
	uint64_t features, protocol;
	/* what was asked; read when the thread has ended */
	uint32_t asked[KEPT];
	unsigned count;
	struct vhost_user_memory table; /* the last */
	unsigned table_fds;
};

static int receive(int fd, struct vhost_user_header *head, union vhost_user_payload *payload,
		   unsigned *fds)
{
	union {
		char bytes[CMSG_SPACE(VHOST_USER_MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {head, sizeof(*head)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	struct cmsghdr *c;

	*fds = 0;
	if (recvmsg(fd, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(*head) ||
	    head->size > sizeof(*payload))
		return -1;
	c = CMSG_FIRSTHDR(&message);
	if (c) {
		int got[VHOST_USER_MAX_FDS];

		*fds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(got, CMSG_DATA(c), *fds * sizeof(int));
		for (unsigned i = 0; i < *fds; i++)
			close(got[i]);
	}
	return head->size && recv(fd, payload, head->size, MSG_WAITALL) != (ssize_t)head->size;
}

/* The answer's size; 0: it has none but the acknowledgement. */
static uint32_t answer(struct back *back, uint32_t request, union vhost_user_payload *payload)
{
	switch (request) {
	case VHOST_USER_GET_FEATURES:
		payload->u64 = back->features;
		return sizeof(payload->u64);
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		payload->u64 = back->protocol;
		return sizeof(payload->u64);
	case VHOST_USER_GET_QUEUE_NUM:
		payload->u64 = 1;
		return sizeof(payload->u64);
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		payload->u64 = SLOTS;
		return sizeof(payload->u64);
	case VHOST_USER_GET_VRING_BASE:
		payload->state.num = 7;
		return sizeof(payload->state);
	case VHOST_USER_GET_CONFIG:
		memset(payload->config.bytes, 0, sizeof(payload->config.bytes));
		return VHOST_USER_CONFIG_HEADER + payload->config.size;
	default:
		return 0;
	}
}

static void note(struct back *back, uint32_t request, const union vhost_user_payload *payload,
		 unsigned fds)
{
	if (back->count < KEPT)
		back->asked[back->count++] = request;
	if (request != VHOST_USER_SET_MEM_TABLE)
		return;
	back->table = payload->memory;
	back->table_fds = fds;
}

static void *back_main(void *arg)
{
	struct vhost_user_header head;
	union vhost_user_payload payload;
	struct back *back = arg;
	int fd = accept(back->listener, NULL, NULL);
	unsigned fds;

	while (receive(fd, &head, &payload, &fds) == 0) {
		bool acknowledge = head.flags & VHOST_USER_NEED_REPLY;
		uint32_t size;

		note(back, head.request, &payload, fds);
		size = answer(back, head.request, &payload);
		if (!size && !acknowledge)
			continue;
		if (!size)
			payload.u64 = 0;
		head.size = size ? size : sizeof(payload.u64);
		head.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
		if (send(fd, &head, sizeof(head), MSG_NOSIGNAL | MSG_MORE) < 0 ||
		    send(fd, &payload, head.size, MSG_NOSIGNAL) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static uint64_t protocol_always = PROTOCOL; /* what all that are begun offer */

static void begin(struct back *back, uint64_t features, uint64_t protocol)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	*back = (struct back){.dir = "/tmp/uvdpa-plain-XXXXXX",
			      .features = FEATURES | features,
			      .protocol = protocol_always | protocol};
	assert_non_null(mkdtemp(back->dir));
	snprintf(back->path, sizeof(back->path), "%s/socket", back->dir);
	memcpy(at.sun_path, back->path, strlen(back->path) + 1);
	back->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(back->listener, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(back->listener, 1), 0);
	assert_int_equal(pthread_create(&back->thread, NULL, back_main, back), 0);
}

static struct uvdpa_driver *start(struct back *back, uint64_t features, uint64_t protocol)
{
	struct uvdpa_driver *drv = NULL;
	struct uvdpa_error error = {0};

	begin(back, features, protocol);
	if (uvdpa_driver_open(back->path, 0, &drv, &error) < 0)
		fail_msg("%s", error.text);
	return drv;
}

static void finish(struct back *back, struct uvdpa_driver *drv)
{
	uvdpa_driver_close(drv);
	pthread_join(back->thread, NULL);
	close(back->listener);
	unlink(back->path);
	rmdir(back->dir);
}

static unsigned asked(const struct back *back, uint32_t request)
{
	unsigned times = 0;

	for (unsigned i = 0; i < back->count; i++)
		times += back->asked[i] == request;
	return times;
}

static struct uvdpa_memory *make_memory(uint64_t iova)
{
	struct uvdpa_memory_options options = {.size = 65536, .iova = iova};
	struct uvdpa_memory *memory = NULL;

	assert_int_equal(uvdpa_memory_new(&options, &memory, NULL), 0);
	return memory;
}

/* Negotiation to DRIVER_OK, suspend and resume, reset: the status is the driver's own affair. */
static void without_status(void **state)
{
	struct uvdpa_memory *memory = make_memory(0x100000);
	const struct uvdpa_queue_options options = {.size = 8};
	struct uvdpa_queue *queue = NULL;
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
	uint8_t status = 0;

	assert_int_equal(uvdpa_queue_new(memory, &options, &queue, NULL), 0);
	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, NULL), 0);
	assert_int_equal(uvdpa_driver_map(drv, memory, 0, NULL), 0);
	assert_int_equal(uvdpa_driver_attach(drv, 0, queue, 0, NULL), 0);
	assert_int_equal(uvdpa_driver_start(drv, NULL), 0);
	assert_int_equal(uvdpa_get_status(drv, &status), 0);
	assert_true(status & VIRTIO_CONFIG_S_DRIVER_OK);
	assert_int_equal(uvdpa_driver_suspend(drv), 0);
	assert_int_equal(uvdpa_driver_resume(drv), 0);
	assert_int_equal(uvdpa_driver_reset(drv), 0);
	assert_int_equal(uvdpa_get_status(drv, &status), 0);
	assert_int_equal(status, 0);
	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_SET_STATUS), 0);
	assert_int_equal(asked(&back, VHOST_USER_GET_STATUS), 0);
	/* a start at ENABLE and one at resume; a stop at suspend and one at the reset */
	assert_int_equal(asked(&back, VHOST_USER_SET_VRING_KICK), 2);
	assert_int_equal(asked(&back, VHOST_USER_GET_VRING_BASE), 2);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
}

static struct uvdpa_queue *run_queue(struct uvdpa_driver *drv, struct uvdpa_memory *memory)
{
	const struct uvdpa_queue_options options = {.size = 8};
	struct uvdpa_queue *queue = NULL;

	assert_int_equal(uvdpa_queue_new(memory, &options, &queue, NULL), 0);
	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, NULL), 0);
	assert_int_equal(uvdpa_driver_map(drv, memory, 0, NULL), 0);
	assert_int_equal(uvdpa_driver_attach(drv, 0, queue, 0, NULL), 0);
	return queue;
}

/* A back end that does not hear of DRIVER_OK must not be told of rings before it. */
static void rings_wait(void **state)
{
	struct uvdpa_memory *memory = make_memory(0x100000);
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, 0);
	struct uvdpa_queue *queue = run_queue(drv, memory);

	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_SET_VRING_ENABLE), 0);
	assert_int_equal(asked(&back, VHOST_USER_SET_VRING_KICK), 0);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
}

/* RESUME kicks: a vhost-user ring starts by a kick, and S8 wants none of the driver. */
static void resume_kicks(void **state)
{
	struct uvdpa_memory *memory = make_memory(0x100000);
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, 0);
	struct uvdpa_queue *queue = run_queue(drv, memory);
	uint64_t count = 0;

	assert_int_equal(uvdpa_driver_start(drv, NULL), 0);
	assert_int_equal(uvdpa_suspend(drv), 0);
	while (read(uvdpa_queue_kick_fd(queue), &count, sizeof(count)) > 0)
		;
	assert_int_equal(uvdpa_resume(drv), 0);
	assert_int_equal(read(uvdpa_queue_kick_fd(queue), &count, sizeof(count)), sizeof(count));
	finish(&back, drv);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
}

/* Neither MQ nor a status: what passt has. A card then has two rings, a disk one. */
static void without_mq(void **state)
{
	struct back back;
	struct uvdpa_driver *drv;
	uint32_t queues = 0;

	protocol_always = BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	drv = start(&back, BIT(VIRTIO_NET_F_MRG_RXBUF), 0);
	assert_int_equal(uvdpa_get_vqs_count(drv, &queues), 0);
	assert_int_equal(queues, 2);
	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_GET_QUEUE_NUM), 0);
	drv = start(&back, 0, 0);
	protocol_always = PROTOCOL;
	assert_int_equal(uvdpa_get_vqs_count(drv, &queues), 0);
	assert_int_equal(queues, 1);
	finish(&back, drv);
}

struct told {
	unsigned sent, answers, opening;
	bool named;
};

static void on_message(void *arg, const struct uvdpa_message *message)
{
	struct told *told = arg;

	told->sent += !message->is_answer;
	told->answers += message->is_answer;
	told->opening += message->is_opening;
	told->named |= !message->is_answer && message->request == VHOST_USER_SET_OWNER &&
		       strcmp(message->name, "SET_OWNER") == 0;
}

/* Each message is told of, and a device id that is given is believed. */
static void with_options(void **state)
{
	struct told told = {0};
	const struct uvdpa_open_options options = {
		.device_id = 26, .on_message = on_message, .arg = &told};
	struct uvdpa_driver *drv = NULL;
	struct back back;

	begin(&back, 0, 0);
	assert_int_equal(uvdpa_driver_open_with(back.path, &options, &drv, NULL), 0);
	assert_int_equal(uvdpa_driver_device_id(drv), 26);
	/* features, protocol features there and back, queues: and SET_OWNER, acknowledged */
	assert_int_equal(told.sent, 5);
	assert_int_equal(told.answers, 4);
	assert_int_equal(told.opening, 7);
	assert_true(told.named);
	finish(&back, drv);
}

/* Who has no status may have a reset. */
static void with_reset(void **state)
{
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0,
					 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
						 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE));

	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, NULL), 0);
	assert_int_equal(uvdpa_driver_reset(drv), 0);
	finish(&back, drv);
	assert_true(asked(&back, VHOST_USER_RESET_DEVICE) > 0);
	assert_int_equal(asked(&back, VHOST_USER_SET_STATUS), 0);
}

static void whole_table(void **state)
{
	struct uvdpa_memory *first = make_memory(0x100000), *second = make_memory(0x900000);
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, BIT(VHOST_USER_PROTOCOL_F_STATUS));

	assert_int_equal(uvdpa_driver_map(drv, first, 0, NULL), 0);
	assert_int_equal(uvdpa_driver_map(drv, second, 0, NULL), 0);
	assert_int_equal(uvdpa_driver_unmap(drv, first, 0), 0);
	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_ADD_MEM_REG), 0);
	assert_int_equal(asked(&back, VHOST_USER_REM_MEM_REG), 0);
	assert_int_equal(asked(&back, VHOST_USER_SET_MEM_TABLE), 3);
	assert_int_equal(back.table.count, 1);
	assert_int_equal(back.table_fds, 1);
	assert_int_equal(back.table.regions[0].guest_address, 0x900000);
	assert_int_equal(back.table.regions[0].size, 65536);
	uvdpa_memory_free(first);
	uvdpa_memory_free(second);
}

/* The ninth region does not go into a table; the eight before stay. */
static void full_table(void **state)
{
	struct uvdpa_memory *memories[VHOST_USER_TABLE_REGIONS + 1];
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, 0);
	int r;

	for (unsigned i = 0; i <= VHOST_USER_TABLE_REGIONS; i++) {
		memories[i] = make_memory(0x100000 * (i + 1));
		r = uvdpa_driver_map(drv, memories[i], 0, NULL);
		assert_int_equal(r, i < VHOST_USER_TABLE_REGIONS ? 0 : -EFAULT);
	}
	finish(&back, drv);
	assert_int_equal(back.table.count, VHOST_USER_TABLE_REGIONS);
	assert_int_equal(back.table_fds, VHOST_USER_TABLE_REGIONS);
	for (unsigned i = 0; i <= VHOST_USER_TABLE_REGIONS; i++)
		uvdpa_memory_free(memories[i]);
}

/* One more region than the back end says it takes is not sent at all. */
static void full_slots(void **state)
{
	struct uvdpa_memory *memories[SLOTS + 1];
	struct back back;
	struct uvdpa_driver *drv = start(&back, 0, BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS));
	int r;

	for (unsigned i = 0; i <= SLOTS; i++) {
		memories[i] = make_memory(0x100000 * (i + 1));
		r = uvdpa_driver_map(drv, memories[i], 0, NULL);
		assert_int_equal(r, i < SLOTS ? 0 : -EFAULT);
	}
	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_ADD_MEM_REG), SLOTS);
	for (unsigned i = 0; i <= SLOTS; i++)
		uvdpa_memory_free(memories[i]);
}

static void without_config(void **state)
{
	struct back back;
	struct uvdpa_driver *drv = start(&back, BIT(VIRTIO_NET_F_MRG_RXBUF), 0);
	uint32_t size = 1, queues = 0;
	uint8_t byte;

	assert_int_equal(uvdpa_get_config_size(drv, &size), 0);
	assert_int_equal(size, 0);
	assert_int_equal(uvdpa_get_config(drv, 0, &byte, 1), -EOPNOTSUPP);
	/* such a back end counts pairs */
	assert_int_equal(uvdpa_get_vqs_count(drv, &queues), 0);
	assert_int_equal(queues, 2);
	finish(&back, drv);
	assert_int_equal(asked(&back, VHOST_USER_GET_CONFIG), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_status), cmocka_unit_test(with_reset),
		cmocka_unit_test(whole_table),	  cmocka_unit_test(full_table),
		cmocka_unit_test(rings_wait),	  cmocka_unit_test(resume_kicks),
		cmocka_unit_test(without_mq),	  cmocka_unit_test(with_options),
		cmocka_unit_test(full_slots),	  cmocka_unit_test(without_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
