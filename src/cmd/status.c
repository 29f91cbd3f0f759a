/* uvdpa status: a line per device, or all there is to know of one. */
#include <inttypes.h>
#include <string.h>

#include "cmd/client.h"
#include "cmd/verb.h"
#include "util/size.h"

static void help(FILE *to)
{
	fputs("Shows the devices of a server, a line each; with NAME, all about one of them.\n"
	      "\n"
	      "Usage: uvdpa status [NAME] [--dir DIR] [--json]\n"
	      "\n" CLIENT_HELP CLIENT_HELP_EXIT ".\n",
	      to);
}

static const char *text(const json_t *object, const char *key)
{
	const char *value = json_string_value(json_object_get(object, key));

	return value ? value : "-";
}

static int64_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* "driver, operator", or "-". */
static void join_holders(const json_t *device, char *buffer, size_t size)
{
	const json_t *item;
	size_t i, used = 0;

	snprintf(buffer, size, "-");
	json_array_foreach(json_object_get(device, "holders"), i, item)
	{
		int n = snprintf(buffer + used, size - used, "%s%s", i ? "," : "",
				 json_string_value(item));

		if (n < 0 || (size_t)n >= size - used)
			return;
		used += (size_t)n;
	}
}

static int64_t sum_of_queues(const json_t *device, const char *key)
{
	const json_t *queue;
	uint64_t sum = 0; /* whatever a server says, it wraps */
	size_t i;

	json_array_foreach(json_object_get(device, "queues"), i, queue) sum +=
		(uint64_t)number(queue, key);
	return (int64_t)sum;
}

static const char *capacity(const json_t *device, char buffer[32])
{
	if (!json_object_get(device, "capacity"))
		return "-";
	return size_format((uint64_t)number(device, "capacity"), buffer);
}

/* As wide as the longest text of a column, its heading included, up to `most`. */
static int width_of(const json_t *devices, const char *key, const char *heading, int most)
{
	int width = (int)strlen(heading);
	const json_t *device;
	size_t i;

	json_array_foreach(devices, i, device)
	{
		size_t size = strlen(text(device, key));

		width = size > (size_t)most ? most : (int)size > width ? (int)size : width;
	}
	return width;
}

static void print_table(const json_t *devices)
{
	const int name = width_of(devices, "name", "NAME", 63);
	const int backend = width_of(devices, "backend", "BACKEND", 40);
	const json_t *device;
	char held[40], size[32];
	size_t i;

	printf("%-*s %-4s %-11s %-15s %9s %9s %12s  %-*s  %s\n", name, "NAME", "TYPE", "STATE",
	       "HELD BY", "SIZE", "IN FLIGHT", "REQUESTS", backend, "BACKEND", "CLIENT");
	json_array_foreach(devices, i, device)
	{
		join_holders(device, held, sizeof(held));
		printf("%-*s %-4s %-11s %-15s %9s %9" PRId64 " %12" PRId64 "  %-*s  %s%s\n", name,
		       text(device, "name"), text(device, "type"), text(device, "state"), held,
		       capacity(device, size), sum_of_queues(device, "in_flight"),
		       sum_of_queues(device, "requests"), backend, text(device, "backend"),
		       text(device, "client"),
		       json_is_false(json_object_get(device, "answers")) ? " (held up)" : "");
	}
}

/* A disk offers many more queues than most drivers take. */
static bool was_used(const json_t *queue)
{
	return json_is_true(json_object_get(queue, "ready")) || number(queue, "requests") ||
	       number(queue, "base") || number(queue, "kicks");
}

static void print_queues(const json_t *queues)
{
	const json_t *queue;
	size_t i;

	printf("%-7s %5s %6s %6s %9s %12s %10s %14s\n", "queue", "size", "ready", "base",
	       "in flight", "requests", "kicks", "notifications");
	json_array_foreach(queues, i, queue)
	{
		if (i && !was_used(queue))
			continue;
		printf("%-7" PRId64 " %5" PRId64 " %6s %6" PRId64 " %9" PRId64 " %12" PRId64
		       " %10" PRId64 " %14" PRId64 "\n",
		       number(queue, "index"), number(queue, "size"),
		       json_is_true(json_object_get(queue, "ready")) ? "yes" : "no",
		       number(queue, "base"), number(queue, "in_flight"), number(queue, "requests"),
		       number(queue, "kicks"), number(queue, "notifications"));
	}
}

static void print_disk(const json_t *disk)
{
	const json_t *error = json_object_get(disk, "last_error");

	if (!disk)
		return;
	printf("reads      %" PRId64 " (%" PRId64 " bytes)\n", number(disk, "reads"),
	       number(disk, "read_bytes"));
	printf("writes     %" PRId64 " (%" PRId64 " bytes)\n", number(disk, "writes"),
	       number(disk, "written_bytes"));
	printf("others     %" PRId64 " flush, %" PRId64 " discard, %" PRId64 " write zeroes\n",
	       number(disk, "flushes"), number(disk, "discards"), number(disk, "write_zeroes"));
	printf("failed     %" PRId64 " (and %" PRId64 " unsupported)\n", number(disk, "errors"),
	       number(disk, "unsupported"));
	if (error)
		printf("last error %s of %" PRId64 " bytes at byte %" PRId64 ": %s\n",
		       text(error, "request"), number(error, "bytes"), number(error, "offset"),
		       text(error, "error"));
}

static void print_frames(const char *what, const json_t *frames)
{
	printf("%-10s %" PRId64 " frames (%" PRId64 " bytes); dropped: %" PRId64
	       " filtered, %" PRId64 " malformed, %" PRId64 " without room\n",
	       what, number(frames, "packets"), number(frames, "bytes"), number(frames, "filtered"),
	       number(frames, "malformed"), number(frames, "no_room"));
}

static void print_card(const json_t *card)
{
	if (!card)
		return;
	printf("mac        %s\n", text(card, "mac"));
	printf("link       %s, %" PRId64 " queue pairs in use\n", text(card, "link"),
	       number(card, "queue_pairs"));
	print_frames("received", json_object_get(card, "received"));
	print_frames("sent", json_object_get(card, "sent"));
	printf("commands   %" PRId64 " (and %" PRId64 " refused)\n", number(card, "commands"),
	       number(card, "refused"));
}

static void print_one(const json_t *device)
{
	char held[40], size[32];

	join_holders(device, held, sizeof(held));
	printf("name       %s\n", text(device, "name"));
	printf("type       %s (virtio device %" PRId64 ")\n", text(device, "type"),
	       number(device, "device_id"));
	printf("state      %s\n", text(device, "state"));
	if (json_is_false(json_object_get(device, "answers")))
		puts("           held up by its client or backend: below is what was seen last");
	printf("held by    %s\n", held);
	printf("broken     %s\n", text(device, "broken"));
	printf("backend    %s\n", text(device, "backend"));
	printf("client     %s\n", text(device, "client"));
	if (json_is_true(json_object_get(device, "restored")))
		puts("restored   a saved state waits for the driver");
	if (json_is_string(json_object_get(device, "worker")))
		printf("worker     %s\n", text(device, "worker"));
	printf("status     0x%02" PRIx64 "\n", (uint64_t)number(device, "status"));
	printf("features   %s of %s\n", text(device, "driver_features"),
	       text(device, "device_features"));
	printf("size       %s\n", capacity(device, size));
	print_disk(json_object_get(device, "disk"));
	print_card(json_object_get(device, "card"));
	putchar('\n');
	print_queues(json_object_get(device, "queues"));
}

static void say(const struct client_options *options, const json_t *result)
{
	const json_t *devices = json_object_get(result, "devices");

	if (options->word_count)
		print_one(json_array_get(devices, 0));
	else
		print_table(devices);
}

static int run(int argc, char **argv)
{
	struct client_options options;
	json_t *arguments;
	struct error f;

	if (client_parse(argc, argv, false, 0, 1, "[NAME]", &options, &f))
		return complain(&f);
	arguments =
		options.word_count ? json_pack("{s:s}", "name", options.words[0]) : json_object();
	return client_do(&options, "status", arguments, say);
}

const struct verb verb_status = {
	.name = "status",
	.summary = "show devices and what they do",
	.help = help,
	.run = run,
};
