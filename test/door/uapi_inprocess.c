/* The uAPI's cases through the in-process door. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "door/devices.h"
#include "door/inprocess.h"
#include "door/target.h"
#include "host/runner.h"

static struct runner *runners[16];

static int door_open(const char *name, void **handle)
{
	const struct test_device *device = test_device_find(name);
	struct inprocess_options options = {.vdpa = test_device_options(device)};
	struct runner **runner = &runners[device - test_devices];

	if (!*runner)
		*runner = test_device_run(device);
	return inprocess_open(*runner, &options, (struct inprocess **)handle, NULL);
}

const struct target_door target_door = {
	.open = door_open,
	.ioctl = inprocess_ioctl,
	.write = inprocess_write,
	.close = inprocess_close,
};

int main(void)
{
	int failed = cases_calls() + cases_iotlb() + cases_suspend();

	for (unsigned i = 0; i < test_device_count; i++)
		if (runners[i])
			runner_free(runners[i]);
	return failed ? 1 : 0;
}
