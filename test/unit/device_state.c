/* Saved state: its bytes, what is refused of them, and devices that go on from it. */
#include <errno.h>

#include "device/state.h"
#include "lib/bench.h"
#include "util/bytes.h"
#include "util/crc.h"

#define HEADER 16u

static struct device_snapshot snapshot, other;
static uint8_t bytes[STATE_MAX_BYTES];

/* A sound state of the stage's kind of device. */
static size_t make(void)
{
	memset(&snapshot, 0, sizeof(snapshot));
	snapshot.version = STATE_VERSION;
	memcpy(snapshot.name, "disk", 5);
	snapshot.device_id = 42;
	snapshot.status = 0xf;
	snapshot.features = 1ull << 32 | 1ull << 33;
	snapshot.queue_count = 2;
	snapshot.model_size = 2;
	snapshot.model[0] = 7;
	snapshot.queues[0] = (struct snapshot_queue){
		.size = 8, .ready = true, .base = 65535, .desc = 1, .driver = 2, .used = 3};
	snapshot.queues[0].in_flight_count = 3;
	memcpy(snapshot.queues[0].in_flight, (uint16_t[]){7, 0, 3}, 6);
	snapshot.queues[1] = (struct snapshot_queue){.size = 1024};
	return state_encode(&snapshot, bytes);
}

/* Makes the check fit again. */
static void seal(size_t size)
{
	store_le32(bytes + 12, (uint32_t)size);
	store_le32(bytes + size - 4, crc_of(bytes, size - 4));
}

static int decode(size_t size, struct error *f)
{
	f->text[0] = '\0';
	return state_decode(bytes, size, &other, f);
}

static void refused(size_t size, const char *why)
{
	struct error f;

	seal(size);
	assert_true(decode(size, &f) < 0);
	if (!strstr(f.text, why))
		fail_msg("'%s' instead of '%s'", f.text, why);
}

/* The offset of the n-th section with this tag. */
static size_t section(unsigned tag, unsigned n)
{
	size_t at = HEADER;

	while (load_le16(bytes + at) != tag || n--)
		at += 8 + load_le32(bytes + at + 4);
	return at;
}

static size_t append(size_t size, uint16_t tag, uint16_t flags, uint32_t length)
{
	uint8_t *at = bytes + size - 4;

	store_le16(at, tag);
	store_le16(at + 2, flags);
	store_le32(at + 4, length);
	memset(at + 8, 0, length);
	return size + 8 + length;
}

static void round_trip(void **state)
{
	struct error f;

	assert_int_equal(decode(make(), &f), 0);
	assert_memory_equal(&snapshot, &other, sizeof(other));
}

static void largest(void **state)
{
	struct error f;

	make();
	memset(snapshot.name, 'x', DEVICE_NAME_MAX);
	snapshot.queue_count = DEVICE_MAX_QUEUES;
	snapshot.model_size = MODEL_STATE_MAX;
	for (unsigned i = 0; i < DEVICE_MAX_QUEUES; i++) {
		struct snapshot_queue *q = &snapshot.queues[i];

		q->size = q->in_flight_count = DEVICE_MAX_QUEUE_SIZE;
		q->ready = true;
		for (unsigned k = 0; k < DEVICE_MAX_QUEUE_SIZE; k++)
			q->in_flight[k] = (uint16_t)(DEVICE_MAX_QUEUE_SIZE - 1 - k);
	}
	assert_int_equal(decode(state_encode(&snapshot, bytes), &f), 0);
	assert_memory_equal(&snapshot, &other, sizeof(other));
}

/* Every single byte that is wrong, and every end that is missing, is noticed. */
static void damage(void **state)
{
	size_t size = make();
	struct error f;

	for (size_t i = 0; i < size; i++) {
		bytes[i] ^= 0x10;
		assert_true(decode(size, &f) < 0);
		bytes[i] ^= 0x10;
		assert_true(decode(i, &f) < 0);
	}
	assert_int_equal(decode(size, &f), 0);
	assert_int_equal(decode(STATE_MAX_BYTES + 1, &f), -EFBIG);
}

/* What any byte says, with a check that fits, is refused or understood: never worse. */
static void any_byte(void **state)
{
	size_t size = make();
	struct error f;

	for (size_t i = 0; i < size - 4; i++)
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= (uint8_t)(1 << bit);
			if (i < 12 || i >= HEADER)
				seal(size);
			if (decode(size, &f) < 0)
				assert_true(f.text[0]);
			bytes[i] ^= (uint8_t)(1 << bit);
		}
}

static void versions(void **state)
{
	size_t size = make(), device = section(1, 0);
	struct error f;

	/* newer, readable: optional tags are skipped, payloads may be longer */
	store_le16(bytes + 8, 2);
	size = append(size, 99, 0, 5);
	seal(size);
	assert_int_equal(decode(size, &f), 0);
	assert_int_equal(other.version, 2);
	assert_memory_equal(other.queues, snapshot.queues, sizeof(other.queues));
	memmove(bytes + device + 8 + 16 + 3, bytes + device + 8 + 16, size);
	store_le32(bytes + device + 4, 16 + 3);
	seal(size + 3);
	assert_int_equal(decode(size + 3, &f), 0);
	store_le16(bytes + 8, 1);
	refused(size + 3, "device section has 19 bytes, not 16");
	/* newer, not readable */
	size = make();
	store_le16(bytes + 8, 3);
	store_le16(bytes + 10, 2);
	refused(size, "has format 3 and needs a uvdpa that knows format 2; this one knows 1");
	/* newer, with what has to be understood */
	size = append(make(), 99, 1, 0);
	refused(size, "needs section 99");
	/* older */
	make();
	snapshot.queues[0].in_flight_count = 0;
	size = state_encode(&snapshot, bytes);
	store_le16(bytes + 8, 0);
	store_le16(bytes + 10, 0);
	seal(size);
	assert_int_equal(decode(size, &f), 0);
	assert_int_equal(other.version, 0);
	assert_int_equal(other.queues[0].base, 65535);
	size = make();
	store_le16(bytes + 8, 0);
	store_le16(bytes + 10, 0);
	refused(size, "needs section 4");
	store_le16(bytes + 10, 1);
	refused(size, "damaged");
}

static void nonsense(void **state)
{
	size_t size = make();
	struct error f;

	store_le32(bytes + section(5, 0) + 4, 1u << 31);
	refused(size, "beyond the end");
	size = append(make(), 1, 1, 16);
	refused(size, "two device sections");
	size = append(make(), 3, 1, 1);
	refused(size, "two sections of the model");
	size = append(make(), 2, 1, 36);
	refused(size, "queue 0 is there twice");
	size = make();
	store_le16(bytes + section(2, 1) + 8, 2);
	refused(size, "belongs to no device");
	size = make();
	store_le16(bytes + section(1, 0) + 8 + 4, 3);
	refused(size, "queue 2 is missing");
	store_le16(bytes + section(1, 0) + 8 + 4, 0);
	refused(size, "0 queues");
	store_le16(bytes + section(1, 0) + 8 + 4, 65);
	refused(size, "65 queues");
	size = make();
	store_le16(bytes + section(2, 0) + 8 + 2, 6);
	refused(size, "6 entries");
	size = make();
	store_le32(bytes + section(2, 0) + 8 + 4, 65536);
	refused(size, "stands at 65536");
	size = make();
	store_le16(bytes + section(4, 0) + 8 + 4, 8);
	refused(size, "impossible requests");
	store_le16(bytes + section(4, 0) + 8 + 4, 3);
	refused(size, "impossible requests");
	size = make();
	store_le16(bytes + section(4, 0) + 8, 1);
	refused(size, "can have none");
	size = make();
	store_le16(bytes + section(4, 0) + 8 + 2, 9);
	refused(size, "9 requests in flight in queue 0 of 8");
	store_le16(bytes + section(4, 0) + 8 + 2, 2);
	refused(size, "not 8");
	make();
	snapshot.features |= 1ull << 34;
	snapshot.queues[0].base = 0x80008000;
	refused(state_encode(&snapshot, bytes), "can have none");
	/* packed rings have any number of entries */
	snapshot.queues[0].in_flight_count = 0;
	snapshot.queues[0].size = 6;
	snapshot.queues[0].base = 0x80068000;
	refused(state_encode(&snapshot, bytes), "6 entries");
	snapshot.queues[0].base = 0x80058000;
	size = state_encode(&snapshot, bytes);
	assert_int_equal(decode(size, &f), 0);
	assert_int_equal(other.queues[0].size, 6);
}

/* --- Devices ------------------------------------------------------------------------------------
 */

/* A second device over the memory of the first. */
static const struct stage_options second = {
	.name = "next", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000};

/* All of a driver's start but the memory and the bases. */
static void come_up(struct stage *stage)
{
	stage_status(stage, 3);
	assert_int_equal(device_set_driver_features(stage->device, 1ull << 32 | 1ull << 33), 0);
	stage_status(stage, 0xb);
	for (unsigned q = 0; q < 2; q++) {
		const struct vq *vq = &stage->theatre->vqs[q];

		device_set_vq_num(stage->device, q, vq->num);
		device_set_vq_address(stage->device, q, vq->desc, vq->avail, vq->used);
		stage_begin(stage);
		device_set_vq_ready(stage->device, q, true, stage->book->now, stage_done,
				    stage_done_arg(stage, "ready"));
		stage_end(stage);
	}
	stage_status(stage, 0xf);
}

static void drop(struct stage *stage)
{
	stage_begin(stage);
	device_reset(stage->device, EV_DRIVER_RESET, stage->book->now, stage_done,
		     stage_done_arg(stage, "reset"));
	stage_end(stage);
}

static uint32_t base_of(struct stage *stage, unsigned queue)
{
	uint32_t base;

	assert_int_equal(device_get_vq_state(stage->device, queue, &base), 0);
	return base;
}

/* Five requests done here, suspended, saved; the sixth is done there, whose driver sets no base. */
static void moves(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct stage next;
	struct error f;
	uint8_t mine = 5;

	stage_up(&b->stage);
	assert_int_equal(device_set_config(b->stage.device, 8, &mine, 1), 0);
	b->stage.model.instant = true;
	for (unsigned i = 0; i < 5; i++)
		bench_submit(b, 1, i);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), -EBUSY);
	bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	assert_int_equal(state_decode(bytes, state_encode(&snapshot, bytes), &other, &f), 0);
	assert_int_equal(other.queues[1].base, 5);
	assert_int_equal(other.model[0], 5);

	stage_init(&next, &b->theatre, &second);
	assert_int_equal(device_restore(next.device, &other, &f), 0);
	assert_true(device_is_restored(next.device));
	drop(&next); /* as drivers begin */
	assert_true(device_is_restored(next.device));
	/* saved again before anybody came, it is the same */
	assert_int_equal(device_save(next.device, &snapshot, &f), 0);
	assert_memory_equal(&snapshot, &other, sizeof(other));
	next.model.instant = true;
	stage_map(&next);
	come_up(&next);
	assert_false(device_is_restored(next.device));
	assert_int_equal(next.model.writable[0], 5);
	assert_int_equal(base_of(&next, 1), 5);
	stage_post(&b->theatre, 1, 6, 16);
	stage_kick(&next, 1);
	assert_int_equal(vq_used_index(&b->theatre.vqs[1]), 6);
	/* used once: the next driver begins anew */
	drop(&next);
	vq_start_at(&b->theatre.vqs[1], 0);
	come_up(&next);
	assert_int_equal(base_of(&next, 1), 0);
	stage_destroy(&next);
	bench_free(b);
}

/* Three requests that were in flight are taken again in order, before a new one. */
static void in_flight(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct vq *vq = &b->theatre.vqs[0];
	struct error f;
	const uint64_t order[] = {3, 1, 2, 4};
	size_t from;

	for (unsigned tag = 1; tag <= 4; tag++)
		stage_post(&b->theatre, 0, tag, 16); /* heads 0, 2, 4, 6 */
	make();
	memset(snapshot.queues, 0, sizeof(snapshot.queues));
	for (unsigned q = 0; q < 2; q++)
		snapshot.queues[q] = (struct snapshot_queue){.size = b->theatre.vqs[q].num,
							     .ready = true,
							     .desc = b->theatre.vqs[q].desc,
							     .driver = b->theatre.vqs[q].avail,
							     .used = b->theatre.vqs[q].used};
	snapshot.queues[0].base = 3;
	snapshot.queues[0].in_flight_count = 3;
	memcpy(snapshot.queues[0].in_flight, (uint16_t[]){4, 0, 2}, 6);
	assert_int_equal(device_restore(b->stage.device, &snapshot, &f), 0);
	from = b->theatre.book.size;
	stage_map(&b->stage);
	come_up(&b->stage);
	stage_run(&b->stage);
	assert_int_equal(b->stage.model.held_count, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(b->stage.model.held[i].tag, order[i]);
	for (unsigned tag = 1; tag <= 4; tag++)
		stage_finish(&b->stage, tag, NULL);
	assert_int_equal(vq_used_index(vq), 4);
	assert_false(said(b, from, "broken"));
	bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(base_of(&b->stage, 0), 4);
	assert_int_equal(device_save(b->stage.device, &other, &f), 0);
	assert_int_equal(other.queues[0].in_flight_count, 0);
	bench_free(b);
}

/* A list of requests that the driver's ring does not know of breaks the device; nothing is done. */
static void foreign_list(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct error f;

	make();
	for (unsigned q = 0; q < 2; q++)
		snapshot.queues[q] = (struct snapshot_queue){.size = b->theatre.vqs[q].num,
							     .ready = true,
							     .desc = b->theatre.vqs[q].desc,
							     .driver = b->theatre.vqs[q].avail,
							     .used = b->theatre.vqs[q].used};
	snapshot.queues[0].base = 3;
	snapshot.queues[0].in_flight_count = 1;
	assert_int_equal(device_restore(b->stage.device, &snapshot, &f), 0);
	stage_map(&b->stage);
	come_up(&b->stage);
	stage_run(&b->stage);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "used index"));
	assert_int_equal(b->stage.model.held_count, 0);
	bench_free(b);
}

/* A driver that sets another base, or other rings, begins where it says. */
static void another_driver(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct error f;

	make();
	snapshot.queues[0].base = 3;
	snapshot.queues[1].size = 64;
	assert_int_equal(device_restore(b->stage.device, &snapshot, &f), 0);
	stage_up(&b->stage); /* base 0, rings elsewhere than the snapshot has them */
	assert_int_equal(base_of(&b->stage, 0), 0);
	bench_submit(b, 0, 1);
	assert_int_equal(b->stage.model.held_count, 1);
	bench_free(b);
}

static void does_not_fit(struct device *device, const char *why)
{
	struct error f;

	assert_true(device_restore(device, &snapshot, &f) < 0);
	if (!strstr(f.text, why))
		fail_msg("'%s' instead of '%s'", f.text, why);
	assert_false(device_is_restored(device));
}

static void other_kinds(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	struct error f;

	make();
	snapshot.queues[1].size = 64;
	snapshot.device_id = 1;
	does_not_fit(device, "virtio id 1");
	snapshot.device_id = 42;
	snapshot.model[0] = 0xff;
	does_not_fit(device, "not saved by a script");
	snapshot.model[0] = 0;
	snapshot.features |= 1ull << 60;
	does_not_fit(device, "0x1000000000000000");
	snapshot.features &= ~(1ull << 60);
	snapshot.queue_count = 1;
	does_not_fit(device, "1 queues");
	snapshot.queue_count = 2;
	snapshot.queues[1].size = 128;
	snapshot.queues[1].ready = true;
	does_not_fit(device, "128 entries");
	snapshot.queues[1].ready = false; /* the driver has not set it up: that is the default */
	assert_int_equal(device_restore(device, &snapshot, &f), 0);
	device_forget_restored(device);
	snapshot.queues[1].ready = true;
	snapshot.queues[1].size = 64;
	stage_up(&b->stage);
	does_not_fit(device, "is RUNNING");
	bench_suspend(b, HOLDER_DRIVER, 0);
	does_not_fit(device, "is SUSPENDED");
	bench_free(b);
}

/* What the driver writes while suspended is part of what is saved. */
static void written_while_suspended(void **state)
{
	struct bench *b = bench_new(&two_queues);
	uint8_t byte = 1;
	struct error f;

	stage_up(&b->stage);
	bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(device_set_config(b->stage.device, 8, &byte, 1), 0);
	assert_int_equal(device_save(b->stage.device, &other, &f), 0);
	assert_int_equal(other.model[0], 1);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),	cmocka_unit_test(largest),
		cmocka_unit_test(damage),	cmocka_unit_test(any_byte),
		cmocka_unit_test(versions),	cmocka_unit_test(nonsense),
		cmocka_unit_test(moves),	cmocka_unit_test(in_flight),
		cmocka_unit_test(foreign_list), cmocka_unit_test(another_driver),
		cmocka_unit_test(other_kinds),	cmocka_unit_test(written_while_suspended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
