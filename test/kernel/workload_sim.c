/*
 * The workload over the kernel's block simulator, while its rings are handed over and the device is
 * suspended and resumed: runs as root inside a kernel that has /dev/vhost-vdpa-1 (vdpa_sim_blk).
 * Shows that hand-over by the kernel's own rules loses nothing, and what it costs there.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "load/workload.h"
#include "uvdpa/driver.h"

#define DEVICE "/dev/vhost-vdpa-1"
#define ROUNDS 40

static struct uvdpa_driver *drv;
static struct uvdpa_memory *memory;
static struct uvdpa_queue *q;
static struct workload *w;
static struct uvdpa_error error;
static struct histogram gaps;
static atomic_bool stop;
static int result;

static int set_up(void)
{
	const struct workload_options o = {
		.blocks = 2048, .depth = 32, .write_percent = 50, .flush_every = 64, .seed = 7};
	struct uvdpa_queue_options ring = {.size = 128, .base = 65000};
	struct error f = {0};
	int r = uvdpa_driver_open(DEVICE, 0, &drv, &error);

	if (r == 0)
		r = uvdpa_driver_negotiate(drv, 0x7646, &ring.features, &error);
	if (r == 0)
		r = uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, &memory,
				     &error);
	if (r == 0)
		r = uvdpa_driver_map(drv, memory, 0, &error);
	if (r == 0)
		r = uvdpa_queue_new(memory, &ring, &q, &error);
	if (r == 0)
		r = uvdpa_driver_attach(drv, 0, q, ring.base, &error);
	if (r == 0)
		r = uvdpa_driver_start(drv, &error);
	if (r < 0) {
		printf("FAILED: %s\n", error.text);
		return r;
	}
	r = workload_new(&o, memory, q, &w, &f);
	if (r < 0)
		printf("FAILED: %s\n", f.text);
	return r;
}

static void *client(void *arg)
{
	result = workload_run(w, &stop, 0);
	return NULL;
}

/* Waits until some more requests are done; false if none are for ten seconds. */
static bool more_done(uint64_t count)
{
	uint64_t end = workload_done(w) + count;

	for (unsigned i = 0; i < 10000 && workload_done(w) < end; i++)
		usleep(1000);
	return workload_done(w) >= end;
}

/* One round: a hand-over, or a suspension of 5 ms. */
static int move(unsigned round)
{
	int r;

	if (round % 2 == 0)
		return uvdpa_handover(drv, drv, 0, NULL, &error);
	r = uvdpa_driver_suspend(drv);
	if (r < 0)
		return r;
	usleep(5000);
	return uvdpa_driver_resume(drv);
}

static int run_moves(void)
{
	for (unsigned i = 0; i < ROUNDS; i++) {
		int r;

		if (!more_done(50)) {
			printf("FAILED: no completions before round %u\n", i);
			return -1;
		}
		workload_take_gap(w);
		r = move(i);
		if (r < 0 || !more_done(1)) {
			printf("FAILED: round %u: %d %s\n", i, r, error.text);
			return -1;
		}
		histogram_add(&gaps, workload_take_gap(w));
	}
	return 0;
}

static int report(void)
{
	const struct workload_counts *c = workload_counts(w);

	printf("requests=%llu lost=%llu duplicated=%llu corrupt=%llu misplaced=%llu stale=%llu "
	       "errors=%llu gap_us_p50=%llu max=%llu\n",
	       (unsigned long long)workload_done(w), (unsigned long long)c->lost,
	       (unsigned long long)c->duplicated, (unsigned long long)c->corrupt,
	       (unsigned long long)c->misplaced, (unsigned long long)c->stale,
	       (unsigned long long)c->errors,
	       (unsigned long long)histogram_percentile(&gaps, 50) / 1000,
	       (unsigned long long)gaps.max / 1000);
	if (!workload_is_clean(w))
		printf("FAILED: %s\n", workload_first_problem(w));
	return workload_is_clean(w) ? 0 : 1;
}

int main(void)
{
	struct utsname kernel;
	pthread_t thread;
	int r;

	uname(&kernel);
	printf("kernel %s\n", kernel.release);
	if (set_up() < 0 || pthread_create(&thread, NULL, client, NULL) != 0)
		return 1;
	r = run_moves();
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	if (r == 0 && result == 0)
		r = workload_verify(w, 20000);
	if (report() != 0 || r != 0 || result != 0)
		return 1;
	uvdpa_driver_close(drv);
	workload_free(w);
	uvdpa_queue_free(q);
	uvdpa_memory_free(memory);
	printf("passed\n");
	return 0;
}
