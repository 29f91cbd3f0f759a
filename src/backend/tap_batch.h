/* For packet_tap.c only: frames that go to a TAP interface together, with one system call. */
#ifndef UVDPA_BACKEND_TAP_BATCH_H
#define UVDPA_BACKEND_TAP_BATCH_H

#include <stdbool.h>

#include "backend/packet.h"

struct tap_batch;

/* `fd` is the caller's and does not wait (O_NONBLOCK). NULL: it cannot be had here. */
struct tap_batch *tap_batch_new(int fd);
void tap_batch_free(struct tap_batch *batch);

/*
 * Keeps a frame: a copy of its header and list, not what the list names. False: there is no room
 * for it before the next send, or, if the batch is empty, not at all.
 */
bool tap_batch_add(struct tap_batch *batch, const struct iovec *iov, unsigned count);

/* Sends what is kept, in order. Returns what did not go. */
struct packet_lost tap_batch_send(struct tap_batch *batch);

#endif
