/* The dirty log: which bits, from several threads at once, and what a ring marks. */
#include "ring_bench.h"

#include <pthread.h>

#include "memory/dirty.h"

#define PAGES 256

static _Atomic uint8_t bits[PAGES / 8];
static struct dirty_log dirty = {.bits = bits, .pages = PAGES};

static void clear(void)
{
	for (unsigned i = 0; i < PAGES / 8; i++)
		bits[i] = 0;
	dirty.beyond = 0;
}

static bool marked(uint64_t page)
{
	return bits[page / 8] >> (page % 8) & 1;
}

static unsigned count(void)
{
	unsigned n = 0;

	for (unsigned i = 0; i < PAGES; i++)
		n += marked(i);
	return n;
}

static void exact(void **state)
{
	clear();
	dirty_mark(&dirty, 0x5000, 0);
	assert_int_equal(count(), 0);
	dirty_mark(&dirty, 0x5000, 1);
	dirty_mark(&dirty, 0x7fff, 1);
	assert_int_equal(count(), 2);
	assert_true(marked(5) && marked(7));
	dirty_mark(&dirty, 0x8fff, 2);
	assert_int_equal(count(), 4);
	dirty_mark(&dirty, 0x10000, 0x3000);
	assert_true(marked(16) && marked(17) && marked(18) && !marked(19));
	assert_int_equal(dirty.beyond, 0);
	dirty_mark(&dirty, (PAGES - 1) * 4096ull, 8192);
	assert_true(marked(PAGES - 1));
	assert_int_equal(dirty.beyond, 1);
	dirty_mark(&dirty, UINT64_MAX, 1);
	assert_int_equal(dirty.beyond, 2);
}

static void *marker(void *arg)
{
	uintptr_t first = (uintptr_t)arg;

	for (unsigned page = (unsigned)first; page < PAGES; page += 4)
		dirty_mark(&dirty, page * 4096ull, 1);
	return NULL;
}

/* Four threads, each with bits of its own in every byte. */
static void concurrent(void **state)
{
	for (unsigned round = 0; round < 200; round++) {
		pthread_t threads[4];

		clear();
		for (uintptr_t i = 0; i < 4; i++)
			assert_int_equal(pthread_create(&threads[i], NULL, marker, (void *)i), 0);
		for (unsigned i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		assert_int_equal(count(), PAGES);
	}
}

/* Ring and buffers lie between page 0x10000 and up; iova is what is logged. */
static void ring_marks(void **state)
{
	static _Atomic uint8_t map[1 << 16];
	struct dirty_log log = {.bits = map, .pages = sizeof(map) * 8};

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		struct bench *b = bench_new(kind, EVENT, 0);
		uint64_t data = b->buffer / 4096, used = b->vq.used / 4096;

		b->ram.region = 1000; /* buffers in several pieces, but not in more than fit */
		memset((void *)map, 0, sizeof(map));
		ring_set_log(&b->ring, &log, &log, b->vq.used);
		vq_desc(&b->vq, 0, b->buffer, 16, D_NEXT, 1);
		vq_desc(&b->vq, 1, b->buffer + 0x1000, 0x1800, D_NEXT | D_WRITE, 2);
		vq_desc(&b->vq, 2, b->buffer + 0x4fff, 1, D_WRITE, 0);
		vq_offer(&b->vq, 0);
		assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(map[data / 8] | map[(data + 8) / 8], 0);
		ring_complete(&b->ring, &b->chain, 1);
		/* what was only read is not marked, all that may have been written is */
		for (unsigned i = 0; i < 8; i++) {
			bool bit = map[(data + i) / 8] >> ((data + i) % 8) & 1;

			assert_int_equal(bit, i == 1 || i == 2 || i == 4);
		}
		ring_flush_used(&b->ring);
		assert_true(map[used / 8] >> (used % 8) & 1);
		/* a model that writes in order touches no more than it says */
		memset((void *)map, 0, sizeof(map));
		vq_offer(&b->vq, 0);
		assert_int_equal(pop(b), RING_CHAIN);
		b->chain.in_order = true;
		ring_complete(&b->ring, &b->chain, 0x1000);
		assert_true(map[(data + 1) / 8] >> ((data + 1) % 8) & 1);
		assert_false(map[(data + 2) / 8] >> ((data + 2) % 8) & 1);
		/* switched off, nothing is marked */
		ring_set_log(&b->ring, NULL, NULL, 0);
		memset((void *)map, 0, sizeof(map));
		ring_flush_used(&b->ring);
		ring_enable_notify(&b->ring);
		for (unsigned i = 0; i < sizeof(map); i++)
			assert_int_equal(map[i], 0);
		assert_int_equal(log.beyond, 0);
		bench_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact),
		cmocka_unit_test(concurrent),
		cmocka_unit_test(ring_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
