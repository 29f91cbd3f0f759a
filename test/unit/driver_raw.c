/*
 * The thin calls put on the wire what they say: a transport that records each call is compared with
 * a table of the kernel's numbers, sizes and layouts.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "wire/vhost.h"

/* What came last, and what is answered. */
static unsigned long last_cmd;
static unsigned char last_arg[4200], reply[4200];
static void *last_pointer;
static size_t written;
static int answer;
static ssize_t write_answer;

static int record_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	size_t size = cmd == VHOST_VDPA_GET_CONFIG || cmd == VHOST_VDPA_SET_CONFIG
			      ? 8 + (arg ? ((struct vhost_vdpa_config *)arg)->len : 0)
			      : _IOC_SIZE(cmd);

	last_cmd = cmd;
	last_pointer = arg;
	memset(last_arg, 0xaa, sizeof(last_arg));
	if (arg && size)
		memcpy(last_arg, arg, size);
	if (arg && (_IOC_DIR(cmd) & _IOC_READ) && answer == 0)
		memcpy(arg, reply, size);
	return answer;
}

static ssize_t record_write(void *ctx, const void *buf, size_t len)
{
	memcpy(last_arg, buf, len);
	written = len;
	return write_answer;
}

static const struct uvdpa_transport tracer = {record_ioctl, record_write, NULL};
static struct uvdpa_driver *drv;

static int open_tracer(void **state)
{
	answer = 0;
	memset(reply, 0, sizeof(reply));
	return uvdpa_driver_open_transport(&tracer, NULL, "recorder", 0, &drv, NULL);
}

static int close_tracer(void **state)
{
	uvdpa_driver_close(drv);
	return 0;
}

/* The numbers of linux/include/uapi/linux/vhost.h, written out: table 1.2 to 1.4 of the uAPI. */
static void values_given(void **state)
{
	assert_int_equal(uvdpa_set_status(drv, 0x0b), 0);
	assert_int_equal(last_cmd, 0x4001af72);
	assert_int_equal(last_arg[0], 0x0b);
	assert_int_equal(uvdpa_set_features(drv, 0x1122334455667788), 0);
	assert_int_equal(last_cmd, 0x4008af00);
	assert_int_equal(*(uint64_t *)last_arg, 0x1122334455667788);
	assert_int_equal(uvdpa_set_backend_features(drv, 0x13e), 0);
	assert_int_equal(last_cmd, 0x4008af25);
	assert_int_equal(*(uint64_t *)last_arg, 0x13e);
	assert_int_equal(uvdpa_set_config_call(drv, 77), 0);
	assert_int_equal(last_cmd, 0x4004af77);
	assert_int_equal(*(int *)last_arg, 77);
	assert_int_equal(uvdpa_suspend(drv), 0);
	assert_int_equal(last_cmd, 0xaf7d);
	assert_null(last_pointer);
	assert_int_equal(uvdpa_suspend_v6(drv, 5), 0);
	assert_int_equal(last_cmd, 0x4004af7d);
	assert_int_equal(*(int *)last_arg, 5);
	assert_int_equal(uvdpa_resume(drv), 0);
	assert_int_equal(last_cmd, 0xaf7e);
	assert_int_equal(uvdpa_set_owner(drv), 0);
	assert_int_equal(last_cmd, 0xaf01);
	assert_int_equal(uvdpa_reset_owner(drv), 0);
	assert_int_equal(last_cmd, 0xaf02);
}

static void values_got(void **state)
{
	uint64_t v64, first, last;
	uint32_t v32;
	uint16_t v16;
	uint8_t v8;

	memset(reply, 0x5a, sizeof(reply));
#define GETS(call, number, value, expected)         \
	do {                                        \
		assert_int_equal(call, 0);          \
		assert_int_equal(last_cmd, number); \
		assert_int_equal(value, expected);  \
	} while (0)
	GETS(uvdpa_get_device_id(drv, &v32), 0x8004af70, v32, 0x5a5a5a5a);
	GETS(uvdpa_get_status(drv, &v8), 0x8001af71, v8, 0x5a);
	GETS(uvdpa_get_features(drv, &v64), 0x8008af00, v64, 0x5a5a5a5a5a5a5a5a);
	GETS(uvdpa_get_backend_features(drv, &v64), 0x8008af26, v64, 0x5a5a5a5a5a5a5a5a);
	GETS(uvdpa_get_vring_num(drv, &v16), 0x8002af76, v16, 0x5a5a);
	GETS(uvdpa_get_config_size(drv, &v32), 0x8004af79, v32, 0x5a5a5a5a);
	GETS(uvdpa_get_vqs_count(drv, &v32), 0x8004af80, v32, 0x5a5a5a5a);
	GETS(uvdpa_get_group_num(drv, &v32), 0x8004af81, v32, 0x5a5a5a5a);
	GETS(uvdpa_get_as_num(drv, &v32), 0x8004af7a, v32, 0x5a5a5a5a);
	reply[0] = 1;
	GETS(uvdpa_get_iova_range(drv, &first, &last), 0x8010af78, first, 0x5a5a5a5a5a5a5a01);
	assert_int_equal(last, 0x5a5a5a5a5a5a5a5a);
}

static void queue_calls(void **state)
{
	static const struct {
		int (*set)(struct uvdpa_driver *d, unsigned index, uint32_t num);
		unsigned long cmd;
	} setters[] = {
		{uvdpa_set_vring_num, 0x4008af10},
		{uvdpa_set_vring_base, 0x4008af12},
		{uvdpa_set_vring_enable, 0x4008af75},
		{uvdpa_set_group_asid, 0x4008af7c},
	};
	static const struct {
		int (*get)(struct uvdpa_driver *d, unsigned index, uint32_t *num);
		unsigned long cmd;
	} getters[] = {
		{uvdpa_get_vring_base, 0xc008af12},
		{uvdpa_get_vring_size, 0xc008af82},
		{uvdpa_get_vring_group, 0xc008af7b},
		{uvdpa_get_vring_desc_group, 0xc008af7f},
	};
	static const struct {
		int (*set)(struct uvdpa_driver *d, unsigned index, int fd);
		unsigned long cmd;
	} files[] = {
		{uvdpa_set_vring_kick, 0x4008af20},
		{uvdpa_set_vring_call, 0x4008af21},
		{uvdpa_set_vring_err, 0x4008af22},
	};
	const uint32_t pair[2] = {3, 0x12345};
	const int unbind[2] = {2, -1};
	uint32_t num = 0;

	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(setters[i].set(drv, 3, 0x12345), 0);
		assert_int_equal(last_cmd, setters[i].cmd);
		assert_memory_equal(last_arg, pair, 8);
	}
	memcpy(reply, pair, 8);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(getters[i].get(drv, 3, &num), 0);
		assert_int_equal(last_cmd, getters[i].cmd);
		assert_int_equal(*(uint32_t *)last_arg, 3);
		assert_int_equal(num, 0x12345);
	}
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(files[i].set(drv, 2, -1), 0);
		assert_int_equal(last_cmd, files[i].cmd);
		assert_memory_equal(last_arg, unbind, 8);
	}
}

static void ring_addresses(void **state)
{
	/* used lies before avail on the wire */
	const uint64_t expected[5] = {1 | 2ull << 32, 0x1000, 0x3000, 0x2000, 0x4000};

	assert_int_equal(uvdpa_set_vring_addr(drv, 1, 2, 0x1000, 0x2000, 0x3000, 0x4000), 0);
	assert_int_equal(last_cmd, 0x4028af11);
	assert_memory_equal(last_arg, expected, 40);
}

static void config_space(void **state)
{
	unsigned char buf[4097] = {9, 8, 7};

	assert_int_equal(uvdpa_set_config(drv, 5, buf, 3), 0);
	assert_int_equal(last_cmd, 0x4008af74);
	assert_memory_equal(last_arg, ((unsigned char[]){5, 0, 0, 0, 3, 0, 0, 0, 9, 8, 7}), 11);
	memcpy(reply, ((unsigned char[]){5, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3}), 11);
	assert_int_equal(uvdpa_get_config(drv, 5, buf, 3), 0);
	assert_int_equal(last_cmd, 0x8008af73);
	assert_memory_equal(buf, ((unsigned char[]){1, 2, 3}), 3);
	assert_int_equal(uvdpa_get_config(drv, 0, buf, 4097), -E2BIG);
	assert_int_equal(uvdpa_set_config(drv, 0, buf, 4097), -E2BIG);
	assert_int_equal(uvdpa_get_config(drv, 0, buf, 4096), 0);
}

static void answers_come_back(void **state)
{
	uint32_t num = 99;

	answer = -ENOBUFS;
	assert_int_equal(uvdpa_get_vring_base(drv, 9, &num), -ENOBUFS);
	assert_int_equal(num, 99);
	assert_int_equal(uvdpa_suspend(drv), -ENOBUFS);
	assert_int_equal(uvdpa_ioctl(drv, 0x1234, last_arg), -ENOBUFS);
	assert_int_equal(last_cmd, 0x1234);
	/* positive is success; only the raw call shows it */
	answer = 3;
	assert_int_equal(uvdpa_suspend(drv), 0);
	assert_int_equal(uvdpa_ioctl(drv, VHOST_VDPA_SUSPEND, NULL), 3);
	answer = 0;
}

static void messages(void **state)
{
	/* version 1 puts the body at 8 as well: an int and a gap before it */
	const struct uvdpa_iotlb v1 = {1, 7, 0x10, 0x20, 0x30, 2, 3};
	unsigned char expected[72] = {2, 0, 0, 0, 5};

	write_answer = 72;
	expected[8] = 0x10;
	expected[16] = 0x20;
	expected[24] = 0x30;
	expected[32] = 3;
	expected[33] = VHOST_IOTLB_UPDATE;
	assert_int_equal(uvdpa_iotlb_update(drv, 5, 0x10, 0x20, (void *)0x30, 3), 0);
	assert_int_equal(written, 72);
	assert_memory_equal(last_arg, expected, 72);
	expected[24] = expected[32] = 0;
	expected[33] = VHOST_IOTLB_INVALIDATE;
	assert_int_equal(uvdpa_iotlb_invalidate(drv, 5, 0x10, 0x20), 0);
	assert_memory_equal(last_arg, expected, 72);
	expected[8] = expected[16] = 0;
	expected[33] = 5;
	assert_int_equal(uvdpa_iotlb_batch_begin(drv, 5), 0);
	assert_memory_equal(last_arg, expected, 72);
	expected[33] = 6;
	assert_int_equal(uvdpa_iotlb_batch_end(drv, 5), 0);
	assert_memory_equal(last_arg, expected, 72);
	assert_int_equal(uvdpa_iotlb_send(drv, &v1), 0);
	assert_int_equal(*(int *)last_arg, 1);
	assert_int_equal(last_arg[8], 0x10);
	assert_int_equal(last_arg[32], 2);
	assert_int_equal(last_arg[33], 3);
	write_answer = -EFAULT;
	assert_int_equal(uvdpa_iotlb_send(drv, &v1), -EFAULT);
	write_answer = 40;
	assert_int_equal(uvdpa_iotlb_send(drv, &v1), -EIO);
	assert_int_equal(uvdpa_write(drv, "abc", 3), 40);
	assert_int_equal(written, 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_tracer, close_tracer)
	const struct CMUnitTest tests[] = {
		T(values_given), T(values_got),	       T(queue_calls), T(ring_addresses),
		T(config_space), T(answers_come_back), T(messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
