/*
 * Every cell of the life-cycle table on a real device: it is brought to each
 * state by a driver's and an operator's verbs, gets each event, and must be
 * where the table says, with chains taken in RUNNING and nowhere else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/stage.h"

#define SUSPENSION 1000 /* ms */

struct bench {
	struct theatre theatre;
	struct stage stage;
};

static const struct stage_options options = {
	.name = "walk", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = SUSPENSION};

static void suspend(struct stage *stage)
{
	stage_begin(stage);
	device_suspend(stage->device, HOLDER_DRIVER, stage->book->now, 0, stage_done,
		       stage_done_arg(stage, "suspend"));
	stage_end(stage);
}

static void reset(struct stage *stage, enum device_event event)
{
	stage_begin(stage);
	device_reset(stage->device, event, stage->book->now, stage_done,
		     stage_done_arg(stage, "reset"));
	stage_end(stage);
}

static void nonsense(struct bench *b)
{
	struct vq *vq = &b->theatre.vqs[0];

	vq_announce(vq, (uint16_t)(vq->next_avail + 100));
	stage_kick(&b->stage, 0);
}

/* Brings a new device to a state. `busy`: with a request in flight, where that is possible. */
static void reach(struct bench *b, enum device_state state, bool busy)
{
	struct stage *stage = &b->stage;

	if (state == STATE_RESET)
		return;
	if (state == STATE_NEGOTIATING || state == STATE_READY) {
		stage_map(stage);
		stage_status(stage, 3);
		for (unsigned q = 0; q < options.queues; q++)
			stage_queue(stage, q, 0, true);
		if (state == STATE_READY)
			stage_status(stage, 0xb);
		return;
	}
	stage_up(stage);
	if (busy || state == STATE_SUSPENDING || state == STATE_RESETTING) {
		stage_post(&b->theatre, 1, 7, 16);
		stage_kick(stage, 1);
	}
	if (state == STATE_SUSPENDING || state == STATE_SUSPENDED)
		suspend(stage);
	if (state == STATE_RESETTING)
		reset(stage, EV_DRIVER_RESET);
	if (state == STATE_BROKEN)
		nonsense(b);
}

static void take(struct bench *b, enum device_event event)
{
	struct stage *stage = &b->stage;

	switch (event) {
	case EV_NEGOTIATE:
		stage_status(stage, 3 | device_get_status(stage->device));
		break;
	case EV_FEATURES_OK:
		stage_status(stage, 0xb | device_get_status(stage->device));
		break;
	case EV_DRIVER_OK:
		stage_status(stage, 0xf | device_get_status(stage->device));
		break;
	case EV_HOLD:
		stage_begin(stage);
		device_suspend(stage->device, HOLDER_OPERATOR, stage->book->now, 5000, stage_done,
			       stage_done_arg(stage, "hold"));
		stage_end(stage);
		break;
	case EV_RELEASE:
		stage_begin(stage);
		device_resume(stage->device, HOLDER_DRIVER);
		stage_end(stage);
		break;
	case EV_DRAINED:
		if (stage->model.held_count)
			stage_finish(stage, 7, NULL);
		break;
	case EV_PARK: /* nobody asked for it: it does not come */
		stage_time(stage, stage->book->now + SUSPENSION / 2);
		break;
	case EV_DEADLINE:
		stage_time(stage, stage->book->now + SUSPENSION);
		break;
	case EV_BREAK:
		nonsense(b);
		break;
	default:
		reset(stage, event);
	}
}

/* Where the table leads, and what follows from it at once. */
static enum device_state follow(enum device_state state, enum device_event event, bool in_flight)
{
	enum device_state next = lifecycle_step(state, event).next;

	/* SET_STATUS cannot take bits back, so that these are DRIVER_OK again. */
	if ((event == EV_NEGOTIATE || event == EV_FEATURES_OK) && state >= STATE_RUNNING)
		next = lifecycle_step(state, EV_DRIVER_OK).next;
	if (event == EV_NEGOTIATE && state == STATE_READY)
		next = STATE_READY;
	/* A closed ring is not looked at: no nonsense is found in it. */
	if (event == EV_BREAK && state != STATE_RUNNING)
		next = state;
	/* Not every device has a queue that could be reset alone: there is no verb for it. */
	if (!in_flight && (next == STATE_SUSPENDING || next == STATE_RESETTING))
		next = lifecycle_step(next, EV_DRAINED).next;
	return next;
}

/* A request is taken now if and only if the device runs (with a queue: RESET had none). */
static void probe(struct bench *b)
{
	struct stage *stage = &b->stage;
	unsigned held = stage->model.held_count;
	bool runs = device_state(stage->device) == STATE_RUNNING &&
		    device_get_vq_ready(stage->device, 1);

	stage_post(&b->theatre, 1, 99, 16);
	stage_kick(stage, 1);
	assert_int_equal(stage->model.held_count, held + runs);
	assert_null(strstr(b->theatre.book.text, "VIOLATION"));
}

static void walk(enum device_state state, enum device_event event, bool busy)
{
	struct bench *b = calloc(1, sizeof(*b));
	enum device_state is, should;
	bool in_flight;

	assert_non_null(b);
	theatre_init(&b->theatre, &options);
	stage_init(&b->stage, &b->theatre, &options);
	reach(b, state, busy);
	assert_int_equal(device_state(b->stage.device), state);
	in_flight = device_in_flight(b->stage.device) && event != EV_DRAINED;
	should = follow(state, event, in_flight);
	take(b, event);
	is = device_state(b->stage.device);
	if (is != should)
		fail_msg("%s, %s: is %s, not %s\n%s", lifecycle_state_name(state),
			 lifecycle_event_name(event), lifecycle_state_name(is),
			 lifecycle_state_name(should), b->theatre.book.text);
	probe(b);
	if (device_holders(b->stage.device) & HOLDER_OPERATOR)
		device_resume(b->stage.device, HOLDER_OPERATOR);
	stage_destroy(&b->stage);
	theatre_destroy(&b->theatre);
	free(b);
}

static void every_cell(void **unused)
{
	for (enum device_state s = 0; s < STATE_COUNT; s++)
		for (enum device_event e = 0; e < EV_COUNT; e++)
			walk(s, e, false);
}

static void every_cell_with_work(void **unused)
{
	static const enum device_state can[] = {STATE_RUNNING, STATE_SUSPENDING, STATE_RESETTING,
						STATE_BROKEN};

	for (unsigned i = 0; i < sizeof(can) / sizeof(can[0]); i++)
		for (enum device_event e = 0; e < EV_COUNT; e++)
			walk(can[i], e, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell),
		cmocka_unit_test(every_cell_with_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
