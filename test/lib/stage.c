/* A stage for devices: see stage.h. */
#include "lib/stage.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring/inflight.h"
#include "wire/vhost.h"

#define RAM_SIZE UINT64_C(0x40000)
#define REQUIRED ((1ull << VIRTIO_F_VERSION_1) | (1ull << VIRTIO_F_ACCESS_PLATFORM))

void book_line(struct book *book, const char *format, ...)
{
	char line[300];
	va_list args;
	int n;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	n = snprintf(book->text + book->size, sizeof(book->text) - book->size, "[%" PRIu64 "] %s\n",
		     book->now, line);
	assert(n > 0 && book->size + (size_t)n < sizeof(book->text));
	book->size += (size_t)n;
}

/* A line of one stage; with its name, where there are several. */
__attribute__((format(printf, 2, 3))) static void line(struct stage *stage, const char *format, ...)
{
	char text[280];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (stage->book->named)
		book_line(stage->book, "%s: %s", stage->options.name, text);
	else
		book_line(stage->book, "%s", text);
}

static struct stage *stage_of(struct device_runtime *runtime)
{
	return (struct stage *)(void *)runtime; /* its first member */
}

/* --- What the device asks of its runtime --------------------------------------------------------
 */

static void exclude_begin(struct device_runtime *runtime)
{
	assert(!stage_of(runtime)->excluded);
	stage_of(runtime)->excluded = 1;
}

static void exclude_end(struct device_runtime *runtime)
{
	assert(stage_of(runtime)->excluded);
	stage_of(runtime)->excluded = 0;
}

static void notify_queue(struct device_runtime *runtime, unsigned queue)
{
	stage_of(runtime)->queue_calls++;
	line(stage_of(runtime), "notify queue %u", queue);
}

static void notify_config(struct device_runtime *runtime)
{
	stage_of(runtime)->config_calls++;
	line(stage_of(runtime), "notify config");
}

static void wake_queue(struct device_runtime *runtime, unsigned queue)
{
	stage_of(runtime)->wake[queue] = true;
}

static void settle(struct device_runtime *runtime)
{
	assert(!stage_of(runtime)->excluded);
	stage_of(runtime)->settle = true;
	line(stage_of(runtime), "settle");
}

static void set_deadline(struct device_runtime *runtime, uint64_t at_ms)
{
	struct stage *stage = stage_of(runtime);

	if (stage->deadline == at_ms)
		return;
	stage->deadline = at_ms;
	if (at_ms)
		line(stage, "deadline %" PRIu64, at_ms);
	else
		line(stage, "no deadline");
}

static void queue_changed(struct device_runtime *runtime, unsigned queue, bool started)
{
	line(stage_of(runtime), "queue %u %s", queue, started ? "started" : "stopped");
}

static void forget(struct device_runtime *runtime, bool everything)
{
	line(stage_of(runtime), "forget %s", everything ? "everything" : "calls");
}

static const struct device_runtime_ops stage_ops = {
	.exclude_begin = exclude_begin,
	.exclude_end = exclude_end,
	.notify_queue = notify_queue,
	.notify_config = notify_config,
	.wake_queue = wake_queue,
	.settle = settle,
	.set_deadline = set_deadline,
	.queue_changed = queue_changed,
	.forget = forget,
};

static void model_says(void *arg, const char *text)
{
	line(arg, "%s", text);
}

/* --- Watching --------------------------------------------------------------------------------- */

void stage_begin(struct stage *stage)
{
	stage->watching = device_state(stage->device) == STATE_SUSPENDED;
	stage->calls_before = stage->queue_calls + stage->config_calls;
	if (stage->watching)
		ram_freeze(&stage->theatre->ram);
}

/* What the device did since stage_begin, if it stood still before and after. */
static void check(struct stage *stage)
{
	int64_t changed;

	if (!stage->watching || device_state(stage->device) != STATE_SUSPENDED)
		return;
	changed = ram_changed(&stage->theatre->ram);
	if (changed >= 0)
		line(stage, "VIOLATION: byte 0x%" PRIx64 " changed while suspended",
		     (uint64_t)changed);
	if (stage->calls_before != stage->queue_calls + stage->config_calls)
		line(stage, "VIOLATION: a notification while suspended");
}

static void read_used(struct stage *stage)
{
	struct theatre *t = stage->theatre;
	struct vq_used used;

	for (unsigned q = 0; q < stage->options.queues; q++)
		for (unsigned n = 0; n < t->vqs[q].num && vq_take_used(&t->vqs[q], &used); n++)
			line(stage, "used queue %u: %" PRIu64 ", %u bytes", q,
			     t->tags[q][used.id % 64], used.len);
}

/* One pass, or one settling, if any is due. */
static bool run_one(struct stage *stage)
{
	for (unsigned q = 0; q < stage->options.queues; q++) {
		if (!stage->wake[q])
			continue;
		stage->wake[q] = false;
		stage_begin(stage);
		stage->wake[q] |= device_run_queue(stage->device, q, 16);
		check(stage);
		return true;
	}
	if (!stage->settle)
		return false;
	stage->settle = false;
	stage_begin(stage);
	device_settle(stage->device);
	check(stage);
	return true;
}

void stage_run(struct stage *stage)
{
	unsigned limit = 1000;

	while (!stage->workers_off && run_one(stage))
		if (!--limit) {
			line(stage, "VIOLATION: it never comes to rest");
			break;
		}
	read_used(stage);
}

void stage_end(struct stage *stage)
{
	check(stage);
	stage_run(stage);
}

void stage_time(struct stage *stage, uint64_t until)
{
	while (stage->deadline && stage->deadline <= until) {
		uint64_t due = stage->deadline;

		stage->book->now = due > stage->book->now ? due : stage->book->now;
		stage_begin(stage);
		device_deadline(stage->device, stage->book->now);
		stage_end(stage);
		if (stage->deadline == due) {
			line(stage, "VIOLATION: the deadline does not go away");
			break;
		}
	}
	stage->book->now = until;
}

/* --- Theatre and stage ------------------------------------------------------------------------ */

void theatre_init(struct theatre *theatre, const struct stage_options *options)
{
	uint16_t num = options->num ? options->num : STAGE_NUM;
	uint64_t at;

	memset(theatre, 0, sizeof(*theatre));
	ram_init(&theatre->ram, options->kind, RAM_SIZE);
	at = theatre->ram.iova + 0x1000;
	for (unsigned q = 0; q < options->queues; q++)
		at = vq_init(&theatre->vqs[q], &theatre->ram, num, at);
	theatre->buffers = theatre->ram.iova + RAM_SIZE / 2;
}

void theatre_destroy(struct theatre *theatre)
{
	ram_destroy(&theatre->ram);
	for (unsigned q = 0; q < STAGE_QUEUES; q++)
		free(theatre->records[q]);
}

void stage_init(struct stage *stage, struct theatre *theatre, const struct stage_options *options)
{
	struct device_options wanted = {.name = options->name,
					.queue_size = 64,
					.asids = options->asids ? options->asids : 2,
					.no_suspend = options->no_suspend,
					.no_resume = options->no_resume,
					.suspend_timeout_ms = options->timeout_ms};
	int r;

	memset(stage, 0, sizeof(*stage));
	stage->host.ops = &stage_ops;
	stage->options = *options;
	if (!stage->options.num)
		stage->options.num = STAGE_NUM;
	stage->theatre = theatre;
	stage->book = &theatre->book;
	script_model_init(&stage->model, options->queues);
	stage->model.say = model_says;
	stage->model.say_arg = stage;
	r = device_new(&wanted, options->model ? options->model : &stage->model.model, &stage->host,
		       &stage->device, NULL);
	assert(r == 0);
	r = device_set_client(stage->device, &theatre->ram.memory);
	assert(r == 0);
}

void stage_destroy(struct stage *stage)
{
	stage->workers_off = false;
	while (stage->model.held_count && device_state(stage->device) != STATE_RESET)
		stage_finish(stage, stage->model.held[0].tag, NULL);
	stage_begin(stage);
	device_reset(stage->device, EV_DRIVER_GONE, stage->book->now, stage_done,
		     stage_done_arg(stage, "gone"));
	stage_end(stage);
	assert(device_state(stage->device) == STATE_RESET);
	device_free(stage->device);
	assert(stage->options.model ||
	       (stage->model.destroyed == 1 && stage->model.starts == stage->model.stops));
}

/* --- The driver ------------------------------------------------------------------------------- */

void *stage_done_arg(struct stage *stage, const char *words)
{
	struct stage_asked *asked = &stage->asked[stage->asked_count++ % STAGE_ASKED];

	asked->stage = stage;
	snprintf(asked->words, sizeof(asked->words), "%s", words);
	return asked;
}

void stage_done(void *arg, int result)
{
	struct stage_asked *asked = arg;

	asked->stage->answered++;
	asked->stage->answer = result;
	line(asked->stage, "%s: %s", asked->words, result ? strerrorname_np(-result) : "success");
}

void stage_map(struct stage *stage)
{
	struct ram *ram = &stage->theatre->ram;
	int r;

	stage_begin(stage);
	r = device_dma_map(stage->device, 0, ram->iova, ram->size, ram->uaddr, 3);
	assert(r == 0);
	stage_end(stage);
}

void stage_queue(struct stage *stage, unsigned queue, uint32_t base, bool ready)
{
	const struct vq *vq = &stage->theatre->vqs[queue];
	int r;

	r = device_set_vq_num(stage->device, queue, stage->options.num);
	assert(r == 0);
	r = device_set_vq_address(stage->device, queue, vq->desc, vq->avail, vq->used);
	assert(r == 0);
	r = device_set_vq_state(stage->device, queue, base);
	assert(r == 0);
	stage_begin(stage);
	if (ready)
		device_set_vq_ready(stage->device, queue, true, stage->book->now, stage_done,
				    stage_done_arg(stage, "ready"));
	stage_end(stage);
}

int stage_status(struct stage *stage, uint8_t status)
{
	int r;

	stage_begin(stage);
	r = device_set_status(stage->device, status, stage->book->now);
	stage_end(stage);
	return r;
}

void stage_up(struct stage *stage)
{
	int r;

	stage_map(stage);
	stage_status(stage, 1);
	stage_status(stage, 3);
	r = device_set_driver_features(stage->device, REQUIRED | stage->options.features);
	assert(r == 0);
	stage_status(stage, 0xb);
	for (unsigned q = 0; q < stage->options.queues; q++)
		stage_queue(stage, q, stage->theatre->vqs[q].next_used, true);
	stage_status(stage, 0xf);
}

void stage_record(struct stage *stage, unsigned queue)
{
	struct inflight_record **record = &stage->theatre->records[queue];
	int r;

	if (!*record) {
		*record = calloc(1, inflight_size(stage->options.num));
		assert(*record);
		inflight_clear(*record, stage->options.num);
	}
	r = device_set_vq_record(stage->device, queue, *record);
	assert(r == 0);
	device_set_export_rules(stage->device, EXPORT_SETS_QUEUES_ANY_TIME | EXPORT_MOVES_RECORDS);
}

void stage_post(struct theatre *theatre, unsigned queue, uint64_t tag, uint32_t writable)
{
	struct vq *vq = &theatre->vqs[queue];
	uint16_t head = (uint16_t)(2u * vq->next_avail % vq->num);
	uint64_t at = theatre->buffers + 1024u * (theatre->next_buffer++ % 64);

	memcpy(ram_at(&theatre->ram, at, 8), &tag, 8);
	vq_desc(vq, head, at, 8, writable ? D_NEXT : 0, (uint16_t)(head + 1));
	if (writable)
		vq_desc(vq, (uint16_t)(head + 1), at + 16, writable, D_WRITE, 0);
	theatre->tags[queue][head] = tag;
	vq_offer(vq, head);
}

void stage_kick(struct stage *stage, unsigned queue)
{
	stage_begin(stage);
	device_kick_vq(stage->device, queue);
	stage->wake[queue] = true;
	stage_end(stage);
}

void stage_finish(struct stage *stage, uint64_t tag, const char *refusal)
{
	int queue = script_model_finish(&stage->model, tag, refusal);

	assert(queue >= 0);
	stage->wake[queue] = true;
	stage_run(stage);
}
