/* The virtio-net model: how a device comes to be, its queues, and its end. See models.h. */
#include "model/net_internal.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

static unsigned net_queue_count(struct model *model)
{
	return net_of(model)->queue_count;
}

/* virtio 1.3, 5.1.2: 2 * N, where N is 1 without MQ. Before negotiation: as if all is taken. */
unsigned net_control_queue(const struct net *net)
{
	if (net->features && !net_has(net, VIRTIO_NET_F_MQ))
		return 2;
	return 2 * net->pairs;
}

static unsigned net_queue_group(struct model *model, unsigned index)
{
	return index == net_control_queue(net_of(model));
}

static unsigned net_group_count(struct model *model)
{
	return 2;
}

static void apply_offloads(struct net *net, unsigned offloads)
{
	atomic_store(&net->receive_offloads, offloads);
	packet_set_offloads(net->packet, offloads & net->packet->receive_offloads);
}

/* Channels are kept over resets, as the queues are: what they may do follows the driver's word. */
static void net_negotiated(struct model *model, uint64_t features)
{
	struct net *net = net_of(model);

	net->features = features;
	net->mtu = net_has(net, VIRTIO_NET_F_MTU) ? net_mtu(net) : NET_NO_MTU;
	net->queues[1].tell = net->options.rarp;
	net->queues[1].told = 0;
	for (unsigned i = 0; i < net->pairs; i++)
		if (net->pair[i].channel)
			net->pair[i].channel->send_offloads = net_send_offloads(features);
	apply_offloads(net, net_receive_offloads(features));
	filter_reset(&net->filter, net_mac(net->options.mac), net_has(net, VIRTIO_NET_F_CTRL_VLAN));
}

static int open_channel(struct net *net, unsigned pair, struct error *f)
{
	struct net_pair *p = &net->pair[pair];
	int error;

	if (p->users++)
		return 0;
	error = packet_channel_open(net->packet, pair, &p->channel, f);
	if (error) {
		p->users = 0;
		p->channel = NULL;
		return error;
	}
	p->channel->send_offloads = net_send_offloads(net->features);
	return 0;
}

static void close_channel(struct net *net, unsigned pair)
{
	struct net_pair *p = &net->pair[pair];

	if (--p->users)
		return;
	packet_channel_close(p->channel);
	p->channel = NULL;
}

static int net_queue_start(struct model *model, unsigned index, unsigned depth, struct error *f)
{
	struct net *net = net_of(model);
	struct net_queue *queue = &net->queues[index];
	int error = 0;

	assert(index < net->queue_count && !queue->frame);
	queue->frame = malloc(PACKET_BUFFER);
	queue->taken = calloc(depth, sizeof(queue->taken[0]));
	queue->depth = depth;
	queue->pending = queue->first = queue->have = 0;
	if (!queue->frame || !queue->taken)
		error = error_set(f, -ENOMEM, "no memory for a queue of a network card");
	if (!error && index / 2 < net->pairs)
		error = open_channel(net, index / 2, f);
	if (error) {
		free(queue->frame);
		free(queue->taken);
		queue->frame = NULL;
	} else if (index % 2 == 0 && index / 2 < net->pairs) {
		packet_set_sink(net->pair[index / 2].channel, &queue->sink);
	}
	return error;
}

static void net_queue_stop(struct model *model, unsigned index)
{
	struct net *net = net_of(model);
	struct net_queue *queue = &net->queues[index];

	if (!queue->frame)
		return;
	if (index % 2 == 0 && index / 2 < net->pairs)
		packet_set_sink(net->pair[index / 2].channel, NULL);
	if (queue->pending) /* it stays counted as such: a reset wants to know */
		packet_release(net->pair[index / 2].channel);
	if (index / 2 < net->pairs)
		close_channel(net, index / 2);
	free(queue->frame);
	free(queue->taken);
	queue->frame = NULL;
}

static bool net_process_queue(struct model *model, unsigned index, struct chain_source *source,
			      unsigned budget)
{
	struct net *net = net_of(model);
	struct net_queue *queue = &net->queues[index];

	if (index == net_control_queue(net))
		return net_process_control(queue, source, budget);
	if (index / 2 >= net->pairs)
		return false;
	if (index % 2)
		return net_process_send(queue, net->pair[index / 2].channel, source, budget);
	return net_process_receive(queue, net->pair[index / 2].channel, source, budget);
}

static void net_flow(const struct model *model, unsigned index, uint64_t *in, uint64_t *out)
{
	const struct net *net = net_of(model);
	bool commands = index == net_control_queue(net);
	uint64_t packets =
		atomic_load_explicit(&net->queues[index].counters.packets, memory_order_relaxed);

	*in = commands || index % 2 ? 0 : packets;
	*out = !commands && index % 2 ? packets : 0;
}

/* It stays readable while chains are lacking. */
static bool net_poll_edge(const struct model *model, unsigned index)
{
	return true;
}

static int net_poll_fd(struct model *model, unsigned index)
{
	struct net *net = net_of(model);

	if (index % 2 || index / 2 >= net->pairs || !net->pair[index / 2].channel)
		return -1;
	return packet_fd(net->pair[index / 2].channel);
}

static void net_reset(struct model *model)
{
	struct net *net = net_of(model);

	net->features = 0;
	net->mtu = NET_NO_MTU;
	atomic_store(&net->announce, false);
	atomic_store(&net->active, 1);
	packet_set_pairs(net->packet, 1);
	apply_offloads(net, 0);
	filter_reset(&net->filter, net_mac(net->options.mac), false);
	for (unsigned i = 0; i < net->queue_count; i++) {
		net->queues[i].discards = false;
		/* it was for a driver that is not there any more */
		if (!net->queues[i].pending)
			continue;
		net_count(&net->queues[i].counters.no_room, 1);
		net->queues[i].pending = 0;
		if (net->queues[i].frame) /* otherwise queue_stop has seen to it */
			packet_release(net->pair[i / 2].channel);
	}
}

static int net_set_link(struct model *model, bool up)
{
	struct net *net = net_of(model);
	bool same = net->link_down == !up;

	net->link_down = !up;
	return !same;
}

static bool net_queue_discard(struct model *model, unsigned index, bool discard)
{
	struct net *net = net_of(model);

	if (index % 2 == 0 || index / 2 >= net->pairs)
		return false;
	net->queues[index].discards = discard;
	return true;
}

static bool net_send_rarp(struct model *model, uint64_t mac, unsigned *queue)
{
	struct net *net = net_of(model);

	*queue = 1;
	net->queues[1].tell = true;
	net->queues[1].told = mac;
	return true;
}

/* 5.1.6.5.4: the driver sends what makes the network learn where it is, and acknowledges. */
static int net_announce(struct model *model, struct error *f)
{
	struct net *net = net_of(model);

	if (!net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE))
		return error_set(
			f, -EOPNOTSUPP,
			"its driver has not negotiated GUEST_ANNOUNCE; serve the card with "
			"announce=on");
	atomic_store(&net->announce, true);
	return 0;
}

static void net_destroy(struct model *model)
{
	struct net *net = net_of(model);

	for (unsigned i = 0; i < net->pairs; i++)
		assert(!net->pair[i].channel);
	packet_close(net->packet);
	free(net);
}

static const struct model_ops net_ops = {
	.name = "net",
	.device_id = VIRTIO_ID_NET,
	.config_size = NET_CONFIG_SIZE,
	.features = net_features,
	.queue_count = net_queue_count,
	.config_read = net_config_read,
	.destroy = net_destroy,
	.queue_group = net_queue_group,
	.group_count = net_group_count,
	.negotiated = net_negotiated,
	.queue_start = net_queue_start,
	.queue_stop = net_queue_stop,
	.poll_fd = net_poll_fd,
	.process_queue = net_process_queue,
	.poll_edge = net_poll_edge,
	.flow = net_flow,
	.reset = net_reset,
	.set_link = net_set_link,
	.queue_discard = net_queue_discard,
	.send_rarp = net_send_rarp,
	.announce = net_announce,
	.state_save = net_state_save,
	.state_check = net_state_check,
	.state_load = net_state_load,
};

static int check_options(const struct net_options *options, const struct packet *packet,
			 struct error *f)
{
	if (!packet->pairs || packet->pairs > PACKET_MAX_PAIRS)
		return error_set(f, -EINVAL, "a network card has 1 to %d queue pairs, not %u",
				 PACKET_MAX_PAIRS, packet->pairs);
	if (options->mtu && options->mtu < NET_MIN_MTU)
		return error_set(f, -EINVAL, "an MTU is %u to 65535, not %u", NET_MIN_MTU,
				 options->mtu);
	if (options->mac[0] & 1)
		return error_set(f, -EINVAL, "a card's MAC address is not a multicast one");
	return 0;
}

int net_new(const struct net_options *options, struct packet *packet, struct model **model,
	    struct error *f)
{
	struct net *net = NULL;
	unsigned queues = 2 * packet->pairs + 1;
	int error = check_options(options, packet, f);

	if (!error)
		net = calloc(1, sizeof(*net) + queues * sizeof(net->queues[0]));
	if (!net) {
		packet_close(packet);
		return error ? error : error_set(f, -ENOMEM, "no memory for a network card");
	}
	net->model.ops = &net_ops;
	net->packet = packet;
	net->options = *options;
	net->pairs = packet->pairs;
	net->queue_count = queues;
	for (unsigned i = 0; i < queues; i++) {
		net->queues[i].net = net;
		net->queues[i].sink = net_sink;
	}
	net_reset(&net->model);
	*model = &net->model;
	return 0;
}

bool net_get_stats(const struct model *model, unsigned index, struct net_stats *stats)
{
	const struct net_counters *c;

	if (model->ops != &net_ops || index >= net_of(model)->queue_count)
		return false;
	c = &net_of(model)->queues[index].counters;
#define LOAD(name) .name = atomic_load_explicit(&c->name, memory_order_relaxed)
	*stats = (struct net_stats){
		LOAD(packets), LOAD(bytes),    LOAD(filtered), LOAD(malformed),
		LOAD(no_room), LOAD(commands), LOAD(refused),  LOAD(direct),
	};
#undef LOAD
	return true;
}

bool net_link_is_up(const struct model *model)
{
	return !net_of(model)->link_down;
}

unsigned net_active_pairs(const struct model *model)
{
	return atomic_load(&net_of(model)->active);
}
