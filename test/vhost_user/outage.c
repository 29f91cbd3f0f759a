/*
 * A server was gone for a while, and nothing was in flight when it went: the guest has posted
 * requests meanwhile, and the front end starts the ring at whatever base it knows. With a record
 * all of them are done, and nothing else is shown as used. And the driver is called once, as nobody
 * can know that the server before had called for all that it had shown.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "uvdpa/driver_blk.h"
#include "vhost_user/disk.h"
#include "vhost_user/logged.h"
#include "vhost_user/session.h"

#define PATIENCE_MS 60000
#define BEFORE	    200 /* the ring has 128 */
#define MEANWHILE   7
#define ODD	    100 /* entries: of packed rings any number */

enum base { AT_USED, AT_AVAIL, AT_0, UNSET, BASES };

struct outage {
	struct disk disk;
	struct session s;
	struct uvdpa_blk *blk;
	unsigned char *data;
};

/* `packed`: entries of a packed ring; 0: a split one. */
static void begin(struct outage *o, uint16_t packed)
{
	struct uvdpa_error e = {0};

	disk_open(&o->disk, &(struct disk_options){.packed = true});
	if (packed)
		session_init_packed_of(&o->s, 1 << 20, packed);
	else
		session_init(&o->s, 1 << 20);
	assert_int_equal(uvdpa_blk_new(o->s.memory, o->s.queue, 16, &o->blk, &e), 0);
	o->data = uvdpa_memory_alloc(o->s.memory, (MEANWHILE + 1) * 512, 4096);
	assert_non_null(o->data);
}

static void end(struct outage *o)
{
	session_hang_up(&o->s);
	uvdpa_blk_free(o->blk);
	session_free(&o->s);
	disk_close(&o->disk);
}

/* So many requests, one after the other; then nobody is there. */
static void work(struct outage *o)
{
	session_start(&o->s, o->disk.path, uvdpa_queue_base(o->s.queue));
	for (uint64_t i = 0; i < BEFORE; i++) {
		memset(o->data, (int)i, 512);
		assert_int_equal(uvdpa_blk_write(o->blk, i, o->data, 512, i), 0);
		assert_int_equal(uvdpa_blk_finish(o->blk, i, PATIENCE_MS), 0);
	}
	session_hang_up(&o->s);
}

/* Where the driver is, with requests of three descriptors out. */
static uint32_t base_at_avail(const struct outage *o, uint32_t used)
{
	uint32_t next = (used & 0x7fff) + 3 * MEANWHILE, half;

	if (!o->s.packed)
		return (uint16_t)(used + MEANWHILE);
	half = next % o->s.ring | ((used & 0x8000) ^ (next >= o->s.ring ? 0x8000 : 0));
	return half | half << 16;
}

static uint32_t base_of(struct outage *o, enum base base, uint32_t used)
{

	o->s.without_base = base == UNSET;
	switch (base) {
	case AT_USED:
		return used;
	case AT_AVAIL:
		return base_at_avail(o, used);
	default:
		return o->s.packed ? 0x80008000u : 0;
	}
}

/* Each comes back once, with its data. */
static void take_all(struct outage *o)
{
	struct uvdpa_blk_completion done[MEANWHILE];
	uint64_t seen = 0;

	for (int n, left = MEANWHILE; left; left -= n) {
		assert_int_equal(uvdpa_queue_wait(o->s.queue, PATIENCE_MS), 1);
		n = uvdpa_blk_poll(o->blk, done, (unsigned)left);
		assert_true(n > 0);
		for (int i = 0; i < n; i++) {
			unsigned which = (unsigned)(done[i].cookie - 1000);

			assert_int_equal(done[i].status, 0);
			assert_false(seen >> which & 1);
			seen |= 1ull << which;
			assert_int_equal(o->data[512 * which], which);
			assert_int_equal(o->data[512 * which + 511], which);
		}
	}
}

static void one_outage(uint16_t packed, enum base base, uint16_t record_size)
{
	struct outage o;
	uint32_t used;

	begin(&o, packed);
	o.s.record_size = record_size;
	work(&o);
	used = uvdpa_queue_base(o.s.queue);
	memset(o.data, 0xee, MEANWHILE * 512);
	for (uint64_t i = 0; i < MEANWHILE; i++)
		assert_int_equal(uvdpa_blk_read(o.blk, i, o.data + 512 * i, 512, 1000 + i), 0);
	assert_true(uvdpa_queue_submit(o.s.queue) >= 0);
	session_start(&o.s, o.disk.path, base_of(&o, base, used));
	take_all(&o);
	assert_int_equal(session_stop(&o.s), uvdpa_queue_base(o.s.queue));
	end(&o);
}

static void with_record(void **state)
{
	for (enum base base = 0; base < BASES; base++) {
		one_outage(0, base, 0);
		one_outage(SESSION_RING, base, 0);
		one_outage(ODD, base, 0);
	}
}

/* Firmware uses a part of the queue that the front end made the record for (SeaBIOS: 256 entries).
 */
static void larger_record(void **state)
{
	one_outage(0, AT_USED, 2 * SESSION_RING);
	one_outage(SESSION_RING, AT_USED, 2 * SESSION_RING);
	one_outage(ODD, AT_USED, SESSION_RING);
	one_outage(0, UNSET, 2 * SESSION_RING);
}

/* A ring that the record has no room for. */
static void smaller_record(void **state)
{
	const struct vhost_user_inflight ask = {.queues = 1, .queue_size = SESSION_RING / 2};
	struct vhost_vring_state num = {.num = SESSION_RING}, on = {.num = 1};
	struct front_message m;
	uint64_t protocol;
	struct outage o;
	int fd, kick;

	begin(&o, 0);
	fd = o.s.fd = front_connect(o.disk.path);
	kick = uvdpa_queue_kick_fd(o.s.queue);
	front_greet(fd, &protocol);
	session_send_features(&o.s,
			      1ull << VIRTIO_F_VERSION_1 | 1ull << VHOST_USER_F_PROTOCOL_FEATURES);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_INFLIGHT_FD, &ask, sizeof(ask), &m), 0);
	assert_int_equal(
		front_ack(fd, VHOST_USER_SET_INFLIGHT_FD, &m.payload, sizeof(ask), m.fds, 1), 0);
	close(m.fds[0]);
	session_send_memory(&o.s);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_NUM, &num, sizeof(num), NULL, 0), 0);
	session_send_addr(&o.s);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1), 0);
	logged_forget();
	assert_true(front_ack(fd, VHOST_USER_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0) != 0);
	assert_true(logged("ring 0 has 128 entries, the record of its requests 64"));
	end(&o);
}

/* Whether a call comes; `must`: it is waited for. Takes it. */
static bool called(struct uvdpa_queue *queue, bool must)
{
	struct pollfd call = {.fd = uvdpa_queue_call_fd(queue), .events = POLLIN};
	eventfd_t count;

	if (poll(&call, 1, must ? PATIENCE_MS : 0) != 1)
		return false;
	return eventfd_read(call.fd, &count) == 0;
}

static void one_call(uint16_t packed, bool record)
{
	struct outage o;
	uint32_t base;

	begin(&o, packed);
	o.s.without_record = !record;
	work(&o);
	called(o.s.queue, false); /* whatever there was */
	base = uvdpa_queue_base(o.s.queue);
	session_start(&o.s, o.disk.path, base);
	assert_true(called(o.s.queue, true));
	assert_int_equal(session_stop(&o.s), base);
	assert_false(called(o.s.queue, false)); /* once */
	end(&o);
}

static void called_once(void **state)
{
	for (unsigned i = 0; i < 4; i++)
		one_call(i & 1 ? ODD : 0, i & 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_record),
		cmocka_unit_test(larger_record),
		cmocka_unit_test(smaller_record),
		cmocka_unit_test(called_once),
	};

	logged_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
