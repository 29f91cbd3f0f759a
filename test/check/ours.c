/*
 * Our own device against every case of `uvdpa check`, without a file between: through the
 * in-process export, so that it runs where there is no /dev/fuse, and under the sanitizers.
 *
 *	check_ours [NAME]      NAME: one of the devices of test/export; default disk
 *	check_ours sizes 2 64  a disk with queues of every size from 2 to 64
 *	CHECK_ROUNDS=100 ...   that many rounds of each racing case (10)
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/options.h"
#include "check/run.h"
#include "export/devices.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"
#include "neighbour.h"

/* A device is made at the first open, in the process of the case: threads do not outlive a fork. */
struct ours {
	const struct test_device *device;
	struct runtime *runtime;
};

/* Both devices of a case have one, if they share their worker. */
static unsigned neighbours;

static const struct uvdpa_transport transport = {inprocess_ioctl, inprocess_write, inprocess_close};

static int ours_open(void *arg, unsigned flags, struct uvdpa_driver **drv,
		     struct uvdpa_error *error)
{
	struct ours *o = arg;
	struct inprocess_options options = {.vdpa = test_device_options(o->device)};
	struct inprocess *export;
	struct error f = {0};
	int r;

	if (!o->runtime && o->device->worker && !neighbours++)
		neighbour_start(o->device->worker);
	if (!o->runtime)
		o->runtime = test_device_run(o->device);
	r = inprocess_open(o->runtime, &options, &export, &f);
	if (r < 0) {
		if (error)
			snprintf(error->text, sizeof(error->text), "%s", f.text);
		return r;
	}
	r = uvdpa_driver_open_transport(&transport, export, o->device->name, flags, drv, error);
	if (r < 0)
		inprocess_close(export);
	return r;
}

/* Every case on rings of both kinds, with queues of one size after the other. */
static int try_sizes(struct check_options *options, uint32_t from, uint32_t to)
{
	unsigned wrong = 0;

	options->rounds = 2;
	options->target_count = 1;
	for (uint32_t size = from; size && size <= to; size *= 2) {
		const struct test_device device = {.name = "sized",
						   .packed = true,
						   .timeout_ms = 10000,
						   .queue_size = (uint16_t)size};
		struct ours ours = {&device, NULL};
		const struct target target = {"sized", ours_open, &ours};
		struct error f = {0};
		struct check_sum sum;

		printf("# queues of %u entries\n", size);
		wrong += check_run(options, &target, &sum, &f) != 0;
	}
	return wrong ? 1 : 0;
}

/* The cases that need VIRTIO_F_IN_ORDER. */
static const char *const in_order[] = {"R21", "R21p", "S11-8", "S11-8p", "S12-8", "S12-8p"};

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "disk", *rounds = getenv("CHECK_ROUNDS");
	const struct test_device *device = test_device_find(strcmp(name, "sizes") ? name : "disk");
	struct ours ours[2] = {{device, NULL}, {device, NULL}};
	const struct target targets[2] = {{name, ours_open, &ours[0]},
					  {"another", ours_open, &ours[1]}};
	struct check_options options;
	struct check_sum sum;
	struct error f = {0};
	int r;

	check_options_init(&options);
	options.target_count = 2;
	options.rounds = rounds ? (unsigned)strtoul(rounds, NULL, 10) : 10;
	options.seconds = rounds ? 60 : 1;
	options.deadline = 60;
	options.scratch = true;
	options.packed = strcmp(name, "packed") == 0; /* the rest is the disk's */
	if (strcmp(name, "orderly") == 0)	      /* likewise, on rings of both kinds */
		for (size_t i = 0; i < sizeof(in_order) / sizeof(in_order[0]); i++)
			options.only[options.only_count++] = in_order[i];
	options.format = FORMAT_TAP;
	if (strcmp(name, "sizes") == 0)
		return try_sizes(&options, argc > 3 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2,
				 argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 1024);
	r = check_run(&options, targets, &sum, &f);
	if (r == 2)
		fprintf(stderr, "%s\n", f.text);
	return r;
}
