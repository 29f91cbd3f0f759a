/*
 * Fuzz target: chains of any content and cut for the three kinds of queues of a network card whose
 * cable is a loopback: what is sent comes back and is received.
 *
 * Checked, besides what sanitizers see: every chain that was taken and not given back gets exactly
 * one answer, in the same pass; the used length fits; a command's answer is one that virtio knows.
 *
 * An input is: two bytes that take features away, then per chain a byte with its queue (bits 6, 7)
 * and the numbers of its segments, two bytes per segment (its size, bit 15: copied), and the
 * content of its readable part. Chains for receiving are kept for the next pass over that queue.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "../unit/model_support.h"
#include "backend/backends.h"
#include "model/models.h"
#include "model/net_internal.h"

#define MOST	   4 /* buffers that wait for a frame */
#define MAX_CHAINS 16

static struct copied_client client;
static struct made mades[MOST];
static unsigned offered, taken;
static struct model *model;

static struct request *source_take(struct chain_source *source)
{
	return taken < offered ? mades[taken++].request : NULL;
}

static void source_untake(struct chain_source *source, struct request *request)
{
	assert(taken && request == mades[taken - 1].request);
	taken--;
}

static void make_chain(struct food *food, uint8_t counts)
{
	struct made *made = &mades[offered++];
	uint64_t used = client.used, at = 0;
	uint8_t chunk[64];

	made_begin(made, &client, 0);
	client.used = offered == 1 ? 0 : used;
	for (unsigned i = 0; i < (counts & 7u) + (counts >> 3 & 7u); i++) {
		uint16_t size = eat_u16(food);

		made_add(made, &client, i >= (counts & 7u), (size & 0x7fffu) + 1, size >> 15);
	}
	for (; food->left && at < made->request->chain.readable; at += sizeof(chunk)) {
		uint64_t rest = made->request->chain.readable - at;
		size_t n = rest < sizeof(chunk) ? (size_t)rest : sizeof(chunk);

		eat(food, chunk, n);
		made_fill(made, &client, at, chunk, n);
	}
}

static void check(struct made *made, bool was_taken, unsigned queue)
{
	const struct chain *chain = &made->request->chain;

	assert(made->answers + made->refusals == was_taken);
	assert(!made->answers || made->written <= chain->writable);
	if (queue == 2 && made->answers)
		assert(*made_byte(made, &client, true, 0) <= VIRTIO_NET_ERR);
}

static void run_queue(unsigned queue)
{
	struct chain_source source = {source_take, source_untake};

	taken = 0;
	model->ops->pump(model, queue, &source, 8);
	for (unsigned i = 0; i < offered; i++) {
		check(&mades[i], i < taken, queue);
		made_end(&mades[i]);
	}
	offered = 0;
}

static void start(uint64_t without)
{
	const struct net_options options = {
		.mac = {0x52, 0x54, 0, 0, 0, 1}, .vlans = true, .announce = true};
	struct packet *packet;
	int error = packet_loopback_open(1, &packet, NULL);

	assert(!error);
	error = net_new(&options, packet, &model, NULL);
	assert(!error);
	model->ops->negotiated(model, model->ops->features(model) & ~without);
	for (unsigned i = 0; i < 3; i++) {
		error = model->ops->queue_start(model, i, MOST, NULL);
		assert(!error);
	}
	(void)error;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct food food = {bytes, size};
	uint64_t without = eat_byte(&food);

	without |= (uint64_t)eat_byte(&food) << VIRTIO_NET_F_MRG_RXBUF;
	if (!client.bytes)
		client_open(&client);
	start(without);
	for (unsigned i = 0; i < MAX_CHAINS && food.left; i++) {
		uint8_t head = eat_byte(&food);
		unsigned queue = (head >> 6) % 3;

		if (queue)
			run_queue(0); /* what waits for receiving is tried first */
		make_chain(&food, head & 63);
		if (queue || offered == MOST)
			run_queue(queue);
	}
	run_queue(0);
	for (unsigned i = 0; i < 3; i++)
		model->ops->queue_stop(model, i);
	model->ops->destroy(model);
	return 0;
}
