/*
 * The memory of a vhost-user front end: regions, each a part of a file that it sent, named both by
 * guest physical address (what descriptors hold: the IOVA of our spaces) and by the front end's own
 * virtual address (what SET_VRING_ADDR holds, and the uaddr of our spaces).
 */
#ifndef UVDPA_EXPORT_VHOST_USER_MEMORY_H
#define UVDPA_EXPORT_VHOST_USER_MEMORY_H

#include "device/device.h"
#include "memory/client.h"
#include "util/error.h"
#include "wire/vhost_user.h"

/* Regions at once, as GET_MAX_MEM_SLOTS answers: what Linux's vhost allows by default is 64; QEMU
 * uses up to 512. */
#define VU_MAX_REGIONS 512

struct client_maps;
struct vu_memory;

struct vu_memory *vu_memory_new(void);
/* No window is left. */
void vu_memory_free(struct vu_memory *memory);
struct client_memory *vu_memory_client(struct vu_memory *memory);
/* For what else the front end shares: it counts as its memory does. */
struct client_maps *vu_memory_maps(struct vu_memory *memory);

/*
 * Makes `count` regions the whole table (all) or adds one, and tells the device. The descriptors
 * stay the caller's. Returns 0 or a negative errno with the error filled: then nothing changed.
 */
int vu_memory_set(struct vu_memory *memory, const struct vhost_user_region *regions, const int *fds,
		  unsigned count, struct device *device, struct error *err);
int vu_memory_add(struct vu_memory *memory, const struct vhost_user_region *region, int fd,
		  struct device *device, struct error *err);
int vu_memory_remove(struct vu_memory *memory, const struct vhost_user_region *region,
		     struct device *device, struct error *err);
/* The device has forgotten its mappings (driver gone): so does the table. */
void vu_memory_clear(struct vu_memory *memory);

/* A front end's virtual address as guest physical. Returns 0 or -EFAULT. */
int vu_memory_guest_address(struct vu_memory *memory, uint64_t user_address, uint64_t *guest);

/* The guest physical address behind the last one in the table; 0: it is empty. */
uint64_t vu_memory_end(struct vu_memory *memory);

/* For tests that look for leaks: regions mapped in this process. */
unsigned vu_memory_mapped(void);

#endif
