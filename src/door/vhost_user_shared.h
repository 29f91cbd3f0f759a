/*
 * Memory that a vhost-user front end shares with us besides the guest's: the dirty log and the
 * record of requests in flight. Each is a part of a file, mapped and watched by the guard.
 */
#ifndef UVDPA_DOOR_VHOST_USER_SHARED_H
#define UVDPA_DOOR_VHOST_USER_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/fault.h"

struct guard_window;

struct vu_shared {
	uint8_t *at; /* where the part begins; NULL: none */
	uint8_t *base;
	uint64_t mapped;
	struct guard_window *guard;
};

/*
 * Maps [offset, offset + size) of a file. `lost` is set when the file shrinks under us. Returns 0
 * or a negative errno with the fault filled. The descriptor stays the caller's.
 */
int vu_shared_map(struct vu_shared *shared, int fd, uint64_t offset, uint64_t size,
		  _Atomic bool *lost, const char *what, struct fault *fault);
void vu_shared_unmap(struct vu_shared *shared);

#endif
