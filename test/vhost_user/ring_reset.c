/*
 * VIRTIO_F_RING_RESET: one ring of two is stopped and begins anew, again and again, while the other
 * is busy (virtio 1.3, 2.6.1).
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
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

#define BIT(n)	   (1ull << (n))
#define DEPTH	   16
#define BLOCK	   4096
#define ROUNDS	   12
#define WAIT_MS	   120000
#define DRIVER_SET (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))

/* The ring that nobody resets, with a thread that reads through it without a pause. */
struct busy {
	struct uvdpa_queue *queue;
	struct uvdpa_blk *blk;
	void *data;
	atomic_uint done;
	atomic_bool stop, failed;
	pthread_t thread;
};

struct bench {
	struct disk disk;
	struct session s; /* has ring 0, which is reset */
	struct uvdpa_blk *blk;
	unsigned char *data;
	bool done[64]; /* by cookie */
	struct busy busy;
};

static bool read_once(struct busy *b)
{
	struct uvdpa_blk_completion got;
	int n = 0;

	if (uvdpa_blk_read(b->blk, 0, b->data, BLOCK, 1) < 0 || uvdpa_queue_submit(b->queue) < 0)
		return false;
	while (n == 0) {
		if (uvdpa_queue_wait(b->queue, WAIT_MS) != 1)
			return false;
		n = uvdpa_blk_poll(b->blk, &got, 1);
	}
	return n == 1 && got.status == 0;
}

static void *keep_busy(void *arg)
{
	struct busy *b = arg;

	while (!atomic_load(&b->stop) && !atomic_load(&b->failed)) {
		if (read_once(b))
			atomic_fetch_add(&b->done, 1);
		else
			atomic_store(&b->failed, true);
	}
	return NULL;
}

/* The other ring is served: returns when it got on. */
static void others_run(struct busy *b)
{
	unsigned from = atomic_load(&b->done);

	while (atomic_load(&b->done) - from < 8) {
		assert_false(atomic_load(&b->failed));
		usleep(200);
	}
}

static void enable(int fd, unsigned index)
{
	struct vhost_vring_state state = {.index = index, .num = 1};

	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0),
			 0);
}

static uint32_t first_base(const struct bench *b)
{
	return b->s.packed ? 0x80008000u : 0;
}

static void busy_begin(struct bench *b)
{
	struct busy *busy = &b->busy;
	const struct uvdpa_queue_options options = {
		.size = SESSION_RING, .features = (uint64_t)b->s.packed << VIRTIO_F_RING_PACKED};
	struct uvdpa_error error;

	assert_int_equal(uvdpa_queue_new(b->s.memory, &options, &busy->queue, &error), 0);
	assert_int_equal(uvdpa_blk_new(b->s.memory, busy->queue, 4, &busy->blk, &error), 0);
	busy->data = uvdpa_memory_alloc(b->s.memory, BLOCK, BLOCK);
	assert_non_null(busy->data);
	session_start_ring(b->s.fd, 1, busy->queue, first_base(b));
	enable(b->s.fd, 1);
	assert_int_equal(pthread_create(&busy->thread, NULL, keep_busy, busy), 0);
}

static void busy_end(struct busy *busy)
{
	atomic_store(&busy->stop, true);
	pthread_join(busy->thread, NULL);
	assert_false(atomic_load(&busy->failed));
	uvdpa_blk_free(busy->blk);
	uvdpa_queue_free(busy->queue);
}

static struct bench *bench_new(bool packed, bool record, const struct block_fault_options *trouble)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct uvdpa_error error;

	assert_non_null(b);
	disk_open(&b->disk, &(struct disk_options){.queues = 2,
						   .packed = packed,
						   .ring_reset = true,
						   .trouble = trouble,
						   .timeout_ms = trouble ? 2000 : 60000});
	if (packed)
		session_init_packed(&b->s, 4 << 20);
	else
		session_init(&b->s, 4 << 20);
	b->s.without_record = !record;
	b->s.features =
		DRIVER_SET | BIT(VIRTIO_F_RING_RESET) | (uint64_t)packed << VIRTIO_F_RING_PACKED;
	session_start(&b->s, b->disk.path, first_base(b));
	assert_int_equal(uvdpa_blk_new(b->s.memory, b->s.queue, DEPTH, &b->blk, &error), 0);
	b->data = uvdpa_memory_alloc(b->s.memory, DEPTH * BLOCK, BLOCK);
	assert_non_null(b->data);
	return b;
}

static void bench_free(struct bench *b)
{
	uvdpa_blk_free(b->blk);
	session_hang_up(&b->s);
	session_free(&b->s);
	disk_close(&b->disk);
	free(b);
}

static void wait_for(struct bench *b, unsigned cookie)
{
	struct uvdpa_blk_completion got[DEPTH];
	int n;

	while (!b->done[cookie]) {
		assert_int_equal(uvdpa_queue_wait(b->s.queue, WAIT_MS), 1);
		n = uvdpa_blk_poll(b->blk, got, DEPTH);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++) {
			assert_int_equal(got[i].status, 0);
			b->done[got[i].cookie] = true;
		}
	}
}

/* What the driver does between: forgets what was in flight, and has new, empty rings. */
static void begin_anew(struct bench *b)
{
	assert_int_equal(uvdpa_queue_restart(b->s.queue, first_base(b)), 0);
	uvdpa_blk_free(b->blk);
	assert_int_equal(uvdpa_blk_new(b->s.memory, b->s.queue, DEPTH, &b->blk, NULL), 0);
	memset(b->done, 0, sizeof(b->done));
	session_start_ring(b->s.fd, 0, b->s.queue, first_base(b));
}

/* Neither its buffers nor its areas are written while the other ring is served. */
static void is_left_alone(struct bench *b)
{
	struct uvdpa_queue_areas a;
	unsigned char *desc, *used;

	uvdpa_queue_areas(b->s.queue, &a);
	desc = malloc(a.desc_len);
	used = malloc(a.used_len);
	assert_true(desc && used);
	memcpy(desc, a.desc, a.desc_len);
	memcpy(used, a.used, a.used_len);
	memset(b->data, 0xa5, DEPTH * BLOCK);
	others_run(&b->busy);
	for (unsigned i = 0; i < DEPTH * BLOCK; i++)
		assert_int_equal(b->data[i], 0xa5);
	assert_memory_equal(desc, a.desc, a.desc_len);
	assert_memory_equal(used, a.used, a.used_len);
	free(desc);
	free(used);
}

static void write_and_read(struct bench *b, unsigned char what)
{
	memset(b->data, what, BLOCK);
	assert_int_equal(uvdpa_blk_write(b->blk, 8ull * what, b->data, BLOCK, 40), 0);
	assert_true(uvdpa_queue_submit(b->s.queue) >= 0);
	wait_for(b, 40);
	memset(b->data, 0, BLOCK);
	assert_int_equal(uvdpa_blk_read(b->blk, 8ull * what, b->data, BLOCK, 41), 0);
	assert_true(uvdpa_queue_submit(b->s.queue) >= 0);
	wait_for(b, 41);
	for (unsigned i = 0; i < BLOCK; i++)
		assert_int_equal(b->data[i], what);
}

static void again_and_again(bool packed, bool record)
{
	struct bench *b = bench_new(packed, record, NULL);
	int64_t base;

	busy_begin(b);
	for (unsigned round = 1; round <= ROUNDS; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			assert_int_equal(uvdpa_blk_read(b->blk, 8ull * (100 + i),
							b->data + BLOCK * i, BLOCK, i),
					 0);
		assert_true(uvdpa_queue_submit(b->s.queue) >= 0);
		base = session_stop(&b->s);
		/* what was taken is done, be it all or nothing */
		assert_int_equal(base, uvdpa_queue_base(b->s.queue));
		is_left_alone(b);
		begin_anew(b);
		write_and_read(b, (unsigned char)round);
	}
	others_run(&b->busy);
	busy_end(&b->busy);
	bench_free(b);
}

static void split(void **state)
{
	again_and_again(false, false);
}

static void split_recorded(void **state)
{
	again_and_again(false, true);
}

static void packed(void **state)
{
	again_and_again(true, false);
}

static void packed_recorded(void **state)
{
	again_and_again(true, true);
}

/* What the backend gave back, and was parked in the record, is given up with the ring. */
static void given_up(bool packed)
{
	static const struct block_fault_options third = {.never_every = 3};
	struct bench *b = bench_new(packed, true, &third);

	for (unsigned i = 1; i <= 3; i++)
		assert_int_equal(uvdpa_blk_read(b->blk, 8ull * i, b->data, BLOCK, i), 0);
	assert_true(uvdpa_queue_submit(b->s.queue) >= 0);
	wait_for(b, 1);
	wait_for(b, 2);
	assert_true(session_stop(&b->s) >= 0);
	assert_false(b->done[3]);
	begin_anew(b);
	/* the backend's fourth and fifth: were the third still wanted, it would come first */
	write_and_read(b, 7);
	assert_false(b->done[3]);
	bench_free(b);
}

static void given_up_split(void **state)
{
	given_up(false);
}

static void given_up_packed(void **state)
{
	given_up(true);
}

static uint64_t offered(bool ring_reset)
{
	struct front_message answer;
	struct disk disk;
	int fd;

	disk_open(&disk, &(struct disk_options){.ring_reset = ring_reset});
	/* other exports cannot */
	assert_false(device_get_device_features(runtime_lock(disk.runtime)) &
		     BIT(VIRTIO_F_RING_RESET));
	runtime_unlock(disk.runtime);
	fd = front_connect(disk.path);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	close(fd);
	disk_close(&disk);
	return answer.payload.u64;
}

static void offered_where_wanted(void **state)
{
	assert_true(offered(true) & BIT(VIRTIO_F_RING_RESET));
	assert_false(offered(false) & BIT(VIRTIO_F_RING_RESET));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(offered_where_wanted), cmocka_unit_test(split),
		cmocka_unit_test(split_recorded),	cmocka_unit_test(packed),
		cmocka_unit_test(packed_recorded),	cmocka_unit_test(given_up_split),
		cmocka_unit_test(given_up_packed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
