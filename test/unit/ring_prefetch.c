/*
 * Reading ahead of rings in copied memory: how often memory is read, that what was fetched is what
 * is used, and that nothing is fetched which the driver may still change.
 */
#include "ring_bench.h"

#include "lib/pq.h"
#include "util/bytes.h"

#define TABLES UINT64_C(0x800)	/* from the buffers on */
#define HEADS  UINT64_C(0x4000) /* headers, 64 bytes apart */
#define DATA   UINT64_C(0x6000)

static uint64_t table_of(const struct bench *b, uint16_t i)
{
	return b->buffer + TABLES + 64u * i;
}

static uint8_t *header_of(struct bench *b, uint16_t i)
{
	return ram_at(&b->ram, b->buffer + HEADS + 64u * i, 16);
}

/* The usual request, in descriptor `i`: a table with header, data and status. */
static void put(struct bench *b, uint16_t i, uint8_t fill)
{
	uint64_t table = table_of(b, i);

	memset(header_of(b, i), fill, 16);
	vq_desc_at(&b->ram, table, b->buffer + HEADS + 64u * i, 16, D_NEXT, 1);
	vq_desc_at(&b->ram, table + 16, b->buffer + DATA + 512u * i, 512, D_NEXT | D_WRITE, 2);
	vq_desc_at(&b->ram, table + 32, b->buffer + HEADS + 64u * i + 32, 1, D_WRITE, 0);
	vq_desc(&b->vq, i, table, 3 * 16, D_INDIRECT, 0);
}

static void offer(struct bench *b, uint16_t i, uint8_t fill)
{
	put(b, i, fill);
	vq_offer(&b->vq, i);
}

/* The chain that was just taken is `i` as offer made it; returns how many reads that took. */
static unsigned expect(struct bench *b, uint16_t i, uint8_t fill)
{
	unsigned before = b->ram.reads;
	uint8_t header[16], want[16];

	memset(want, fill, sizeof(want));
	assert_int_equal(b->chain.head, i);
	assert_int_equal(b->chain.readable, 16);
	assert_int_equal(b->chain.writable, 513);
	assert_int_equal(b->chain.segments[1].iova, b->buffer + DATA + 512u * i);
	assert_int_equal(chain_read_head(&b->chain, header, 16), 0);
	assert_memory_equal(header, want, 16);
	assert_int_equal(chain_read(&b->chain, 4, header, 12), 0);
	assert_memory_equal(header, want, 12);
	return b->ram.reads - before;
}

static struct bench *begin(uint64_t features)
{
	struct bench *b = bench_new(RAM_COPIED, features, 0);

	b->ring.setup.prefetch = &b->prefetch;
	assert_true(ring_find_place(&b->ring));
	return b;
}

static void many_chains_in_few_reads(void **state)
{
	struct bench *b = begin(INDIRECT | EVENT);

	for (unsigned lap = 0; lap < 3; lap++) {
		unsigned before = b->ram.reads, writes = b->ram.writes;

		for (uint16_t i = 0; i < NUM; i++)
			offer(b, NUM - 1 - i, (uint8_t)(i + lap));
		for (uint16_t i = 0; i < NUM; i++) {
			assert_int_equal(pop(b), RING_CHAIN);
			assert_int_equal(expect(b, NUM - 1 - i, (uint8_t)(i + lap)), 0);
			ring_complete(&b->ring, &b->chain, 0);
		}
		/* index, entries, descriptors, tables, headers */
		assert_int_equal(b->ram.reads - before, 5);
		ring_flush_used(&b->ring);
		assert_int_equal(b->ram.reads - before, 6); /* the driver's event */
		assert_int_equal(b->ram.writes - writes, 2);
	}
	ring_stop(&b->ring);
	bench_free(b);
}

/* A driver that breaks the rules gets what it had when it was looked at, all of it. */
static void what_was_fetched_is_used(void **state)
{
	struct bench *b = begin(INDIRECT);

	for (uint16_t i = 0; i < NUM; i++)
		offer(b, i, i);
	assert_int_equal(pop(b), RING_CHAIN);
	memset(ram_at(&b->ram, b->vq.desc, 16 * NUM), 0xff, 16 * NUM);
	memset(ram_at(&b->ram, b->buffer, 0x8000), 0xff, 0x8000);
	for (uint16_t i = 0; i < NUM; i++) {
		if (i)
			assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(expect(b, i, (uint8_t)i), 0);
	}
	assert_int_equal(pop(b), RING_EMPTY);
	ring_stop(&b->ring);
	bench_free(b);
}

/* What lies behind the index belongs to the driver, until the index says otherwise. */
static void nothing_behind_the_index(void **state)
{
	struct bench *b = begin(INDIRECT);

	for (uint16_t i = 0; i < NUM; i++)
		put(b, i, 0xee);
	for (uint16_t i = 0; i < NUM; i++) {
		offer(b, i, (uint8_t)i);
		assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(expect(b, i, (uint8_t)i), 0);
		assert_int_equal(pop(b), RING_EMPTY);
	}
	ring_stop(&b->ring);
	bench_free(b);
}

/* Until others are fetched, the beginning of a chain is at hand; then it is read again. */
static void an_older_chain_reads_its_own(void **state)
{
	struct bench *b = begin(INDIRECT);
	struct segment segments[SEGMENTS];
	struct chain old;
	uint8_t header[16];
	unsigned before;

	offer(b, 1, 0x11);
	old = b->chain;
	old.segments = segments;
	assert_int_equal(ring_pop(&b->ring, &old), RING_CHAIN);
	offer(b, 2, 0x22);
	assert_int_equal(pop(b), RING_CHAIN);
	before = b->ram.reads;
	assert_int_equal(chain_read_head(&old, header, 16), 0);
	assert_int_equal(header[0], 0x11);
	assert_int_equal(b->ram.reads - before, 1);
	assert_int_equal(expect(b, 2, 0x22), 0);
	old = b->chain; /* a copy of a chain is another */
	before = b->ram.reads;
	assert_int_equal(chain_read_head(&old, header, 16), 0);
	assert_int_equal(b->ram.reads - before, 1);
	ring_stop(&b->ring);
	bench_free(b);
}

/* Chains before a bad one are taken; why it is bad is told as without reading ahead. */
static void one_bad(struct bench *b, void (*spoil)(struct bench *b, uint16_t i), char *reason)
{
	for (uint16_t i = 0; i < 6; i++)
		put(b, i, i);
	spoil(b, 3);
	for (uint16_t i = 0; i < 6; i++)
		vq_offer(&b->vq, i);
	for (uint16_t i = 0; i < 3; i++) {
		assert_int_equal(pop(b), RING_CHAIN);
		expect(b, i, (uint8_t)i);
	}
	assert_int_equal(pop(b), RING_BROKEN);
	snprintf(reason, 160, "%s", ring_reason(&b->ring));
	ring_stop(&b->ring);
	bench_free(b);
}

static void table_gone(struct bench *b, uint16_t i)
{
	vq_desc(&b->vq, i, 0xdead0000, 48, D_INDIRECT, 0);
}

static void table_half_gone(struct bench *b, uint16_t i)
{
	vq_desc(&b->vq, i, b->ram.iova + RAM_SIZE - 16, 48, D_INDIRECT, 0);
}

static void table_odd(struct bench *b, uint16_t i)
{
	vq_desc(&b->vq, i, table_of(b, i), 47, D_INDIRECT, 0);
}

static void table_in_table(struct bench *b, uint16_t i)
{
	vq_desc_at(&b->ram, table_of(b, i), table_of(b, i), 16, D_INDIRECT, 0);
}

static void header_gone(struct bench *b, uint16_t i)
{
	vq_desc_at(&b->ram, table_of(b, i), 0xdead0000, 16, D_NEXT, 1);
}

static void header_wraps(struct bench *b, uint16_t i)
{
	vq_desc_at(&b->ram, table_of(b, i), UINT64_MAX - 7, 16, D_NEXT, 1);
}

static void table_loops(struct bench *b, uint16_t i)
{
	vq_desc_at(&b->ram, table_of(b, i) + 32, b->buffer, 1, D_NEXT | D_WRITE, 1);
}

static void direct_leaves_ring(struct bench *b, uint16_t i)
{
	vq_desc(&b->vq, i, b->buffer, 16, D_NEXT, NUM);
}

static void only_the_bad_chain_is_judged(void **state)
{
	static void (*const spoils[])(struct bench * b, uint16_t i) = {
		table_gone,  table_half_gone, table_odd,   table_in_table,
		header_gone, header_wraps,    table_loops, direct_leaves_ring,
	};

	for (unsigned i = 0; i < sizeof(spoils) / sizeof(spoils[0]); i++) {
		char plain[160], prefetch[160];

		one_bad(bench_new(RAM_COPIED, INDIRECT, 0), spoils[i], plain);
		one_bad(begin(INDIRECT), spoils[i], prefetch);
		assert_string_not_equal(plain, "");
		assert_string_equal(plain, prefetch);
	}
}

/* Another mapping: what was fetched through the old one is not used. */
static void another_space(void **state)
{
	struct bench *b = begin(INDIRECT);
	uint64_t half = RAM_SIZE / 2;

	for (uint16_t i = 0; i < 4; i++)
		offer(b, i, i);
	assert_int_equal(pop(b), RING_CHAIN);
	expect(b, 0, 0);
	/* The same addresses show the other half of the memory from now on. */
	memcpy(b->ram.bytes + half, b->ram.bytes, half);
	assert_int_equal(space_remove(b->space, 0, 0), 1);
	assert_int_equal(space_add(b->space, b->ram.iova, half, b->ram.uaddr + half, 3), 0);
	memset(b->ram.bytes, 0xff, half);
	for (uint16_t i = 1; i < 4; i++) {
		memset(b->ram.bytes + half + (header_of(b, i) - b->ram.bytes), 0x40 + i, 16);
		assert_int_equal(pop(b), RING_CHAIN);
		expect(b, i, (uint8_t)(i == 1 ? 0x41 : i)); /* the rest was fetched with it */
	}
	ring_stop(&b->ring);
	bench_free(b);
}

static void taken_back_and_again(void **state)
{
	struct bench *b = begin(INDIRECT);
	struct chain chain;

	for (uint16_t i = 0; i < 4; i++)
		offer(b, i, i);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(pop(b), RING_CHAIN);
	chain = b->chain;
	ring_unpop(&b->ring, &chain);
	for (uint16_t i = 1; i < 4; i++) {
		assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(expect(b, i, (uint8_t)i), 0);
	}
	ring_stop(&b->ring);
	bench_free(b);
}

/* --- Packed ------------------------------------------------------------------------------- */

static struct pq pq;

static void begin_packed(struct bench *b)
{
	struct ring_setup setup = {.num = NUM,
				   .base = 0x80008000u,
				   .features = 1ull << VIRTIO_F_RING_PACKED | INDIRECT,
				   .prefetch = &b->prefetch};

	pq_init(&pq, &b->ram, NUM, b->ram.iova + 0x1000);
	setup.desc = pq.desc;
	setup.driver = pq.driver;
	setup.device = pq.device;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
}

/* A request whose data are in a table, or, every third, that is in three descriptors of the ring.
 */
static void offer_packed(struct bench *b, uint16_t id, uint8_t fill)
{
	struct pq_buffer buffers[3] = {{b->buffer + HEADS + 64u * id, 16, 0},
				       {b->buffer + DATA + 512u * id, 512, D_WRITE},
				       {b->buffer + HEADS + 64u * id + 32, 1, D_WRITE}};
	struct pq_buffer table = {table_of(b, id), 3 * 16, D_INDIRECT};

	memset(header_of(b, id), fill, 16);
	for (unsigned i = 0; i < 3; i++) {
		uint8_t *raw = ram_at(&b->ram, table.addr + 16 * i, 16);

		store_le64(raw, buffers[i].addr);
		store_le32(raw + 8, buffers[i].len);
		store_le16(raw + 14, buffers[i].flags);
	}
	if (fill % 3)
		pq_offer(&pq, id, &table, 1);
	else
		pq_offer(&pq, id, buffers, 3);
}

/* Completes the chain; the driver hears of it. */
static void finish_packed(struct bench *b, uint16_t id)
{
	uint16_t used;
	uint32_t len;

	ring_complete(&b->ring, &b->chain, 513);
	ring_flush_used(&b->ring);
	assert_true(pq_take_used(&pq, &used, &len));
	assert_int_equal(used, id);
	assert_int_equal(len, 513);
}

static void many_packed_chains_in_few_reads(void **state)
{
	struct bench *b = bench_new(RAM_COPIED, INDIRECT, 0);

	begin_packed(b);
	assert_true(ring_find_place(&b->ring));
	for (unsigned lap = 0; lap < 3; lap++) {
		unsigned before = b->ram.reads, writes = b->ram.writes;

		for (uint16_t i = 0; i < NUM; i++)
			offer_packed(b, i, (uint8_t)(3 * i + lap % 2 + 1));
		for (uint16_t i = 0; i < NUM; i++) {
			assert_int_equal(pop(b), RING_CHAIN);
			assert_int_equal(expect(b, i, (uint8_t)(3 * i + lap % 2 + 1)), 0);
			ring_complete(&b->ring, &b->chain, i);
		}
		/* what is available, then descriptors, tables, headers */
		assert_int_equal(b->ram.reads - before, 4);
		assert_int_equal(b->ram.writes - writes, NUM);
		ring_flush_used(&b->ring);
		assert_int_equal(b->ram.writes - writes, NUM + 1);
		for (uint16_t i = 0; i < NUM; i++) {
			uint16_t id;
			uint32_t len;

			assert_true(pq_take_used(&pq, &id, &len));
			assert_int_equal(id, i);
			assert_int_equal(len, i);
		}
	}
	ring_stop(&b->ring);
	bench_free(b);
}

/*
 * Whenever memory is read the driver has just gone on, and goes on while it is read: when the
 * address of the next descriptor has been copied, and the rest has not.
 */
static unsigned offered, taken, room;

static void go_on(void *arg)
{
	struct bench *b = arg;

	if (room >= 3 && offered - taken < 4) {
		offer_packed(b, (uint16_t)(offered % 4), (uint8_t)offered);
		room -= (uint8_t)offered % 3 ? 1 : 3;
		offered++;
	}
	b->ram.pause = b->ram.uaddr + (pq.desc - b->ram.iova) + 16u * pq.next_avail + 8;
}

static void a_packed_driver_goes_on(void **state)
{
	struct bench *b = bench_new(RAM_COPIED, INDIRECT, 0);
	unsigned waiting = 0;

	begin_packed(b);
	offered = taken = 0;
	room = NUM;
	b->ram.hook = go_on;
	b->ram.hook_arg = b;
	while (taken < 400) {
		enum ring_pop_result r = pop(b);

		assert_true(r == RING_CHAIN || (r == RING_EMPTY && ++waiting < 1000));
		if (r != RING_CHAIN)
			continue;
		expect(b, (uint16_t)(taken % 4), (uint8_t)taken);
		finish_packed(b, (uint16_t)(taken % 4));
		room += (uint8_t)taken % 3 ? 1 : 3;
		taken++;
	}
	assert_true(offered - taken <= 4);
	b->ram.hook = NULL;
	b->ram.pause = 0;
	ring_stop(&b->ring);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_chains_in_few_reads),
		cmocka_unit_test(what_was_fetched_is_used),
		cmocka_unit_test(nothing_behind_the_index),
		cmocka_unit_test(an_older_chain_reads_its_own),
		cmocka_unit_test(only_the_bad_chain_is_judged),
		cmocka_unit_test(another_space),
		cmocka_unit_test(taken_back_and_again),
		cmocka_unit_test(many_packed_chains_in_few_reads),
		cmocka_unit_test(a_packed_driver_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
