/*
 * virtio-net: what the system's headers lack, and the header that goes before every frame.
 *
 * Facts of linux/virtio_net.h as Linux 7.3 has it, needed because Debian 12 builds against 6.1's.
 */
#ifndef UVDPA_WIRE_NET_H
#define UVDPA_WIRE_NET_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO	56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Bytes of struct virtio_net_hdr_v1, and where its fields are (virtio 1.3, 5.1.6). */
#define NET_HDR_SIZE 12u
enum {
	NET_HDR_FLAGS = 0,
	NET_HDR_GSO_TYPE = 1,
	NET_HDR_HDR_LEN = 2,
	NET_HDR_GSO_SIZE = 4,
	NET_HDR_CSUM_START = 6,
	NET_HDR_CSUM_OFFSET = 8,
	NET_HDR_BUFFERS = 10
};

#endif
