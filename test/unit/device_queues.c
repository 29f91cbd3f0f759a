/* Queues: enabling, disabling, full rings, queues that cannot start, rings that are not mapped. */
#include "lib/bench.h"
#include "wire/vhost.h"

/* As many in flight as the device has entries is the most a driver can do, and no nonsense. */
static void full_ring(void **state)
{
	struct stage_options options = two_queues;
	struct bench *b;

	options.num = 64; /* the device's own limit */
	b = bench_new(&options);
	stage_up(&b->stage);
	for (uint16_t i = 0; i < 64; i++) {
		vq_desc(&b->theatre.vqs[0], i, b->theatre.buffers, 8, 0, 0);
		vq_offer(&b->theatre.vqs[0], i);
	}
	stage_kick(&b->stage, 0);
	stage_kick(&b->stage, 0);
	assert_int_equal(b->stage.model.held_count, 64);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	/* One more is: the driver has made an entry available that we still have. */
	vq_offer(&b->theatre.vqs[0], 0);
	stage_kick(&b->stage, 0);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "more chains in flight"));
	for (unsigned i = 0; i < 64; i++)
		stage_finish(&b->stage, 0, NULL);
	bench_free(b);
}

/* A queue that cannot start breaks the device; the others must not start in a broken one. */
static void one_queue_cannot_start(void **state)
{
	struct bench *b = bench_new(&two_queues);

	b->stage.model.bad_start = 1 << 0;
	stage_up(&b->stage);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "has no backend"));
	assert_int_equal(device_get_status(b->stage.device), 0x4f);
	bench_submit(b, 1, 5);
	assert_int_equal(b->stage.model.held_count, 0);
	bench_free(b);
}

/* The driver enables again while the disabling still waits: both are answered, nothing is lost. */
static void enabled_while_disabling(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	b->stage.answered = 0;
	bench_ready(b, 0, false);
	assert_int_equal(b->stage.answered, 0);
	bench_ready(b, 0, true);
	assert_int_equal(b->stage.answered, 2);
	stage_finish(&b->stage, 1, NULL);
	bench_submit(b, 0, 2);
	assert_int_equal(b->stage.model.held_count, 1);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	bench_free(b);
}

/* QEMU enables all of a vhost-vdpa device's queues. Those not set up would lie at 0, where a guest
 * has memory. */
static void enabled_and_not_set_up(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct ram *ram = &b->theatre.ram;

	assert_int_equal(stage_status(&b->stage, 3), 0);
	assert_int_equal(device_set_driver_features(b->stage.device,
						    1ull << VIRTIO_F_VERSION_1 |
							    1ull << VIRTIO_F_ACCESS_PLATFORM),
			 0);
	assert_int_equal(stage_status(&b->stage, 0xb), 0);
	stage_map(&b->stage);
	assert_true(ram->iova >= 4096);
	assert_int_equal(device_dma_map(b->stage.device, 0, 0, 4096, ram->uaddr, 3), 0);
	memset(ram_at(ram, ram->iova, 4), 0xf0, 4); /* what would be flags and index */
	stage_queue(&b->stage, 0, 0, true);
	bench_ready(b, 1, true);
	assert_int_equal(stage_status(&b->stage, 0xf), 0);
	stage_kick(&b->stage, 1);
	bench_submit(b, 0, 1);
	assert_int_equal(b->stage.model.held_count, 1);
	assert_int_equal(b->stage.model.starts, 1);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	bench_free(b);
}

/* S8: what resume would have looked at is looked at as soon as it is mapped, without a kick. */
static void ring_mapped_after_the_look(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct ram *ram = &b->theatre.ram;

	stage_up(&b->stage);
	bench_suspend(b, HOLDER_DRIVER, 0);
	stage_post(&b->theatre, 0, 1, 16);
	device_dma_unmap(b->stage.device, 0, 0, 0);
	bench_resume(b, HOLDER_DRIVER);
	assert_int_equal(b->stage.model.held_count, 0);
	stage_begin(&b->stage);
	assert_int_equal(device_dma_map(b->stage.device, 0, ram->iova, ram->size, ram->uaddr, 3),
			 0);
	stage_end(&b->stage);
	assert_int_equal(b->stage.model.held_count, 1);
	bench_free(b);
}

/* A backend that does not tell is looked at until it has nothing: also while the queue drains. */
static void silent_backends(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;

	stage_up(&b->stage);
	b->stage.model.needs_poll = true;
	stage_post(&b->theatre, 0, 1, 16);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_MORE);
	assert_int_equal(b->stage.model.held_count, 1);
	bench_ready(b, 0, false);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_MORE);
	assert_int_equal(script_model_finish(&b->stage.model, 1, NULL), 0);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_DONE);
	assert_int_equal(b->stage.model.held_count, 0);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_IDLE);
	bench_free(b);
}

/* A model that has had enough of a pass gets no more chains in it, and another pass soon. */
static void sated_models(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;

	stage_up(&b->stage);
	b->stage.model.sated = true;
	stage_post(&b->theatre, 0, 1, 16);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_FULL);
	assert_int_equal(b->stage.model.held_count, 0);
	assert_true(device_run_queue(device, 0, 16));
	b->stage.model.sated = false;
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_DONE);
	assert_int_equal(b->stage.model.held_count, 1);
	/* what it has is gone on with, also while the queue drains */
	b->stage.model.sated = true;
	stage_post(&b->theatre, 0, 2, 16);
	assert_int_equal(device_turn_queue(device, 0, 16, true), TURN_FULL);
	assert_int_equal(b->stage.model.held_count, 1);
	bench_ready(b, 0, false);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_FULL);
	b->stage.model.sated = false;
	assert_int_equal(script_model_finish(&b->stage.model, 1, NULL), 0);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_DONE);
	/* and once it has nothing, there is nothing to be looked for */
	b->stage.model.sated = true;
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_IDLE);
	bench_free(b);
}

/* While polling the driver is not asked for kicks; with the last look it is, and nothing is missed.
 */
static void polling(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	struct vq *vq = &b->theatre.vqs[0];

	stage_up(&b->stage);
	assert_int_equal(vq_used_flags(vq), 0);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_IDLE);
	stage_post(&b->theatre, 0, 1, 16);
	assert_int_equal(device_turn_queue(device, 0, 16, true), TURN_MORE);
	assert_int_equal(b->stage.model.held_count, 1);
	assert_int_equal(vq_used_flags(vq), VRING_USED_F_NO_NOTIFY);
	assert_int_equal(device_turn_queue(device, 0, 16, true), TURN_EMPTY);
	assert_int_equal(vq_used_flags(vq), VRING_USED_F_NO_NOTIFY);
	stage_post(&b->theatre, 0, 2, 16);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_DONE);
	assert_int_equal(b->stage.model.held_count, 2);
	assert_int_equal(vq_used_flags(vq), 0);
	assert_int_equal(device_turn_queue(device, 0, 16, false), TURN_IDLE);
	stage_finish(&b->stage, 2, NULL);

	/* a queue that may take nothing has nothing to be looked for */
	bench_ready(b, 0, false);
	assert_int_equal(device_turn_queue(device, 0, 16, true), TURN_IDLE);
	bench_free(b);
}

/* After an opening the first passes take little, so that the driver soon gets something back. */
static void first_shares_are_small(void **state)
{
	struct stage_options options = two_queues;
	struct device *device;
	struct bench *b;

	options.num = 64;
	b = bench_new(&options);
	device = b->stage.device;
	stage_up(&b->stage);
	for (unsigned round = 0; round < 2; round++) {
		const unsigned after[] = {8, 24, 30};

		for (unsigned i = 0; i < 30; i++)
			stage_post(&b->theatre, 0, i, 16);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(device_turn_queue(device, 0, 64, false),
					 i < 2 ? TURN_MORE : TURN_DONE);
			assert_int_equal(b->stage.model.held_count, after[i]);
		}
		for (unsigned i = 0; i < 30; i++)
			stage_finish(&b->stage, i, NULL);
		bench_ready(b, 0, false);
		bench_ready(b, 0, true);
	}
	bench_free(b);
}

/* What the driver could see when each of its requests was dealt with. */
struct witness {
	const struct vq *vq;
	uint16_t seen[32];
	unsigned count;
};

static void witness_says(void *arg, const char *line)
{
	struct witness *w = arg;

	if (!strncmp(line, "take ", 5) && w->count < 32)
		w->seen[w->count++] = vq_used_index(w->vq);
}

/* What was answered at once is shown before the pass is over: the driver goes on meanwhile. */
static void shown_within_a_pass(void **state)
{
	struct stage_options options = two_queues;
	struct witness w = {0};
	struct bench *b;

	options.num = 64;
	b = bench_new(&options);
	stage_up(&b->stage);
	for (unsigned i = 0; i < 8; i++) /* a queue's first pass is short */
		stage_post(&b->theatre, 0, i, 16);
	assert_int_equal(device_turn_queue(b->stage.device, 0, 64, false), TURN_MORE);
	for (unsigned i = 0; i < 8; i++)
		stage_finish(&b->stage, i, NULL);
	w.vq = &b->theatre.vqs[0];
	b->stage.model.instant = true;
	b->stage.model.say = witness_says;
	b->stage.model.say_arg = &w;
	for (unsigned i = 8; i < 24; i++)
		stage_post(&b->theatre, 0, i, 16);
	device_turn_queue(b->stage.device, 0, 64, false);
	assert_int_equal(w.count, 16);
	assert_int_equal(w.seen[7], 8);
	assert_int_equal(w.seen[8], 16);
	assert_int_equal(vq_used_index(w.vq), 24);
	b->stage.model.say = NULL;
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_ring),
		cmocka_unit_test(one_queue_cannot_start),
		cmocka_unit_test(enabled_while_disabling),
		cmocka_unit_test(enabled_and_not_set_up),
		cmocka_unit_test(ring_mapped_after_the_look),
		cmocka_unit_test(polling),
		cmocka_unit_test(silent_backends),
		cmocka_unit_test(sated_models),
		cmocka_unit_test(first_shares_are_small),
		cmocka_unit_test(shown_within_a_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
