/*
 * Plays a story: a file with a verb on the left and, behind a bar, what the log
 * has to say of it on the right, one line per entry, each with its time. The
 * log is the product's own life-cycle trace, what the device asks of its runtime,
 * what the model sees and what the driver finds in its used ring.
 *
 *     device queues=1 timeout=100     # first: what is on the stage
 *     submit 0 1                      | [0] take 1 of queue 0
 *     suspend driver                  | [0] RUNNING -> SUSPENDING (HOLD)
 *                                     | [0] deadline 100
 *
 * `device net` makes network cards; story_net.c has the verbs for them.
 *
 * story FILE plays it and shows where the log differs; story --copied FILE does
 * so with memory that can only be copied; story --print FILE writes the file as
 * it would have to be.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "story.h"
#include "util/log.h"
#include "wire/vhost.h"

#define LINES_MAX 600

void story_die(const struct play *play, const char *what)
{
	fprintf(stderr, "%s:%u: %s\n", play->path, play->line, what);
	exit(1);
}

const char *story_arg(const struct play *play, unsigned i)
{
	if (i >= play->words)
		story_die(play, "a word is missing");
	return play->word[i];
}

unsigned story_number(const struct play *play, unsigned i)
{
	return (unsigned)strtoul(story_arg(play, i), NULL, 0);
}

static unsigned queue_arg(const struct play *play, unsigned i)
{
	unsigned queue = story_number(play, i);

	if (queue >= play->options.queues)
		story_die(play, "no such queue");
	return queue;
}

void story_tell(struct play *play, const char *what, int result)
{
	const char *text = result < 0 ? strerrorname_np(-result) : "success";

	if (play->theatre.book.named)
		book_line(&play->theatre.book, "%s: %s: %s", play->on->options.name, what, text);
	else
		book_line(&play->theatre.book, "%s: %s", what, text);
}

static enum device_holder holder(const struct play *play)
{
	const char *who = story_arg(play, 1);

	return !strcmp(who, "driver")	  ? HOLDER_DRIVER
	       : !strcmp(who, "operator") ? HOLDER_OPERATOR
					  : HOLDER_UPGRADE;
}

/* --- Verbs ------------------------------------------------------------------------------------ */

static void do_up(struct play *play)
{
	size_t before = play->theatre.book.size;

	stage_up(play->on);
	play->theatre.book.size = before; /* the uneventful part */
	play->theatre.book.text[before] = '\0';
}

static void do_map(struct play *play)
{
	stage_map(play->on);
}

static void do_unmap(struct play *play)
{
	stage_begin(play->on);
	story_tell(play, "unmap", device_dma_unmap(play->on->device, 0, 0, 0));
	stage_end(play->on);
}

static void do_batch(struct play *play)
{
	stage_begin(play->on);
	device_dma_batch(play->on->device, !strcmp(story_arg(play, 1), "begin"));
	stage_end(play->on);
}

static void do_windows(struct play *play)
{
	book_line(&play->theatre.book, "windows: %u made, %u gone", play->theatre.ram.maps,
		  play->theatre.ram.unmaps);
}

static void do_status(struct play *play)
{
	story_tell(play, "status", stage_status(play->on, (uint8_t)story_number(play, 1)));
}

static void do_features(struct play *play)
{
	uint64_t required = (1ull << VIRTIO_F_VERSION_1) | (1ull << VIRTIO_F_ACCESS_PLATFORM);

	story_tell(play, "features",
		   device_set_driver_features(play->on->device, required | play->options.features));
}

static void do_queue(struct play *play)
{
	stage_queue(play->on, queue_arg(play, 1), story_number(play, 2), true);
}

/* The driver makes its ring anew, as after a reset. */
static void do_fresh(struct play *play)
{
	struct vq *vq = &play->theatre.vqs[queue_arg(play, 1)];

	vq_init(vq, &play->theatre.ram, vq->num, vq->desc);
}

static void do_post(struct play *play)
{
	stage_post(&play->theatre, queue_arg(play, 1), story_number(play, 2), 16);
}

static void do_kick(struct play *play)
{
	stage_kick(play->on, queue_arg(play, 1));
}

static void do_submit(struct play *play)
{
	do_post(play);
	do_kick(play);
}

static void do_nonsense(struct play *play)
{
	vq_announce(&play->theatre.vqs[queue_arg(play, 1)], 100);
	do_kick(play);
}

static void do_finish(struct play *play)
{
	stage_finish(play->on, story_number(play, 1), NULL);
}

static void do_refuse(struct play *play)
{
	stage_finish(play->on, story_number(play, 1), "no answer is possible");
}

static void do_suspend(struct play *play)
{
	char words[40];

	snprintf(words, sizeof(words), "suspend %s", story_arg(play, 1));
	stage_begin(play->on);
	device_suspend_or_park(play->on->device, holder(play), play->theatre.book.now,
			       play->words > 2 ? story_number(play, 2) : 0,
			       play->words > 3 && !strcmp(story_arg(play, 3), "park"), stage_done,
			       stage_done_arg(play->on, words));
	stage_end(play->on);
}

static void do_resume(struct play *play)
{
	int r;

	stage_begin(play->on);
	r = device_resume(play->on->device, holder(play));
	stage_end(play->on);
	story_tell(play, "resume", r);
}

static void do_reset(struct play *play)
{
	const char *who = story_arg(play, 1);
	enum device_event event = !strcmp(who, "driver") ? EV_DRIVER_RESET
				  : !strcmp(who, "gone") ? EV_DRIVER_GONE
							 : EV_OPERATOR_RESET;

	stage_begin(play->on);
	device_reset(play->on->device, event, play->theatre.book.now, stage_done,
		     stage_done_arg(play->on, "reset"));
	stage_end(play->on);
}

static void do_ready(struct play *play)
{
	bool ready = !strcmp(story_arg(play, 2), "on");

	stage_begin(play->on);
	device_set_vq_ready(play->on->device, queue_arg(play, 1), ready, play->theatre.book.now,
			    stage_done, stage_done_arg(play->on, ready ? "ready" : "not ready"));
	stage_end(play->on);
}

static void do_base(struct play *play)
{
	unsigned queue = queue_arg(play, 1);
	uint32_t base;

	stage_begin(play->on);
	device_get_vq_state(play->on->device, queue, &base);
	stage_end(play->on);
	book_line(&play->theatre.book, "base of queue %u: %u", queue, base);
}

static void do_set_base(struct play *play)
{
	int r;

	stage_begin(play->on);
	r = device_set_vq_state(play->on->device, queue_arg(play, 1), story_number(play, 2));
	stage_end(play->on);
	story_tell(play, "set-base", r);
}

static void do_resize(struct play *play)
{
	int r;

	stage_begin(play->on);
	r = device_resize(play->on->device, story_number(play, 1), NULL);
	stage_end(play->on);
	story_tell(play, "resize", r);
}

static void do_config(struct play *play)
{
	uint8_t config[SCRIPT_CONFIG_SIZE];
	uint64_t size;

	stage_begin(play->on);
	device_get_config(play->on->device, 0, config, sizeof(config));
	stage_end(play->on);
	memcpy(&size, config, sizeof(size));
	book_line(&play->theatre.book, "config: size %" PRIu64 ", bytes %u %u, generation %u", size,
		  config[8], config[9], device_get_generation(play->on->device));
}

static void do_write(struct play *play)
{
	uint8_t value = (uint8_t)story_number(play, 2);
	int r;

	stage_begin(play->on);
	r = device_set_config(play->on->device, story_number(play, 1), &value, 1);
	stage_end(play->on);
	story_tell(play, "write", r);
}

static void do_state(struct play *play)
{
	struct device *device = play->on->device;
	unsigned holders = device_holders(device);
	const char *why = device_broken_reason(device);

	book_line(&play->theatre.book, "%s, status 0x%x, held by%s%s%s, %u in flight%s%s",
		  lifecycle_state_name(device_state(device)), device_get_status(device),
		  holders & HOLDER_DRIVER ? " driver" : "",
		  holders & HOLDER_OPERATOR ? " operator" : "", holders ? "" : " nobody",
		  device_in_flight(device), *why ? ": " : "", why);
}

static void do_wait(struct play *play)
{
	stage_time(play->on, play->theatre.book.now + story_number(play, 1));
}

static void do_workers(struct play *play)
{
	play->on->workers_off = !strcmp(story_arg(play, 1), "off");
	stage_run(play->on);
}

/* One pass by hand, taking at most so many. */
static void do_pass(struct play *play)
{
	unsigned queue = queue_arg(play, 1);

	stage_begin(play->on);
	play->on->wake[queue] |= device_run_queue(play->on->device, queue, story_number(play, 2));
	stage_end(play->on);
}

static void do_cannot_start(struct play *play)
{
	play->on->model.bad_start |= 1u << queue_arg(play, 1);
}

static void do_lost(struct play *play)
{
	play->theatre.ram.memory.lost = true;
}

static const struct story_verb verbs[] = {
	{"up", do_up},
	{"map", do_map},
	{"unmap", do_unmap},
	{"batch", do_batch},
	{"windows", do_windows},
	{"status", do_status},
	{"features", do_features},
	{"queue", do_queue},
	{"post", do_post},
	{"kick", do_kick},
	{"submit", do_submit},
	{"nonsense", do_nonsense},
	{"finish", do_finish},
	{"refuse", do_refuse},
	{"suspend", do_suspend},
	{"resume", do_resume},
	{"reset", do_reset},
	{"ready", do_ready},
	{"base", do_base},
	{"set-base", do_set_base},
	{"resize", do_resize},
	{"config", do_config},
	{"write", do_write},
	{"state", do_state},
	{"wait", do_wait},
	{"workers", do_workers},
	{"pass", do_pass},
	{"cannot-start", do_cannot_start},
	{"lost", do_lost},
	{"fresh", do_fresh},
	{NULL, NULL},
};

/* --- The play --------------------------------------------------------------------------------- */

static void device_says(enum log_level level, const char *text, void *data)
{
	struct play *play = data;

	text += strlen("uvdpa: ");
	if (!play->theatre.book.named)
		text = strchr(text, ' ') + 1; /* behind "NAME: " */
	book_line(&play->theatre.book, "%s", text);
}

static void option(struct play *play, const char *word)
{
	struct stage_options *o = &play->options;

	if (!strncmp(word, "queues=", 7))
		o->queues = (unsigned)atol(word + 7);
	else if (!strncmp(word, "timeout=", 8))
		o->timeout_ms = (uint32_t)atol(word + 8);
	else if (!strcmp(word, "memory=copied"))
		o->kind = RAM_COPIED;
	else if (!strcmp(word, "memory=mixed"))
		o->kind = RAM_MIXED;
	else if (!strcmp(word, "event_idx"))
		o->features |= 1ull << VIRTIO_RING_F_EVENT_IDX;
	else if (!strcmp(word, "suspend=off"))
		o->no_suspend = true;
	else if (!strcmp(word, "resume=off"))
		o->no_resume = true;
	else if (!strcmp(word, "net"))
		play->net = true, o->queues = 3;
	else if (!strncmp(word, "features=", 9))
		o->features |= strtoull(word + 9, NULL, 0);
	else if (!strcmp(word, "pair"))
		play->stage_count = 2;
	else
		story_die(play, "no such option");
}

static void raise_curtain(struct play *play)
{
	static const char *const names[] = {"A", "B"};

	play->options = (struct stage_options){.queues = 1, .timeout_ms = 1000};
	play->stage_count = 1;
	for (unsigned i = 1; i < play->words; i++)
		option(play, play->word[i]);
	if (play->copied)
		play->options.kind = RAM_COPIED;
	theatre_init(&play->theatre, &play->options);
	play->theatre.book.named = play->stage_count > 1;
	for (unsigned i = 0; i < play->stage_count; i++) {
		play->options.name = names[i];
		if (play->net)
			play->options.model = story_net_model(play, i);
		stage_init(&play->stages[i], &play->theatre, &play->options);
	}
	log_set_level(LOG_LEVEL_TRACE);
	log_set_sink(device_says, play);
}

static const struct story_verb *find_verb(const struct story_verb *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

static void run_verb(struct play *play)
{
	const struct story_verb *verb = NULL;

	play->on = &play->stages[0];
	if (!strcmp(play->word[0], "B:") && play->stage_count > 1) {
		play->on = &play->stages[1];
		memmove(play->word, play->word + 1, --play->words * sizeof(play->word[0]));
	}
	if (play->net)
		verb = find_verb(story_net_verbs, story_arg(play, 0));
	if (!verb)
		verb = find_verb(verbs, story_arg(play, 0));
	if (!verb)
		verb = find_verb(story_park_verbs, story_arg(play, 0));
	if (!verb)
		story_die(play, "no such verb");
	else
		verb->run(play);
}

static void split_words(struct play *play, char *text)
{
	char *save, *word;

	play->words = 0;
	for (word = strtok_r(text, " \t\n", &save); word; word = strtok_r(NULL, " \t\n", &save))
		if (play->words < WORDS_MAX)
			play->word[play->words++] = word;
}

/* A line of the file: what to do, and what the log should say. Both may be empty. */
struct row {
	char left[400], right[400];
	bool comment;
};

static void parse_row(struct row *row, char *text)
{
	char *bar = strchr(text, '|');

	memset(row, 0, sizeof(*row));
	text[strcspn(text, "\n")] = '\0';
	row->comment = text[0] == '#' || text[0] == '\0';
	if (bar && !row->comment) {
		*bar = '\0';
		snprintf(row->right, sizeof(row->right), "%s", bar + 1 + strspn(bar + 1, " "));
	}
	snprintf(row->left, sizeof(row->left), "%s", text);
	for (size_t n = strlen(row->left); n && row->left[n - 1] == ' '; n--)
		row->left[n - 1] = '\0';
}

/* Compares what the book says since `from` with the right side of rows; prints, or complains. */
static void compare(struct play *play, const struct row *rows, unsigned count, size_t from)
{
	char *save, *is = strtok_r(play->theatre.book.text + from, "\n", &save);

	for (unsigned i = 0; i < count || is; i++) {
		const char *should = i < count ? rows[i].right : "";
		const char *left = i < count ? rows[i].left : "";

		if (play->print && (is || !i))
			printf(is ? "%-24s| %s\n" : "%s\n", i ? "" : left, is);
		else if (!play->print && strcmp(is ? is : "", should)) {
			fprintf(stderr, "%s:%u: the log is\n    %s\nand not\n    %s\n", play->path,
				play->line + i, is ? is : "(nothing)", should);
			play->failed = true;
		}
		is = is ? strtok_r(NULL, "\n", &save) : NULL;
	}
}

static void play_rows(struct play *play, const struct row *rows, unsigned count)
{
	for (unsigned i = 0, n; i < count; i += n) {
		char words[400];
		size_t from;

		play->line = i + 1;
		for (n = 1; i + n < count && !rows[i + n].left[0] && !rows[i + n].comment;)
			n++;
		if (rows[i].comment) {
			if (play->print)
				printf("%s\n", rows[i].left);
			n = 1;
			continue;
		}
		snprintf(words, sizeof(words), "%s", rows[i].left);
		split_words(play, words);
		play->theatre.book.size = from = 0;
		play->theatre.book.text[0] = '\0';
		if (!play->stage_count) {
			if (strcmp(story_arg(play, 0), "device"))
				story_die(play, "a story begins with `device`");
			raise_curtain(play);
		} else {
			run_verb(play);
		}
		compare(play, rows + i, n, from);
	}
}

int main(int argc, char **argv)
{
	static struct play play;
	static struct row rows[LINES_MAX];
	char text[400];
	unsigned count = 0;
	FILE *file;

	play.print = argc == 3 && !strcmp(argv[1], "--print");
	play.path = argv[argc - 1];
	play.copied = argc == 3 && !strcmp(argv[1], "--copied");
	file = argc == 2 || play.print || play.copied ? fopen(play.path, "r") : NULL;
	if (!file) {
		fprintf(stderr, "usage: story [--print | --copied] FILE\n");
		return 2;
	}
	while (count < LINES_MAX && fgets(text, sizeof(text), file))
		parse_row(&rows[count++], text);
	fclose(file);
	play_rows(&play, rows, count);
	log_set_sink(NULL, NULL);
	log_set_level(LOG_LEVEL_ERROR);
	for (unsigned i = 0; i < play.stage_count; i++)
		stage_destroy(&play.stages[i]);
	theatre_destroy(&play.theatre);
	if (!play.stage_count) {
		fprintf(stderr, "%s: nothing was played\n", play.path);
		return 1;
	}
	return play.failed;
}
