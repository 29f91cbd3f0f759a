/*
 * Client memory: the contract between the address spaces and whoever knows
 * the client's process (an export, an embedding program, a test).
 *
 * Addresses here are the client's own virtual addresses (`uaddr` of an IOTLB
 * message). Memory is reached in one of two ways: mapped (a window: loads and
 * stores through a host pointer) where the client's memory has a backing file,
 * and copied (read/write) where it has none. All functions may be called from
 * any worker thread at once.
 */
#ifndef UVDPA_MEMORY_CLIENT_H
#define UVDPA_MEMORY_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A region of client memory and how to reach it. */
struct window {
	uint64_t uaddr; /* where it begins in the client */
	uint64_t size;	/* bytes */
	uint8_t *host;	/* where it begins here; NULL: only by copying */
	bool barred;	/* nor so: whoever copies might have to wait for the client */
	void *cookie;	/* the implementation's own */
};

struct client_memory;

struct client_memory_ops {
	/*
	 * Finds out how [uaddr, uaddr + size) is reachable. Fills `out` with a
	 * region that begins at `uaddr` and has at least one and at most `size`
	 * bytes. Where it cannot be mapped (or is not there: accesses tell), it
	 * is a copied region. Returns 0, or -ENOMEM. The caller unmaps it.
	 */
	int (*map)(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
		   struct window *out);
	void (*unmap)(struct client_memory *memory, struct window *window);
	/* Copy between here and the client. Return 0 or -EFAULT: all or an error. */
	int (*read)(struct client_memory *memory, uint64_t uaddr, void *to, size_t size);
	int (*write)(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size);
	/*
	 * As `map`, for as many regions as [uaddr, uaddr + size) has, each beginning where the
	 * one before ends, at most `max`. Returns how many, at least 1, or -ENOMEM. NULL: `map` is
	 * as quick.
	 */
	int (*map_many)(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
			struct window *out, unsigned max);
};

struct client_memory {
	const struct client_memory_ops *ops;
	/* Set (from a signal handler, perhaps) when a window's memory went away under us. */
	_Atomic bool lost;
};

#endif
