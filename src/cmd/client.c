/* Asks a server through its control socket: see client.h. */
#include "cmd/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/rundir.h"
#include "cmd/verb.h"

/* Of an answer: a status of 64-queue devices is some ten kilobytes each. */
#define ANSWER_MAX (16 * 1024 * 1024)

int client_parse(int argc, char **argv, bool has_timeout, unsigned min, unsigned max,
		 const char *usage, struct client_options *options, struct error *f)
{
	const struct arg table[] = {
		{"dir", 0, ARG_TEXT, &options->dir},
		{"json", 0, ARG_FLAG, &options->json},
		{has_timeout ? "timeout" : NULL, 0, ARG_TEXT, &options->timeout},
		{has_timeout ? "on-timeout" : NULL, 0, ARG_TEXT, &options->on_timeout},
		{NULL},
	};
	struct arg_list words = {options->words, 0, max};
	int ret;

	*options = (struct client_options){0};
	ret = args_parse(argc, argv, table, &words, f);
	options->word_count = words.count;
	if (!ret && words.count < min)
		ret = error_set(f, -EINVAL, "usage: uvdpa %s %s (see uvdpa %s --help)", argv[0],
				usage, argv[0]);
	return ret;
}

static int connect_to(const char *dir, struct error *f)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct rundir rundir;
	int fd, ret;

	ret = rundir_paths(dir, &rundir, f);
	if (ret)
		return ret;
	memcpy(address.sun_path, rundir.control, strlen(rundir.control) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(f, -errno, "cannot make a socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	ret = -errno;
	close(fd);
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return error_set(f, ret, "no server at %s (start one with 'uvdpa serve%s%s%s",
				 rundir.control, dir ? " --dir " : "", dir ? dir : "",
				 dir ? "')" : "', or give its --dir)");
	return error_set(f, ret, "cannot reach the server at %s: %s", rundir.control,
			 strerror(-ret));
}

static int send_all(int fd, const char *text, size_t size)
{
	while (size) {
		ssize_t sent = send(fd, text, size, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -errno;
		text += sent;
		size -= (size_t)sent;
	}
	return 0;
}

static int send_request(int fd, const char *command, json_t *arguments)
{
	json_t *request =
		json_pack("{s:i, s:s, s:o}", "id", 1, "command", command, "arguments", arguments);
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int ret = text ? send_all(fd, text, strlen(text)) : -ENOMEM;

	if (!ret)
		ret = send_all(fd, "\n", 1);
	free(text);
	json_decref(request);
	return ret;
}

/* Reads up to the end of a line. The caller frees the text. */
static char *read_line(int fd)
{
	size_t used = 0, size = 0;
	char *text = NULL;

	for (;;) {
		char *grown = used < size ? text : realloc(text, size += 65536);
		ssize_t got;

		if (!grown || size > ANSWER_MAX)
			break;
		text = grown;
		got = recv(fd, text + used, size - used, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		used += (size_t)got;
		if (text[used - 1] == '\n') {
			text[used - 1] = '\0';
			return text;
		}
	}
	free(text);
	return NULL;
}

static json_t *exchange(const struct client_options *options, const char *command,
			json_t *arguments, struct error *f)
{
	int fd = connect_to(options->dir, f);
	json_t *answer = NULL;
	char *line;

	if (fd < 0) {
		json_decref(arguments);
		return NULL;
	}
	if (send_request(fd, command, arguments) == 0) {
		line = read_line(fd);
		if (line)
			answer = json_loads(line, 0, NULL);
		free(line);
	}
	close(fd);
	if (!answer)
		error_set(f, -EIO, "the server hung up without an answer (did it end?)");
	return answer;
}

/* A server's hints ('uvdpa status disk0') are meant for its own directory, if that was named. */
static void refuse(const struct client_options *options, const char *message, struct error *f)
{
	static const char begin[] = "'uvdpa ";
	const char *hint = strstr(message, begin), *end = NULL;

	if (options->dir && hint)
		end = strchr(hint + strlen(begin), '\'');
	if (end)
		error_set(f, -EIO, "%.*s --dir %s%s", (int)(end - message), message, options->dir,
			  end);
	else
		error_set(f, -EIO, "%s", message);
}

int client_call(const struct client_options *options, const char *command, json_t *arguments,
		json_t **result)
{
	struct error f;
	json_t *answer = exchange(options, command, arguments, &f), *error;
	const char *class = "", *message = "?";
	int ret;

	if (!answer) {
		complain(&f);
		return EXIT_NO_SERVER;
	}
	*result = json_incref(json_object_get(answer, "return"));
	error = json_incref(json_object_get(answer, "error"));
	json_decref(answer);
	if (!error && *result)
		return EXIT_OK;
	json_unpack(error, "{s:s, s:s}", "class", &class, "message", &message);
	refuse(options, message, &f);
	ret = complain(&f);
	if (!strcmp(class, "TimedOut"))
		ret = EXIT_TIMED_OUT;
	json_decref(*result);
	if (options->json && error)
		client_print_json(error);
	else
		json_decref(error);
	return ret;
}

int client_print_json(json_t *result)
{
	/* ASCII: what would steer a terminal is escaped, too */
	json_dumpf(result, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII);
	putchar('\n');
	json_decref(result);
	return EXIT_OK;
}

/* The same answer with texts that can be printed. */
static json_t *printable(const json_t *value)
{
	json_t *copy, *item;
	const char *key;
	char *text;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_STRING:
		text = strdup(json_string_value(value));
		if (text)
			make_printable(text);
		copy = text ? json_string(text) : NULL;
		free(text);
		return copy ? copy : json_null();
	case JSON_ARRAY:
		copy = json_array();
		json_array_foreach((json_t *)(uintptr_t)value, i, item)
			json_array_append_new(copy, printable(item));
		return copy;
	case JSON_OBJECT:
		copy = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, key, item)
			json_object_set_new_nocheck(copy, key, printable(item));
		return copy;
	default:
		return json_deep_copy(value);
	}
}

int client_do(const struct client_options *options, const char *command, json_t *arguments,
	      client_say *say)
{
	json_t *result, *shown;
	int ret = client_call(options, command, arguments, &result);

	if (ret)
		return ret;
	if (options->json)
		return client_print_json(result);
	shown = printable(result);
	json_decref(result);
	say(options, shown);
	json_decref(shown);
	return EXIT_OK;
}

int client_do_one(int argc, char **argv, const char *command, client_say *say)
{
	struct client_options options;
	struct error f;

	if (client_parse(argc, argv, false, 1, 1, "NAME", &options, &f))
		return complain(&f);
	return client_do(&options, command, json_pack("{s:s}", "name", options.words[0]), say);
}
