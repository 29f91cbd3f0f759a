/* The verbs' rules: features, status, config space, generation, addresses, bases, groups, facts. */
#include <errno.h>

#include "lib/bench.h"
#include "wire/vhost.h"

#define BIT(n)	 (1ull << (n))
#define REQUIRED (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM))

static void features(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	uint64_t offered = device_get_device_features(device);

	assert_true(offered & SCRIPT_FEATURE);
	assert_int_equal(offered & REQUIRED, REQUIRED);
	assert_int_equal(device_set_driver_features(device, 0), -EINVAL);
	assert_int_equal(device_set_driver_features(device, BIT(VIRTIO_F_VERSION_1)), -EINVAL);
	assert_int_equal(device_set_driver_features(device, BIT(VIRTIO_F_ACCESS_PLATFORM)),
			 -EINVAL);
	assert_int_equal(device_get_driver_features(device), 0);
	/* What is not offered is not kept. */
	assert_int_equal(device_set_driver_features(device, REQUIRED | BIT(60)), 0);
	assert_int_equal(device_get_driver_features(device), REQUIRED);
	stage_status(&b->stage, 3);
	assert_int_equal(device_set_driver_features(device, offered), 0);
	stage_status(&b->stage, 0xb);
	assert_int_equal(b->stage.model.negotiated, offered);
	assert_int_equal(device_set_driver_features(device, REQUIRED), -EBUSY);
	assert_int_equal(device_get_driver_features(device), offered);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_get_driver_features(device), 0);
	assert_int_equal(device_set_driver_features(device, REQUIRED), 0);
	bench_free(b);
}

/* kernel-contract 4.1: a bit once set stays until reset, and that is the only rule. */
static void status_rules(void **state)
{
	struct bench *b = bench_new(&two_queues);

	assert_int_equal(stage_status(&b->stage, 0), -EINVAL); /* that is device_reset */
	assert_int_equal(stage_status(&b->stage, 1), 0);
	assert_int_equal(stage_status(&b->stage, 1), 0);
	assert_int_equal(stage_status(&b->stage, 2), -EINVAL);
	assert_int_equal(stage_status(&b->stage, 3), 0);
	assert_int_equal(stage_status(&b->stage, 0xb), 0);
	assert_int_equal(stage_status(&b->stage, 0xf), 0);
	assert_int_equal(stage_status(&b->stage, 0xb), -EINVAL);
	assert_int_equal(device_get_status(b->stage.device), 0xf);
	assert_int_equal(stage_status(&b->stage, 0x8f), 0); /* FAILED */
	assert_int_equal(stage_status(&b->stage, 1), -EINVAL);
	assert_int_equal(device_get_status(b->stage.device), 0x8f);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_get_status(b->stage.device), 0);
	/* In one step, and in odd ones. */
	assert_int_equal(stage_status(&b->stage, 0xf), 0);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(stage_status(&b->stage, 4), 0);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(stage_status(&b->stage, 0x80), 0);
	assert_int_equal(device_state(b->stage.device), STATE_NEGOTIATING);
	bench_free(b);
}

static void config_bounds(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	uint8_t bytes[32];

	assert_int_equal(device_get_config_size(device), SCRIPT_CONFIG_SIZE);
	assert_int_equal(device_get_config(device, 0, bytes, SCRIPT_CONFIG_SIZE), 0);
	assert_int_equal(device_get_config(device, 0, bytes, SCRIPT_CONFIG_SIZE + 1), -EINVAL);
	assert_int_equal(device_get_config(device, SCRIPT_CONFIG_SIZE - 1, bytes, 1), 0);
	assert_int_equal(device_get_config(device, SCRIPT_CONFIG_SIZE, bytes, 1), -EINVAL);
	assert_int_equal(device_get_config(device, SIZE_MAX, bytes, 2), -EINVAL);
	assert_int_equal(device_get_config(device, 1, bytes, SIZE_MAX), -EINVAL);
	assert_int_equal(device_get_config(device, 0, bytes, 0), -EINVAL);
	assert_int_equal(device_set_config(device, SCRIPT_CONFIG_SIZE - 1, "\5\6", 2), -EINVAL);
	assert_int_equal(device_set_config(device, 8, "\5\6", 2), 0);
	assert_int_equal(device_get_config(device, 8, bytes, 2), 0);
	assert_memory_equal(bytes, "\5\6", 2);
	bench_free(b);
}

/* What a driver may write depends on what it accepted; of the rest it may write what is there. */
static void config_fields(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	uint8_t whole[SCRIPT_CONFIG_SIZE];

	assert_int_equal(device_get_config(device, 0, whole, sizeof(whole)), 0);
	assert_true(device_config_is_writable(device, 8, 2));
	assert_false(device_config_is_writable(device, 7, 2));
	whole[8] = 1;
	assert_int_equal(device_set_config(device, 0, whole, sizeof(whole)), 0);
	whole[0] ^= 1;
	whole[8] = 2;
	assert_int_equal(device_set_config(device, 0, whole, sizeof(whole)), -EINVAL);
	assert_int_equal(device_get_config(device, 8, whole, 1), 0);
	assert_int_equal(whole[0], 1); /* all or nothing */
	/* Byte 9 comes with a feature: offered, not accepted, and settled without it. */
	assert_int_equal(device_set_config(device, 9, "\1", 1), 0);
	assert_int_equal(device_set_driver_features(device, REQUIRED), 0);
	assert_int_equal(device_set_config(device, 9, "\2", 1), -EINVAL);
	assert_int_equal(device_set_driver_features(device, REQUIRED | SCRIPT_FEATURE), 0);
	assert_int_equal(device_set_config(device, 9, "\3", 1), 0);
	stage_status(&b->stage, 0xb);
	assert_int_equal(device_set_config(device, 9, "\4", 1), 0);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(stage_status(&b->stage, 0xf), 0);
	assert_int_equal(device_set_config(device, 9, "\5", 1), -EINVAL);
	assert_int_equal(device_set_config(device, 8, "\5", 1), 0);
	bench_free(b);
}

static void generation(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	uint32_t first = device_get_generation(device);
	struct error f = {0};

	assert_int_equal(device_resize(device, 5000, &f), 0);
	assert_int_equal(device_get_generation(device), first + 1);
	assert_int_equal(b->stage.config_calls, 0); /* nobody to tell */
	assert_int_equal(device_resize(device, 0, &f), -EINVAL);
	assert_int_equal(device_get_generation(device), first + 1);
	stage_up(&b->stage);
	assert_int_equal(device_resize(device, 6000, &f), 0);
	assert_int_equal(b->stage.config_calls, 1);
	assert_int_equal(device_get_generation(device), first + 2);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_get_generation(device), first + 3); /* kernel-contract 4.4 */
	bench_free(b);
}

/* Addresses and bases: not while DRIVER_OK, but again while suspended by the driver (linux 6.8). */
static void guard(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	uint32_t base;

	assert_int_equal(device_set_vq_state(device, 0, 65536), -EINVAL);
	assert_int_equal(device_set_vq_state(device, 0, 65535), 0);
	assert_int_equal(device_get_vq_state(device, 0, &base), 0);
	assert_int_equal(base, 65535);
	stage_up(&b->stage);
	assert_int_equal(device_set_vq_state(device, 0, 3), -EINVAL);
	assert_int_equal(device_set_vq_address(device, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(device_get_vq_state(device, 0, &base), 0);
	assert_int_equal(base, 0);
	bench_submit(b, 0, 1);
	bench_suspend(b, HOLDER_DRIVER, 0);
	/* Not yet: it is suspending. */
	assert_int_equal(device_set_vq_state(device, 0, 3), -EINVAL);
	stage_finish(&b->stage, 1, NULL);
	assert_int_equal(device_state(device), STATE_SUSPENDED);
	assert_int_equal(device_set_vq_state(device, 0, 3), 0);
	assert_int_equal(device_get_vq_state(device, 0, &base), 0);
	assert_int_equal(base, 3);
	assert_int_equal(device_set_vq_state(device, 0, 1), 0);
	assert_int_equal(bench_resume(b, HOLDER_DRIVER), 0);
	assert_int_equal(device_set_vq_state(device, 0, 3), -EINVAL);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_get_vq_state(device, 0, &base), 0);
	assert_int_equal(base, 0);
	bench_free(b);
}

/* KS14: new ring addresses while suspended are those that resume uses. */
static void new_addresses(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct vq *vq = &b->theatre.vqs[0];
	struct vq old;

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	stage_finish(&b->stage, 1, NULL);
	bench_suspend(b, HOLDER_DRIVER, 0);
	old = *vq;
	vq_init(vq, &b->theatre.ram, old.num, b->theatre.ram.iova + 0x8000);
	vq_start_at(vq, 1);
	assert_int_equal(device_set_vq_address(b->stage.device, 0, vq->desc, vq->avail, vq->used),
			 0);
	bench_submit(b, 0, 2);
	ram_freeze(&b->theatre.ram);
	bench_resume(b, HOLDER_DRIVER);
	assert_int_equal(b->stage.model.held_count, 1);
	stage_finish(&b->stage, 2, NULL);
	assert_int_equal(vq_used_index(vq), 2);
	assert_int_equal(vq_used_index(&old), 1);
	bench_free(b);
}

static void ring_sizes(void **state)
{
	static const uint16_t bad[] = {0, 3, 65, 128, 32768};
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;

	assert_int_equal(device_get_vq_num_max(device), 64);
	assert_int_equal(device_get_vq_size(device, 1), 64);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(device_set_vq_num(device, 1, bad[i]), -EINVAL);
	assert_int_equal(device_set_vq_num(device, 1, 2), 0);
	assert_int_equal(device_get_vq_size(device, 1), 2);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_get_vq_size(device, 1), 64);
	bench_free(b);
}

/* Two groups in two address spaces: each queue sees the memory of its own. */
static void groups(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;
	struct ram *ram = &b->theatre.ram;

	assert_int_equal(device_get_group_count(device), 2);
	assert_int_equal(device_get_asid_count(device), 2);
	assert_int_equal(device_get_vq_group(device, 0), 0);
	assert_int_equal(device_get_vq_group(device, 1), 1);
	assert_int_equal(device_set_group_asid(device, 2, 0), -EINVAL);
	assert_int_equal(device_set_group_asid(device, 1, 2), -EINVAL);
	assert_int_equal(device_set_group_asid(device, 1, 1), 0);
	assert_int_equal(device_dma_map(device, 2, ram->iova, 0x1000, ram->uaddr, 3), -EINVAL);
	stage_up(&b->stage); /* maps asid 0 alone */
	assert_int_equal(device_set_group_asid(device, 1, 0), -EBUSY);
	bench_submit(b, 1, 5);
	assert_int_equal(b->stage.model.held_count, 0);
	bench_submit(b, 0, 6);
	assert_int_equal(b->stage.model.held_count, 1);
	stage_begin(&b->stage);
	assert_int_equal(device_dma_map(device, 1, ram->iova, ram->size, ram->uaddr, 3), 0);
	stage_end(&b->stage);
	assert_int_equal(b->stage.model.held_count, 2);
	stage_finish(&b->stage, 5, NULL);
	stage_finish(&b->stage, 6, NULL);
	bench_reset(b, EV_DRIVER_RESET); /* back to 0 (kernel-contract 4.3) */
	device_dma_unmap(device, 0, 0, 0);
	stage_up(&b->stage);
	bench_submit(b, 1, 7);
	assert_int_equal(b->stage.model.held_count, 1);
	stage_finish(&b->stage, 7, NULL);
	bench_free(b);
}

static void ready_is_remembered(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device *device = b->stage.device;

	assert_false(device_get_vq_ready(device, 1));
	bench_ready(b, 1, true);
	assert_true(device_get_vq_ready(device, 1));
	assert_int_equal(b->stage.model.starts, 0); /* nothing starts before DRIVER_OK */
	bench_ready(b, 1, false);
	assert_false(device_get_vq_ready(device, 1));
	stage_up(&b->stage);
	assert_int_equal(b->stage.model.starts, 2);
	bench_reset(b, EV_DRIVER_RESET);
	assert_false(device_get_vq_ready(device, 1));
	assert_int_equal(b->stage.model.stops, 0); /* kept for the next start */
	bench_reset(b, EV_DRIVER_GONE);
	assert_int_equal(b->stage.model.stops, 2);
	bench_free(b);
}

static void statistics(void **state)
{
	struct bench *b = bench_new(&two_queues);
	struct device_queue_stats stats;

	stage_up(&b->stage);
	bench_submit(b, 0, 1);
	bench_submit(b, 0, 2);
	stage_finish(&b->stage, 1, NULL);
	device_get_vq_stats(b->stage.device, 0, &stats);
	assert_int_equal(stats.requests, 1);
	assert_int_equal(stats.kicks, 2);
	assert_int_equal(stats.notifications, 1);
	assert_int_equal(stats.in_flight, 1);
	assert_int_equal(device_in_flight(b->stage.device), 1);
	bench_free(b);
}

static void options_refused(void **state)
{
	static const struct device_options bad[] = {
		{.name = NULL, .queue_size = 64, .asids = 1},
		{.name = "", .queue_size = 64, .asids = 1},
		{.name = "x", .queue_size = 1, .asids = 1},
		{.name = "x", .queue_size = 96, .asids = 1},
		{.name = "x", .queue_size = 2 * DEVICE_MAX_QUEUE_SIZE, .asids = 1},
		{.name = "x", .queue_size = 64, .asids = 0},
		{.name = "x", .queue_size = 64, .asids = DEVICE_MAX_ASIDS + 1},
	};
	struct bench *b = bench_new(&two_queues);

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct script_model model;
		struct device *device;
		struct error f = {0};

		script_model_init(&model, 1);
		assert_int_equal(device_new(&bad[i], &model.model, &b->stage.host, &device, &f),
				 -EINVAL);
		assert_int_equal(f.code, -EINVAL);
		assert_true(f.text[0]);
		assert_int_equal(model.destroyed, 1); /* taken over, also on failure */
	}
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(features),	 cmocka_unit_test(status_rules),
		cmocka_unit_test(config_bounds), cmocka_unit_test(config_fields),
		cmocka_unit_test(generation),	 cmocka_unit_test(guard),
		cmocka_unit_test(new_addresses), cmocka_unit_test(ring_sizes),
		cmocka_unit_test(groups),	 cmocka_unit_test(ready_is_remembered),
		cmocka_unit_test(statistics),	 cmocka_unit_test(options_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
