/*
 * control/control.c and its commands: good, bad and hostile clients, on a real
 * device whose model never gets a request.
 */
#include "control/control.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/runtime.h"
#include "model/model.h"

static uint64_t no_features(struct model *model)
{
	return 0;
}

static unsigned one_queue(struct model *model)
{
	return 1;
}

static void read_config(struct model *model, uint8_t *config)
{
	memset(config, 0, 8);
	config[0] = 2; /* sectors */
}

static void never_called(struct model *model, struct request *request)
{
	abort();
}

static void destroy(struct model *model)
{
	free(model);
}

static int resize(struct model *model, uint64_t bytes, struct error *f)
{
	return bytes > 4096 ? error_set(f, -28, "no room for that") : 0;
}

static const struct model_ops model_ops = {
	.name = "idle",
	.device_id = 2,
	.config_size = 8,
	.features = no_features,
	.queue_count = one_queue,
	.config_read = read_config,
	.handle = never_called,
	.destroy = destroy,
	.resize = resize,
};

struct world {
	char dir[32], path[48];
	struct runtime *runtime;
	struct control *control;
	int fd;
};

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int setup(void **state)
{
	static struct world world;
	const struct runtime_options options = {
		.device = {.name = "disk0",
			   .queue_size = 16,
			   .asids = 1,
			   .suspend_timeout_ms = 1000},
	};
	struct model *model = malloc(sizeof(*model));
	struct error f;

	model->ops = &model_ops;
	memcpy(world.dir, "/tmp/uvdpa-test-XXXXXX", 23);
	assert_non_null(mkdtemp(world.dir));
	snprintf(world.path, sizeof(world.path), "%s/control", world.dir);
	assert_int_equal(runtime_new(&options, model, &world.runtime, &f), 0);
	assert_int_equal(control_new(world.path, &world.runtime, 1, &world.control, &f), 0);
	world.fd = connect_to(world.path);
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	close(world->fd);
	control_free(world->control);
	runtime_free(world->runtime);
	return rmdir(world->dir); /* the socket is gone */
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads a line into a static buffer; "" at the end of the connection. */
static const char *hear(int fd)
{
	static char line[8192];
	size_t used = 0;

	while (used < sizeof(line) - 1 && recv(fd, line + used, 1, 0) == 1)
		if (line[used++] == '\n')
			break;
	line[used] = '\0';
	return line;
}

static void expect(int fd, const char *request, const char *answer_has)
{
	const char *answer;

	say(fd, request);
	answer = hear(fd);
	if (!strstr(answer, answer_has))
		fail_msg("'%s' is answered by '%s', without '%s'", request, answer, answer_has);
}

static void commands(void **state)
{
	struct world *world = *state;

	expect(world->fd, "{\"id\":7,\"command\":\"version\"}\n",
	       "{\"id\":7,\"return\":{\"version\":");
	expect(world->fd, "{\"command\":\"version\",\"id\":[\"x\"]}\n",
	       "{\"id\":[\"x\"],\"return\"");
	expect(world->fd, "{\"command\":\"status\"}\n", "\"name\":\"disk0\"");
	expect(world->fd, "{\"command\":\"status\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "\"capacity\":1024");
	expect(world->fd,
	       "{\"command\":\"resize\",\"arguments\":{\"name\":\"disk0\",\"bytes\":4096}}\n",
	       "\"bytes\":4096");
	expect(world->fd, "{\"command\":\"resume\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "\"state\":\"RESET\"");
	expect(world->fd, "{\"command\":\"save\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "only a suspended device can be saved");
	expect(world->fd,
	       "{\"command\":\"restore\",\"arguments\":{\"name\":\"disk0\",\"state\":\"###\"}}\n",
	       "not base64");
	expect(world->fd,
	       "{\"command\":\"restore\",\"arguments\":{\"name\":\"disk0\",\"state\":\"AAAA\"}}\n",
	       "not a saved state");
}

static void malformed(void **state)
{
	static const struct {
		const char *request, *answer_has;
	} cases[] = {
		{"\n", "BadRequest"},
		{"hello\n", "not JSON"},
		{"[]\n", "BadRequest"},
		{"{\n", "BadRequest"},
		{"{\"command\":1}\n", "BadRequest"},
		{"{}\n", "BadRequest"},
		{"{\"command\":\"status\",\"command\":\"status\"}\n", "BadRequest"},
		{"{\"command\":\"status\",\"extra\":1}\n", "BadRequest"},
		{"{\"command\":\"status\",\"arguments\":[]}\n", "BadRequest"},
		{"{\"command\":\"status\",\"arguments\":{\"nam\":\"x\"}}\n", "BadRequest"},
		{"{\"command\":\"statsu\"}\n", "did you mean 'status'?"},
		{"{\"command\":\"elephant\"}\n", "UnknownCommand"},
		{"{\"command\":\"suspend\"}\n", "BadRequest"},
		{"{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk1\"}}\n",
		 "did you mean 'disk0'?"},
		{"{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\",\"timeout_ms\":-1}}\n",
		 "BadRequest"},
		{"{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\",\"timeout_ms\":\"1\"}}"
		 "\n",
		 "BadRequest"},
		{"{\"command\":\"resize\",\"arguments\":{\"name\":\"disk0\",\"bytes\":100}}\n",
		 "BadRequest"},
		{"{\"command\":\"resize\",\"arguments\":{\"name\":\"disk0\",\"bytes\":-512}}\n",
		 "BadRequest"},
		{"{\"command\":\"resize\",\"arguments\":{\"name\":\"disk0\",\"bytes\":1048576}}\n",
		 "no room for that"},
		{"{\"command\":\"\xff\xfe\"}\n", "not JSON"},
		{"{\"command\":\"a\\u0000b\"}\n", "not JSON"},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		expect(world->fd, cases[i].request, cases[i].answer_has);
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
}

/* Several requests in one packet, and one in several. */
static void lines_come_as_they_like(void **state)
{
	struct world *world = *state;

	say(world->fd,
	    "{\"id\":1,\"command\":\"version\"}\n{\"id\":2,\"command\":\"version\"}\n{\"id\":");
	assert_non_null(strstr(hear(world->fd), "\"id\":1"));
	assert_non_null(strstr(hear(world->fd), "\"id\":2"));
	say(world->fd, "3,\"command\":");
	expect(world->fd, "\"version\"}\n", "\"id\":3");
}

static void huge_line(void **state)
{
	struct world *world = *state;
	static char blanks[524288];

	memset(blanks, ' ', sizeof(blanks));
	assert_true(send(world->fd, blanks, sizeof(blanks), MSG_NOSIGNAL) > 0);
	assert_non_null(strstr(hear(world->fd), "at most 524287 bytes"));
	assert_string_equal(hear(world->fd), "");
	/* deep nesting is refused, not followed down the stack */
	close(world->fd);
	world->fd = connect_to(world->path);
	memset(blanks, '[', 60000);
	blanks[60000] = '\n';
	assert_int_equal(send(world->fd, blanks, 60001, MSG_NOSIGNAL), 60001);
	assert_non_null(strstr(hear(world->fd), "not JSON"));
}

static void suspension_outlives_its_connection(void **state)
{
	struct world *world = *state;
	struct device *device;

	expect(world->fd, "{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "return");
	close(world->fd);
	world->fd = connect_to(world->path);
	expect(world->fd, "{\"command\":\"status\"}\n", "\"holders\":[\"operator\"]");
	expect(world->fd, "{\"command\":\"resume\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "return");
	device = runtime_lock(world->runtime);
	assert_int_equal(device_holders(device), 0);
	runtime_unlock(world->runtime);
}

/* Where all connections are taken, the one that has been silent for longest makes room. */
static void silent_connections(void **state)
{
	struct world *world = *state;
	int fds[31], one_more;

	for (unsigned i = 0; i < 31; i++) {
		fds[i] = connect_to(world->path);
		expect(fds[i], "{\"command\":\"version\"}\n", "return");
	}
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
	expect(fds[0], "{\"command\":\"version\"}\n", "return");
	one_more = connect_to(world->path);
	expect(one_more, "{\"command\":\"version\"}\n", "return");
	assert_string_equal(hear(fds[1]), "");
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
	expect(fds[0], "{\"command\":\"version\"}\n", "return");
	expect(fds[2], "{\"command\":\"version\"}\n", "return");
	close(one_more);
	for (unsigned i = 0; i < 31; i++)
		close(fds[i]);
}

/* Of this process: each request that is being run has one. */
static unsigned threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned n = 0;

	assert_non_null(tasks);
	for (const struct dirent *entry; (entry = readdir(tasks));)
		n += entry->d_name[0] != '.';
	closedir(tasks);
	return n;
}

/* Those whose requests are being run stay: then who comes is turned away with an answer. */
static void too_many_connections(void **state)
{
	static const char request[] =
		"{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\"}}\n";
	struct world *world = *state;
	unsigned before = threads();
	int fds[31], one_more;

	runtime_lock(world->runtime);
	for (unsigned i = 0; i < 31; i++) {
		fds[i] = connect_to(world->path);
		expect(fds[i], "{\"command\":\"version\"}\n", "return");
		say(fds[i], request);
	}
	say(world->fd, request);
	while (threads() < before + 32) /* until all are being run, somebody is silent */
		sched_yield();
	one_more = connect_to(world->path);
	assert_non_null(strstr(hear(one_more), "too many connections"));
	close(one_more);
	runtime_unlock(world->runtime);
	assert_non_null(strstr(hear(world->fd), "return"));
	for (unsigned i = 0; i < 31; i++)
		close(fds[i]);
}

/* Without descriptors the operator is let in all the same; the next one, when there are some. */
static void no_descriptors(void **state)
{
	struct world *world = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int first = socket(AF_UNIX, SOCK_STREAM, 0), second = socket(AF_UNIX, SOCK_STREAM, 0);
	struct rlimit before, few;
	int filler[256];
	unsigned n = 0;

	memcpy(address.sun_path, world->path, strlen(world->path));
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)second + 32;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	while (n < 256 && (filler[n] = dup(first)) >= 0)
		n++;
	assert_int_equal(errno, EMFILE);
	assert_int_equal(connect(first, (struct sockaddr *)&address, sizeof(address)), 0);
	expect(first, "{\"command\":\"version\"}\n", "return");
	assert_int_equal(connect(second, (struct sockaddr *)&address, sizeof(address)), 0);
	expect(first, "{\"command\":\"version\"}\n", "return");
	while (n)
		close(filler[--n]);
	setrlimit(RLIMIT_NOFILE, &before);
	expect(second, "{\"command\":\"version\"}\n", "return");
	close(first);
	close(second);
}

/* A client that asks and never listens stops nobody else. */
static void deaf_client(void **state)
{
	struct world *world = *state;
	int deaf = connect_to(world->path);
	static const char request[] = "{\"command\":\"status\"}\n";

	for (unsigned i = 0; i < 200000; i++)
		if (send(deaf, request, sizeof(request) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			break;
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
	close(deaf);
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
}

/* A device that is stuck costs those who want something of it, and nobody else. */
static void stuck_device(void **state)
{
	struct world *world = *state;
	int other = connect_to(world->path);

	runtime_lock(world->runtime);
	say(other, "{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\"}}\n");
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
	close(other);
	other = connect_to(world->path);
	expect(other, "{\"command\":\"version\"}\n", "return");
	runtime_unlock(world->runtime);
	close(other);
}

/* What a device is doing is told also while nobody gets an answer of it, as often as one likes. */
static void status_of_a_stuck_device(void **state)
{
	static const char request[] = "{\"command\":\"status\"}\n";
	struct world *world = *state;

	expect(world->fd, request, "\"answers\":true");
	runtime_lock(world->runtime);
	for (unsigned i = 0; i < 100; i++)
		expect(world->fd, request, "\"answers\":false");
	expect(world->fd, request, "\"state\":\"RESET\"");
	expect(world->fd, request, "\"capacity\":1024");
	runtime_unlock(world->runtime);
	/* who looked in vain gets what it wanted in the end */
	do
		say(world->fd, request);
	while (strstr(hear(world->fd), "\"answers\":false"));
	expect(world->fd, "{\"command\":\"suspend\",\"arguments\":{\"name\":\"disk0\"}}\n",
	       "return");
	expect(world->fd, request, "\"holders\":[\"operator\"]");
}

static void only_its_owner_may_connect(void **state)
{
	struct world *world = *state;
	struct stat st;

	assert_int_equal(stat(world->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void cannot_listen_twice(void **state)
{
	struct world *world = *state;
	struct control *other;
	struct error f;

	assert_true(control_new(world->path, &world->runtime, 1, &other, &f) < 0);
	assert_non_null(strstr(f.text, world->path));
	expect(world->fd, "{\"command\":\"version\"}\n", "return");
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(commands),
		CASE(malformed),
		CASE(lines_come_as_they_like),
		CASE(huge_line),
		CASE(suspension_outlives_its_connection),
		CASE(silent_connections),
		CASE(too_many_connections),
		CASE(no_descriptors),
		CASE(deaf_client),
		CASE(stuck_device),
		CASE(status_of_a_stuck_device),
		CASE(only_its_owner_may_connect),
		CASE(cannot_listen_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
