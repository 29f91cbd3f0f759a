/*
 * Reading trace files, whoever wrote them: nothing in one is believed before it
 * was looked at. What a later version may add (keys, events) is skipped.
 */
#include "plot/trace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/trace.h"

#define FILE_MAX    (32u << 20)
#define TIME_MAX_NS (INT64_MAX / 4) /* sums and differences fit */
#define COUNT_MAX   UINT32_MAX	    /* of a slot; any number of slots adds up */
#define VERSION	    1

/* An integer from 0 to `max`. */
static bool get_number(const json_t *value, json_int_t max, uint64_t *to)
{
	json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

	*to = (uint64_t)n;
	return n >= 0 && n <= max;
}

/* A word, cut to the room that there is. */
static int get_word(const json_t *root, const char *key, char *to, size_t size, struct error *f)
{
	const char *text = json_string_value(json_object_get(root, key));

	if (!text)
		return error_set(f, -EINVAL, "\"%s\" is missing, or no text", key);
	snprintf(to, size, "%s", text);
	return 0;
}

static bool find_state(const char *name, enum device_state *state)
{
	for (int i = 0; name && i < STATE_COUNT; i++) {
		if (strcmp(name, lifecycle_state_name((enum device_state)i)) != 0)
			continue;
		*state = (enum device_state)i;
		return true;
	}
	return false;
}

static bool find_event(const char *name, enum device_trace_event *kind)
{
	for (int i = 0; i < TRACE_COUNT; i++) {
		if (strcmp(name, trace_event_name((enum device_trace_event)i)) != 0)
			continue;
		*kind = (enum device_trace_event)i;
		return true;
	}
	return false;
}

/* Returns 1, 0 (an event that we do not know), or -EINVAL with the error filled. */
static int read_event(const json_t *item, struct file_event *event, struct error *f)
{
	const char *word = json_string_value(json_object_get(item, "event"));
	const json_t *queue = json_object_get(item, "queue");
	uint64_t n = 0;

	*event = (struct file_event){0};
	if (!word)
		return error_set(f, -EINVAL, "no \"event\"");
	if (!get_number(json_object_get(item, "at_ns"), TIME_MAX_NS, &event->at_ns))
		return error_set(f, -EINVAL, "\"at_ns\" is no time");
	if (queue && !get_number(queue, DEVICE_MAX_QUEUES - 1, &n))
		return error_set(f, -EINVAL, "\"queue\" is no queue");
	event->queue = (unsigned)n;
	if (!get_number(json_object_get(item, "calls"), TIME_MAX_NS, &event->calls) ||
	    !get_number(json_object_get(item, "call_ns"), TIME_MAX_NS, &event->call_ns))
		event->calls = event->call_ns = 0;
	if (!find_event(word, &event->kind))
		return 0;
	if (event->kind == TRACE_RESET) {
		const char *cause = json_string_value(json_object_get(item, "cause"));

		event->gone = cause && !strcmp(cause, lifecycle_event_name(EV_DRIVER_GONE));
	}
	if (event->kind != TRACE_STATE)
		return 1;
	if (!find_state(json_string_value(json_object_get(item, "state")), &event->state))
		return error_set(f, -EINVAL, "\"state\" is none");
	return 1;
}

static int read_events(const json_t *list, struct trace_file *trace, struct error *f)
{
	const json_t *item;
	uint64_t last = 0;
	size_t i;

	if (!json_is_array(list))
		return error_set(f, -EINVAL, "\"events\" is missing, or no list");
	trace->events = calloc(json_array_size(list) + 1, sizeof(trace->events[0]));
	if (!trace->events)
		return error_set(f, -ENOMEM, "out of memory");
	json_array_foreach(list, i, item)
	{
		struct file_event *event = &trace->events[trace->event_count];
		int r = read_event(item, event, f);

		if (r < 0)
			return error_prefix(f, "event %zu", i);
		if (event->at_ns < last)
			return error_set(f, -EINVAL, "event %zu: before the one before it", i);
		last = event->at_ns;
		trace->event_count += (size_t)r;
	}
	return 0;
}

static int read_slots(const json_t *list, struct trace_file *trace, struct error *f)
{
	const json_t *item;
	size_t i;

	if (!json_is_array(list))
		return error_set(f, -EINVAL, "\"slots\" is missing, or no list");
	trace->slots = calloc(json_array_size(list) + 1, sizeof(trace->slots[0]));
	if (!trace->slots)
		return error_set(f, -ENOMEM, "out of memory");
	json_array_foreach(list, i, item)
	{
		struct file_slot *slot = &trace->slots[i];

		if (!get_number(json_array_get(item, 0), TIME_MAX_NS / 1000000, &slot->at_ms) ||
		    !get_number(json_array_get(item, 1), COUNT_MAX, &slot->in) ||
		    !get_number(json_array_get(item, 2), COUNT_MAX, &slot->out))
			return error_set(f, -EINVAL, "slot %zu is not [MS, IN, OUT]", i);
		if (i && slot->at_ms <= slot[-1].at_ms)
			return error_set(f, -EINVAL, "slot %zu: not after the one before it", i);
		trace->slot_count++;
	}
	return 0;
}

static int read_root(const json_t *root, struct trace_file *trace, struct error *f)
{
	const char *format = json_string_value(json_object_get(root, "format"));
	uint64_t version;
	int r;

	if (!format || strcmp(format, "uvdpa-trace") != 0)
		return error_set(f, -EINVAL, "not a trace of 'uvdpa trace'");
	if (!get_number(json_object_get(root, "version"), 1000000, &version) || version != VERSION)
		return error_set(f, -EINVAL,
				 "not a trace of version %d, which is the one known here", VERSION);
	if (!get_number(json_object_get(root, "slot_ms"), 10000, &trace->slot_ms) ||
	    !trace->slot_ms)
		return error_set(f, -EINVAL, "\"slot_ms\" is not 1 to 10000");
	if (!get_number(json_object_get(root, "taken_ns"), TIME_MAX_NS, &trace->taken_ns))
		trace->taken_ns = 0;
	r = get_word(root, "name", trace->name, sizeof(trace->name), f);
	r = r ? r : get_word(root, "unit", trace->unit, sizeof(trace->unit), f);
	r = r ? r : get_word(root, "in", trace->in, sizeof(trace->in), f);
	r = r ? r : get_word(root, "out", trace->out, sizeof(trace->out), f);
	if (json_object_get(root, "boot"))
		r = r ? r : get_word(root, "boot", trace->boot, sizeof(trace->boot), f);
	r = r ? r : read_events(json_object_get(root, "events"), trace, f);
	return r ? r : read_slots(json_object_get(root, "slots"), trace, f);
}

/* Reads to the end, or to more than FILE_MAX. NULL: no memory. */
static char *read_all(FILE *file, size_t *size)
{
	size_t room = 65536;
	char *text = malloc(room), *grown;

	*size = 0;
	while (text && !feof(file) && !ferror(file) && *size <= FILE_MAX) {
		*size += fread(text + *size, 1, room - *size, file);
		if (*size < room)
			continue;
		room *= 2;
		grown = realloc(text, room);
		if (!grown)
			free(text);
		text = grown;
	}
	return text;
}

/* The whole of a file. NULL with the error filled. */
static char *read_text(const char *path, size_t *size, struct error *f)
{
	FILE *file = fopen(path, "re");
	char *text = file ? read_all(file, size) : NULL;

	if (!file || (text && ferror(file)))
		error_set(f, errno ? -errno : -EIO, "cannot read it: %s", strerror(errno));
	else if (!text)
		error_set(f, -ENOMEM, "out of memory");
	else if (*size > FILE_MAX)
		error_set(f, -EFBIG, "too large for a trace");
	if (file)
		fclose(file);
	if (!f->code)
		return text;
	free(text);
	return NULL;
}

int trace_file_read(const char *path, struct trace_file *trace, struct error *f)
{
	struct error local = {0};
	json_error_t error;
	size_t size;
	char *text = read_text(path, &size, &local);
	json_t *root = text ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &error) : NULL;
	int r = local.code;

	*trace = (struct trace_file){0};
	if (text && !root)
		r = error_set(&local, -EINVAL, "not JSON: %s (line %d)", error.text, error.line);
	if (root)
		r = read_root(root, trace, &local);
	if (r < 0) {
		error_set(f, r, "'%s': %s", path, local.text);
		trace_file_free(trace);
	}
	json_decref(root);
	free(text);
	return r;
}

void trace_file_free(struct trace_file *trace)
{
	free(trace->events);
	free(trace->slots);
	*trace = (struct trace_file){0};
}

int text_file_write(const char *path, const char *text, size_t size, struct error *f)
{
	FILE *file = fopen(path, "we");
	bool good;

	if (!file)
		return error_set(f, -errno, "cannot write '%s': %s", path, strerror(errno));
	good = fwrite(text, 1, size, file) == size;
	good = fputc('\n', file) != EOF && good;
	good = fclose(file) == 0 && good;
	return good ? 0 : error_set(f, -EIO, "cannot write all of '%s': %s", path, strerror(errno));
}
