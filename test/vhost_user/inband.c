/*
 * Notifications without descriptors: kicks, calls, errors and config changes as messages, and rings
 * that are polled because nobody kicks.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/logged.h"
#include "vhost_user/session.h"

#define BIT(n)	    (1ull << (n))
#define PATIENCE_MS 60000

struct user {
	struct session s;
	struct uvdpa_blk *blk;
	unsigned char *data;
	int channel; /* where the back end's messages arrive; -1: none */
};

static void open_channel(struct user *u)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(front_ack(u->s.fd, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &pair[1], 1),
			 0);
	close(pair[1]);
	u->channel = pair[0];
}

static void start(struct user *u, const struct disk *disk)
{
	struct session as = u->s; /* what the test asks for */
	struct uvdpa_error e = {0};

	session_init(&u->s, 1 << 20);
	u->s.inband = as.inband;
	u->s.polled = as.polled;
	u->s.protocol_off = as.protocol_off;
	session_start(&u->s, disk->path, 0);
	assert_int_equal(uvdpa_blk_new(u->s.memory, u->s.queue, 16, &u->blk, &e), 0);
	u->data = uvdpa_memory_alloc(u->s.memory, 4096, 4096);
	u->channel = -1;
}

static void end(struct user *u)
{
	uvdpa_blk_free(u->blk);
	session_free(&u->s);
	if (u->channel >= 0)
		close(u->channel);
}

/* Into the ring, without a word to the device. */
static void put(struct user *u, uint64_t cookie)
{
	memset(u->data, (int)cookie, 4096);
	assert_int_equal(uvdpa_blk_write(u->blk, 8 * cookie, u->data, 4096, cookie), 0);
	assert_int_equal(uvdpa_queue_publish(u->s.queue), 1);
}

static void wait_done(struct user *u, uint64_t cookie)
{
	struct uvdpa_blk_completion done;
	int n = 0;

	for (unsigned i = 0; i < PATIENCE_MS && n == 0; i++) {
		n = uvdpa_blk_poll(u->blk, &done, 1);
		if (n == 0)
			usleep(1000);
	}
	assert_int_equal(n, 1);
	assert_int_equal(done.cookie, cookie);
	assert_int_equal(done.status, 0);
}

/* The next of the back end's messages is this one; none of them brings descriptors. */
static void expect(struct user *u, uint32_t request, uint32_t size)
{
	struct pollfd look = {.fd = u->channel, .events = POLLIN};
	struct front_message m;

	assert_int_equal(poll(&look, 1, PATIENCE_MS), 1);
	assert_int_equal(front_receive(u->channel, &m), 0);
	assert_int_equal(m.request, request);
	assert_int_equal(m.flags, VHOST_USER_VERSION);
	assert_int_equal(m.size, size);
	assert_int_equal(m.fd_count, 0);
	if (size) {
		assert_int_equal(m.payload.state.index, 0);
		assert_int_equal(m.payload.state.num, 0); /* reserved */
	}
}

static void kick(struct user *u, bool ack)
{
	struct front_message m = {.request = VHOST_USER_VRING_KICK,
				  .flags = VHOST_USER_VERSION,
				  .size = sizeof(struct vhost_vring_state)};

	if (ack)
		assert_int_equal(
			front_ack(u->s.fd, VHOST_USER_VRING_KICK, &m.payload, m.size, NULL, 0), 0);
	else
		assert_int_equal(front_send(u->s.fd, &m), 0);
}

/* VRING_KICK starts the ring, and is a kick; VRING_CALL answers. */
static void kicks_and_calls(void **state)
{
	struct user u = {.s = {.inband = true}};
	struct disk disk;
	uint64_t cookie = 0;

	disk_open(&disk, &(struct disk_options){0});
	start(&u, &disk);
	open_channel(&u);
	for (unsigned i = 0; i < 20; i++) {
		put(&u, ++cookie);
		kick(&u, i & 1);
		wait_done(&u, cookie);
		expect(&u, VHOST_USER_BACKEND_VRING_CALL, sizeof(struct vhost_vring_state));
	}
	/* stopped, it is started by the next kick */
	assert_int_equal(session_stop(&u.s), 20);
	put(&u, ++cookie);
	kick(&u, true);
	wait_done(&u, cookie);
	expect(&u, VHOST_USER_BACKEND_VRING_CALL, sizeof(struct vhost_vring_state));
	end(&u);
	disk_close(&disk);
}

/* Without acknowledgements a kick is answered by nothing; other messages still are. */
static void without_acknowledgement(void **state)
{
	struct front_message answer;
	struct disk disk;
	struct user u;
	uint64_t protocol;

	memset(&u, 0, sizeof(u));
	u.s.inband = true;
	disk_open(&disk, &(struct disk_options){0});
	start(&u, &disk);
	assert_int_equal(front_ask(u.s.fd, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0, &answer), 0);
	protocol = answer.payload.u64 &
		   ~(BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_F_STATUS));
	answer = (struct front_message){.request = VHOST_USER_SET_PROTOCOL_FEATURES,
					.flags = VHOST_USER_VERSION,
					.size = 8,
					.payload.u64 = protocol};
	assert_int_equal(front_send(u.s.fd, &answer), 0);
	for (uint64_t cookie = 1; cookie <= 5; cookie++) {
		struct front_message m = {.request = VHOST_USER_VRING_KICK,
					  .flags = VHOST_USER_VERSION | VHOST_USER_NEED_REPLY,
					  .size = sizeof(struct vhost_vring_state)};

		put(&u, cookie);
		assert_int_equal(front_send(u.s.fd, &m), 0);
		/* the next answer is this one's: the flag means nothing any more */
		assert_int_equal(front_ask(u.s.fd, VHOST_USER_GET_QUEUE_NUM, NULL, 0, &answer), 0);
		wait_done(&u, cookie);
	}
	end(&u);
	disk_close(&disk);
}

/* A new size is told; what is held while the device stands still, after that (S5). */
static void config_changes(void **state)
{
	struct user u = {.s = {.inband = true}};
	struct front_message answer;
	struct error f = {0};
	struct disk disk;
	uint64_t capacity;
	union vhost_user_payload p = {.config = {.size = 8}};

	disk_open(&disk, &(struct disk_options){0});
	start(&u, &disk);
	open_channel(&u);
	put(&u, 1);
	kick(&u, true);
	wait_done(&u, 1);
	expect(&u, VHOST_USER_BACKEND_VRING_CALL, sizeof(struct vhost_vring_state));
	for (uint64_t size = 32; size <= 128; size *= 2) {
		assert_int_equal(device_resize(runtime_lock(disk.runtime), size << 20, &f), 0);
		runtime_unlock(disk.runtime);
		expect(&u, VHOST_USER_BACKEND_CONFIG_CHANGE, 0);
		assert_int_equal(front_ask(u.s.fd, VHOST_USER_GET_CONFIG, &p,
					   VHOST_USER_CONFIG_HEADER + 8, &answer),
				 0);
		memcpy(&capacity, answer.payload.config.bytes, 8);
		assert_int_equal(capacity, (size << 20) / 512);
	}
	end(&u);
	disk_close(&disk);
}

/* A ring full of nonsense: the message that stands in for the err descriptor, or the descriptor. */
static void errors(void **state)
{
	for (unsigned with_fd = 0; with_fd < 2; with_fd++) {
		struct user u = {.s = {.inband = true}};
		struct uvdpa_queue_areas areas;
		struct disk disk;
		struct pollfd err = {.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};

		disk_open(&disk, &(struct disk_options){0});
		start(&u, &disk);
		open_channel(&u);
		if (with_fd)
			assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_ERR,
						   (uint64_t[]){0}, 8, &err.fd, 1),
					 0);
		put(&u, 1);
		uvdpa_queue_areas(u.s.queue, &areas);
		((volatile uint16_t *)areas.avail)[1] = 0x4000;
		kick(&u, true);
		/* a device that is broken says so in its config space, too */
		expect(&u, VHOST_USER_BACKEND_CONFIG_CHANGE, 0);
		if (with_fd)
			assert_int_equal(poll(&err, 1, PATIENCE_MS), 1);
		else
			expect(&u, VHOST_USER_BACKEND_VRING_ERR, sizeof(struct vhost_vring_state));
		assert_true(logged_soon("available index"));
		assert_int_equal(session_stop(&u.s), -1);
		end(&u);
		disk_close(&disk);
		close(err.fd);
	}
}

/* Nobody kicks, whether or not messages could: the ring is looked at all the same. */
static void polled(void **state)
{
	const uint64_t without[] = {0, BIT(VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)};

	for (unsigned i = 0; i < 2; i++) {
		struct user u = {.s = {.polled = true, .protocol_off = without[i]}};
		struct disk disk;
		uint64_t cookie = 0;
		int fd;

		disk_open(&disk, &(struct disk_options){.queues = 2});
		start(&u, &disk);
		for (unsigned k = 0; k < 10; k++) {
			put(&u, ++cookie);
			wait_done(&u, cookie);
		}
		assert_int_equal(session_stop(&u.s), 10);
		/* polled again, and an in-band kick does no harm */
		assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK,
					   (uint64_t[]){VHOST_USER_VRING_NOFD}, 8, NULL, 0),
				 0);
		put(&u, ++cookie);
		if (!without[i])
			kick(&u, true);
		wait_done(&u, cookie);
		/* a descriptor in place of that */
		fd = uvdpa_queue_kick_fd(u.s.queue);
		assert_int_equal(
			front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &fd, 1),
			0);
		put(&u, ++cookie);
		uvdpa_queue_kick_always(u.s.queue);
		wait_done(&u, cookie);
		/* and back: what is put while it changes is found */
		put(&u, ++cookie);
		assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK,
					   (uint64_t[]){VHOST_USER_VRING_NOFD}, 8, NULL, 0),
				 0);
		wait_done(&u, cookie);
		end(&u);
		disk_close(&disk);
	}
}

static void nothing_is_left(void **state)
{
	struct holdings before = holdings_now();

	kicks_and_calls(state);
	errors(state);
	polled(state);
	assert_true(holdings_return_to(&before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kicks_and_calls), cmocka_unit_test(without_acknowledgement),
		cmocka_unit_test(config_changes),  cmocka_unit_test(errors),
		cmocka_unit_test(polled),	   cmocka_unit_test(nothing_is_left),
	};

	logged_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
