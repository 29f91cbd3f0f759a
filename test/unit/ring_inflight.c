/*
 * The record of requests in flight: a process takes, completes and publishes, ends at any point,
 * and the next one goes on from the record and the used index alone.
 */
#include "ring_bench.h"

#include "ring/inflight.h"

/* The bench with a record, which outlives its ring. */
struct life {
	struct bench *b;
	struct inflight_record *record;
};

/* A process begins: all it knows is the base that the front end can know, the used index. */
static void begin(struct life *life)
{
	struct bench *b = life->b;
	static struct ring_prefetch prefetch;
	struct ring_setup setup = {.prefetch = &prefetch,
				   .num = NUM,
				   .desc = b->vq.desc,
				   .driver = b->vq.avail,
				   .device = b->vq.used,
				   .base = vq_used_index(&b->vq),
				   .record = life->record};

	ring_init(&b->ring);
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
}

static void with_record(void (*one)(struct life *life))
{
	static const uint16_t bases[] = {0, 65530};

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		for (unsigned i = 0; i < 2; i++) {
			struct life life = {.b = bench_new(kind, 0, bases[i])};

			life.record = calloc(1, inflight_size(NUM));
			inflight_clear(life.record, NUM);
			begin(&life);
			one(&life);
			free(life.record);
			bench_free(life.b);
		}
	}
}

static void expect(struct life *life, uint16_t head)
{
	assert_int_equal(pop(life->b), RING_CHAIN);
	assert_int_equal(life->b->chain.head, head);
}

static void finish(struct life *life, uint16_t head)
{
	struct chain chain = {.head = head};

	ring_complete(&life->b->ring, &chain, 1);
}

static void one_first_request(struct life *life)
{
	offer_one(life->b, 0);
	expect(life, 0);
	begin(life); /* it never came back: used index and record's used index are the same */
	expect(life, 0);
	assert_int_equal(pop(life->b), RING_EMPTY);
	assert_int_equal(ring_base(&life->b->ring), (uint16_t)(life->b->base + 1));
	finish(life, 0);
	ring_flush_used(&life->b->ring);
	begin(life);
	assert_int_equal(pop(life->b), RING_EMPTY);
}

static void first_request(void **state)
{
	with_record(one_first_request);
}

/* Completed out of order, one of them shown: the others come again as they were submitted. */
static void one_order(struct life *life)
{
	struct bench *b = life->b;
	const uint16_t heads[] = {5, 2, 7, 0, 3};

	for (unsigned i = 0; i < 5; i++)
		offer_one(b, heads[i]);
	for (unsigned i = 0; i < 4; i++)
		expect(life, heads[i]);
	finish(life, 7);
	ring_flush_used(&b->ring);
	finish(life, 5); /* complete, but never shown */
	for (unsigned round = 0; round < 2; round++) {
		begin(life);
		expect(life, 5);
		assert_int_equal(ring_resubmits(&b->ring), 2);
		expect(life, 2);
		expect(life, 0);
		assert_int_equal(ring_resubmits(&b->ring), 0);
	}
	expect(life, 3); /* which nobody had taken yet */
	assert_int_equal(pop(b), RING_EMPTY);
	finish(life, 3);
	finish(life, 0);
	finish(life, 2);
	finish(life, 5);
	ring_flush_used(&b->ring);
	assert_int_equal(vq_used_index(&b->vq), (uint16_t)(b->base + 5));
	begin(life);
	assert_int_equal(ring_resubmits(&b->ring), 1); /* nobody has looked */
	assert_true(ring_find_place(&b->ring));
	assert_int_equal(ring_resubmits(&b->ring), 0);
	assert_int_equal(pop(b), RING_EMPTY);
}

static void order(void **state)
{
	with_record(one_order);
}

/* It ended between the used index and the record: what was shown is not done again. */
static void one_between(struct life *life)
{
	struct bench *b = life->b;
	struct inflight_record *before = malloc(inflight_size(NUM));

	for (uint16_t i = 0; i < 6; i++)
		offer_one(b, i);
	for (uint16_t i = 0; i < 6; i++)
		expect(life, i);
	finish(life, 4);
	finish(life, 1);
	finish(life, 3);
	memcpy(before, life->record, inflight_size(NUM));
	ring_flush_used(&b->ring);
	memcpy(life->record, before, inflight_size(NUM));
	free(before);
	begin(life);
	expect(life, 0);
	expect(life, 2);
	expect(life, 5);
	assert_int_equal(pop(b), RING_EMPTY);
	assert_int_equal(ring_base(&b->ring), (uint16_t)(b->base + 6));
}

static void between(void **state)
{
	with_record(one_between);
}

/* Many lives over more than a lap: nothing is done twice that was shown, nothing is forgotten. */
static void one_many(struct life *life)
{
	struct bench *b = life->b;
	unsigned seed = 7, offered = 0, shown = 0;
	bool busy[NUM] = {false};

	while (shown < 100) {
		struct vq_used used;

		seed = seed * 1103515245u + 12345u;
		for (uint16_t i = 0; i < NUM; i++)
			if (!busy[i] && seed >> (16 + i) & 1) {
				busy[i] = true;
				offer_one(b, i);
				offered++;
			}
		for (unsigned i = 0; pop(b) == RING_CHAIN; i++)
			if (seed >> (8 + i) & 1)
				finish(life, b->chain.head);
		if (seed >> 5 & 1)
			ring_flush_used(&b->ring);
		while (vq_take_used(&b->vq, &used)) {
			assert_true(used.id < NUM && busy[used.id]);
			busy[used.id] = false;
			shown++;
		}
		begin(life);
	}
	assert_true(offered >= shown && offered - shown <= NUM);
}

static void many(void **state)
{
	with_record(one_many);
}

/* A process shows what it has done and ends before it calls: the next one calls in its place. */
static void one_untold(struct life *life)
{
	begin(life);
	assert_int_equal(pop(life->b), RING_EMPTY);
	/* at its beginning nobody was there before */
	assert_int_equal(ring_flush_used(&life->b->ring), vq_used_index(&life->b->vq) != 0);
	offer_one(life->b, 0);
	expect(life, 0);
	finish(life, 0);
	assert_true(ring_flush_used(&life->b->ring));
	begin(life);
	assert_int_equal(pop(life->b), RING_EMPTY);
	assert_true(ring_flush_used(&life->b->ring));
	assert_false(ring_flush_used(&life->b->ring));
}

static void untold(void **state)
{
	with_record(one_untold);
}

/* What another process wrote into the record breaks nothing but this ring. */
static void one_nonsense(struct life *life)
{
	struct bench *b = life->b;

	offer_one(b, 1);
	expect(life, 1);
	finish(life, 1);
	life->record->last_batch_head = 9999;
	life->record->desc[1].next = 1;
	ring_flush_used(&b->ring);
	memset(life->record->desc, 0xff, NUM * sizeof(struct inflight_desc));
	begin(life);
	assert_int_equal(pop(b), RING_EMPTY); /* 0xff is not "in flight" */
	for (unsigned i = 0; i < NUM; i++)
		life->record->desc[i].inflight = 1;
	life->record->used_idx = (uint16_t)(vq_used_index(&b->vq) - 1000);
	begin(life);
	assert_int_equal(pop(b), RING_BROKEN);
	assert_non_null(strstr(ring_reason(&b->ring), "another ring"));
	/* all equal, and gone while we look */
	inflight_clear(life->record, NUM);
	life->record->used_idx = vq_used_index(&b->vq);
	life->record->desc[1].inflight = life->record->desc[2].inflight = 1;
	begin(life);
	assert_int_equal(pop(b), RING_CHAIN);
	life->record->desc[2].inflight = 0;
	assert_int_equal(pop(b), RING_EMPTY);
	assert_false(inflight_fits(life->record, NUM * 2));
	life->record->version = 2;
	assert_false(inflight_fits(life->record, NUM));
}

static void nonsense(void **state)
{
	with_record(one_nonsense);
}

static void layout(void **state)
{
	assert_int_equal(offsetof(struct inflight_record, version), 8);
	assert_int_equal(offsetof(struct inflight_record, desc_num), 10);
	assert_int_equal(offsetof(struct inflight_record, last_batch_head), 12);
	assert_int_equal(offsetof(struct inflight_record, used_idx), 14);
	assert_int_equal(offsetof(struct inflight_record, desc), 16);
	assert_int_equal(offsetof(struct inflight_desc, next), 6);
	assert_int_equal(offsetof(struct inflight_desc, counter), 8);
	assert_int_equal(inflight_size(128), 16 + 128 * 16 + 48);
	assert_int_equal(inflight_size(3), 64);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_request), cmocka_unit_test(order),
		cmocka_unit_test(between),	 cmocka_unit_test(many),
		cmocka_unit_test(nonsense),	 cmocka_unit_test(layout),
		cmocka_unit_test(untold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
