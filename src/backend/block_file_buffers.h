/*
 * Registered buffers of a ring of the file backend: the memory that requests lie in, pinned, so
 * that the kernel need not look up and hold its pages for each of them.
 *
 * Theory of operation
 * -------------------
 * Memory comes as regions (struct block_memory), which are cut into parts of PART bytes. A part
 * is registered when a request is first in it, so that no pass takes long and what no request is
 * ever in is not pinned. A request that lies in two parts is an ordinary one.
 *
 *     region  id 7   | part | part | part | pa |      base, size
 *     numbers         |   0  |  12  |   -  |  3 |      of registered buffers; -: not registered
 *
 * The kernel finds pages by a buffer's number, whatever is mapped at the address by now. That a
 * number is never used for memory that has taken the place of what was registered rests on two
 * things: it is found by the region's id, which no other ever has; and the owner says when a
 * region goes, before that, with no request in it. Then the id is struck out. The pages themselves
 * are let go of at the next poll, since only the ring's issuer may do that: until then they are
 * pinned and nothing else.
 *
 * What cannot be registered (ENOMEM: beyond RLIMIT_MEMLOCK; EFAULT: read-only; memory of a kind
 * that is not pinned; an old kernel) is used as if there were no such thing, which is said once.
 */
#ifndef UVDPA_BACKEND_BLOCK_FILE_BUFFERS_H
#define UVDPA_BACKEND_BLOCK_FILE_BUFFERS_H

#include "backend/block_file.h"
#include "backend/block_file_ring.h"

struct file_buffers;

/* The ring outlives it. NULL: the ring cannot have any, as the log says. */
struct file_buffers *file_buffers_new(struct file_block *file, struct file_ring *ring);
void file_buffers_free(struct file_buffers *buffers);

const struct file_ring *file_buffers_ring(const struct file_buffers *buffers);

/* One more than the number of the buffer that a read or write lies in; 0: there is none. */
unsigned file_buffers_find(struct file_buffers *buffers, const struct block_request *request);

/* The region is not named any more. Any thread that has the channel. */
void file_buffers_gone(struct file_buffers *buffers, uint64_t id);
/* Lets go of what is gone. By the issuer. */
void file_buffers_release(struct file_buffers *buffers);

#endif
