/*
 * door/vdpa_log.c: dirty logging over vhost-vdpa (log=on). A network card writes packets into pages
 * that are known in advance: exactly those are marked, in a log of private anonymous memory.
 */
#include "door/inprocess.h"

#include <errno.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "host/runner.h"
#include "model/models.h"
#include "wire/net.h"

#define PAGE	 4096u
#define MEMORY	 (2u << 20)
#define IOVA	 (UINT64_C(1) << 30)
#define LOG_SIZE ((IOVA + MEMORY) / PAGE / 8)
#define USED_AT	 (IOVA + MEMORY - PAGE) /* where RX's used ring is logged */
#define LOG_ALL	 (1ull << VHOST_F_LOG_ALL)
#define FRAME	 1000u
#define PATIENCE 20000

struct world {
	struct runner *runner;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[3];
	uint8_t *pages, *log;
	uint64_t features;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl, .write = inprocess_write, .close = inprocess_close};

static void open_card(struct world *w, bool log)
{
	const struct runner_options options = {
		.device = {.name = "n", .queue_size = 16, .asids = 2, .suspend_timeout_ms = 1000}};
	const struct inprocess_options inprocess = {.vdpa.log = log};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}};
	struct inprocess *door;
	struct packet *packet;
	struct model *model;
	struct uvdpa_error e;
	struct fault f;

	memset(w, 0, sizeof(*w));
	assert_int_equal(packet_loopback_open(1, &packet, &f), 0);
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runner_new(&options, model, &w->runner, &f), 0);
	assert_int_equal(inprocess_open(w->runner, &inprocess, &door, &f), 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, door, "n", 0, &w->drv, &e), 0);
}

static void start(struct world *w)
{
	const struct uvdpa_memory_options memory = {
		.size = MEMORY, .kind = UVDPA_MEMORY_PRIVATE, .iova = IOVA};
	struct uvdpa_queue_options queue = {.size = 16};
	struct uvdpa_queue_areas areas;
	struct uvdpa_error e;

	assert_int_equal(uvdpa_driver_negotiate(w->drv, ~LOG_ALL, &queue.features, &e), 0);
	w->features = queue.features;
	assert_int_equal(uvdpa_memory_new(&memory, &w->memory, &e), 0);
	assert_int_equal(uvdpa_driver_map(w->drv, w->memory, 0, &e), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(uvdpa_queue_new(w->memory, &queue, &w->queues[i], &e), 0);
		assert_int_equal(uvdpa_driver_attach(w->drv, i, w->queues[i], 0, &e), 0);
	}
	uvdpa_queue_areas(w->queues[0], &areas);
	assert_int_equal(uvdpa_set_vring_addr(w->drv, 0, 1u << VHOST_VRING_F_LOG, areas.desc_iova,
					      areas.avail_iova, areas.used_iova, USED_AT),
			 0);
	assert_int_equal(uvdpa_driver_driver_ok(w->drv, &e), 0);
	w->pages = uvdpa_memory_alloc(w->memory, (size_t)32 * PAGE, PAGE);
	assert_non_null(w->pages);
	w->log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->log, MAP_FAILED);
}

static void stop(struct world *w)
{
	uvdpa_driver_close(w->drv);
	for (unsigned i = 0; i < 3; i++)
		uvdpa_queue_free(w->queues[i]);
	uvdpa_memory_free(w->memory);
	runner_free(w->runner);
	if (w->log)
		munmap(w->log, LOG_SIZE);
}

static int set_log_base(struct world *w, const void *log)
{
	uint64_t base = (uintptr_t)log;

	return uvdpa_ioctl(w->drv, VHOST_SET_LOG_BASE, &base);
}

static void post(struct world *w, unsigned queue, uint8_t *bytes, uint32_t size, bool writable)
{
	const struct uvdpa_segment segment = {uvdpa_memory_iova(w->memory, bytes), size, writable};

	assert_true(uvdpa_queue_add(w->queues[queue], &segment, 1, 0, 0) >= 0);
	assert_true(uvdpa_queue_submit(w->queues[queue]) >= 0);
}

static void collect(struct world *w, unsigned queue)
{
	struct uvdpa_completion completion;

	while (uvdpa_queue_poll(w->queues[queue], &completion, 1) == 0)
		assert_true(uvdpa_queue_wait(w->queues[queue], PATIENCE) >= 0);
}

/* A frame into a buffer at `at`. */
static void receive(struct world *w, uint8_t *at)
{
	post(w, 0, at, 2 * PAGE, true);
	memset(w->pages, 0, NET_HDR_SIZE + FRAME);
	post(w, 1, w->pages, NET_HDR_SIZE + FRAME, false);
	collect(w, 1);
	collect(w, 0);
}

/* The log has these pages (given as addresses; 0 ends them) and no others; clears it. */
static void expect_at(struct world *w, int line, const uint64_t *addresses)
{
	for (; *addresses; addresses++) {
		uint64_t page = *addresses / PAGE;

		if (!(w->log[page / 8] >> page % 8 & 1))
			fail_msg("line %d: 0x%llx is not marked", line,
				 (unsigned long long)*addresses);
		w->log[page / 8] &= (uint8_t) ~(1u << page % 8);
	}
	for (uint64_t i = 0; i < LOG_SIZE * 8; i++)
		if (w->log[i / 8] >> i % 8 & 1)
			fail_msg("line %d: 0x%llx is marked", line, (unsigned long long)i * PAGE);
}

#define expect(w, addresses) expect_at(w, __LINE__, addresses)

static uint64_t at(struct world *w, unsigned page)
{
	return uvdpa_memory_iova(w->memory, w->pages + (size_t)page * PAGE);
}

static void exactly_what_was_written(void **state)
{
	struct world w;

	open_card(&w, true);
	start(&w);
	receive(&w, w.pages + 4 * PAGE); /* nothing is switched on */
	expect(&w, ((uint64_t[]){0}));
	assert_int_equal(uvdpa_set_features(w.drv, w.features | LOG_ALL), 0);
	receive(&w, w.pages + 4 * PAGE); /* there is no log yet */
	expect(&w, ((uint64_t[]){0}));
	assert_int_equal(set_log_base(&w, w.log), 0);
	receive(&w, w.pages + 6 * PAGE); /* a buffer of two pages, of which one is written */
	expect(&w, ((uint64_t[]){at(&w, 6), USED_AT, 0}));
	receive(&w,
		w.pages + 9 * PAGE - 12 - 1); /* the frame's second byte lies in the next page */
	expect(&w, ((uint64_t[]){at(&w, 8), at(&w, 9), USED_AT, 0}));
	assert_int_equal(uvdpa_set_features(w.drv, w.features), 0);
	receive(&w, w.pages + 6 * PAGE);
	expect(&w, ((uint64_t[]){0}));
	assert_int_equal(uvdpa_set_features(w.drv, w.features | LOG_ALL), 0);
	/* a suspended device writes nothing, and marks nothing (S4) */
	assert_int_equal(uvdpa_driver_suspend(w.drv), 0);
	memset(w.log, 0, LOG_SIZE);
	post(&w, 0, w.pages + 6 * PAGE, PAGE, true);
	post(&w, 1, w.pages, NET_HDR_SIZE + FRAME, false);
	expect(&w, ((uint64_t[]){0}));
	assert_int_equal(uvdpa_driver_resume(w.drv), 0);
	collect(&w, 1);
	collect(&w, 0);
	expect(&w, ((uint64_t[]){at(&w, 6), USED_AT, 0}));
	stop(&w);
}

static void only_the_log_may_change(void **state)
{
	struct world w;
	uint64_t features;

	open_card(&w, true);
	start(&w);
	assert_int_equal(uvdpa_get_features(w.drv, &features), 0);
	assert_true(features & LOG_ALL);
	assert_int_equal(
		uvdpa_set_features(w.drv, (w.features | LOG_ALL) & ~(1ull << VIRTIO_NET_F_MAC)),
		-EBUSY);
	stop(&w);
}

/* Without the option all is as Linux has it. */
static void off(void **state)
{
	struct world w;
	uint64_t features;

	open_card(&w, false);
	start(&w);
	assert_int_equal(uvdpa_get_features(w.drv, &features), 0);
	assert_false(features & LOG_ALL);
	assert_int_equal(set_log_base(&w, w.log), -ENOTTY);
	assert_int_equal(uvdpa_set_features(w.drv, w.features | LOG_ALL), -EBUSY);
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_what_was_written),
		cmocka_unit_test(only_the_log_may_change),
		cmocka_unit_test(off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
