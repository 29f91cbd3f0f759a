/*
 * The file backend on real files: on disk, on a tmpfs (which lacks ZERO_RANGE), and on a full one.
 *
 *	backend_block_file sqpoll	the same with sqpoll=on
 *	backend_block_file shared	the same on a kernel without rings of a single issuer
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend_support.h"
#include "old_uring.h"

#define SIZE  (4 << 20)
#define DEPTH 300 /* more than a submission queue has entries */

static char path[] = "/tmp/uvdpa-file-XXXXXX", shm_path[] = "/dev/shm/uvdpa-file-XXXXXX";
static bool sqpoll;
static struct block *block;
static struct block_channel *channel;
static _Alignas(4096) uint8_t bytes[SIZE], other[SIZE];

static void open_disk(const char *where, bool direct)
{
	struct block_file_options options = {.path = where, .direct = direct, .sqpoll = sqpoll};
	struct error f = {0};

	assert_int_equal(truncate(where, 0), 0);
	assert_int_equal(truncate(where, SIZE), 0);
	if (block_file_open(&options, &block, &f))
		fail_msg("%s", f.text);
	assert_int_equal(block_channel_open(block, DEPTH, &channel, NULL), 0);
}

static void close_disk(void)
{
	block_channel_close(channel);
	block_close(block);
}

static void expect_file(const char *where, const uint8_t *expected, size_t size)
{
	int fd = open(where, O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, other, sizeof(other)), (ssize_t)size);
	close(fd);
	assert_memory_equal(other, expected, size);
}

static void write_and_read(const char *where)
{
	pattern(bytes, SIZE, 3);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), 0);
	expect_file(where, bytes, SIZE);
	memset(other, 0, SIZE);
	assert_int_equal(job_run(channel, BLOCK_READ, 4096, other, SIZE - 4096), 0);
	assert_memory_equal(other, bytes + 4096, SIZE - 4096);
}

static void buffered(void **state)
{
	open_disk(path, false);
	write_and_read(path);
	close_disk();
}

static bool is_tmpfs(const char *where)
{
	struct statfs fs;

	return statfs(where, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

/* Small requests are done when submit returns, what is wrong with one is found out all the same. */
static void in_memory(void **state)
{
	void *gone = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct job job = {0};

	if (!is_tmpfs(shm_path)) {
		print_message("a file in memory not tried: /dev/shm is no tmpfs\n");
		return;
	}
	open_disk(shm_path, false);
	write_and_read(shm_path);
	job_submit(channel, &job, BLOCK_WRITE, 8192, bytes, 4096);
	assert_int_equal(job.result, 0);
	job_submit(channel, &job, BLOCK_READ, 8192, other, 4096);
	assert_int_equal(job.result, 0);
	assert_int_equal(job.calls, 1);
	assert_memory_equal(other, bytes, 4096);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, gone, 8192), -EFAULT);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, gone, 8192), -EFAULT);
	/* beyond the end of a file that was cut off */
	assert_int_equal(truncate(shm_path, 10000), 0);
	memset(other, 0xee, 8192);
	assert_int_equal(job_run(channel, BLOCK_READ, 8192, other, 4096), 0);
	assert_memory_equal(other, bytes, 10000 - 8192);
	assert_true(all_zero(other + 10000 - 8192, 4096 - (10000 - 8192)));
	assert_int_equal(channel->outstanding, 0);
	close_disk();
	munmap(gone, 8192);
}

static void direct(void **state)
{
	struct block_file_options options = {.path = path, .direct = true};
	struct error f = {0};

	assert_int_equal(truncate(path, SIZE), 0);
	if (block_file_open(&options, &block, &f)) {
		print_message("direct I/O not tried: %s\n", f.text);
		return;
	}
	block_close(block);
	open_disk(path, true);
	write_and_read(path);
	if (block->limits.memory_alignment > 1)
		assert_int_equal(job_run(channel, BLOCK_READ, 0, other + 1, 4096), -EINVAL);
	assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 4096, NULL, 8192), 0);
	memset(bytes + 4096, 0, 8192);
	/* The file ends in the middle of what is read, and of a block. */
	assert_int_equal(truncate(path, 8192 + 100), 0);
	memset(bytes + 8192 + 100, 0, 4096);
	memset(other, 0xee, 16384);
	assert_int_equal(job_run(channel, BLOCK_READ, 4096, other, 8192), 0);
	assert_memory_equal(other, bytes + 4096, 8192);
	close_disk();
}

/* Everything at once: the submission queue fills several times before the kick. */
static void deep(void **state)
{
	static struct job jobs[DEPTH];

	open_disk(path, false);
	pattern(bytes, SIZE, 9);
	for (unsigned i = 0; i < DEPTH; i++)
		job_submit(channel, &jobs[i], BLOCK_WRITE, i * 4096, bytes + i * 4096, 4096);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(job_wait(channel, &jobs[i], 10000), 0);
	assert_false(block_needs_poll(channel)); /* nobody is to look for what is not there */
	memset(bytes + DEPTH * 4096, 0, SIZE - DEPTH * 4096);
	expect_file(path, bytes, SIZE);
	memset(other, 1, SIZE);
	for (unsigned i = 0; i < DEPTH; i++)
		job_submit(channel, &jobs[i], BLOCK_READ, i * 4096, other + i * 4096, 4096);
	for (unsigned i = 0; i < DEPTH; i++)
		assert_int_equal(job_wait(channel, &jobs[i], 10000), 0);
	assert_memory_equal(other, bytes, DEPTH * 4096);
	assert_int_equal(channel->outstanding, 0);
	assert_int_equal(channel->submitted, 2 * DEPTH);
	assert_false(block_needs_poll(channel));
	close_disk();
}

static void several_buffers(void **state)
{
	struct job job = {.iov = {{bytes + 7, 1000}, {bytes + 2000, 24}, {bytes + 5001, 3072}}};

	open_disk(path, false);
	pattern(bytes, 16384, 4);
	job.result = PENDING;
	job.request = (struct block_request){.op = BLOCK_WRITE,
					     .offset = 512,
					     .length = 4096,
					     .iov = job.iov,
					     .iov_count = 3,
					     .done = job_done};
	block_submit(channel, &job.request);
	assert_int_equal(job_wait(channel, &job, 10000), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, 512, other, 4096), 0);
	assert_memory_equal(other, bytes + 7, 1000);
	assert_memory_equal(other + 1000, bytes + 2000, 24);
	assert_memory_equal(other + 1024, bytes + 5001, 3072);
	close_disk();
}

/* Nothing is with the kernel before the kick, and the fd tells when something is back. */
static void batches(void **state)
{
	struct job job = {0};
	int news;

	open_disk(path, false);
	news = watch_channel(channel);
	/* large: a file in memory has the small ones done at once */
	job_submit(channel, &job, BLOCK_READ, 0, bytes, SIZE);
	assert_false(has_news(channel, news, 0));
	block_kick(channel);
	assert_true(has_news(channel, news, 10000));
	assert_int_equal(job.result, PENDING);
	assert_int_equal(block_poll(channel), 1);
	assert_int_equal(job.result, 0);
	has_news(channel, news, 0); /* it may have been told of twice */
	assert_false(has_news(channel, news, 0));
	close(news);
	close_disk();
}

/* Of a large batch the kernel has some before the kick. */
static void a_disk_begins_early(void **state)
{
	struct job jobs[4] = {0};
	int news;

	open_disk(path, false);
	news = watch_channel(channel);
	for (unsigned i = 0; i < 4; i++)
		job_submit(channel, &jobs[i], BLOCK_READ, 0, bytes + i * (SIZE / 4), SIZE / 4);
	assert_true(has_news(channel, news, 60000));
	close(news);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(job_wait(channel, &jobs[i], 60000), 0);
	close_disk();
}

static void truncated_underneath(void **state)
{
	open_disk(path, false);
	pattern(bytes, SIZE, 5);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	assert_int_equal(truncate(path, 10000), 0);
	memset(bytes + 10000, 0, SIZE - 10000);
	memset(other, 0xee, SIZE);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, other, SIZE), 0);
	assert_memory_equal(other, bytes, SIZE);
	memset(other, 0xee, 4096);
	assert_int_equal(job_run(channel, BLOCK_READ, SIZE - 4096, other, 4096), 0);
	assert_true(all_zero(other, 4096));
	close_disk();
}

static void durable(void **state)
{
	struct job job = {.request.durable = true};

	open_disk(path, false);
	pattern(bytes, SIZE, 6);
	job_submit(channel, &job, BLOCK_WRITE, 0, bytes, SIZE);
	assert_int_equal(job_wait(channel, &job, 60000), 0);
	expect_file(path, bytes, SIZE);
	job_submit(channel, &job, BLOCK_DISCARD, 0, NULL, 8192);
	assert_int_equal(job_wait(channel, &job, 60000), 0);
	job_submit(channel, &job, BLOCK_WRITE_ZEROES, 16384, NULL, 8192);
	assert_int_equal(job_wait(channel, &job, 60000), 0);
	memset(bytes + 16384, 0, 8192);
	assert_int_equal(job_run(channel, BLOCK_READ, 8192, other, SIZE - 8192), 0);
	assert_memory_equal(other, bytes + 8192, SIZE - 8192);
	close_disk();
}

/* Odd ranges, may deallocate or not; on a file system with and without ZERO_RANGE. */
static void zeroing(const char *where)
{
	static const struct {
		uint64_t offset, length;
		bool unmap, durable;
	} cases[] = {
		{512, 512, false, false},    {4096, 65536, true, false},
		{100352, 4608, true, true},  {1 << 20, (2 << 20) + 512, false, false},
		{512, 3 << 20, false, true}, {0, SIZE, true, false},
	};

	open_disk(where, false);
	pattern(bytes, SIZE, 8);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct job job = {.request.unmap = cases[i].unmap,
				  .request.durable = cases[i].durable};

		job_submit(channel, &job, BLOCK_WRITE_ZEROES, cases[i].offset, NULL,
			   cases[i].length);
		assert_int_equal(job_wait(channel, &job, 60000), 0);
		memset(bytes + cases[i].offset, 0, cases[i].length);
		expect_file(where, bytes, SIZE);
	}
	close_disk();
}

static void zeroing_on_disk(void **state)
{
	zeroing(path);
}

static void zeroing_on_tmpfs(void **state)
{
	zeroing(shm_path);
}

static void discards_free_space(void **state)
{
	struct stat before, after;

	open_disk(shm_path, false);
	pattern(bytes, SIZE, 2);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	assert_int_equal(stat(shm_path, &before), 0);
	assert_int_equal(job_run(channel, BLOCK_DISCARD, 0, NULL, SIZE / 2), 0);
	assert_int_equal(stat(shm_path, &after), 0);
	assert_true(after.st_blocks < before.st_blocks);
	assert_int_equal(after.st_size, SIZE);
	assert_int_equal(job_run(channel, BLOCK_READ, SIZE / 2, other, SIZE / 2), 0);
	assert_memory_equal(other, bytes + SIZE / 2, SIZE / 2);
	close_disk();
}

/* Memory that is not there is an error of that request only. */
static void vanished_memory(void **state)
{
	void *gone = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	open_disk(path, false);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, gone, 8192), -EFAULT);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, gone, 8192), -EFAULT);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, other, 8192), 0);
	close_disk();
	munmap(gone, 8192);
}

/* All come back, each once, whatever became of it; then the channel works as before. */
static void cancelled(void **state)
{
	static struct job jobs[DEPTH];

	open_disk(path, false);
	pattern(bytes, SIZE, 1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			job_submit(channel, &jobs[i], i % 2 ? BLOCK_WRITE : BLOCK_FLUSH, i * 4096,
				   i % 2 ? bytes : NULL, i % 2 ? 4096 : 0);
		if (round > 0)
			block_kick(channel);
		block_cancel(channel);
		for (unsigned i = 0; i < DEPTH; i++) {
			int result = job_wait(channel, &jobs[i], 10000);

			assert_true(result == 0 || result == -ECANCELED);
			assert_int_equal(jobs[i].calls, 1);
		}
		assert_int_equal(channel->outstanding, 0);
		assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 4096), 0);
	}
	close_disk();
}

static void grown(void **state)
{
	open_disk(path, false);
	assert_int_equal(job_run(channel, BLOCK_WRITE, SIZE, bytes, 4096), -ERANGE);
	assert_int_equal(block_resize(block, 2 * SIZE, NULL), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE, SIZE, bytes, 4096), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, 2 * SIZE - 4096, other, 4096), 0);
	assert_true(all_zero(other, 4096));
	close_disk();
}

/* One thread's queue: random work on its own half, compared with a shadow of it. */
struct half {
	pthread_t thread;
	uint64_t offset;
	unsigned seed, wrong;
	uint8_t shadow[SIZE / 2], bytes[65536];
};

static int half_run(struct block_channel *mine, struct half *half, enum block_op op, uint64_t at,
		    uint64_t length)
{
	struct job job = {.request.unmap = at % 1024 == 0};
	bool data = op == BLOCK_READ || op == BLOCK_WRITE;

	job_submit(mine, &job, op, half->offset + at, data ? half->bytes : NULL, length);
	return job_wait(mine, &job, 10000);
}

static void half_step(struct block_channel *mine, struct half *half)
{
	uint64_t at, length;
	unsigned what;

	half->seed = half->seed * 1103515245 + 12345;
	at = (half->seed >> 8) % (SIZE / 2 / 512) * 512;
	length = (half->seed >> 20) % 128 * 512 + 512;
	what = (half->seed >> 4) % 4;
	if (length > SIZE / 2 - at)
		length = SIZE / 2 - at;
	if (what == 0) {
		half->wrong += half_run(mine, half, BLOCK_WRITE_ZEROES, at, length) != 0;
		memset(half->shadow + at, 0, length);
	} else if (what == 1) {
		half->wrong += half_run(mine, half, BLOCK_READ, at, length) != 0 ||
			       memcmp(half->bytes, half->shadow + at, length) != 0;
	} else {
		pattern(half->bytes, length, half->seed);
		memcpy(half->shadow + at, half->bytes, length);
		half->wrong += half_run(mine, half, BLOCK_WRITE, at, length) != 0;
	}
}

static void *half_main(void *arg)
{
	struct block_channel *mine;
	struct half *half = arg;

	if (block_channel_open(block, 2, &mine, NULL)) {
		half->wrong = 1;
		return NULL;
	}
	for (unsigned i = 0; i < 500; i++)
		half_step(mine, half);
	block_channel_close(mine);
	return NULL;
}

static void two_queues_two_threads(void **state)
{
	static struct half halves[2] = {{.seed = 1}, {.seed = 2, .offset = SIZE / 2}};

	open_disk(path, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&halves[i].thread, NULL, half_main, &halves[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(halves[i].thread, NULL), 0);
		assert_int_equal(halves[i].wrong, 0);
	}
	memcpy(bytes, halves[0].shadow, SIZE / 2);
	memcpy(bytes + SIZE / 2, halves[1].shadow, SIZE / 2);
	expect_file(path, bytes, SIZE);
	close_disk();
}

/* A block device over `path`; -1 if this process may not make one. It goes away when closed. */
static int make_device(char *name, size_t size)
{
	struct loop_config config = {.block_size = 4096, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, device;

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(name, size, "/dev/loop%d", number);
	device = open(name, O_RDWR | O_CLOEXEC);
	config.fd = (uint32_t)open(path, O_RDWR | O_CLOEXEC);
	if (device >= 0 && ioctl(device, LOOP_CONFIGURE, &config)) {
		close(device);
		device = -1;
	}
	close((int)config.fd);
	return device;
}

static void use_device(const char *name, bool bypass)
{
	struct block_file_options options = {.path = name, .direct = bypass};
	struct job job = {.request.unmap = true, .request.durable = true};
	struct error f = {0};

	if (block_file_open(&options, &block, &f))
		fail_msg("%s", f.text);
	assert_int_equal(block->limits.size, SIZE);
	assert_int_equal(block->limits.block_size, bypass ? 4096 : 512);
	assert_int_equal(block->limits.physical_size, 4096);
	assert_int_equal(block_channel_open(block, 4, &channel, NULL), 0);
	pattern(bytes, SIZE, 7 + bypass);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 4096, NULL, 8192), 0);
	memset(bytes + 4096, 0, 8192);
	job_submit(channel, &job, BLOCK_WRITE_ZEROES, 65536, NULL, 65536);
	assert_int_equal(job_wait(channel, &job, 60000), 0);
	memset(bytes + 65536, 0, 65536);
	if (!bypass) { /* less than the device's blocks */
		assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 512, NULL, 512), 0);
		memset(bytes + 512, 0, 512);
		assert_int_equal(job_run(channel, BLOCK_DISCARD, SIZE - 512, NULL, 512), 0);
	}
	assert_int_equal(job_run(channel, BLOCK_DISCARD, SIZE - 8192, NULL, 8192), 0);
	assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, other, SIZE), 0);
	assert_memory_equal(other, bytes, SIZE - 8192);
	assert_int_equal(block_resize(block, 2 * SIZE, &f), -ENOSPC);
	assert_non_null(strstr(f.text, "grow the device first"));
	close_disk();
}

static void block_device(void **state)
{
	char name[32];
	int device;

	assert_int_equal(truncate(path, SIZE), 0);
	device = make_device(name, sizeof(name));
	if (device < 0) {
		print_message("a block device not tried: cannot make one here\n");
		return;
	}
	use_device(name, false);
	use_device(name, true);
	close(device);
}

/* On a full file system writes fail, and only they. Last: it leaves the mount namespace. */
static void full(void **state)
{
	char image[64];
	int busy;

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=1m")) {
		print_message("a full file system not tried: cannot mount one here\n");
		return;
	}
	snprintf(image, sizeof(image), "%s/image", path);
	close(open(image, O_CREAT | O_WRONLY, 0600));
	open_disk(image, false);
	pattern(bytes, SIZE, 1);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 512 << 10), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, SIZE), -ENOSPC);
	assert_int_equal(job_run(channel, BLOCK_READ, 0, other, 512 << 10), 0);
	assert_memory_equal(other, bytes, 512 << 10);
	assert_int_equal(job_run(channel, BLOCK_WRITE_ZEROES, 2 << 20, NULL, 1 << 20), -ENOSPC);
	assert_int_equal(job_run(channel, BLOCK_DISCARD, 0, NULL, SIZE), 0);
	assert_int_equal(job_run(channel, BLOCK_WRITE, 0, bytes, 512 << 10), 0);
	close_disk();
	assert_int_equal(unlink(image), 0);
	/* nothing holds the file any more; but for the kernel's thread, which takes a kind to end
	 */
	for (unsigned i = 0; (busy = umount(path)) && sqpoll && i < 10000; i++)
		usleep(1000);
	assert_int_equal(busy, 0);
}

static int make_files(void)
{
	int fd = mkstemp(path), shm = mkstemp(shm_path);

	if (fd >= 0)
		close(fd);
	if (shm >= 0)
		close(shm);
	return fd < 0 || shm < 0 || truncate(path, SIZE) ? -1 : 0;
}

static int clean_up(void **state)
{
	unlink(shm_path);
	return unlink(path) && rmdir(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffered),
		cmocka_unit_test(in_memory),
		cmocka_unit_test(direct),
		cmocka_unit_test(deep),
		cmocka_unit_test(several_buffers),
		cmocka_unit_test(batches),
		cmocka_unit_test(a_disk_begins_early),
		cmocka_unit_test(truncated_underneath),
		cmocka_unit_test(durable),
		cmocka_unit_test(zeroing_on_disk),
		cmocka_unit_test(zeroing_on_tmpfs),
		cmocka_unit_test(discards_free_space),
		cmocka_unit_test(vanished_memory),
		cmocka_unit_test(cancelled),
		cmocka_unit_test(grown),
		cmocka_unit_test(two_queues_two_threads),
		cmocka_unit_test(block_device),
		cmocka_unit_test(full),
	};
	struct error f = {0};

	sqpoll = argc > 1 && !strcmp(argv[1], "sqpoll");
	old_uring = argc > 1 && !strcmp(argv[1], "shared");
	if (make_files()) {
		clean_up(NULL);
		leave_skipped("no files in /tmp and /dev/shm");
	}
	if (block_file_open(&(struct block_file_options){.path = path, .sqpoll = sqpoll}, &block,
			    &f)) {
		clean_up(NULL);
		leave_skipped(f.text);
	}
	block_close(block);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
