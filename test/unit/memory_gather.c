/* Pieces of memory that are wanted at once: what is fetched together, and what is not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "lib/ram.h"
#include "memory/space.h"

#define RAM_SIZE UINT64_C(0x20000)
#define RW	 (SPACE_READ | SPACE_WRITE)

static struct ram ram;
static struct space *space;
static uint8_t got[SPACE_GATHER_MAX][256];

static void begin(enum ram_kind kind)
{
	ram_init(&ram, kind, RAM_SIZE);
	for (unsigned i = 0; i < RAM_SIZE; i++)
		ram.bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	space = space_new(&ram.memory);
	assert_non_null(space);
	memset(got, 0, sizeof(got));
}

static void end(void)
{
	space_free(space);
	ram_destroy(&ram);
}

static struct space_piece piece(unsigned i, uint64_t offset, uint32_t size)
{
	return (struct space_piece){.iova = ram.iova + offset, .size = size, .to = got[i]};
}

static void expect(const struct space_piece *pieces, unsigned i)
{
	assert_true(pieces[i].done);
	assert_memory_equal(got[i], ram_at(&ram, pieces[i].iova, pieces[i].size), pieces[i].size);
}

static void gather(struct space_piece *pieces, unsigned count, unsigned reads)
{
	unsigned before = ram.reads;

	space_gather(space, pieces, count);
	assert_int_equal(ram.reads - before, reads);
}

/* In any order, over each other, of a page or of the next: one read. */
static void what_is_near_comes_together(void **state)
{
	struct space_piece pieces[6];

	begin(RAM_COPIED);
	assert_int_equal(space_add(space, ram.iova, RAM_SIZE, ram.uaddr, RW), 0);
	pieces[0] = piece(0, 0x1ff8, 16);
	pieces[1] = piece(1, 0x1000, 1);
	pieces[2] = piece(2, 0x1ffc, 4);
	pieces[3] = piece(3, 0x1ff0, 64);
	pieces[4] = piece(4, 0x2f00, 256);
	pieces[5] = piece(5, 0x1400, 200);
	gather(pieces, 6, 1);
	for (unsigned i = 0; i < 6; i++)
		expect(pieces, i);
	gather(pieces, 0, 0);
	end();
}

static void what_is_far_comes_alone(void **state)
{
	struct space_piece pieces[SPACE_GATHER_MAX];

	begin(RAM_COPIED);
	assert_int_equal(space_add(space, ram.iova, RAM_SIZE, ram.uaddr, RW), 0);
	pieces[0] = piece(0, 0x9000, 16);
	pieces[1] = piece(1, 0x1000, 16);
	pieces[2] = piece(2, 0x5000, 16);
	gather(pieces, 3, 3);
	for (unsigned i = 0; i < 3; i++)
		expect(pieces, i);
	/* a run of 16 KiB goes by windows of 8 */
	for (unsigned i = 0; i < SPACE_GATHER_MAX; i++)
		pieces[i] = piece(i, 256u * (SPACE_GATHER_MAX - 1 - i), 256);
	gather(pieces, SPACE_GATHER_MAX, 2);
	for (unsigned i = 0; i < SPACE_GATHER_MAX; i++)
		expect(pieces, i);
	end();
}

/* Nothing between two mappings, a piece that is not mapped, one that may not be read. */
static void what_is_not_there_is_not_done(void **state)
{
	struct space_piece pieces[5];

	begin(RAM_COPIED);
	assert_int_equal(space_add(space, ram.iova, 0x1000, ram.uaddr, RW), 0);
	assert_int_equal(
		space_add(space, ram.iova + 0x1800, 0x100, ram.uaddr + 0x1800, SPACE_WRITE), 0);
	assert_int_equal(space_add(space, ram.iova + 0x2000, 0x1000, ram.uaddr + 0x2000, RW), 0);
	pieces[0] = piece(0, 0xff0, 16);
	pieces[1] = piece(1, 0x1400, 16);
	pieces[2] = piece(2, 0x1800, 16);
	pieces[3] = piece(3, 0x2000, 16);
	pieces[4] = piece(4, 0xff8, 16); /* only half of it */
	space_gather(space, pieces, 5);
	expect(pieces, 0);
	assert_false(pieces[1].done);
	assert_false(pieces[2].done);
	expect(pieces, 3);
	assert_false(pieces[4].done);
	end();
}

static void numbers_that_wrap(void **state)
{
	struct space_piece pieces[3];

	begin(RAM_COPIED);
	assert_int_equal(space_add(space, UINT64_MAX - 0xfff, 0x1000, ram.uaddr, RW), 0);
	assert_int_equal(space_add(space, 0, 0x1000, ram.uaddr + 0x1000, RW), 0);
	pieces[0] = (struct space_piece){.iova = UINT64_MAX - 7, .size = 16, .to = got[0]};
	pieces[1] = (struct space_piece){.iova = UINT64_MAX - 7, .size = 8, .to = got[1]};
	pieces[2] = (struct space_piece){.iova = 0, .size = 8, .to = got[2]};
	space_gather(space, pieces, 3);
	assert_false(pieces[0].done);
	assert_true(pieces[1].done && pieces[2].done);
	assert_memory_equal(got[1], ram.bytes + 0xff8, 8);
	assert_memory_equal(got[2], ram.bytes + 0x1000, 8);
	end();
}

static void mapped_and_mixed(void **state)
{
	struct space_piece pieces[40];

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		begin(kind);
		ram.region = 80;
		assert_int_equal(space_add(space, ram.iova, RAM_SIZE, ram.uaddr, RW), 0);
		for (unsigned i = 0; i < 40; i++)
			pieces[i] = piece(i, i * 37u % 40 * 333, 1 + i * 5);
		space_gather(space, pieces, 40);
		for (unsigned i = 0; i < 40; i++)
			expect(pieces, i);
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_near_comes_together),
		cmocka_unit_test(what_is_far_comes_alone),
		cmocka_unit_test(what_is_not_there_is_not_done),
		cmocka_unit_test(numbers_that_wrap),
		cmocka_unit_test(mapped_and_mixed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
