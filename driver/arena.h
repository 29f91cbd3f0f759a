/* The arena's insides, for the files that map it or keep references to it. */
#ifndef UVDPA_DRIVER_ARENA_H
#define UVDPA_DRIVER_ARENA_H

#include "uvdpa/driver.h"

struct uvdpa_memory {
	unsigned char *base;
	size_t size;
	size_t used;
	uint64_t iova;
	int fd; /* -1: private */
	unsigned references;
	struct uvdpa_memory *next; /* of all shared arenas; see drv_arena_find */
};

struct uvdpa_memory *drv_memory_get(struct uvdpa_memory *memory);
void drv_memory_put(struct uvdpa_memory *memory);

/* uvdpa_memory_iova(), inlined. */
static inline uint64_t drv_iova(const struct uvdpa_memory *memory, const void *ptr)
{
	return memory->iova + (uint64_t)((const unsigned char *)ptr - memory->base);
}

/*
 * The file behind [address, address + size) and where in it that is. -EFAULT: no shared arena. The
 * descriptor stays the arena's.
 */
int drv_arena_find(uint64_t address, uint64_t size, uint64_t *offset);

#endif
