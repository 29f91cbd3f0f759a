/*
 * Stories of requests that are handed over in flight.
 *
 *     gives-back on       the backend gives everything back undone when it is asked to
 *     gives-back 1        ... this one only
 *     record 0            queue 0, which is not ready, gets its record, which moves along
 *     stop 0              as a vhost-user front end stops a ring
 *     save, restore       the state of a device into another
 *
 * `suspend operator 100 park` is an operator's suspension that may park.
 */
#include "device/state.h"
#include "story.h"

#include <stdlib.h>
#include <string.h>

static struct device_snapshot snapshot;

static void do_gives_back(struct play *play)
{
	struct script_model *model = &play->on->model;

	if (!strcmp(story_arg(play, 1), "on")) {
		model->gives_back = true;
		return;
	}
	for (unsigned i = 0; i < model->held_count; i++)
		if (model->held[i].tag == story_number(play, 1))
			model->held[i].yields = true;
}

static void do_record(struct play *play)
{
	stage_record(play->on, story_number(play, 1) % STAGE_QUEUES);
}

static void do_stop(struct play *play)
{
	stage_begin(play->on);
	device_stop_vq(play->on->device, story_number(play, 1) % play->options.queues,
		       play->theatre.book.now, stage_done, stage_done_arg(play->on, "stop"));
	stage_end(play->on);
}

static void do_save(struct play *play)
{
	story_tell(play, "save", device_save(play->on->device, &snapshot, NULL));
}

static void do_restore(struct play *play)
{
	story_tell(play, "restore", device_restore(play->on->device, &snapshot, NULL));
}

const struct story_verb story_park_verbs[] = {
	{"gives-back", do_gives_back}, {"record", do_record}, {"stop", do_stop}, {"save", do_save},
	{"restore", do_restore},       {NULL, NULL},
};
