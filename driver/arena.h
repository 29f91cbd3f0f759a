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
};

struct uvdpa_memory *drv_memory_get(struct uvdpa_memory *memory);
void drv_memory_put(struct uvdpa_memory *memory);

#endif
