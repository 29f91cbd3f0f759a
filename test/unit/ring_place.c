/*
 * Where a ring goes on that others may have used before: by its memory and, if there is one, its
 * record, whatever the base. And that its driver hears of what nobody can have told him.
 */
#include "ring_bench.h"

#include "lib/pq.h"
#include "ring/inflight.h"
#include "util/bytes.h"

#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)

static void put(struct bench *b, uint64_t iova, uint32_t value)
{
	store_le32(ram_at(&b->ram, iova, 4), value);
}

enum base { AT_USED, AT_AVAIL, BELOW, ABOVE, AT_0, UNSET, BASES };

/* How the process before us left a ring: so many were used, and so many more were posted. */
struct left {
	struct bench *b;
	uint16_t used, posted;
	struct inflight_record *record;
	unsigned in_record; /* the first so many of those posted */
	bool touched;
};

static uint32_t base_of(const struct left *left, enum base base)
{
	const uint16_t bases[] = {
		[AT_USED] = left->used,
		[AT_AVAIL] = left->used + left->posted,
		[BELOW] = left->used - 2,
		[ABOVE] = left->used + left->posted + 3,
		[AT_0] = 0,
		[UNSET] = 0,
	};

	return bases[base];
}

/* The used index as it was left, entries that nobody may be shown, and what was posted. */
static void leave(struct left *left)
{
	struct bench *b = left->b;

	vq_start_at(&b->vq, left->used);
	for (uint32_t i = 0; i < NUM; i++)
		put(b, b->vq.used + 4 + 8 * i, 0xdead);
	for (uint16_t i = 0; i < left->posted; i++)
		offer_one(b, i);
	if (!left->record)
		return;
	inflight_clear(left->record, NUM);
	left->record->used_idx = left->used;
	for (uint16_t i = 0; i < left->in_record; i++)
		inflight_take(left->record, i, 10 + i);
	if (left->touched)
		left->record->desc[NUM - 1].counter = 9;
}

static void begin(struct left *left, enum base base, uint64_t features)
{
	struct bench *b = left->b;
	struct ring_setup setup = {.num = NUM,
				   .desc = b->vq.desc,
				   .driver = b->vq.avail,
				   .device = b->vq.used,
				   .base = base_of(left, base),
				   .base_unset = base == UNSET,
				   .features = features,
				   .record = left->record};

	ring_init(&b->ring);
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
}

/* Takes and completes all there is: heads from `first` on. All that is shown was written. */
static void expect_from(struct left *left, uint16_t first)
{
	struct bench *b = left->b;
	struct vq_used used;

	for (uint16_t i = first; i < left->posted; i++) {
		assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(b->chain.head, i);
		ring_complete(&b->ring, &b->chain, 1);
	}
	assert_int_equal(pop(b), RING_EMPTY);
	assert_true(ring_flush_used(&b->ring));
	for (uint16_t i = first; i < left->posted; i++) {
		assert_true(vq_take_used(&b->vq, &used));
		assert_int_equal(used.id, i);
	}
	assert_false(vq_take_used(&b->vq, &used));
	assert_int_equal(vq_used_index(&b->vq), (uint16_t)(left->used + left->posted - first));
	assert_int_equal(ring_base(&b->ring), (uint16_t)(left->used + left->posted));
}

static void for_each_left(void (*one)(struct left *left))
{
	static const uint16_t useds[] = {3, 1000, 65533, 65535};

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++)
		for (unsigned i = 0; i < sizeof(useds) / sizeof(useds[0]); i++) {
			struct left left = {
				.b = bench_new(kind, 0, 0), .used = useds[i], .posted = 5};

			one(&left);
			free(left.record);
			bench_free(left.b);
		}
}

static void one_without_record(struct left *left)
{
	for (enum base base = 0; base < BASES; base++) {
		uint16_t prefetch = (uint16_t)(base_of(left, base) - left->used);

		leave(left);
		begin(left, base, 0);
		/* from a base that can be: what lies before it is none of ours */
		expect_from(left, base != UNSET && prefetch <= left->posted ? prefetch : 0);
		assert_int_equal(left->b->ring.base_refused,
				 base != UNSET && prefetch > left->posted);
	}
}

static void without_record(void **state)
{
	for_each_left(one_without_record);
}

static void one_with_record(struct left *left)
{
	left->record = calloc(1, inflight_size(NUM));
	for (enum base base = 0; base < BASES; base++)
		for (left->in_record = 0; left->in_record <= left->posted; left->in_record++)
			for (unsigned touched = 0; touched < 2; touched++) {
				left->touched = touched;
				leave(left);
				begin(left, base, 0);
				expect_from(left, 0);
			}
}

static void with_record(void **state)
{
	for_each_left(one_with_record);
}

/* Used is more than the ring behind available: no ring in use. As the kernel's simulator has it. */
static void no_ring(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 500);
	struct vq_used used;

	put(b, b->vq.used, 0);
	offer_one(b, 2);
	assert_int_equal(pop(b), RING_CHAIN);
	ring_complete(&b->ring, &b->chain, 1);
	ring_flush_used(&b->ring);
	assert_int_equal(vq_used_index(&b->vq), 501);
	assert_true(vq_take_used(&b->vq, &used));
	bench_free(b);
}

/* What was shown may not have been told; with event indices no later completion would tell. */
static void called_once(void **state)
{
	static const uint16_t useds[] = {0, 1, 7, 65535};

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++)
		for (unsigned i = 0; i < 4; i++)
			for (unsigned event = 0; event < 2; event++) {
				struct left left = {.b = bench_new(kind, 0, 0), .used = useds[i]};

				leave(&left);
				begin(&left, AT_USED, event ? EVENT_IDX : 0);
				assert_int_equal(pop(left.b), RING_EMPTY);
				assert_true(ring_flush_used(&left.b->ring));
				assert_false(ring_flush_used(&left.b->ring));
				bench_free(left.b);
			}
}

static void at_its_beginning(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);
	struct left left = {.b = b};

	begin(&left, AT_0, 0);
	offer_one(b, 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_false(ring_flush_used(&b->ring));
	bench_free(b);
}

/* --- Packed: the position is in no memory but the base's and the record's ------------------------
 */

static enum ring_pop_result begin_packed(struct bench *b, struct pq *pq, uint32_t base,
					 struct inflight_packed *record)
{
	struct ring_setup setup = {.num = NUM,
				   .desc = pq->desc,
				   .driver = pq->driver,
				   .device = pq->device,
				   .base = base,
				   .features = 1ull << VIRTIO_F_RING_PACKED,
				   .record = (void *)record};

	ring_init(&b->ring);
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
	return ring_look(&b->ring);
}

/* Every position of two laps: called once, unless it is the first and nothing was used. */
static void packed_called(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);
	struct pq pq;

	for (unsigned at = 0; at <= 2 * NUM; at++) {
		pq_init(&pq, &b->ram, NUM, b->ram.iova + 0x1000);
		pq_start_at(&pq, at % NUM, at / NUM % 2 == 0);
		if (at == 2 * NUM) /* where it began; but somebody has been there */
			put(b, pq.desc + 16 * (NUM - 1), 0x1000);
		begin_packed(b, &pq, pq_base(&pq), NULL);
		assert_int_equal(ring_flush_used(&b->ring), at != 0);
		assert_false(ring_flush_used(&b->ring));
		assert_int_equal(ring_base(&b->ring), pq_base(&pq));
	}
	bench_free(b);
}

/* A record that holds nothing says where the ring is; one that nobody took anything with does not.
 */
static void packed_record(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);
	struct inflight_packed *record = calloc(1, inflight_packed_size(NUM));
	struct pq pq;

	pq_init(&pq, &b->ram, NUM, b->ram.iova + 0x1000);
	for (unsigned touched = 0; touched < 2; touched++) {
		const uint32_t bases[] = {0x80008000u, 0x80058005u, 0x00020002u, 0x80058007u};

		for (unsigned i = 0; i < 4; i++) {
			uint16_t half = (uint16_t)(bases[i] >> 16);

			inflight_packed_begin(record, NUM, 3, true);
			record->desc[1].counter = touched;
			begin_packed(b, &pq, bases[i], record);
			half = touched ? 0x8003 : half;
			assert_int_equal(ring_base(&b->ring), half | (uint32_t)half << 16);
		}
	}
	free(record);
	bench_free(b);
}

static void sizes(void **state)
{
	static const uint32_t split[] = {1, 2, 256, 1024, 32768},
			      packed[] = {3, 5, 100, 255, 32767};
	static const uint32_t none[] = {0, 32769, 65536, UINT32_MAX};

	for (unsigned i = 0; i < 5; i++) {
		assert_true(ring_size_fits(split[i], 0));
		assert_true(ring_size_fits(split[i], 1ull << VIRTIO_F_RING_PACKED));
		assert_false(ring_size_fits(packed[i], 0));
		assert_true(ring_size_fits(packed[i], 1ull << VIRTIO_F_RING_PACKED));
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_false(ring_size_fits(none[i], 0));
		assert_false(ring_size_fits(none[i], 1ull << VIRTIO_F_RING_PACKED));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_record),   cmocka_unit_test(with_record),
		cmocka_unit_test(no_ring),	    cmocka_unit_test(called_once),
		cmocka_unit_test(packed_called),    cmocka_unit_test(packed_record),
		cmocka_unit_test(at_its_beginning), cmocka_unit_test(sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
