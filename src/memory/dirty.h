/*
 * A dirty log: one bit per page of guest memory, in memory shared with who migrates the guest
 * (vhost-user: Migration). Bits are set with atomic operations, by any number of workers, while the
 * other side reads and clears them.
 *
 * Mark after writing, never before: a bit that is read and cleared between the mark and the write
 * would leave the write unnoticed. And between writing and looking whether the bit is set lies a
 * full fence, as it does between clearing it and reading the page, on the other side.
 */
#ifndef UVDPA_MEMORY_DIRTY_H
#define UVDPA_MEMORY_DIRTY_H

#include <stdatomic.h>
#include <stdint.h>

#define DIRTY_PAGE 4096u /* VHOST_LOG_PAGE */

struct client_memory;

/*
 * Where the bits cannot be mapped (`memory` is set: private anonymous memory of the client) they
 * are read, and written where they have to change, one at a time over all logs of this process: the
 * client may be clearing the same byte meanwhile, and may then find a page marked again. Never is a
 * mark lost, unless another process marks pages of the same byte.
 */
struct dirty_log {
	_Atomic uint8_t *bits;
	uint64_t pages;
	_Atomic uint64_t beyond; /* marks that the log has no bit for */
	struct client_memory *memory;
	uint64_t uaddr; /* of the bits, in the client */
};

/* Marks the pages of [address, address + size). */
void dirty_mark(struct dirty_log *log, uint64_t address, uint64_t size);

#endif
