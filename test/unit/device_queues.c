/* Queues: enabling, disabling, full rings, queues that cannot start, rings that are not mapped. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
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

static struct bench *bench_new(const struct stage_options *options)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	theatre_init(&b->theatre, options);
	stage_init(&b->stage, &b->theatre, options);
	return b;
}

static void bench_free(struct bench *b)
{
	if (strstr(b->theatre.book.text, "VIOLATION"))
		fail_msg("%s", b->theatre.book.text);
	stage_destroy(&b->stage);
	theatre_destroy(&b->theatre);
	free(b);
}

static const struct stage_options two_queues = {
	.name = "dev", .queues = 2, .kind = RAM_MAPPED, .timeout_ms = 1000};


/* As many in flight as the device has entries is the most a driver can do, and no nonsense. */
static void full_ring(void **state)
{
	struct stage_options options = two_queues;
	struct bench *b;

	options.num = 64; /* the device's own limit */
	b = bench_new(&options);
	stage_up(&b->stage);
	for (uint16_t i = 0; i < 64; i++) {
		vq_desc(&b->theatre.vqs[0], i, b->theatre.buffers, 8, 0, 0);
		vq_offer(&b->theatre.vqs[0], i);
	}
	stage_kick(&b->stage, 0);
	stage_kick(&b->stage, 0);
	assert_int_equal(b->stage.model.held_count, 64);
	assert_int_equal(device_state(b->stage.device), STATE_RUNNING);
	/* One more is: the driver has made an entry available that we still have. */
	vq_offer(&b->theatre.vqs[0], 0);
	stage_kick(&b->stage, 0);
	assert_int_equal(device_state(b->stage.device), STATE_BROKEN);
	assert_non_null(strstr(device_broken_reason(b->stage.device), "more chains in flight"));
	for (unsigned i = 0; i < 64; i++)
		stage_finish(&b->stage, 0, NULL);
	bench_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
