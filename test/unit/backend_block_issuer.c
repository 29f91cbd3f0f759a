/*
 * The file backend where a channel's worker and control are two threads: control opens, cancels and
 * closes, all else is the worker's.
 *
 *	backend_block_issuer shared	the same on a kernel without rings of a single issuer
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "backend_support.h"
#include "old_uring.h"

#define SIZE  (4 << 20)
#define DEPTH 300 /* more than a submission queue has entries */

static char path[] = "/tmp/uvdpa-issuer-XXXXXX";
static struct block *block;
static struct block_channel *channel;
static uint8_t bytes[SIZE], other[SIZE];

/* Who entered a ring, by the linker's help: the first, and whether it was always the same. */
static pthread_t issuer;
static unsigned entered, strangers;

/* sqpoll: submit returns when the kernel's thread has taken everything. */
static bool thread_is_faster;

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (!entered++)
		issuer = pthread_self();
	strangers += !pthread_equal(issuer, pthread_self());
	if (thread_is_faster) {
		__real_io_uring_submit(ring);
		while (io_uring_sq_ready(ring))
			sched_yield();
	}
	return __real_io_uring_submit(ring);
}

static void open_disk(const char *where)
{
	struct block_file_options options = {.path = where};
	struct error f = {0};

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

/* What this program is about: rings of a single issuer where the kernel has them. */
static void the_kind_of_ring(void **state)
{
	struct io_uring_params params = {.flags = SINGLE_ISSUER};
	struct io_uring ring;
	bool expected = !__real_io_uring_queue_init_params(1, &ring, &params);

	if (expected)
		io_uring_queue_exit(&ring);
	else
		print_message("this kernel has no rings of a single issuer\n");
	expected &= !old_uring;
	open_disk(path);
	assert_int_equal(last_ring_flags & SINGLE_ISSUER, expected ? SINGLE_ISSUER : 0);
	assert_int_equal(block_fd_edge(channel), expected);
	close_disk();
}

struct worker {
	pthread_t thread;
	pthread_barrier_t turn;
	struct job jobs[DEPTH];
	unsigned wrong;
};

static void wait_all(struct worker *worker)
{
	for (unsigned i = 0; i < DEPTH; i++) {
		int result = job_wait(channel, &worker->jobs[i], 60000);

		worker->wrong += result && result != -ECANCELED;
		worker->wrong += worker->jobs[i].calls != 1;
	}
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	for (unsigned i = 0; i < DEPTH; i++)
		job_submit(channel, &worker->jobs[i], i % 2 ? BLOCK_WRITE : BLOCK_FLUSH,
			   i % 32 * (64 << 10), i % 2 ? bytes : NULL, i % 2 ? 128 << 10 : 0);
	block_kick(channel);
	pthread_barrier_wait(&worker->turn);
	/* control has the channel */
	pthread_barrier_wait(&worker->turn);
	block_poll(channel);
	wait_all(worker);
	worker->wrong += job_run(channel, BLOCK_WRITE, 0, bytes, SIZE) != 0;
	worker->wrong += job_run(channel, BLOCK_READ, 0, other, SIZE) != 0;
	return NULL;
}

/* All come back, each once, and the channel works on. */
static void run_worker(void)
{
	static struct worker worker;

	pattern(bytes, SIZE, 1);
	memset(other, 0, SIZE);
	worker.wrong = entered = strangers = 0;
	pthread_barrier_init(&worker.turn, NULL, 2);
	assert_int_equal(pthread_create(&worker.thread, NULL, worker_main, &worker), 0);
	pthread_barrier_wait(&worker.turn);
	block_cancel(channel);
	pthread_barrier_wait(&worker.turn);
	assert_int_equal(pthread_join(worker.thread, NULL), 0);
	pthread_barrier_destroy(&worker.turn);
	assert_int_equal(worker.wrong, 0);
	assert_true(entered);
	assert_int_equal(strangers, 0);
	assert_int_equal(channel->outstanding, 0);
	assert_memory_equal(bytes, other, SIZE);
}

static void cancelled_by_control(void **state)
{
	open_disk(path);
	for (unsigned round = 0; round < 3; round++) {
		block_channel_close(channel); /* the next worker is another one */
		assert_int_equal(block_channel_open(block, DEPTH, &channel, NULL), 0);
		run_worker();
	}
	close_disk();
}

/* Nothing holds the file of a disk that control has closed. Last: it leaves the mount namespace. */
static void closed_by_control(void **state)
{
	char image[64];

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", path, "tmpfs", 0, "size=8m")) {
		print_message("not tried: cannot mount a file system here\n");
		return;
	}
	snprintf(image, sizeof(image), "%s/image", path);
	close(open(image, O_CREAT | O_WRONLY, 0600));
	open_disk(image);
	run_worker();
	close_disk();
	assert_int_equal(unlink(image), 0);
	assert_int_equal(umount(path), 0);
}

/* A ring whose entries a thread of the kernel's takes, when it gets to it. */
static void open_sqpoll(void)
{
	struct block_file_options options = {.path = path, .sqpoll = true, .wait_ms = 2000};
	struct error f = {0};

	if (block_file_open(&options, &block, &f))
		fail_msg("%s", f.text);
	assert_int_equal(block_channel_open(block, DEPTH, &channel, NULL), 0);
	assert_true(last_ring->flags & IORING_SETUP_SQPOLL);
}

/* What the thread has taken before we look is with the kernel, too. */
static void thread_takes_at_once(void **state)
{
	open_sqpoll();
	thread_is_faster = true;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), 0);
	thread_is_faster = false;
	close_disk();
}

/*
 * The thread moves the head when all of a batch is begun; what is in it may be done by then. Who
 * finds the queue full, with nothing in the kernel, has to look again by himself.
 */
static void head_moves_late(void **state)
{
	struct job job = {0};
	unsigned head;

	open_sqpoll();
	assert_int_equal(job_run(channel, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_false(block_needs_poll(channel));
	while (io_uring_sq_ready(last_ring))
		sched_yield();
	head = *last_ring->sq.khead;
	*last_ring->sq.khead = head - last_ring->sq.ring_entries;
	job_submit(channel, &job, BLOCK_FLUSH, 0, NULL, 0);
	block_kick(channel);
	block_poll(channel);
	assert_int_equal(job.result, PENDING);
	assert_true(block_needs_poll(channel));
	*last_ring->sq.khead = head;
	assert_int_equal(block_poll(channel), 0); /* hands it over */
	assert_false(block_needs_poll(channel));
	assert_int_equal(job_wait(channel, &job, 10000), 0);
	close_disk();
}

static int clean_up(void **state)
{
	return unlink(path) && rmdir(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kind_of_ring),  cmocka_unit_test(thread_takes_at_once),
		cmocka_unit_test(head_moves_late),   cmocka_unit_test(cancelled_by_control),
		cmocka_unit_test(closed_by_control),
	};
	struct block_file_options options = {.path = path};
	struct error f = {0};
	int fd = mkstemp(path);

	old_uring = argc > 1 && !strcmp(argv[1], "shared");
	if (fd < 0 || truncate(path, SIZE))
		leave_skipped("no files in /tmp");
	close(fd);
	if (block_file_open(&options, &block, &f)) {
		clean_up(NULL);
		leave_skipped(f.text);
	}
	block_close(block);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
