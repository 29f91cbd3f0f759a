/*
 * Rings in copied memory on a machine that copies anything shorter than a
 * word byte by byte, while the driver moves its index from 0x00ff to 0x0100.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "memory/client.h"
#include "ring/ring.h"
#include "util/bytes.h"

#define NUM   8u
#define AVAIL 0x100u
#define USED  0x200u
#define DATA  0x300u

static uint8_t bytes[4096];

static int map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	*out = (struct window){.uaddr = uaddr, .size = size};
	return 0;
}

static void unmap(struct client_memory *memory, struct window *window)
{
}

/* The available index changes between two single bytes. */
static int read_slowly(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	memcpy(to, bytes + uaddr, size);
	if (size < 4 && uaddr == AVAIL + 2)
		((uint8_t *)to)[0] = 0xff;
	return 0;
}

static int write_memory(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	memcpy(bytes + uaddr, from, size);
	return 0;
}

static void an_index_is_not_torn(void **state)
{
	static const struct client_memory_ops ops = {map, unmap, read_slowly, write_memory};
	struct ring_setup setup = {.num = NUM, .driver = AVAIL, .device = USED, .base = 0xff};
	struct client_memory memory = {.ops = &ops};
	struct space *space = space_new(&memory);
	struct segment segments[4];
	struct chain chain = {.segments = segments, .max_segments = 4};
	struct ring ring;

	assert_int_equal(space_add(space, 0, sizeof(bytes), 0, SPACE_READ | SPACE_WRITE), 0);
	assert_int_equal(ring_start(&ring, &setup, space), 0);
	store_le64(bytes, DATA);
	store_le32(bytes + 8, 16);
	store_le16(bytes + AVAIL + 2, 0x100);
	assert_int_equal(ring_pop(&ring, &chain), RING_CHAIN);
	assert_int_equal(ring_pop(&ring, &chain), RING_EMPTY);
	assert_string_equal(ring_reason(&ring), "");
	ring_complete(&ring, &chain, 0);
	ring_flush_used(&ring);
	ring_stop(&ring);
	space_free(space);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(an_index_is_not_torn)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
