/*
 * Rings that are stopped while the backend keeps requests: handed over in the record of requests in
 * flight (GET_VRING_BASE_INFLIGHT), or refused, and then the ring runs on (S10).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "device/device.h"
#include "ring/inflight.h"
#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"
#include "vhost_user/user.h"

#define BIT(n) (1ull << (n))

/* Every third request never completes, unless it is cancelled. */
static const struct block_fault_options keeps = {.never_every = 3};

struct client {
	struct session s;
	struct uvdpa_blk *blk;
	unsigned char *data;
	bool done[2048]; /* by cookie */
};

static void client_begin_any(struct client *u, const char *path, uint64_t protocol_off, bool packed)
{
	struct uvdpa_error error = {0};

	memset(u, 0, sizeof(*u));
	if (packed)
		session_init_packed(&u->s, 1 << 20);
	else
		session_init(&u->s, 1 << 20);
	u->s.protocol_off = protocol_off;
	session_start(&u->s, path, uvdpa_queue_base(u->s.queue));
	assert_int_equal(uvdpa_blk_new(u->s.memory, u->s.queue, 16, &u->blk, &error), 0);
	u->data = uvdpa_memory_alloc(u->s.memory, 65536, 4096);
	assert_non_null(u->data);
}

static void client_begin(struct client *u, const char *path, uint64_t protocol_off)
{
	client_begin_any(u, path, protocol_off, false);
}

static void client_end(struct client *u)
{
	uvdpa_blk_free(u->blk);
	session_hang_up(&u->s);
	session_free(&u->s);
}

/* Writes with the number as contents, of which every third does not come back. */
static void submit(struct client *u, unsigned from, unsigned to)
{
	for (unsigned i = from; i <= to; i++) {
		unsigned char *data = u->data + 4096 * (i % 16);

		memset(data, (int)i, 4096);
		assert_int_equal(uvdpa_blk_write(u->blk, 8ull * i, data, 4096, i), 0);
	}
	assert_true(uvdpa_queue_submit(u->s.queue) >= 0);
}

/* Waits for this one; others may come back before. */
static void wait_for(struct uvdpa_queue *queue, struct uvdpa_blk *blk, bool *done, unsigned i)
{
	struct uvdpa_blk_completion got[16];
	int n;

	while (!done[i]) {
		assert_int_equal(uvdpa_queue_wait(queue, 60000), 1);
		n = uvdpa_blk_poll(blk, got, 16);
		assert_true(n >= 0);
		for (int k = 0; k < n; k++) {
			assert_int_equal(got[k].status, 0);
			done[got[k].cookie] = true;
		}
	}
}

static void finish(struct client *u, unsigned i)
{
	wait_for(u->s.queue, u->blk, u->done, i);
}

static void is_written(struct client *u, unsigned i)
{
	memset(u->data, 0, 4096);
	assert_int_equal(uvdpa_blk_read(u->blk, 8ull * i, u->data, 4096, 1000 + i), 0);
	assert_true(uvdpa_queue_submit(u->s.queue) >= 0);
	finish(u, 1000 + i);
	for (unsigned k = 0; k < 4096; k++)
		assert_int_equal(u->data[k], i);
}

static unsigned recorded(const struct session *s)
{
	size_t size = s->packed ? inflight_packed_size(SESSION_RING) : inflight_size(SESSION_RING);
	struct inflight_record *record = calloc(1, size);
	const struct inflight_packed *packed = (void *)record;
	unsigned n = 0;

	assert_non_null(record);
	assert_int_equal(s->inflight.mmap_size, size);
	assert_int_equal(pread(s->inflight_fd, record, size, 0), size);
	for (unsigned i = 0; i < SESSION_RING; i++)
		n += s->packed ? packed->desc[i].inflight : record->desc[i].inflight;
	free(record);
	return n;
}

static enum device_state state_of(struct disk *disk)
{
	enum device_state state = device_state(runtime_lock(disk->runtime));

	runtime_unlock(disk->runtime);
	return state;
}

/* Handed over: the next server does what this one gave up, and only that. */
static void hand_over(bool packed)
{
	char image[] = "/tmp/uvdpa-vu-stop-XXXXXX";
	int fd = mkstemp(image);
	int64_t base;
	struct disk from, to;
	struct client u;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 16 << 20), 0);
	disk_open(&from,
		  &(struct disk_options){
			  .file = image, .trouble = &keeps, .timeout_ms = 200, .packed = packed});
	disk_open(&to, &(struct disk_options){.file = image, .packed = packed});
	client_begin_any(&u, from.path, 0, packed);
	submit(&u, 1, 7); /* 3 and 6 stay */
	finish(&u, 1);
	finish(&u, 2);
	finish(&u, 4);
	finish(&u, 5);
	finish(&u, 7);
	base = session_stop(&u.s);
	/* packed: three descriptors each, and the place of those that are used */
	assert_int_equal(base, packed ? 0x800f8015 : 7);
	assert_int_equal(state_of(&from), STATE_SUSPENDED);
	assert_int_equal(recorded(&u.s), 2);
	assert_int_equal(session_stop(&u.s), base); /* S6 */
	session_hang_up(&u.s);
	session_start(&u.s, to.path, (uint32_t)base);
	finish(&u, 3);
	finish(&u, 6);
	assert_int_equal(recorded(&u.s), 0);
	for (unsigned i = 1; i <= 7; i++)
		is_written(&u, i);
	assert_int_equal(session_stop(&u.s), packed ? 0x802a802a : base + 7);
	client_end(&u);
	disk_close(&from);
	disk_close(&to);
	close(fd);
	unlink(image);
}

static void handed_over(void **state)
{
	hand_over(false);
}

static void handed_over_packed(void **state)
{
	hand_over(true);
}

/* Started again where it was stopped, in the same connection: the same. */
static void started_again(void **state)
{
	struct vhost_vring_state s = {0};
	struct disk disk;
	struct client u;
	int kick;

	disk_open(&disk, &(struct disk_options){.trouble = &keeps, .timeout_ms = 200});
	client_begin(&u, disk.path, 0);
	kick = uvdpa_queue_kick_fd(u.s.queue);
	submit(&u, 1, 3);
	finish(&u, 1);
	finish(&u, 2);
	assert_int_equal(session_stop(&u.s), 3);
	s.num = 3;
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_BASE, &s, sizeof(s), NULL, 0), 0);
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1),
			 0);
	finish(&u, 3); /* the fourth that the backend sees */
	is_written(&u, 3);
	client_end(&u);
	disk_close(&disk);
}

/* Whether GET_VRING_BASE is answered with nothing. */
static bool stop_is_refused(struct session *s)
{
	struct vhost_vring_state state = {0};
	struct front_message answer;

	assert_int_equal(
		front_ask(s->fd, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), &answer), 0);
	return answer.size == 0;
}

/*
 * Who does not take the record along gets no base, and the ring runs on: also when it is set up
 * again, as by QEMU after a migration that failed.
 */
static void refused(void **state)
{
	struct vhost_vring_state s = {.num = SESSION_RING};
	int kick, call;
	struct disk disk;
	struct client u;

	disk_open(&disk, &(struct disk_options){.trouble = &keeps, .timeout_ms = 200});
	client_begin(&u, disk.path, BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT));
	kick = uvdpa_queue_kick_fd(u.s.queue);
	call = uvdpa_queue_call_fd(u.s.queue);
	submit(&u, 1, 3);
	finish(&u, 1);
	finish(&u, 2);
	assert_true(stop_is_refused(&u.s));
	assert_int_equal(state_of(&disk), STATE_RUNNING);
	submit(&u, 4, 4);
	finish(&u, 4);
	s.num = 0;
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_ENABLE, &s, sizeof(s), NULL, 0),
			 ETIMEDOUT);
	submit(&u, 5, 5);
	finish(&u, 5);
	s.num = SESSION_RING;
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_INFLIGHT_FD, &u.s.inflight,
				   sizeof(u.s.inflight), &u.s.inflight_fd, 1),
			 0);
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_INFLIGHT_FD, &u.s.inflight,
				   sizeof(u.s.inflight), &kick, 1),
			 EBUSY); /* another one is refused while the ring runs */
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0), 0);
	s.num = 4; /* the used index: what a front end can know */
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_BASE, &s, sizeof(s), NULL, 0), 0);
	session_send_addr(&u.s);
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, &call, 1),
			 0);
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1),
			 0);
	s.num = 1;
	assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_ENABLE, &s, sizeof(s), NULL, 0), 0);
	submit(&u, 7, 8); /* 6 stays with the backend, as its sixth: which is 7 */
	finish(&u, 8);
	assert_int_equal(recorded(&u.s), 2);
	client_end(&u);
	disk_close(&disk);
}

/* The driver library's suspend over such a socket: ETIMEDOUT, and all queues run on. */
static void refused_to_a_driver(void **state)
{
	struct uvdpa_error error = {0};
	struct uvdpa_queue *queues[2];
	struct uvdpa_memory *memory;
	struct uvdpa_driver *drv;
	struct uvdpa_blk *blk[2];
	bool done[16] = {false};
	struct disk disk;
	unsigned char *data;

	disk_open(&disk, &(struct disk_options){.trouble = &keeps, .timeout_ms = 200, .queues = 2});
	assert_int_equal(uvdpa_driver_open(disk.path, 0, &drv, &error), 0);
	two_queues(drv, &memory, queues);
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(uvdpa_blk_new(memory, queues[q], 8, &blk[q], &error), 0);
	assert_int_equal(uvdpa_driver_start(drv, &error), 0);
	data = uvdpa_memory_alloc(memory, 4096, 4096);
	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(uvdpa_blk_read(blk[1], 8 * i, data, 4096, i), 0);
	assert_true(uvdpa_queue_submit(queues[1]) >= 0);
	wait_for(queues[1], blk[1], done, 1);
	wait_for(queues[1], blk[1], done, 2);
	assert_int_equal(uvdpa_driver_suspend(drv), -ETIMEDOUT);
	for (unsigned q = 0; q < 2; q++) {
		assert_int_equal(uvdpa_blk_read(blk[q], 8, data, 4096, 9 + q), 0);
		assert_true(uvdpa_queue_submit(queues[q]) >= 0);
		wait_for(queues[q], blk[q], done, 9 + q);
	}
	uvdpa_driver_close(drv);
	for (unsigned q = 0; q < 2; q++) {
		uvdpa_blk_free(blk[q]);
		uvdpa_queue_free(queues[q]);
	}
	uvdpa_memory_free(memory);
	disk_close(&disk);
}

/* RESET_DEVICE with a request that the backend keeps: given back, forgotten, and all begins anew.
 */
static void reset(void **state)
{
	struct vhost_vring_state s = {.num = SESSION_RING};
	int kick, call;
	struct disk disk;
	struct client u;

	disk_open(&disk, &(struct disk_options){.trouble = &keeps});
	client_begin(&u, disk.path, 0);
	kick = uvdpa_queue_kick_fd(u.s.queue);
	call = uvdpa_queue_call_fd(u.s.queue);
	for (unsigned i = 0; i < 3; i++) {
		submit(&u, 1, 3);
		finish(&u, 1);
		finish(&u, 2);
		assert_int_equal(front_ack(u.s.fd, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
		assert_int_equal(state_of(&disk), STATE_RESET);
		assert_int_equal(recorded(&u.s), 0);
		assert_int_equal(uvdpa_queue_restart(u.s.queue, 0), 0);
		uvdpa_blk_free(u.blk);
		assert_int_equal(uvdpa_blk_new(u.s.memory, u.s.queue, 16, &u.blk, NULL), 0);
		memset(u.done, 0, sizeof(u.done));
		session_send_features(&u.s, u.s.features);
		assert_int_equal(
			front_ack(u.s.fd, VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0), 0);
		session_send_addr(&u.s);
		assert_int_equal(
			front_ack(u.s.fd, VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, &call, 1),
			0);
		assert_int_equal(
			front_ack(u.s.fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1),
			0);
		assert_int_equal(front_ack(u.s.fd, VHOST_USER_SET_VRING_ENABLE,
					   &(struct vhost_vring_state){.num = 1}, 8, NULL, 0),
				 0);
	}
	client_end(&u);
	disk_close(&disk);
}

/* It is an error to take the one protocol feature without the other. */
static void needs_the_record(void **state)
{
	uint64_t protocol = BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT) |
			    BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	struct front_message answer;
	struct disk disk;
	int fd;

	disk_open(&disk, &(struct disk_options){0});
	fd = front_connect(disk.path);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0, &answer), 0);
	assert_true(answer.payload.u64 & BIT(VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT));
	assert_int_equal(front_ack(fd, VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, 8, NULL, 0),
			 -1);
	close(fd);
	disk_close(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handed_over_packed),  cmocka_unit_test(handed_over),
		cmocka_unit_test(started_again),       cmocka_unit_test(refused),
		cmocka_unit_test(refused_to_a_driver), cmocka_unit_test(reset),
		cmocka_unit_test(needs_the_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
