/* For tests: a front end with memory, one ring of the driver library's, and what outlives a server.
 */
#ifndef TEST_VHOST_USER_SESSION_H
#define TEST_VHOST_USER_SESSION_H

#include <stdbool.h>

#include "uvdpa/driver.h"
#include "vhost_user/front.h"

struct session {
	int fd;	       /* the socket; -1: no server */
	uint16_t ring; /* entries */
	uint64_t features;
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	int inflight_fd; /* -1: not asked for yet */
	struct vhost_user_inflight inflight;
	uint16_t record_size;  /* entries; 0: as many as the ring has */
	bool inband;	       /* no descriptors for kicks and calls: messages instead */
	bool polled;	       /* SET_VRING_KICK says that there are no kicks */
	bool packed;	       /* its ring */
	bool without_record;   /* no SET_INFLIGHT_FD */
	bool without_base;     /* no SET_VRING_BASE: a restored state knows */
	uint64_t protocol_off; /* protocol features that it does not take */
	bool ring_logged;      /* SET_VRING_ADDR with the log flag */
};

#define SESSION_RING 128

void session_init(struct session *s, size_t memory);
void session_init_packed(struct session *s, size_t memory);
/* With so many entries. */
void session_init_packed_of(struct session *s, size_t memory, uint16_t ring);
void session_free(struct session *s);
/* Connects and sets everything up as QEMU does; `base` is where the device is to go on. */
void session_start(struct session *s, const char *path, uint32_t base);
/* SET_MEM_TABLE. */
void session_send_memory(struct session *s);
/* SET_VRING_ADDR of the ring. */
void session_send_addr(struct session *s);
void session_send_features(struct session *s, uint64_t features);
/* As QEMU's vhost_virtqueue_start: a ring of that index in the session's memory, not enabled yet.
 */
void session_start_ring(int fd, unsigned index, struct uvdpa_queue *queue, uint32_t base);
/* GET_VRING_BASE, or -1: the server hung up, -2: the ring could not be stopped and runs on. */
int64_t session_stop(struct session *s);
void session_hang_up(struct session *s);

#endif
