/* The devices that export tests serve: see devices.h. */
#include "export/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backends.h"
#include "runtime/runtime.h"
#include "model/models.h"

const struct test_device test_devices[] = {
	{.name = "disk", .timeout_ms = 10000},
	{.name = "fixed", .no_suspend = true, .timeout_ms = 10000},
	{.name = "once", .no_resume = true, .timeout_ms = 10000},
	{.name = "strict", .kernel_uapi = true, .timeout_ms = 10000},
	{.name = "packed", .packed = true, .timeout_ms = 10000},
	{.name = "orderly", .packed = true, .in_order = true, .timeout_ms = 10000},
	{.name = "shared", .worker = "shared", .timeout_ms = 10000},
	{.name = "slow", .delay_us = 50000, .timeout_ms = 10000},
	{.name = "stuck", .never = true, .timeout_ms = 100},
	{.name = "mule", .never = true, .stubborn = true, .timeout_ms = 100},
};
const unsigned test_device_count = sizeof(test_devices) / sizeof(test_devices[0]);

const struct test_device *test_device_find(const char *name)
{
	for (unsigned i = 0; i < test_device_count; i++)
		if (!strcmp(test_devices[i].name, name))
			return &test_devices[i];
	abort();
}

static void must(int r, const struct error *err)
{
	if (!r)
		return;
	fprintf(stderr, "test device: %s\n", err->text);
	exit(1);
}

static struct block *make_block(const struct test_device *device)
{
	struct block_fault_options trouble = {.delay_us = device->delay_us,
					      .never_every = device->never ? 1 : 0,
					      .stubborn = device->stubborn};
	struct block *block;
	struct error err;

	must(block_memory_open(1 << 20, &block, &err), &err);
	if (device->delay_us || device->never)
		must(block_fault_open(&trouble, block, &block, &err), &err);
	return block;
}

struct runtime *test_device_run(const struct test_device *device)
{
	uint16_t queue_size = device->queue_size ? device->queue_size : 256;
	struct runtime_options options = {.device = {.name = device->name,
						     .queue_size = queue_size,
						     .asids = TEST_ASIDS,
						     .groups = TEST_GROUPS,
						     .packed = device->packed,
						     .in_order = device->in_order,
						     .no_suspend = device->no_suspend,
						     .no_resume = device->no_resume,
						     .suspend_timeout_ms = device->timeout_ms},
					  .worker = device->worker};
	struct blk_options blk = {.queues = TEST_QUEUES, .write_cache = true};
	struct model *model;
	struct runtime *runtime;
	struct error err;

	must(blk_new(&blk, make_block(device), &model, &err), &err);
	must(runtime_new(&options, model, &runtime, &err), &err);
	return runtime;
}

struct vdpa_options test_device_options(const struct test_device *device)
{
	return (struct vdpa_options){.kernel_uapi = device->kernel_uapi};
}
