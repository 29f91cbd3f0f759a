/*
 * virtio-net: what the driver set besides the rings, as saved state (uvdpa-state(5)): receive
 * modes, addresses, VLANs, queue pairs, offloads. Loaded bytes come from anywhere and are checked
 * first.
 */
#include "model/net_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define LOAD(field)	    atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

/* Where the fields are. */
enum {
	MODES = 0,
	OFFLOADS = 4,
	MAC = 8,
	ACTIVE = 16,
	UNICAST = 18,
	MACS = 20,
	ANNOUNCE = 22,
	TABLE = 24,
	VLANS = TABLE + 8 * NET_MAX_MACS,
	STATE_SIZE = VLANS + NET_VLANS / 8
};

#define ALL_MODES (2 * MODE_VLAN - 1)

static_assert((int)STATE_SIZE <= MODEL_STATE_MAX, "it fits");

size_t net_state_save(struct model *model, uint8_t *bytes)
{
	struct net *net = net_of(model);
	struct net_filter *filter = &net->filter;

	store_le32(bytes + MODES, LOAD(filter->modes));
	store_le32(bytes + OFFLOADS, LOAD(net->receive_offloads));
	store_le64(bytes + MAC, LOAD(filter->mac));
	store_le16(bytes + ACTIVE, (uint16_t)LOAD(net->active));
	store_le16(bytes + UNICAST, (uint16_t)LOAD(filter->unicast));
	store_le16(bytes + MACS, (uint16_t)LOAD(filter->macs));
	store_le16(bytes + ANNOUNCE, LOAD(net->announce));
	for (unsigned i = 0; i < NET_MAX_MACS; i++)
		store_le64(bytes + TABLE + i * 8, LOAD(filter->table[i]));
	for (unsigned i = 0; i < NET_VLANS / 64; i++)
		store_le64(bytes + VLANS + i * 8, LOAD(filter->vlans[i]));
	return STATE_SIZE;
}

int net_state_check(struct model *model, const uint8_t *bytes, size_t size, struct error *f)
{
	const struct net *net = net_of(model);
	unsigned unicast, macs, active;

	if (size != STATE_SIZE)
		return error_set(f, -EINVAL, "a network card's state has %d bytes, not %zu",
				 STATE_SIZE, size);
	unicast = load_le16(bytes + UNICAST);
	macs = load_le16(bytes + MACS);
	active = load_le16(bytes + ACTIVE);
	if (!active || active > net->pairs)
		return error_set(f, -EINVAL,
				 "the state has %u queue pairs in use, this card has %u", active,
				 net->pairs);
	if (unicast > macs || macs > NET_MAX_MACS || load_le32(bytes + MODES) > ALL_MODES ||
	    load_le64(bytes + MAC) >> 48 || load_le16(bytes + ANNOUNCE) > 1)
		return error_set(f, -EINVAL, "the state of a network card makes no sense");
	if (load_le32(bytes + OFFLOADS) & ~net->packet->receive_offloads)
		return error_set(
			f, -EINVAL,
			"the state has offloads in use (0x%x) that this card's cable has not",
			load_le32(bytes + OFFLOADS));
	return 0;
}

void net_state_load(struct model *model, const uint8_t *bytes, size_t size)
{
	struct net *net = net_of(model);
	struct net_filter *filter = &net->filter;

	filter_begin(filter);
	STORE(filter->modes, load_le32(bytes + MODES));
	STORE(filter->mac, load_le64(bytes + MAC));
	STORE(filter->unicast, load_le16(bytes + UNICAST));
	STORE(filter->macs, load_le16(bytes + MACS));
	for (unsigned i = 0; i < NET_MAX_MACS; i++)
		STORE(filter->table[i], load_le64(bytes + TABLE + i * 8));
	for (unsigned i = 0; i < NET_VLANS / 64; i++)
		STORE(filter->vlans[i], load_le64(bytes + VLANS + i * 8));
	filter_end(filter);
	/* the card is at another place now: the network has to hear of it */
	STORE(net->announce,
	      load_le16(bytes + ANNOUNCE) || net_has(net, VIRTIO_NET_F_GUEST_ANNOUNCE));
	STORE(net->active, load_le16(bytes + ACTIVE));
	STORE(net->receive_offloads, load_le32(bytes + OFFLOADS));
	packet_set_pairs(net->packet, load_le16(bytes + ACTIVE));
	packet_set_offloads(net->packet, load_le32(bytes + OFFLOADS));
}

bool net_view_state(const uint8_t *bytes, size_t size, struct net_state_view *view)
{
	uint64_t mac;

	if (size != STATE_SIZE)
		return false;
	mac = load_le64(bytes + MAC);
	*view = (struct net_state_view){
		.promiscuous = load_le32(bytes + MODES) & MODE_PROMISC,
		.pairs = load_le16(bytes + ACTIVE),
		.unicast = load_le16(bytes + UNICAST),
		.multicast = load_le16(bytes + MACS) - (unsigned)load_le16(bytes + UNICAST),
	};
	for (unsigned i = 0; i < ETH_ALEN; i++)
		view->mac[i] = (uint8_t)(mac >> 8 * (ETH_ALEN - 1 - i));
	for (unsigned i = 0; i < NET_VLANS / 8; i++)
		view->vlans += (unsigned)__builtin_popcount(bytes[VLANS + i]);
	return true;
}
