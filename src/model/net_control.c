/*
 * virtio-net: commands of the control queue (virtio 1.3, 5.1.6.5), one table. A command is class,
 * number and data, readable, and one byte for the answer. What is malformed, unknown or out of
 * range is answered with VIRTIO_NET_ERR and changes nothing.
 */
#include "model/net_internal.h"

#include <string.h>

#include "util/bytes.h"

#define HEADER		    2u
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define LOAD(field)	    atomic_load_explicit(&(field), memory_order_relaxed)

struct command {
	uint8_t class, number;
	unsigned feature; /* that has to be negotiated */
	unsigned size;	  /* of the data; 0: the command looks itself */
	bool (*run)(struct net *net, const struct command *command, const struct chain *chain);
	unsigned mode; /* RX modes: the bit it sets */
};

/* Data of the command, from byte `at` of it on. Returns false if there is not so much. */
static bool fetch(const struct chain *chain, uint64_t at, void *to, size_t size)
{
	return chain_read(chain, HEADER + at, to, size) == 0;
}

static bool set_mode(struct net *net, const struct command *command, const struct chain *chain)
{
	struct net_filter *filter = &net->filter;
	uint8_t on;

	if (!fetch(chain, 0, &on, sizeof(on)) || on > 1)
		return false;
	filter_begin(filter);
	STORE(filter->modes, (LOAD(filter->modes) & ~command->mode) | (on ? command->mode : 0));
	filter_end(filter);
	return true;
}

/* A multicast address is no card's. */
static bool set_mac(struct net *net, const struct command *command, const struct chain *chain)
{
	uint8_t mac[ETH_ALEN];

	if (!fetch(chain, 0, mac, sizeof(mac)) || mac[0] & 1)
		return false;
	filter_begin(&net->filter);
	STORE(net->filter.mac, net_mac(mac));
	filter_end(&net->filter);
	return true;
}

/* Two tables, each a count and so many addresses. One that is too long counts as "all of them". */
struct mac_table {
	uint64_t at; /* of the addresses */
	uint32_t count;
	bool overflow;
};

static bool find_table(const struct chain *chain, uint64_t at, uint64_t size,
		       struct mac_table *table)
{
	uint8_t count[4];

	if (at + sizeof(count) > size || !fetch(chain, at, count, sizeof(count)))
		return false;
	table->at = at + sizeof(count);
	table->count = load_le32(count);
	return table->count <= (size - table->at) / ETH_ALEN;
}

static bool read_table(const struct chain *chain, const struct mac_table *table, uint64_t *macs)
{
	uint8_t mac[ETH_ALEN];

	for (uint32_t i = 0; !table->overflow && i < table->count; i++) {
		if (!fetch(chain, table->at + (uint64_t)i * ETH_ALEN, mac, sizeof(mac)))
			return false;
		macs[i] = net_mac(mac);
	}
	return true;
}

static void store_tables(struct net_filter *filter, const struct mac_table tables[2],
			 const uint64_t *macs)
{
	unsigned unicast = tables[0].overflow ? 0 : tables[0].count;
	unsigned count = unicast + (tables[1].overflow ? 0 : tables[1].count);
	unsigned modes = LOAD(filter->modes) & ~(unsigned)(MODE_UNI_OVERFLOW | MODE_MULTI_OVERFLOW);

	filter_begin(filter);
	modes |= tables[0].overflow ? MODE_UNI_OVERFLOW : 0;
	modes |= tables[1].overflow ? MODE_MULTI_OVERFLOW : 0;
	STORE(filter->modes, modes);
	STORE(filter->unicast, unicast);
	STORE(filter->macs, count);
	for (unsigned i = 0; i < count; i++)
		STORE(filter->table[i], macs[i]);
	filter_end(filter);
}

static bool set_tables(struct net *net, const struct command *command, const struct chain *chain)
{
	uint64_t size = chain->readable - HEADER, macs[NET_MAX_MACS];
	struct mac_table tables[2] = {{0}};
	uint32_t unicast;

	if (!find_table(chain, 0, size, &tables[0]) ||
	    !find_table(chain, tables[0].at + (uint64_t)tables[0].count * ETH_ALEN, size,
			&tables[1]) ||
	    tables[1].at + (uint64_t)tables[1].count * ETH_ALEN != size)
		return false;
	tables[0].overflow = tables[0].count > NET_MAX_MACS;
	unicast = tables[0].overflow ? 0 : tables[0].count;
	tables[1].overflow = tables[1].count > NET_MAX_MACS - unicast;
	if (!read_table(chain, &tables[0], macs) || !read_table(chain, &tables[1], macs + unicast))
		return false;
	store_tables(&net->filter, tables, macs);
	return true;
}

static bool set_vlan(struct net *net, const struct command *command, const struct chain *chain)
{
	_Atomic uint64_t *word;
	uint8_t bytes[2];
	unsigned vlan;
	uint64_t bit;

	if (!fetch(chain, 0, bytes, sizeof(bytes)))
		return false;
	vlan = load_le16(bytes);
	if (vlan >= NET_VLANS)
		return false;
	word = &net->filter.vlans[vlan / 64];
	bit = UINT64_C(1) << vlan % 64;
	filter_begin(&net->filter);
	STORE(*word,
	      command->number == VIRTIO_NET_CTRL_VLAN_ADD ? LOAD(*word) | bit : LOAD(*word) & ~bit);
	filter_end(&net->filter);
	return true;
}

static bool acknowledge(struct net *net, const struct command *command, const struct chain *chain)
{
	atomic_store(&net->announce, false);
	return true;
}

static bool set_pairs(struct net *net, const struct command *command, const struct chain *chain)
{
	uint8_t bytes[2];
	unsigned pairs;

	if (!fetch(chain, 0, bytes, sizeof(bytes)))
		return false;
	pairs = load_le16(bytes);
	if (!pairs || pairs > net->pairs)
		return false;
	atomic_store(&net->active, pairs);
	packet_set_pairs(net->packet, pairs);
	return true;
}

/* 5.1.6.5.6.1: a subset of what was negotiated. */
static bool set_offloads(struct net *net, const struct command *command, const struct chain *chain)
{
	unsigned offloads;
	uint8_t bytes[8];

	if (!fetch(chain, 0, bytes, sizeof(bytes)))
		return false;
	if (load_le64(bytes) & ~net->features)
		return false;
	offloads = net_receive_offloads(load_le64(bytes)) & net->packet->receive_offloads;
	atomic_store(&net->receive_offloads, offloads);
	packet_set_offloads(net->packet, offloads);
	return true;
}

#define MODE(number, feature, mode)                                                   \
	{                                                                             \
		VIRTIO_NET_CTRL_RX, number, VIRTIO_NET_F_##feature, 1, set_mode, mode \
	}

static const struct command commands[] = {
	MODE(VIRTIO_NET_CTRL_RX_PROMISC, CTRL_RX, MODE_PROMISC),
	MODE(VIRTIO_NET_CTRL_RX_ALLMULTI, CTRL_RX, MODE_ALLMULTI),
	MODE(VIRTIO_NET_CTRL_RX_ALLUNI, CTRL_RX_EXTRA, MODE_ALLUNI),
	MODE(VIRTIO_NET_CTRL_RX_NOMULTI, CTRL_RX_EXTRA, MODE_NOMULTI),
	MODE(VIRTIO_NET_CTRL_RX_NOUNI, CTRL_RX_EXTRA, MODE_NOUNI),
	MODE(VIRTIO_NET_CTRL_RX_NOBCAST, CTRL_RX_EXTRA, MODE_NOBCAST),
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX, 0, set_tables},
	{VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, VIRTIO_NET_F_CTRL_MAC_ADDR, ETH_ALEN,
	 set_mac},
	{VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_F_CTRL_VLAN, 2, set_vlan},
	{VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, VIRTIO_NET_F_CTRL_VLAN, 2, set_vlan},
	{VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, VIRTIO_NET_F_GUEST_ANNOUNCE, 0,
	 acknowledge},
	{VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_F_MQ, 2, set_pairs},
	{VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
	 VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, 8, set_offloads},
};

static bool run(struct net *net, const struct chain *chain)
{
	uint8_t header[HEADER];

	if (chain_read(chain, 0, header, sizeof(header)) < 0)
		return false;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];

		if (command->class != header[0] || command->number != header[1])
			continue;
		if (!net_has(net, command->feature))
			return false;
		if (command->size && chain->readable != HEADER + command->size)
			return false;
		return command->run(net, command, chain);
	}
	return false;
}

bool net_process_control(struct net_queue *queue, struct chain_source *source, unsigned budget)
{
	for (; budget; budget--) {
		struct request *request = chain_take(source);
		uint8_t answer = VIRTIO_NET_ERR;

		if (!request)
			return false;
		if (!request->chain.writable) {
			request_refuse(request, "a command without room for an answer");
			return false;
		}
		if (run(queue->net, &request->chain))
			answer = VIRTIO_NET_OK;
		net_count(answer ? &queue->counters.refused : &queue->counters.commands, 1);
		request->chain.in_order = true;
		if (chain_write(&request->chain, 0, &answer, sizeof(answer)) < 0)
			request_refuse(request, "the room for an answer went away");
		else
			request_complete(request, sizeof(answer));
	}
	return true;
}
