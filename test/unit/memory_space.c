/* Address spaces: the kernel's IOTLB rules, translation, and what happens to windows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/ram.h"
#include "memory/space.h"

#define RAM_SIZE UINT64_C(0x10000)
#define BASE	 UINT64_C(0x100000)
#define RW	 (SPACE_READ | SPACE_WRITE)

struct bench {
	struct ram ram;
	struct space *space;
	unsigned gone, gone_unmaps;
	uint64_t gone_id;
};

static struct bench *bench_new(enum ram_kind kind)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	ram_init(&b->ram, kind, RAM_SIZE);
	b->space = space_new(&b->ram.memory);
	assert_non_null(b->space);
	return b;
}

/* Every window that was given out must have come back. */
static void bench_free(struct bench *b)
{
	space_free(b->space);
	assert_int_equal(b->ram.maps, b->ram.unmaps);
	ram_destroy(&b->ram);
	free(b);
}

/* Maps `size` bytes at `iova` to byte `offset` of the RAM. */
static int add(struct bench *b, uint64_t iova, uint64_t size, uint64_t offset, uint8_t perm)
{
	return space_add(b->space, iova, size, b->ram.uaddr + offset, perm);
}

static int reach(struct bench *b, uint64_t iova, uint64_t size, enum space_access access)
{
	struct segment segments[64];

	return space_translate(b->space, iova, size, access, segments, 64);
}

static void overlap_refuses(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, BASE, 0x1000, 0, RW), -EEXIST);
	assert_int_equal(add(b, BASE + 0xfff, 1, 0, RW), -EEXIST);
	assert_int_equal(add(b, BASE - 1, 2, 0, RW), -EEXIST);
	assert_int_equal(add(b, BASE - 0x1000, 0x10000, 0, RW), -EEXIST);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(add(b, BASE - 0x1000, 0x1000, 0x2000, RW), 0);
	assert_int_equal(space_entries(b->space), 3);
	bench_free(b);
}

static void ranges_that_wrap(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	uint64_t top = UINT64_MAX - 0xfff;

	assert_int_equal(add(b, BASE, 0, 0, RW), -EINVAL);
	assert_int_equal(add(b, top, 0x1001, 0, RW), -EINVAL);
	assert_int_equal(add(b, top, 0x1000, 0, RW), 0); /* ends exactly at 2^64 - 1 */
	assert_int_equal(space_add(b->space, BASE, 0x1000, UINT64_MAX - 0x10, RW), -EINVAL);
	assert_int_equal(reach(b, top, 0x1000, SPACE_READ), 1);
	assert_int_equal(reach(b, top, 0x1001, SPACE_READ), -EINVAL);
	bench_free(b);
}

static void table_is_bounded(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	for (unsigned i = 0; i < SPACE_MAX_ENTRIES; i++) /* in an order that is not sorted */
		assert_int_equal(add(b, ((uint64_t)i * 7919 % 2048 + 1) << 12, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, 0x10000000, 0x1000, 0, RW), -ENOSPC);
	assert_int_equal(space_remove(b->space, 5 << 12, 1), 1);
	assert_int_equal(add(b, 0x10000000, 0x1000, 0, RW), 0);
	for (uint64_t i = 1; i <= 2048; i++)
		assert_int_equal(reach(b, (i << 12) + 0xfff, 1, SPACE_READ), i == 5 ? -EFAULT : 1);
	bench_free(b);
}

/* kernel-contract: INVALIDATE takes whole entries, and its end wraps modulo 2^64. */
static void removal_takes_whole_entries(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(add(b, BASE + 0x2000, 0x1000, 0x2000, RW), 0);
	assert_int_equal(space_remove(b->space, BASE + 0x3000, 0x1000), 0);
	assert_int_equal(space_remove(b->space, BASE + 0x1800, 1), 1);
	assert_int_equal(reach(b, BASE + 0x1000, 1, SPACE_READ), -EFAULT);
	assert_int_equal(reach(b, BASE, 0x1000, SPACE_READ), 1);
	assert_int_equal(space_remove(b->space, BASE + 0xfff, 0x1002), 2);
	assert_int_equal(space_entries(b->space), 0);
	bench_free(b);
}

static void removal_of_everything(void **state)
{
	static const uint64_t sizes[] = {0, UINT64_MAX};

	for (unsigned i = 0; i < 2; i++) {
		struct bench *b = bench_new(RAM_MAPPED);

		assert_int_equal(add(b, 0, 0x1000, 0, RW), 0);
		assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
		assert_int_equal(add(b, UINT64_MAX - 0xff, 0x100, 0, RW), 0);
		/* 2^64 - 1 bytes from 0 on end one byte early, in the middle of the last entry. */
		assert_int_equal(space_remove(b->space, 0, sizes[i]), 3);
		bench_free(b);
	}
}

/* x > 0, size 0: last is x - 1, so only an entry with both x - 1 and x in it goes. */
static void removal_of_size_zero(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(space_remove(b->space, BASE, 0), 0);
	assert_int_equal(space_remove(b->space, BASE + 0x1000, 0), 0);
	assert_int_equal(space_remove(b->space, BASE + 0x1001, 0), 1);
	assert_int_equal(reach(b, BASE, 1, SPACE_READ), 1);
	assert_int_equal(reach(b, BASE + 0x1000, 1, SPACE_READ), -EFAULT);
	bench_free(b);
}

static void permissions(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	uint8_t byte = 0;

	assert_int_equal(add(b, BASE, 0x1000, 0, SPACE_READ), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, SPACE_WRITE), 0);
	assert_int_equal(add(b, BASE + 0x2000, 0x1000, 0x2000, 0), 0);
	assert_int_equal(add(b, BASE + 0x3000, 0x1000, 0x3000, 0xff), 0);
	assert_int_equal(reach(b, BASE, 16, SPACE_READ), 1);
	assert_int_equal(reach(b, BASE, 16, SPACE_WRITE), -EACCES);
	assert_int_equal(reach(b, BASE + 0x1000, 16, SPACE_READ), -EACCES);
	assert_int_equal(reach(b, BASE + 0x1000, 16, SPACE_WRITE), 1);
	assert_int_equal(reach(b, BASE + 0x2000, 16, SPACE_READ), -EACCES);
	assert_int_equal(reach(b, BASE + 0x3000, 16, SPACE_WRITE), 1);
	assert_int_equal(reach(b, BASE + 0xff0, 0x20, SPACE_READ), -EACCES); /* half of it */
	assert_int_equal(space_write(b->space, BASE, &byte, 1), -EACCES);
	assert_int_equal(space_read(b->space, BASE + 0x1000, &byte, 1), -EACCES);
	bench_free(b);
}

static void segments_say_where(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct segment s[4];

	/* Adjacent in IOVA, apart in the client: two segments. */
	assert_int_equal(add(b, BASE, 0x1000, 0x4000, RW), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(space_translate(b->space, BASE + 0xffe, 6, SPACE_READ, s, 4), 2);
	assert_int_equal(s[0].iova, BASE + 0xffe);
	assert_int_equal(s[0].size, 2);
	assert_int_equal(s[1].iova, BASE + 0x1000);
	assert_int_equal(s[1].size, 4);
	b->ram.bytes[0x4fff] = 0xa5;
	b->ram.bytes[0x1003] = 0x5a;
	assert_int_equal(s[0].host[1], 0xa5);
	assert_int_equal(s[1].host[3], 0x5a);
	assert_int_equal(space_translate(b->space, BASE + 0xffe, 6, SPACE_READ, s, 1), -E2BIG);
	assert_int_equal(space_translate(b->space, BASE + 0xffe, 0, SPACE_READ, s, 4), 0);
	assert_int_equal(space_translate(b->space, BASE + 0xffe, 0x1003, SPACE_READ, s, 4),
			 -EFAULT);
	bench_free(b);
}

/* The same bytes through every kind of memory. */
static void copies(void **state)
{
	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_DIRECT; kind++) {
		struct bench *b = bench_new(kind);
		uint8_t out[0x3000], in[0x3000];

		for (unsigned i = 0; i < sizeof(out); i++)
			out[i] = (uint8_t)(i * 7 + i / 251);
		assert_int_equal(add(b, BASE, 0x8000, 0x800, RW), 0);
		assert_int_equal(space_write(b->space, BASE + 0x123, out, sizeof(out)), 0);
		assert_memory_equal(b->ram.bytes + 0x923, out, sizeof(out));
		assert_int_equal(space_read(b->space, BASE + 0x123, in, sizeof(in)), 0);
		assert_memory_equal(in, out, sizeof(out));
		assert_int_equal(space_read(b->space, BASE + 0x7fff, in, 2), -EFAULT);
		if (kind == RAM_COPIED)
			assert_int_equal(b->ram.maps, 0);
		bench_free(b);
	}
}

static void pieces_of_one_entry(void **state)
{
	struct bench *b = bench_new(RAM_MIXED);
	struct segment s[20];

	assert_int_equal(add(b, BASE, RAM_SIZE, 0, RW), 0);
	assert_int_equal(b->ram.maps, 0); /* lazily */
	assert_int_equal(space_translate(b->space, BASE, RAM_SIZE, SPACE_READ, s, 20), 16);
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(s[i].size, 0x1000);
		assert_int_equal(s[i].host == NULL, i % 2);
	}
	assert_int_equal(b->ram.maps, 8);
	assert_int_equal(reach(b, BASE + 0x5ffe, 4, SPACE_WRITE), 2);
	assert_int_equal(b->ram.maps, 8);
	bench_free(b);
}

static void memory_that_is_not_there(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	uint8_t byte;

	assert_int_equal(add(b, BASE, 0x2000, RAM_SIZE - 0x1000, RW), 0);
	assert_int_equal(space_read(b->space, BASE + 0xfff, &byte, 1), 0);
	assert_int_equal(space_read(b->space, BASE + 0x1000, &byte, 1), -EFAULT);
	b->ram.map_error = -ENOMEM;
	assert_int_equal(add(b, BASE + 0x10000, 0x1000, 0, RW), 0);
	assert_int_equal(reach(b, BASE + 0x10000, 1, SPACE_READ), -ENOMEM);
	b->ram.map_error = 0;
	assert_int_equal(reach(b, BASE + 0x10000, 1, SPACE_READ), 1);
	assert_false(space_lost(b->space));
	b->ram.memory.lost = true;
	assert_true(space_lost(b->space));
	bench_free(b);
}

/* A window in use outlives its entry until it is reaped. */
static void retired_windows(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct segment s;
	uint64_t before, after;

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(space_translate(b->space, BASE, 8, SPACE_WRITE, &s, 1), 1);
	before = space_generation(b->space);
	assert_false(space_has_retired(b->space));
	assert_int_equal(space_remove(b->space, BASE, 1), 1);
	after = space_generation(b->space);
	assert_true(after > before);
	assert_true(space_has_retired(b->space));
	space_reap(b->space, before); /* a request of that generation is in flight */
	assert_true(space_has_retired(b->space));
	s.host[0] = 1; /* would crash if it were unmapped */
	assert_int_equal(b->ram.bytes[0], 1);
	space_reap(b->space, after);
	assert_false(space_has_retired(b->space));
	assert_int_equal(b->ram.unmaps, 1);
	bench_free(b);
}

static void on_gone(void *arg, uint64_t id)
{
	struct bench *b = arg;

	b->gone++;
	b->gone_id = id;
	b->gone_unmaps = b->ram.unmaps;
}

/* A region has a number of its own, and says when it goes: before that, and when nobody is in it.
 */
static void numbered_regions(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct space_region first, again, second;

	space_on_gone(b->space, on_gone, b);
	assert_false(space_find_region(b->space, BASE, &first));
	assert_int_equal(add(b, BASE, 0x2000, 0, RW), 0);
	assert_int_equal(add(b, BASE + 0x4000, 0x1000, 0x4000, RW), 0);
	assert_true(space_find_region(b->space, BASE + 0x1fff, &first));
	assert_int_equal(first.size, 0x2000);
	first.host[0x10] = 7;
	assert_int_equal(b->ram.bytes[0x10], 7);
	assert_true(space_find_region(b->space, BASE, &again));
	assert_int_equal(again.id, first.id);
	assert_true(space_find_region(b->space, BASE + 0x4000, &second));
	assert_true(second.id != first.id);
	assert_int_equal(space_remove(b->space, BASE, 1), 1);
	assert_int_equal(b->gone, 0);
	assert_int_equal(add(b, BASE, 0x2000, 0, RW), 0);
	assert_true(space_find_region(b->space, BASE, &again)); /* the same memory, another */
	assert_true(again.id != first.id && again.id != second.id);
	space_reap(b->space, UINT64_MAX);
	assert_int_equal(b->gone, 1);
	assert_int_equal(b->gone_id, first.id);
	assert_int_equal(b->gone_unmaps, 0);
	assert_int_equal(b->ram.unmaps, 1);
	bench_free(b);
}

static void copied_regions_have_none(void **state)
{
	struct bench *b = bench_new(RAM_COPIED);
	struct space_region region;

	space_on_gone(b->space, on_gone, b);
	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_false(space_find_region(b->space, BASE, &region));
	space_remove(b->space, BASE, 1);
	space_reap(b->space, UINT64_MAX);
	assert_int_equal(b->gone, 0);
	bench_free(b);
}

static void unused_entries_retire_nothing(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(space_remove(b->space, BASE, 0x1000), 1);
	assert_false(space_has_retired(b->space));
	assert_int_equal(b->ram.maps, 0);
	bench_free(b);
}

static void batches_show_at_once(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct segment s;
	uint64_t before;

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(reach(b, BASE, 0x2000, SPACE_READ), 2);
	before = space_generation(b->space);
	assert_int_equal(space_begin(b->space), 0);
	assert_int_equal(space_remove(b->space, BASE, 0x1000), 1);
	assert_int_equal(reach(b, BASE, 1, SPACE_READ), 1); /* as it was */
	assert_int_equal(space_begin(b->space), 0);	    /* does nothing */
	assert_int_equal(add(b, BASE, 0x800, 0x8000, RW), 0);
	assert_int_equal(add(b, BASE, 0x800, 0x8000, RW), -EEXIST);
	assert_int_equal(reach(b, BASE + 0x800, 1, SPACE_READ), 1);
	assert_int_equal(space_entries(b->space), 2);
	assert_false(space_has_retired(b->space));
	space_commit(b->space);
	assert_true(space_generation(b->space) > before);
	assert_true(space_has_retired(b->space));
	assert_int_equal(reach(b, BASE + 0x800, 1, SPACE_READ), -EFAULT);
	b->ram.bytes[0x8000] = 0x77;
	assert_int_equal(space_translate(b->space, BASE, 1, SPACE_READ, &s, 1), 1);
	assert_int_equal(*s.host, 0x77);
	space_commit(b->space); /* does nothing */
	space_reap(b->space, UINT64_MAX);
	assert_int_equal(b->ram.unmaps, 1); /* the kept entry kept its window */
	bench_free(b);
}

/* Windows made during a batch belong to the entry, whichever table it is in afterwards. */
static void windows_made_within_a_batch(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(add(b, BASE + 0x1000, 0x1000, 0x1000, RW), 0);
	assert_int_equal(space_begin(b->space), 0);
	assert_int_equal(space_remove(b->space, BASE + 0x1000, 1), 1);
	assert_int_equal(reach(b, BASE, 0x2000, SPACE_READ), 2);
	assert_int_equal(b->ram.maps, 2);
	space_commit(b->space);
	assert_int_equal(reach(b, BASE, 0x1000, SPACE_READ), 1);
	assert_int_equal(b->ram.maps, 2);
	space_reap(b->space, UINT64_MAX);
	assert_int_equal(b->ram.unmaps, 1);
	bench_free(b);
}

static void freed_within_a_batch(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	assert_int_equal(reach(b, BASE, 0x1000, SPACE_READ), 1);
	assert_int_equal(space_begin(b->space), 0);
	assert_int_equal(space_remove(b->space, 0, 0), 1);
	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	bench_free(b); /* counts the windows */
}

/* What was found out beforehand goes with its entry, be it that no translation ever saw that. */
static void resolved_and_removed_within_a_batch(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct client_memory *memory = &b->ram.memory;

	assert_int_equal(space_begin(b->space), 0);
	assert_int_equal(space_add_resolved(b->space, BASE, 0x1000, b->ram.uaddr, RW,
					    space_resolve(memory, b->ram.uaddr, 0x1000, RW)),
			 0);
	assert_int_equal(space_remove(b->space, BASE, 0x1000), 1);
	assert_int_equal(b->ram.unmaps, b->ram.maps);
	assert_int_equal(space_add_resolved(b->space, BASE, 0x1000, b->ram.uaddr, RW,
					    space_resolve(memory, b->ram.uaddr, 0x1000, RW)),
			 0);
	space_commit(b->space);
	assert_int_equal(reach(b, BASE, 0x1000, SPACE_READ), 1);
	assert_int_equal(b->ram.maps, 2); /* nothing is found out again */
	bench_free(b);
}

/* What is kept answers as a search would, within the region that was found and nowhere else. */
static void kept_regions(void **state)
{
	struct bench *b = bench_new(RAM_MAPPED);
	struct space_cache cache = {0};
	struct segment segment;

	assert_int_equal(add(b, BASE, 0x2000, 0x1000, SPACE_READ), 0);
	assert_int_equal(add(b, BASE + 0x2000, 0x1000, 0x8000, RW), 0);
	assert_int_equal(add(b, 0, 0x1000, 0, RW), 0);
	assert_null(space_cached(&cache, 0, 1, SPACE_READ)); /* nothing is kept yet */
	space_keep(b->space, &cache, BASE + 0x1234);
	assert_int_equal(space_translate(b->space, BASE + 8, 16, SPACE_READ, &segment, 1), 1);
	assert_ptr_equal(space_cached(&cache, BASE + 8, 16, SPACE_READ), segment.host);
	assert_non_null(space_cached(&cache, BASE, 0x2000, SPACE_READ));
	assert_null(space_cached(&cache, BASE, 0x2001, SPACE_READ));
	assert_null(space_cached(&cache, BASE - 1, 2, SPACE_READ));
	assert_null(space_cached(&cache, BASE + 0x2000, 1, SPACE_READ));
	assert_null(space_cached(&cache, BASE + 1, UINT64_MAX, SPACE_READ));
	assert_null(space_cached(&cache, BASE, 1, SPACE_WRITE)); /* may only be read */
	space_keep(b->space, &cache, BASE + 0x2000);
	assert_non_null(space_cached(&cache, BASE + 0x2fff, 1, SPACE_WRITE));
	assert_non_null(space_cached(&cache, BASE, 1, SPACE_READ)); /* two are kept ... */
	space_keep(b->space, &cache, 0);
	assert_non_null(space_cached(&cache, 0, 0x1000, SPACE_WRITE));
	assert_null(space_cached(&cache, BASE, 1, SPACE_READ)); /* ... not three */
	space_keep(b->space, &cache, 0x5000);			/* not mapped: nothing changes */
	assert_non_null(space_cached(&cache, 0, 0x1000, SPACE_WRITE));
	bench_free(b);
}

static void copied_memory_is_not_kept(void **state)
{
	struct bench *b = bench_new(RAM_COPIED);
	struct space_cache cache = {0};

	assert_int_equal(add(b, BASE, 0x1000, 0, RW), 0);
	space_keep(b->space, &cache, BASE);
	assert_null(space_cached(&cache, BASE, 1, SPACE_READ));
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(overlap_refuses),
		cmocka_unit_test(ranges_that_wrap),
		cmocka_unit_test(table_is_bounded),
		cmocka_unit_test(removal_takes_whole_entries),
		cmocka_unit_test(removal_of_everything),
		cmocka_unit_test(removal_of_size_zero),
		cmocka_unit_test(permissions),
		cmocka_unit_test(segments_say_where),
		cmocka_unit_test(copies),
		cmocka_unit_test(pieces_of_one_entry),
		cmocka_unit_test(memory_that_is_not_there),
		cmocka_unit_test(retired_windows),
		cmocka_unit_test(numbered_regions),
		cmocka_unit_test(copied_regions_have_none),
		cmocka_unit_test(unused_entries_retire_nothing),
		cmocka_unit_test(batches_show_at_once),
		cmocka_unit_test(windows_made_within_a_batch),
		cmocka_unit_test(freed_within_a_batch),
		cmocka_unit_test(resolved_and_removed_within_a_batch),
		cmocka_unit_test(kept_regions),
		cmocka_unit_test(copied_memory_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
