/*
 * What the driver wants to hear (virtio 1.3, 5.1.6.5.1 to 5.1.6.5.3).
 *
 * The filter is written by the control queue's worker and read by those of the receive queues, per
 * frame and without a lock: a sequence lock. `version` is odd during a change; a reader that saw it
 * odd or changed looks again. All fields are atomics, loaded and stored relaxed in between.
 */
#include "model/net_internal.h"

#include <string.h>

#include "util/bytes.h"

#define LOAD(field)	    atomic_load_explicit(&(field), memory_order_relaxed)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

#define BROADCAST UINT64_C(0xffffffffffff)

void filter_begin(struct net_filter *filter)
{
	STORE(filter->version, LOAD(filter->version) + 1);
	atomic_thread_fence(memory_order_seq_cst);
}

void filter_end(struct net_filter *filter)
{
	atomic_store_explicit(&filter->version, LOAD(filter->version) + 1, memory_order_release);
}

/* 5.1.6.5.1: without a word from the driver, promiscuous, so that any address works. */
void filter_reset(struct net_filter *filter, uint64_t mac, bool vlans)
{
	filter_begin(filter);
	STORE(filter->modes, MODE_PROMISC | (vlans ? MODE_VLAN : 0));
	STORE(filter->mac, mac);
	STORE(filter->unicast, 0);
	STORE(filter->macs, 0);
	for (unsigned i = 0; i < NET_VLANS / 64; i++)
		STORE(filter->vlans[i], 0);
	filter_end(filter);
}

static bool in_table(struct net_filter *filter, uint64_t mac, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to && i < NET_MAX_MACS; i++)
		if (LOAD(filter->table[i]) == mac)
			return true;
	return false;
}

static bool wants_address(struct net_filter *filter, unsigned modes, uint64_t mac)
{
	unsigned unicast = LOAD(filter->unicast), macs = LOAD(filter->macs);

	if (modes & MODE_PROMISC)
		return true;
	if (mac == BROADCAST)
		return !(modes & MODE_NOBCAST);
	if (mac >> 40 & 1) {
		if (modes & MODE_NOMULTI)
			return false;
		return modes & (MODE_ALLMULTI | MODE_MULTI_OVERFLOW) ||
		       in_table(filter, mac, unicast, macs);
	}
	if (modes & MODE_NOUNI)
		return false;
	return modes & (MODE_ALLUNI | MODE_UNI_OVERFLOW) || mac == LOAD(filter->mac) ||
	       in_table(filter, mac, 0, unicast);
}

/* VLAN 0 is a priority and no VLAN; untagged frames are not the table's concern. */
static bool wants_vlan(struct net_filter *filter, unsigned modes, const uint8_t *frame,
		       unsigned size)
{
	unsigned vlan;

	if (!(modes & MODE_VLAN) || size < ETH_HLEN + 4 || frame[12] != 0x81 || frame[13])
		return true;
	vlan = (frame[14] & 0xfu) << 8 | frame[15];
	return !vlan || LOAD(filter->vlans[vlan / 64]) >> vlan % 64 & 1;
}

static bool wants(struct net_filter *filter, const uint8_t *frame, unsigned size)
{
	unsigned modes = LOAD(filter->modes);

	if ((modes & (MODE_PROMISC | MODE_VLAN)) == MODE_PROMISC)
		return true;
	return wants_address(filter, modes, net_mac(frame)) &&
	       wants_vlan(filter, modes, frame, size);
}

bool filter_wants(struct net_filter *filter, const uint8_t *frame, unsigned size)
{
	for (;;) {
		unsigned version = atomic_load_explicit(&filter->version, memory_order_acquire);
		bool wanted = wants(filter, frame, size);

		atomic_thread_fence(memory_order_acquire);
		if (!(version & 1) && LOAD(filter->version) == version)
			return wanted;
	}
}
