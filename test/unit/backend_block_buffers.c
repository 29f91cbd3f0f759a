/*
 * The file backend with fixed_buffers: what is registered, that nothing registered is used for what
 * has taken its place, and that all works where nothing can be.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "backend_support.h"
#include "old_uring.h"
#include "util/log.h"

#define SIZE  (64 << 20)
#define PART  (16 << 20) /* block_file_buffers.c */
#define CHUNK (128 << 10)
#define DEPTH 64

static char path[] = "/tmp/uvdpa-buffers-XXXXXX";
static struct block *block;
static struct block_channel *channel;
static uint8_t *guest;
static uint64_t guest_size = SIZE;
static int guest_fd;
static uint64_t guest_id;
static unsigned fixed, ordinary; /* entries that the kernel was given */
static unsigned lines;		 /* of the log */
static int refuse_sparse;	 /* errno: a kernel that knows no empty places */

/* Looks at what is handed over. */
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_submit(struct io_uring *ring)
{
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		unsigned opcode = ring->sq.sqes[i & *ring->sq.kring_mask].opcode;

		fixed += opcode == IORING_OP_READ_FIXED || opcode == IORING_OP_WRITE_FIXED;
		ordinary += opcode == IORING_OP_READ || opcode == IORING_OP_WRITE;
	}
	return __real_io_uring_submit(ring);
}

int __real_io_uring_register_buffers_sparse(struct io_uring *ring, unsigned count);
int __wrap_io_uring_register_buffers_sparse(struct io_uring *ring, unsigned count);

int __wrap_io_uring_register_buffers_sparse(struct io_uring *ring, unsigned count)
{
	return refuse_sparse ? -refuse_sparse
			     : __real_io_uring_register_buffers_sparse(ring, count);
}

static void count_line(enum log_level level, const char *line, void *arg)
{
	lines++;
}

/* Memory of a guest, at the same place each time. */
static void map_guest(int protection)
{
	static uint64_t ids;
	void *at;

	guest_fd = memfd_create("guest", MFD_CLOEXEC);
	assert_true(guest_fd >= 0);
	assert_int_equal(ftruncate(guest_fd, SIZE), 0);
	at = mmap(guest, SIZE, protection, MAP_SHARED | (guest ? MAP_FIXED : 0), guest_fd, 0);
	assert_ptr_not_equal(at, MAP_FAILED);
	guest = at;
	guest_id = ++ids;
}

/* Nothing else is to get its place: the next guest's memory is put there, whatever there is. */
static void unmap_guest(void)
{
	const int flags = MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	assert_ptr_equal(mmap(guest, SIZE, PROT_NONE, flags, -1, 0), guest);
	close(guest_fd);
}

static void open_disk(void)
{
	/* the process of the test before this one may still be ending */
	struct block_file_options options = {.path = path, .fixed_buffers = true, .wait_ms = 2000};
	struct error f = {0};

	if (block_file_open(&options, &block, &f))
		fail_msg("%s", f.text);
	assert_true(block->wants_memory);
	fixed = ordinary = lines = 0;
	log_set_sink(count_line, NULL);
	assert_int_equal(block_channel_open(block, DEPTH, &channel, NULL), 0);
}

static void close_disk(void)
{
	log_set_sink(NULL, NULL);
	block_channel_close(channel);
	block_close(block);
}

static void begin_in(struct job *job, enum block_op op, uint64_t offset, void *bytes, uint64_t size)
{
	job->iov[0] = (struct iovec){bytes, size};
	job->request = (struct block_request){.op = op,
					      .offset = offset,
					      .length = size,
					      .iov = job->iov,
					      .iov_count = 1,
					      .memory = {guest_id, guest, guest_size},
					      .done = job_done};
	job->result = PENDING;
	job->calls = 0;
	block_submit(channel, &job->request);
}

/* A request in the guest's memory, to its end. */
static int run_in(enum block_op op, uint64_t offset, void *bytes, uint64_t size)
{
	struct job job;

	begin_in(&job, op, offset, bytes, size);
	return job_wait(channel, &job, 60000);
}

static void expect_on_disk(uint64_t offset, const uint8_t *expected, size_t size)
{
	static uint8_t found[2 * CHUNK];
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, found, size, (off_t)offset), (ssize_t)size);
	close(fd);
	assert_memory_equal(found, expected, size);
}

/* Writes and reads back at a place in the guest's memory. */
static void there_and_back(uint64_t at, unsigned seed)
{
	static uint8_t kept[CHUNK];

	pattern(guest + at, CHUNK, seed);
	memcpy(kept, guest + at, CHUNK);
	assert_int_equal(run_in(BLOCK_WRITE, at, guest + at, CHUNK), 0);
	expect_on_disk(at, kept, CHUNK);
	memset(guest + at, 0, CHUNK);
	assert_int_equal(run_in(BLOCK_READ, at, guest + at, CHUNK), 0);
	assert_memory_equal(guest + at, kept, CHUNK);
}

static long read_pinned(void)
{
	char line[128];
	long kb = -1;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmPin: %ld kB", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* In KiB. Rings that were closed before take a kind to let go. */
static void expect_pinned(long expected)
{
	for (unsigned i = 0; read_pinned() != expected && i < 10000; i++)
		usleep(1000);
	assert_int_equal(read_pinned(), expected);
}

/* What requests are in is registered, part by part, and nothing else. */
static void parts(void **state)
{
	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	there_and_back(0, 1);
	there_and_back(CHUNK, 2);
	expect_pinned(PART / 1024);
	there_and_back(SIZE - CHUNK, 3);
	expect_pinned(2 * PART / 1024);
	assert_int_equal(fixed, 6);
	assert_int_equal(ordinary, 0);
	there_and_back(PART - CHUNK / 2, 4); /* in two parts */
	assert_int_equal(fixed, 6);
	assert_int_equal(ordinary, 2);
	expect_pinned(2 * PART / 1024);
	assert_int_equal(lines, 0);
	close_disk();
	unmap_guest();
}

/* Memory of which nobody has said where it lies. */
static void unknown_memory(void **state)
{
	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	guest_id = 0;
	there_and_back(0, 1);
	assert_int_equal(fixed, 0);
	expect_pinned(0);
	close_disk();
	unmap_guest();
}

/* Other memory takes its place: the requests are in that. */
static void mapped_anew(void **state)
{
	uint64_t before;

	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	there_and_back(0, 1);
	before = guest_id;
	block_region_invalidated(channel, guest_id);
	unmap_guest();
	map_guest(PROT_READ | PROT_WRITE);
	assert_true(guest_id != before);
	there_and_back(0, 2);
	assert_int_equal(fixed, 4);
	close_disk();
	unmap_guest();
}

/* The same if nobody said so: numbers are found by an id, not by an address. */
static void mapped_anew_unsaid(void **state)
{
	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	there_and_back(0, 1);
	unmap_guest();
	map_guest(PROT_READ | PROT_WRITE);
	there_and_back(0, 2);
	assert_int_equal(fixed, 4);
	close_disk();
	unmap_guest();
}

/* What is gone is not pinned any more after the next poll, nor is its place lost. */
static void let_go(void **state)
{
	open_disk();
	for (unsigned round = 0; round < 20; round++) {
		map_guest(PROT_READ | PROT_WRITE);
		there_and_back(0, round);
		expect_pinned(PART / 1024);
		block_region_invalidated(channel, guest_id);
		unmap_guest();
		block_poll(channel);
		expect_pinned(0);
	}
	assert_int_equal(fixed, 40);
	close_disk();
}

/* Many at once, and cancelled. */
static void deep_and_cancelled(void **state)
{
	static struct job jobs[DEPTH];

	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	for (unsigned round = 0; round < 4; round++) {
		for (unsigned i = 0; i < DEPTH; i++) {
			pattern(guest + i * CHUNK, CHUNK, i);
			begin_in(&jobs[i], BLOCK_WRITE, i * CHUNK, guest + i * CHUNK, CHUNK);
		}
		block_kick(channel);
		if (round % 2)
			block_cancel(channel);
		for (unsigned i = 0; i < DEPTH; i++) {
			int result = job_wait(channel, &jobs[i], 60000);

			assert_true(result == 0 || (round % 2 && result == -ECANCELED));
			assert_int_equal(jobs[i].calls, 1);
		}
	}
	assert_true(fixed >= 2 * DEPTH);
	for (unsigned i = 0; i < DEPTH; i++)
		expect_on_disk(i * CHUNK, guest + i * CHUNK, CHUNK);
	close_disk();
	unmap_guest();
}

/* Pinning means to be able to write: what is mapped for reading only is used the ordinary way. */
static void read_only_memory(void **state)
{
	map_guest(PROT_READ);
	open_disk();
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(run_in(BLOCK_WRITE, 0, guest, CHUNK), 0);
	assert_int_equal(fixed, 0);
	assert_int_equal(ordinary, 2);
	assert_int_equal(lines, 1);
	close_disk();
	unmap_guest();
}

/* A file that was cut off under us: an error of the request, registered before or not. */
static void truncated_memory(void **state)
{
	map_guest(PROT_READ | PROT_WRITE);
	open_disk();
	there_and_back(0, 1);
	assert_int_equal(ftruncate(guest_fd, 0), 0);
	assert_int_equal(run_in(BLOCK_READ, 0, guest, CHUNK), 0); /* into pages that nobody sees */
	assert_int_equal(run_in(BLOCK_READ, 0, guest + PART, CHUNK), -EFAULT);
	assert_int_equal(run_in(BLOCK_WRITE, 0, guest + PART, CHUNK), -EFAULT);
	assert_int_equal(lines, 1);
	close_disk();
	unmap_guest();
}

/* Huge pages, if there are any. */
static void huge_pages(void **state)
{
	uint8_t *old = guest;

	guest_fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (guest_fd < 0 || ftruncate(guest_fd, SIZE) ||
	    (guest = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest_fd, 0)) ==
		    MAP_FAILED) {
		print_message("huge pages not tried: there are none\n");
		guest = old;
		return;
	}
	guest_id = UINT64_MAX;
	open_disk();
	there_and_back(0, 1);
	there_and_back(SIZE - CHUNK, 2);
	assert_int_equal(fixed, 4);
	close_disk();
	unmap_guest();
	guest = old;
}

/* What is locked counts for a user (the real one), whatever else that one runs: here a new one. */
static bool give_up_privilege(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (setresuid(70000 + (uid_t)getpid(), (uid_t)-1, (uid_t)-1))
		return false;
	if (syscall(SYS_capget, &header, data))
		return false;
	data[0].effective &= ~(1u << CAP_IPC_LOCK);
	return !syscall(SYS_capset, &header, data);
}

/* As much as may be locked, and no more: one small region of three. */
static int run_limited(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = 6 << 20;
	map_guest(PROT_READ | PROT_WRITE);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || !give_up_privilege()) {
		print_message("a limit not tried: that takes root\n");
		return 0;
	}
	open_disk();
	guest_size = 4 << 20;
	for (unsigned i = 0; i < 3; i++, guest_id++, guest += guest_size)
		for (unsigned k = 0; k < 2; k++)
			if (run_in(BLOCK_WRITE, i * CHUNK, guest, CHUNK))
				return 1;
	return fixed != 2 ? 2 : ordinary != 4 ? 3 : lines != 1 ? 4 : 0;
}

/* In a child, which gives up what it may do. */
static void limited(void **state)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(run_limited());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Kernels without empty places (before 5.13, 5.19): nothing is registered, and that is said. */
static void no_places(void **state)
{
	map_guest(PROT_READ | PROT_WRITE);
	refuse_sparse = EINVAL;
	open_disk();
	refuse_sparse = 0;
	there_and_back(0, 1);
	assert_int_equal(fixed, 0);
	assert_int_equal(ordinary, 2);
	block_region_invalidated(channel, guest_id);
	assert_int_equal(lines, 1);
	close_disk();
	unmap_guest();
}

static int clean_up(void **state)
{
	return unlink(path);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts),
		cmocka_unit_test(unknown_memory),
		cmocka_unit_test(mapped_anew),
		cmocka_unit_test(mapped_anew_unsaid),
		cmocka_unit_test(let_go),
		cmocka_unit_test(deep_and_cancelled),
		cmocka_unit_test(read_only_memory),
		cmocka_unit_test(truncated_memory),
		cmocka_unit_test(huge_pages),
		cmocka_unit_test(limited),
		cmocka_unit_test(no_places),
	};
	struct block_file_options options = {.path = path, .fixed_buffers = true};
	struct io_uring ring;
	struct error f = {0};
	int fd = mkstemp(path);

	old_uring = argc > 1 && !strcmp(argv[1], "shared");
	if (fd < 0 || ftruncate(fd, SIZE) || fchmod(fd, 0666))
		leave_skipped("no files in /tmp");
	close(fd);
	if (block_file_open(&options, &block, &f)) {
		clean_up(NULL);
		leave_skipped(f.text);
	}
	block_close(block);
	if (io_uring_queue_init(1, &ring, 0) || __real_io_uring_register_buffers_sparse(&ring, 1)) {
		clean_up(NULL);
		leave_skipped("this kernel cannot register buffers one by one");
	}
	io_uring_queue_exit(&ring);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
