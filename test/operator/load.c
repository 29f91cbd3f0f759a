/*
 * load PATH: keeps a disk busy until standard input ends, then drains it and reads back what was
 * written. Prints "ready" when requests flow, and at the end "clean N" or what went wrong.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <uvdpa/driver.h>

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

static atomic_bool stop;

/* Ends the load at the end of standard input. */
static void *watch_input(void *arg)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	atomic_store(&stop, true);
	return arg;
}

int main(int argc, char **argv)
{
	const struct workload_options options = {
		.blocks = 128,
		.depth = 64,
		.write_percent = 50,
		.lost_after = 60000,
		.seed = 1,
	};
	struct uvdpa_driver *drv;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct workload *workload;
	pthread_t watcher;
	struct error f;
	int result;

	if (argc != 2 || prepare(argv[1], &drv, &memory, &queue))
		return 1;
	if (workload_new(&options, memory, queue, &workload, &f))
		return printf("%s\n", f.text), 1;
	if (workload_run(workload, NULL, 100) == 0) {
		printf("ready\n");
		fflush(stdout);
		pthread_create(&watcher, NULL, watch_input, NULL);
		if (workload_run(workload, &stop, 0) == 0)
			workload_verify(workload, 60000);
		pthread_join(watcher, NULL);
	}
	if (workload_is_clean(workload))
		printf("clean %llu\n", (unsigned long long)workload_done(workload));
	else
		printf("%s\n", workload_first_problem(workload));
	result = !workload_is_clean(workload);
	workload_free(workload);
	uvdpa_driver_close(drv);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
	return result;
}
