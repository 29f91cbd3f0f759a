/*
 * A disk's rings, started and stopped, enabled and disabled ("Ring states" and "Suspended device
 * state" of the vhost-user document), where it is not the usual way.
 */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"
#include "vhost_user/user.h"

#define BIT(n)	    (1ull << (n))
#define BLOCK	    4096
#define PATIENCE_MS 60000

struct bench {
	struct disk disk;
	struct session s;
	struct uvdpa_blk *blk;
	void *data;
};

static struct bench b;

static void begin(const struct disk_options *options)
{
	struct uvdpa_error error;

	memset(&b, 0, sizeof(b));
	disk_open(&b.disk, options);
	session_init(&b.s, 1 << 20);
	session_start(&b.s, b.disk.path, 0);
	must(uvdpa_blk_new(b.s.memory, b.s.queue, 4, &b.blk, &error), &error);
	b.data = uvdpa_memory_alloc(b.s.memory, BLOCK, BLOCK);
	assert_non_null(b.data);
}

static void end(void)
{
	uvdpa_blk_free(b.blk);
	session_free(&b.s);
	disk_close(&b.disk);
}

static void post(void)
{
	assert_int_equal(uvdpa_blk_read(b.blk, 0, b.data, BLOCK, 1), 0);
	assert_true(uvdpa_queue_submit(b.s.queue) >= 0);
}

static void is_served(void)
{
	struct uvdpa_blk_completion got;

	assert_int_equal(uvdpa_queue_wait(b.s.queue, PATIENCE_MS), 1);
	assert_int_equal(uvdpa_blk_poll(b.blk, &got, 1), 1);
	assert_int_equal(got.status, 0);
}

static void enable(unsigned on)
{
	struct vhost_vring_state state = {.num = on};

	assert_int_equal(
		front_ack(b.s.fd, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0), 0);
}

/* SET_FEATURES without PROTOCOL_FEATURES enables what runs disabled, and what starts afterwards. */
static void no_ring_waits(void **state)
{
	const uint64_t plain = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_BLK_F_FLUSH);
	int64_t base;

	begin(&(struct disk_options){0});
	session_send_features(&b.s,
			      plain | BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VHOST_F_LOG_ALL));
	post();
	is_served();
	enable(0);
	post();
	/* the same features, with the log or without, enable nothing */
	session_send_features(&b.s, plain | BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	assert_int_equal(uvdpa_queue_wait(b.s.queue, 100), 0);
	session_send_features(&b.s, plain);
	is_served();
	base = session_stop(&b.s);
	assert_int_equal(base, 2);
	session_start_ring(b.s.fd, 0, b.s.queue, (uint32_t)base);
	post();
	is_served();
	end();
}

/* The protocol has no RESUME: what cannot resume is not suspended by stopping its rings. */
static void starts_again(const struct disk_options *options)
{
	begin(options);
	for (int64_t round = 1; round < 4; round++) {
		post();
		is_served();
		assert_int_equal(session_stop(&b.s), round);
		session_start_ring(b.s.fd, 0, b.s.queue, (uint32_t)round);
	}
	enable(0);
	post();
	enable(1);
	is_served();
	end();
}

static void cannot_resume(void **state)
{
	starts_again(&(struct disk_options){.no_resume = true});
}

static void cannot_suspend(void **state)
{
	starts_again(&(struct disk_options){.no_suspend = true});
}

/* Nor does it offer to be saved as if it stood still. */
static void offers_no_state(void **state)
{
	uint64_t protocol;
	struct disk disk;
	int fd;

	disk_open(&disk, &(struct disk_options){.no_resume = true});
	fd = front_connect(disk.path);
	front_greet(fd, &protocol);
	assert_false(protocol & BIT(VHOST_USER_PROTOCOL_F_DEVICE_STATE));
	close(fd);
	disk_close(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_ring_waits),
		cmocka_unit_test(cannot_resume),
		cmocka_unit_test(cannot_suspend),
		cmocka_unit_test(offers_no_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
