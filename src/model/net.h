/* What operators may ask of a virtio-net device. It is made by net_new (model/models.h). */
#ifndef UVDPA_MODEL_NET_H
#define UVDPA_MODEL_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;

/* Counters of a queue, since the device was made. Receive queues have the received frames. */
struct net_stats {
	uint64_t packets, bytes; /* delivered to the driver, or taken by the backend */
	uint64_t filtered;	 /* received, and not what the driver asked for (address, MTU) */
	uint64_t malformed;	 /* dropped: wrong size, or a header that is nonsense */
	uint64_t no_room;	 /* dropped: the backend was full, or no buffer was large enough */
	uint64_t commands, refused; /* of the control queue: done, and answered with an error */
	uint64_t direct;	    /* of `packets`: straight out of the sender's memory (pair) */
};

/* Fills the counters of one queue. Returns false if the model is no virtio-net device. Any thread.
 */
bool net_get_stats(const struct model *model, unsigned queue, struct net_stats *stats);
/* What the saved state of a virtio-net device says of it, for people. */
struct net_state_view {
	uint8_t mac[6];
	bool promiscuous;
	unsigned pairs, unicast, multicast, vlans; /* in use; entries of its tables */
};
/* Returns false if the bytes are no such state. */
bool net_view_state(const uint8_t *bytes, size_t size, struct net_state_view *view);

/* Of a virtio-net device. Control. */
bool net_link_is_up(const struct model *model);
/* Queue pairs that its driver uses. */
unsigned net_active_pairs(const struct model *model);

#endif
