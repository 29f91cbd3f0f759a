/*
 * IOTLB messages as memory regions: each mapping is one region, whose file is found by its address.
 * A back end without CONFIGURE_MEM_SLOTS gets the whole table whenever a region comes or goes.
 */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "driver/arena.h"

/* NULL: as many are there as the back end takes. */
static struct vu_map *find_free(struct vu_front *front)
{
	for (unsigned i = 0; i < front->map_max; i++)
		if (!front->maps[i].used)
			return &front->maps[i];
	return NULL;
}

static bool overlaps(const struct vu_front *front, uint64_t iova, uint64_t size)
{
	for (unsigned i = 0; i < VU_MAX_MAPS; i++) {
		const struct vu_map *map = &front->maps[i];

		if (map->used && iova <= map->iova + (map->size - 1) &&
		    map->iova <= iova + (size - 1))
			return true;
	}
	return false;
}

/* All mappings in one message. Without any, the back end keeps what it has: its rings are stopped.
 */
static int send_table(struct vu_front *front)
{
	union vhost_user_payload p = {.memory = {.count = 0}};
	int fds[VHOST_USER_TABLE_REGIONS];

	for (unsigned i = 0; i < VU_MAX_MAPS; i++) {
		const struct vu_map *map = &front->maps[i];
		struct vhost_user_region *region = &p.memory.regions[p.memory.count];

		if (!map->used)
			continue;
		if (p.memory.count == VHOST_USER_TABLE_REGIONS)
			return -ENOSPC;
		*region = (struct vhost_user_region){map->iova, map->size, map->uaddr, 0};
		fds[p.memory.count] = drv_arena_find(map->uaddr, map->size, &region->mmap_offset);
		if (fds[p.memory.count++] < 0)
			return -EFAULT;
	}
	if (!p.memory.count)
		return 0;
	return vu_request(front, VHOST_USER_SET_MEM_TABLE, &p,
			  (uint32_t)(offsetof(struct vhost_user_memory, regions) +
				     p.memory.count * sizeof(p.memory.regions[0])),
			  fds, p.memory.count);
}

static int send_region(struct vu_front *front, uint32_t request, const struct vu_map *map)
{
	union vhost_user_payload p = {.region.region = {.guest_address = map->iova,
							.size = map->size,
							.user_address = map->uaddr}};
	bool adds = request == VHOST_USER_ADD_MEM_REG;
	int fd = drv_arena_find(map->uaddr, map->size, &p.region.region.mmap_offset);

	if (!vu_has(front, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return send_table(front);
	return vu_request(front, request, &p, sizeof(p.region), &fd, adds);
}

int vu_front_map(struct vu_front *front, uint64_t iova, uint64_t size, uint64_t uaddr)
{
	struct vu_map *map = find_free(front);
	uint64_t offset;
	int r;

	if (!size || iova + size - 1 < iova || !map || overlaps(front, iova, size))
		return -EFAULT;
	/* Only arenas are known by their file; private memory cannot be shared at all. */
	if (drv_arena_find(uaddr, size, &offset) < 0)
		return -EFAULT;
	*map = (struct vu_map){.iova = iova, .size = size, .uaddr = uaddr, .used = true};
	r = send_region(front, VHOST_USER_ADD_MEM_REG, map);
	if (r == 0)
		return 0;
	map->used = false;
	return r == -ECONNRESET ? r : -EFAULT;
}

int vu_front_unmap(struct vu_front *front, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1; /* 0, 0 is everything, as in the kernel */
	int r = 0;

	for (unsigned i = 0; i < VU_MAX_MAPS && r == 0; i++) {
		struct vu_map *map = &front->maps[i];

		if (!map->used || map->iova > last || iova > map->iova + (map->size - 1))
			continue;
		map->used = false;
		r = send_region(front, VHOST_USER_REM_MEM_REG, map);
	}
	return r;
}
