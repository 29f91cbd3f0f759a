/*
 * The dirty log against the truth: for every request the test knows which pages the device wrote
 * (the data of a read, the status byte, the used ring), and compares them with what is marked. The
 * log is switched on and off while requests are in flight, and harvested while they are completed.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"

#define MEMORY	 (8u << 20)
#define PAGES	 ((0x100000u + MEMORY) / 4096)
#define LOG_SIZE (PAGES / 8 + 1)
#define DEPTH	 16

static struct session session;
static struct disk disk;
static _Atomic uint8_t *log_bits;
static int log_fd;
static uint8_t truth[PAGES], seen[PAGES];

struct request {
	uint8_t *head, *data, *status;
	uint32_t length;
	bool busy;
};
static struct request requests[DEPTH];

static uint64_t page_of(const void *p)
{
	return uvdpa_memory_iova(session.memory, p) / 4096;
}

static void start(uint32_t delay_us)
{
	const struct block_fault_options trouble = {.delay_us = delay_us};

	log_set_level(LOG_LEVEL_WARNING);
	disk_open(&disk, &(struct disk_options){.trouble = delay_us ? &trouble : NULL});
	session_init(&session, MEMORY);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(ftruncate(log_fd, LOG_SIZE), 0);
	log_bits = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert_ptr_not_equal(log_bits, MAP_FAILED);
	session_start(&session, disk.path, 0);
	for (unsigned i = 0; i < DEPTH; i++) {
		requests[i].head = uvdpa_memory_alloc(session.memory, 4096, 4096);
		requests[i].status = uvdpa_memory_alloc(session.memory, 4096, 4096);
		requests[i].data = uvdpa_memory_alloc(session.memory, 16 * 4096, 4096);
		assert_non_null(requests[i].data);
	}
	memset(truth, 0, sizeof(truth));
	memset(seen, 0, sizeof(seen));
}

static void end(void)
{
	session_free(&session);
	disk_close(&disk);
	munmap((void *)log_bits, LOG_SIZE);
	close(log_fd);
}

static void log_on(void)
{
	struct vhost_user_log log = {.mmap_size = LOG_SIZE};
	struct front_message m = {.request = VHOST_USER_SET_LOG_BASE,
				  .flags = VHOST_USER_VERSION,
				  .size = sizeof(log),
				  .payload.log = log,
				  .fds = {log_fd},
				  .fd_count = 1},
			     answer;

	assert_int_equal(front_send(session.fd, &m), 0);
	assert_int_equal(front_receive(session.fd, &answer), 0);
	assert_int_equal(answer.fd_count, 0);
	session.ring_logged = true;
	session_send_addr(&session);
	session_send_features(&session, session.features | 1ull << VHOST_F_LOG_ALL);
}

static void log_off(void)
{
	session_send_features(&session, session.features & ~(1ull << VHOST_F_LOG_ALL));
	session.ring_logged = false;
	session_send_addr(&session);
}

/* What QEMU does all the time during a migration: takes the bits and clears them. */
static void harvest(void)
{
	for (unsigned i = 0; i < LOG_SIZE; i++) {
		uint8_t bits = atomic_exchange(&log_bits[i], 0);

		for (unsigned k = 0; k < 8; k++)
			if (bits >> k & 1 && i * 8 + k < PAGES)
				seen[i * 8 + k] = 1;
	}
}

/* A read of random length into a random place of its buffer. */
static void submit(unsigned i)
{
	struct request *r = &requests[i];
	uint32_t offset = (uint32_t)rand() % (8 * 4096), place = (uint32_t)rand() % 4096;
	struct uvdpa_segment chain[3];

	r->length = ((uint32_t)rand() % 60 + 1) * 512;
	r->busy = true;
	memset(r->head, 0, 16);
	r->head[8] = (uint8_t)rand(); /* the sector */
	chain[0] = (struct uvdpa_segment){uvdpa_memory_iova(session.memory, r->head), 16, 0};
	chain[1] = (struct uvdpa_segment){uvdpa_memory_iova(session.memory, r->data + offset),
					  r->length, 1};
	chain[2] =
		(struct uvdpa_segment){uvdpa_memory_iova(session.memory, r->status + place), 1, 1};
	for (uint64_t page = page_of(r->data + offset);
	     page <= page_of(r->data + offset + r->length - 1); page++)
		truth[page] = 1;
	truth[page_of(r->status)] = 1;
	assert_true(uvdpa_queue_add(session.queue, chain, 3, 0, i) >= 0);
}

static unsigned collect(void)
{
	struct uvdpa_completion done[DEPTH];
	int n = uvdpa_queue_poll(session.queue, done, DEPTH);

	assert_true(n >= 0);
	for (int i = 0; i < n; i++)
		requests[done[i].cookie].busy = false;
	return (unsigned)n;
}

static void wait_all(void)
{
	while (uvdpa_queue_in_flight(session.queue)) {
		assert_int_equal(uvdpa_queue_wait(session.queue, 5000), 1);
		collect();
	}
}

/* The used ring is written, too: whole pages of it at once are one or two. Returns whether it was.
 */
static bool used_ring_seen(void)
{
	struct uvdpa_queue_areas a;
	bool any = false;

	uvdpa_queue_areas(session.queue, &a);
	for (uint64_t page = page_of(a.used); page <= page_of((uint8_t *)a.used + a.used_len - 1);
	     page++) {
		any |= seen[page];
		truth[page] = seen[page]; /* which of them depends on where the index stands */
	}
	return any;
}

static void judge(unsigned *missed, unsigned *extra)
{
	*missed = *extra = 0;
	for (unsigned i = 0; i < PAGES; i++) {
		*missed += truth[i] && !seen[i];
		*extra += seen[i] && !truth[i];
	}
}

static void test_truth(void **state)
{
	unsigned missed, extra, total = 0;

	start(0);
	log_on();
	for (unsigned i = 0; total < 5000; i++) {
		unsigned k = (unsigned)rand() % DEPTH;

		if (!requests[k].busy)
			submit(k);
		uvdpa_queue_submit(session.queue);
		if (uvdpa_queue_in_flight(session.queue) > DEPTH / 2)
			assert_int_equal(uvdpa_queue_wait(session.queue, 5000), 1);
		total += collect();
		if (i % 10 == 0)
			harvest();
	}
	wait_all();
	harvest();
	assert_int_equal(session_stop(&session), uvdpa_queue_base(session.queue));
	harvest();
	assert_true(used_ring_seen());
	judge(&missed, &extra);
	print_message("dirty: requests=%u missed=%u extra=%u\n", total, missed, extra);
	assert_int_equal(missed, 0);
	assert_int_equal(extra, 0);
	end();
}

static void test_switching(void **state)
{
	unsigned missed, extra, checked = 0;
	bool in_time;

	start(5000);
	/* on a busy machine all may be done before the log is on: then that round says little */
	for (unsigned round = 0; round < 20 || (!checked && round < 1000); round++) {
		memset(truth, 0, sizeof(truth));
		memset(seen, 0, sizeof(seen));
		for (unsigned i = 0; i < DEPTH; i++)
			submit(i);
		uvdpa_queue_submit(session.queue);
		log_on();
		in_time = uvdpa_queue_base(session.queue) == (uint16_t)(round * 2 * DEPTH);
		checked += in_time;
		if (!in_time) /* some were done before: those of the first copy of memory */
			memset(truth, 0, sizeof(truth));
		wait_all();
		harvest();
		assert_true(used_ring_seen() || !in_time);
		judge(&missed, &extra);
		assert_int_equal(missed, 0);
		for (unsigned i = 0; i < DEPTH; i++)
			submit(i);
		uvdpa_queue_submit(session.queue);
		log_off();
		harvest();
		memset(seen, 0, sizeof(seen));
		wait_all();
		harvest();
		for (unsigned i = 0; i < PAGES; i++)
			assert_int_equal(seen[i], 0);
	}
	assert_true(checked > 0);
	end();
}

/* A log too small for guest memory would miss pages. */
static void test_small_log(void **state)
{
	struct vhost_user_log log = {.mmap_size = LOG_SIZE - 64};
	struct front_message m = {.request = VHOST_USER_SET_LOG_BASE,
				  .flags = VHOST_USER_VERSION,
				  .size = sizeof(log),
				  .payload.log = log,
				  .fd_count = 1},
			     answer;

	start(0);
	m.fds[0] = log_fd;
	assert_int_equal(front_send(session.fd, &m), 0);
	assert_int_equal(front_receive(session.fd, &answer), -1);
	session_hang_up(&session);
	session_start(&session, disk.path, 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_truth),
		cmocka_unit_test(test_switching),
		cmocka_unit_test(test_small_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
