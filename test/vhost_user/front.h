/* For tests: a front end that says what it is told to, one message at a time. */
#ifndef TEST_VHOST_USER_FRONT_H
#define TEST_VHOST_USER_FRONT_H

#include <stddef.h>
#include <stdint.h>

#include "wire/vhost_user.h"

struct front_message {
	uint32_t request, flags, size;
	union vhost_user_payload payload;
	int fds[VHOST_USER_MAX_FDS + 2];
	unsigned fd_count;
};

/* A connected socket. */
int front_connect(const char *path);
/* Sends as it is, however wrong. 0 or -1. */
int front_send(int fd, const struct front_message *message);
int front_send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned fd_count);
/* Waits for one message (descriptors are the caller's). 0, or -1: the peer hung up. */
int front_receive(int fd, struct front_message *message);

/* Sends with NEED_REPLY and waits: what was acknowledged (0: success), or -1: hung up. */
int64_t front_ack(int fd, uint32_t request, const void *payload, uint32_t size, const int *fds,
		  unsigned fd_count);
/* Sends a request that has an answer, and waits for it. 0 or -1. */
int front_ask(int fd, uint32_t request, const void *payload, uint32_t size,
	      struct front_message *answer);
/* GET_FEATURES, GET_ and SET_PROTOCOL_FEATURES (all that are offered), SET_OWNER. The features. */
uint64_t front_greet(int fd, uint64_t *protocol);

#endif
