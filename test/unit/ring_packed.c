/*
 * Packed virtqueues on raw ring memory: a small driver written from virtio 1.3,
 * 2.8, plays the other side, through mapped and through copied memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "memory/client.h"
#include "ring/ring.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#ifndef NUM /* any number: meson.build has another */
#define NUM 8u
#endif
#define MEMORY	  65536u
#define IOVA	  0x100000u
#define DESC_AT	  0u
#define DRIVER_AT 0x1000u
#define DEVICE_AT 0x1004u
#define TABLE_AT  0x2000u
#define DATA_AT	  0x4000u
#define FEATURES                                                                  \
	((1ull << VIRTIO_F_RING_PACKED) | (1ull << VIRTIO_RING_F_INDIRECT_DESC) | \
	 (1ull << VIRTIO_RING_F_EVENT_IDX))

#define F_AVAIL (1u << 7)
#define F_USED	(1u << 15)

struct bench {
	struct client_memory client; /* first: ops cast back */
	bool copied;
	_Alignas(64) uint8_t bytes[MEMORY];
	struct space *space;
	struct ring ring;
	struct segment segments[16];
	/* the driver's side */
	uint16_t next, used;
	bool next_wrap, used_wrap;
};

static int map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	struct bench *b = (struct bench *)memory;

	*out = (struct window){.uaddr = uaddr, .size = size};
	if (!b->copied)
		out->host = b->bytes + uaddr;
	return 0;
}

static void unmap(struct client_memory *memory, struct window *window)
{
}

static int read_memory(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	memcpy(to, ((struct bench *)memory)->bytes + uaddr, size);
	return 0;
}

static int write_memory(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	memcpy(((struct bench *)memory)->bytes + uaddr, from, size);
	return 0;
}

static const struct client_memory_ops ops = {map, unmap, read_memory, write_memory};

static struct ring_used turns[8]; /* up to a power of two */
static struct ring_prefetch room_ahead;

static int start(struct bench *b, uint32_t base, uint64_t features)
{
	struct ring_setup setup = {.num = NUM,
				   .desc = IOVA + DESC_AT,
				   .driver = IOVA + DRIVER_AT,
				   .device = IOVA + DEVICE_AT,
				   .base = base,
				   .features = features,
				   .prefetch = &room_ahead,
				   .reorder =
					   features & (1ull << VIRTIO_F_IN_ORDER) ? turns : NULL};

	b->next = base & 0x7fff;
	b->next_wrap = base & 0x8000;
	b->used = b->next;
	b->used_wrap = b->next_wrap;
	return ring_start(&b->ring, &setup, b->space);
}

static struct bench *bench(bool copied)
{
	struct bench *b = calloc(1, (sizeof(*b) + 63) & ~(size_t)63);

	assert_non_null(b);
	b->client.ops = &ops;
	b->copied = copied;
	b->space = space_new(&b->client);
	assert_int_equal(space_add(b->space, IOVA, MEMORY, 0, SPACE_READ | SPACE_WRITE), 0);
	return b;
}

static void bench_free(struct bench *b)
{
	space_free(b->space);
	free(b);
}

/* The driver makes one descriptor available. */
static void post(struct bench *b, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags)
{
	uint8_t *d = b->bytes + DESC_AT + b->next * 16;

	store_le64(d, addr);
	store_le32(d + 8, len);
	store_le16(d + 12, id);
	store_le16(d + 14, flags | (b->next_wrap ? F_AVAIL : F_USED));
	if (++b->next == NUM) {
		b->next = 0;
		b->next_wrap = !b->next_wrap;
	}
}

/* The driver looks for a used descriptor: its id, or -1. It had `entries` descriptors. */
static int collect(struct bench *b, uint16_t entries, uint32_t *len)
{
	const uint8_t *d = b->bytes + DESC_AT + b->used * 16;
	uint16_t flags = load_le16(d + 14);

	if (!(flags & F_AVAIL) == b->used_wrap || !(flags & F_USED) == b->used_wrap)
		return -1;
	*len = load_le32(d + 8);
	b->used += entries;
	if (b->used >= NUM) {
		b->used -= NUM;
		b->used_wrap = !b->used_wrap;
	}
	return load_le16(d + 12);
}

static enum ring_pop_result pop(struct bench *b, struct chain *chain)
{
	chain->segments = b->segments;
	chain->max_segments = 16;
	return ring_pop(&b->ring, chain);
}

static void each_memory(void (*fn)(struct bench *))
{
	for (int copied = 0; copied < 2; copied++) {
		struct bench *b = bench(copied);

		fn(b);
		bench_free(b);
	}
}

/* Chains of three round a ring of eight, many laps: wrap counters on both sides agree. */
static void laps(struct bench *b)
{
	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	for (uint16_t i = 0; i < 100; i++) {
		struct chain chain;
		uint32_t len = 0;

		assert_int_equal(pop(b, &chain), RING_EMPTY);
		post(b, IOVA + DATA_AT, 16, 0, VRING_DESC_F_NEXT);
		post(b, IOVA + DATA_AT + 64, 512, 0, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
		post(b, IOVA + DATA_AT + 1024, 1, i, VRING_DESC_F_WRITE);
		assert_int_equal(pop(b, &chain), RING_CHAIN);
		assert_int_equal(chain.head, i);
		assert_int_equal(chain.entries, 3);
		assert_int_equal(chain.readable, 16);
		assert_int_equal(chain.writable, 513);
		assert_int_equal(collect(b, 3, &len), -1);
		ring_complete(&b->ring, &chain, 513);
		assert_int_equal(collect(b, 3, &len), -1);
		ring_flush_used(&b->ring);
		assert_int_equal(collect(b, 3, &len), i);
		assert_int_equal(len, 513);
	}
	assert_int_equal(ring_base(&b->ring) & 0xffff, ring_base(&b->ring) >> 16);
	assert_int_equal(ring_base(&b->ring) & 0x7fff, 300 % NUM);
	ring_stop(&b->ring);
}

static void test_laps(void **state)
{
	each_memory(laps);
}

/* Chains given back come again, the last one taken first given back, over the end of the ring. */
static void untaking(struct bench *b)
{
	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	for (uint16_t i = 0; i < 20; i++) {
		struct chain first, second;
		uint32_t base = ring_base(&b->ring), len = 0;

		post(b, IOVA + DATA_AT, 16, i, VRING_DESC_F_WRITE);
		post(b, IOVA + DATA_AT, 16, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT);
		post(b, IOVA + DATA_AT, 16, 100, VRING_DESC_F_WRITE);
		for (unsigned again = 0; again < 2; again++) {
			assert_int_equal(pop(b, &first), RING_CHAIN);
			assert_int_equal(first.head, i);
			assert_int_equal(pop(b, &second), RING_CHAIN);
			assert_int_equal(second.head, 100);
			assert_int_equal(pop(b, &(struct chain){0}), RING_EMPTY);
			if (again)
				break;
			ring_unpop(&b->ring, &second);
			ring_unpop(&b->ring, &first);
			assert_int_equal(ring_base(&b->ring), base);
		}
		ring_complete(&b->ring, &first, 1);
		ring_complete(&b->ring, &second, 2);
		ring_flush_used(&b->ring);
		assert_int_equal(collect(b, 1, &len), i);
		assert_int_equal(collect(b, 2, &len), 100);
	}
	ring_stop(&b->ring);
}

static void test_untaking(void **state)
{
	each_memory(untaking);
}

/* A batch of completions, out of order, becomes visible at once, with the first one's flags. */
static void batches(struct bench *b)
{
	struct segment more[3][4];
	struct chain chain[3];
	uint32_t len = 0;

	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	for (uint16_t i = 0; i < 3; i++)
		post(b, IOVA + DATA_AT, 4, 10 + i, VRING_DESC_F_WRITE);
	for (unsigned i = 0; i < 3; i++) {
		chain[i].segments = more[i];
		chain[i].max_segments = 4;
		assert_int_equal(ring_pop(&b->ring, &chain[i]), RING_CHAIN);
	}
	ring_complete(&b->ring, &chain[2], 3);
	ring_complete(&b->ring, &chain[0], 1);
	ring_complete(&b->ring, &chain[1], 2);
	assert_int_equal(collect(b, 1, &len), -1);
	ring_flush_used(&b->ring);
	assert_int_equal(collect(b, 1, &len), 12);
	assert_int_equal(collect(b, 1, &len), 10);
	assert_int_equal(collect(b, 1, &len), 11);
	assert_int_equal(len, 2);
	ring_stop(&b->ring);
}

static void test_batches(void **state)
{
	each_memory(batches);
}

/*
 * Used in order (2.8.14), whatever the order they come back in: one descriptor stands for chains
 * that were written to the full and the one behind them, over the ring's end, lap for lap.
 */
static void in_order(struct bench *b)
{
	const uint64_t features = FEATURES | 1ull << VIRTIO_F_IN_ORDER;
	struct segment more[3][4];
	struct chain chain[3];
	uint32_t len = 0;

	assert_int_equal(start(b, ring_first_base(features), features), 0);
	for (uint16_t lap = 0; lap < 20; lap++) {
		for (uint16_t i = 0; i < 3; i++) { /* of 1, 2 and 2 descriptors */
			if (i)
				post(b, IOVA + DATA_AT, 4, 99, VRING_DESC_F_NEXT);
			post(b, IOVA + DATA_AT, 4, i, VRING_DESC_F_WRITE);
			chain[i].segments = more[i];
			chain[i].max_segments = 4;
			assert_int_equal(ring_pop(&b->ring, &chain[i]), RING_CHAIN);
		}
		ring_complete(&b->ring, &chain[2], 3);
		ring_complete(&b->ring, &chain[1], 4);
		assert_false(ring_flush_used(&b->ring));
		assert_int_equal(collect(b, 1, &len), -1);
		ring_complete(&b->ring, &chain[0], lap & 1 ? 4 : 1);
		ring_flush_used(&b->ring);
		if (lap & 1) { /* all in one */
			assert_int_equal(collect(b, 5, &len), 2);
		} else {
			assert_int_equal(collect(b, 1, &len), 0);
			assert_int_equal(len, 1);
			assert_int_equal(collect(b, 4, &len), 2);
		}
		assert_int_equal(len, 3);
		assert_int_equal(collect(b, 1, &len), -1);
	}
	ring_stop(&b->ring);
}

static void test_in_order(void **state)
{
	each_memory(in_order);
}

/* The base carries index and wrap counter over a stop and a start, at every position. */
static void bases(struct bench *b)
{
	for (uint32_t wrap = 0; wrap < 2; wrap++) {
		for (uint32_t at = 0; at < NUM; at++) {
			uint32_t half = at | wrap << 15, base = half | half << 16;
			struct chain chain;
			uint32_t len;

			for (unsigned i = 0; i < NUM; i++)
				store_le16(b->bytes + i * 16 + 14,
					   (i < at) == !wrap ? 0 : F_AVAIL | F_USED);
			assert_int_equal(start(b, base, FEATURES), 0);
			assert_int_equal(ring_base(&b->ring), base);
			assert_int_equal(pop(b, &chain), RING_EMPTY);
			post(b, IOVA + DATA_AT, 4, 7, VRING_DESC_F_WRITE);
			assert_int_equal(pop(b, &chain), RING_CHAIN);
			ring_complete(&b->ring, &chain, 0);
			ring_flush_used(&b->ring);
			assert_int_equal(collect(b, 1, &len), 7);
			ring_stop(&b->ring);
			assert_int_equal(ring_base(&b->ring) & 0x7fff, (at + 1) % NUM);
		}
	}
	assert_int_equal(start(b, NUM | 0x8000, FEATURES), -EINVAL);
}

static void test_bases(void **state)
{
	each_memory(bases);
}

/* Whether the device calls, for every place the driver's event word may name. */
static void calls(struct bench *b)
{
	struct chain chain;
	uint8_t *event = b->bytes + DRIVER_AT;

	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	for (unsigned i = 0; i < 3 * NUM; i++) {
		uint16_t here = b->ring.used | (b->ring.used_wrap ? 0x8000 : 0);
		uint16_t prefetch = (b->ring.used + 1) % NUM;
		bool wrap = prefetch ? b->ring.used_wrap : !b->ring.used_wrap;
		unsigned mode = i % 4;

		store_le16(event + 2, mode == 0	  ? VRING_PACKED_EVENT_FLAG_ENABLE
				      : mode == 1 ? VRING_PACKED_EVENT_FLAG_DISABLE
						  : VRING_PACKED_EVENT_FLAG_DESC);
		store_le16(event, mode == 2 ? here : (uint16_t)(prefetch | (wrap ? 0x8000 : 0)));
		post(b, IOVA + DATA_AT, 4, 1, VRING_DESC_F_WRITE);
		assert_int_equal(pop(b, &chain), RING_CHAIN);
		ring_complete(&b->ring, &chain, 0);
		assert_int_equal(ring_flush_used(&b->ring), mode == 0 || mode == 2);
	}
	ring_stop(&b->ring);
}

static void test_calls(void **state)
{
	each_memory(calls);
}

static void arming(struct bench *b)
{
	struct chain chain;

	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(load_le16(b->bytes + DEVICE_AT), 0x8000);
	assert_int_equal(load_le16(b->bytes + DEVICE_AT + 2), VRING_PACKED_EVENT_FLAG_DESC);
	post(b, IOVA + DATA_AT, 4, 1, VRING_DESC_F_WRITE);
	assert_true(ring_enable_notify(&b->ring));
	assert_int_equal(pop(b, &chain), RING_CHAIN);
	ring_disable_notify(&b->ring);
	assert_int_equal(load_le16(b->bytes + DEVICE_AT + 2), VRING_PACKED_EVENT_FLAG_DISABLE);
	ring_complete(&b->ring, &chain, 0);
	ring_flush_used(&b->ring);
	ring_stop(&b->ring);
}

static void test_arming(void **state)
{
	each_memory(arming);
}

static void indirect(struct bench *b)
{
	uint8_t *table = b->bytes + TABLE_AT;
	struct chain chain;

	assert_int_equal(start(b, ring_first_base(FEATURES), FEATURES), 0);
	memset(table, 0, 48);
	store_le64(table, IOVA + DATA_AT);
	store_le32(table + 8, 16);
	store_le64(table + 16, IOVA + DATA_AT + 16);
	store_le32(table + 24, 32);
	store_le16(table + 30, VRING_DESC_F_WRITE);
	post(b, IOVA + TABLE_AT, 32, 5, VRING_DESC_F_INDIRECT);
	assert_int_equal(pop(b, &chain), RING_CHAIN);
	assert_int_equal(chain.entries, 1);
	assert_int_equal(chain.readable, 16);
	assert_int_equal(chain.writable, 32);
}

static void test_indirect(void **state)
{
	each_memory(indirect);
}

/* What a driver must not post: each breaks the ring, with a reason. */
static void nonsense(struct bench *b)
{
	static const struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags;
		uint64_t features;
		const char *reason;
	} cases[] = {
		{IOVA + MEMORY, 4, 0, FEATURES, "not mapped"},
		{UINT64_MAX - 1, 4, 0, FEATURES, "wraps"},
		{IOVA + TABLE_AT, 17, VRING_DESC_F_INDIRECT, FEATURES, "malformed"},
		{IOVA + TABLE_AT, 0, VRING_DESC_F_INDIRECT, FEATURES, "malformed"},
		{IOVA + TABLE_AT, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, FEATURES,
		 "within"},
		{IOVA + TABLE_AT, 16, VRING_DESC_F_INDIRECT, 1ull << VIRTIO_F_RING_PACKED,
		 "without"},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct chain chain;

		memset(b->bytes, 0, DATA_AT);
		assert_int_equal(start(b, 0x80008000, cases[i].features), 0);
		post(b, cases[i].addr, cases[i].len, 3, cases[i].flags);
		assert_int_equal(pop(b, &chain), RING_BROKEN);
		assert_non_null(strstr(ring_reason(&b->ring), cases[i].reason));
		assert_int_equal(pop(b, &chain), RING_BROKEN);
		assert_int_equal(ring_base(&b->ring), 0x80008000);
	}
}

static void test_nonsense(void **state)
{
	each_memory(nonsense);
}

/* A chain without an end goes once round the ring and no further. */
static void endless(struct bench *b)
{
	struct chain chain;

	assert_int_equal(start(b, 0x80008000, FEATURES), 0);
	for (unsigned i = 0; i < NUM; i++)
		post(b, IOVA + DATA_AT, 4, 3, VRING_DESC_F_NEXT);
	assert_int_equal(pop(b, &chain), RING_BROKEN);
	assert_non_null(strstr(ring_reason(&b->ring), "longer than the ring"));
}

static void test_endless(void **state)
{
	each_memory(endless);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_laps),	 cmocka_unit_test(test_batches),
		cmocka_unit_test(test_bases),	 cmocka_unit_test(test_calls),
		cmocka_unit_test(test_arming),	 cmocka_unit_test(test_indirect),
		cmocka_unit_test(test_nonsense), cmocka_unit_test(test_endless),
		cmocka_unit_test(test_untaking), cmocka_unit_test(test_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
