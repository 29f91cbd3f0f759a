/* Split rings on raw memory: taking, completing, publishing, arming, and memory that moves. */
#include "ring_bench.h"
#include "util/bytes.h"

static void one_empty(struct bench *b)
{
	assert_int_equal(pop(b), RING_EMPTY);
	assert_int_equal(ring_base(&b->ring), b->base);
	assert_string_equal(ring_reason(&b->ring), "");
	assert_false(ring_flush_used(&b->ring));
}

static void empty_ring(void **state)
{
	everywhere(one_empty, 0);
}

static void one_chain(struct bench *b)
{
	uint8_t in[12], out[4] = {1, 2, 3, 4};
	struct vq_used used;

	memcpy(ram_at(&b->ram, b->buffer, 12), "hello, world", 12);
	vq_desc(&b->vq, 3, b->buffer, 5, D_NEXT, 6);
	vq_desc(&b->vq, 6, b->buffer + 5, 7, D_NEXT, 1);
	vq_desc(&b->vq, 1, b->buffer + 0x1000, 100, D_NEXT | D_WRITE, 0);
	vq_desc(&b->vq, 0, b->buffer + 0x2000, 1, D_WRITE, 0);
	vq_offer(&b->vq, 3);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(b->chain.head, 3);
	assert_int_equal(b->chain.readable, 12);
	assert_int_equal(b->chain.writable, 101);
	assert_int_equal(chain_read(&b->chain, 0, in, 12), 0);
	assert_memory_equal(in, "hello, world", 12);
	assert_int_equal(chain_read(&b->chain, 4, in, 3), 0);
	assert_memory_equal(in, "o, ", 3);
	assert_int_equal(chain_read(&b->chain, 4, in, 9), -ERANGE);
	assert_int_equal(chain_write(&b->chain, 97, out, 4), 0);
	assert_memory_equal(ram_at(&b->ram, b->buffer + 0x1000 + 97, 3), out, 3);
	assert_memory_equal(ram_at(&b->ram, b->buffer + 0x2000, 1), out + 3, 1);
	assert_int_equal(chain_write(&b->chain, 98, out, 4), -ERANGE);
	assert_int_equal(chain_write(&b->chain, 102, out, 0), -ERANGE);
	assert_int_equal(pop(b), RING_EMPTY);
	assert_int_equal(ring_base(&b->ring), (uint16_t)(b->base + 1));

	ring_complete(&b->ring, &b->chain, 101);
	assert_int_equal(vq_used_index(&b->vq), b->base); /* not before the publish */
	assert_true(ring_flush_used(&b->ring));
	assert_true(vq_take_used(&b->vq, &used));
	assert_int_equal(used.id, 3);
	assert_int_equal(used.len, 101);
	assert_false(vq_take_used(&b->vq, &used));
	assert_false(ring_flush_used(&b->ring));
}

/* A chain that outgrows its small table goes on in the large one, with what it has. */
static void one_that_grows(struct bench *b)
{
	static struct segment more[CHAIN_MAX_SEGMENTS];
	uint8_t in[7 * 16], out[7 * 16];

	memset(in, 0x11, sizeof(in));
	for (unsigned i = 0; i < 7; i++) {
		memset(in + i * 16, 0x20 + (int)i, 16);
		vq_desc(&b->vq, (uint16_t)i, b->buffer + 1024 * i, 16,
			i < 6 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
		assert_int_equal(space_write(b->space, b->buffer + 1024 * i, in + i * 16, 16), 0);
	}
	b->chain.max_segments = 3;
	b->chain.overflow_segs = more;
	vq_offer(&b->vq, 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_ptr_equal(b->chain.segments, more);
	assert_int_equal(b->chain.max_segments, CHAIN_MAX_SEGMENTS);
	assert_int_equal(b->chain.readable, sizeof(in));
	assert_int_equal(chain_read(&b->chain, 0, out, sizeof(out)), 0);
	assert_memory_equal(in, out, sizeof(in));
	ring_complete(&b->ring, &b->chain, 0);
	/* a short one does not */
	b->chain.segments = b->segments;
	b->chain.max_segments = 3;
	vq_desc(&b->vq, 0, b->buffer, 2, 0, 0);
	vq_offer(&b->vq, 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_ptr_equal(b->chain.segments, b->segments);
}

static void chain_grows(void **state)
{
	everywhere(one_that_grows, 0);
}

static void chain_there_and_back(void **state)
{
	everywhere(one_chain, 0);
}

/* Three laps, with completions in another order than the taking, over the wrap of the index. */
static void one_lap(struct bench *b)
{
	struct segment segments[NUM][SEGMENTS];
	struct chain chains[NUM];
	struct vq_used used;

	for (unsigned lap = 0; lap < 3; lap++) {
		vq_set_used_event(&b->vq, b->vq.next_used);
		for (uint16_t i = 0; i < NUM; i++)
			offer_one(b, (uint16_t)((i + lap) % NUM));
		for (unsigned i = 0; i < NUM; i++) {
			chains[i] =
				(struct chain){.segments = segments[i], .max_segments = SEGMENTS};
			assert_int_equal(ring_pop(&b->ring, &chains[i]), RING_CHAIN);
			assert_int_equal(chains[i].head, (i + lap) % NUM);
		}
		assert_int_equal(pop(b), RING_EMPTY);
		for (unsigned i = NUM; i-- > 0;)
			ring_complete(&b->ring, &chains[i], i);
		assert_true(ring_flush_used(&b->ring));
		for (unsigned i = NUM; i-- > 0;) {
			assert_true(vq_take_used(&b->vq, &used));
			assert_int_equal(used.id, (i + lap) % NUM);
			assert_int_equal(used.len, i);
		}
		assert_false(vq_take_used(&b->vq, &used));
	}
	assert_int_equal(ring_base(&b->ring), (uint16_t)(b->base + 3 * NUM));
}

static void laps(void **state)
{
	everywhere(one_lap, 0);
	everywhere(one_lap, EVENT);
}

/* Chains given back come again; a ring armed where it was dry wants a kick for more only. */
static void one_untaking(struct bench *b)
{
	struct segment segments[2][SEGMENTS];
	struct chain chains[2];

	for (unsigned lap = 0; lap < 2 * NUM; lap++) {
		uint16_t base = (uint16_t)ring_base(&b->ring);

		offer_one(b, 3);
		offer_one(b, 5);
		for (unsigned again = 0; again < 2; again++) {
			for (unsigned i = 0; i < 2; i++) {
				chains[i] = (struct chain){.segments = segments[i],
							   .max_segments = SEGMENTS};
				assert_int_equal(ring_pop(&b->ring, &chains[i]), RING_CHAIN);
				assert_int_equal(chains[i].head, i ? 5 : 3);
			}
			assert_int_equal(pop(b), RING_EMPTY);
			if (again)
				break;
			assert_false(ring_enable_notify(&b->ring));
			ring_unpop(&b->ring, &chains[1]);
			ring_unpop(&b->ring, &chains[0]);
			assert_int_equal(ring_base(&b->ring), base);
			if (b->ring.event_idx)
				assert_int_equal(vq_avail_event(&b->vq), (uint16_t)(base + 2));
		}
		ring_complete(&b->ring, &chains[0], 0);
		ring_complete(&b->ring, &chains[1], 0);
		ring_flush_used(&b->ring);
	}
}

static void untaking(void **state)
{
	everywhere(one_untaking, 0);
	everywhere(one_untaking, EVENT);
}

static void one_empty_buffer(struct bench *b)
{
	/* A zero-length descriptor is odd but has a meaning: nothing. Its address is not looked at.
	 */
	vq_desc(&b->vq, 0, 0xdead0000, 0, D_NEXT, 1);
	vq_desc(&b->vq, 1, b->buffer, 4, D_WRITE, 0);
	vq_offer(&b->vq, 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(b->chain.readable, 0);
	assert_int_equal(b->chain.writable, 4);
}

static void empty_buffer(void **state)
{
	everywhere(one_empty_buffer, 0);
}

static void one_indirect(struct bench *b)
{
	uint64_t table = b->buffer + 0x4008; /* no particular alignment is asked of it */
	uint8_t in[8];

	memcpy(ram_at(&b->ram, b->buffer, 8), "ABCDEFGH", 8);
	vq_desc(&b->vq, 2, b->buffer, 4, D_NEXT, 5); /* a direct one first: 2.7.5.3.1 */
	vq_desc(&b->vq, 5, table, 3 * 16, D_INDIRECT, 0);
	vq_desc_at(&b->ram, table, b->buffer + 4, 4, D_NEXT, 2);
	vq_desc_at(&b->ram, table + 32, b->buffer + 0x1000, 8, D_WRITE, 0);
	vq_offer(&b->vq, 2);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(b->chain.head, 2);
	assert_int_equal(b->chain.readable, 8);
	assert_int_equal(b->chain.writable, 8);
	assert_int_equal(chain_read(&b->chain, 0, in, 8), 0);
	assert_memory_equal(in, "ABCDEFGH", 8);
	/* The write flag of the descriptor that names the table is to be ignored (2.7.5.3.2). */
	vq_desc(&b->vq, 6, table, 3 * 16, D_INDIRECT | D_WRITE, 0);
	vq_offer(&b->vq, 6);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(b->chain.readable, 4);
}

static void indirect(void **state)
{
	everywhere(one_indirect, INDIRECT);
}

/* A lap of chains with tables of three, all taken and all used: how often is memory copied? */
static void copied_in_few_calls(void **state)
{
	struct bench *b = bench_new(RAM_COPIED, INDIRECT, 65534);
	uint64_t table = b->buffer + 0x800;
	struct vq_used used;
	unsigned before;

	assert_true(ring_find_place(&b->ring));
	before = b->ram.reads;
	for (uint16_t i = 0; i < NUM; i++, table += 64) {
		vq_desc(&b->vq, i, table, 3 * 16, D_INDIRECT, 0);
		vq_desc_at(&b->ram, table, b->buffer, 4, D_NEXT, 1);
		vq_desc_at(&b->ram, table + 16, b->buffer + 4, 4, D_NEXT, 2);
		vq_desc_at(&b->ram, table + 32, b->buffer + 0x1000, 8, D_WRITE, 0);
		vq_offer(&b->vq, NUM - 1 - i);
	}
	for (uint16_t i = 0; i < NUM; i++)
		vq_desc(&b->vq, i, b->buffer + 0x800 + 64u * i, 3 * 16, D_INDIRECT, 0);
	for (uint16_t i = 0; i < NUM; i++) {
		assert_int_equal(pop(b), RING_CHAIN);
		assert_int_equal(b->chain.head, NUM - 1 - i);
		assert_int_equal(b->chain.readable, 8);
		assert_int_equal(b->chain.writable, 8);
		ring_complete(&b->ring, &b->chain, i);
	}
	/* the index; entries before and behind the ring's end; descriptors and tables */
	assert_int_equal(b->ram.reads - before, 1 + 2 + 2 * NUM);
	assert_int_equal(b->ram.writes, 1); /* used entries up to the ring's end */
	assert_false(vq_take_used(&b->vq, &used));
	ring_flush_used(&b->ring);
	assert_int_equal(b->ram.writes, 3); /* the others, and the index */
	for (uint16_t i = 0; i < NUM; i++) {
		assert_true(vq_take_used(&b->vq, &used));
		assert_int_equal(used.id, NUM - 1 - i);
		assert_int_equal(used.len, i);
	}
	bench_free(b);
}

/* The used entries from the driver's position on stand for all chains up to the one they name. */
static uint32_t take_in_order(struct bench *b, const uint16_t *heads, unsigned *count)
{
	struct vq_used used;

	assert_true(vq_take_used(&b->vq, &used));
	for (*count = 1; heads[*count - 1] != used.id; ++*count) {
		assert_true(*count < NUM);
		b->vq.next_used++;
	}
	return used.len;
}

/* Used in order (2.7.9), whatever the order they come back in. */
static void one_in_order(struct bench *b)
{
	static const uint16_t heads[] = {3, 0, 5, 2, 7};
	static struct ring_used turns[NUM];
	struct ring_setup setup = b->ring.setup;
	struct segment more[5][4];
	struct chain chains[5];
	unsigned count;

	setup.reorder = turns;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
	for (unsigned lap = 0; lap < 2 * NUM; lap++) {
		for (unsigned i = 0; i < 5; i++) {
			vq_desc(&b->vq, heads[i], b->buffer, 16, D_WRITE, 0);
			vq_offer(&b->vq, heads[i]);
			chains[i].segments = more[i];
			chains[i].max_segments = 4;
			assert_int_equal(ring_pop(&b->ring, &chains[i]), RING_CHAIN);
		}
		ring_unpop(&b->ring, &chains[4]);
		assert_int_equal(ring_pop(&b->ring, &chains[4]), RING_CHAIN);
		ring_complete(&b->ring, &chains[2], 16);
		ring_complete(&b->ring, &chains[4], 16);
		ring_complete(&b->ring, &chains[1], 16);
		assert_false(ring_flush_used(&b->ring));
		ring_complete(&b->ring, &chains[0], 7);
		assert_true(ring_flush_used(&b->ring)); /* three of them */
		assert_int_equal((uint16_t)(vq_used_index(&b->vq) - b->vq.next_used), 3);
		assert_int_equal(take_in_order(b, heads, &count), 7);
		assert_int_equal(count, 1); /* not written to the full: it speaks for itself */
		for (unsigned taken = 1; taken < 3; taken += count)
			assert_int_equal(take_in_order(b, heads + taken, &count), 16);
		ring_complete(&b->ring, &chains[3], 16);
		assert_true(ring_flush_used(&b->ring));
		for (unsigned taken = 3; taken < 5; taken += count)
			assert_int_equal(take_in_order(b, heads + taken, &count), 16);
		assert_int_equal(vq_used_index(&b->vq), b->vq.next_used);
	}
	ring_stop(&b->ring);
}

static void used_in_order(void **state)
{
	everywhere(one_in_order, 0);
}

static void starts_refused(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);
	struct ring_setup setup = b->ring.setup;

	setup.num = 0;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), -EINVAL);
	setup.num = 12;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), -EINVAL);
	setup.num = 8;
	setup.base = 65536;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), -EINVAL);
	assert_false(b->ring.started);
	setup.base = 65535;
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
	assert_int_equal(ring_base(&b->ring), 65535);
	bench_free(b);
}

/* Ring memory that is not mapped is waited for, and that is not the driver's fault. */
static void one_unmapped(struct bench *b)
{
	offer_one(b, 4);
	space_remove(b->space, 0, 0);
	assert_int_equal(pop(b), RING_UNMAPPED);
	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(ring_base(&b->ring), b->base);
	space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, 3);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(b->chain.head, 4);
	/* And gone when it is to be completed: the answer has nowhere to go. */
	space_remove(b->space, 0, 0);
	ring_complete(&b->ring, &b->chain, 0);
	assert_int_equal(pop(b), RING_BROKEN);
	assert_non_null(strstr(ring_reason(&b->ring), "not mapped for writing"));
	assert_false(ring_flush_used(&b->ring));
	ring_stop(&b->ring);
}

static void unmapped_then_mapped(void **state)
{
	everywhere(one_unmapped, 0);
}

/* The used area needs write permission, also for its index (kernel-contract 2.5). */
static void used_area_read_only(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);

	offer_one(b, 0);
	space_remove(b->space, 0, 0);
	space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, SPACE_READ);
	assert_int_equal(pop(b), RING_UNMAPPED);
	bench_free(b);
}

/*
 * The ring's memory is exchanged while the ring is idle: nothing cached of the old place is used,
 * and the driver is asked for kicks in the new place, where the old flags say nothing.
 */
static void one_moved(struct bench *b)
{
	uint64_t half = RAM_SIZE / 2;
	struct vq there = b->vq;
	struct vq_used used;
	uint32_t found = 0;

	offer_one(b, 3);
	assert_int_equal(pop(b), RING_CHAIN);
	ring_complete(&b->ring, &b->chain, 0);
	ring_flush_used(&b->ring);
	assert_true(vq_take_used(&b->vq, &used));
	assert_int_equal(pop(b), RING_EMPTY);
	assert_false(ring_enable_notify(&b->ring));
	there = b->vq;
	memcpy(b->ram.bytes + half, b->ram.bytes, half);
	space_remove(b->space, 0, 0);
	assert_int_equal(space_add(b->space, b->ram.iova, half, b->ram.uaddr + half, 3), 0);
	there.desc += half;
	there.avail += half;
	there.used += half;
	*(uint16_t *)ram_at(&b->ram, there.used, 2) = VRING_USED_F_NO_NOTIFY;
	assert_int_equal(pop(b), RING_EMPTY);
	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(vq_used_flags(&there), 0);
	vq_desc(&there, 5, b->buffer, 16, 0, 0);
	vq_offer(&there, 5);
	store_le32(b->ram.bytes + half + (b->buffer - b->ram.iova), 0x12345678);
	memset(b->ram.bytes, 0xee, half); /* the old place: poison */
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(chain_read(&b->chain, 0, &found, sizeof(found)), 0);
	assert_int_equal(found, 0x12345678);
	assert_int_equal(b->chain.head, 5);
	ring_complete(&b->ring, &b->chain, 3);
	assert_true(ring_flush_used(&b->ring));
	assert_true(vq_take_used(&there, &used));
	assert_int_equal(used.len, 3);
}

static void memory_exchanged(void **state)
{
	everywhere(one_moved, 0);
}

/* --- Notifications -------------------------------------------------------------------------- */

static bool finish_one(struct bench *b, uint16_t index)
{
	offer_one(b, index);
	assert_int_equal(pop(b), RING_CHAIN);
	ring_complete(&b->ring, &b->chain, 0);
	return ring_flush_used(&b->ring);
}

static void one_no_interrupt(struct bench *b)
{
	assert_true(finish_one(b, 0));
	vq_set_avail_flags(&b->vq, VRING_AVAIL_F_NO_INTERRUPT);
	assert_false(finish_one(b, 1));
	vq_set_avail_flags(&b->vq, 0);
	assert_true(finish_one(b, 2));
	assert_false(ring_flush_used(&b->ring)); /* nothing new */
}

static void calls_by_flag(void **state)
{
	everywhere(one_no_interrupt, 0);
}

static void one_used_event(struct bench *b)
{
	/* Ask for a call when entry base + 2 is used: the wrap lies in between at base 65534. */
	vq_set_used_event(&b->vq, (uint16_t)(b->base + 2));
	assert_false(finish_one(b, 0));
	assert_false(finish_one(b, 1));
	assert_true(finish_one(b, 2));
	assert_false(finish_one(b, 3)); /* crossed once, said once */
	/* The flag means nothing with the event index. */
	vq_set_avail_flags(&b->vq, VRING_AVAIL_F_NO_INTERRUPT);
	vq_set_used_event(&b->vq, (uint16_t)(b->base + 4));
	assert_true(finish_one(b, 4));
}

/* Many published at once: a call if the event lies anywhere among them. */
static void one_used_event_batch(struct bench *b)
{
	for (unsigned event = 0; event < 5; event++) {
		uint16_t from = vq_used_index(&b->vq);

		vq_set_used_event(&b->vq, (uint16_t)(from + event));
		for (uint16_t i = 0; i < 3; i++) {
			offer_one(b, i);
			assert_int_equal(pop(b), RING_CHAIN);
			ring_complete(&b->ring, &b->chain, 0);
		}
		assert_int_equal(ring_flush_used(&b->ring), event < 3);
	}
}

static void calls_by_event(void **state)
{
	everywhere(one_used_event, EVENT);
	everywhere(one_used_event_batch, EVENT);
}

static void one_arm_by_flag(struct bench *b)
{
	assert_int_equal(pop(b), RING_EMPTY);
	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(vq_used_flags(&b->vq), 0);
	ring_disable_notify(&b->ring);
	assert_int_equal(vq_used_flags(&b->vq), VRING_USED_F_NO_NOTIFY);
	/* Posted after the last look, without a kick as none is wanted: arming has to see it. */
	offer_one(b, 0);
	assert_true(ring_enable_notify(&b->ring));
	assert_int_equal(vq_used_flags(&b->vq), 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_false(ring_enable_notify(&b->ring));
}

static void one_arm_by_event(struct bench *b)
{
	uint16_t old = b->vq.next_avail;

	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(vq_avail_event(&b->vq), b->base);
	offer_one(b, 0);
	assert_true(vq_wants_kick(&b->vq, old, true));
	assert_true(ring_enable_notify(&b->ring));
	assert_int_equal(pop(b), RING_CHAIN);
	ring_disable_notify(&b->ring);
	offer_one(b, 1);
	offer_one(b, 2);
	assert_false(vq_wants_kick(&b->vq, (uint16_t)(old + 1), true));
	assert_true(ring_enable_notify(&b->ring));
	assert_int_equal(pop(b), RING_CHAIN);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_false(ring_enable_notify(&b->ring));
	assert_int_equal(vq_avail_event(&b->vq), (uint16_t)(b->base + 3));
	assert_int_equal(vq_used_flags(&b->vq), 0); /* not touched with the event index */
}

static void arming(void **state)
{
	everywhere(one_arm_by_flag, 0);
	everywhere(one_arm_by_event, EVENT);
}

/* Without the event index the areas end before the event words: nothing is read or written there.
 */
static void areas_end_where_they_should(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED, 0, 0);

	space_remove(b->space, 0, 0);
	space_add(b->space, b->vq.desc, 16 * NUM, b->ram.uaddr + (b->vq.desc - b->ram.iova), 1);
	space_add(b->space, b->vq.avail, 4 + 2 * NUM, b->ram.uaddr + (b->vq.avail - b->ram.iova),
		  1);
	space_add(b->space, b->vq.used, 4 + 8 * NUM, b->ram.uaddr + (b->vq.used - b->ram.iova), 2);
	assert_int_equal(pop(b), RING_EMPTY);
	start(b, EVENT, 0);
	assert_int_equal(pop(b), RING_UNMAPPED);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_ring),
		cmocka_unit_test(chain_there_and_back),
		cmocka_unit_test(chain_grows),
		cmocka_unit_test(laps),
		cmocka_unit_test(empty_buffer),
		cmocka_unit_test(indirect),
		cmocka_unit_test(copied_in_few_calls),
		cmocka_unit_test(used_in_order),
		cmocka_unit_test(starts_refused),
		cmocka_unit_test(unmapped_then_mapped),
		cmocka_unit_test(used_area_read_only),
		cmocka_unit_test(memory_exchanged),
		cmocka_unit_test(calls_by_flag),
		cmocka_unit_test(calls_by_event),
		cmocka_unit_test(arming),
		cmocka_unit_test(untaking),
		cmocka_unit_test(areas_end_where_they_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
