/* A device and its client's memory: windows in use, changes of clients, asids and groups, batches.
 */
#include <errno.h>

#include "lib/bench.h"

/* The client is exchanged between drivers, not under a device whose rings are in its memory. */
static void client_of_a_live_device(void **state)
{
	struct bench *b = bench_new(&two_queues);

	stage_up(&b->stage);
	assert_int_equal(device_set_client(b->stage.device, NULL), -EBUSY);
	bench_submit(b, 0, 1);
	assert_int_equal(b->stage.model.held_count, 1);
	assert_int_equal(device_set_client(b->stage.device, NULL), -EBUSY);
	stage_finish(&b->stage, 1, NULL);
	bench_reset(b, EV_DRIVER_GONE);
	assert_int_equal(device_set_client(b->stage.device, NULL), 0);
	assert_int_equal(device_dma_map(b->stage.device, 0, 0x1000, 0x1000, 0, 3), -EINVAL);
	bench_free(b);
}

/* A removed mapping is unmapped when the last request that may use it is done, without more ado. */
static void windows_go_with_the_last_request(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct ram *ram = &b->theatre.ram;
	unsigned maps;

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	bench_submit(b, 1, 2);
	stage_begin(&b->stage);
	device_dma_batch(b->stage.device, true);
	assert_int_equal(device_dma_unmap(b->stage.device, 0, 0, 0), 0);
	assert_int_equal(device_dma_map(b->stage.device, 0, ram->iova, ram->size, ram->uaddr, 3),
			 0);
	device_dma_batch(b->stage.device, false);
	stage_end(&b->stage);
	bench_submit(b, 0, 3); /* of the new mapping: does not keep the old one */
	maps = ram->maps;
	assert_int_equal(ram->unmaps, 0);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(ram->unmaps, 0);
	stage_finish(&b->stage, 2, NULL);
	assert_int_equal(ram->unmaps, 1);
	assert_int_equal(ram->maps, maps);
	stage_finish(&b->stage, 3, NULL);
	bench_free(b);
}

/* The model hears of it when nobody is in it any more; its workers come, if it wants them to. */
static void a_model_hears_of_memory_that_goes(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct ram *ram = &b->theatre.ram;
	struct script_model *model = &b->stage.model;

	stage_up(&b->stage);
	for (unsigned round = 0; round < 2; round++) {
		unsigned polls, gone = model->gone, unmaps = ram->unmaps;

		model->undoes = round;
		bench_submit(b, 1, 10 + round);
		stage_begin(&b->stage);
		device_dma_batch(b->stage.device, true);
		assert_int_equal(device_dma_unmap(b->stage.device, 0, 0, 0), 0);
		assert_int_equal(
			device_dma_map(b->stage.device, 0, ram->iova, ram->size, ram->uaddr, 3), 0);
		device_dma_batch(b->stage.device, false);
		stage_end(&b->stage);
		assert_int_equal(model->gone, gone);
		polls = model->polls[0];
		stage_finish(&b->stage, 10 + round, NULL);
		assert_int_equal(model->gone, gone + 1);
		assert_int_equal(ram->unmaps, unmaps + 1);
		assert_int_equal(model->polls[0] > polls, round);
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_of_a_live_device),
		cmocka_unit_test(windows_go_with_the_last_request),
		cmocka_unit_test(a_model_hears_of_memory_that_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
