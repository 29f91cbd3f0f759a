/*
 * sectors PATH: writes and reads the logical blocks of a disk of zeroes, neighbours at the same
 * time, and reads everything back. Prints "logical N physical M" (bytes), then "clean" or what went
 * wrong.
 */
#include <stdio.h>
#include <uvdpa/driver.h>
#include <uvdpa/driver_blk.h>

#include "load/workload.h"

static struct uvdpa_error error;

static int complain(const char *what)
{
	printf("%s: %s\n", what, error.text);
	return 1;
}

/* Connects, with one queue of 256 entries. */
static int prepare(const char *path, struct uvdpa_driver **drv, struct uvdpa_memory **memory,
		   struct uvdpa_queue **queue)
{
	const struct uvdpa_memory_options room = {.size = 4 << 20};
	struct uvdpa_queue_options options = {.size = 256};

	if (uvdpa_driver_open(path, 0, drv, &error))
		return complain("open");
	if (uvdpa_driver_negotiate(*drv, UINT64_MAX & ~(UINT64_C(1) << 34), &options.features,
				   &error) ||
	    uvdpa_memory_new(&room, memory, &error) || uvdpa_driver_map(*drv, *memory, 0, &error) ||
	    uvdpa_queue_new(*memory, &options, queue, &error) ||
	    uvdpa_driver_attach(*drv, 0, *queue, 0, &error) || uvdpa_driver_start(*drv, &error))
		return complain("set-up");
	return 0;
}

int main(int argc, char **argv)
{
	struct workload_options options = {
		.blocks = 64,
		.depth = 32,
		.write_percent = 70,
		.flush_every = 50,
		.lost_after = 60000,
		.seed = 1,
		.blank = true,
	};
	struct uvdpa_blk_config config;
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct workload *workload;
	struct error f;
	int result;

	if (argc != 2 || prepare(argv[1], &drv, &memory, &queue))
		return 1;
	if (uvdpa_blk_read_config(drv, &config, &error))
		return complain("config");
	printf("logical %u physical %u\n", config.blk_size,
	       config.blk_size << config.physical_block_exp);
	options.block_size = config.blk_size;
	if (workload_new(&options, memory, queue, &workload, &f))
		return printf("%s\n", f.text), 1;
	if (workload_run(workload, NULL, 2000) == 0)
		workload_verify(workload, 60000);
	result = !workload_is_clean(workload);
	printf("%s\n", result ? workload_first_problem(workload) : "clean");
	workload_free(workload);
	uvdpa_driver_close(drv);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
	return result;
}
