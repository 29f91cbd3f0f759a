/*
 * The example works: its file appears, a driver gets entropy out of it, it can
 * be suspended, and it ends when told to.
 *
 *	smallest_device PROGRAM
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <uvdpa/driver.h>

#define BYTES 64u

static char dir[] = "/tmp/uvdpa-smallest-XXXXXX";
static char path[64];
static pid_t server;

static void must(int result, const struct uvdpa_error *error, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, error->code ? error->text : strerror(-result));
	kill(server, SIGTERM);
	exit(1);
}

static void start(const char *program)
{
	assert(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/rng", dir);
	server = fork();
	assert(server >= 0);
	if (server == 0) {
		execl(program, program, dir, NULL);
		_exit(127);
	}
	for (int i = 0; i < 500 && access(path, F_OK) < 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* One request for entropy. Returns how many of the bytes are not zero. */
static unsigned ask(struct uvdpa_queue *queue, struct uvdpa_memory *memory, uint8_t *bytes)
{
	struct uvdpa_segment segment = {uvdpa_memory_iova(memory, bytes), BYTES, 1};
	struct uvdpa_completion completion;
	unsigned filled = 0;

	memset(bytes, 0, BYTES);
	assert(uvdpa_queue_add(queue, &segment, 1, 0, 7) >= 0);
	assert(uvdpa_queue_submit(queue) >= 0);
	assert(uvdpa_queue_wait(queue, 10000) > 0);
	assert(uvdpa_queue_poll(queue, &completion, 1) == 1);
	assert(completion.cookie == 7 && completion.written == BYTES);
	for (unsigned i = 0; i < BYTES; i++)
		filled += bytes[i] != 0;
	return filled;
}

static void drive(void)
{
	struct uvdpa_queue_options options = {.size = 8};
	struct uvdpa_error error = {0};
	struct uvdpa_driver *driver;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	uint8_t *bytes;

	must(uvdpa_driver_open(path, 0, &driver, &error), &error, "open");
	assert(uvdpa_driver_device_id(driver) == 4);
	must(uvdpa_driver_negotiate(driver, 0, &options.features, &error), &error, "negotiate");
	must(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 65536}, &memory, &error),
	     &error, "memory");
	must(uvdpa_driver_map(driver, memory, 0, &error), &error, "map");
	must(uvdpa_queue_new(memory, &options, &queue, &error), &error, "queue");
	bytes = uvdpa_memory_alloc(memory, BYTES, 8);
	must(uvdpa_driver_attach(driver, 0, queue, 0, &error), &error, "attach");
	must(uvdpa_driver_start(driver, &error), &error, "DRIVER_OK");
	assert(ask(queue, memory, bytes) > BYTES / 2);
	must(uvdpa_driver_suspend(driver), &error, "suspend");
	must(uvdpa_driver_resume(driver), &error, "resume");
	assert(ask(queue, memory, bytes) > BYTES / 2);
	uvdpa_driver_close(driver);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
}

int main(int argc, char **argv)
{
	int status = 0;

	assert(argc == 2);
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		printf("skipped: /dev/fuse cannot be used here (%s)\n", strerror(errno));
		return 77;
	}
	start(argv[1]);
	drive();
	kill(server, SIGTERM);
	assert(waitpid(server, &status, 0) == server);
	rmdir(dir);
	return status == 0 ? 0 : 1;
}
