/* What unit tests of the device's verbs begin and end with: one stage in one theatre. */
#ifndef UVDPA_TEST_BENCH_H
#define UVDPA_TEST_BENCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/stage.h"

struct bench {
	struct theatre theatre;
	struct stage stage;
};

static const struct stage_options two_queues = {
	.name = "dev", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000};

static inline struct bench *bench_new(const struct stage_options *options)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	theatre_init(&b->theatre, options);
	stage_init(&b->stage, &b->theatre, options);
	return b;
}

/* Ends the device as a driver that leaves does; no violation may have been seen. */
static inline void bench_free(struct bench *b)
{
	if (strstr(b->theatre.book.text, "VIOLATION"))
		fail_msg("%s", b->theatre.book.text);
	if (device_holders(b->stage.device) & HOLDER_OPERATOR)
		device_resume(b->stage.device, HOLDER_OPERATOR);
	stage_destroy(&b->stage);
	theatre_destroy(&b->theatre);
	free(b);
}

/* The book's text since `from`. */
static inline int said(const struct bench *b, size_t from, const char *words)
{
	return strstr(b->theatre.book.text + from, words) != NULL;
}

/* --- Verbs, each followed by whatever becomes due -------------------------------------------- */

static inline void bench_ready(struct bench *b, unsigned queue, bool on)
{
	stage_begin(&b->stage);
	device_set_vq_ready(b->stage.device, queue, on, b->theatre.book.now, stage_done,
			    stage_done_arg(&b->stage, on ? "on" : "off"));
	stage_end(&b->stage);
}

static inline void bench_suspend(struct bench *b, enum device_holder holder, uint32_t ms)
{
	stage_begin(&b->stage);
	device_suspend(b->stage.device, holder, b->theatre.book.now, ms, stage_done,
		       stage_done_arg(&b->stage, "suspend"));
	stage_end(&b->stage);
}

static inline int bench_resume(struct bench *b, enum device_holder holder)
{
	int r;

	stage_begin(&b->stage);
	r = device_resume(b->stage.device, holder);
	stage_end(&b->stage);
	return r;
}

static inline void bench_reset(struct bench *b, enum device_event event)
{
	stage_begin(&b->stage);
	device_reset(b->stage.device, event, b->theatre.book.now, stage_done,
		     stage_done_arg(&b->stage, "reset"));
	stage_end(&b->stage);
}

static inline void bench_submit(struct bench *b, unsigned queue, uint64_t tag)
{
	stage_post(&b->theatre, queue, tag, 16);
	stage_kick(&b->stage, queue);
}

#endif
