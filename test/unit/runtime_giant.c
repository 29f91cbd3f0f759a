/*
 * runtime/: a driver whose requests are as long as virtio allows. What it asks for takes long, and
 * still every pass is short: suspending its disk ends in time (S10), and the other disk on the same
 * worker goes on (S16). Judged by what comes before what, never by a clock.
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <linux/virtio_blk.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "export/inprocess/inprocess.h"
#include "lib/uring.h"
#include "model/models.h"
#include "util/bytes.h"

#define DISK	 (4ull << 30)
#define PIECE	 (4u << 20)
#define PIECES	 500 /* of a request: 2 GB */
#define REQUESTS 32  /* what one pass takes */

struct disk {
	struct runtime *runtime;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	uint8_t *header, *data, *status;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl, .write = inprocess_write, .close = inprocess_close};

typedef int opener(struct block **block, struct error *f);

static int open_memory(struct block **block, struct error *f)
{
	return block_memory_open(DISK, block, f);
}

static int open_null(struct block **block, struct error *f)
{
	return block_null_open(DISK, block, f);
}

/* All of it a hole: what is read comes out of the kernel's cache, inside the system call. */
static int open_file(struct block **block, struct error *f)
{
	char path[] = "/tmp/uvdpa-giant-XXXXXX";
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, DISK), 0);
	close(fd);
	ret = block_file_open(&(struct block_file_options){.path = path}, block, f);
	unlink(path);
	return ret;
}

static struct runtime *make_runtime(opener *open_block, bool packed)
{
	const struct runtime_options options = {
		.device = {.name = "d",
			   .queue_size = 128,
			   .asids = 1,
			   .packed = packed,
			   .suspend_timeout_ms = 60000},
		.worker = "shared",
	};
	const struct blk_options blk = {.queues = 1, .queue_size = 128, .write_cache = true};
	struct block *block;
	struct model *model;
	struct runtime *runtime;
	struct error f;

	if (open_block(&block, &f))
		fail_msg("%s", f.text);
	assert_int_equal(blk_new(&blk, block, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &runtime, &f), 0);
	return runtime;
}

static void disk_open(struct disk *d, opener *open_block, bool packed, size_t data)
{
	const struct inprocess_options inprocess = {0};
	const struct uvdpa_memory_options memory = {.size = data + (1u << 20)};
	struct uvdpa_queue_options queue = {.size = 128, .indirect = PIECES + 2};
	struct uvdpa_error e;
	struct inprocess *export;
	struct error f;

	d->runtime = make_runtime(open_block, packed);
	assert_int_equal(inprocess_open(d->runtime, &inprocess, &export, &f), 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, export, "d", 0, &d->drv, &e), 0);
	assert_int_equal(uvdpa_driver_negotiate(d->drv, UINT64_MAX, &queue.features, &e), 0);
	assert_int_equal(uvdpa_memory_new(&memory, &d->memory, &e), 0);
	assert_int_equal(uvdpa_driver_map(d->drv, d->memory, 0, &e), 0);
	d->data = uvdpa_memory_alloc(d->memory, data, 4096);
	d->header = uvdpa_memory_alloc(d->memory, 16, 16);
	d->status = uvdpa_memory_alloc(d->memory, 1, 1);
	if (uvdpa_queue_new(d->memory, &queue, &d->queue, &e))
		fail_msg("%s", e.text);
	assert_int_equal(uvdpa_driver_attach(d->drv, 0, d->queue, uvdpa_queue_base(d->queue), &e),
			 0);
	assert_int_equal(uvdpa_driver_start(d->drv, &e), 0);
}

static void disk_close(struct disk *d)
{
	uvdpa_driver_close(d->drv);
	uvdpa_queue_free(d->queue);
	uvdpa_memory_free(d->memory);
	runtime_free(d->runtime);
}

/* A read of `count` pieces of `size` bytes, all into the same memory. */
static void add_read(struct disk *d, unsigned count, uint32_t size)
{
	struct uvdpa_segment segments[PIECES + 2];

	store_le32(d->header, VIRTIO_BLK_T_IN);
	segments[0] = (struct uvdpa_segment){uvdpa_memory_iova(d->memory, d->header), 16, 0};
	for (unsigned i = 1; i <= count; i++)
		segments[i] =
			(struct uvdpa_segment){uvdpa_memory_iova(d->memory, d->data), size, 1};
	segments[count + 1] = (struct uvdpa_segment){uvdpa_memory_iova(d->memory, d->status), 1, 1};
	assert_true(uvdpa_queue_add(d->queue, segments, count + 2, UVDPA_CHAIN_INDIRECT, 0) >= 0);
}

static uint64_t requests(struct disk *d)
{
	struct device_queue_stats stats;

	device_get_vq_stats(runtime_lock(d->runtime), 0, &stats);
	runtime_unlock(d->runtime);
	return stats.requests;
}

static _Atomic int answer;

static void on_answer(void *arg, int result)
{
	atomic_store(&answer, result);
}

/* Whether the disk is suspended within a millisecond or not: an answer comes. */
static void suspend_and_resume(struct disk *d)
{
	atomic_store(&answer, 1);
	device_suspend(runtime_lock(d->runtime), HOLDER_OPERATOR, runtime_now_ms(), 1, on_answer,
		       NULL);
	runtime_unlock(d->runtime);
	while (atomic_load(&answer) == 1)
		sched_yield();
	assert_true(atomic_load(&answer) == 0 || atomic_load(&answer) == -ETIMEDOUT);
	device_resume(runtime_lock(d->runtime), HOLDER_OPERATOR);
	runtime_unlock(d->runtime);
}

/* One small read, which is waited for. */
static void read_once(struct disk *d)
{
	struct uvdpa_completion done;

	add_read(d, 1, 512);
	uvdpa_queue_submit(d->queue);
	assert_int_equal(uvdpa_queue_wait(d->queue, -1), 1);
	assert_int_equal(uvdpa_queue_poll(d->queue, &done, 1), 1);
	assert_int_equal(*d->status, VIRTIO_BLK_S_OK);
}

static void between_passes(opener *open_block, bool packed)
{
	struct disk giant, other;

	disk_open(&giant, open_block, packed, PIECE);
	disk_open(&other, open_memory, packed, 4096);
	for (unsigned i = 0; i < REQUESTS; i++)
		add_read(&giant, PIECES, PIECE);
	uvdpa_queue_submit(giant.queue);
	suspend_and_resume(&giant);
	for (unsigned i = 0; i < 10; i++)
		read_once(&other);
	/* all of this came before what one pass would have to finish first */
	assert_in_range(requests(&giant), 0, REQUESTS - 1);
	disk_close(&giant); /* in the midst of it */
	disk_close(&other);
}

static void memory_disk(void **state)
{
	between_passes(open_memory, false);
	between_passes(open_memory, true);
}

static void null_disk(void **state)
{
	between_passes(open_null, false);
}

static void file_disk(void **state)
{
	if (!uring_is_here())
		skip();
	between_passes(open_file, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_disk),
		cmocka_unit_test(null_disk),
		cmocka_unit_test(file_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
