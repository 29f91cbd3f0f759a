/*
 * Guest memory for tests: a client_memory over a memfd, with windows that
 * really go away when they are unmapped, so that a use after unmap crashes.
 */
#ifndef UVDPA_TEST_RAM_H
#define UVDPA_TEST_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "memory/client.h"

enum ram_kind {
	RAM_MAPPED, /* one window for whatever is asked */
	RAM_COPIED, /* no windows at all */
	RAM_MIXED,  /* mapped and copied regions take turns */
	RAM_DIRECT, /* as mapped, without an alias per window: cheap, for simulations */
};

struct ram {
	struct client_memory memory;
	enum ram_kind kind;
	int fd;
	uint8_t *bytes; /* the guest's own view */
	uint64_t size;
	uint64_t uaddr;	 /* where it begins in the client */
	uint64_t iova;	 /* where tests map it: IOVA of byte 0 */
	uint64_t region; /* RAM_MIXED: bytes per region */

	unsigned maps, unmaps; /* windows given out and taken back */
	unsigned reads, writes;
	unsigned torn;	 /* writes of two bytes that a kernel may make one by one */
	int map_error;	 /* returned by map instead of a window */
	bool vanished;	 /* read and write fail */
	uint8_t *frozen; /* ram_freeze's copy */
	/* Called before each read and write, where there are no windows: the guest goes on
	 * meanwhile. */
	void (*hook)(void *arg);
	void *hook_arg;
	uint64_t pause; /* a uaddr: called once more when a read comes to it */
};

/* Fills *ram; ends the test program if the machine cannot. */
void ram_init(struct ram *ram, enum ram_kind kind, uint64_t size);
void ram_destroy(struct ram *ram);

/* The guest's pointer to [iova, iova + size): asserts that it is inside. */
void *ram_at(struct ram *ram, uint64_t iova, uint64_t size);

/* Remembers the contents. ram_changed: offset of the first byte that differs now, or -1. */
void ram_freeze(struct ram *ram);
int64_t ram_changed(const struct ram *ram);

#endif
