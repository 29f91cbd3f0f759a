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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_of_a_live_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
