/* Hand-over between two devices and across a reset of one, with requests in flight; and where it
 * stops. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "driver_fake.h"
#include "wire/vhost.h"

#define WANTED (1ull << VIRTIO_BLK_F_FLUSH)

static struct fake a, b;
static struct uvdpa_driver *da, *db;
static struct uvdpa_memory *memory;
static struct uvdpa_queue *q;
static struct uvdpa_blk *blk;
static char *data;
static struct uvdpa_error error;
static struct uvdpa_handover_times times;

/* Device a runs with one queue that starts just below the wrap; b is open and nothing else. */
static int set_up(void **state)
{
	uint64_t features = 0;

	fake_init(&a, 64);
	fake_init(&b, 64);
	memset(&error, 0, sizeof(error));
	memset(&times, 0xff, sizeof(times));
	da = fake_open(&a);
	db = fake_open(&b);
	assert_int_equal(uvdpa_driver_negotiate(da, WANTED, &features, &error), 0);
	assert_int_equal(
		uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, &memory, NULL),
		0);
	assert_int_equal(uvdpa_driver_map(da, memory, 0, &error), 0);
	assert_int_equal(uvdpa_queue_new(memory,
					 &(struct uvdpa_queue_options){
						 .size = 16, .base = 65534, .features = features},
					 &q, NULL),
			 0);
	assert_int_equal(uvdpa_blk_new(memory, q, 8, &blk, NULL), 0);
	data = uvdpa_memory_alloc(memory, 4096, 4096);
	assert_int_equal(uvdpa_driver_attach(da, 0, q, 65534, &error), 0);
	assert_int_equal(uvdpa_driver_start(da, &error), 0);
	return 0;
}

static int tear_down(void **state)
{
	uvdpa_driver_close(da);
	uvdpa_driver_close(db);
	uvdpa_blk_free(blk);
	uvdpa_queue_free(q);
	uvdpa_memory_free(memory);
	fake_done(&a);
	fake_done(&b);
	return 0;
}

/* Five writes, of which the source serves two before it is asked to stop. */
static void five_writes(void)
{
	for (unsigned i = 0; i < 5; i++) {
		memset(data + i * 512, 'a' + (int)i, 512);
		assert_int_equal(uvdpa_blk_write(blk, i, data + i * 512, 512, i), 0);
	}
	uvdpa_queue_submit(q);
	assert_int_equal(fake_serve(&a, 0, 2), 2);
}

static void all_five_done(struct fake *target)
{
	struct uvdpa_blk_completion c[8];

	assert_int_equal(fake_serve(target, 0, 100), 3);
	assert_int_equal(uvdpa_blk_poll(blk, c, 8), 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(c[i].cookie, i);
		assert_int_equal(c[i].status, 0);
		assert_memory_equal((i < 2 ? a : *target).disk + i * 512, data + i * 512, 512);
	}
}

static void between_two(void **state)
{
	uint64_t kicks;

	five_writes();
	assert_int_equal(read(uvdpa_queue_kick_fd(q), &kicks, 8), 8);
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), 0);
	assert_int_equal(a.suspends, 1);
	assert_int_equal(a.status, 0);
	assert_null(uvdpa_driver_queue(da, 0));
	assert_ptr_equal(uvdpa_driver_queue(db, 0), q);
	assert_int_equal(a.invalidates, a.updates);
	assert_int_equal(b.status, 0x0f);
	assert_int_equal(b.features, uvdpa_driver_features(db));
	assert_int_equal(b.queues[0].last_avail, 0); /* 65534 + 2 */
	assert_string_equal(b.order, "n0a0c0k0b0e0!0");
	assert_int_equal(read(uvdpa_queue_kick_fd(q), &kicks, 8), 8);
	assert_int_equal(kicks, 1);
	assert_true(times.begin > 0 && times.begin <= times.prepared);
	assert_true(times.prepared <= times.suspended && times.suspended <= times.bases);
	assert_true(times.bases <= times.attached && times.attached <= times.driver_ok);
	assert_true(times.driver_ok <= times.kicked && times.kicked <= times.released);
	all_five_done(&b);
	/* and back */
	assert_int_equal(uvdpa_handover(db, da, 0, NULL, &error), 0);
	assert_int_equal(a.queues[0].last_avail, 3);
}

static void across_a_reset(void **state)
{
	five_writes();
	assert_int_equal(uvdpa_handover(da, da, 0, &times, &error), 0);
	assert_true(times.prepared >= times.released);
	assert_int_equal(a.queues[0].last_avail, 0);
	assert_int_equal(a.queues[0].used_idx, 0);
	all_five_done(&a);
}

static void source_kept(void **state)
{
	five_writes();
	assert_int_equal(uvdpa_handover(da, db, UVDPA_HANDOVER_KEEP_SOURCE, &times, &error), 0);
	assert_int_equal(a.status, 0x0f);
	assert_true(a.suspended);
	assert_int_equal(a.queues[0].kick, -1);
	assert_int_equal(a.queues[0].call, -1);
	assert_false(a.queues[0].ready);
	all_five_done(&b);
}

/* Prepared ahead, the target is not negotiated with again. */
static void prepared_ahead(void **state)
{
	unsigned resets;

	assert_int_equal(uvdpa_handover_prepare(da, db, &error), 0);
	assert_string_equal(b.order, "n0a0c0k0");
	resets = b.resets;
	five_writes();
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), 0);
	assert_int_equal(b.resets, resets);
	assert_string_equal(b.order, "n0a0c0k0b0e0!0");
	all_five_done(&b);
}

/* ... but with a queue that it has not heard of. */
static void prepared_for_another_queue(void **state)
{
	struct uvdpa_queue *other;

	assert_int_equal(uvdpa_handover_prepare(da, db, &error), 0);
	assert_int_equal(
		uvdpa_queue_new(memory, &(struct uvdpa_queue_options){.size = 8}, &other, NULL), 0);
	assert_int_equal(uvdpa_driver_attach(da, 1, other, 0, &error), 0);
	five_writes();
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), 0);
	assert_ptr_equal(uvdpa_driver_queue(db, 1), other);
	assert_int_equal(b.queues[1].num, 8);
	all_five_done(&b);
	assert_int_equal(uvdpa_driver_reset(db), 0);
	uvdpa_queue_free(other);
}

/* S3 broken by the source: the hand-over stops while it can still be resumed. */
static void base_that_would_lose_requests(void **state)
{
	five_writes();
	a.base_skew = 1;
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), -EPROTO);
	assert_non_null(strstr(error.text, "base 1 but used index 0"));
	assert_true(times.suspended > 0 && times.released == 0);
	assert_ptr_equal(uvdpa_driver_queue(da, 0), q);
	assert_true(uvdpa_driver_is_suspended(da));
	assert_int_equal(uvdpa_driver_resume(da), 0);
	all_five_done(&a);
}

static void target_that_cannot(void **state)
{
	five_writes();
	b.offered &= ~WANTED;
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), -ENOTSUP);
	assert_int_equal(a.suspends, 0); /* nothing happened yet */
	assert_int_equal(times.suspended, 0);
	assert_int_equal(uvdpa_handover_prepare(da, db, &error), -ENOTSUP);
	all_five_done(&a);
}

static void source_that_cannot(void **state)
{
	five_writes();
	a.fail_cmd = VHOST_VDPA_SUSPEND;
	a.fail_error = -EOPNOTSUPP;
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), -EOPNOTSUPP);
	assert_ptr_equal(uvdpa_driver_queue(da, 0), q);
	all_five_done(&a);
}

/* The target fails after the source is gone: the queue goes on anywhere from its position. */
static void target_that_fails_late(void **state)
{
	five_writes();
	b.fail_cmd = VHOST_VDPA_SET_VRING_ENABLE;
	b.fail_error = -EIO;
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), -EIO);
	assert_true(times.released > 0 && times.attached == 0);
	assert_null(uvdpa_driver_queue(da, 0));
	assert_null(uvdpa_driver_queue(db, 0));
	assert_int_equal(uvdpa_driver_negotiate(da, WANTED, NULL, &error), 0);
	assert_int_equal(uvdpa_driver_map(da, memory, 0, &error), 0);
	assert_int_equal(uvdpa_driver_attach(da, 0, q, uvdpa_queue_base(q), &error), 0);
	assert_int_equal(uvdpa_driver_start(da, &error), 0);
	all_five_done(&a);
}

/* The source cannot be reset: its queues are the target's all the same. */
static void source_that_stays(void **state)
{
	five_writes();
	a.fail_cmd = VHOST_VDPA_SET_STATUS;
	a.fail_error = -EIO;
	assert_int_equal(uvdpa_handover(da, db, 0, &times, &error), -EIO);
	assert_non_null(strstr(error.text, "letting go"));
	assert_true(times.kicked > 0 && times.released == 0);
	assert_ptr_equal(uvdpa_driver_queue(db, 0), q);
	all_five_done(&b);
}

static void flags_refused(void **state)
{
	assert_int_equal(uvdpa_handover(da, db, 2, NULL, &error), -EINVAL);
	assert_int_equal(uvdpa_handover(da, da, UVDPA_HANDOVER_KEEP_SOURCE, NULL, &error), -EINVAL);
	assert_int_equal(uvdpa_handover_prepare(da, da, &error), -EINVAL);
	assert_int_equal(a.suspends, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(between_two),
		T(across_a_reset),
		T(source_kept),
		T(prepared_ahead),
		T(prepared_for_another_queue),
		T(base_that_would_lose_requests),
		T(target_that_cannot),
		T(source_that_cannot),
		T(target_that_fails_late),
		T(source_that_stays),
		T(flags_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
