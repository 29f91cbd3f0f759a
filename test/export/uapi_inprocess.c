/* The uAPI's cases through the in-process export; and docs/uapi.md (the argument) has all calls. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/devices.h"
#include "export/inprocess/inprocess.h"
#include "export/target.h"
#include "runtime/runtime.h"

static struct runtime *runtimes[16];

static int export_open(const char *name, void **handle)
{
	const struct test_device *device = test_device_find(name);
	struct inprocess_options options = {.vdpa = test_device_options(device)};
	struct runtime **runtime = &runtimes[device - test_devices];

	if (!*runtime)
		*runtime = test_device_run(device);
	return inprocess_open(*runtime, &options, (struct inprocess **)handle, NULL);
}

const struct target_export target_export = {
	.open = export_open,
	.ioctl = inprocess_ioctl,
	.write = inprocess_write,
	.close = inprocess_close,
};

/* A row "| `NAME` | 0xNUMBER |" per row of the table. Returns how many are missing. */
static int missing_rows(const char *path)
{
	static char page[64 * 1024];
	FILE *file = fopen(path, "re");
	const char *name;
	unsigned cmd;
	int missing = 0;

	if (!file || !fread(page, 1, sizeof(page) - 1, file))
		missing++;
	if (file)
		fclose(file);
	for (unsigned i = 0; (name = vdpa_call_name(i, &cmd)); i++) {
		char row[128];

		snprintf(row, sizeof(row), "| `%s` | 0x%08x |", name, cmd);
		if (strstr(page, row))
			continue;
		fprintf(stderr, "%s has no row %s\n", path, row);
		missing++;
	}
	return missing;
}

int main(int argc, char **argv)
{
	int failed = cases_calls() + cases_iotlb() + cases_suspend();

	if (argc > 1)
		failed += missing_rows(argv[1]);

	for (unsigned i = 0; i < test_device_count; i++)
		if (runtimes[i])
			runtime_free(runtimes[i]);
	return failed ? 1 : 0;
}
