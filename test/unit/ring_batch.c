/*
 * Chains of one buffer by the batch, on both layouts: the same chains as one by one, each once and
 * in order, whatever lies between them; and none where the long way is the only one.
 */
#include "ring/ring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/pq.h"
#include "lib/ram.h"
#include "lib/vq.h"
#include "util/bytes.h"
#include "wire/vhost.h"

#define NUM	 16u
#define RAM_SIZE 65536u
#define BUFFERS	 0x8000u /* from the RAM's beginning */
#define BUFFER	 64u
#define PACKED	 (1ull << VIRTIO_F_RING_PACKED)

struct bench {
	bool packed;
	struct ram ram;
	struct space *space;
	struct ring ring;
	struct vq vq;
	struct pq pq;
	unsigned offered, used; /* chains so far; the n-th has the id n % NUM, or n % (NUM / 2) */
	struct segment segments[8];
	struct ring_used turns[NUM];
};

static void start(struct bench *b, uint64_t features, uint16_t at, struct inflight_record *record)
{
	struct ring_setup setup = {.num = NUM,
				   .desc = b->packed ? b->pq.desc : b->vq.desc,
				   .driver = b->packed ? b->pq.driver : b->vq.avail,
				   .device = b->packed ? b->pq.device : b->vq.used,
				   .features = features | (b->packed ? PACKED : 0) |
					       1ull << VIRTIO_RING_F_INDIRECT_DESC,
				   .reorder = features ? b->turns : NULL,
				   .record = record};

	if (b->packed) {
		pq_start_at(&b->pq, at, true);
		setup.base = pq_base(&b->pq);
	} else {
		vq_start_at(&b->vq, at);
		setup.base = at;
	}
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
}

static struct bench *bench(bool packed, enum ram_kind kind)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->packed = packed;
	ram_init(&b->ram, kind, RAM_SIZE);
	b->space = space_new(&b->ram.memory);
	assert_int_equal(
		space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, SPACE_READ | SPACE_WRITE),
		0);
	vq_init(&b->vq, &b->ram, NUM, b->ram.iova);
	pq_init(&b->pq, &b->ram, NUM, b->ram.iova + 0x2000);
	return b;
}

static void bench_free(struct bench *b)
{
	space_free(b->space);
	ram_destroy(&b->ram);
	free(b);
}

static uint64_t buffer(const struct bench *b, unsigned n)
{
	return b->ram.iova + BUFFERS + (n % NUM) * BUFFER;
}

/* A chain of `count` buffers, of descriptors that nobody else has meanwhile. */
static void offer(struct bench *b, uint64_t addr, uint32_t len, uint16_t flags, unsigned count)
{
	unsigned id = b->offered++ % (NUM / 2);
	struct pq_buffer parts[2] = {{addr, len, flags}, {addr, len, flags}};
	uint16_t head = (uint16_t)(2 * id);

	if (b->packed) {
		pq_offer(&b->pq, (uint16_t)id, parts, count);
		return;
	}
	vq_desc(&b->vq, head, addr, len, (uint16_t)(flags | (count > 1 ? D_NEXT : 0)),
		(uint16_t)(head + 1));
	vq_desc(&b->vq, (uint16_t)(head + 1), addr, len, flags, 0);
	vq_offer(&b->vq, head);
}

static void offer_plain(struct bench *b, uint16_t flags)
{
	offer(b, buffer(b, b->offered), BUFFER, flags, 1);
}

/* The driver finds the next chain used, with so many bytes. */
static void expect_used(struct bench *b, uint32_t written)
{
	unsigned id = b->used++ % (NUM / 2);
	struct vq_used used;
	uint32_t len;
	uint16_t got;

	if (b->packed) {
		assert_true(pq_take_used(&b->pq, &got, &len));
		assert_int_equal(got, id);
		assert_int_equal(len, written);
		return;
	}
	assert_true(vq_take_used(&b->vq, &used));
	assert_int_equal(used.id, 2 * id);
	assert_int_equal(used.len, written);
}

static bool has_used(struct bench *b)
{
	return b->packed ? pq_has_used(&b->pq) : vq_used_index(&b->vq) != b->vq.next_used;
}

static enum ring_pop_result pop(struct bench *b, struct chain *chain)
{
	*chain = (struct chain){.segments = b->segments, .max_segments = 8};
	return ring_pop(&b->ring, chain);
}

/* One by one, which also finds the buffers' region for those that follow. */
static void pop_and_complete(struct bench *b, uint32_t written)
{
	struct chain chain;

	assert_int_equal(pop(b, &chain), RING_CHAIN);
	ring_complete(&b->ring, &chain, written);
}

static void warm(struct bench *b)
{
	offer_plain(b, D_WRITE);
	pop_and_complete(b, 1);
	ring_flush_used(&b->ring);
	expect_used(b, 1);
}

static void batches(bool packed)
{
	static const uint32_t written[] = {10, 20, 30, 40, 50};
	struct bench *b = bench(packed, RAM_DIRECT);
	struct batch_chain plain[8];

	start(b, 0, 7, NULL);
	warm(b);
	for (unsigned lap = 0; lap < 20; lap++) { /* over the ring's end, too */
		uint32_t base;

		for (unsigned i = 0; i < 5; i++)
			offer_plain(b, D_WRITE);
		base = ring_base(&b->ring);
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 5);
		for (unsigned i = 0; i < 5; i++) {
			assert_ptr_equal(plain[i].host - b->ram.bytes,
					 buffer(b, b->used + i) - b->ram.iova);
			assert_int_equal(plain[i].size, BUFFER);
		}
		ring_unpop_batch(&b->ring, 5);
		assert_int_equal(ring_base(&b->ring), base);
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 4), 4);
		ring_unpop_batch(&b->ring, 1);
		ring_complete_batch(&b->ring, plain, written, 3);
		assert_false(has_used(b)); /* before it is published */
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 2);
		ring_complete_batch(&b->ring, plain, written + 3, 2);
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
		ring_flush_used(&b->ring);
		for (unsigned i = 0; i < 5; i++)
			expect_used(b, written[i]);
		assert_false(has_used(b));
	}
	ring_stop(&b->ring);
	bench_free(b);
}

/* Readable ones have no length. */
static void readable(bool packed)
{
	struct bench *b = bench(packed, RAM_MAPPED);
	struct batch_chain plain[8];

	start(b, 0, 0, NULL);
	warm(b);
	for (unsigned i = 0; i < 3; i++)
		offer_plain(b, 0);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_READ, plain, 8), 3);
	ring_complete_batch(&b->ring, plain, NULL, 3);
	ring_flush_used(&b->ring);
	for (unsigned i = 0; i < 3; i++)
		expect_used(b, 0);
	bench_free(b);
}

/* Nothing says why a batch ends: the long way does, which takes the same chain. */
static void ends(bool packed)
{
	static const struct {
		uint64_t offset;
		uint32_t len;
		uint16_t flags;
		unsigned count;
		bool sound;
	} odd[] = {
		{BUFFERS, BUFFER, D_WRITE, 2, true}, {BUFFERS, BUFFER, 0, 1, true},
		{BUFFERS, 0, D_WRITE, 1, true},	     {RAM_SIZE - 8, 9, D_WRITE, 1, false},
		{BUFFERS, 24, D_INDIRECT, 1, false},
	};

	for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct bench *b = bench(packed, RAM_MAPPED);
		struct batch_chain plain[8];
		struct chain chain;
		const uint32_t written[2] = {1, 2};

		start(b, 0, 12, NULL);
		warm(b);
		offer_plain(b, D_WRITE);
		offer_plain(b, D_WRITE);
		offer(b, b->ram.iova + odd[i].offset, odd[i].len, odd[i].flags, odd[i].count);
		offer_plain(b, D_WRITE);
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 2);
		ring_complete_batch(&b->ring, plain, written, 2);
		assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
		assert_string_equal(ring_reason(&b->ring), "");
		if (odd[i].sound) {
			pop_and_complete(b, 0);
			assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 1);
			ring_complete_batch(&b->ring, plain, written, 1);
		} else {
			assert_int_equal(pop(b, &chain), RING_BROKEN);
			assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
		}
		bench_free(b);
	}
}

static void a_head_that_is_none(void **state)
{
	struct bench *b = bench(false, RAM_MAPPED);
	struct batch_chain plain[8];
	struct chain chain;

	start(b, 0, 0, NULL);
	warm(b);
	offer_plain(b, D_WRITE);
	vq_offer(&b->vq, NUM);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 1);
	ring_complete_batch(&b->ring, plain, (uint32_t[]){1}, 1);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
	assert_int_equal(pop(b, &chain), RING_BROKEN);
	bench_free(b);
}

/* What is mapped anew is found anew: nothing is taken by an old translation. */
static void memory_moves(bool packed)
{
	struct bench *b = bench(packed, RAM_MAPPED);
	struct batch_chain plain[8];

	start(b, 0, 0, NULL);
	warm(b);
	space_remove(b->space, 0, 0);
	space_reap(b->space, UINT64_MAX);
	offer_plain(b, D_WRITE);
	offer_plain(b, D_WRITE);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
	assert_int_equal(
		space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, SPACE_READ | SPACE_WRITE),
		0);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
	pop_and_complete(b, 0);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 1);
	bench_free(b);
}

/* A part of memory that may only be read is not written. */
static void no_permission(bool packed)
{
	struct bench *b = bench(packed, RAM_MAPPED);
	uint64_t other = b->ram.iova + 0x100000;
	struct batch_chain plain[8];

	assert_int_equal(space_add(b->space, other, RAM_SIZE, b->ram.uaddr, SPACE_READ), 0);
	start(b, 0, 0, NULL);
	warm(b);
	offer(b, other + BUFFERS, BUFFER, 0, 1);
	pop_and_complete(b, 0);
	offer(b, other + BUFFERS, BUFFER, 0, 1);
	offer(b, other + BUFFERS, BUFFER, D_WRITE, 1);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_READ, plain, 8), 1);
	ring_complete_batch(&b->ring, plain, NULL, 1);
	assert_int_equal(ring_take_batch(&b->ring, SPACE_WRITE, plain, 8), 0);
	bench_free(b);
}

static unsigned had(struct bench *b)
{
	struct batch_chain plain[8];

	offer_plain(b, D_WRITE);
	return ring_take_batch(&b->ring, SPACE_WRITE, plain, 8);
}

/* Where more has to be done for a chain than to take it. */
static void the_long_way_only(bool packed)
{
	_Alignas(8) static uint8_t room[65536];
	struct dirty_log log = {.pages = 0};
	struct bench *b = bench(packed, RAM_COPIED);

	start(b, 0, 0, NULL);
	warm(b);
	assert_int_equal(had(b), 0);
	bench_free(b);

	b = bench(packed, RAM_MAPPED);
	start(b, 1ull << VIRTIO_F_IN_ORDER, 0, NULL);
	warm(b);
	assert_int_equal(had(b), 0);
	bench_free(b);

	memset(room, 0, sizeof(room));
	b = bench(packed, RAM_MAPPED);
	if (packed)
		inflight_packed_clear((struct inflight_packed *)(void *)room, NUM);
	else
		inflight_clear((struct inflight_record *)(void *)room, NUM);
	start(b, 0, 0, (struct inflight_record *)(void *)room);
	warm(b);
	assert_int_equal(had(b), 0);
	bench_free(b);

	b = bench(packed, RAM_MAPPED);
	start(b, 0, 0, NULL);
	warm(b);
	ring_set_log(&b->ring, NULL, &log, 0);
	assert_int_equal(had(b), 0);
	ring_set_log(&b->ring, &log, NULL, 0);
	assert_int_equal(had(b), 0);
	ring_set_log(&b->ring, NULL, NULL, 0);
	assert_int_equal(had(b), 3);
	bench_free(b);
}

/* Any mixture of chains and batches: each chain comes back once, in order. */
static void mixtures(bool packed)
{
	struct bench *b = bench(packed, RAM_MAPPED);
	uint32_t written[8] = {0};
	unsigned seed = 1;

	start(b, 0, 3, NULL);
	warm(b);
	for (unsigned round = 0; round < 5000; round++) {
		struct batch_chain plain[8];
		unsigned some, n;

		some = (unsigned)rand_r(&seed) % 4;
		for (n = 0; n < some && b->offered - b->used < NUM / 2; n++)
			offer(b, buffer(b, b->offered), BUFFER, rand_r(&seed) % 4 ? D_WRITE : 0,
			      rand_r(&seed) % 4 ? 1 : 2);
		n = ring_take_batch(&b->ring, SPACE_WRITE, plain, 1 + (unsigned)rand_r(&seed) % 8);
		some = n ? (unsigned)rand_r(&seed) % (n + 1) : 0;
		ring_unpop_batch(&b->ring, some);
		ring_complete_batch(&b->ring, plain, written, n - some);
		if (!n && ring_look(&b->ring) == RING_CHAIN)
			pop_and_complete(b, 0);
		if (rand_r(&seed) % 2)
			ring_flush_used(&b->ring);
		while (has_used(b))
			expect_used(b, 0);
	}
	assert_true(b->used > 1000);
	bench_free(b);
}

#define BOTH(name)                          \
	static void name##_split(void **s)  \
	{                                   \
		name(false);                \
	}                                   \
	static void name##_packed(void **s) \
	{                                   \
		name(true);                 \
	}

BOTH(batches)
BOTH(readable)
BOTH(ends)
BOTH(memory_moves)
BOTH(no_permission)
BOTH(the_long_way_only)
BOTH(mixtures)

#define TESTS(name) cmocka_unit_test(name##_split), cmocka_unit_test(name##_packed)

static _Atomic bool hostile_over;

/*
 * Makes the one descriptor of a ring available to each lap in turn, whether or not it was used. The
 * race is what the test is about: the device reads the descriptor in one piece, whatever its parts.
 */
__attribute__((no_sanitize_thread)) static void *hostile(void *arg)
{
	_Atomic uint16_t *flags = arg;

	while (!hostile_over) {
		*flags = 1u << VRING_PACKED_DESC_F_AVAIL;
		*flags = 1u << VRING_PACKED_DESC_F_USED;
	}
	return NULL;
}

/* However often it does, a batch is not longer than the ring, and can be given back. */
static void not_more_than_a_lap(void **state)
{
	struct bench *b = bench(true, RAM_DIRECT);
	uint8_t *desc = ram_at(&b->ram, b->pq.desc, 16);
	struct ring_setup setup = {.num = 1,
				   .desc = b->pq.desc,
				   .driver = b->pq.driver,
				   .device = b->pq.device,
				   .base = 0x80008000u,
				   .features = PACKED};
	struct chain chain = {.segments = b->segments, .max_segments = 8};
	struct batch_chain plain[64];
	pthread_t thread;

	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
	store_le64(desc, b->ram.iova + BUFFERS);
	store_le32(desc + 8, BUFFER);
	store_le16(desc + 14, 1u << VRING_PACKED_DESC_F_AVAIL);
	assert_int_equal(ring_pop(&b->ring, &chain), RING_CHAIN);
	ring_unpop(&b->ring, &chain);
	hostile_over = false;
	assert_int_equal(pthread_create(&thread, NULL, hostile, desc + 14), 0);
	/* until they were at it at the same time often enough */
	for (unsigned changes = 0, before = 0, count; changes < 500; before = count) {
		count = ring_take_batch(&b->ring, SPACE_READ, plain, 64);
		assert_true(count <= 1);
		ring_unpop_batch(&b->ring, count);
		changes += count != before;
	}
	hostile_over = true;
	pthread_join(thread, NULL);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TESTS(batches),
		TESTS(readable),
		TESTS(ends),
		cmocka_unit_test(a_head_that_is_none),
		TESTS(memory_moves),
		TESTS(no_permission),
		TESTS(the_long_way_only),
		TESTS(mixtures),
		cmocka_unit_test(not_more_than_a_lap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
