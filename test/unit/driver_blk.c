/* Block requests and config space through the driver, against the fake device. */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "driver_fake.h"
#include "wire/vhost.h"

static struct fake fake;
static struct uvdpa_driver *drv;
static struct uvdpa_memory *memory;
static struct uvdpa_queue *q;
static struct uvdpa_blk *blk;
static struct uvdpa_error error;

static int set_up(void **state)
{
	uint64_t features = 0;

	fake_init(&fake, 64);
	drv = fake_open(&fake);
	assert_int_equal(uvdpa_driver_negotiate(drv, ~0ull >> 34 | 1ull << 29 | 1ull << 28,
						&features, &error),
			 0);
	assert_int_equal(
		uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, &memory, NULL),
		0);
	assert_int_equal(uvdpa_driver_map(drv, memory, 0, &error), 0);
	assert_int_equal(uvdpa_queue_new(memory,
					 &(struct uvdpa_queue_options){
						 .size = 16, .indirect = 40, .features = features},
					 &q, NULL),
			 0);
	assert_int_equal(uvdpa_blk_new(memory, q, 4, &blk, NULL), 0);
	assert_int_equal(uvdpa_driver_attach(drv, 0, q, 0, &error), 0);
	assert_int_equal(uvdpa_driver_start(drv, &error), 0);
	return 0;
}

static int tear_down(void **state)
{
	uvdpa_driver_close(drv);
	uvdpa_blk_free(blk);
	uvdpa_queue_free(q);
	uvdpa_memory_free(memory);
	fake_done(&fake);
	return 0;
}

/* Serves the one request in flight and returns its status. */
static int finish(uint64_t cookie)
{
	uvdpa_queue_publish(q);
	assert_int_equal(fake_serve(&fake, 0, 10), 1);
	return uvdpa_blk_finish(blk, cookie, 1000);
}

static void config(void **state)
{
	struct uvdpa_blk_config c;

	assert_int_equal(uvdpa_blk_read_config(drv, &c, &error), 0);
	assert_int_equal(c.capacity, 64);
	assert_int_equal(c.blk_size, 4096);
	assert_int_equal(c.seg_max, 32);
	assert_int_equal(c.max_write_zeroes_sectors, 64);
	assert_int_equal(c.max_write_zeroes_seg, 1);
	assert_int_equal(c.max_discard_sectors, 0); /* not offered */
	assert_int_equal(c.num_queues, 1);
	assert_int_equal(c.writeback, 1);
	assert_int_equal(c.read_only, 0);
	assert_int_equal(uvdpa_driver_negotiate(drv, 1 << VIRTIO_BLK_F_WRITE_ZEROES, NULL, &error),
			 0);
	assert_int_equal(uvdpa_blk_read_config(drv, &c, &error), 0);
	assert_int_equal(c.blk_size, 512); /* not negotiated */
	assert_int_equal(c.seg_max, 1);
	assert_int_equal(c.writeback, 0);
	fake.config_size = 56;
	assert_int_equal(uvdpa_blk_read_config(drv, &c, &error), -EPROTO);
	assert_non_null(strstr(error.text, "feature bit 14"));
	fake.config_size = 7;
	assert_int_equal(uvdpa_blk_read_config(drv, &c, &error), -EPROTO);
}

static void config_of_something_else(void **state)
{
	struct uvdpa_blk_config c;
	struct uvdpa_driver *net;
	struct fake other;

	fake_init(&other, 1);
	other.device_id = VIRTIO_ID_NET;
	net = fake_open(&other);
	assert_int_equal(uvdpa_blk_read_config(net, &c, &error), -ENODEV);
	uvdpa_driver_close(net);
	fake_done(&other);
}

static void writes_and_reads(void **state)
{
	char *out = uvdpa_memory_alloc(memory, 1024, 512),
	     *in = uvdpa_memory_alloc(memory, 1024, 512);

	memset(out, 'x', 1024);
	assert_int_equal(uvdpa_blk_write(blk, 3, out, 1024, 1), 0);
	assert_int_equal(finish(1), VIRTIO_BLK_S_OK);
	assert_memory_equal(fake.disk + 3 * 512, out, 1024);
	assert_int_equal(uvdpa_blk_read(blk, 3, in, 1024, 2), 0);
	assert_int_equal(finish(2), VIRTIO_BLK_S_OK);
	assert_memory_equal(in, out, 1024);
	assert_int_equal(uvdpa_blk_read(blk, 63, in, 1024, 3), 0);
	assert_int_equal(finish(3), VIRTIO_BLK_S_IOERR);
	assert_int_equal(uvdpa_blk_in_flight(blk), 0);
	assert_int_equal(uvdpa_blk_write(blk, 0, &out, 8, 4), -EFAULT);
}

/* Five where four have room: these are sent at once, and come back at once. */
static void many_at_once(void **state)
{
	char *buf = uvdpa_memory_alloc(memory, 5 * 512, 512);
	struct uvdpa_blk_request requests[5];
	struct uvdpa_segment data[5];
	struct uvdpa_blk_completion done[5];

	memset(buf, 'y', 5 * 512);
	for (unsigned i = 0; i < 5; i++) {
		data[i] = (struct uvdpa_segment){.iova = uvdpa_memory_iova(memory, buf + 512 * i),
						 .len = 512};
		requests[i] = (struct uvdpa_blk_request){.type = VIRTIO_BLK_T_OUT,
							 .sector = 10 + i,
							 .data = &data[i],
							 .count = 1,
							 .cookie = 100 + i};
	}
	/* the first is no request */
	requests[0].count = 127;
	assert_int_equal(uvdpa_blk_submit(blk, requests, 5), -E2BIG);
	assert_int_equal(uvdpa_blk_in_flight(blk), 0);
	requests[0].count = 1;
	uvdpa_queue_drain_calls(q);
	assert_int_equal(uvdpa_blk_submit(blk, requests, 5), 4);
	assert_int_equal(uvdpa_blk_submit(blk, requests, 0), 0);
	assert_int_equal(uvdpa_blk_submit(blk, &requests[4], 1), -ENOSPC);
	assert_int_equal(fake_serve(&fake, 0, 10), 4);
	assert_int_equal(uvdpa_blk_poll(blk, done, 5), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(done[i].cookie, 100 + i);
		assert_int_equal(done[i].status, VIRTIO_BLK_S_OK);
	}
	assert_memory_equal(fake.disk + 10 * 512, buf, 4 * 512);
	assert_int_equal(fake.disk[14 * 512], 0);
}

static void the_other_types(void **state)
{
	char *id = uvdpa_memory_alloc(memory, 20, 1);

	assert_int_equal(uvdpa_blk_get_id(blk, id, 1), 0);
	assert_int_equal(finish(1), VIRTIO_BLK_S_OK);
	assert_string_equal(id, "fake");
	assert_int_equal(uvdpa_blk_flush(blk, 2), 0);
	assert_int_equal(finish(2), VIRTIO_BLK_S_OK);
	assert_int_equal(uvdpa_blk_range(blk, VIRTIO_BLK_T_WRITE_ZEROES, 7, 8, 1, 3), 0);
	{
		/* header, range, status */
		uint16_t head = uvdpa_queue_avail_entry(q, 2);
		struct uvdpa_descriptor d;
		struct virtio_blk_discard_write_zeroes *r;

		uvdpa_queue_descriptor(q, head, &d);
		assert_int_equal(d.len, 16);
		uvdpa_queue_descriptor(q, d.next, &d);
		r = uvdpa_memory_ptr(memory, d.addr, d.len);
		assert_int_equal(d.len, 16);
		assert_int_equal(r->sector, 7);
		assert_int_equal(r->num_sectors, 8);
		assert_int_equal(r->flags, 1);
	}
	assert_int_equal(finish(3), VIRTIO_BLK_S_OK);
	assert_int_equal(
		uvdpa_blk_request(blk, &(struct uvdpa_blk_request){.type = 99, .cookie = 4}), 0);
	assert_int_equal(finish(4), VIRTIO_BLK_S_UNSUPP);
}

static void many_segments(void **state)
{
	char *out = uvdpa_memory_alloc(memory, 38 * 512, 512);
	struct uvdpa_segment s[127];
	struct uvdpa_blk_request r = {
		.type = VIRTIO_BLK_T_OUT, .sector = 8, .data = s, .count = 38};

	for (unsigned i = 0; i < 38; i++) {
		s[i] = (struct uvdpa_segment){uvdpa_memory_iova(memory, out + i * 512), 512, 1};
		memset(out + i * 512, (int)i, 512);
	}
	assert_int_equal(uvdpa_blk_request(blk, &r), -E2BIG); /* 40 descriptors, ring of 16 */
	r.chain_flags = UVDPA_CHAIN_INDIRECT;
	assert_int_equal(uvdpa_blk_request(blk, &r), 0);
	assert_int_equal(finish(0), VIRTIO_BLK_S_OK);
	assert_memory_equal(fake.disk + 8 * 512, out, 38 * 512);
	r.count = 127;
	assert_int_equal(uvdpa_blk_request(blk, &r), -E2BIG);
}

static void depth_is_the_limit(void **state)
{
	struct uvdpa_blk_completion c[8];

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(uvdpa_blk_flush(blk, i), 0);
	assert_int_equal(uvdpa_blk_flush(blk, 4), -ENOSPC);
	assert_int_equal(uvdpa_blk_in_flight(blk), 4);
	assert_int_equal(uvdpa_blk_finish(blk, 0, 0), -EBUSY);
	uvdpa_queue_submit(q);
	fake_serve(&fake, 0, 10);
	assert_int_equal(uvdpa_blk_poll(blk, c, 3), 3);
	assert_int_equal(uvdpa_blk_poll(blk, c, 3), 1);
	assert_int_equal(c[0].cookie, 3);
	assert_int_equal(uvdpa_blk_poll(blk, c, 3), 0);
	assert_int_equal(uvdpa_blk_flush(blk, 5), 0);
	assert_int_equal(uvdpa_blk_finish(blk, 5, 0), -ETIMEDOUT);
}

/* A device that answers "OK" by leaving the status byte alone is not believed. */
static void status_not_written(void **state)
{
	struct uvdpa_blk_completion c[1];
	struct uvdpa_queue_areas a;
	struct vring_used *used;

	assert_int_equal(uvdpa_blk_flush(blk, 9), 0);
	uvdpa_queue_publish(q);
	uvdpa_queue_areas(q, &a);
	used = a.used;
	used->ring[0] = (struct vring_used_elem){uvdpa_queue_avail_entry(q, 0), 1};
	used->idx = 1;
	assert_int_equal(uvdpa_blk_poll(blk, c, 1), 1);
	assert_int_equal(c[0].status, UVDPA_BLK_S_UNWRITTEN);
	used->idx = 7;
	assert_int_equal(uvdpa_blk_poll(blk, c, 1), -EPROTO);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(config),
		T(config_of_something_else),
		T(many_at_once),
		T(writes_and_reads),
		T(the_other_types),
		T(many_segments),
		T(depth_is_the_limit),
		T(status_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
