/* Nonsense in a split ring: each breaks it, for a reason that can be read, and touches nothing. */
#include "ring_bench.h"

static void expect_broken(struct bench *b, const char *words)
{
	assert_int_equal(pop(b), RING_BROKEN);
	if (!strstr(ring_reason(&b->ring), words))
		fail_msg("the reason is \"%s\", not \"%s\"", ring_reason(&b->ring), words);
	assert_int_equal(pop(b), RING_BROKEN); /* it sticks */
	assert_int_equal(ring_base(&b->ring), b->base);
}

/* Nonsense: what is in the ring, and the words of the reason. */
struct nonsense {
	const char *words;
	uint64_t features;
	void (*put)(struct bench *b);
};

static void put_bad_head(struct bench *b)
{
	vq_offer(&b->vq, NUM);
}

static void put_bad_next(struct bench *b)
{
	vq_desc(&b->vq, 0, b->buffer, 16, D_NEXT, NUM);
	vq_offer(&b->vq, 0);
}

static void put_loop(struct bench *b)
{
	vq_desc(&b->vq, 0, b->buffer, 1, D_NEXT, 1);
	vq_desc(&b->vq, 1, b->buffer, 1, D_NEXT, 0);
	vq_offer(&b->vq, 0);
}

static void put_direction(struct bench *b)
{
	vq_desc(&b->vq, 0, b->buffer, 1, D_NEXT | D_WRITE, 1);
	vq_desc(&b->vq, 1, b->buffer, 1, 0, 0);
	vq_offer(&b->vq, 0);
}

static void put_unmapped_buffer(struct bench *b)
{
	vq_desc(&b->vq, 0, b->ram.iova + RAM_SIZE - 8, 9, 0, 0);
	vq_offer(&b->vq, 0);
}

static void put_wrapping_buffer(struct bench *b)
{
	vq_desc(&b->vq, 0, UINT64_MAX - 7, 16, 0, 0);
	vq_offer(&b->vq, 0);
}

static void put_forbidden(struct bench *b)
{
	assert_int_equal(space_add(b->space, 0x1000, 0x1000, b->ram.uaddr, SPACE_READ), 0);
	vq_desc(&b->vq, 0, 0x1800, 16, D_WRITE, 0);
	vq_offer(&b->vq, 0);
}

/* Two buffers of 2 GiB each: the sum does not fit 32 bits. The mapping is as large. */
static void put_overflow(struct bench *b)
{
	assert_int_equal(space_add(b->space, 0x100000000, 0x100000000, 0x1000, SPACE_READ), 0);
	vq_desc(&b->vq, 0, 0x100000000, 0x80000000, D_NEXT, 1);
	vq_desc(&b->vq, 1, 0x180000000, 0x80000000, 0, 0);
	vq_offer(&b->vq, 0);
}

static void put_jump(struct bench *b)
{
	vq_announce(&b->vq, (uint16_t)(b->base + NUM + 1));
}

static void put_backwards(struct bench *b)
{
	vq_announce(&b->vq, (uint16_t)(b->base - 1));
}

static void put_table(struct bench *b, uint32_t len, uint16_t flags)
{
	vq_desc(&b->vq, 0, b->buffer, len, (uint16_t)(D_INDIRECT | flags), 1);
	vq_offer(&b->vq, 0);
}

static void put_refused_table(struct bench *b)
{
	put_table(b, 16, 0);
}

static void put_empty_table(struct bench *b)
{
	put_table(b, 0, 0);
}

static void put_odd_table(struct bench *b)
{
	put_table(b, 24, 0);
}

static void put_table_with_next(struct bench *b)
{
	put_table(b, 16, D_NEXT);
}

static void put_unmapped_table(struct bench *b)
{
	vq_desc(&b->vq, 0, 0x10, 32, D_INDIRECT, 0);
	vq_offer(&b->vq, 0);
}

static void put_nested_table(struct bench *b)
{
	vq_desc_at(&b->ram, b->buffer, b->buffer, 16, D_INDIRECT, 0);
	put_table(b, 16, 0);
}

static void put_next_outside_table(struct bench *b)
{
	vq_desc_at(&b->ram, b->buffer, b->buffer, 16, D_NEXT, 2);
	put_table(b, 32, 0);
}

static void put_loop_in_table(struct bench *b)
{
	vq_desc_at(&b->ram, b->buffer, b->buffer, 1, D_NEXT, 0);
	put_table(b, 32, 0);
}

static void put_too_many_pieces(struct bench *b)
{
	for (uint16_t i = 0; i <= SEGMENTS; i++)
		vq_desc_at(&b->ram, b->buffer + 16u * i, b->buffer + 0x2000, 1,
			   i < SEGMENTS ? D_NEXT : 0, (uint16_t)(i + 1));
	put_table(b, 16 * (SEGMENTS + 1), 0);
}

static const struct nonsense nonsense[] = {
	{"without VIRTIO_F_INDIRECT_DESC", 0, put_refused_table},
	{"names descriptor 8 of 8", 0, put_bad_head},
	{"descriptor 8 of a table of 8", 0, put_bad_next},
	{"loops, or is too long", 0, put_loop},
	{"a readable buffer after a writable one", 0, put_direction},
	{"is not mapped", 0, put_unmapped_buffer},
	{"wraps around", 0, put_wrapping_buffer},
	{"may not be accessed that way", 0, put_forbidden},
	{"longer than 4 GiB", 0, put_overflow},
	{"more than 8 ahead", 0, put_jump},
	{"more than 8 ahead", 0, put_backwards},
	{"malformed indirect descriptor", INDIRECT, put_empty_table},
	{"malformed indirect descriptor", INDIRECT, put_odd_table},
	{"malformed indirect descriptor", INDIRECT, put_table_with_next},
	{"indirect table", INDIRECT, put_unmapped_table},
	{"inside an indirect table", INDIRECT, put_nested_table},
	{"descriptor 2 of a table of 2", INDIRECT, put_next_outside_table},
	{"loops, or is too long", INDIRECT, put_loop_in_table},
	{"more than 16 pieces", INDIRECT, put_too_many_pieces},
};

/*
 * Has a chain taken before, by which the ring knows where memory lies: what comes then is tried the
 * fast way first.
 */
static void warm(struct bench *b)
{
	offer_one(b, NUM - 1);
	assert_int_equal(pop(b), RING_CHAIN);
	b->base++;
}

static void breaks(enum ram_kind kind, const struct nonsense *what, bool warmed)
{
	struct bench *b = bench_new(kind, what->features, 65535);

	if (warmed)
		warm(b);
	what->put(b);
	ram_freeze(&b->ram);
	expect_broken(b, what->words);
	/* A broken ring is left alone. */
	assert_false(ring_enable_notify(&b->ring));
	ring_disable_notify(&b->ring);
	assert_false(ring_flush_used(&b->ring));
	assert_int_equal(ram_changed(&b->ram), -1);
	ring_stop(&b->ring);
	bench_free(b);
}

static void nonsense_breaks(void **state)
{
	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		for (unsigned i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
			breaks(kind, &nonsense[i], false);
			breaks(kind, &nonsense[i], true);
		}
	}
}

/* The reason is gone with the next start. */
static void one_restart(struct bench *b)
{
	put_bad_head(b);
	expect_broken(b, "names descriptor");
	ring_stop(&b->ring);
	start(b, 0, 7);
	offer_one(b, 0);
	assert_int_equal(pop(b), RING_CHAIN);
	assert_string_equal(ring_reason(&b->ring), "");
	assert_int_equal(ring_base(&b->ring), 8);
}

static void restart_after_broken(void **state)
{
	everywhere(one_restart, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nonsense_breaks),
		cmocka_unit_test(restart_after_broken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
