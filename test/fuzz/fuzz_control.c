/*
 * Fuzz target: what is said on the control socket, over a real socket to a real export with a disk
 * and a card behind it.
 *
 * Checked, besides what sanitizers see: every line gets one answer, which is one line of JSON with
 * the request's id and either a result or an error with a reason; and the next caller is answered,
 * whatever the last one said.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/backends.h"
#include "control/control.h"
#include "runtime/runtime.h"
#include "model/models.h"
#include "util/log.h"
#include "util/unixname.h"

static char path[64];

static struct runtime *make_runtime(const char *name, struct model *model)
{
	const struct runtime_options options = {
		.device = {.name = name, .queue_size = 16, .asids = 1, .suspend_timeout_ms = 1000}};
	struct runtime *runtime;
	int r = runtime_new(&options, model, &runtime, NULL);

	assert(!r);
	(void)r;
	return runtime;
}

static struct model *make_disk(void)
{
	const struct blk_options options = {.queues = 2, .queue_size = 16};
	struct block *block;
	struct model *model;
	int r = block_memory_open(1 << 20, &block, NULL) || blk_new(&options, block, &model, NULL);

	assert(!r);
	(void)r;
	return model;
}

static struct model *make_card(void)
{
	const struct net_options options = {.mac = {0x52, 0x54, 0, 0, 0, 1}, .announce = true};
	struct packet *packet;
	struct model *model;
	int r = packet_null_open(1, &packet, NULL) || net_new(&options, packet, &model, NULL);

	assert(!r);
	(void)r;
	return model;
}

static void forget_name(void)
{
	unlink(path);
}

static void serve(void)
{
	static struct runtime *runtimes[2];
	struct control *control;
	int r;

	log_set_level(LOG_LEVEL_ERROR);
	snprintf(path, sizeof(path), "/tmp/uvdpa-fuzz-control-%d", (int)getpid());
	runtimes[0] = make_runtime("disk0", make_disk());
	runtimes[1] = make_runtime("net0", make_card());
	r = control_new(path, runtimes, 2, &control, NULL);
	assert(!r);
	(void)r;
	atexit(forget_name);
}

static FILE *call(void)
{
	int fd = unixname_connect(path);
	FILE *file;

	assert(fd >= 0);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	file = fdopen(fd, "r+");
	assert(file);
	return file;
}

static void check_answer(const char *line)
{
	json_t *answer = json_loads(line, 0, NULL), *error;

	assert(json_object_size(answer) == 2 && json_object_get(answer, "id"));
	error = json_object_get(answer, "error");
	assert(error || json_object_get(answer, "return"));
	if (error) {
		const char *message = json_string_value(json_object_get(error, "message"));

		assert(message && message[0] && json_object_get(error, "class"));
	}
	json_decref(answer);
}

/* Says something and takes the answers to its whole lines. */
static void converse(const void *bytes, size_t size)
{
	FILE *file = call();
	char *line = NULL;
	size_t room = 0;

	for (const char *at = bytes, *end; size && (end = memchr(at, '\n', size));) {
		size_t n = (size_t)(end + 1 - at), sent;

		/* what is said before an answer is taken may be cut anywhere */
		sent = fwrite(at, 1, n, file);
		assert(sent == n && fflush(file) == 0);
		(void)sent;
		assert(getline(&line, &room, file) > 0);
		check_answer(line);
		at += n;
		size -= n;
	}
	free(line);
	fclose(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char afterwards[] =
		"{\"command\":\"version\"}\n"
		"{\"command\":\"resume\",\"arguments\":{\"name\":\"disk0\"}}\n"
		"{\"command\":\"resume\",\"arguments\":{\"name\":\"net0\"}}\n"
		"{\"command\":\"status\"}\n";

	if (!path[0])
		serve();
	converse(data, size);
	converse(afterwards, sizeof(afterwards) - 1);
	return 0;
}
