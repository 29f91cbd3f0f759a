/* Connections: opening, negotiation, mapping, attaching, suspend and resume, reset; and refusals of
 * each. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "driver_fake.h"
#include "wire/vhost.h"

static struct fake fake;
static struct uvdpa_error error;

static int set_up(void **state)
{
	fake_init(&fake, 64);
	memset(&error, 0, sizeof(error));
	return 0;
}

static int tear_down(void **state)
{
	fake_done(&fake);
	return 0;
}

static struct uvdpa_memory *make_memory(void)
{
	struct uvdpa_memory *m = NULL;

	assert_int_equal(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 65536}, &m, NULL),
			 0);
	return m;
}

static struct uvdpa_queue *make_queue(struct uvdpa_memory *m, uint16_t base)
{
	struct uvdpa_queue *q = NULL;

	assert_int_equal(uvdpa_queue_new(m, &(struct uvdpa_queue_options){.size = 8, .base = base},
					 &q, NULL),
			 0);
	return q;
}

static void opening(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);

	assert_true(fake.owned);
	assert_string_equal(uvdpa_driver_name(drv), "fake");
	assert_int_equal(uvdpa_driver_device_id(drv), VIRTIO_ID_BLOCK);
	uvdpa_driver_close(drv);
	assert_false(fake.owned);
	assert_int_equal(uvdpa_driver_open_transport(&fake_transport, &fake, "fake",
						     UVDPA_OPEN_UNOWNED, &drv, &error),
			 0);
	assert_false(fake.owned);
	assert_int_equal(uvdpa_set_vring_num(drv, 0, 8), -EPERM);
	assert_int_equal(uvdpa_set_owner(drv), 0);
	assert_int_equal(uvdpa_set_owner(drv), -EBUSY);
	uvdpa_driver_close(drv);
	uvdpa_driver_close(NULL);
}

static void opening_refused(void **state)
{
	struct uvdpa_driver *drv = NULL;

	assert_int_equal(
		uvdpa_driver_open_transport(&fake_transport, &fake, "fake", 2, &drv, &error),
		-EINVAL);
	fake.fail_cmd = VHOST_SET_OWNER;
	fake.fail_error = -EBUSY;
	assert_int_equal(
		uvdpa_driver_open_transport(&fake_transport, &fake, "fake", 0, &drv, &error),
		-EBUSY);
	assert_non_null(strstr(error.text, "fake: SET_OWNER"));
	assert_int_equal(uvdpa_driver_open("/nowhere/at/all", 0, &drv, &error), -ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/at/all"));
	assert_int_equal(uvdpa_driver_open("/dev/null", 0, &drv, &error), -ENOTTY);
	assert_non_null(strstr(error.text, "not a vhost-vdpa device"));
	assert_int_equal(uvdpa_driver_open("/dev/null", 4, &drv, &error), -EINVAL);
	assert_null(drv);
}

/* A device that says it has four billion queues costs no memory. */
static void absurd_counts(void **state)
{
	struct uvdpa_memory *m = make_memory();
	struct uvdpa_queue *q = make_queue(m, 0);
	struct uvdpa_driver *drv;

	fake.vqs = UINT32_MAX;
	drv = fake_open(&fake);
	assert_int_equal(uvdpa_driver_attach(drv, 5000, q, 0, &error), -ENOBUFS);
	uvdpa_driver_close(drv);
	uvdpa_queue_free(q);
	uvdpa_memory_free(m);
}

static void negotiation(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);
	uint64_t base = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM, got = 0;
	uint8_t status;

	assert_int_equal(
		uvdpa_driver_negotiate(drv, 1ull << VIRTIO_BLK_F_BLK_SIZE | 1, &got, &error), 0);
	assert_int_equal(got, base | 1ull << VIRTIO_BLK_F_BLK_SIZE);
	assert_int_equal(fake.features, got);
	assert_int_equal(uvdpa_driver_features(drv), got);
	/* all but ENABLE_AFTER_DRIVER_OK and DESC_ASID */
	assert_int_equal(fake.backend, 0x13e);
	assert_int_equal(uvdpa_driver_backend_features(drv), 0x13e);
	assert_int_equal(uvdpa_get_status(drv, &status), 0);
	assert_int_equal(status, 0x0b);
	assert_int_equal(uvdpa_driver_reset(drv), 0);
	assert_int_equal(uvdpa_driver_features(drv), 0);
	uvdpa_driver_close(drv);
}

static void negotiation_refused(void **state)
{
	static const struct {
		unsigned long cmd;
		const char *text;
	} steps[] = {
		{VHOST_VDPA_SET_STATUS, "reset"},
		{VHOST_VDPA_GET_STATUS, "GET_STATUS"},
		{VHOST_GET_BACKEND_FEATURES, "GET_BACKEND_FEATURES"},
		{VHOST_SET_BACKEND_FEATURES, "SET_BACKEND_FEATURES"},
		{VHOST_GET_FEATURES, "GET_FEATURES"},
		{VHOST_SET_FEATURES, "SET_FEATURES"},
	};
	struct uvdpa_driver *drv = fake_open(&fake);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		fake.fail_cmd = steps[i].cmd;
		fake.fail_error = -EIO;
		assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), -EIO);
		assert_non_null(strstr(error.text, steps[i].text));
		assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, NULL), -EIO);
		assert_int_equal(uvdpa_driver_features(drv), 0);
	}
	fake.fail_error = 0;
	fake.refuse_status = VIRTIO_CONFIG_S_FEATURES_OK;
	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), -EPROTO);
	assert_non_null(strstr(error.text, "refused FEATURES_OK"));
	fake.refuse_status = 0;
	fake.offered &= ~(1ull << VIRTIO_F_ACCESS_PLATFORM);
	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), -ENOTSUP);
	uvdpa_driver_close(drv);
}

static void mapping(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);
	struct uvdpa_memory *m = make_memory();
	uint64_t iova = uvdpa_memory_iova(m, uvdpa_memory_base(m));

	assert_int_equal(uvdpa_driver_map(drv, m, 0, &error), 0);
	assert_ptr_equal(fake_at(&fake, iova, 65536), uvdpa_memory_base(m));
	assert_int_equal(uvdpa_driver_map(drv, m, 0, &error), -EFAULT);
	assert_non_null(strstr(error.text, "IOTLB"));
	assert_int_equal(uvdpa_driver_map(drv, m, 1, &error), 0);
	assert_int_equal(uvdpa_driver_unmap(drv, m, 0), 0);
	assert_int_equal(uvdpa_driver_unmap(drv, m, 0), -ENOENT);
	/* a reset takes the rest away, and the driver's references with it */
	uvdpa_memory_free(m);
	assert_int_equal(uvdpa_driver_reset(drv), 0);
	assert_null(fake_at(&fake, iova, 1));
	assert_int_equal(fake.updates, fake.invalidates);
	uvdpa_driver_close(drv);
}

static void mapping_refused(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);
	struct uvdpa_memory *m = make_memory(), *many[17];

	fake.iova_last = 0xffffffff;
	assert_int_equal(uvdpa_driver_map(drv, m, 0, &error), -ERANGE);
	assert_non_null(strstr(error.text, ".iova"));
	fake.iova_last = UINT64_MAX;
	fake.short_write = true;
	assert_int_equal(uvdpa_driver_map(drv, m, 0, &error), -EIO);
	fake.short_write = false;
	memset(fake.maps, 0, sizeof(fake.maps));
	for (unsigned i = 0; i < 17; i++) {
		const struct uvdpa_memory_options o = {.size = 4096, .iova = 0x10000 * (i + 1)};

		assert_int_equal(uvdpa_memory_new(&o, &many[i], NULL), 0);
		assert_int_equal(uvdpa_driver_map(drv, many[i], 0, &error), i < 16 ? 0 : -ENOSPC);
		memset(fake.maps, 0, sizeof(fake.maps)); /* the fake's room is not the subject */
		uvdpa_memory_free(many[i]);
	}
	uvdpa_memory_free(m);
	uvdpa_driver_close(drv);
}

static void attaching(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);
	struct uvdpa_memory *m = make_memory();
	struct uvdpa_queue *q = make_queue(m, 300), *other = make_queue(m, 0);
	struct uvdpa_queue_areas a;
	uint32_t bases[FAKE_QUEUES];
	uint64_t kicks;

	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), 0);
	assert_int_equal(uvdpa_driver_map(drv, m, 0, &error), 0);
	assert_int_equal(uvdpa_driver_attach(drv, 1, q, uvdpa_queue_base(q), &error), 0);
	assert_ptr_equal(uvdpa_driver_queue(drv, 1), q);
	assert_null(uvdpa_driver_queue(drv, 0));
	uvdpa_queue_areas(q, &a);
	assert_int_equal(fake.queues[1].num, 8);
	assert_int_equal(fake.queues[1].desc, a.desc_iova);
	assert_int_equal(fake.queues[1].avail, a.avail_iova);
	assert_int_equal(fake.queues[1].used, a.used_iova);
	assert_int_equal(fake.queues[1].kick, uvdpa_queue_kick_fd(q));
	assert_int_equal(fake.queues[1].call, uvdpa_queue_call_fd(q));
	assert_int_equal(uvdpa_driver_attach(drv, 0, q, 0, &error), -EBUSY);
	assert_int_equal(uvdpa_driver_attach(drv, 1, other, 0, &error), -EBUSY);
	assert_int_equal(uvdpa_driver_attach(drv, 3, other, 0, &error), -ENOBUFS);
	assert_int_equal(uvdpa_queue_restart(q, 0), -EBUSY);
	assert_int_equal(uvdpa_driver_start(drv, &error), 0);
	assert_int_equal(fake.status, 0x0f);
	/* enabled last, then DRIVER_OK, then a kick */
	assert_string_equal(fake.order, "n1a1c1k1b1e1!0");
	assert_int_equal(read(uvdpa_queue_kick_fd(q), &kicks, 8), 8);
	assert_int_equal(uvdpa_driver_get_bases(drv, bases, FAKE_QUEUES), 0);
	assert_int_equal(bases[1], 300);
	assert_int_equal(bases[0], 0);
	assert_int_equal(uvdpa_driver_get_bases(drv, bases, 1), -ENOSPC);
	uvdpa_driver_close(drv);
	/* free again */
	assert_int_equal(uvdpa_queue_restart(q, 0), 0);
	uvdpa_queue_free(q);
	uvdpa_queue_free(other);
	uvdpa_memory_free(m);
}

static void attaching_refused(void **state)
{
	static const unsigned long steps[] = {VHOST_SET_VRING_NUM,  VHOST_SET_VRING_BASE,
					      VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK,
					      VHOST_SET_VRING_CALL, VHOST_VDPA_SET_VRING_ENABLE};
	struct uvdpa_driver *drv = fake_open(&fake);
	struct uvdpa_memory *m = make_memory();
	struct uvdpa_queue *q = make_queue(m, 0);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		fake.fail_cmd = steps[i];
		fake.fail_error = -EINVAL;
		assert_int_equal(uvdpa_driver_attach(drv, 0, q, 0, &error), -EINVAL);
		assert_non_null(strstr(error.text, "SET_VRING_"));
		assert_null(uvdpa_driver_queue(drv, 0));
	}
	fake.fail_error = 0;
	assert_int_equal(uvdpa_driver_attach(drv, 0, q, 0, &error), 0);
	fake.refuse_status = VIRTIO_CONFIG_S_DRIVER_OK;
	assert_int_equal(uvdpa_driver_start(drv, &error), -EPROTO);
	fake.refuse_status = 0;
	fake.fail_cmd = VHOST_GET_VRING_BASE;
	fake.fail_error = -EOPNOTSUPP;
	assert_int_equal(uvdpa_driver_get_bases(drv, &(uint32_t){0}, 1), -EOPNOTSUPP);
	uvdpa_driver_close(drv);
	uvdpa_queue_free(q);
	uvdpa_memory_free(m);
}

static void suspending(void **state)
{
	struct uvdpa_driver *drv = fake_open(&fake);
	struct uvdpa_memory *m = make_memory();
	struct uvdpa_queue *q = make_queue(m, 0);
	uint64_t kicks;

	assert_int_equal(uvdpa_driver_negotiate(drv, 0, NULL, &error), 0);
	assert_int_equal(uvdpa_driver_attach(drv, 0, q, 0, &error), 0);
	assert_int_equal(uvdpa_driver_start(drv, &error), 0);
	assert_int_equal(read(uvdpa_queue_kick_fd(q), &kicks, 8), 8);
	assert_int_equal(uvdpa_driver_suspend(drv), 0);
	assert_true(fake.suspended);
	assert_true(uvdpa_driver_is_suspended(drv));
	assert_int_equal(uvdpa_driver_resume(drv), 0);
	assert_false(fake.suspended);
	assert_false(uvdpa_driver_is_suspended(drv));
	/* resume kicks, since a kernel may have forgotten */
	assert_int_equal(read(uvdpa_queue_kick_fd(q), &kicks, 8), 8);
	assert_int_equal(kicks, 1);
	assert_int_equal(uvdpa_suspend_v6(drv, 1), 0);
	assert_true(fake.suspended);
	assert_int_equal(uvdpa_suspend_v6(drv, 0), 0);
	assert_false(fake.suspended);
	fake.fail_cmd = VHOST_VDPA_SUSPEND;
	fake.fail_error = -ETIMEDOUT;
	assert_int_equal(uvdpa_driver_suspend(drv), -ETIMEDOUT);
	assert_false(uvdpa_driver_is_suspended(drv));
	fake.fail_error = 0;
	assert_int_equal(uvdpa_driver_suspend(drv), 0);
	fake.fail_cmd = VHOST_VDPA_RESUME;
	fake.fail_error = -EOPNOTSUPP;
	assert_int_equal(uvdpa_driver_resume(drv), -EOPNOTSUPP);
	assert_true(uvdpa_driver_is_suspended(drv));
	assert_int_equal(uvdpa_driver_reset(drv), 0);
	assert_false(uvdpa_driver_is_suspended(drv));
	uvdpa_driver_close(drv);
	uvdpa_queue_free(q);
	uvdpa_memory_free(m);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(opening),	    T(opening_refused),	    T(absurd_counts),
		T(negotiation),	    T(negotiation_refused), T(mapping),
		T(mapping_refused), T(attaching),	    T(attaching_refused),
		T(suspending),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
