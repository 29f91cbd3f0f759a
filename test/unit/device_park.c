/*
 * Parking (S3): what a slow backend gives back is handed over in flight and done again in order, by
 * the same device or by another; what it does not give back is not.
 */
#include <errno.h>

#include "device/state.h"
#include "lib/bench.h"
#include "ring/inflight.h"

static const struct stage_options first = {
	.name = "dev", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000, .num = 32};
static const struct stage_options second = {
	.name = "next", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000, .num = 32};

static struct device_snapshot snapshot;

static void suspend(struct bench *b, enum device_holder holder, bool park)
{
	stage_begin(&b->stage);
	device_suspend_or_park(b->stage.device, holder, b->theatre.book.now, 100, park, stage_done,
			       stage_done_arg(&b->stage, "suspend"));
	stage_end(&b->stage);
}

static uint32_t base_of(struct stage *stage, unsigned queue)
{
	uint32_t base;

	assert_int_equal(device_get_vq_state(stage->device, queue, &base), 0);
	return base;
}

static void held(struct stage *stage, unsigned count, const uint64_t *tags)
{
	assert_int_equal(stage->model.held_count, count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(stage->model.held[i].tag, tags[i]);
}

static void finish_all(struct stage *stage)
{
	while (stage->model.held_count)
		stage_finish(stage, stage->model.held[0].tag, NULL);
}

static struct bench *start(bool gives_back)
{
	struct bench *b = bench_new(&first);

	stage_up(&b->stage);
	b->stage.model.gives_back = gives_back;
	for (unsigned tag = 1; tag <= 4; tag++)
		bench_submit(b, 0, tag);
	bench_submit(b, 1, 5);
	stage_finish(&b->stage, 2, NULL); /* out of order */
	return b;
}

/* Half of the time is given to the backend; then all that it has comes back. Done again at resume.
 */
static void parks_and_resumes(void **state)
{
	struct bench *b = start(true);
	struct error f;

	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 49);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDING);
	stage_finish(&b->stage, 3, NULL);
	stage_time(&b->stage, 50);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(b->stage.model.held_count, 0);
	assert_int_equal(base_of(&b->stage, 0), 4);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 2);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	assert_int_equal(snapshot.queues[0].in_flight_count, 2);
	assert_int_equal(snapshot.queues[1].in_flight_count, 1);
	/* the driver, which does not know of them, is not to move on */
	suspend(b, HOLDER_DRIVER, false);
	assert_int_equal(b->stage.answer, -EBUSY);
	bench_resume(b, HOLDER_OPERATOR);
	held(&b->stage, 3, (const uint64_t[]){1, 4, 5});
	finish_all(&b->stage);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 4);
	assert_int_equal(vq_used_index(&b->theatre.vqs[1]), 1);
	suspend(b, HOLDER_DRIVER, false);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	assert_int_equal(snapshot.queues[0].in_flight_count, 0);
	bench_free(b);
}

/* Parked twice in a row, the order of submission stays; new requests come behind. */
static void parks_again(void **state)
{
	struct bench *b = start(true);

	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 60);
	bench_resume(b, HOLDER_OPERATOR);
	bench_submit(b, 0, 6);
	held(&b->stage, 5, (const uint64_t[]){1, 3, 4, 5, 6});
	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 120);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_int_equal(base_of(&b->stage, 0), 5);
	stage_post(&b->theatre, 0, 7, 16); /* while suspended: not taken */
	stage_kick(&b->stage, 0);
	assert_int_equal(b->stage.model.held_count, 0);
	bench_resume(b, HOLDER_OPERATOR);
	held(&b->stage, 6, (const uint64_t[]){1, 3, 4, 6, 7, 5});
	finish_all(&b->stage);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 6);
	bench_free(b);
}

/* The hand-over: saved here, restored there, done there. */
static void moves(void **state)
{
	struct bench *b = start(true);
	struct vq *vqs = b->theatre.vqs;
	struct stage next;
	struct error f;

	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 60);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	stage_init(&next, &b->theatre, &second);
	assert_int_equal(device_restore(next.device, &snapshot, &f), 0);
	stage_map(&next);
	stage_status(&next, 3);
	assert_int_equal(device_set_driver_features(next.device, 1ull << 32 | 1ull << 33), 0);
	stage_status(&next, 0xb);
	stage_queue(&next, 0, 4, true);
	stage_queue(&next, 1, 1, true);
	stage_status(&next, 0xf);
	held(&next, 4, (const uint64_t[]){1, 3, 4, 5});
	finish_all(&next);
	assert_int_equal(vq_used_index(&vqs[0]), 4);
	assert_int_equal(vq_used_index(&vqs[1]), 1);
	/* here they are the driver's no more: whoever resumes it all the same is told, and no harm
	 * done */
	b->stage.model.gives_back = false;
	bench_resume(b, HOLDER_OPERATOR);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "used index"));
	assert_int_equal(b->stage.model.held_count, 0);
	stage_destroy(&next);
	bench_free(b);
}

/* We hear of both times at once: what is given back at once still counts, and then it is over. */
static void parks_late(void **state)
{
	struct bench *b = start(true);

	suspend(b, HOLDER_OPERATOR, true);
	b->theatre.book.now = 5000;
	stage_begin(&b->stage);
	device_deadline(b->stage.device, 5000);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDING);
	assert_int_equal(b->stage.deadline, 100);
	stage_end(&b->stage);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_int_equal(b->stage.answer, 0);
	bench_resume(b, HOLDER_OPERATOR);
	b->stage.model.gives_back = false;
	suspend(b, HOLDER_OPERATOR, true);
	b->theatre.book.now = 10000;
	stage_begin(&b->stage);
	device_deadline(b->stage.device, 10000);
	device_deadline(b->stage.device, 10000);
	stage_end(&b->stage);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	bench_free(b);
}

/* S10: some do not come back. The device runs on and does again what did, and only that. */
static void fails(void **state)
{
	struct bench *b = start(false);

	suspend(b, HOLDER_OPERATOR, true);
	b->stage.model.held[0].cancelled = true; /* 1 alone can be given back */
	b->stage.model.held[0].finished = true;
	stage_time(&b->stage, 50);
	assert_int_equal(b->stage.model.cancels, 2);
	held(&b->stage, 3, (const uint64_t[]){3, 4, 5});
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDING);
	stage_time(&b->stage, 100);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	held(&b->stage, 4, (const uint64_t[]){3, 4, 5, 1});
	/* 4 comes back undone only now: it is taken again, too */
	b->stage.model.held[1].cancelled = true;
	stage_finish(&b->stage, 4, NULL);
	held(&b->stage, 4, (const uint64_t[]){3, 5, 1, 4});
	finish_all(&b->stage);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 4);
	suspend(b, HOLDER_OPERATOR, true);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(base_of(&b->stage, 0), 4);
	bench_free(b);
}

/* A late one that comes back undone while a driver's suspend drains is done before that is over. */
static void late(void **state)
{
	struct bench *b = start(false);

	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 100);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	suspend(b, HOLDER_DRIVER, false);
	held(&b->stage, 4, (const uint64_t[]){1, 3, 4, 5});
	for (unsigned i = 0; i < 4; i++)
		b->stage.model.held[i].cancelled = true;
	stage_finish(&b->stage, 3, NULL);
	stage_finish(&b->stage, 1, NULL);
	held(&b->stage, 4, (const uint64_t[]){4, 5, 3, 1});
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDING);
	for (unsigned i = 0; i < 4; i++)
		b->stage.model.held[i].cancelled = false;
	finish_all(&b->stage);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 4);
	assert_int_equal(base_of(&b->stage, 0), 4);
	bench_free(b);
}

/* Without being asked for, or with a driver that waits as well, nothing is parked. */
static void not_for_everybody(void **state)
{
	struct bench *b = start(true);

	suspend(b, HOLDER_OPERATOR, false);
	stage_time(&b->stage, 99);
	assert_int_equal(b->stage.model.cancels, 0);
	stage_time(&b->stage, 100);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	suspend(b, HOLDER_DRIVER, false);
	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 199);
	assert_int_equal(b->stage.model.cancels, 0);
	stage_time(&b->stage, 200);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	held(&b->stage, 4, (const uint64_t[]){1, 3, 4, 5});
	bench_free(b);
}

/* A reset forgets parked requests, as all that was in flight (S13). */
static void reset_while_parked(void **state)
{
	struct bench *b = start(true);
	struct error f;

	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 60);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_state(b->stage.device), STATE_RESET);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	assert_int_equal(snapshot.queues[0].in_flight_count, 0);
	bench_free(b);
}

/* --- One queue is stopped for somebody who can be told that it does not (device_stop_vq) -------
 */

static struct inflight_record **records; /* the theatre's */

/* As a vhost-user front end has it that takes the records along, or does not. */
static struct bench *start_recorded(unsigned rules)
{
	struct bench *b = bench_new(&first);

	stage_up(&b->stage);
	records = b->theatre.records;
	for (unsigned q = 0; q < 2; q++) {
		bench_ready(b, q, false);
		stage_record(&b->stage, q);
		bench_ready(b, q, true);
	}
	device_set_export_rules(b->stage.device, EXPORT_SETS_QUEUES_ANY_TIME | rules);
	for (unsigned tag = 1; tag <= 4; tag++)
		bench_submit(b, 0, tag);
	bench_submit(b, 1, 5);
	stage_finish(&b->stage, 2, NULL); /* out of order */
	return b;
}

static void stop(struct bench *b, unsigned queue)
{
	stage_begin(&b->stage);
	device_stop_vq(b->stage.device, queue, b->theatre.book.now, stage_done,
		       stage_done_arg(&b->stage, "stop"));
	stage_end(&b->stage);
}

static unsigned recorded(unsigned queue)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 32; i++)
		n += records[queue]->desc[i].inflight;
	return n;
}

/* The other queue runs on; what was parked is in the record, and whoever has it does it again. */
static void stops_parked(void **state)
{
	struct bench *b = start_recorded(EXPORT_MOVES_RECORDS);
	struct stage next;

	b->stage.model.gives_back = true;
	stop(b, 0);
	stage_time(&b->stage, 499);
	assert_int_equal(b->stage.model.cancels, 0);
	stage_time(&b->stage, 500);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(b->stage.model.cancels, 1);
	assert_false(device_get_vq_ready(b->stage.device, 0));
	assert_int_equal(base_of(&b->stage, 0), 4);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 1);
	assert_int_equal(recorded(0), 3);
	held(&b->stage, 1, (const uint64_t[]){5});
	stop(b, 1);
	stage_time(&b->stage, 1000);
	assert_int_equal(recorded(1), 1);
	/* and now the whole device, as when the last ring of a front end has stopped */
	suspend(b, HOLDER_DRIVER, false);
	assert_int_equal(b->stage.answer, 0);

	stage_init(&next, &b->theatre, &second);
	stage_map(&next);
	stage_status(&next, 3);
	assert_int_equal(device_set_driver_features(next.device, 1ull << 32 | 1ull << 33), 0);
	stage_status(&next, 0xb);
	for (unsigned q = 0; q < 2; q++)
		assert_int_equal(device_set_vq_record(next.device, q, records[q]), 0);
	stage_queue(&next, 0, 4, true);
	stage_queue(&next, 1, 1, true);
	stage_status(&next, 0xf);
	held(&next, 4, (const uint64_t[]){1, 3, 4, 5});
	finish_all(&next);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 4);
	assert_int_equal(recorded(0) + recorded(1), 0);
	stage_destroy(&next);
	bench_free(b);
}

/* The same device goes on: from the record, not from what it remembers itself. */
static void stops_and_starts(void **state)
{
	struct bench *b = start_recorded(EXPORT_MOVES_RECORDS);

	b->stage.model.gives_back = true;
	stop(b, 0);
	stage_time(&b->stage, 500);
	assert_int_equal(b->stage.answer, 0);
	bench_ready(b, 0, true);
	held(&b->stage, 4, (const uint64_t[]){5, 1, 3, 4});
	stop(b, 0);
	stage_time(&b->stage, 1000);
	assert_int_equal(recorded(0), 3);
	/* the driver has reset its side, and the front end its record: nothing comes of itself */
	inflight_clear(records[0], 32);
	vq_start_at(&b->theatre.vqs[0], 0);
	bench_ready(b, 0, true);
	held(&b->stage, 1, (const uint64_t[]){5});
	bench_free(b);
}

/* S10: some do not come back. The queue runs on as before and does again what did. */
static void stop_fails(void **state)
{
	struct bench *b = start_recorded(EXPORT_MOVES_RECORDS);

	stop(b, 0);
	b->stage.model.held[0].cancelled = true; /* 1 alone can be given back */
	b->stage.model.held[0].finished = true;
	stage_time(&b->stage, 999);
	held(&b->stage, 3, (const uint64_t[]){3, 4, 5});
	stage_time(&b->stage, 1000);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	assert_true(device_get_vq_ready(b->stage.device, 0));
	held(&b->stage, 4, (const uint64_t[]){3, 4, 5, 1});
	bench_submit(b, 0, 6);
	finish_all(&b->stage);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 5);
	assert_int_equal(recorded(0), 0);
	stop(b, 0);
	assert_int_equal(b->stage.answer, 0);
	bench_free(b);
}

/* Nobody takes the record along: the requests are waited for, and at the deadline it runs on. */
static void stop_without_record(void **state)
{
	struct bench *b = start_recorded(0);

	b->stage.model.gives_back = true;
	stop(b, 0);
	suspend(b, HOLDER_OPERATOR, true); /* who may not park now, either */
	stage_time(&b->stage, 99);
	assert_int_equal(b->stage.model.cancels, 0);
	stage_time(&b->stage, 1000);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	assert_int_equal(b->stage.model.cancels, 0);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	held(&b->stage, 4, (const uint64_t[]){1, 3, 4, 5});
	/* parked for an operator, they are not the driver's to go on without */
	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 1100);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	stop(b, 0);
	assert_int_equal(b->stage.answer, -EBUSY);
	assert_true(device_get_vq_ready(b->stage.device, 0));
	bench_resume(b, HOLDER_OPERATOR);
	held(&b->stage, 4, (const uint64_t[]){1, 3, 4, 5});
	bench_free(b);
}

/* An operator suspends while a queue is being stopped, and the other way round. */
static void stop_and_suspend(void **state)
{
	struct bench *b = start_recorded(EXPORT_MOVES_RECORDS);

	stop(b, 0);
	suspend(b, HOLDER_OPERATOR, false);
	stage_time(&b->stage, 99);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDING);
	stage_time(&b->stage, 100);
	assert_int_equal(b->stage.answer, -ETIMEDOUT);
	stage_finish(&b->stage, 3, NULL);
	suspend(b, HOLDER_OPERATOR, true);
	b->stage.model.gives_back = true;
	stage_time(&b->stage, 150);
	assert_int_equal(device_state(b->stage.device), STATE_SUSPENDED);
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(base_of(&b->stage, 0), 4);
	stop(b, 1); /* its requests are parked already, and recorded */
	assert_int_equal(b->stage.answer, 0);
	assert_int_equal(recorded(0) + recorded(1), 3);
	bench_free(b);
}

/* The device breaks, or is reset, while a queue is being stopped. */
static void stop_and_trouble(void **state)
{
	struct bench *b = start_recorded(EXPORT_MOVES_RECORDS);

	stop(b, 0);
	vq_announce(&b->theatre.vqs[1], 100);
	stage_kick(&b->stage, 1);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	stage_time(&b->stage, 1000);
	assert_int_equal(b->stage.answer, -EIO);
	finish_all(&b->stage);
	bench_reset(b, EV_DRIVER_RESET);
	assert_int_equal(device_state(b->stage.device), STATE_RESET);
	bench_free(b);
	b = start_recorded(EXPORT_MOVES_RECORDS);
	stop(b, 0);
	bench_reset(b, EV_DRIVER_RESET);
	finish_all(&b->stage);
	assert_int_equal(device_state(b->stage.device), STATE_RESET);
	bench_free(b);
}

static struct bench *start_small(void)
{
	struct stage_options options = first;
	struct bench *b;

	options.num = 4;
	b = bench_new(&options);
	stage_up(&b->stage);
	b->stage.model.gives_back = true;
	return b;
}

/*
 * SET_VRING_NUM is taken at any time and counts when the queue is next made ready (as in the
 * kernel's simulator). A driver that has chains in flight more often than its ring has entries is
 * caught by the ring's.
 */
static void num_while_running(void **state)
{
	struct bench *b = start_small();

	assert_int_equal(device_set_vq_num(b->stage.device, 0, 16), 0);
	for (uint16_t i = 0; i < 8; i++) {
		vq_desc(&b->theatre.vqs[0], i % 4, b->theatre.buffers, 8, 0, 0);
		vq_offer(&b->theatre.vqs[0], i % 4);
		stage_kick(&b->stage, 0);
	}
	assert_int_equal(b->stage.model.held_count, 8);
	suspend(b, HOLDER_OPERATOR, true);
	stage_time(&b->stage, 50);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "more chains in flight"));
	bench_free(b);
}

static void num_while_suspended(void **state)
{
	struct bench *b = start_small();
	struct error f;

	for (unsigned tag = 1; tag <= 3; tag++)
		bench_submit(b, 0, tag);
	finish_all(&b->stage);
	suspend(b, HOLDER_DRIVER, false);
	assert_int_equal(device_set_vq_num(b->stage.device, 0, 16), 0);
	assert_int_equal(device_save(b->stage.device, &snapshot, &f), 0);
	assert_int_equal(snapshot.queues[0].size, 4);
	bench_resume(b, HOLDER_DRIVER);
	for (unsigned tag = 4; tag <= 6; tag++)
		bench_submit(b, 0, tag);
	held(&b->stage, 3, (const uint64_t[]){4, 5, 6});
	finish_all(&b->stage);
	assert_int_equal(vq_used_index(&b->theatre.vqs[0]), 6);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parks_and_resumes),
		cmocka_unit_test(parks_again),
		cmocka_unit_test(moves),
		cmocka_unit_test(parks_late),
		cmocka_unit_test(fails),
		cmocka_unit_test(late),
		cmocka_unit_test(not_for_everybody),
		cmocka_unit_test(reset_while_parked),
		cmocka_unit_test(stops_parked),
		cmocka_unit_test(stops_and_starts),
		cmocka_unit_test(stop_fails),
		cmocka_unit_test(stop_without_record),
		cmocka_unit_test(stop_and_suspend),
		cmocka_unit_test(stop_and_trouble),
		cmocka_unit_test(num_while_running),
		cmocka_unit_test(num_while_suspended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
