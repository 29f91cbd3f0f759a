/*
 * A network card's model with a backend, a source of chains made by hand, and frames through both.
 * For test programs of one file each.
 */
#ifndef UVDPA_TEST_NET_SUPPORT_H
#define UVDPA_TEST_NET_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "model/models.h"
#include "model/net.h"
#include "model/net_internal.h"
#include "model_support.h"
#include "util/bytes.h"

#define MOST	   40
#define RX	   0
#define TX	   1
#define EVERYTHING UINT64_MAX

static struct copied_client client;
static struct model *model;
static unsigned control;

/* A source over requests made by hand, which counts what is taken and given back. */
static struct made mades[MOST];
static unsigned offered, taken, unpopn;

static unsigned source_take(struct chain_source *source, struct request **requests, unsigned max)
{
	unsigned count = 0;

	while (count < max && taken < offered)
		requests[count++] = mades[taken++].request;
	return count;
}

static void source_unpop(struct chain_source *source, struct request *request)
{
	assert_true(taken && request == mades[taken - 1].request);
	taken--;
	unpopn++;
}

static struct chain_source source = {.take = source_take, .unpop = source_unpop};

static void start(struct packet *packet, uint64_t features)
{
	const struct net_options options = {.mac = {0x52, 0x54, 0, 1, 2, 3},
					    .mtu = 1400,
					    .speed = 1000,
					    .announce = true,
					    .vlans = true};
	struct error f;

	if (net_new(&options, packet, &model, &f))
		fail_msg("%s", f.text);
	model->ops->negotiated(model, model->ops->features(model) & features);
	control = net_control_queue(net_of(model));
	for (unsigned i = 0; i < model->ops->queue_count(model); i++)
		assert_int_equal(model->ops->queue_start(model, i, MOST, &f), 0);
	client_open(&client);
	offered = taken = unpopn = 0;
}

static void start_loopback(unsigned pairs, uint64_t features)
{
	struct packet *packet;

	assert_int_equal(packet_loopback_open(pairs, &packet, NULL), 0);
	start(packet, features);
}

static void clear(void)
{
	while (offered)
		made_end(&mades[--offered]);
	taken = unpopn = 0;
	client.used = 0;
}

static void stop(void)
{
	clear();
	for (unsigned i = 0; i < model->ops->queue_count(model); i++)
		model->ops->queue_stop(model, i);
	model->ops->destroy(model);
	client_close(&client);
}

/* Offers a chain of one readable and one writable part, each possibly cut in two. */
static struct made *offer(uint64_t out, uint64_t in, bool copied)
{
	struct made *made = &mades[offered++];
	uint64_t used = client.used;

	assert_true(offered <= MOST);
	made_begin(made, &client, 0);
	client.used = used;
	if (out > 20)
		made_add(made, &client, false, 7, copied);
	if (out)
		made_add(made, &client, false, out > 20 ? out - 7 : out, false);
	if (in)
		made_add(made, &client, true, in, copied);
	return made;
}

static bool process_queue(unsigned queue)
{
	return model->ops->process_queue(model, queue, &source, 64);
}

/* The card's address. */
static const uint8_t ours[] = {0x52, 0x54, 0, 1, 2, 3};

#define ANY_LENGTH (EVERYTHING & ~(UINT64_C(1) << VIRTIO_NET_F_MTU))

static uint8_t sent[PACKET_BUFFER], got[PACKET_BUFFER];

static void fill(unsigned size)
{
	memset(sent, 0, NET_HDR_SIZE);
	for (unsigned i = NET_HDR_SIZE; i < size; i++)
		sent[i] = (uint8_t)(i * 7 + i / 256);
	memcpy(sent + NET_HDR_SIZE, ours, 6);
	sent[NET_HDR_SIZE + 12] = 8; /* IPv4, and no VLAN tag */
}

static void transmit(unsigned size, bool copied)
{
	struct made *made = offer(size, 0, copied);

	made_fill(made, &client, 0, sent, size);
	assert_false(process_queue(TX));
	assert_int_equal(made->answers, 1);
	clear();
}

/* Collects what was delivered to the first `count` chains. Returns its bytes. */
static unsigned collect(unsigned count)
{
	unsigned at = 0;

	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(mades[i].answers, 1);
		made_fetch(&mades[i], &client, 0, got + at, mades[i].written);
		at += mades[i].written;
	}
	return at;
}

#endif
