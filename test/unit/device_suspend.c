/* Suspension by verbs: who may hold, who is answered what, and what a suspension must not hide. */
#include <errno.h>

#include "lib/bench.h"
#include "memory/dirty.h"

/*
 * S3: a chain that the model refused was taken and is not finished. Suspending before control has
 * settled that must not succeed: a device that goes on from the base would skip it.
 */
static void refused_chain_is_not_hidden(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	b->stage.workers_off = true;
	vq_desc(&b->theatre.vqs[0], 0, b->theatre.buffers, 4, 0, 0); /* half a tag */
	vq_offer(&b->theatre.vqs[0], 0);
	device_kick_vq(b->stage.device, 0);
	device_run_queue(b->stage.device, 0, 16);
	assert_true(b->stage.settle);
	b->stage.answered = 0;
	bench_suspend(b, HOLDER_DRIVER, 0);
	assert_int_equal(b->stage.answered, 1);
	assert_int_equal(b->stage.answer, -EIO);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_int_equal(device_holders(b->stage.device), 0);
	bench_free(b);
}

/* The same for nonsense in the ring. */
static void broken_ring_is_not_hidden(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	b->stage.workers_off = true;
	vq_announce(&b->theatre.vqs[0], 100);
	device_kick_vq(b->stage.device, 0);
	device_run_queue(b->stage.device, 0, 16);
	bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(b->stage.answer, -EIO);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	bench_free(b);
}

/* A driver's suspend that comes while its reset waits is one without DRIVER_OK: no hold remains. */
static void suspend_while_resetting(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_state(b->stage.device), STATE_RESETTING);
	bench_suspend(b, HOLDER_DRIVER, 0);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(device_state(b->stage.device), STATE_RESET);
	assert_int_equal(device_holders(b->stage.device), 0);
	assert_int_equal(b->stage.answer, 0);
	bench_free(b);
}

/* Any number of operators may wait: a driver can always reset and leave. */
static void many_waiters(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	b->stage.answered = 0;
	for (unsigned i = 0; i < DEVICE_MAX_WAITERS; i++)
		bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(b->stage.answered, 0);
	bench_suspend(b, HOLDER_OPERATOR, 0);
	assert_int_equal(b->stage.answer, -EBUSY);
	b->stage.answered = 0;
	bench_reset(b, EV_DRIVER_RESET);
	bench_reset(b, EV_DRIVER_GONE);
	assert_int_equal(b->stage.answered, 0);
	assert_int_equal(device_state(b->stage.device), STATE_RESETTING);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(device_state(b->stage.device), STATE_RESET);
	assert_int_equal(b->stage.answered, DEVICE_MAX_WAITERS + 2);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(device_holders(b->stage.device), HOLDER_OPERATOR);
	bench_free(b);
}

/* An operator's reset that is refused is no answer to the driver's reset, which still waits. */
static void refused_reset_answers_nobody_else(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	bench_reset(b, EV_DRIVER_RESET);
	b->stage.answered = 0;
	bench_reset(b, EV_OPERATOR_RESET);
	assert_int_equal(b->stage.answered, 1);
	assert_int_equal(b->stage.answer, -EBUSY);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(b->stage.answered, 2);
	assert_int_equal(b->stage.answer, 0);
	bench_free(b);
}

/*
 * A device that goes on from here may need kicks, as the kernel's simulator does: suspended in the
 * midst of work, when kicks were not wanted, the ring asks for them again.
 */
static void kicks_are_wanted(void **state)
{
	struct bench *b = bench_new(&two_queues);
	const struct vq *vq = &b->theatre.vqs[0];

	stage_up(&b->stage);
	b->stage.workers_off = true;
	stage_post(&b->theatre, 0, 1, 16);
	stage_post(&b->theatre, 0, 2, 16);
	stage_kick(&b->stage, 0);
	assert_true(device_run_queue(b->stage.device, 0, 1));
	assert_false(vq_wants_kick(vq, 1, false));
	bench_suspend(b, HOLDER_DRIVER, 0);
	b->stage.workers_off = false;
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_true(vq_wants_kick(vq, 1, false));
	bench_resume(b, HOLDER_DRIVER);
	assert_int_equal(b->stage.model.held_count, 1);
	stage_finish(&b->stage, 2, NULL);
	bench_free(b);
}

/* S4: the dirty log is memory of the client's, too: not a bit of it changes while suspended. */
static void dirty_log_stands_still(void **state)
{
	static _Atomic uint8_t bits[64];
	static struct dirty_log log = {.bits = bits, .pages = 512};
	struct bench *b = bench_new(&two_queues);
	struct ram *ram = &b->theatre.ram;
	uint8_t before[64];

	device_set_log(b->stage.device, &log);
	device_set_vq_log(b->stage.device, 0, &log, b->theatre.vqs[0].used);
	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	bench_suspend(b, HOLDER_DRIVER, 0);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	memcpy(before, bits, sizeof(before));
	assert_int_not_equal(before[b->theatre.vqs[0].used / DIRTY_PAGE / 8], 0);
	bench_submit(b, 0, 2);
	device_dma_unmap(b->stage.device, 0, 0, 0);
	assert_int_equal(device_dma_map(b->stage.device, 0, ram->iova, ram->size, ram->uaddr, 3),
			 0);
	bench_ready(b, 1, false);
	bench_ready(b, 1, true);
	device_resize(b->stage.device, 4096, NULL);
	stage_status(&b->stage, 0xf);
	assert_memory_equal(before, bits, sizeof(before));
	device_set_log(b->stage.device, NULL);
	device_set_vq_log(b->stage.device, 0, NULL, 0);
	bench_resume(b, HOLDER_DRIVER);
	stage_finish(&b->stage, 2, NULL);
	assert_memory_equal(before, bits, sizeof(before)); /* and it was let go of */
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_chain_is_not_hidden),
		cmocka_unit_test(broken_ring_is_not_hidden),
		cmocka_unit_test(suspend_while_resetting),
		cmocka_unit_test(many_waiters),
		cmocka_unit_test(refused_reset_answers_nobody_else),
		cmocka_unit_test(kicks_are_wanted),
		cmocka_unit_test(dirty_log_stands_still),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
