/*
 * Queues of plain chains as a ring would hand them out, for tests of the network model, whose own
 * test program includes this. Nothing is ever had one by one.
 */
#ifndef UVDPA_TEST_PLAIN_SUPPORT_H
#define UVDPA_TEST_PLAIN_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "model/models.h"
#include "model/net.h"
#include "model/net_internal.h"
#include "util/bytes.h"

#define RX   0
#define TX   1
#define MOST 64u
#define SIZE 2048u

struct stock {
	struct chain_source source; /* the first member */
	enum space_access access;
	struct batch_chain plain[MOST];
	uint8_t bytes[MOST][SIZE];
	uint32_t written[MOST];
	unsigned offered, taken, completed;
};

static struct stock stocks[2];
static struct model *model;
static unsigned entered, left_waiting;

static unsigned take(struct chain_source *source, struct request **requests, unsigned max)
{
	struct stock *stock = (struct stock *)source;

	assert_int_equal(stock->taken, stock->completed);
	return 0;
}

static unsigned take_batch(struct chain_source *source, enum space_access access,
			   struct batch_chain *plain, unsigned max)
{
	struct stock *stock = (struct stock *)source;
	unsigned n = 0;

	assert_int_equal(access, stock->access);
	assert_int_equal(stock->taken, stock->completed);
	while (n < max && stock->taken < stock->offered)
		plain[n++] = stock->plain[stock->taken++];
	return n;
}

static void unpop_batch(struct chain_source *source, unsigned count)
{
	struct stock *stock = (struct stock *)source;

	assert_true(count <= stock->taken - stock->completed);
	stock->taken -= count;
}

static void complete_batch(struct chain_source *source, const struct batch_chain *plain,
			   const uint32_t *written, unsigned count)
{
	struct stock *stock = (struct stock *)source;

	for (unsigned i = 0; i < count; i++, stock->completed++) {
		assert_true(stock->completed < stock->taken);
		assert_int_equal(plain[i].head, stock->completed);
		stock->written[stock->completed] = written ? written[i] : 0;
	}
}

static int enter(struct model_port *port, unsigned queue, struct chain_source **source)
{
	entered++;
	*source = &stocks[queue].source;
	return 0;
}

static void leave(struct model_port *port, unsigned queue, bool waiting)
{
	left_waiting += waiting;
}

static struct model_port port = {enter, leave};

static struct batch_chain *offer(struct stock *stock, uint32_t size)
{
	struct batch_chain *plain = &stock->plain[stock->offered];

	assert_true(stock->offered < MOST && size <= SIZE);
	*plain = (struct batch_chain){stock->bytes[stock->offered], size, (uint16_t)stock->offered};
	stock->offered++;
	return plain;
}

static void start_with(struct packet *packet, uint64_t features)
{
	const struct net_options options = {.mac = {0x52, 0x54, 0, 1, 2, 3}};
	struct error f;

	if (net_new(&options, packet, &model, &f))
		fail_msg("%s", f.text);
	model->ops->negotiated(model, model->ops->features(model) & features);
	model->port = &port;
	memset(stocks, 0, sizeof(stocks));
	for (unsigned i = 0; i < 2; i++) {
		stocks[i].source = (struct chain_source){.take = take,
							 .take_batch = take_batch,
							 .unpop_batch = unpop_batch,
							 .complete_batch = complete_batch};
		stocks[i].access = i == RX ? SPACE_WRITE : SPACE_READ;
		assert_int_equal(model->ops->queue_start(model, i, MOST, &f), 0);
	}
	entered = left_waiting = 0;
}

static void stop(void)
{
	model->ops->queue_stop(model, RX);
	model->ops->queue_stop(model, TX);
	model->ops->destroy(model);
}

static struct net_stats stats(unsigned queue)
{
	struct net_stats s;

	assert_true(net_get_stats(model, queue, &s));
	return s;
}

#endif
