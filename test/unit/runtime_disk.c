/*
 * runtime/: disks under load. Everything is real (runtime, workers, device, model, backend, and the
 * driver library with a workload that knows what it ought to see); only the export is in-process.
 *Run with the thread sanitizer, this is the test of who may touch what when.
 *
 *	host_disk file		on a file, with rings of the kernel's
 *	host_disk fixed		the same with the driver's memory registered
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "load/workload.h"
#include "export/inprocess/inprocess.h"
#include "lib/uring.h"
#include "model/models.h"

#define QUEUES 2

struct world;

struct worker_context {
	struct world *world;
	struct uvdpa_queue *queue;
	struct workload *workload;
	pthread_t thread;
	int result;
};

struct world {
	struct runtime *runtime;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct worker_context contexts[QUEUES];
	atomic_bool stop;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl,
	.write = inprocess_write,
	.close = inprocess_close,
};

static bool packed; /* rings, of the tests from here on */
static bool on_file, fixed;
static char paths[2][32] = {"/tmp/uvdpa-host-XXXXXX", "/tmp/uvdpa-host-XXXXXX"};
static unsigned home;	   /* of the next disk: which of them */
static const char *worker; /* that disks share; NULL: they have their own */

static void open_home(struct block **block)
{
	const struct block_file_options options = {.path = paths[home], .fixed_buffers = fixed};
	struct error f;

	if (!on_file) {
		assert_int_equal(block_memory_open(16 << 20, block, &f), 0);
		return;
	}
	assert_int_equal(truncate(paths[home], 0), 0);
	assert_int_equal(truncate(paths[home], 16 << 20), 0);
	if (block_file_open(&options, block, &f))
		fail_msg("%s", f.text);
}

static struct runtime *make_disk(const struct block_fault_options *trouble, uint32_t timeout_ms)
{
	const struct runtime_options options = {
		.device = {.name = "d",
			   .queue_size = 128,
			   .asids = 1,
			   .packed = packed,
			   .suspend_timeout_ms = timeout_ms},
		.workers = QUEUES,
		.worker = worker,
		.trace = true,
	};
	const struct blk_options blk = {.queues = QUEUES, .queue_size = 128, .write_cache = true};
	struct block *inner, *block;
	struct model *model;
	struct runtime *runtime;
	struct error f;

	open_home(&inner);
	block = inner;
	if (trouble)
		assert_int_equal(block_fault_open(trouble, inner, &block, &f), 0);
	assert_int_equal(blk_new(&blk, block, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &runtime, &f), 0);
	return runtime;
}

static struct workload *make_workload(struct world *w, unsigned queue)
{
	const struct workload_options options = {
		.first_sector = queue * 8192,
		.blocks = 512,
		.depth = 32,
		.write_percent = 50,
		.lost_after = 60000,
		.seed = queue + 1,
	};
	struct workload *workload;
	struct error f;

	assert_int_equal(workload_new(&options, w->memory, w->contexts[queue].queue, &workload, &f),
			 0);
	return workload;
}

static void connect_driver(struct world *w)
{
	const struct inprocess_options inprocess = {0};
	const struct uvdpa_memory_options memory = {.size = 8 << 20};
	struct uvdpa_queue_options queue = {.size = 128};
	struct uvdpa_error e;
	struct inprocess *export;
	struct error f;

	assert_int_equal(inprocess_open(w->runtime, &inprocess, &export, &f), 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, export, "d", 0, &w->drv, &e), 0);
	assert_int_equal(uvdpa_driver_negotiate(w->drv, UINT64_MAX, &queue.features, &e), 0);
	assert_int_equal(queue.features >> 34 & 1, packed);
	assert_int_equal(uvdpa_memory_new(&memory, &w->memory, &e), 0);
	assert_int_equal(uvdpa_driver_map(w->drv, w->memory, 0, &e), 0);
	for (unsigned i = 0; i < QUEUES; i++) {
		assert_int_equal(uvdpa_queue_new(w->memory, &queue, &w->contexts[i].queue, &e), 0);
		assert_int_equal(uvdpa_driver_attach(w->drv, i, w->contexts[i].queue,
						     uvdpa_queue_base(w->contexts[i].queue), &e),
				 0);
		w->contexts[i].workload = make_workload(w, i);
	}
	assert_int_equal(uvdpa_driver_start(w->drv, &e), 0);
}

static struct world *setup(const struct block_fault_options *trouble, uint32_t timeout_ms)
{
	static struct world world;

	world = (struct world){.runtime = make_disk(trouble, timeout_ms)};
	connect_driver(&world);
	return &world;
}

static void *run_load(void *arg)
{
	struct worker_context *context = arg;

	context->result = workload_run(context->workload, &context->world->stop, 0);
	return NULL;
}

static void start_load(struct world *w)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		w->contexts[i].world = w;
		pthread_create(&w->contexts[i].thread, NULL, run_load, &w->contexts[i]);
	}
}

static void stop_load(struct world *w)
{
	atomic_store(&w->stop, true);
	for (unsigned i = 0; i < QUEUES; i++)
		pthread_join(w->contexts[i].thread, NULL);
}

/* Waits until every queue has completed `count` more requests. */
static void wait_for_progress(struct world *w, uint64_t count)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		uint64_t goal = workload_done(w->contexts[i].workload) + count;

		while (workload_done(w->contexts[i].workload) < goal)
			sched_yield();
	}
}

/* All that was sent came back, and the disk has what was acknowledged. */
static void expect_clean(struct world *w)
{
	for (unsigned i = 0; i < QUEUES; i++) {
		struct workload *workload = w->contexts[i].workload;

		assert_int_equal(w->contexts[i].result, 0);
		assert_int_equal(workload_verify(workload, 60000), 0);
		if (!workload_is_clean(workload))
			fail_msg("%s", workload_first_problem(workload));
	}
}

static void teardown(struct world *w)
{
	uvdpa_driver_close(w->drv);
	for (unsigned i = 0; i < QUEUES; i++) {
		workload_free(w->contexts[i].workload);
		uvdpa_queue_free(w->contexts[i].queue);
	}
	uvdpa_memory_free(w->memory);
	runtime_free(w->runtime);
}

static uint64_t requests(struct world *w)
{
	struct device *device = runtime_lock(w->runtime);
	struct device_queue_stats stats;
	uint64_t sum = 0;

	for (unsigned i = 0; i < QUEUES; i++) {
		device_get_vq_stats(device, i, &stats);
		sum += stats.requests;
	}
	runtime_unlock(w->runtime);
	return sum;
}

/* The trace knows of as many, as long as it could keep all. */
static void expect_traced(struct world *w, uint64_t count)
{
	struct runtime_trace trace;
	uint64_t sum = 0;

	assert_int_equal(runtime_get_trace(w->runtime, &trace), 0);
	for (unsigned i = 0; i < trace.slot_count; i++)
		sum += trace.slots[i].in + trace.slots[i].out;
	if (!trace.slots_lost)
		assert_int_equal(sum, count);
	assert_true(sum <= count);
	runtime_trace_free(&trace);
}

static unsigned in_flight(struct world *w)
{
	unsigned count = device_in_flight(runtime_lock(w->runtime));

	runtime_unlock(w->runtime);
	return count;
}

static const struct block_fault_options slow = {.delay_us = 100, .delay_every = 3};

/* Clauses S2, S3, S6 as far as they are seen from here, 100 times under load. */
static void suspended_means_still(void **state)
{
	struct world *w = setup(&slow, 10000);
	uint32_t bases[QUEUES];
	uint64_t before;

	start_load(w);
	for (unsigned i = 0; i < 100; i++) {
		wait_for_progress(w, 20);
		assert_int_equal(uvdpa_driver_suspend(w->drv), 0);
		assert_int_equal(in_flight(w), 0);
		before = requests(w);
		assert_int_equal(uvdpa_driver_get_bases(w->drv, bases, QUEUES), 0);
		for (unsigned q = 0; q < QUEUES; q++) {
			uvdpa_queue_kick_always(w->contexts[q].queue);
			assert_int_equal(uvdpa_queue_base(w->contexts[q].queue), bases[q]);
		}
		sched_yield();
		assert_true(requests(w) == before);
		if (i % 20 == 0)
			expect_traced(w, before);
		assert_int_equal(uvdpa_driver_resume(w->drv), 0);
	}
	stop_load(w);
	expect_clean(w);
	teardown(w);
}

static _Atomic int operator_answer;

static void on_answer(void *arg, int result)
{
	atomic_store(&operator_answer, result);
}

static void *operate(void *arg)
{
	struct world *w = arg;

	for (unsigned i = 0; i < 100; i++) {
		atomic_store(&operator_answer, 1);
		device_suspend(runtime_lock(w->runtime), HOLDER_OPERATOR, runtime_now_ms(), 0,
			       on_answer, NULL);
		runtime_unlock(w->runtime);
		while (atomic_load(&operator_answer) == 1)
			sched_yield();
		if (atomic_load(&operator_answer))
			return w;
		device_resume(runtime_lock(w->runtime), HOLDER_OPERATOR);
		runtime_unlock(w->runtime);
	}
	return NULL;
}

/* Clause S14: two parties hold and let go as they like; what runs in between is all right. */
static void two_holders(void **state)
{
	struct world *w = setup(&slow, 10000);
	pthread_t operator;
	void *failed;

	start_load(w);
	pthread_create(&operator, NULL, operate, w);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(uvdpa_driver_suspend(w->drv), 0);
		assert_int_equal(in_flight(w), 0);
		assert_int_equal(uvdpa_driver_resume(w->drv), 0);
	}
	pthread_join(operator, & failed);
	assert_null(failed);
	wait_for_progress(w, 100);
	stop_load(w);
	expect_clean(w);
	teardown(w);
}

/* Clause S10: a backend that keeps a request costs the caller its deadline, and nothing else. */
static void backend_that_keeps_a_request(void **state)
{
	const struct block_fault_options never = {.never_every = 500};
	struct world *w = setup(&never, 30);
	struct device *device;

	start_load(w);
	while (!in_flight(w) || requests(w) < 2000)
		sched_yield();
	assert_int_equal(uvdpa_driver_suspend(w->drv), -ETIMEDOUT);
	device = runtime_lock(w->runtime);
	assert_int_equal(device_state(device), STATE_RUNNING);
	assert_int_equal(device_holders(device), 0);
	runtime_unlock(w->runtime);
	stop_load(w);
	/* leaving with requests in flight: the backend is asked to cancel, and does */
	teardown(w);
}

/* The client goes while its requests are in flight, again and again. */
static void client_that_goes(void **state)
{
	struct world *w = setup(&slow, 10000);

	for (unsigned i = 0; i < 10; i++) {
		start_load(w);
		wait_for_progress(w, 50);
		stop_load(w);
		uvdpa_driver_close(w->drv);
		assert_int_equal(in_flight(w), 0);
		for (unsigned q = 0; q < QUEUES; q++) {
			workload_free(w->contexts[q].workload);
			uvdpa_queue_free(w->contexts[q].queue);
		}
		uvdpa_memory_free(w->memory);
		atomic_store(&w->stop, false);
		connect_driver(w);
	}
	teardown(w);
}

/* Clause S12, with one device as both: everything is handed over a reset, 100 times under load. */
static void carried_over_a_reset(void **state)
{
	struct world *w = setup(&slow, 10000);
	struct uvdpa_error e = {0};

	start_load(w);
	for (unsigned i = 0; i < 100; i++) {
		wait_for_progress(w, 10);
		if (uvdpa_handover(w->drv, w->drv, 0, NULL, &e) < 0)
			fail_msg("move %u: %s", i, e.text);
	}
	wait_for_progress(w, 10);
	stop_load(w);
	expect_clean(w);
	teardown(w);
}

/* The driver's data in memory of its own, which goes and comes while the device runs. */
static void renew_data(struct world *w, struct uvdpa_memory **data)
{
	const struct uvdpa_memory_options options = {.size = 4 << 20, .iova = 1ull << 40};
	struct uvdpa_memory *rings = w->memory;
	struct uvdpa_error e;

	for (unsigned i = 0; i < QUEUES; i++)
		workload_free(w->contexts[i].workload);
	if (*data) {
		assert_int_equal(uvdpa_driver_unmap(w->drv, *data, 0), 0);
		uvdpa_memory_free(*data);
	}
	assert_int_equal(uvdpa_memory_new(&options, data, &e), 0);
	assert_int_equal(uvdpa_driver_map(w->drv, *data, 0, &e), 0);
	w->memory = *data;
	for (unsigned i = 0; i < QUEUES; i++)
		w->contexts[i].workload = make_workload(w, i);
	w->memory = rings;
}

static void memory_mapped_anew(void **state)
{
	struct world *w = setup(NULL, 10000);
	struct uvdpa_memory *data = NULL;

	for (unsigned i = 0; i < 20; i++) {
		renew_data(w, &data);
		atomic_store(&w->stop, false);
		start_load(w);
		wait_for_progress(w, 50);
		stop_load(w);
		expect_clean(w);
	}
	teardown(w);
	uvdpa_memory_free(data);
}

/* All queues of two disks on one thread; one of them is suspended now and then, and goes first. */
static void two_disks_one_worker(void **state)
{
	static struct world worlds[2];

	worker = "both";
	for (home = 0; home < 2; home++) {
		worlds[home] = (struct world){.runtime = make_disk(&slow, 10000)};
		connect_driver(&worlds[home]);
		start_load(&worlds[home]);
	}
	home = 0;
	worker = NULL;
	for (unsigned i = 0; i < 50; i++) {
		assert_int_equal(uvdpa_driver_suspend(worlds[0].drv), 0);
		assert_int_equal(in_flight(&worlds[0]), 0);
		wait_for_progress(&worlds[1], 10);
		assert_int_equal(uvdpa_driver_resume(worlds[0].drv), 0);
		wait_for_progress(&worlds[0], 10);
	}
	for (unsigned i = 0; i < 2; i++) {
		stop_load(&worlds[i]);
		expect_clean(&worlds[i]);
		teardown(&worlds[i]);
	}
}

static int with_packed_rings(void **state)
{
	packed = true;
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suspended_means_still),
		cmocka_unit_test(two_holders),
		cmocka_unit_test(carried_over_a_reset),
		cmocka_unit_test(backend_that_keeps_a_request),
		cmocka_unit_test(client_that_goes),
		cmocka_unit_test(memory_mapped_anew),
		cmocka_unit_test(two_disks_one_worker),
		cmocka_unit_test_setup(suspended_means_still, with_packed_rings),
		cmocka_unit_test_setup(two_holders, with_packed_rings),
		cmocka_unit_test_setup(carried_over_a_reset, with_packed_rings),
		cmocka_unit_test_setup(client_that_goes, with_packed_rings),
	};

	int failed;

	fixed = argc > 1 && !strcmp(argv[1], "fixed");
	on_file = fixed || (argc > 1 && !strcmp(argv[1], "file"));
	if (on_file && !uring_is_here()) {
		printf("skipped: the kernel refuses io_uring\n");
		return 77;
	}
	for (unsigned i = 0; on_file && i < 2; i++)
		if (mkstemp(paths[i]) < 0) {
			printf("skipped: no files in /tmp\n");
			return 77;
		}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (unsigned i = 0; on_file && i < 2; i++)
		unlink(paths[i]);
	return failed;
}
