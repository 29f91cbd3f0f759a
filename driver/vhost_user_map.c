/* IOTLB messages as memory regions: each mapping is one region, whose file is found by its address.
 */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <string.h>

#include "driver/arena.h"

static struct vu_map *find_free(struct vu_front *front)
{
	for (unsigned i = 0; i < VU_MAX_MAPS; i++)
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

int vu_front_map(struct vu_front *front, uint64_t iova, uint64_t size, uint64_t uaddr)
{
	union vhost_user_payload p = {
		.region.region = {.guest_address = iova, .size = size, .user_address = uaddr}};
	struct vu_map *map = find_free(front);
	int fd, r;

	if (!size || iova + size - 1 < iova || !map || overlaps(front, iova, size))
		return -EFAULT;
	/* Only arenas are known by their file; private memory cannot be shared at all. */
	fd = drv_arena_find(uaddr, size, &p.region.region.mmap_offset);
	if (fd < 0)
		return -EFAULT;
	r = vu_request(front, VHOST_USER_ADD_MEM_REG, &p, sizeof(p.region), &fd, 1, false);
	if (r < 0)
		return r == -ECONNRESET ? r : -EFAULT;
	*map = (struct vu_map){.iova = iova, .size = size, .uaddr = uaddr, .used = true};
	return 0;
}

int vu_front_unmap(struct vu_front *front, uint64_t iova, uint64_t size)
{
	uint64_t last = iova + size - 1; /* 0, 0 is everything, as in the kernel */
	int r = 0;

	for (unsigned i = 0; i < VU_MAX_MAPS && r == 0; i++) {
		struct vu_map *map = &front->maps[i];
		union vhost_user_payload p = {.region.region = {.guest_address = map->iova,
								.size = map->size,
								.user_address = map->uaddr}};

		if (!map->used || map->iova > last || iova > map->iova + (map->size - 1))
			continue;
		r = vu_request(front, VHOST_USER_REM_MEM_REG, &p, sizeof(p.region), NULL, 0, false);
		map->used = false;
	}
	return r;
}
