/* What the files of the vhost-user transport share: the connection, messages, rings. */
#ifndef UVDPA_DRIVER_VHOST_USER_INTERNAL_H
#define UVDPA_DRIVER_VHOST_USER_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/vhost_user.h"
#include "wire/vhost_user.h"

#define VU_BIT(n)    (UINT64_C(1) << (n))
#define VU_MAX_MAPS  32
#define VU_MAX_RINGS 64
#define VU_RING_SIZE 256  /* of a ring that is given no size */
#define VU_RING_MOST 1024 /* larger ones are not asked for: VMMs have none */
#define VU_MAX_OWED  32
/* How long an answer may take, if the caller does not say: a disk that is slow drains its rings
 * before it answers GET_VRING_BASE. */
#define VU_ANSWER_MS 10000

/* One mapping that the device knows. */
struct vu_map {
	uint64_t iova, size, uaddr;
	bool used;
};

struct vu_front_ring {
	uint32_t num, base;
	uint64_t desc, avail, used; /* IOVA */
	int kick, call;		    /* dups; -1: none */
	bool has_addr, has_base, wanted, running;
};

/* Why a connection is of no use any more. */
struct vu_end {
	int code; /* 0: it works; -EBUSY, -ETIMEDOUT, -EPROTO, -ECONNRESET */
	char text[200];
};

struct vu_front {
	int fd;
	pthread_mutex_t lock; /* one request at a time */
	unsigned answer_ms;
	bool answered;	    /* anything, ever */
	bool opening;	    /* the driver is not there yet */
	uint32_t device_id; /* 0: guessed */
	void (*on_message)(void *arg, const struct uvdpa_message *message);
	void (*on_lost)(void *arg, const char *why);
	void *arg;
	struct vu_end end;
	uint64_t offered, acked, protocol, backend_features;
	uint8_t status;	   /* as it was set */
	bool hurry;	   /* nobody is served until the answer is here */
	unsigned together; /* acknowledgements are collected later, so many levels deep */
	int refused;	   /* meanwhile: the first refusal */
	uint32_t owed[VU_MAX_OWED];
	unsigned owed_count;
	bool suspended;
	struct vu_map maps[VU_MAX_MAPS];
	struct vu_front_ring rings[VU_MAX_RINGS];
	unsigned ring_count;
	uint16_t ring_max; /* the largest that the back end takes; 0: not asked */
	unsigned map_max;  /* regions that it takes */

	int notices; /* our end of the device's own channel; -1: none */
	pthread_t listener;
	bool has_listener;
	pthread_mutex_t call_lock;
	int config_call; /* [call_lock] */
};

/*
 * Sends a request, with descriptors, and waits for the acknowledgement, where there is one. 0, what
 * the device refused with, or -ECONNRESET: the connection has ended, front->end says why. A back
 * end that does not answer within answer_ms, or answers something else, is hung up on: nobody knows
 * to which request its next answer would belong.
 */
int vu_request(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
	       uint32_t size, const int *fds, unsigned fd_count);
/*
 * The same for a request that has an answer of its own, of `answer` bytes, which replaces the
 * payload. -EINVAL: an answer of no bytes, which is a refusal. -EPROTO: of another size.
 */
int vu_ask(struct vu_front *front, uint32_t request, union vhost_user_payload *payload,
	   uint32_t size, uint32_t answer);
/* The limits of answer_ms for the socket itself. */
void vu_bound(struct vu_front *front);
/* Starts all that is enabled and does not run. */
int vu_front_start_rings(struct vu_front *front);
/* The request's name in the protocol, without the prefix: "GET_VRING_BASE". */
const char *vu_request_name(uint32_t request);

/*
 * From here to vu_batch_end() requests that have no answer but an acknowledgement go out without
 * waiting for it, and count as taken. vu_batch_end() waits for them all: 0 or the first refusal. In
 * pairs inside each other it is the outermost vu_batch_end() that does.
 */
void vu_batch_begin(struct vu_front *front);
int vu_batch_end(struct vu_front *front);

/* Requests whose payload, or whose answer, is one number. */
int vu_get_u64(struct vu_front *front, uint32_t request, uint64_t *value);
int vu_set_u64(struct vu_front *front, uint32_t request, uint64_t value);

/* Whether a protocol feature (a bit number) is in use. */
static inline bool vu_has(const struct vu_front *front, unsigned feature)
{
	return front->protocol & VU_BIT(feature);
}

/* Whether rings may run: a back end without STATUS does not know of DRIVER_OK (virtio 3.1.1). */
static inline bool vu_rings_may_run(const struct vu_front *front)
{
	return vu_has(front, VHOST_USER_PROTOCOL_F_STATUS) ||
	       front->status & VIRTIO_CONFIG_S_DRIVER_OK;
}

int vu_front_get_status(struct vu_front *front, uint8_t *status);
int vu_front_set_status(struct vu_front *front, uint8_t status);

int vu_front_map(struct vu_front *front, uint64_t iova, uint64_t size, uint64_t uaddr);
int vu_front_unmap(struct vu_front *front, uint64_t iova, uint64_t size);

/* The ring ioctls; `index` is below ring_count. */
int vu_front_ring_ioctl(struct vu_front *front, unsigned long cmd, void *arg);
/*
 * The largest ring that the back end takes, up to VU_RING_MOST. The protocol has no question for
 * it: SET_VRING_NUM of ring 0 is tried, once, and never while rings run.
 */
int vu_front_ring_max(struct vu_front *front, uint16_t *max);
/* Stops every ring that runs. */
int vu_front_stop_rings(struct vu_front *front);
int vu_front_suspend(struct vu_front *front);
int vu_front_resume(struct vu_front *front);
void vu_front_rings_reset(struct vu_front *front);

/* Opens the device's own channel and a thread that listens on it. */
int vu_front_listen(struct vu_front *front);
void vu_front_unlisten(struct vu_front *front);

#endif
