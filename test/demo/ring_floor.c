/*
 * What two cores and their caches allow: two threads pass requests through a split ring (virtio
 * 2.7) with nothing behind it: no addresses are translated, no data is touched, nobody sleeps.
 *
 *	ring_floor CORE CORE DEPTH SECONDS
 *
 * Prints one JSON object: requests per second, and the median time of a round in which something
 * came back, which at depth 1 is a request's.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE	256
#define BUCKETS 4096 /* of 100 ns */

/* Each part by itself, as far as caches go. */
static struct {
	_Alignas(4096) struct vring_desc desc[SIZE];
	_Alignas(4096) _Atomic uint16_t avail_idx;
	uint16_t avail[SIZE];
	_Alignas(4096) _Atomic uint16_t used_idx;
	struct vring_used_elem used[SIZE];
} ring;

static _Alignas(128) atomic_bool stop;
static uint64_t times[BUCKETS];

static void pin(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		fprintf(stderr, "ring_floor: core %u: %s\n", core, strerror(errno));
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The device: whatever is available is used, and published at once. */
static void *device(void *arg)
{
	uint16_t next = 0;

	pin(*(unsigned *)arg);
	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		uint16_t end = atomic_load_explicit(&ring.avail_idx, memory_order_acquire);

		if (end == next)
			continue;
		for (; next != end; next++) {
			uint16_t head = ring.avail[next % SIZE];

			ring.used[next % SIZE].id = head;
			ring.used[next % SIZE].len = ring.desc[head % SIZE].len;
		}
		atomic_store_explicit(&ring.used_idx, next, memory_order_release);
	}
	return NULL;
}

static void make_available(uint16_t index, uint16_t id)
{
	ring.desc[id] = (struct vring_desc){.addr = 0x10000u * id, .len = 4096};
	ring.avail[index % SIZE] = id;
}

/* The driver: what comes back is sent again. Returns the number of requests. */
static uint64_t drive(unsigned depth, int64_t end)
{
	uint16_t sent = 0, seen = 0;
	int64_t last = now_ns(), now = last;
	uint64_t done = 0;

	for (; sent < depth; sent++)
		make_available(sent, sent);
	atomic_store_explicit(&ring.avail_idx, sent, memory_order_release);
	while (now < end) {
		uint16_t used = atomic_load_explicit(&ring.used_idx, memory_order_acquire);

		now = now_ns();
		if (used == seen)
			continue;
		for (; seen != used; seen++, sent++, done++)
			make_available(sent, (uint16_t)(ring.used[seen % SIZE].id % SIZE));
		atomic_store_explicit(&ring.avail_idx, sent, memory_order_release);
		times[(now - last) / 100 < BUCKETS ? (now - last) / 100 : BUCKETS - 1]++;
		last = now;
	}
	return done;
}

static double median_us(void)
{
	uint64_t sum = 0, below = 0;
	unsigned i = 0;

	for (unsigned n = 0; n < BUCKETS; n++)
		sum += times[n];
	while (i < BUCKETS - 1 && below + times[i] < sum / 2)
		below += times[i++];
	return i / 10.0 + 0.05;
}

int main(int argc, char **argv)
{
	unsigned cores[2], depth;
	pthread_t thread;
	int64_t begin;
	double seconds;
	uint64_t done;

	if (argc != 5) {
		fputs("usage: ring_floor CORE CORE DEPTH SECONDS\n", stderr);
		return 1;
	}
	cores[0] = (unsigned)strtoul(argv[1], NULL, 10);
	cores[1] = (unsigned)strtoul(argv[2], NULL, 10);
	depth = (unsigned)strtoul(argv[3], NULL, 10);
	seconds = strtod(argv[4], NULL);
	if (cores[0] >= CPU_SETSIZE || cores[1] >= CPU_SETSIZE || depth < 1 || depth > SIZE ||
	    !(seconds > 0 && seconds < 1e6)) {
		fprintf(stderr, "ring_floor: depth is 1 to %d, seconds more than 0\n", SIZE);
		return 1;
	}
	if (pthread_create(&thread, NULL, device, &cores[0]))
		return 1;
	pin(cores[1]);
	begin = now_ns();
	done = drive(depth, begin + (int64_t)(seconds * 1e9));
	seconds = (double)(now_ns() - begin) / 1e9;
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	printf("{\"rate\": %.0f, \"p50_us\": %.2f}\n", (double)done / seconds, median_us());
	return 0;
}
