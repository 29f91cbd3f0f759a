/* Suspend, resume and kicks, through whichever export (S1..S13, kernel-contract 5.12). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/devices.h"
#include "export/target.h"

static unsigned base(struct target *t, unsigned queue)
{
	return t_get(t, VHOST_GET_VRING_BASE, queue);
}

static int same_addr(struct target *t)
{
	return t_addr(t, 0, t->vq[0].desc, t->vq[0].avail, t->vq[0].used);
}

static void served(struct target *t, unsigned total)
{
	t_post(t, 0);
	t_kick(t, 0);
	assert_true(t_used(t, 0, total));
}

static void before_driver_ok(void **state) /* KS01, KS02, KS03 */
{
	struct target *t = *state;

	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_resume(t), 0);
	assert_int_equal(t_status(t, 1), 0);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_status(t, 0), 0);
	t_negotiate(t);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_map_ram(t, 0), 72);
	t_rings(t);
	assert_int_equal(t_status(t, 0xf), 0);
	assert_int_equal(same_addr(t), -EINVAL);
	served(t, 1);
	assert_int_equal(t_resume(t), 0);
	served(t, 2);
}

static void stands_still(void **state) /* KS04, KS05, KS06, KS09, KS10, KS26, KS34 */
{
	struct target *t = *state;
	uint64_t calls;

	t_up(t);
	for (unsigned i = 1; i <= 5; i++)
		served(t, i);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_suspend(t), 0);
	calls = t_count(t->call[0]);
	assert_true(calls > 0);
	assert_int_equal(t_get_status(t), 0xf);
	assert_int_equal(base(t, 0), 5);
	assert_int_equal(base(t, 0), vq_used_index(&t->vq[0]));
	t_post(t, 0);
	t_post(t, 0);
	t_kick(t, 0);
	ram_freeze(&t->ram);
	t_still(t, 0, 5);
	assert_int_equal(ram_changed(&t->ram), -1);
	assert_int_equal(t_count(t->call[0]), 0);
	assert_int_equal(base(t, 0), 5);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 7)); /* without another kick */
	assert_int_equal(same_addr(t), -EINVAL);
}

static void not_forgotten(void **state) /* S8, KS07: posted without a kick */
{
	struct target *t = *state;

	t_up(t);
	assert_int_equal(t_suspend(t), 0);
	t_post(t, 0);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 1));
}

static void burst(void **state) /* KS08, KL2 */
{
	struct target *t = *state;

	t_up(t);
	for (unsigned round = 1; round <= 50; round++) {
		for (unsigned i = 0; i < 10; i++)
			t_post(t, 0);
		t_kick(t, 0);
		assert_int_equal(t_suspend(t), 0);
		assert_int_equal(base(t, 0), vq_used_index(&t->vq[0]));
		assert_int_equal(t_resume(t), 0);
		assert_true(t_used(t, 0, round * 10));
	}
}

static void status_again(void **state) /* S11: KS11, KS12 */
{
	struct target *t = *state;

	t_up(t);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_status(t, 0xf), 0);
	assert_int_equal(t_status(t, 0xb), -EINVAL);
	t_post(t, 0);
	t_kick(t, 0);
	t_still(t, 0, 0);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 1));
}

static void set_up_while_suspended(void **state) /* KS13, KS14, KS16, KS17, KS24 */
{
	struct target *t = *state;
	uint64_t f = FEATURES_MUST;

	t_up(t);
	served(t, 1);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_features(t, f), -EBUSY);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_GROUP_ASID, 0, 1), -EBUSY);
	assert_int_equal(t_backend(t, 2), 0);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 77), 0);
	assert_int_equal(base(t, 0), 77);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 1), 0);
	/* Other rings, at another place, as a driver that moves them has it. */
	t_num(t, VHOST_VDPA_SET_VRING_ENABLE, 0, 0);
	vq_init(&t->vq[0], &t->ram, 64, t->buffers + 65536);
	vq_start_at(&t->vq[0], 1);
	assert_int_equal(same_addr(t), 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(base(t, 0), 1);
	t_post(t, 0);
	t_still(t, 0, 1);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 2));
	assert_int_equal(same_addr(t), -EINVAL);
}

static void reset_while_suspended(void **state) /* S13: KS18, KS19, KS20 */
{
	struct target *t = *state;

	t_up(t);
	served(t, 1);
	assert_int_equal(t_suspend(t), 0);
	t_kick(t, 0);
	assert_int_equal(t_status(t, 0), 0);
	assert_int_equal(base(t, 0), 0);
	assert_int_equal(t_get_status(t), 0);
	assert_int_equal(t_msg(t, 0, VHOST_IOTLB_INVALIDATE, 0, 0, 0, 0), 72);
	t_up(t);
	t_drain(t->call[0]);
	served(t, 2);
	t_called(t->call[0]);
}

/* The queue's call goes with status 0, its kick does not (kernel-contract 4.3). */
static void eventfds_over_reset(void **state)
{
	struct target *t = *state;
	struct vq *vq = &t->vq[0];

	assert_int_equal(t_backend(t, 1ull << VHOST_BACKEND_F_IOTLB_PERSIST), 0);
	t_up(t);
	served(t, 1);
	assert_int_equal(t_status(t, 0), 0);
	t_drain(t->call[0]);
	t_negotiate(t);
	assert_int_equal(t_num(t, VHOST_SET_VRING_NUM, 0, vq->num), 0);
	assert_int_equal(t_num(t, VHOST_SET_VRING_BASE, 0, 1), 0);
	assert_int_equal(same_addr(t), 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	assert_int_equal(t_status(t, 0xf), 0);
	served(t, 2);
	assert_int_equal(t_count(t->call[0]), 0);
	assert_int_equal(t_fd(t, VHOST_SET_VRING_CALL, 0, t->call[0]), 0);
	served(t, 3);
	t_called(t->call[0]);
}

static void close_while_suspended(void **state) /* KS21 */
{
	struct target *t = *state;

	t_up(t);
	served(t, 1);
	assert_int_equal(t_suspend(t), 0);
	target_export.close(t->handle);
	t->handle = NULL;
	assert_int_equal(target_export.open("disk", &t->handle), 0);
	assert_int_equal(t_get_status(t), 0);
	t_up(t);
	assert_int_equal(same_addr(t), -EINVAL);
	served(t, 2);
}

static void memory_swapped(void **state) /* KS22, KS23 */
{
	struct target *t = *state;
	struct ram other;

	t_up(t);
	served(t, 1);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_msg(t, 0, VHOST_IOTLB_INVALIDATE, 0, 0, 0, 0), 72);
	ram_init(&other, RAM_DIRECT, t->ram.size);
	memcpy(other.bytes, t->ram.bytes, t->ram.size);
	memset(t->ram.bytes, 0xee, t->ram.size);
	ram_freeze(&t->ram);
	assert_int_equal(t_msg(t, 0, VHOST_IOTLB_UPDATE, t->ram.iova, other.size,
			       (uintptr_t)other.bytes, VHOST_ACCESS_RW),
			 72);
	t->vq[0].ram = &other;
	other.iova = t->ram.iova;
	{
		uint8_t *old = t->ram.bytes;

		t->ram.bytes = other.bytes;
		t_post(t, 0);
		t->ram.bytes = old;
	}
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 2));
	assert_int_equal(ram_changed(&t->ram), -1);
	target_export.close(t->handle);
	t->handle = NULL;
	ram_destroy(&other);
}

static void no_suspend(void **state) /* KS27 */
{
	struct target *t = *state;

	assert_int_equal(t_suspend(t), 0);
	t_up(t);
	assert_int_equal(t_suspend(t), -EOPNOTSUPP);
	assert_int_equal(t_resume(t), -EOPNOTSUPP);
	served(t, 1);
}

static void no_resume(void **state) /* KS29 */
{
	struct target *t = *state;

	assert_int_equal(t_resume(t), 0);
	t_up(t);
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_resume(t), -EOPNOTSUPP);
	assert_int_equal(same_addr(t), 0);
	assert_int_equal(t_status(t, 0), 0);
}

static void kick_of_zero(void **state) /* KS31 */
{
	struct target *t = *state;
	uint64_t zero = 0;

	t_up(t);
	served(t, 1);
	t_post(t, 0);
	assert_int_equal(write(t->kick[0], &zero, sizeof(zero)), 8);
	assert_true(t_used(t, 0, 2));
	assert_int_equal(t_suspend(t), 0);
	t_post(t, 0);
	assert_int_equal(write(t->kick[0], &zero, sizeof(zero)), 8);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 3));
	assert_int_equal(t_count(t->kick[0]), 1); /* never read by the device */
}

static void binding_is_a_kick(void **state) /* KS32, KS33, kernel-contract 5.5 */
{
	struct target *t = *state;
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	t_up(t);
	served(t, 1); /* the look that a start takes is over */
	t_count(t->kick[0]);
	assert_int_equal(t_fd(t, VHOST_SET_VRING_KICK, 0, -1), 0);
	t_post(t, 0);
	t_kick(t, 0);
	t_still(t, 0, 1);
	assert_int_equal(t_fd(t, VHOST_SET_VRING_KICK, 0, t->kick[0]), 0);
	assert_true(t_used(t, 0, 2));
	assert_int_equal(t_suspend(t), 0);
	assert_int_equal(t_fd(t, VHOST_SET_VRING_CALL, 0, other), 0);
	t_drain(t->call[0]);
	t_post(t, 0);
	t_kick(t, 0);
	assert_int_equal(t_resume(t), 0);
	assert_true(t_used(t, 0, 3));
	t_called(other);
	assert_int_equal(t_count(t->call[0]), 0);
	close(other);
}

static void many_times_idle(void **state) /* KS35 */
{
	struct target *t = *state;

	t_up(t);
	served(t, 1);
	t_called(t->call[0]);
	for (int i = 0; i < 1000; i++) {
		assert_int_equal(t_suspend(t), 0);
		assert_int_equal(t_resume(t), 0);
	}
	assert_int_equal(base(t, 0), 1);
	assert_int_equal(t_count(t->call[0]), 0);
}

struct other_thread {
	struct target *target;
	int result;
	unsigned base;
};

static void *suspend_elsewhere(void *arg)
{
	struct other_thread *other = arg;

	other->result = t_suspend(other->target);
	return NULL;
}

/* A suspend that drains answers when it has drained, and what comes behind it waits (S3, S9). */
static void drains(void **state)
{
	struct target *t = *state;
	struct other_thread other = {.target = t, .result = 1};
	pthread_t thread;

	t_up(t);
	for (unsigned round = 1; round <= 5; round++) {
		t_post(t, 0);
		t_post(t, 1);
		t_kick(t, 0);
		t_kick(t, 1);
		assert_int_equal(pthread_create(&thread, NULL, suspend_elsewhere, &other), 0);
		assert_int_equal(t_suspend(t), 0);
		assert_int_equal(base(t, 0), vq_used_index(&t->vq[0]));
		assert_int_equal(base(t, 1), vq_used_index(&t->vq[1]));
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(other.result, 0);
		assert_int_equal(t_resume(t), 0);
		assert_true(t_used(t, 0, round));
		assert_true(t_used(t, 1, round));
	}
}

/* A backend that never answers: the suspend fails in time and the device runs on (S10). */
static void deadline(void **state)
{
	struct target *t = *state;

	t_up(t);
	t_post(t, 0);
	t_kick(t, 0);
	do { /* until the request is taken */
	} while (t_suspend(t) == 0 && t_resume(t) == 0);
	assert_int_equal(same_addr(t), -EINVAL);
	assert_int_equal(t_get_status(t), 0xf);
	assert_int_equal(t_suspend(t), -ETIMEDOUT);
	assert_int_equal(t_status(t, 0), 0); /* cancels */
	assert_int_equal(t_get_status(t), 0);
}

static void disable_waits(void **state) /* kernel-contract 4.5 */
{
	struct target *t = *state;

	t_up(t);
	t_post(t, 0);
	t_kick(t, 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_VRING_ENABLE, 0, 0), 0);
	assert_int_equal(base(t, 0), vq_used_index(&t->vq[0]));
	t_kick(t, 0);
	assert_int_equal(t_num(t, VHOST_VDPA_SET_VRING_ENABLE, 0, 1), 0);
	t_kick(t, 0);
	assert_true(t_used(t, 0, 1));
}

TARGET_SETUP(disk)
TARGET_SETUP(fixed)
TARGET_SETUP(once)
TARGET_SETUP(slow)
TARGET_SETUP(stuck)

int cases_suspend(void)
{
	const struct CMUnitTest tests[] = {
		TARGET_TEST(before_driver_ok, disk),
		TARGET_TEST(stands_still, disk),
		TARGET_TEST(not_forgotten, disk),
		TARGET_TEST(burst, disk),
		TARGET_TEST(status_again, disk),
		TARGET_TEST(set_up_while_suspended, disk),
		TARGET_TEST(reset_while_suspended, disk),
		TARGET_TEST(eventfds_over_reset, disk),
		TARGET_TEST(close_while_suspended, disk),
		TARGET_TEST(memory_swapped, disk),
		TARGET_TEST(no_suspend, fixed),
		TARGET_TEST(no_resume, once),
		TARGET_TEST(kick_of_zero, disk),
		TARGET_TEST(binding_is_a_kick, disk),
		TARGET_TEST(many_times_idle, disk),
		TARGET_TEST(drains, slow),
		TARGET_TEST(deadline, stuck),
		TARGET_TEST(disable_waits, slow),
	};

	return cmocka_run_group_tests_name("suspend", tests, NULL, NULL);
}
