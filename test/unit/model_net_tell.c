/* model/net_tell.c: one frame for each driver that starts the card, with the address as it is by
 * then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "model/models.h"
#include "model/net_internal.h"

#define TX 1

static unsigned take_none(struct chain_source *source, struct request **requests, unsigned max)
{
	return 0;
}

static struct chain_source nothing = {.take = take_none};

static struct model *make(bool rarp)
{
	const struct net_options options = {.mac = {0x52, 0x54, 0, 1, 2, 3}, .rarp = rarp};
	struct packet *packet;
	struct model *model;

	assert_int_equal(packet_loopback_open(1, &packet, NULL), 0);
	assert_int_equal(net_new(&options, packet, &model, NULL), 0);
	model->ops->negotiated(model, model->ops->features(model));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(model->ops->queue_start(model, i, 16, NULL), 0);
	return model;
}

static void end(struct model *model)
{
	model->ops->queue_stop(model, 0);
	model->ops->queue_stop(model, 1);
	model->ops->destroy(model);
}

/* Runs the send queue, which has no chain; what came out of it, into a static buffer: its size. */
static uint8_t frame[PACKET_BUFFER];

static int run(struct model *model)
{
	assert_false(model->ops->process_queue(model, TX, &nothing, 64));
	return packet_receive(net_of(model)->pair[0].channel, frame);
}

static void once_per_driver(void **state)
{
	static const uint8_t wanted[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0, 7, 7,
					 7,    0x80, 0x35, 0,	 1,    8,    0,	   6,	 4, 0, 3,
					 0x52, 0x54, 0,	   7,	 7,    7,    0,	   0,	 0, 0, 0x52,
					 0x54, 0,    7,	   7,	 7,    0,    0,	   0,	 0};
	struct model *model = make(true);

	for (unsigned driver = 0; driver < 2; driver++) {
		/* the driver's command, or a VMM's that repeats it */
		net_of(model)->filter.mac = 0x525400070707;
		assert_int_equal(run(model), NET_HDR_SIZE + 60);
		assert_memory_equal(frame + NET_HDR_SIZE, wanted, sizeof(wanted));
		assert_int_equal(run(model), 0);
		model->ops->reset(model);
		assert_int_equal(run(model), 0);
		model->ops->negotiated(model, model->ops->features(model));
	}
	end(model);
}

/* Without a cable it waits until there is one. */
static void not_into_nothing(void **state)
{
	struct model *model = make(true);

	model->ops->set_link(model, false);
	assert_int_equal(run(model), 0);
	model->ops->set_link(model, true);
	assert_int_equal(run(model), NET_HDR_SIZE + 60);
	end(model);
}

/* Nor from a queue whose frames are thrown away, until that ends: at the latest with a reset. */
static void not_from_a_disabled_queue(void **state)
{
	struct model *model = make(true);

	assert_false(model->ops->queue_discard(model, 0, true));
	assert_false(model->ops->queue_discard(model, 2, true)); /* commands */
	assert_true(model->ops->queue_discard(model, TX, true));
	assert_int_equal(run(model), 0);
	assert_true(model->ops->queue_discard(model, TX, false));
	assert_int_equal(run(model), NET_HDR_SIZE + 60);
	assert_true(model->ops->queue_discard(model, TX, true));
	model->ops->reset(model);
	model->ops->negotiated(model, model->ops->features(model));
	assert_int_equal(run(model), NET_HDR_SIZE + 60);
	end(model);
}

/* Asked by a VMM, with the address that it names; the next driver's is its own again. */
static void as_a_vmm_says(void **state)
{
	struct model *model = make(false);
	unsigned queue;

	assert_true(model->ops->send_rarp(model, 0x0205aabbccdd, &queue));
	assert_int_equal(queue, TX);
	assert_int_equal(run(model), NET_HDR_SIZE + 60);
	assert_memory_equal(frame + NET_HDR_SIZE + 6, "\x02\x05\xaa\xbb\xcc\xdd", 6);
	assert_int_equal(run(model), 0);
	end(model);
	model = make(true);
	model->ops->send_rarp(model, 0x0205aabbccdd, &queue);
	model->ops->reset(model);
	model->ops->negotiated(model, model->ops->features(model));
	assert_int_equal(run(model), NET_HDR_SIZE + 60);
	assert_memory_equal(frame + NET_HDR_SIZE + 6, "\x52\x54\0\1\2\3", 6);
	end(model);
}

static void only_if_asked(void **state)
{
	struct model *model = make(false);

	assert_int_equal(run(model), 0);
	end(model);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(once_per_driver),
		cmocka_unit_test(not_into_nothing),
		cmocka_unit_test(not_from_a_disabled_queue),
		cmocka_unit_test(as_a_vmm_says),
		cmocka_unit_test(only_if_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
