/* How each model is made. All return 0, or a negative errno with the error filled. */
#ifndef UVDPA_MODEL_MODELS_H
#define UVDPA_MODEL_MODELS_H

#include "backend/block.h"
#include "backend/packet.h"
#include "model/model.h"

struct blk_options {
	unsigned queues;     /* 1 .. 64 */
	unsigned queue_size; /* entries of the device's queues: bounds seg_max. 0: 128 */
	const char *serial;  /* up to 20 bytes, copied; NULL: none */
	bool write_cache;    /* initial writeback mode (default on) */
};

/* A virtio-blk device over `block`, which it takes over. */
int blk_new(const struct blk_options *options, struct block *block, struct model **model,
	    struct error *err);

#define NET_MIN_MTU 68u /* RFC 791 */

struct net_options {
	uint8_t mac[6];
	uint16_t mtu;	/* offered to the driver; 0: the backend's, if it knows one */
	uint32_t speed; /* Mbit/s; 0: unknown */
	bool vlans;	/* offer VIRTIO_NET_F_CTRL_VLAN */
	bool announce;	/* offer VIRTIO_NET_F_GUEST_ANNOUNCE */
	bool rarp;	/* tell the network of the address when a driver starts the card */
};

/* A virtio-net device with a queue pair per channel of `packet`, which it takes over. */
int net_new(const struct net_options *options, struct packet *packet, struct model **model,
	    struct error *err);

#endif
