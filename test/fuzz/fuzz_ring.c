/*
 * Fuzz target: ring memory of any content, in address spaces of any cut, while
 * the driver goes on changing it.
 *
 * Checked, besides what sanitizers see: chains lie within the memory that the
 * space maps with the permission they need, and add up; only pops move where
 * the ring takes from; nothing but the areas that are the device's to write is written; and a
 * broken ring stays broken and leaves memory alone.
 *
 * An input is: options, base, mappings, the memory's first KiB, and then a
 * sequence of operations.
 */
#include "fuzz.h"

#include "lib/ram.h"
#include "memory/space.h"
#include "ring/ring.h"
#include "wire/vhost.h"

#define RAM_SIZE 4096u
#define SEGMENTS 16u
#define TAKEN	 8u

/* Bits of the first byte. */
enum { EVENT_IDX = 1, INDIRECT = 2, PACKED = 4, COPIED = 8, MIXED = 16, AHEAD = 32 };

struct bench {
	struct ram ram;
	struct space *space;
	struct ring ring;
	struct ring_prefetch prefetch;
	struct chain chains[TAKEN];
	struct segment segments[TAKEN][SEGMENTS];
	unsigned taken;
	uint8_t before[RAM_SIZE];
};

static void map(struct bench *b, struct food *food)
{
	uint64_t from = eat_u16(food) % RAM_SIZE, size = eat_u16(food) % RAM_SIZE;
	uint8_t how = eat_byte(food);

	/* Mostly all of it as it is; else some part to somewhere. */
	if (how & 0x80)
		space_add(b->space, b->ram.iova + from, size, b->ram.uaddr + (how & 0x70) * 16u,
			  how & 3);
	else
		space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, 3);
}

static void start(struct bench *b, uint8_t options, struct food *food)
{
	uint16_t num = (uint16_t)(1u << (eat_byte(food) % 6));
	struct ring_setup setup = {.num = num,
				   .desc = b->ram.iova + eat_u16(food) % RAM_SIZE,
				   .driver = b->ram.iova + eat_u16(food) % RAM_SIZE,
				   .device = b->ram.iova + eat_u16(food) % RAM_SIZE,
				   .prefetch = options & AHEAD ? &b->prefetch : NULL};

	eat(food, &setup.base, sizeof(setup.base));
	if (!(options & PACKED))
		setup.base &= 0xffff;
	setup.features = (options & EVENT_IDX ? 1ull << VIRTIO_RING_F_EVENT_IDX : 0) |
			 (options & INDIRECT ? 1ull << VIRTIO_RING_F_INDIRECT_DESC : 0) |
			 (options & PACKED ? 1ull << VIRTIO_F_RING_PACKED : 0);
	if (ring_start(&b->ring, &setup, b->space) < 0)
		assert(!b->ring.started);
}

/* Every segment is memory that we have, and the sums are right. */
static void check_chain(const struct bench *b, const struct chain *chain)
{
	uint64_t readable = 0, writable = 0;

	assert(chain->readable_count + chain->writable_count <= SEGMENTS);
	for (unsigned i = 0; i < (unsigned)chain->readable_count + chain->writable_count; i++) {
		const struct segment *s = &chain->segments[i];

		assert(s->size);
		if (b->ram.kind == RAM_DIRECT && s->host)
			assert(s->host >= b->ram.bytes && s->size <= RAM_SIZE &&
			       s->host <= b->ram.bytes + RAM_SIZE - s->size);
		*(i < chain->readable_count ? &readable : &writable) += s->size;
	}
	assert(readable == chain->readable && writable == chain->writable);
}

static void pop(struct bench *b)
{
	struct chain *chain = &b->chains[b->taken];
	enum ring_pop_result seen, r;
	uint32_t base;

	if (b->taken == TAKEN)
		return;
	ring_find_place(&b->ring);
	base = ring_base(&b->ring);
	*chain = (struct chain){.segments = b->segments[b->taken], .max_segments = SEGMENTS};
	seen = ring_look(&b->ring);
	r = ring_pop(&b->ring, chain);
	assert(r == seen || (seen == RING_CHAIN && (r == RING_BROKEN || r == RING_UNMAPPED)));
	if (r == RING_CHAIN) {
		uint8_t byte;

		check_chain(b, chain);
		chain_read(chain, 0, &byte, 1);
		b->taken++;
	} else {
		assert(ring_base(&b->ring) == base);
	}
	assert((r == RING_BROKEN) == !!*ring_reason(&b->ring));
}

/* A batch of plain chains, of which some go back and the others are complete at once. */
static void batch(struct bench *b, unsigned choice)
{
	enum space_access access = choice & 1 ? SPACE_WRITE : SPACE_READ;
	struct batch_chain plain[TAKEN];
	uint32_t written[TAKEN] = {0};
	unsigned count, back;

	count = ring_take_batch(&b->ring, access, plain, TAKEN);
	for (unsigned i = 0; i < count; i++) {
		assert(plain[i].size);
		if (b->ram.kind == RAM_DIRECT)
			assert(plain[i].host >= b->ram.bytes && plain[i].size <= RAM_SIZE &&
			       plain[i].host <= b->ram.bytes + RAM_SIZE - plain[i].size);
	}
	back = count ? choice / 2 % (count + 1) : 0;
	ring_unpop_batch(&b->ring, back);
	ring_complete_batch(&b->ring, plain, access == SPACE_WRITE ? written : NULL, count - back);
}

static void complete(struct bench *b, unsigned which)
{
	if (!b->taken)
		return;
	which %= b->taken;
	ring_complete(&b->ring, &b->chains[which], which);
	b->taken--;
	/* Chains own their segments: exchange both. */
	for (unsigned i = which; i < b->taken; i++) {
		struct segment *segments = b->chains[i].segments;

		memcpy(segments, b->chains[i + 1].segments, sizeof(b->segments[0]));
		b->chains[i] = b->chains[i + 1];
		b->chains[i].segments = segments;
	}
}

/* Whether byte `i` of memory is one that the device may write, by any mapping that reaches it. */
static int is_devices(const struct bench *b, unsigned i)
{
	const struct ring *ring = &b->ring;

	if (b->ram.kind != RAM_DIRECT)
		return 1; /* several mappings may reach it; checked where it is simple */
	if (ring->device.host && b->ram.bytes + i >= ring->device.host &&
	    b->ram.bytes + i < ring->device.host + ring->device.size)
		return 1;
	return ring->packed || !ring->device.host;
}

/* Where the ring takes from. */
static uint32_t taken_to(const struct bench *b)
{
	return ring_base(&b->ring) & 0xffff; /* packed: the other half is where it completes */
}

static void operate(struct bench *b, struct food *food)
{
	uint8_t what = eat_byte(food);
	bool broken = b->ring.broken;
	uint32_t base = taken_to(b);

	memcpy(b->before, b->ram.bytes, RAM_SIZE);
	switch (what % 8) {
	case 0:
		pop(b);
		base = taken_to(b);
		break;
	case 1:
		batch(b, what / 8);
		pop(b);
		base = taken_to(b);
		break;
	case 2:
		complete(b, what / 8);
		break;
	case 3:
		ring_flush_used(&b->ring);
		break;
	case 4:
		ring_enable_notify(&b->ring);
		break;
	case 5:
		ring_disable_notify(&b->ring);
		break;
	default:
		break;
	}
	assert(taken_to(b) == base);
	for (unsigned i = 0; i < RAM_SIZE; i++)
		assert(b->before[i] == b->ram.bytes[i] || (!broken && is_devices(b, i)));
	/* The driver's and the client's turn. */
	if (what % 8 == 6) {
		unsigned at = eat_u16(food) % (RAM_SIZE - 8);

		eat(food, b->ram.bytes + at, 8);
	} else if (what % 8 == 7) {
		space_remove(b->space, 0, 0);
		space_reap(b->space, b->taken ? 0 : UINT64_MAX);
		map(b, food);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct bench b;
	struct food food = {data, size};
	uint8_t options = eat_byte(&food);

	memset(&b, 0, sizeof(b));
	ram_init(&b.ram,
		 options & COPIED  ? RAM_COPIED
		 : options & MIXED ? RAM_MIXED
				   : RAM_DIRECT,
		 RAM_SIZE);
	b.ram.region = 72;
	b.space = space_new(&b.ram.memory);
	assert(b.space);
	for (unsigned n = eat_byte(&food) % 4 + 1u; n; n--)
		map(&b, &food);
	ring_init(&b.ring);
	start(&b, options, &food);
	eat(&food, b.ram.bytes, 1024);
	for (unsigned limit = 0; b.ring.started && food.left && limit < 500; limit++)
		operate(&b, &food);
	if (b.ring.started) {
		ring_flush_used(&b.ring);
		ring_stop(&b.ring);
	}
	space_free(b.space);
	ram_destroy(&b.ram);
	return 0;
}
