/*
 * The record of a packed ring: processes take, complete and show, end at any point, in the middle
 * of showing, too, and the next one goes on from the record and the ring alone. Random lives,
 * judged by the driver: what it has not got back is taken again, once, in the order of submission.
 */
#include "ring_bench.h"

#include "lib/pq.h"
#include "ring/inflight.h"

#ifndef ENTRIES /* any number: meson.build has another */
#define ENTRIES 16u
#endif
#define IDS    8u
#define PACKED (1ull << VIRTIO_F_RING_PACKED)

struct life {
	struct ram ram;
	struct space *space;
	struct pq pq;
	struct inflight_packed *record, *before;
	struct ring ring;
	struct segment segments[SEGMENTS];
	uint32_t random;
	uint32_t base; /* what the front end knows: where it all began */
	/* the driver's */
	uint16_t order[IDS]; /* ids that are out, in order of submission */
	unsigned out, room;
	/* the process's */
	struct chain taken[IDS];
	unsigned held;
	unsigned seen; /* of those that are out, taken by this process */
};

static unsigned chance(struct life *l, unsigned n)
{
	l->random = l->random * 1664525u + 1013904223u;
	return (l->random >> 16) % n;
}

static void begin(struct life *l)
{
	static struct ring_prefetch prefetch;
	struct ring_setup setup = {.prefetch = &prefetch,
				   .num = ENTRIES,
				   .desc = l->pq.desc,
				   .driver = l->pq.driver,
				   .device = l->pq.device,
				   .base = l->base,
				   .features = PACKED,
				   .record = (void *)l->record};

	ring_init(&l->ring);
	assert_int_equal(ring_start(&l->ring, &setup, l->space), 0);
	l->held = l->seen = 0;
}

static struct life *born(enum ram_kind kind, uint32_t seed)
{
	struct life *l = calloc(1, sizeof(*l));
	uint16_t at;

	assert_non_null(l);
	ram_init(&l->ram, kind, RAM_SIZE);
	l->space = space_new(&l->ram.memory);
	assert_int_equal(space_add(l->space, l->ram.iova, RAM_SIZE, l->ram.uaddr, 3), 0);
	pq_init(&l->pq, &l->ram, ENTRIES, l->ram.iova + 0x1000);
	l->random = seed;
	l->room = ENTRIES;
	at = (uint16_t)chance(l, ENTRIES);
	pq_start_at(&l->pq, at, seed & 1);
	l->base = pq_base(&l->pq);
	l->record = calloc(2, inflight_packed_size(ENTRIES));
	l->before = (void *)((uint8_t *)l->record + inflight_packed_size(ENTRIES));
	inflight_packed_clear(l->record, ENTRIES);
	begin(l);
	return l;
}

static void gone(struct life *l)
{
	free(l->record);
	space_free(l->space);
	ram_destroy(&l->ram);
	free(l);
}

static bool is_out(const struct life *l, uint16_t id)
{
	for (unsigned i = 0; i < l->out; i++)
		if (l->order[i] == id)
			return true;
	return false;
}

/* One to three descriptors, whose length tells the id. */
static void offer(struct life *l)
{
	struct pq_buffer buffers[3];
	uint16_t id = (uint16_t)chance(l, IDS);
	unsigned count = 1 + chance(l, 3);

	if (is_out(l, id) || count > l->room)
		return;
	for (unsigned i = 0; i < count; i++)
		buffers[i] = (struct pq_buffer){l->ram.iova + 0x10000 + 256u * id, 16u + id, 0};
	pq_offer(&l->pq, id, buffers, count);
	l->order[l->out++] = id;
	l->room -= count;
}

static void collect(struct life *l)
{
	uint16_t id;
	uint32_t len;

	while (pq_take_used(&l->pq, &id, &len)) {
		unsigned i = 0;

		assert_true(is_out(l, id));
		assert_int_equal(len, 100u + id);
		while (l->order[i] != id)
			i++;
		memmove(&l->order[i], &l->order[i + 1], (--l->out - i) * sizeof(id));
		l->room += l->pq.length[id];
		l->seen -= i < l->seen;
	}
}

/* What is taken is the next of those that are out and not with this process. */
static void take(struct life *l)
{
	struct chain *chain = &l->taken[l->held];
	enum ring_pop_result r;

	*chain = (struct chain){.segments = l->segments, .max_segments = SEGMENTS};
	r = ring_pop(&l->ring, chain);
	collect(l); /* taking may have shown what was complete */
	if (r == RING_EMPTY) {
		assert_int_equal(l->seen, l->out);
		return;
	}
	assert_int_equal(r, RING_CHAIN);
	assert_true(l->seen < l->out);
	assert_int_equal(chain->head, l->order[l->seen]);
	assert_int_equal(chain->readable, l->pq.length[chain->head] * (16u + chain->head));
	assert_int_equal(chain->entries, l->pq.length[chain->head]);
	l->held++;
	l->seen++;
}

static void complete(struct life *l)
{
	unsigned i;

	if (!l->held)
		return;
	i = chance(l, l->held);
	ring_complete(&l->ring, &l->taken[i], 100u + l->taken[i].head);
	memmove(&l->taken[i], &l->taken[i + 1], (--l->held - i) * sizeof(l->taken[0]));
}

static void show(struct life *l)
{
	ring_flush_used(&l->ring);
	collect(l);
}

/* At rest, or with the used index moved and nothing shown, or shown and the record not yet cleared.
 */
static void die(struct life *l)
{
	unsigned where = chance(l, 3);

	if (where && l->ring.batch_entries) {
		inflight_packed_move_used(l->record, l->ring.used, l->ring.used_wrap);
		memcpy(l->before, l->record, inflight_packed_size(ENTRIES));
		if (where == 2) {
			ring_flush_used(&l->ring);
			memcpy(l->record, l->before, inflight_packed_size(ENTRIES));
		}
	}
	begin(l);
	collect(l);
	l->seen = 0;
}

static void lives(void **state)
{
	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		for (uint32_t seed = 1; seed <= 60; seed++) {
			struct life *l = born(kind, seed * 7919);

			for (unsigned step = 0; step < 400; step++) {
				unsigned what = chance(l, 40);

				if (what < 12)
					offer(l);
				else if (what < 24)
					take(l);
				else if (what < 33)
					complete(l);
				else if (what < 39)
					show(l);
				else
					die(l);
			}
			/* all comes back in the end */
			for (unsigned n = 0; l->out && n < 1000; n++) {
				take(l);
				complete(l);
				show(l);
			}
			assert_int_equal(l->out, 0);
			gone(l);
		}
	}
}

/* A process shows what it has done and ends before it calls: the next one calls in its place. */
static void untold(void **state)
{
	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		struct life *l = born(kind, 1);

		take(l);
		/* at its beginning nobody was there before */
		assert_int_equal(ring_flush_used(&l->ring), l->base != 0x80008000u);
		while (!l->out)
			offer(l);
		while (!l->held)
			take(l);
		while (l->held)
			complete(l);
		assert_true(ring_flush_used(&l->ring));
		begin(l);
		take(l);
		assert_int_equal(l->held, 0);
		assert_true(ring_flush_used(&l->ring));
		assert_false(ring_flush_used(&l->ring));
		gone(l);
	}
}

/* What nobody wrote like that: refused or made good, and never followed out of the record. */
static void nonsense(void **state)
{
	for (uint32_t seed = 1; seed <= 400; seed++) {
		struct life *l = born(RAM_MAPPED, seed);
		uint8_t *bytes = (uint8_t *)l->record;

		for (unsigned i = 0; i < 4; i++)
			offer(l);
		for (unsigned i = 0; i < 3; i++)
			take(l);
		complete(l);
		for (unsigned i = 0; i < 1 + seed % 8; i++)
			bytes[12 + chance(l, inflight_packed_size(ENTRIES) - 12)] =
				(uint8_t)chance(l, 256);
		begin(l);
		for (unsigned i = 0; i < 40; i++) {
			struct chain chain = {.segments = l->segments, .max_segments = SEGMENTS};

			if (ring_pop(&l->ring, &chain) != RING_CHAIN)
				break;
			ring_complete(&l->ring, &chain, 0);
			ring_flush_used(&l->ring);
		}
		gone(l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lives),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(untold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
