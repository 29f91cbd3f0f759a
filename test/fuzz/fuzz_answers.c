/*
 * Fuzz target: what the operators' verbs read from a control socket and print of it.
 *
 * An input is a verb and the bytes that its server answers with, after which it hangs up.
 *
 * Checked, besides what sanitizers see: the verb ends with an exit code of its own, says one line
 * of complaint or none, and prints nothing that would steer a terminal.
 */
#include "fuzz.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/verb.h"
#include "util/unixname.h"

#define WORDS_MAX 6

struct server {
	int listener;
	const uint8_t *data;
	size_t size;
};

static char dir[] = "/tmp/uvdpa-fuzz-XXXXXX", path[64], file[64];
static int listener = -1;

/* Verbs and their words; the directory and --json are added. */
static const struct {
	const struct verb *verb;
	const char *words[3];
} calls[] = {
	{&verb_status, {NULL}},
	{&verb_status, {"disk0"}},
	{&verb_suspend, {"disk0"}},
	{&verb_resume, {"disk0"}},
	{&verb_resize, {"disk0", "1M"}},
	{&verb_reset, {"disk0"}},
	{&verb_save, {"disk0", file}},
	{&verb_link, {"net0", "up"}},
	{&verb_announce, {"net0"}},
	{&verb_trace, {"disk0"}},
	{&verb_trace, {"disk0", "--output", file}},
};

#define CALLS (sizeof(calls) / sizeof(calls[0]))

static void leave(void)
{
	unlink(file);
	unlink(path);
	rmdir(dir);
}

static void begin(void)
{
	struct unixname name;
	char *made = mkdtemp(dir);
	int r;

	assert(made);
	snprintf(path, sizeof(path), "%s/control", dir);
	snprintf(file, sizeof(file), "%s/file", dir);
	listener = unixname_bind(path, SOCK_STREAM | SOCK_CLOEXEC, NULL, &name, NULL);
	r = listener < 0 ? -1 : listen(listener, 1);
	assert(!r && made);
	(void)r;
	atexit(leave);
}

/* Reads the request, which is one line, and says what the input has. */
static void *serve(void *arg)
{
	const struct server *server = arg;
	char request[4096];
	size_t got = 0;
	int fd;

	do
		fd = accept(server->listener, NULL, NULL);
	while (fd < 0);
	while (got < sizeof(request) && !memchr(request, '\n', got)) {
		ssize_t n = recv(fd, request + got, sizeof(request) - got, 0);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	for (size_t at = 0; at < server->size;) {
		ssize_t n = send(fd, server->data + at, server->size - at, MSG_NOSIGNAL);

		if (n <= 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	return NULL;
}

static void check_text(const char *text)
{
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		assert(*c >= ' ' || *c == '\n');
		/* control characters of the upper half (ECMA-48), in UTF-8 */
		assert(!(c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0));
	}
}

/* Runs the verb with what it prints kept. */
static int run(unsigned call, bool json, char *said[2])
{
	FILE *kept[2] = {stdout, stderr};
	char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t)calls[call].verb->name, "--dir", dir};
	size_t sizes[2];
	int argc = 3, code;

	for (unsigned i = 0; i < 3 && calls[call].words[i]; i++)
		argv[argc++] = (char *)(uintptr_t)calls[call].words[i];
	if (json && calls[call].verb != &verb_trace)
		argv[argc++] = "--json";
	/* sanitizers and fuzzers write to descriptors, not to these */
	stdout = open_memstream(&said[0], &sizes[0]);
	stderr = open_memstream(&said[1], &sizes[1]);
	code = calls[call].verb->run(argc, argv);
	fclose(stdout);
	fclose(stderr);
	stdout = kept[0];
	stderr = kept[1];
	return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server server;
	char *said[2], *end;
	pthread_t thread;
	int code;

	if (!size)
		return 0;
	if (listener < 0)
		begin();
	server = (struct server){listener, data + 1, size - 1};
	code = pthread_create(&thread, NULL, serve, &server);
	assert(!code);
	code = run(data[0] % CALLS, data[0] & 0x80, said);
	pthread_join(thread, NULL);
	assert(code >= EXIT_OK && code <= EXIT_TIMED_OUT);
	check_text(said[0]);
	check_text(said[1]);
	end = strchr(said[1], '\n');
	assert(code == EXIT_OK ? !said[1][0] : end && !end[1]);
	(void)end;
	free(said[0]);
	free(said[1]);
	return 0;
}
