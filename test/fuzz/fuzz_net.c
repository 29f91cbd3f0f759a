/*
 * Fuzz target: chains of any content and cut for the three kinds of queues of a network card whose
 * cable is a loopback: what is sent comes back and is received. Or the card that receives is
 * another one on the same cable, whose buffers are filled while the first one sends.
 *
 * Checked, besides what sanitizers see: every chain that was taken and not given back gets exactly
 * one answer, in the same pass; the used length fits; a command's answer is one that virtio knows.
 *
 * An input is: two bytes that take features away (bit 7 of the first: two cards), then per chain a
 * byte with its queue (bits 6, 7) and the numbers of its segments, two bytes per segment (its size,
 * bit 15: copied), and the content of its readable part. Chains for receiving are kept for the next
 * pass over that queue.
 */
#include "fuzz.h"

#include <stdlib.h>

#include "../unit/model_support.h"
#include "backend/backends.h"
#include "model/models.h"
#include "model/net_internal.h"

#define MOST	   4 /* buffers that wait for a frame */
#define MAX_CHAINS 16

/* The chains of a queue; a pass or a visit takes from it. */
struct stock {
	struct chain_source source; /* the first member */
	struct made mades[MOST];
	unsigned offered, taken;
};

static struct copied_client client;
static struct stock stocks[3];
static struct model *cards[2]; /* [1] receives; the same, but for pairs */

static unsigned source_take(struct chain_source *source, struct request **requests, unsigned max)
{
	struct stock *stock = (struct stock *)(void *)source;
	unsigned count = 0;

	while (count < max && stock->taken < stock->offered)
		requests[count++] = stock->mades[stock->taken++].request;
	return count;
}

static void source_unpop(struct chain_source *source, struct request *request)
{
	struct stock *stock = (struct stock *)(void *)source;

	assert(stock->taken && request == stock->mades[stock->taken - 1].request);
	stock->taken--;
}

/* Those that are one mapped buffer, as far as they come first. */
static unsigned source_take_batch(struct chain_source *source, enum space_access access,
				  struct batch_chain *batch, unsigned max)
{
	struct stock *stock = (struct stock *)(void *)source;
	unsigned count = 0;

	for (; count < max && stock->taken < stock->offered; stock->taken++) {
		const struct chain *chain = &stock->mades[stock->taken].request->chain;
		const struct segment *s = &chain->segments[0];

		if (chain->readable_count != (access == SPACE_READ) ||
		    chain->writable_count != (access == SPACE_WRITE) || !s->host)
			break;
		batch[count++] =
			(struct batch_chain){s->host, (uint32_t)s->size, (uint16_t)stock->taken};
	}
	return count;
}

static void source_unpop_batch(struct chain_source *source, unsigned count)
{
	struct stock *stock = (struct stock *)(void *)source;

	assert(count <= stock->taken);
	stock->taken -= count;
}

static void source_complete_batch(struct chain_source *source, const struct batch_chain *batch,
				  const uint32_t *written, unsigned count)
{
	struct stock *stock = (struct stock *)(void *)source;

	for (unsigned i = 0; i < count; i++) {
		struct made *made = &stock->mades[batch[i].head];

		assert(batch[i].head < stock->taken);
		made_complete(made->request, written ? written[i] : 0);
	}
}

static bool borrowed;

static int enter(struct model_port *port, unsigned queue, struct chain_source **source)
{
	assert(queue == 0 && !borrowed);
	borrowed = true;
	*source = &stocks[0].source;
	return 0;
}

static void leave(struct model_port *port, unsigned queue, bool waiting)
{
	assert(queue == 0 && borrowed);
	borrowed = false;
}

static struct model_port port = {enter, leave};

static void make_chain(struct food *food, struct stock *stock, uint8_t counts)
{
	struct made *made = &stock->mades[stock->offered++];
	bool first = stocks[0].offered + stocks[1].offered + stocks[2].offered == 1;
	uint64_t used = client.used, at = 0;
	uint8_t chunk[64];

	made_begin(made, &client, 0);
	client.used = first ? 0 : used;
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
	struct stock *stock = &stocks[queue];
	struct model *model = cards[queue == 0];

	model->ops->process_queue(model, queue, &stock->source, 8);
	for (unsigned i = 0; i < stock->offered; i++) {
		check(&stock->mades[i], i < stock->taken, queue);
		made_end(&stock->mades[i]);
	}
	stock->offered = stock->taken = 0;
}

static struct model *make_card(struct packet *packet, uint64_t without)
{
	const struct net_options options = {
		.mac = {0x52, 0x54, 0, 0, 0, 1}, .vlans = true, .announce = true};
	struct model *model;
	int error = net_new(&options, packet, &model, NULL);

	assert(!error);
	model->port = &port;
	model->ops->negotiated(model, model->ops->features(model) & ~without);
	for (unsigned i = 0; i < 3; i++) {
		error = model->ops->queue_start(model, i, MOST, NULL);
		assert(!error);
	}
	(void)error;
	return model;
}

static void start(uint64_t without, bool pair)
{
	struct packet *packets[2];
	int error = pair ? packet_pair_open((unsigned[]){1, 1}, packets, NULL)
			 : packet_loopback_open(1, packets, NULL);

	assert(!error);
	(void)error;
	cards[0] = cards[1] = make_card(packets[0], without);
	if (pair)
		cards[1] = make_card(packets[1], without);
	for (unsigned i = 0; i < 3; i++)
		stocks[i].source = (struct chain_source){.take = source_take,
							 .unpop = source_unpop,
							 .take_batch = source_take_batch,
							 .unpop_batch = source_unpop_batch,
							 .complete_batch = source_complete_batch};
}

static void stop(struct model *model)
{
	for (unsigned i = 0; i < 3; i++)
		model->ops->queue_stop(model, i);
	model->ops->destroy(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct food food = {bytes, size};
	uint64_t without = eat_byte(&food);

	bool pair = without >> 7;

	without |= (uint64_t)eat_byte(&food) << VIRTIO_NET_F_MRG_RXBUF;
	if (!client.bytes)
		client_open(&client);
	start(without, pair);
	for (unsigned i = 0; i < MAX_CHAINS && food.left; i++) {
		uint8_t head = eat_byte(&food);
		unsigned queue = (head >> 6) % 3;

		if (queue && !pair)
			run_queue(0); /* what waits for receiving is tried first */
		make_chain(&food, &stocks[queue], head & 63);
		if (queue || stocks[0].offered == MOST)
			run_queue(queue);
	}
	run_queue(0);
	stop(cards[0]);
	if (pair)
		stop(cards[1]);
	return 0;
}
