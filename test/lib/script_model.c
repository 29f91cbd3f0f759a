/* A device model that does what the test says: see script_model.h. */
#include "lib/script_model.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/bytes.h"

static struct script_model *script_of(struct model *model)
{
	return (struct script_model *)(void *)model; /* its first member */
}

__attribute__((format(printf, 2, 3))) static void say(struct script_model *m, const char *format,
						      ...)
{
	char line[160];
	va_list args;

	if (!m->say)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	m->say(m->say_arg, line);
}

static uint64_t features(struct model *model)
{
	return SCRIPT_FEATURE;
}

static unsigned queue_count(struct model *model)
{
	return script_of(model)->queues;
}

static unsigned group_count(struct model *model)
{
	return script_of(model)->groups;
}

/* The last queue has a group of its own, where there are two. */
static unsigned queue_group(struct model *model, unsigned queue)
{
	struct script_model *m = script_of(model);

	return m->groups > 1 && queue == m->queues - 1;
}

static void config_read(struct model *model, uint8_t *config)
{
	struct script_model *m = script_of(model);

	store_le64(config, m->size);
	memcpy(config + 8, m->writable, 2);
}

/* The second byte comes with the feature. */
static bool config_writable(const struct model *model, uint64_t features, size_t offset)
{
	return offset == 8 || (offset == 9 && features & SCRIPT_FEATURE);
}

static void config_write(struct model *model, size_t offset, const uint8_t *bytes, size_t size)
{
	struct script_model *m = script_of(model);

	say(m, "config write at %zu: %zu", offset, size);
	for (size_t i = 0; i < size; i++)
		if (offset + i >= 8)
			m->writable[offset + i - 8] = bytes[i];
}

static void negotiated(struct model *model, uint64_t agreed)
{
	script_of(model)->negotiated = agreed;
}

static int queue_start(struct model *model, unsigned queue, unsigned depth, struct error *f)
{
	struct script_model *m = script_of(model);

	if (m->bad_start & (1u << queue))
		return error_set(f, -EIO, "it has no backend");
	m->starts++;
	return 0;
}

static void queue_stop(struct model *model, unsigned queue)
{
	script_of(model)->stops++;
}

/* Takes entry `i` out and gives its request back. */
static void deliver(struct script_model *m, unsigned i)
{
	struct script_held held = m->held[i];
	uint8_t fill[256];
	uint64_t done = 0;

	m->held_count--;
	memmove(&m->held[i], &m->held[i + 1], (m->held_count - i) * sizeof(held));
	if (held.refusal) {
		request_refuse(held.request, held.refusal);
		return;
	}
	if (held.cancelled && request_cancelled(held.request)) {
		say(m, "gave %" PRIu64 " back", held.tag);
		return;
	}
	memset(fill, (int)(held.tag & 0xff), sizeof(fill));
	while (done < held.request->chain.writable) {
		uint64_t left = held.request->chain.writable - done;
		size_t n = left < sizeof(fill) ? left : sizeof(fill);

		if (chain_write(&held.request->chain, done, fill, n) < 0)
			say(m, "cannot write the answer of %" PRIu64, held.tag);
		done += n;
	}
	request_complete(held.request, (uint32_t)done);
}

static void handle(struct model *model, struct request *request)
{
	struct script_model *m = script_of(model);
	struct script_held *held = &m->held[m->held_count];
	uint8_t tag[8];

	if (chain_read(&request->chain, 0, tag, sizeof(tag)) < 0) {
		request_refuse(request, "a request of less than 8 bytes");
		return;
	}
	assert(m->held_count < SCRIPT_MAX_HELD);
	*held = (struct script_held){.request = request, .tag = load_le64(tag)};
	say(m, "take %" PRIu64 " of queue %u", held->tag, request->queue);
	m->held_count++;
	if (m->instant)
		deliver(m, m->held_count - 1);
}

static void batch_end(struct model *model, unsigned queue)
{
	script_of(model)->batches++;
}

static unsigned poll(struct model *model, unsigned queue)
{
	struct script_model *m = script_of(model);
	unsigned delivered = 0;

	m->polls[queue]++;
	for (unsigned i = 0; i < m->held_count;) {
		if (!m->held[i].finished || m->held[i].request->queue != queue) {
			i++;
			continue;
		}
		deliver(m, i);
		delivered++;
	}
	return delivered;
}

static void cancel(struct model *model, unsigned queue)
{
	struct script_model *m = script_of(model);

	m->cancels++;
	say(m, "cancel queue %u", queue);
	for (unsigned i = 0; i < m->held_count; i++)
		if (m->held[i].request->queue == queue && (m->gives_back || m->held[i].yields))
			m->held[i].finished = m->held[i].cancelled = true;
}

static void reset(struct model *model)
{
	struct script_model *m = script_of(model);

	m->resets++;
	memset(m->writable, 0, sizeof(m->writable));
}

static int resize(struct model *model, uint64_t bytes, struct error *f)
{
	if (!bytes)
		return error_set(f, -EINVAL, "a size of 0");
	script_of(model)->size = bytes;
	return 0;
}

/* Its own state are the two bytes that the driver may write. The first is never 0xff. */
static size_t state_save(struct model *model, uint8_t *bytes)
{
	memcpy(bytes, script_of(model)->writable, 2);
	return 2;
}

static int state_check(struct model *model, const uint8_t *bytes, size_t size, struct error *f)
{
	if (size != 2 || bytes[0] == 0xff)
		return error_set(f, -EINVAL, "that was not saved by a script");
	return 0;
}

static void state_load(struct model *model, const uint8_t *bytes, size_t size)
{
	memcpy(script_of(model)->writable, bytes, 2);
}

static void destroy(struct model *model)
{
	script_of(model)->destroyed++;
}

static bool silent(const struct model *model, unsigned queue)
{
	const struct script_model *script = (const struct script_model *)model;

	return script->needs_poll && script->held_count;
}

static bool sated(const struct model *model, unsigned queue)
{
	return ((const struct script_model *)model)->sated;
}

static bool region_invalidated(struct model *model, uint64_t region)
{
	struct script_model *m = script_of(model);

	m->gone++;
	return m->undoes;
}

static const struct model_ops script_ops = {
	.name = "script",
	.device_id = 42,
	.config_size = SCRIPT_CONFIG_SIZE,
	.request_size = 0,
	.features = features,
	.queue_count = queue_count,
	.config_read = config_read,
	.handle = handle,
	.destroy = destroy,
	.queue_group = queue_group,
	.group_count = group_count,
	.config_writable = config_writable,
	.config_write = config_write,
	.negotiated = negotiated,
	.queue_start = queue_start,
	.queue_stop = queue_stop,
	.batch_end = batch_end,
	.poll = poll,
	.needs_poll = silent,
	.sated = sated,
	.cancel = cancel,
	.region_invalidated = region_invalidated,
	.reset = reset,
	.resize = resize,
	.state_save = state_save,
	.state_check = state_check,
	.state_load = state_load,
};

void script_model_init(struct script_model *model, unsigned queues)
{
	memset(model, 0, sizeof(*model));
	model->model.ops = &script_ops;
	model->queues = queues;
	model->groups = queues > 1 ? 2 : 1;
	model->size = 1 << 20;
}

int script_model_finish(struct script_model *model, uint64_t tag, const char *refusal)
{
	for (unsigned i = 0; i < model->held_count; i++) {
		struct script_held *held = &model->held[i];

		if (held->tag != tag || held->finished)
			continue;
		held->finished = true;
		held->refusal = refusal;
		return held->request->queue;
	}
	return -1;
}
