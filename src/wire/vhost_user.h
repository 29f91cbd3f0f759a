/*
 * The vhost-user protocol as it goes over the socket: numbers and layouts that both towers
 * share (QEMU docs/interop/vhost-user, whose names are kept). Numbers are in host byte order.
 */
#ifndef UVDPA_WIRE_VHOST_USER_H
#define UVDPA_WIRE_VHOST_USER_H

#include <assert.h>
#include <stdint.h>

#include "wire/vhost.h"

/* The feature bits that are the protocol's own and not a virtio device's. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30
#ifndef VHOST_F_LOG_ALL
#define VHOST_F_LOG_ALL 26
#endif

/* Header flags. */
#define VHOST_USER_VERSION	0x1u
#define VHOST_USER_VERSION_MASK 0x3u
#define VHOST_USER_REPLY	0x4u
#define VHOST_USER_NEED_REPLY	0x8u

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
	VHOST_USER_REQUEST_COUNT = 44 /* one more than the highest that is defined */
};

/* What the back end sends on its own channel. */
enum vhost_user_backend_request {
	VHOST_USER_BACKEND_CONFIG_CHANGE = 2,
	VHOST_USER_BACKEND_VRING_CALL = 4,
	VHOST_USER_BACKEND_VRING_ERR = 5,
};

/* Protocol features: bit numbers. */
#define VHOST_USER_PROTOCOL_F_MQ		      0
#define VHOST_USER_PROTOCOL_F_LOG_SHMFD		      1
#define VHOST_USER_PROTOCOL_F_RARP		      2
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		      3
#define VHOST_USER_PROTOCOL_F_NET_MTU		      4
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ	      5
#define VHOST_USER_PROTOCOL_F_CONFIG		      9
#define VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD	      10
#define VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD	      12
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE	      13
#define VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS    14
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS     15
#define VHOST_USER_PROTOCOL_F_STATUS		      16
#define VHOST_USER_PROTOCOL_F_DEVICE_STATE	      19
#define VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT 20

/* SET_VRING_KICK, CALL and ERR: the u64. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NOFD	    0x100u

/* SET_MEM_TABLE carries at most this many regions, each with its fd. */
#define VHOST_USER_TABLE_REGIONS 8
#define VHOST_USER_MAX_FDS	 8
/* The header of GET_CONFIG and SET_CONFIG, and the largest config space that they carry. */
#define VHOST_USER_CONFIG_HEADER 12u
#define VHOST_USER_CONFIG_MAX	 256u
/* Its flags: what the driver writes, or what is brought along in a migration. */
#define VHOST_USER_CONFIG_FRONTEND  0u
#define VHOST_USER_CONFIG_MIGRATION 1u

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of what follows */
};
static_assert(sizeof(struct vhost_user_header) == 12, "the header has 12 bytes");

struct vhost_user_region {
	uint64_t guest_address;
	uint64_t size;
	uint64_t user_address;
	uint64_t mmap_offset;
};

struct vhost_user_memory {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_TABLE_REGIONS];
};

struct vhost_user_single_region {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags; /* 0: the guest writes; 1: live migration */
	uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

struct vhost_user_log {
	uint64_t mmap_size;
	uint64_t mmap_offset;
};

struct vhost_user_inflight {
	uint64_t mmap_size;
	uint64_t mmap_offset;
	uint16_t queues;
	uint16_t queue_size;
	uint32_t padding; /* QEMU counts it in: 24 bytes */
};

#define VHOST_USER_TRANSFER_SAVE 0u
#define VHOST_USER_TRANSFER_LOAD 1u

struct vhost_user_transfer {
	uint32_t direction;
	uint32_t phase; /* 0: everything is stopped */
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_single_region region;
	struct vhost_user_config config;
	struct vhost_user_log log;
	struct vhost_user_inflight inflight;
	struct vhost_user_transfer transfer;
};

#endif
