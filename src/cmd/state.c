/* uvdpa state: shows a saved state. Needs no server. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "cmd/client.h"
#include "cmd/state_file.h"
#include "cmd/verb.h"
#include "device/state.h"
#include "model/net.h"
#include "util/args.h"
#include "wire/vhost.h"

static void help(FILE *to)
{
	fputs("Shows what is in a saved state ('uvdpa save', vhost-user's device state), after\n"
	      "checking it as 'uvdpa restore' would. Needs no server. See uvdpa-state(5).\n"
	      "\n"
	      "Usage: uvdpa state FILE [--json]\n"
	      "\n"
	      "  --json        print it as JSON\n"
	      "\n"
	      "Exit status: 0 it is a sound state, 1 it is not (one line says why).\n",
	      to);
}

static json_t *queue_json(const struct snapshot_queue *q, unsigned index)
{
	json_t *heads = json_array();

	for (unsigned i = 0; i < q->in_flight_count; i++)
		json_array_append_new(heads, json_integer(q->in_flight[i]));
	return json_pack("{s:i, s:i, s:b, s:I, s:I, s:I, s:I, s:o}", "index", (int)index, "size",
			 (int)q->size, "ready", q->ready, "base", (json_int_t)q->base, "desc",
			 (json_int_t)q->desc, "driver", (json_int_t)q->driver, "used",
			 (json_int_t)q->used, "in_flight", heads);
}

static json_t *model_json(const struct device_snapshot *s)
{
	char text[2 * MODEL_STATE_MAX + 1] = "";

	for (unsigned i = 0; i < s->model_size; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", s->model[i]);
	return json_string(text);
}

static json_t *to_json(const struct device_snapshot *s)
{
	json_t *queues = json_array();
	char features[24];

	for (unsigned i = 0; i < s->queue_count; i++)
		json_array_append_new(queues, queue_json(&s->queues[i], i));
	snprintf(features, sizeof(features), "0x%" PRIx64, s->features);
	return json_pack("{s:i, s:s, s:i, s:i, s:s, s:o, s:o}", "version", (int)s->version, "name",
			 s->name, "device_id", (int)s->device_id, "status", (int)s->status,
			 "features", features, "model", model_json(s), "queues", queues);
}

/* Of a network card: what its driver set by commands. */
static void print_model(const struct device_snapshot *s)
{
	struct net_state_view view;

	printf("model      %u bytes\n", s->model_size);
	if (s->device_id == VIRTIO_ID_NET && net_view_state(s->model, s->model_size, &view))
		printf("card       %02x:%02x:%02x:%02x:%02x:%02x, queue pairs: %u, hears %s, "
		       "in its tables: %u unicast, %u multicast, %u VLANs\n",
		       view.mac[0], view.mac[1], view.mac[2], view.mac[3], view.mac[4], view.mac[5],
		       view.pairs, view.promiscuous ? "everything" : "what it asked for",
		       view.unicast, view.multicast, view.vlans);
	putchar('\n');
}

static void print(const struct device_snapshot *s)
{
	printf("format     %u\n", s->version);
	printf("name       %s\n", s->name);
	printf("type       virtio device %" PRIu32 "\n", s->device_id);
	printf("status     0x%02x\n", s->status);
	printf("features   0x%" PRIx64 "\n", s->features);
	print_model(s);
	printf("%-7s %5s %6s %10s %10s  %-18s %-18s %s\n", "queue", "size", "ready", "base",
	       "in flight", "descriptors", "driver", "used");
	for (unsigned i = 0; i < s->queue_count; i++) {
		const struct snapshot_queue *q = &s->queues[i];

		if (i && !q->ready && !q->base)
			continue; /* most drivers take few of those that a disk offers */
		printf("%-7u %5u %6s %10" PRIu32 " %10u  0x%-16" PRIx64 " 0x%-16" PRIx64
		       " 0x%" PRIx64 "\n",
		       i, q->size, q->ready ? "yes" : "no", q->base, q->in_flight_count, q->desc,
		       q->driver, q->used);
	}
}

static int show(const char *path, bool json, struct error *f)
{
	struct device_snapshot *s = malloc(sizeof(*s));
	size_t size;
	uint8_t *bytes = s ? state_file_read(path, &size, f) : NULL;
	int r = s ? bytes ? 0 : -EIO : error_set(f, -ENOMEM, "out of memory");

	if (r == 0 && (r = state_decode(bytes, size, s, f)) < 0)
		error_prefix(f, "%s", path);
	if (r == 0 && json)
		client_print_json(to_json(s));
	else if (r == 0)
		print(s);
	free(bytes);
	free(s);
	return r;
}

static int run(int argc, char **argv)
{
	const char *path = NULL;
	bool json = false;
	const struct arg table[] = {{"json", 0, ARG_FLAG, &json}, {NULL}};
	struct arg_list words = {&path, 0, 1};
	struct error f;

	if (args_parse(argc, argv, table, &words, &f))
		return complain(&f);
	if (!words.count) {
		error_set(&f, -EINVAL, "usage: uvdpa state FILE (see uvdpa state --help)");
		return complain(&f);
	}
	return show(path, json, &f) ? complain(&f) : EXIT_OK;
}

const struct verb verb_state = {
	.name = "state",
	.summary = "show what is in a saved state",
	.help = help,
	.run = run,
};
