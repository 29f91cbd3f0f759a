/*
 * virtio-net: telling the network where the card's address is (rarp=on). Switches send frames for a
 * guest that moved to its old place until they hear something from its new one. A VMM's own
 * announcements do not get through a vhost-vdpa card, and the guest has a while to wake up; so the
 * card says it, when it starts: a RARP request, as VMMs send. Over vhost-user a VMM asks for it
 * (SEND_RARP).
 */
#include "model/net_internal.h"

#include <string.h>

#define FRAME_SIZE 60u /* the shortest that Ethernet has */

void net_tell(struct net_queue *queue, struct packet_channel *channel)
{
	uint64_t own = atomic_load_explicit(&queue->net->filter.mac, memory_order_relaxed);
	uint64_t mac = queue->told ? queue->told : own;
	uint8_t header[NET_HDR_SIZE] = {0}, frame[FRAME_SIZE] = {0}, address[ETH_ALEN];
	const struct iovec iov[] = {{header, sizeof(header)}, {frame, sizeof(frame)}};
	/* RFC 903 and 826: Ethernet, IPv4, lengths of their addresses, "request reverse" */
	static const uint8_t rarp[] = {0x80, 0x35, 0, 1, 8, 0, 6, 4, 0, 3};

	for (unsigned i = 0; i < ETH_ALEN; i++)
		address[i] = (uint8_t)(mac >> 8 * (ETH_ALEN - 1 - i));
	memset(frame, 0xff, ETH_ALEN);
	memcpy(frame + 6, address, ETH_ALEN);
	memcpy(frame + 12, rarp, sizeof(rarp));
	memcpy(frame + 22, address, ETH_ALEN); /* whose address is asked for: both times ours */
	memcpy(frame + 32, address, ETH_ALEN);
	packet_send(channel, iov, 2); /* if there is no room, the guest's own frames will tell */
}
