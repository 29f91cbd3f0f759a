/* virtio-net: feature bits and config space (virtio 1.3, 5.1.3 and 5.1.4). */
#include "model/net_internal.h"

#include <assert.h>
#include <string.h>

#include "util/bytes.h"

#define BIT(n)	  (1ull << (n))
#define AT(field) (config + offsetof(struct virtio_net_config, field))

static_assert(sizeof(struct virtio_net_config) <= NET_CONFIG_SIZE, "the config space holds all");

static const struct {
	unsigned offload;
	uint64_t send, receive;
} offloads[] = {
	{PACKET_CSUM, BIT(VIRTIO_NET_F_CSUM), BIT(VIRTIO_NET_F_GUEST_CSUM)},
	{PACKET_TSO4, BIT(VIRTIO_NET_F_HOST_TSO4), BIT(VIRTIO_NET_F_GUEST_TSO4)},
	{PACKET_TSO6, BIT(VIRTIO_NET_F_HOST_TSO6), BIT(VIRTIO_NET_F_GUEST_TSO6)},
	{PACKET_ECN, BIT(VIRTIO_NET_F_HOST_ECN), BIT(VIRTIO_NET_F_GUEST_ECN)},
	{PACKET_UFO, BIT(VIRTIO_NET_F_HOST_UFO), BIT(VIRTIO_NET_F_GUEST_UFO)},
	{PACKET_USO, BIT(VIRTIO_NET_F_HOST_USO),
	 BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6)},
};

#define OFFLOADS (sizeof(offloads) / sizeof(offloads[0]))

unsigned net_send_offloads(uint64_t features)
{
	unsigned found = 0;

	for (size_t i = 0; i < OFFLOADS; i++)
		if (features & offloads[i].send)
			found |= offloads[i].offload;
	return found;
}

unsigned net_receive_offloads(uint64_t features)
{
	unsigned found = 0;

	for (size_t i = 0; i < OFFLOADS; i++)
		if ((features & offloads[i].receive) == offloads[i].receive)
			found |= offloads[i].offload;
	return found;
}

unsigned net_mtu(const struct net *net)
{
	return net->options.mtu ? net->options.mtu : net->packet->mtu;
}

uint64_t net_features(struct model *model)
{
	const struct net *net = net_of(model);
	uint64_t features = BIT(VIRTIO_NET_F_MAC) | BIT(VIRTIO_NET_F_STATUS) |
			    BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CTRL_VQ) |
			    BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			    BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_SPEED_DUPLEX);

	for (size_t i = 0; i < OFFLOADS; i++) {
		if (net->packet->send_offloads & offloads[i].offload)
			features |= offloads[i].send;
		if (net->packet->receive_offloads & offloads[i].offload)
			features |= offloads[i].receive;
	}
	if (features & BIT(VIRTIO_NET_F_GUEST_CSUM))
		features |= BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
	if (net->options.vlans)
		features |= BIT(VIRTIO_NET_F_CTRL_VLAN);
	if (net->options.announce)
		features |= BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
	if (net_mtu(net) >= NET_MIN_MTU)
		features |= BIT(VIRTIO_NET_F_MTU);
	if (net->pairs > 1)
		features |= BIT(VIRTIO_NET_F_MQ);
	return features;
}

/* A driver need not have negotiated a feature to find its fields filled. */
void net_config_read(struct model *model, uint8_t *config)
{
	struct net *net = net_of(model);
	uint64_t mac = atomic_load(&net->filter.mac);
	unsigned status = net->link_down ? 0 : VIRTIO_NET_S_LINK_UP;

	memset(config, 0, NET_CONFIG_SIZE);
	for (unsigned i = 0; i < ETH_ALEN; i++)
		AT(mac)[i] = (uint8_t)(mac >> 8 * (ETH_ALEN - 1 - i));
	if (atomic_load(&net->announce))
		status |= VIRTIO_NET_S_ANNOUNCE;
	store_le16(AT(status), (uint16_t)status);
	store_le16(AT(max_virtqueue_pairs), (uint16_t)net->pairs);
	store_le16(AT(mtu), (uint16_t)net_mtu(net));
	store_le32(AT(speed), net->options.speed ? net->options.speed : UINT32_MAX);
	*AT(duplex) = net->options.speed ? 1 : 0xff; /* full, or unknown */
}
