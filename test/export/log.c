/*
 * export/vdpa/log.c: dirty logging over vhost-vdpa (log=on). A network card writes packets into
 *pages that are known in advance: exactly those are marked, in a log of private anonymous memory or
 *of shared memory, over guest memory of either kind.
 *
 *	log [UVDPA]     through the export in this process; UVDPA: through a file that it serves
 */
#include "export/inprocess/inprocess.h"

#include <errno.h>
#include <linux/vhost.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <uvdpa/driver.h>

#include "backend/backends.h"
#include "runtime/runtime.h"
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

static const char *uvdpa; /* NULL: in this process */

/* Memory of the guest, and of the log. */
static const struct kinds {
	int memory, log;
} kinds[] = {
	{UVDPA_MEMORY_PRIVATE, MAP_PRIVATE},
	{UVDPA_MEMORY_SHARED, MAP_SHARED},
	{UVDPA_MEMORY_SHARED, MAP_PRIVATE},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

struct world {
	struct runtime *runtime;
	pid_t server;
	char dir[64];
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queues[3];
	uint8_t *pages, *log;
	uint64_t features;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl, .write = inprocess_write, .close = inprocess_close};

static void open_here(struct world *w, bool log)
{
	const struct runtime_options options = {
		.device = {.name = "n", .queue_size = 16, .asids = 2, .suspend_timeout_ms = 1000}};
	const struct inprocess_options inprocess = {.vdpa.log = log};
	const struct net_options net = {.mac = {0x52, 0x54, 0, 0, 0, 1}};
	struct inprocess *export;
	struct packet *packet;
	struct model *model;
	struct uvdpa_error e;
	struct error f;

	assert_int_equal(packet_loopback_open(1, &packet, &f), 0);
	assert_int_equal(net_new(&net, packet, &model, &f), 0);
	assert_int_equal(runtime_new(&options, model, &w->runtime, &f), 0);
	assert_int_equal(inprocess_open(w->runtime, &inprocess, &export, &f), 0);
	assert_int_equal(uvdpa_driver_open_transport(&transport, export, "n", 0, &w->drv, &e), 0);
}

static pid_t serve(const char *dir, bool log)
{
	const char *device = log ? "net,name=n,loopback=on,queue-size=16,log=on"
				 : "net,name=n,loopback=on,queue-size=16";
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execl(uvdpa, uvdpa, "serve", "--dir", dir, "--device", device, (char *)NULL);
	_exit(127);
}

/* Ends the program with 77 where no file can be served; the server has said why. */
static void open_file(struct world *w, bool log)
{
	const struct timespec nap = {0, 5000000};
	struct uvdpa_error e;
	char path[80];

	snprintf(w->dir, sizeof(w->dir), "/tmp/uvdpa-log-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(path, sizeof(path), "%s/vdpa/n", w->dir);
	w->server = serve(w->dir, log);
	assert_true(w->server > 0);
	while (access(path, F_OK) != 0) {
		if (waitpid(w->server, NULL, WNOHANG) == w->server) {
			printf("skipped: no file is served here\n");
			exit(77);
		}
		nanosleep(&nap, NULL);
	}
	if (uvdpa_driver_open(path, 0, &w->drv, &e))
		fail_msg("%s", e.text);
}

static void open_card(struct world *w, bool log)
{
	memset(w, 0, sizeof(*w));
	if (uvdpa)
		open_file(w, log);
	else
		open_here(w, log);
}

static void close_card(struct world *w)
{
	char path[80];
	int status;

	uvdpa_driver_close(w->drv);
	if (!uvdpa) {
		runtime_free(w->runtime);
		return;
	}
	kill(w->server, SIGTERM);
	assert_int_equal(waitpid(w->server, &status, 0), w->server);
	assert_int_equal(status, 0);
	snprintf(path, sizeof(path), "%s/lock", w->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/vdpa", w->dir);
	rmdir(path);
	assert_int_equal(rmdir(w->dir), 0);
}

static void start(struct world *w, const struct kinds *kind)
{
	const struct uvdpa_memory_options memory = {
		.size = MEMORY, .kind = kind->memory, .iova = IOVA};
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
	assert_int_equal(uvdpa_driver_start(w->drv, &e), 0);
	w->pages = uvdpa_memory_alloc(w->memory, (size_t)32 * PAGE, PAGE);
	assert_non_null(w->pages);
	w->log = mmap(NULL, LOG_SIZE, PROT_READ | PROT_WRITE, kind->log | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(w->log, MAP_FAILED);
}

static void stop(struct world *w)
{
	close_card(w);
	for (unsigned i = 0; i < 3; i++)
		uvdpa_queue_free(w->queues[i]);
	uvdpa_memory_free(w->memory);
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

/*
 * The log has these pages (given as addresses; 0 ends them) and no others; clears it. A page is
 * marked after it was written, so what we have seen in the used ring says little: the device has to
 * stand still first (S4). By resume it asks for kicks, which is in the used ring's page again.
 */
static void expect_at(struct world *w, int line, const uint64_t *addresses)
{
	assert_int_equal(uvdpa_driver_suspend(w->drv), 0);
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
	assert_int_equal(uvdpa_driver_resume(w->drv), 0);
}

#define expect(w, addresses) expect_at(w, __LINE__, addresses)

static uint64_t at(struct world *w, unsigned page)
{
	return uvdpa_memory_iova(w->memory, w->pages + (size_t)page * PAGE);
}

static void what_was_written(const struct kinds *kind)
{
	struct world w;

	open_card(&w, true);
	start(&w, kind);
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
	memset(w.log, 0, LOG_SIZE);
	receive(&w, w.pages + 6 * PAGE);
	expect(&w, ((uint64_t[]){0}));
	assert_int_equal(uvdpa_set_features(w.drv, w.features | LOG_ALL), 0);
	/* a suspended device writes nothing, and marks nothing (S4) */
	assert_int_equal(uvdpa_driver_suspend(w.drv), 0);
	memset(w.log, 0, LOG_SIZE);
	post(&w, 0, w.pages + 6 * PAGE, PAGE, true);
	post(&w, 1, w.pages, NET_HDR_SIZE + FRAME, false);
	for (size_t i = 0; i < LOG_SIZE; i++)
		assert_int_equal(w.log[i], 0);
	assert_int_equal(uvdpa_driver_resume(w.drv), 0);
	collect(&w, 1);
	collect(&w, 0);
	expect(&w, ((uint64_t[]){at(&w, 6), USED_AT, 0}));
	stop(&w);
}

static void exactly_what_was_written(void **state)
{
	for (size_t i = 0; i < KINDS; i++)
		what_was_written(&kinds[i]);
}

static void only_the_log_may_change(void **state)
{
	struct world w;
	uint64_t features;

	open_card(&w, true);
	start(&w, &kinds[0]);
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
	start(&w, &kinds[0]);
	assert_int_equal(uvdpa_get_features(w.drv, &features), 0);
	assert_false(features & LOG_ALL);
	assert_int_equal(set_log_base(&w, w.log), -ENOTTY);
	assert_int_equal(uvdpa_set_features(w.drv, w.features | LOG_ALL), -EBUSY);
	stop(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exactly_what_was_written),
		cmocka_unit_test(only_the_log_may_change),
		cmocka_unit_test(off),
	};

	uvdpa = argc > 1 ? argv[1] : NULL;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
