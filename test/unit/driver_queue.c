/*
 * The driver's split ring, byte by byte, and what it makes of a device that writes nonsense. The
 * "device" here is the test itself, with its hands in the ring memory.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "wire/vhost.h"

#define EVENT_IDX (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT  (1ull << VIRTIO_RING_F_INDIRECT_DESC)
#define IN_ORDER  (1ull << VIRTIO_F_IN_ORDER)

struct rig {
	struct uvdpa_memory *memory;
	struct uvdpa_queue *q;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	unsigned size;
};

static void set_up(struct rig *rig, uint16_t size, uint16_t base, uint64_t features)
{
	const struct uvdpa_memory_options m = {.size = 1 << 20};
	const struct uvdpa_queue_options o = {.size = size,
					      .base = base,
					      .indirect = features & INDIRECT ? 8 : 0,
					      .features = features};
	struct uvdpa_queue_areas a;

	assert_int_equal(uvdpa_memory_new(&m, &rig->memory, NULL), 0);
	assert_int_equal(uvdpa_queue_new(rig->memory, &o, &rig->q, NULL), 0);
	uvdpa_queue_areas(rig->q, &a);
	rig->desc = a.desc;
	rig->avail = a.avail;
	rig->used = a.used;
	rig->size = size;
}

static void tear_down(struct rig *rig)
{
	uvdpa_queue_free(rig->q);
	uvdpa_memory_free(rig->memory);
}

/* The device's side: finishes one chain. */
static void finish(struct rig *rig, uint32_t id, uint32_t len)
{
	uint16_t idx = rig->used->idx;

	rig->used->ring[idx % rig->size] = (struct vring_used_elem){id, len};
	__atomic_store_n(&rig->used->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
}

static int add(struct rig *rig, unsigned count, uint64_t cookie)
{
	struct uvdpa_segment s[16];

	for (unsigned i = 0; i < count; i++)
		s[i] = (struct uvdpa_segment){0x1000 * (i + 1), 100 + i, i == count - 1};
	return uvdpa_queue_add(rig->q, s, count, 0, cookie);
}

static void chains_as_the_specification_has_them(void **state)
{
	const struct uvdpa_segment s[] = {{0x1000, 16, 0}, {0x2000, 512, 1}, {0x3000, 1, 1}};
	struct uvdpa_descriptor d;
	struct rig rig;
	int head;

	set_up(&rig, 8, 0, 0);
	head = uvdpa_queue_add(rig.q, s, 3, 0, 42);
	assert_true(head >= 0);
	assert_int_equal(rig.avail->idx, 0); /* not yet */
	assert_int_equal(uvdpa_queue_publish(rig.q), 1);
	assert_int_equal(rig.avail->idx, 1);
	assert_int_equal(rig.avail->ring[0], head);
	assert_int_equal(uvdpa_queue_avail_entry(rig.q, 0), head);
	uvdpa_queue_descriptor(rig.q, (uint16_t)head, &d);
	assert_int_equal(d.addr, 0x1000);
	assert_int_equal(d.len, 16);
	assert_int_equal(d.flags, VRING_DESC_F_NEXT);
	uvdpa_queue_descriptor(rig.q, d.next, &d);
	assert_int_equal(d.addr, 0x2000);
	assert_int_equal(d.flags, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE);
	uvdpa_queue_descriptor(rig.q, d.next, &d);
	assert_int_equal(d.len, 1);
	assert_int_equal(d.flags, VRING_DESC_F_WRITE);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 5);
	tear_down(&rig);
}

static void indirect_chains_take_one_descriptor(void **state)
{
	const struct uvdpa_segment s[] = {{0x1000, 16, 0}, {0x2000, 512, 1}};
	struct vring_desc *table;
	struct rig rig;
	int head;

	set_up(&rig, 8, 0, INDIRECT);
	head = uvdpa_queue_add(rig.q, s, 2, UVDPA_CHAIN_INDIRECT, 1);
	assert_true(head >= 0);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 7);
	assert_int_equal(rig.desc[head].flags, VRING_DESC_F_INDIRECT);
	assert_int_equal(rig.desc[head].len, 32);
	table = uvdpa_memory_ptr(rig.memory, rig.desc[head].addr, 32);
	assert_non_null(table);
	assert_int_equal(table[0].flags, VRING_DESC_F_NEXT);
	assert_int_equal(table[0].next, 1);
	assert_int_equal(table[1].addr, 0x2000);
	assert_int_equal(table[1].flags, VRING_DESC_F_WRITE);
	tear_down(&rig);
}

static void completions_in_any_order(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int h[3];

	set_up(&rig, 8, 0, 0);
	for (int i = 0; i < 3; i++)
		h[i] = add(&rig, 2, 10 + (uint64_t)i);
	uvdpa_queue_publish(rig.q);
	assert_int_equal(uvdpa_queue_in_flight(rig.q), 3);
	finish(&rig, (uint32_t)h[2], 101);
	finish(&rig, (uint32_t)h[0], 0);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 2);
	assert_int_equal(c[0].cookie, 12);
	assert_int_equal(c[0].written, 101);
	assert_int_equal(c[1].cookie, 10);
	assert_int_equal(c[1].head, h[0]);
	assert_int_equal(uvdpa_queue_in_flight(rig.q), 1);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 6);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 0);
	tear_down(&rig);
}

/* Every index goes round many times, from just below the wrap; chains of changing length. */
static void indexes_wrap(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;

	set_up(&rig, 4, 65530, 0);
	assert_int_equal(rig.avail->idx, 65530);
	assert_int_equal(uvdpa_queue_base(rig.q), 65530);
	for (unsigned i = 0; i < 70000; i++) {
		int a = add(&rig, 1 + i % 3, i),
		    b = i % 3 == 2 ? -ENOSPC : add(&rig, 1, i + 1000000);

		assert_true(a >= 0);
		uvdpa_queue_publish(rig.q);
		if (b >= 0)
			finish(&rig, (uint32_t)b, 0);
		finish(&rig, (uint32_t)a, 1);
		assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), b >= 0 ? 2 : 1);
		assert_int_equal(c[b >= 0].cookie, i);
	}
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 4);
	assert_int_equal(uvdpa_queue_in_flight(rig.q), 0);
	tear_down(&rig);
}

/*
 * virtio 2.7.9: descriptors in the order of the table, round and round, and one used entry, in the
 * first one's place, for a batch that it ends.
 */
static void in_order_batches(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	unsigned at = 0;

	set_up(&rig, 8, 0, IN_ORDER);
	for (unsigned round = 0; round < 50; round++) {
		uint16_t used = rig.used->idx;
		int h[3];

		for (unsigned i = 0; i < 3; i++) {
			h[i] = add(&rig, 1 + i % 2, round * 3 + i);
			assert_int_equal(h[i], at % 8);
			at += 1 + i % 2;
		}
		uvdpa_queue_publish(rig.q);
		rig.used->ring[used % 8] = (struct vring_used_elem){(uint32_t)h[2], 7};
		rig.used->idx = (uint16_t)(used + 3);
		assert_int_equal(uvdpa_queue_poll(rig.q, c, 2), 2);
		assert_int_equal(uvdpa_queue_poll(rig.q, c + 2, 6), 1);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(c[i].cookie, round * 3 + i);
			assert_int_equal(c[i].written, i == 2 ? 7 : 100 + i % 2);
		}
	}
	tear_down(&rig);
}

static void the_largest_ring_can_be_full(void **state)
{
	struct uvdpa_memory_options m = {.size = 4 << 20};
	struct uvdpa_queue_options o = {.size = 32768, .base = 40000};
	struct uvdpa_segment s = {0x1000, 1, 1};
	struct uvdpa_queue_areas a;
	struct uvdpa_completion c[1];
	struct uvdpa_memory *memory;
	struct uvdpa_queue *q;
	struct vring_used *used;

	assert_int_equal(uvdpa_memory_new(&m, &memory, NULL), 0);
	assert_int_equal(uvdpa_queue_new(memory, &o, &q, NULL), 0);
	for (unsigned i = 0; i < 32768; i++)
		assert_true(uvdpa_queue_add(q, &s, 1, 0, i) >= 0);
	assert_int_equal(uvdpa_queue_add(q, &s, 1, 0, 0), -ENOSPC);
	assert_int_equal(uvdpa_queue_publish(q), 32768);
	uvdpa_queue_areas(q, &a);
	used = a.used;
	for (unsigned i = 0; i < 32768; i++)
		used->ring[(40000 + i) % 32768] = (struct vring_used_elem){32767 - i, 1};
	used->idx = (uint16_t)(40000 + 32768);
	for (unsigned i = 0; i < 32768; i++) {
		assert_int_equal(uvdpa_queue_poll(q, c, 1), 1);
		assert_int_equal(c[0].head, 32767 - i);
	}
	assert_int_equal(uvdpa_queue_free_descriptors(q), 32768);
	uvdpa_queue_free(q);
	uvdpa_memory_free(memory);
}

/* An array of chains: one store of the index, one kick; what does not fit any more is left. */
static void many_chains_at_once(void **state)
{
	const struct uvdpa_segment s[2] = {{0x1000, 16, 0}, {0x2000, 512, 1}};
	struct uvdpa_chain chains[5];
	struct uvdpa_completion done[4];
	struct rig rig;
	uint64_t kicks = 0;

	for (unsigned i = 0; i < 5; i++)
		chains[i] = (struct uvdpa_chain){.segments = s, .count = 2, .cookie = 7 + i};
	set_up(&rig, 8, 0, 0);
	assert_int_equal(uvdpa_queue_submit_chains(rig.q, chains, 0), 0);
	assert_int_equal(uvdpa_queue_submit_chains(rig.q, chains, 5), 4);
	assert_int_equal(rig.avail->idx, 4);
	assert_int_equal(read(uvdpa_queue_kick_fd(rig.q), &kicks, sizeof(kicks)), sizeof(kicks));
	assert_int_equal(kicks, 1);
	assert_int_equal(uvdpa_queue_submit_chains(rig.q, &chains[4], 1), -ENOSPC);
	for (unsigned i = 0; i < 4; i++)
		finish(&rig, rig.avail->ring[i], 512);
	assert_int_equal(uvdpa_queue_poll(rig.q, done, 4), 4);
	assert_int_equal(done[3].cookie, 10);
	chains[1].flags = 2;
	assert_int_equal(uvdpa_queue_submit_chains(rig.q, chains, 5), 1);
	assert_int_equal(uvdpa_queue_submit_chains(rig.q, &chains[1], 1), -EINVAL);
	tear_down(&rig);
}

static void refusals(void **state)
{
	struct uvdpa_segment s[20] = {{0x1000, 1, 0}};
	struct uvdpa_error error = {0};
	struct uvdpa_queue *q;
	struct rig rig;

	set_up(&rig, 8, 0, INDIRECT);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 0, 0, 0), -EINVAL);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 1, 2, 0), -EINVAL);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 9, 0, 0), -E2BIG);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 9, UVDPA_CHAIN_INDIRECT, 0), -E2BIG);
	assert_true(uvdpa_queue_add(rig.q, s, 7, 0, 0) >= 0);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 2, 0, 0), -ENOSPC);
	assert_true(uvdpa_queue_add(rig.q, s, 8, UVDPA_CHAIN_INDIRECT, 0) >= 0);
	assert_int_equal(uvdpa_queue_add(rig.q, s, 1, UVDPA_CHAIN_INDIRECT, 0), -ENOSPC);

	for (unsigned size = 0; size < 13; size += 3) {
		struct uvdpa_queue_options o = {.size = (uint16_t)size};

		assert_int_equal(uvdpa_queue_new(rig.memory, &o, &q, &error), -EINVAL);
		assert_int_equal(error.code, -EINVAL);
	}
	assert_int_equal(uvdpa_queue_new(rig.memory,
					 &(struct uvdpa_queue_options){.size = 8, .indirect = 4},
					 &q, NULL),
			 -EINVAL);
	assert_int_equal(uvdpa_queue_new(rig.memory,
					 &(struct uvdpa_queue_options){.size = 8, .base = 65536},
					 &q, &error),
			 -EINVAL);
	assert_non_null(strstr(error.text, "0x10000"));
	assert_int_equal(uvdpa_queue_restart(rig.q, 65536), -EINVAL);
	assert_int_equal(uvdpa_queue_new(rig.memory, &(struct uvdpa_queue_options){.size = 32768},
					 &q, &error),
			 0);
	uvdpa_queue_free(q);
	assert_int_equal(uvdpa_queue_new(rig.memory, &(struct uvdpa_queue_options){.size = 32768},
					 &q, &error),
			 -ENOSPC);
	tear_down(&rig);
}

/* The queue is broken, says why, and stays so until it is restarted. */
static void is_broken(struct rig *rig, enum uvdpa_queue_break how, const char *why)
{
	struct uvdpa_completion c[8];

	assert_int_equal(uvdpa_queue_poll(rig->q, c, 8), -EPROTO);
	assert_int_equal(uvdpa_queue_broken(rig->q), how);
	assert_non_null(uvdpa_queue_error(rig->q));
	assert_non_null(strstr(uvdpa_queue_error(rig->q), why));
	assert_int_equal(add(rig, 1, 0), -EPROTO);
	assert_int_equal(uvdpa_queue_wait(rig->q, 1000), -EPROTO);
	assert_int_equal(uvdpa_queue_poll(rig->q, c, 8), -EPROTO);
	assert_int_equal(uvdpa_queue_restart(rig->q, 7), 0);
	assert_null(uvdpa_queue_error(rig->q));
	assert_int_equal(uvdpa_queue_broken(rig->q), UVDPA_QUEUE_OK);
	assert_int_equal(uvdpa_queue_base(rig->q), 7);
	assert_true(add(rig, 1, 0) >= 0);
}

static void nonsense_head_out_of_range(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 0, 0);
	add(&rig, 1, 0);
	uvdpa_queue_publish(rig.q);
	finish(&rig, 8, 0);
	is_broken(&rig, UVDPA_QUEUE_HEAD_RANGE, "names head 8 of a queue of 8");
	tear_down(&rig);
}

static void nonsense_head_twice(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, 0);
	h = add(&rig, 2, 5);
	add(&rig, 2, 6);
	uvdpa_queue_publish(rig.q);
	finish(&rig, (uint32_t)h, 0);
	finish(&rig, (uint32_t)h, 0);
	/* what came before the nonsense still counts */
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 1);
	assert_int_equal(c[0].cookie, 5);
	is_broken(&rig, UVDPA_QUEUE_NOT_IN_FLIGHT, "not in flight");
	tear_down(&rig);
}

static void nonsense_middle_of_a_chain(void **state)
{
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, 0);
	h = add(&rig, 3, 5);
	uvdpa_queue_publish(rig.q);
	finish(&rig, rig.desc[h].next, 0);
	is_broken(&rig, UVDPA_QUEUE_NOT_IN_FLIGHT, "not in flight");
	tear_down(&rig);
}

static void nonsense_not_published(void **state)
{
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, 0);
	add(&rig, 1, 5);
	uvdpa_queue_publish(rig.q);
	h = add(&rig, 1, 6);
	finish(&rig, (uint32_t)h, 0);
	is_broken(&rig, UVDPA_QUEUE_NOT_IN_FLIGHT, "not in flight");
	tear_down(&rig);
}

static void nonsense_used_index_jumps(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 65535, 0);
	add(&rig, 1, 5);
	add(&rig, 1, 6);
	uvdpa_queue_publish(rig.q);
	rig.used->idx = 2;
	is_broken(&rig, UVDPA_QUEUE_USED_INDEX, "went from 65535 to 2 with 2 chains");
	tear_down(&rig);
}

static void nonsense_used_index_goes_back(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 100, 0);
	add(&rig, 1, 5);
	uvdpa_queue_publish(rig.q);
	rig.used->idx = 99;
	is_broken(&rig, UVDPA_QUEUE_USED_INDEX, "went from 100 to 99");
	tear_down(&rig);
}

static void nonsense_too_many_bytes(void **state)
{
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, 0);
	h = add(&rig, 2, 5); /* room: 101 */
	uvdpa_queue_publish(rig.q);
	finish(&rig, (uint32_t)h, 102);
	is_broken(&rig, UVDPA_QUEUE_LENGTH, "102 bytes written where 101 fit");
	tear_down(&rig);
}

/* Descriptors spoilt by the device change nothing for the driver's own lists. */
static void spoilt_descriptors_do_no_harm(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, 0);
	h = add(&rig, 4, 5);
	uvdpa_queue_publish(rig.q);
	memset(rig.desc, 0xff, 8 * sizeof(*rig.desc));
	memset(rig.avail, 0xff, 6 + 2 * 8);
	finish(&rig, (uint32_t)h, 0);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 1);
	assert_int_equal(uvdpa_queue_free_descriptors(rig.q), 8);
	for (unsigned i = 0; i < 8; i++)
		assert_true(add(&rig, 1, i) >= 0);
	assert_int_equal(uvdpa_queue_publish(rig.q), 8);
	assert_int_equal(rig.avail->idx, 9);
	tear_down(&rig);
}

static uint64_t kicks(struct rig *rig)
{
	uint64_t n = 0;

	if (read(uvdpa_queue_kick_fd(rig->q), &n, sizeof(n)) < 0)
		return 0;
	return n;
}

static void kicks_by_flag(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 0, 0);
	assert_int_equal(uvdpa_queue_submit(rig.q), 0); /* nothing to tell */
	add(&rig, 1, 0);
	assert_int_equal(uvdpa_queue_submit(rig.q), 1);
	assert_int_equal(kicks(&rig), 1);
	rig.used->flags = VRING_USED_F_NO_NOTIFY;
	add(&rig, 1, 0);
	assert_int_equal(uvdpa_queue_submit(rig.q), 0);
	assert_int_equal(kicks(&rig), 0);
	assert_int_equal(uvdpa_queue_kick_always(rig.q), 0);
	assert_int_equal(kicks(&rig), 1);
	tear_down(&rig);
}

static void kicks_by_event(void **state)
{
	struct uvdpa_queue_view view;
	uint16_t *event;
	struct rig rig;

	set_up(&rig, 8, 65534, EVENT_IDX);
	event = (uint16_t *)&rig.used->ring[8];
	rig.used->flags = VRING_USED_F_NO_NOTIFY; /* to be ignored: virtio 2.7.10 */
	*event = 65534;
	add(&rig, 1, 0);
	assert_int_equal(uvdpa_queue_submit(rig.q), 1); /* 65534 was passed */
	add(&rig, 1, 0);
	assert_int_equal(uvdpa_queue_submit(rig.q), 0); /* still 65534 */
	*event = 1;
	add(&rig, 1, 0); /* index 0 */
	assert_int_equal(uvdpa_queue_submit(rig.q), 0);
	add(&rig, 1, 0);
	add(&rig, 1, 0); /* 1 and 2 in one batch */
	assert_int_equal(uvdpa_queue_submit(rig.q), 1);
	uvdpa_queue_debug_snapshot(rig.q, &view);
	assert_int_equal(view.avail_idx, 3);
	assert_int_equal(view.avail_event, 1);
	assert_int_equal(view.used_flags, VRING_USED_F_NO_NOTIFY);
	tear_down(&rig);
}

static void calls_asked_for_by_flag(void **state)
{
	struct rig rig;

	set_up(&rig, 8, 0, 0);
	assert_int_equal(rig.avail->flags, 0);
	uvdpa_queue_want_calls(rig.q, 0);
	assert_int_equal(rig.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	assert_int_equal(uvdpa_queue_wait(rig.q, 0), 0);
	assert_int_equal(rig.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	uvdpa_queue_want_calls(rig.q, 1);
	assert_int_equal(rig.avail->flags, 0);
	tear_down(&rig);
}

static void calls_asked_for_by_event(void **state)
{
	struct uvdpa_completion c[8];
	struct rig rig;
	int h;

	set_up(&rig, 8, 500, EVENT_IDX);
	assert_int_equal(rig.avail->ring[8], 500);
	h = add(&rig, 1, 0);
	uvdpa_queue_publish(rig.q);
	finish(&rig, (uint32_t)h, 0);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 1);
	assert_int_equal(rig.avail->ring[8], 501);
	uvdpa_queue_want_calls(rig.q, 0);
	assert_int_equal(rig.avail->ring[8], 500);
	assert_int_equal(rig.avail->flags, 0); /* must stay 0 with the event: virtio 2.7.7.1 */
	tear_down(&rig);
}

static void waiting(void **state)
{
	struct uvdpa_completion c[8];
	uint64_t one = 1;
	struct rig rig;
	int h;

	set_up(&rig, 8, 0, EVENT_IDX);
	h = add(&rig, 1, 0);
	uvdpa_queue_publish(rig.q);
	assert_int_equal(uvdpa_queue_wait(rig.q, 0), 0);
	/* a call without work is not an end of waiting */
	assert_int_equal(write(uvdpa_queue_call_fd(rig.q), &one, 8), 8);
	assert_int_equal(uvdpa_queue_wait(rig.q, 1), 0);
	assert_int_equal(uvdpa_queue_drain_calls(rig.q), 0);
	/* work without a call is */
	finish(&rig, (uint32_t)h, 0);
	assert_int_equal(uvdpa_queue_wait(rig.q, -1), 1);
	assert_int_equal(uvdpa_queue_poll(rig.q, c, 8), 1);
	assert_int_equal(write(uvdpa_queue_call_fd(rig.q), &one, 8), 8);
	assert_int_equal(uvdpa_queue_drain_calls(rig.q), 1);
	tear_down(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_as_the_specification_has_them),
		cmocka_unit_test(indirect_chains_take_one_descriptor),
		cmocka_unit_test(completions_in_any_order),
		cmocka_unit_test(indexes_wrap),
		cmocka_unit_test(in_order_batches),
		cmocka_unit_test(the_largest_ring_can_be_full),
		cmocka_unit_test(many_chains_at_once),
		cmocka_unit_test(refusals),
		cmocka_unit_test(nonsense_head_out_of_range),
		cmocka_unit_test(nonsense_head_twice),
		cmocka_unit_test(nonsense_middle_of_a_chain),
		cmocka_unit_test(nonsense_not_published),
		cmocka_unit_test(nonsense_used_index_jumps),
		cmocka_unit_test(nonsense_used_index_goes_back),
		cmocka_unit_test(nonsense_too_many_bytes),
		cmocka_unit_test(spoilt_descriptors_do_no_harm),
		cmocka_unit_test(kicks_by_flag),
		cmocka_unit_test(kicks_by_event),
		cmocka_unit_test(calls_asked_for_by_flag),
		cmocka_unit_test(calls_asked_for_by_event),
		cmocka_unit_test(waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
