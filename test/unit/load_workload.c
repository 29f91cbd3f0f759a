/*
 * The workload sees what it is for: each sin of the fake device shows in the count that is meant
 * for it, and a device that only reorders, or is handed over again and again, is found clean.
 *
 * The device is served by hand while a sin is waited for, so that nothing covers it up, and by a
 * thread while the workload waits by itself.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "load/workload.h"
#include "driver_fake.h"
#include "wire/vhost.h"

#define BLOCKS 48

struct rig {
	struct fake device[2]; /* the second shares the first one's disk */
	struct uvdpa_driver *drv[2];
	struct uvdpa_memory *memory;
	struct uvdpa_queue *q;
	struct workload *w;
	pthread_t server, client;
	atomic_bool stop_server, stop_client, client_ended;
	int client_result;
};

static struct rig rig;

static const struct workload_options options = {.blocks = BLOCKS,
						.depth = 16,
						.write_percent = 50,
						.flush_every = 20,
						.lost_after = 60000,
						.seed = 42};

static void *serve(void *arg)
{
	struct pollfd p = {.fd = uvdpa_queue_kick_fd(rig.q), .events = POLLIN};

	while (!atomic_load(&rig.stop_server)) {
		if (fake_serve(&rig.device[0], 0, 8) + fake_serve(&rig.device[1], 0, 8) == 0)
			poll(&p, 1, 1);
		else
			usleep(20);
	}
	return NULL;
}

static void start_server(void)
{
	atomic_store(&rig.stop_server, false);
	assert_int_equal(pthread_create(&rig.server, NULL, serve, NULL), 0);
}

static void stop_server(void)
{
	atomic_store(&rig.stop_server, true);
	pthread_join(rig.server, NULL);
}

static int set_up(void **state)
{
	struct uvdpa_error error;
	uint64_t features;

	memset(&rig, 0, sizeof(rig));
	for (unsigned i = 0; i < 2; i++) {
		fake_init(&rig.device[i], i == 0 ? BLOCKS * 8 : 1);
		rig.drv[i] = fake_open(&rig.device[i]);
	}
	memcpy(&rig.device[1].sectors, &rig.device[0].sectors, sizeof(rig.device[0].sectors));
	assert_int_equal(uvdpa_driver_negotiate(rig.drv[0], 1ull << VIRTIO_RING_F_EVENT_IDX,
						&features, &error),
			 0);
	assert_int_equal(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20},
					  &rig.memory, NULL),
			 0);
	assert_int_equal(uvdpa_driver_map(rig.drv[0], rig.memory, 0, &error), 0);
	assert_int_equal(uvdpa_queue_new(rig.memory,
					 &(struct uvdpa_queue_options){
						 .size = 64, .base = 65500, .features = features},
					 &rig.q, NULL),
			 0);
	assert_int_equal(uvdpa_driver_attach(rig.drv[0], 0, rig.q, 65500, &error), 0);
	assert_int_equal(uvdpa_driver_start(rig.drv[0], &error), 0);
	assert_int_equal(workload_new(&options, rig.memory, rig.q, &rig.w, NULL), 0);
	return 0;
}

static int tear_down(void **state)
{
	for (unsigned i = 0; i < 2; i++)
		uvdpa_driver_close(rig.drv[i]);
	workload_free(rig.w);
	uvdpa_queue_free(rig.q);
	uvdpa_memory_free(rig.memory);
	for (unsigned i = 0; i < 2; i++)
		fake_done(&rig.device[i]);
	return 0;
}

/* Until every block has contents, and many a second time. */
static void warm_up(void)
{
	while (workload_done(rig.w) < 1000) {
		assert_true(workload_step(rig.w) >= 0);
		fake_serve(&rig.device[0], 0, 5);
	}
	assert_true(workload_is_clean(rig.w));
	assert_null(workload_first_problem(rig.w));
}

/* Lets the device sin once, stops everything there, and looks at every block. Returns the outcome.
 */
static int sin_and_verify(enum fake_sin sin)
{
	int r = 0;

	warm_up();
	/* with several in flight: what is done twice is then not more than there was to do */
	do {
		assert_true(workload_step(rig.w) >= 0);
		fake_serve(&rig.device[0], 0, 1);
	} while (uvdpa_queue_in_flight(rig.q) < 4);
	rig.device[0].sin = sin;
	while (r >= 0 && rig.device[0].sin == sin) {
		r = workload_step(rig.w);
		fake_serve(&rig.device[0], 0, 1);
	}
	/* it is seen among those others, and not when a server has done all of them meanwhile */
	if (r >= 0)
		r = workload_step(rig.w);
	start_server();
	if (r >= 0)
		r = workload_verify(rig.w, 300);
	stop_server();
	return r;
}

/* All counts of what is wrong, in the order lost, duplicated, corrupt, misplaced, stale, errors. */
static void only(uint64_t lost, uint64_t duplicated, uint64_t corrupt, uint64_t misplaced,
		 uint64_t stale, uint64_t errors)
{
	const struct workload_counts *c = workload_counts(rig.w);

	assert_int_equal(c->lost, lost);
	assert_int_equal(c->duplicated, duplicated);
	assert_int_equal(c->corrupt, corrupt);
	assert_int_equal(c->misplaced, misplaced);
	assert_int_equal(c->stale, stale);
	assert_int_equal(c->errors, errors);
	assert_int_equal(c->broken, 0);
	assert_false(workload_is_clean(rig.w));
	assert_non_null(workload_first_problem(rig.w));
}

static void sees_a_lost_request(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_LOSE), -ETIMEDOUT);
	only(1, 0, 0, 0, 0, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "did not complete"));
}

static void sees_a_lost_request_while_running(void **state)
{
	struct workload_options hasty = options;

	hasty.lost_after = 100;
	workload_free(rig.w);
	assert_int_equal(workload_new(&hasty, rig.memory, rig.q, &rig.w, NULL), 0);
	rig.device[0].sin = FAKE_LOSE;
	start_server();
	assert_int_equal(workload_run(rig.w, NULL, 0), -ETIMEDOUT);
	stop_server();
	assert_int_not_equal(workload_counts(rig.w)->lost, 0);
}

static void sees_a_second_completion(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_COMPLETE_TWICE), -EPROTO);
	only(0, 1, 0, 0, 0, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "not in flight"));
}

/* The head has a new user meanwhile, which seems to be done at once. */
static void sees_a_second_completion_of_a_reused_head(void **state)
{
	int r = 0;

	warm_up();
	rig.device[0].sin = FAKE_COMPLETE_AGAIN;
	for (unsigned i = 0; i < 10000 && r >= 0 && workload_is_clean(rig.w); i++) {
		r = workload_step(rig.w);
		fake_serve(&rig.device[0], 0, 1);
	}
	assert_int_not_equal(workload_counts(rig.w)->duplicated, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "without having been done"));
}

static void sees_a_dropped_write(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_DROP_WRITE), 0);
	only(0, 0, 0, 0, 1, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "stale"));
}

static void sees_a_write_done_again(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_REPEAT_WRITE), 0);
	only(0, 0, 0, 0, 1, 0);
}

static void sees_a_flipped_bit(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_FLIP_BIT), 0);
	only(0, 0, 1, 0, 0, 0);
}

static void sees_the_wrong_block(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_MISDIRECT), 0);
	only(0, 0, 0, 1, 0, 0);
}

static void sees_a_torn_write(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_TEAR), 0);
	only(0, 0, 0, 0, 1, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "sector 4"));
}

static void sees_a_read_without_data(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_NO_DATA), 0);
	only(0, 0, 1, 0, 0, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "not filled"));
}

/* An error is counted as such, and leaves the block's contents open, not wrong. */
static void sees_an_error(void **state)
{
	assert_int_equal(sin_and_verify(FAKE_IOERR), 0);
	only(0, 0, 0, 0, 0, 1);
}

static void sees_a_broken_ring(void **state)
{
	struct uvdpa_queue_areas a;

	warm_up();
	uvdpa_queue_areas(rig.q, &a);
	((struct vring_used *)a.used)->idx += 30;
	assert_int_equal(workload_step(rig.w), -EPROTO);
	assert_int_equal(workload_counts(rig.w)->broken, 1);
	assert_non_null(strstr(workload_first_problem(rig.w), "used index"));
}

/* Order is the device's business: no complaint, however it shuffles. */
static void accepts_any_order(void **state)
{
	rig.device[0].shuffle = true;
	for (unsigned i = 0; i < 20000; i++) {
		assert_true(workload_step(rig.w) >= 0);
		fake_serve(&rig.device[0], 0, 1 + i % 16);
	}
	start_server();
	assert_int_equal(workload_verify(rig.w, 5000), 0);
	stop_server();
	if (!workload_is_clean(rig.w))
		fail_msg("%s", workload_first_problem(rig.w));
	assert_true(workload_counts(rig.w)->reads > 1000);
	assert_true(workload_counts(rig.w)->writes > 1000);
	assert_true(workload_counts(rig.w)->flushes > 100);
	assert_int_equal(workload_latency(rig.w)->count, workload_done(rig.w));
}

static void *run_client(void *arg)
{
	rig.client_result = workload_run(rig.w, &rig.stop_client, 0);
	atomic_store(&rig.client_ended, true);
	return NULL;
}

/* Sixty moves there and back under load, all from another thread; nothing may be seen of them. */
static void stays_clean_over_moves(void **state)
{
	unsigned char *own = rig.device[1].disk;
	struct uvdpa_error error;

	rig.device[1].disk = rig.device[0].disk;
	rig.device[0].shuffle = rig.device[1].shuffle = true;
	start_server();
	assert_int_equal(pthread_create(&rig.client, NULL, run_client, NULL), 0);
	for (unsigned i = 0; i < 60; i++) {
		uint64_t before = workload_done(rig.w);

		while (workload_done(rig.w) < before + 100 && !atomic_load(&rig.client_ended))
			usleep(100);
		if (atomic_load(&rig.client_ended))
			fail_msg("%s", workload_first_problem(rig.w));
		workload_take_gap(rig.w);
		if (uvdpa_handover(rig.drv[i % 2], rig.drv[(i + 1) % 2], 0, NULL, &error) < 0)
			fail_msg("move %u: %s", i, error.text);
	}
	atomic_store(&rig.stop_client, true);
	pthread_join(rig.client, NULL);
	assert_int_equal(rig.client_result, 0);
	assert_int_equal(workload_verify(rig.w, 5000), 0);
	stop_server();
	rig.device[1].disk = own;
	if (!workload_is_clean(rig.w))
		fail_msg("%s", workload_first_problem(rig.w));
	assert_int_equal(rig.device[0].suspends + rig.device[1].suspends, 60);
	assert_true(workload_take_gap(rig.w) > 0);
	assert_int_equal(workload_in_flight(rig.w), 0);
}

/* What is on the disk after a while; the file's descriptor. */
static int copy_disk(void)
{
	FILE *file = tmpfile();
	int fd;

	assert_non_null(file);
	assert_int_equal(fwrite(rig.device[0].disk, 4096, BLOCKS, file), BLOCKS);
	fflush(file);
	fd = dup(fileno(file));
	fclose(file);
	return fd;
}

/* Past the device the same contents are judged by the same rules. */
static void checks_the_disk_itself(void **state)
{
	uint32_t checked;
	int fd;

	warm_up();
	start_server();
	assert_int_equal(workload_drain(rig.w, 5000), 0);
	stop_server();
	fd = copy_disk();
	assert_int_equal(workload_check_file(rig.w, fd, &checked), 0);
	assert_int_equal(checked, BLOCKS);
	assert_true(workload_is_clean(rig.w));
	assert_int_equal(pwrite(fd, "x", 1, 5 * 4096 + 700), 1);
	assert_int_equal(workload_check_file(rig.w, fd, &checked), 0);
	only(0, 0, 1, 0, 0, 0);
	assert_non_null(strstr(workload_first_problem(rig.w), "block 5 sector 1"));
	assert_int_equal(ftruncate(fd, 4096 * (BLOCKS - 1)), 0);
	assert_int_equal(workload_check_file(rig.w, fd, &checked), -EIO);
	close(fd);
}

/* Of a blank disk, what was never written is known as well. */
static void checks_what_nobody_wrote(void **state)
{
	struct workload_options blank = options;
	struct workload *w;
	uint32_t checked;
	int fd;

	blank.blank = true;
	blank.depth = 1;
	assert_int_equal(workload_new(&blank, rig.memory, rig.q, &w, NULL), 0);
	fd = copy_disk();
	assert_int_equal(workload_check_file(w, fd, &checked), 0);
	assert_int_equal(checked, BLOCKS);
	assert_true(workload_is_clean(w));
	assert_int_equal(pwrite(fd, "x", 1, 5 * 4096 + 700), 1);
	assert_int_equal(workload_check_file(w, fd, &checked), 0);
	assert_int_equal(workload_counts(w)->corrupt, 1);
	assert_non_null(strstr(workload_first_problem(w), "block 5 byte 700"));
	close(fd);
	rig.device[0].disk[9 * 4096] = 1;
	start_server();
	assert_int_equal(workload_verify(w, 5000), 0);
	stop_server();
	assert_int_equal(workload_counts(w)->corrupt, 2);
	assert_int_equal(workload_counts(w)->reads, BLOCKS);
	workload_free(w);
}

static void refusals(void **state)
{
	static const struct workload_options bad[] = {
		{.blocks = 0},
		{.blocks = 1, .block_size = 500},
		{.blocks = 1, .block_size = 2 << 20},
		{.blocks = 1, .write_percent = 101},
		{.blocks = 1, .depth = 100000},
	};
	struct workload_options large = {.blocks = 1, .depth = 1000};
	struct workload *w = NULL;
	struct error f;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(workload_new(&bad[i], rig.memory, rig.q, &w, &f), -EINVAL);
	assert_true(workload_memory_size(&large) > 1 << 20);
	assert_int_equal(workload_new(&large, rig.memory, rig.q, &w, &f), -ENOSPC);
	assert_null(w);
	workload_free(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(sees_a_lost_request),
		T(sees_a_lost_request_while_running),
		T(sees_a_second_completion),
		T(sees_a_second_completion_of_a_reused_head),
		T(sees_a_dropped_write),
		T(sees_a_write_done_again),
		T(sees_a_flipped_bit),
		T(sees_the_wrong_block),
		T(sees_a_torn_write),
		T(sees_a_read_without_data),
		T(sees_an_error),
		T(sees_a_broken_ring),
		T(accepts_any_order),
		T(stays_clean_over_moves),
		T(checks_the_disk_itself),
		T(checks_what_nobody_wrote),
		T(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
