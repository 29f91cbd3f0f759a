/*
 * The driver's packed ring, byte by byte: against the specification, against another driver's side
 * that was written from it (lib/pq.c), and against devices that write nonsense. The "device" here
 * is the test itself, with its hands in the ring memory.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/pq.h"
#include "uvdpa/driver.h"
#include "wire/vhost.h"

#define PACKED	  (1ull << VIRTIO_F_RING_PACKED)
#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER  (1ull << VIRTIO_F_IN_ORDER)

enum { WRITE = 2, AVAIL = 1 << 7, USED = 1 << 15, WRAP = 0x8000 };

struct rig {
	struct uvdpa_memory *memory;
	struct uvdpa_queue *q;
	struct vring_packed_desc *ring;
	struct vring_packed_desc_event *driver, *device;
	unsigned size;
	unsigned at; /* the device's own used position: entry, and its wrap counter */
	bool wrap;
	uint16_t length[64]; /* descriptors of each chain, by id */
};

static void set_up(struct rig *rig, uint16_t size, uint32_t base, uint64_t features)
{
	const struct uvdpa_memory_options m = {.size = 1 << 20};
	const struct uvdpa_queue_options o = {.size = size,
					      .base = base,
					      .indirect = features & INDIRECT ? 8 : 0,
					      .features = features | PACKED};
	struct uvdpa_queue_areas a;

	*rig = (struct rig){.size = size, .at = base & 0x7fff, .wrap = !base || base & WRAP};
	assert_int_equal(uvdpa_memory_new(&m, &rig->memory, NULL), 0);
	assert_int_equal(uvdpa_queue_new(rig->memory, &o, &rig->q, NULL), 0);
	assert_true(uvdpa_queue_is_packed(rig->q));
	uvdpa_queue_areas(rig->q, &a);
	assert_int_equal(a.desc_len, 16u * size);
	assert_int_equal(a.avail_len, 4);
	assert_int_equal(a.used_len, 4);
	rig->ring = a.desc;
	rig->driver = a.avail;
	rig->device = a.used;
}

static void tear_down(struct rig *rig)
{
	uvdpa_queue_free(rig->q);
	uvdpa_memory_free(rig->memory);
}

static int add(struct rig *rig, unsigned count, uint64_t cookie)
{
	struct uvdpa_segment s[16];
	int id;

	for (unsigned i = 0; i < count; i++)
		s[i] = (struct uvdpa_segment){0x1000 * (i + 1), 100 + i, i == count - 1};
	id = uvdpa_queue_add(rig->q, s, count, 0, cookie);
	if (id >= 0)
		rig->length[id] = (uint16_t)count;
	return id;
}

/* Writes a used descriptor at an entry, and goes `skip` on. */
static void mark(struct rig *rig, uint16_t id, uint32_t len, uint16_t flags, unsigned skip)
{
	struct vring_packed_desc *d = &rig->ring[rig->at];

	d->id = id;
	d->len = len;
	__atomic_store_n(&d->flags, flags | (rig->wrap ? AVAIL | USED : 0), __ATOMIC_RELEASE);
	rig->at += skip;
	if (rig->at >= rig->size) {
		rig->at -= rig->size;
		rig->wrap = !rig->wrap;
	}
}

static void finish(struct rig *rig, int id, uint32_t len)
{
	mark(rig, (uint16_t)id, len, WRITE, rig->length[id]);
}

static uint32_t position(const struct rig *rig)
{
	uint32_t at = rig->at | (rig->wrap ? WRAP : 0);

	return at | at << 16;
}

static bool is_available(const struct rig *rig, unsigned index, bool wrap)
{
	return (rig->ring[index].flags & (AVAIL | USED)) == (wrap ? AVAIL : USED);
}

/* The batch shows itself with its first descriptor's flags, and not before. */
static void chains_as_the_specification_has_them(void **state)
{
	const struct uvdpa_segment s[] = {{0x1000, 16, 0}, {0x2000, 512, 1}, {0x3000, 1, 1}};
	struct uvdpa_queue_view view;
	struct uvdpa_descriptor d;
	struct rig rig;
	int id, second;

	set_up(&rig, 8, 0, 0);
	assert_int_equal(uvdpa_queue_base(rig.q), 0x80008000);
	id = uvdpa_queue_add(rig.q, s, 3, 0, 42);
	second = uvdpa_queue_add(rig.q, s, 2, 0, 43);
	assert_true(id >= 0 && second >= 0 && id != second);
	assert_false(is_available(&rig, 0, true));
	uvdpa_queue_debug_snapshot(rig.q, &view);
	assert_int_equal(view.avail_idx, WRAP);
	assert_int_equal(view.unpublished, 2);
	assert_int_equal(uvdpa_queue_publish(rig.q), 2);
	for (uint16_t i = 0; i < 5; i++) {
		assert_true(is_available(&rig, i, true));
		uvdpa_queue_descriptor(rig.q, i, &d);
		assert_int_equal(d.addr, s[i % 3].iova);
		assert_int_equal(d.len, s[i % 3].len);
		assert_int_equal(d.next, i < 3 ? id : second);
		assert_int_equal(d.flags & WRITE, i % 3 ? WRITE : 0);
		assert_int_equal(d.flags & VRING_DESC_F_NEXT, i != 2 && i != 4);
	}
	for (unsigned i = 5; i < 8; i++)
		assert_false(is_available(&rig, i, true));
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 3);
	uvdpa_queue_debug_snapshot(rig.q, &view);
	assert_int_equal(view.avail_idx, WRAP | 5);
	assert_int_equal(view.unpublished, 0);
	tear_down(&rig);
}

/* virtio 2.8.7: no NEXT inside a table, only WRITE. */
static void indirect_chains_take_one_descriptor(void **state)
{
	const struct uvdpa_segment s[] = {{0x1000, 16, 0}, {0x2000, 512, 1}};
	struct vring_packed_desc *table;
	struct rig rig;
	int id;

	set_up(&rig, 8, 0, INDIRECT);
	id = uvdpa_queue_add(rig.q, s, 2, UVDPA_CHAIN_INDIRECT, 1);
	assert_true(id >= 0);
	uvdpa_queue_publish(rig.q);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 7);
	assert_int_equal(rig.ring[0].flags, VRING_DESC_F_INDIRECT | AVAIL);
	assert_int_equal(rig.ring[0].len, 32);
	table = uvdpa_memory_ptr(rig.memory, rig.ring[0].addr, 32);
	assert_non_null(table);
	assert_int_equal(table[0].flags, 0);
	assert_int_equal(table[1].addr, 0x2000);
	assert_int_equal(table[1].flags, WRITE);
	tear_down(&rig);
}

static void completions_in_any_order(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int id[3];

	set_up(&rig, 8, 0, 0);
	for (int i = 0; i < 3; i++)
		id[i] = add(&rig, 2, 10 + (uint64_t)i);
	uvdpa_queue_publish(rig.q);
	finish(&rig, id[2], 101);
	mark(&rig, (uint16_t)id[0], 77, 0, 2); /* without WRITE the length means nothing */
	assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 2);
	assert_int_equal(c[0].cookie, 12);
	assert_int_equal(c[0].written, 101);
	assert_int_equal(c[1].cookie, 10);
	assert_int_equal(c[1].written, 0);
	assert_int_equal(c[1].head, id[0]);
	assert_int_equal(uvdpa_queue_in_flight(rig.q), 1);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 6);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 0);
	assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
	tear_down(&rig);
}

/* Both wrap counters flip many times, from the end of a lap of either kind. */
static void positions_wrap(void **state)
{
	const uint32_t bases[] = {0, 0x80038003, 0x00030003, 0x00010001};

	for (unsigned k = 0; k < 4; k++) {
		struct uvdpa_completion c[8];
		struct rig rig;

		set_up(&rig, 4, bases[k], 0);
		for (unsigned i = 0; i < 1000; i++) {
			int a = add(&rig, 1 + i % 3, i);
			int b = i % 3 == 2 ? -ENOSPC : add(&rig, 1, i + 1000000);

			assert_true(a >= 0);
			uvdpa_queue_publish(rig.q);
			if (b >= 0)
				finish(&rig, b, 0);
			finish(&rig, a, 1);
			assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
			assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), b >= 0 ? 2 : 1);
			assert_int_equal(c[b >= 0].cookie, i);
			assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
		}
		assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 4);
		assert_int_equal(uvdpa_queue_in_flight(rig.q), 0);
		tear_down(&rig);
	}
}

/* An empty ring looks empty from wherever it begins, to both sides. */
static void a_restart_anywhere(void **state)
{
	struct uvdpa_completion c[1];
	struct rig rig;

	set_up(&rig, 8, 0, 0);
	for (uint32_t at = 0; at < 16; at++) {
		uint32_t half = (at % 8) | (at < 8 ? 0 : WRAP);

		assert_int_equal(uvdpa_queue_restart(rig.q, half | half << 16), 0);
		assert_int_equal(uvdpa_queue_base(rig.q), half | half << 16);
		assert_int_equal(uvdpa_queue_poll(rig.q, c, 1), 0);
		for (unsigned i = 0; i < 8; i++)
			assert_false(is_available(&rig, i, i < at % 8 ? at < 8 : at >= 8));
	}
	assert_int_equal(uvdpa_queue_restart(rig.q, 0x80088008), -EINVAL);
	assert_int_equal(uvdpa_queue_restart(rig.q, 0x80018000), -EINVAL);
	tear_down(&rig);
}

/* The same chains from two drivers that share no code: the same bytes, kicks and base. */
static void as_another_driver(void **state)
{
	struct rig rig;
	struct ram ram;
	struct pq pq;

	set_up(&rig, 16, 0x800d800d, EVENT_IDX);
	ram_init(&ram, RAM_DIRECT, 1 << 16);
	pq_init(&pq, &ram, 16, ram.iova);
	pq_start_at(&pq, 13, true);
	srand(1);
	for (unsigned i = 0; i < 3000; i++) {
		struct pq_buffer buffers[4] = {{0}};
		unsigned count = 1 + (unsigned)rand() % 4;
		struct uvdpa_completion c;
		uint32_t len;
		uint16_t id;
		int mine;

		for (unsigned j = 0; j < count; j++)
			buffers[j] = (struct pq_buffer){0x1000 * (j + 1), 100 + j,
							j == count - 1 ? WRITE : 0};
		mine = add(&rig, count, i);
		assert_true(mine >= 0);
		uvdpa_queue_publish(rig.q);
		pq_offer(&pq, (uint16_t)mine, buffers, count);
		/* the device wishes to be told at some entry of this lap or the last */
		rig.device->flags = (uint16_t)(rand() % 3);
		rig.device->off_wrap = (uint16_t)(rand() % 16 | (rand() % 2 ? WRAP : 0));
		memcpy(ram_at(&ram, pq.device, 4), rig.device, 4);
		if (rand() % 3)
			assert_int_equal(uvdpa_queue_kick(rig.q), pq_wants_kick(&pq));
		assert_memory_equal(rig.ring, ram_at(&ram, pq.desc, 256), 256);
		finish(&rig, mine, 5);
		memcpy(ram_at(&ram, pq.desc, 256), rig.ring, 256);
		assert_true(pq_take_used(&pq, &id, &len));
		assert_int_equal(uvdpa_queue_poll(rig.q, &c, 1), 1);
		assert_int_equal(c.head, id);
		assert_int_equal(uvdpa_queue_base(rig.q), pq_base(&pq));
	}
	ram_destroy(&ram);
	tear_down(&rig);
}

/* Without EVENT_IDX only the flags count; what was kicked for once is not kicked for again. */
static void kicks_by_flags(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 0, 0);
	add(&rig, 1, 1);
	assert_int_equal(uvdpa_queue_kick(rig.q), 0); /* not published */
	uvdpa_queue_publish(rig.q);
	assert_int_equal(uvdpa_queue_kick(rig.q), 1);
	assert_int_equal(uvdpa_queue_kick(rig.q), 0);
	rig.device->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	add(&rig, 1, 2);
	assert_int_equal(uvdpa_queue_submit(rig.q), 0);
	rig.device->flags = VRING_PACKED_EVENT_FLAG_ENABLE;
	add(&rig, 1, 3);
	assert_int_equal(uvdpa_queue_submit(rig.q), 1);
	tear_down(&rig);
}

static void calls_as_they_are_wanted(void **state)
{
	struct uvdpa_completion c;
	struct rig rig;
	int id;

	set_up(&rig, 4, 0, EVENT_IDX);
	assert_int_equal(rig.driver->flags, VRING_PACKED_EVENT_FLAG_DESC);
	assert_int_equal(rig.driver->off_wrap, WRAP);
	id = add(&rig, 3, 1);
	uvdpa_queue_publish(rig.q);
	finish(&rig, id, 0);
	assert_int_equal(uvdpa_queue_poll(rig.q, &c, 1), 1);
	assert_int_equal(rig.driver->off_wrap, WRAP | 3);
	id = add(&rig, 2, 2);
	uvdpa_queue_publish(rig.q);
	finish(&rig, id, 0);
	assert_int_equal(uvdpa_queue_wait(rig.q, 0), 1);
	assert_int_equal(uvdpa_queue_poll(rig.q, &c, 1), 1);
	assert_int_equal(rig.driver->off_wrap, 1); /* the other lap */
	uvdpa_queue_want_calls(rig.q, 0);
	assert_int_equal(rig.driver->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	assert_int_equal(uvdpa_queue_wait(rig.q, 0), 0);
	assert_int_equal(rig.driver->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	tear_down(&rig);
	set_up(&rig, 4, 0, 0);
	assert_int_equal(rig.driver->flags, VRING_PACKED_EVENT_FLAG_ENABLE);
	tear_down(&rig);
}

/* The queue is broken, says why, and stays so until it is restarted. */
static void is_broken(struct rig *rig, enum uvdpa_queue_break how, const char *why)
{
	struct uvdpa_completion c[8];

	assert_int_equal(uvdpa_queue_poll(rig->q, c, 8), -EPROTO);
	assert_int_equal(uvdpa_queue_broken(rig->q), how);
	assert_non_null(strstr(uvdpa_queue_error(rig->q), why));
	assert_int_equal(add(rig, 1, 0), -EPROTO);
	assert_int_equal(uvdpa_queue_wait(rig->q, 1000), -EPROTO);
	assert_int_equal(uvdpa_queue_restart(rig->q, 0x80078007), 0);
	assert_null(uvdpa_queue_error(rig->q));
	assert_int_equal(uvdpa_queue_base(rig->q), 0x80078007);
	assert_true(add(rig, 1, 0) >= 0);
	tear_down(rig);
}

static void nonsense(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int id;

	set_up(&rig, 8, 0, 0);
	add(&rig, 1, 0);
	uvdpa_queue_publish(rig.q);
	mark(&rig, 8, 0, 0, 1);
	is_broken(&rig, UVDPA_QUEUE_HEAD_RANGE, "names head 8 of a queue of 8");

	set_up(&rig, 8, 0, 0); /* what came before the nonsense still counts */
	id = add(&rig, 2, 5);
	add(&rig, 2, 6);
	uvdpa_queue_publish(rig.q);
	finish(&rig, id, 0);
	finish(&rig, id, 0);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 1);
	assert_int_equal(c[0].cookie, 5);
	is_broken(&rig, UVDPA_QUEUE_NOT_IN_FLIGHT, "not in flight");

	set_up(&rig, 8, 0, 0);
	add(&rig, 1, 5);
	uvdpa_queue_publish(rig.q);
	id = add(&rig, 1, 6);
	finish(&rig, id, 0);
	is_broken(&rig, UVDPA_QUEUE_NOT_IN_FLIGHT, "not in flight");

	set_up(&rig, 8, 0, 0);
	finish(&rig, 0, 0);
	is_broken(&rig, UVDPA_QUEUE_USED_INDEX, "descriptor 0 (wrap counter 1)");

	set_up(&rig, 8, 0, 0);
	id = add(&rig, 2, 5);
	uvdpa_queue_publish(rig.q);
	finish(&rig, id, 102);
	is_broken(&rig, UVDPA_QUEUE_LENGTH, "102 bytes written where 101 fit");
}

static void refusals(void **state)
{
	struct uvdpa_segment s[20] = {{0x1000, 1, 0}};
	struct uvdpa_queue_options o = {.size = 8, .features = PACKED};
	struct uvdpa_error error = {0};
	struct uvdpa_queue *q;
	struct rig rig;

	set_up(&rig, 8, 0, INDIRECT);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 0, 0, 0), -EINVAL);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 9, 0, 0), -E2BIG);
	assert_true(uvdpa_queue_add(rig.q, s, 7, 0, 0) >= 0);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 2, 0, 0), -ENOSPC);
	assert_true(uvdpa_queue_add(rig.q, s, 8, UVDPA_CHAIN_INDIRECT, 0) >= 0);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 1, UVDPA_CHAIN_INDIRECT, 0), -ENOSPC);
	o.base = 0x80088008;
	assert_int_equal(uvdpa_queue_new(rig.memory, &o, &q, &error), -EINVAL);
	assert_non_null(strstr(error.text, "0x80088008"));
	o.features = 0;
	assert_int_equal(uvdpa_queue_new(rig.memory, &o, &q, &error), -EINVAL);
	tear_down(&rig);
}

/* virtio 2.8.9: one used descriptor, at the first one's place, for a batch that it ends. */
static void in_order(uint16_t size)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int id[3];

	set_up(&rig, size, 0, IN_ORDER);
	for (unsigned round = 0; round < 50; round++) {
		for (unsigned i = 0; i < 3; i++)
			id[i] = add(&rig, 1 + i % 2, round * 3 + i);
		uvdpa_queue_publish(rig.q);
		mark(&rig, (uint16_t)id[1], 3, WRITE, 3);
		assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
		assert_int_equal(uvdpa_queue_poll(rig.q, c, 1), 1);
		assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
		assert_int_equal(uvdpa_queue_wait(rig.q, 0), 1);
		mark(&rig, (uint16_t)id[2], 4, WRITE, 1);
		assert_int_equal(uvdpa_queue_base(rig.q), position(&rig));
		assert_int_equal(uvdpa_queue_poll(rig.q, c + 1, 7), 2);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(c[i].cookie, round * 3 + i);
			assert_int_equal(c[i].head, id[i]);
		}
		assert_int_equal(c[0].written, 100); /* not told: used in full */
		assert_int_equal(c[1].written, 3);
		assert_int_equal(c[2].written, 4);
		assert_int_equal(uvdpa_queue_free_descriptors(rig.q), size);
	}
	tear_down(&rig);
}

/* Of any number of entries (virtio 1.3, 2.8.10.1). */
static void in_order_batches(void **state)
{
	for (uint16_t size = 4; size <= 17; size++)
		in_order(size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_as_the_specification_has_them),
		cmocka_unit_test(indirect_chains_take_one_descriptor),
		cmocka_unit_test(completions_in_any_order),
		cmocka_unit_test(positions_wrap),
		cmocka_unit_test(a_restart_anywhere),
		cmocka_unit_test(as_another_driver),
		cmocka_unit_test(kicks_by_flags),
		cmocka_unit_test(calls_as_they_are_wanted),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(refusals),
		cmocka_unit_test(in_order_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
