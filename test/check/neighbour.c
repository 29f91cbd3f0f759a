/* A disk that is always busy: see neighbour.h. */
#include "neighbour.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uvdpa/driver.h>
#include <uvdpa/driver_blk.h>

#include "backend/backends.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"
#include "model/models.h"

#define DEPTH 16
#define BLOCK 4096u

static const struct uvdpa_transport transport = {inprocess_ioctl, inprocess_write, inprocess_close};

static void must(int r, const char *text)
{
	if (r >= 0)
		return;
	fprintf(stderr, "neighbour: %s\n", text);
	exit(1);
}

static struct runtime *make_disk(const char *worker)
{
	const struct runtime_options options = {.device = {.name = "neighbour",
							   .queue_size = 64,
							   .asids = 1,
							   .suspend_timeout_ms = 10000},
						.poll_us = 64,
						.worker = worker};
	const struct blk_options blk = {.queues = 1};
	struct runtime *runtime;
	struct block *block;
	struct model *model;
	struct error f;

	must(block_null_open(1 << 20, &block, &f), f.text);
	must(blk_new(&blk, block, &model, &f), f.text);
	must(runtime_new(&options, model, &runtime, &f), f.text);
	return runtime;
}

struct load {
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct uvdpa_segment segments[DEPTH][3]; /* header, data, status */
};

static void connect_driver(struct load *load, struct runtime *runtime)
{
	const struct inprocess_options inprocess = {0};
	const struct uvdpa_memory_options memory = {.size = 1 << 20};
	struct uvdpa_queue_options queue = {.size = 64};
	struct uvdpa_driver *drv;
	struct uvdpa_error e;
	struct inprocess *export;
	struct error f;

	must(inprocess_open(runtime, &inprocess, &export, &f), f.text);
	must(uvdpa_driver_open_transport(&transport, export, "neighbour", 0, &drv, &e), e.text);
	must(uvdpa_driver_negotiate(drv, UINT64_MAX, &queue.features, &e), e.text);
	must(uvdpa_memory_new(&memory, &load->memory, &e), e.text);
	must(uvdpa_driver_map(drv, load->memory, 0, &e), e.text);
	must(uvdpa_queue_new(load->memory, &queue, &load->queue, &e), e.text);
	must(uvdpa_driver_attach(drv, 0, load->queue, 0, &e), e.text);
	must(uvdpa_driver_start(drv, &e), e.text);
}

/* Reads of the first block, over and over: a header of zeroes says just that. */
static void prepare(struct load *load, unsigned i)
{
	static const uint32_t sizes[] = {16, BLOCK, 1};

	for (unsigned k = 0; k < 3; k++) {
		void *bytes = uvdpa_memory_alloc(load->memory, sizes[k], 64);

		must(bytes ? 0 : -1, "no memory");
		memset(bytes, 0, sizes[k]);
		load->segments[i][k] = (struct uvdpa_segment){
			uvdpa_memory_iova(load->memory, bytes), sizes[k], k > 0};
	}
}

static void *run(void *arg)
{
	struct uvdpa_completion done;
	struct load *load = arg;

	for (;;) {
		while (uvdpa_queue_poll(load->queue, &done, 1) == 1)
			must(uvdpa_queue_add(load->queue, load->segments[done.cookie], 3, 0,
					     done.cookie),
			     "the ring is full");
		must(uvdpa_queue_submit(load->queue), "no kick");
		sched_yield();
	}
	return NULL;
}

void neighbour_start(const char *worker)
{
	static struct load load;
	pthread_t thread;

	connect_driver(&load, make_disk(worker));
	for (unsigned i = 0; i < DEPTH; i++) {
		prepare(&load, i);
		must(uvdpa_queue_add(load.queue, load.segments[i], 3, 0, i), "the ring is full");
	}
	must(-pthread_create(&thread, NULL, run, &load), "no thread");
	pthread_detach(thread);
}
