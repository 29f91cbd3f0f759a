/*
 * Fuzz target: what the driver library reads from a vhost-user back end, through everything that it
 * asks of one: opening, features, config, rings, status, suspension, the end.
 *
 * Checked, besides what sanitizers see: every call ends, with success or an error in words.
 *
 * An input says whether rings may be packed, and is then a sequence of replies. A reply is a byte
 * and, by its value: as it should be; as it should be with some of its bytes replaced; bytes of any
 * kind; silence and the end; or first a message on the back end's own channel. Past the input's end
 * the back end hangs up.
 */
#include "fuzz.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uvdpa/driver.h"
#include "uvdpa/driver_queue.h"
#include "uvdpa/driver_raw.h"
#include "wire/vhost_user.h"

#define BIT(n)	    (UINT64_C(1) << (n))
#define RIGHT	    0xc0 /* a reply below this is as it should be */
#define RIGHT_FLAGS (VHOST_USER_VERSION | VHOST_USER_REPLY)

struct back {
	int fd, notices;
	struct food food;
};

static int receive(struct back *back, struct vhost_user_header *head,
		   union vhost_user_payload *payload)
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
	int fds[VHOST_USER_MAX_FDS];
	struct cmsghdr *c;
	size_t count;

	if (recvmsg(back->fd, &message, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(*head) ||
	    head->size > sizeof(*payload))
		return -1;
	c = CMSG_FIRSTHDR(&message);
	count = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
	if (count)
		memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	for (size_t i = 0; i < count; i++) {
		if (head->request != VHOST_USER_SET_BACKEND_REQ_FD || back->notices >= 0)
			close(fds[i]);
		else
			back->notices = fds[i];
	}
	return head->size &&
	       recv(back->fd, payload, head->size, MSG_WAITALL) != (ssize_t)head->size;
}

/* The reply as it should be. Returns its size; 0: only an acknowledgement is due. */
static uint32_t right_reply(uint32_t request, union vhost_user_payload *payload)
{
	switch (request) {
	case VHOST_USER_GET_FEATURES:
		payload->u64 = ~UINT64_C(0) & ~BIT(VHOST_F_LOG_ALL);
		return sizeof(payload->u64);
	case VHOST_USER_GET_PROTOCOL_FEATURES:
		payload->u64 = BIT(20) - 1;
		return sizeof(payload->u64);
	case VHOST_USER_GET_QUEUE_NUM:
		payload->u64 = 2;
		return sizeof(payload->u64);
	case VHOST_USER_GET_MAX_MEM_SLOTS:
		payload->u64 = 32;
		return sizeof(payload->u64);
	case VHOST_USER_GET_STATUS:
		payload->u64 = 0xf;
		return sizeof(payload->u64);
	case VHOST_USER_GET_VRING_BASE:
		payload->state.num = 7;
		return sizeof(payload->state);
	case VHOST_USER_GET_CONFIG:
		memset(payload->config.bytes, 1, sizeof(payload->config.bytes));
		return VHOST_USER_CONFIG_HEADER + payload->config.size;
	default:
		return 0;
	}
}

/* A message of the back end's own, of any kind. */
static void say_something(struct back *back)
{
	uint8_t bytes[64];
	size_t size = eat_byte(&back->food) % sizeof(bytes);

	eat(&back->food, bytes, size);
	if (back->notices >= 0)
		send(back->notices, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Changes a few bytes of a reply. */
static void spoil(struct back *back, uint8_t *bytes, size_t size)
{
	for (unsigned n = eat_byte(&back->food) % 4 + 1; n; n--) {
		size_t at = eat_byte(&back->food) % size;

		bytes[at] = eat_byte(&back->food);
	}
}

/* One reply of the input. Returns false: it hangs up. */
static bool reply(struct back *back, const struct vhost_user_header *asked,
		  union vhost_user_payload *payload)
{
	struct {
		struct vhost_user_header head;
		union vhost_user_payload payload;
	} message = {.payload = *payload};
	uint32_t size = right_reply(asked->request, &message.payload);
	uint8_t how = eat_byte(&back->food);
	size_t bytes;
	bool good;

	if (!size && !(asked->flags & VHOST_USER_NEED_REPLY))
		return true;
	if (!size)
		message.payload.u64 = 0;
	message.head = (struct vhost_user_header){.request = asked->request,
						  .flags = RIGHT_FLAGS,
						  .size = size ? size : sizeof(uint64_t)};
	bytes = sizeof(message.head) + message.head.size;
	if (how >= 0xf8)
		return false;
	if (how >= 0xf0)
		say_something(back);
	else if (how >= 0xe0) {
		bytes = eat_byte(&back->food);
		eat(&back->food, &message, bytes);
	} else if (how >= RIGHT)
		spoil(back, (uint8_t *)&message, bytes);
	good = message.head.request == asked->request && message.head.flags == RIGHT_FLAGS &&
	       bytes == sizeof(message.head) + message.head.size;
	/* who answers so that the next answer's begin is not known has nothing more to say */
	return send(back->fd, &message, bytes, MSG_NOSIGNAL) == (ssize_t)bytes && good;
}

static void *back_main(void *arg)
{
	union vhost_user_payload payload;
	struct vhost_user_header head;
	struct back *back = arg;

	while (back->food.left && receive(back, &head, &payload) == 0)
		if (!reply(back, &head, &payload))
			break;
	close(back->fd);
	if (back->notices >= 0)
		close(back->notices);
	return NULL;
}

/* Success, or an error in words. */
static int judged(int r, const struct uvdpa_error *error)
{
	assert(r >= 0 || (error->code == r && error->text[0]));
	return r;
}

/* What needs a queue: set up, started, suspended, read, resumed, moved to itself. */
static void use_queue(struct uvdpa_driver *drv, struct uvdpa_memory *memory, uint64_t features)
{
	const struct uvdpa_queue_options options = {.size = 8, .features = features};
	struct uvdpa_error error = {0};
	struct uvdpa_queue *queue;
	uint32_t bases[2];

	if (judged(uvdpa_queue_new(memory, &options, &queue, &error), &error) < 0) {
		uvdpa_driver_close(drv);
		return;
	}
	if (judged(uvdpa_driver_attach(drv, 0, queue, uvdpa_queue_base(queue), &error), &error) ==
		    0 &&
	    judged(uvdpa_driver_start(drv, &error), &error) == 0) {
		uvdpa_driver_suspend(drv);
		uvdpa_driver_get_bases(drv, bases, 2);
		uvdpa_driver_resume(drv);
		judged(uvdpa_handover(drv, drv, 0, NULL, &error), &error);
		uvdpa_driver_reset(drv);
	}
	uvdpa_driver_close(drv); /* which lets go of the queue */
	uvdpa_queue_free(queue);
}

static void use(struct uvdpa_driver *drv, uint64_t wanted)
{
	const struct uvdpa_memory_options options = {.size = 1 << 16, .kind = UVDPA_MEMORY_SHARED};
	struct uvdpa_memory *memory = NULL;
	struct uvdpa_error error = {0};
	uint64_t features = 0, first, last;
	uint8_t config[64];
	uint32_t count;
	uint16_t size;

	uvdpa_get_vqs_count(drv, &count);
	uvdpa_get_vring_num(drv, &size);
	uvdpa_get_iova_range(drv, &first, &last);
	uvdpa_get_config_size(drv, &count);
	uvdpa_get_config(drv, 0, config, sizeof(config));
	uvdpa_set_config(drv, 32, config, 1);
	if (judged(uvdpa_driver_negotiate(drv, wanted, &features, &error), &error) < 0 ||
	    judged(uvdpa_memory_new(&options, &memory, &error), &error) < 0 ||
	    judged(uvdpa_driver_map(drv, memory, 0, &error), &error) < 0)
		uvdpa_driver_close(drv);
	else
		use_queue(drv, memory, features);
	uvdpa_memory_free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct back back = {.notices = -1, .food = {data, size}};
	struct uvdpa_driver *drv = NULL;
	struct uvdpa_error error = {0};
	pthread_t thread;
	uint64_t wanted = ~UINT64_C(0);
	int pair[2], r;

	if (eat_byte(&back.food) & 1)
		wanted &= ~BIT(VIRTIO_F_RING_PACKED);
	r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
	assert(!r);
	back.fd = pair[1];
	r = pthread_create(&thread, NULL, back_main, &back);
	assert(!r);
	if (judged(uvdpa_driver_open_socket(pair[0], "fuzz", 0, &drv, &error), &error) == 0)
		use(drv, wanted);
	pthread_join(thread, NULL);
	return 0;
}
