/*
 * What a client hands over as a file, mapped here: its memory, its dirty log, the record of its
 * requests. This is the one place that maps such files, whichever export they come through, and it
 * has each mapping watched (client/guard.h).
 *
 * Not every file may be mapped. A page of one whose file system asks somebody (FUSE, a network) is
 * loaded when that one answers, and whoever touched it waits for as long, with what locks it has.
 * Memory files answer always: memfd, shared memory (tmpfs) and hugetlbfs. The operator may allow
 * others by naming where they lie.
 *
 * Nor as many as a client likes: a process has a bounded number of mappings (vm.max_map_count), and
 * all clients share them.
 */
#ifndef UVDPA_CLIENT_MAP_H
#define UVDPA_CLIENT_MAP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/error.h"

struct guard_window;

/* The mappings of one client. */
struct client_maps {
	_Atomic bool *lost; /* set when a file shrinks under us; lives as long as the mappings */
	_Atomic unsigned count;
};

/* A part of a file. Zeroed: none. */
struct client_map {
	uint8_t *at;   /* where the part begins; NULL: nothing is mapped */
	uint8_t *base; /* of the mapping: a page boundary */
	uint64_t size; /* likewise, bytes */
	struct guard_window *guard;
	struct client_maps *maps;
};

/*
 * Whether the file behind a descriptor may be mapped. Does not ask its file system anything before
 * that is known. Returns 0; -EINVAL: it may not; -EBADF.
 */
int client_map_allowed(int fd);

/*
 * Maps [offset, offset + size) of a file, which client_map_allowed allows. The descriptor stays the
 * caller's. Returns 0, -EOVERFLOW (the range is impossible), -ENOSPC (the client has as many
 * mappings as it gets), -ENOMEM, or what client_map_allowed and mmap answer.
 */
int client_map(struct client_map *map, struct client_maps *maps, int fd, uint64_t offset,
	       uint64_t size, bool writable);
void client_unmap(struct client_map *map);

/*
 * The same for a part, `what` by name, that a front end promises to be in its file now (a device
 * has no size). Returns 0 or a negative errno with the error filled.
 */
int client_map_promised(struct client_map *map, struct client_maps *maps, int fd, uint64_t offset,
			uint64_t size, const char *what, struct error *err);

/*
 * Allows the files of the file system that `path` is on, or the device that it is, from now on.
 * Before exports are open. Returns 0 or a negative errno with the error filled.
 */
int client_map_allow(const char *path, struct error *err);

/* Whether the operator allows all files of the file system of this number (st_dev). */
bool client_map_allows_device(uint64_t device);

/* Of the whole process, for tests that look for leaks. */
unsigned client_maps_total(void);

#endif
