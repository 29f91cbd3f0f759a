/*
 * Regions: see vhost_user_memory.h.
 *
 * Theory of operation
 * -------------------
 * A region is mapped when it arrives (so that what cannot be mapped is refused then) and unmapped
 * when it is neither in the table nor used by a window of an address space:
 *
 *     listed   in the front end's table
 *     windows  how many windows of spaces point into it; a retired one counts until it is reaped
 *
 * QEMU sends the whole table again for every change. A region that is the same again (addresses,
 * size, and the same file) is kept as it is, so that rings and requests do not notice. What is
 * replaced is replaced in one batch of the device's spaces: workers see the old map, then the new.
 *
 * The list is changed by the export's thread and read by workers (map, at first use): `lock`.
 */
#include "export/vhost_user/memory.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/map.h"

struct region {
	struct region *next;
	struct vhost_user_region at;
	dev_t device;
	ino_t inode;
	struct client_map map;
	bool listed, keep;
	unsigned windows;
};

struct vu_memory {
	struct client_memory memory;
	struct client_maps maps;
	pthread_mutex_t lock;
	struct region *regions;
};

static _Atomic unsigned mapped_regions;

unsigned vu_memory_mapped(void)
{
	return atomic_load(&mapped_regions);
}

static void region_free(struct region *region)
{
	client_unmap(&region->map);
	atomic_fetch_sub(&mapped_regions, 1);
	free(region);
}

/* Unlinks and frees what nobody needs. Locked. */
static void sweep(struct vu_memory *memory)
{
	struct region **link = &memory->regions;

	while (*link) {
		struct region *region = *link;

		if (region->listed || region->windows) {
			link = &region->next;
			continue;
		}
		*link = region->next;
		region_free(region);
	}
}

static struct region *find_user(struct vu_memory *memory, uint64_t address)
{
	for (struct region *r = memory->regions; r; r = r->next)
		if (address >= r->at.user_address && address - r->at.user_address < r->at.size)
			return r;
	return NULL;
}

/* --- What address spaces ask ---------------------------------------------------------------- */

static struct vu_memory *of(struct client_memory *memory)
{
	return (struct vu_memory *)memory; /* its first member */
}

static int map(struct client_memory *client, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	struct vu_memory *memory = of(client);
	struct region *region;
	uint64_t offset;

	*out = (struct window){.uaddr = uaddr, .size = size};
	pthread_mutex_lock(&memory->lock);
	region = find_user(memory, uaddr);
	if (region) {
		offset = uaddr - region->at.user_address;
		if (out->size > region->at.size - offset)
			out->size = region->at.size - offset;
		out->host = region->map.at + offset;
		out->cookie = region;
		region->windows++;
	}
	pthread_mutex_unlock(&memory->lock);
	return 0;
}

static void unmap(struct client_memory *client, struct window *window)
{
	struct vu_memory *memory = of(client);
	struct region *region = window->cookie;

	if (!region)
		return;
	pthread_mutex_lock(&memory->lock);
	region->windows--;
	sweep(memory);
	pthread_mutex_unlock(&memory->lock);
}

/* What no region has cannot be reached by copying either. */
static int no_read(struct client_memory *client, uint64_t uaddr, void *to, size_t size)
{
	return -EFAULT;
}

static int no_write(struct client_memory *client, uint64_t uaddr, const void *from, size_t size)
{
	return -EFAULT;
}

struct vu_memory *vu_memory_new(void)
{
	static const struct client_memory_ops ops = {
		.map = map, .unmap = unmap, .read = no_read, .write = no_write};
	struct vu_memory *memory = calloc(1, sizeof(*memory));

	if (!memory)
		return NULL;
	memory->memory.ops = &ops;
	memory->maps.lost = &memory->memory.lost;
	pthread_mutex_init(&memory->lock, NULL);
	return memory;
}

void vu_memory_clear(struct vu_memory *memory)
{
	pthread_mutex_lock(&memory->lock);
	for (struct region *r = memory->regions; r; r = r->next)
		r->listed = false;
	sweep(memory);
	pthread_mutex_unlock(&memory->lock);
}

void vu_memory_free(struct vu_memory *memory)
{
	if (!memory)
		return;
	vu_memory_clear(memory);
	pthread_mutex_destroy(&memory->lock);
	free(memory);
}

struct client_memory *vu_memory_client(struct vu_memory *memory)
{
	return &memory->memory;
}

struct client_maps *vu_memory_maps(struct vu_memory *memory)
{
	return &memory->maps;
}

int vu_memory_guest_address(struct vu_memory *memory, uint64_t user_address, uint64_t *guest)
{
	struct region *region;
	int r = -EFAULT;

	pthread_mutex_lock(&memory->lock);
	for (region = memory->regions; region; region = region->next) {
		if (!region->listed || user_address < region->at.user_address ||
		    user_address - region->at.user_address >= region->at.size)
			continue;
		*guest = region->at.guest_address + (user_address - region->at.user_address);
		r = 0;
		break;
	}
	pthread_mutex_unlock(&memory->lock);
	return r;
}

uint64_t vu_memory_end(struct vu_memory *memory)
{
	uint64_t end = 0;

	pthread_mutex_lock(&memory->lock);
	for (const struct region *r = memory->regions; r; r = r->next)
		if (r->listed && r->at.guest_address + r->at.size > end)
			end = r->at.guest_address + r->at.size;
	pthread_mutex_unlock(&memory->lock);
	return end;
}

/* --- Making regions ------------------------------------------------------------------------- */

static bool wraps(uint64_t start, uint64_t size)
{
	return start + size - 1 < start;
}

static int check(const struct vhost_user_region *at, struct error *f)
{
	if (!at->size || wraps(at->guest_address, at->size) || wraps(at->user_address, at->size) ||
	    wraps(at->mmap_offset, at->size) || at->mmap_offset + at->size > INT64_MAX)
		return error_set(f, -EINVAL,
				 "region 0x%llx+0x%llx (file offset 0x%llx) is impossible",
				 (unsigned long long)at->guest_address,
				 (unsigned long long)at->size, (unsigned long long)at->mmap_offset);
	return 0;
}

static bool ranges_touch(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static bool overlap(const struct vhost_user_region *a, const struct vhost_user_region *b)
{
	return ranges_touch(a->guest_address, a->size, b->guest_address, b->size) ||
	       ranges_touch(a->user_address, a->size, b->user_address, b->size);
}

static int region_new(struct vu_memory *memory, const struct vhost_user_region *at, int fd,
		      struct region **out, struct error *f)
{
	struct region *region;
	char what[64];
	struct stat st;
	int r = check(at, f);

	if (r < 0)
		return r;
	region = calloc(1, sizeof(*region));
	if (!region)
		return error_set(f, -ENOMEM, "no memory for a region");
	snprintf(what, sizeof(what), "region 0x%llx+0x%llx", (unsigned long long)at->guest_address,
		 (unsigned long long)at->size);
	r = client_map_promised(&region->map, &memory->maps, fd, at->mmap_offset, at->size, what,
				f);
	if (r == 0 && fstat(fd, &st) < 0) {
		r = error_set(f, -errno, "%s: %s", what, strerror(errno));
		client_unmap(&region->map);
	}
	if (r < 0) {
		free(region);
		return r;
	}
	region->at = *at;
	region->device = st.st_dev;
	region->inode = st.st_ino;
	atomic_fetch_add(&mapped_regions, 1);
	*out = region;
	return 0;
}

/* --- Changing the table --------------------------------------------------------------------- */

static unsigned listed(const struct vu_memory *memory)
{
	unsigned n = 0;

	for (const struct region *r = memory->regions; r; r = r->next)
		n += r->listed;
	return n;
}

/* The region of the present table that is the very same, or NULL. */
static struct region *find_same(struct vu_memory *memory, const struct vhost_user_region *at,
				int fd)
{
	struct stat st;

	if (client_map_allowed(fd) < 0 || fstat(fd, &st) < 0)
		return NULL;
	for (struct region *r = memory->regions; r; r = r->next)
		if (r->listed && !memcmp(&r->at, at, sizeof(*at)) && r->device == st.st_dev &&
		    r->inode == st.st_ino)
			return r;
	return NULL;
}

/* Puts `added` in front of the list, and takes what is not kept out of the table. */
static int exchange(struct vu_memory *memory, struct region *added, struct device *device,
		    struct error *f)
{
	struct region *last = added;
	int r = 0;

	device_dma_batch(device, true);
	for (struct region *old = memory->regions; old; old = old->next)
		if (old->listed && !old->keep)
			device_dma_unmap(device, 0, old->at.guest_address, old->at.size);
	for (struct region *new = added; new &&r == 0; new = new->next) {
		r = device_dma_map(device, 0, new->at.guest_address, new->at.size,
				   new->at.user_address, VHOST_ACCESS_RW);
		last = new;
	}
	pthread_mutex_lock(&memory->lock);
	for (struct region *old = memory->regions; old; old = old->next)
		old->listed = old->listed && old->keep;
	if (added) {
		while (last->next)
			last = last->next;
		last->next = memory->regions;
		memory->regions = added;
	}
	pthread_mutex_unlock(&memory->lock);
	device_dma_batch(device, false);
	pthread_mutex_lock(&memory->lock);
	sweep(memory);
	pthread_mutex_unlock(&memory->lock);
	return r < 0 ? error_set(f, r, "the address space took no more: %s", strerror(-r)) : 0;
}

static void keep_all(struct vu_memory *memory, bool keep)
{
	for (struct region *r = memory->regions; r; r = r->next)
		r->keep = keep;
}

static void drop_list(struct region *list)
{
	while (list) {
		struct region *next = list->next;

		region_free(list);
		list = next;
	}
}

int vu_memory_set(struct vu_memory *memory, const struct vhost_user_region *regions, const int *fds,
		  unsigned count, struct device *device, struct error *f)
{
	struct region *added = NULL, *region;

	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < i; k++)
			if (check(&regions[i], f) == 0 && check(&regions[k], f) == 0 &&
			    overlap(&regions[i], &regions[k]))
				return error_set(f, -EINVAL, "regions %u and %u overlap", k, i);
	keep_all(memory, false);
	for (unsigned i = 0; i < count; i++) {
		int r;

		region = find_same(memory, &regions[i], fds[i]);
		if (region) {
			region->keep = true;
			continue;
		}
		r = region_new(memory, &regions[i], fds[i], &region, f);
		if (r < 0) {
			drop_list(added);
			return r;
		}
		region->listed = true;
		region->next = added;
		added = region;
	}
	return exchange(memory, added, device, f);
}

int vu_memory_add(struct vu_memory *memory, const struct vhost_user_region *at, int fd,
		  struct device *device, struct error *f)
{
	struct region *region;
	int r = check(at, f);

	if (r < 0)
		return r;
	for (const struct region *old = memory->regions; old; old = old->next)
		if (old->listed && overlap(&old->at, at))
			return error_set(f, -EEXIST, "region 0x%llx overlaps one that is there",
					 (unsigned long long)at->guest_address);
	if (listed(memory) >= VU_MAX_REGIONS)
		return error_set(f, -ENOSPC, "more than %d regions", VU_MAX_REGIONS);
	r = region_new(memory, at, fd, &region, f);
	if (r < 0)
		return r;
	region->listed = true;
	keep_all(memory, true);
	return exchange(memory, region, device, f);
}

int vu_memory_remove(struct vu_memory *memory, const struct vhost_user_region *at,
		     struct device *device, struct error *f)
{
	struct region *found = NULL;

	for (struct region *r = memory->regions; r; r = r->next)
		if (r->listed && r->at.guest_address == at->guest_address &&
		    r->at.size == at->size && r->at.user_address == at->user_address)
			found = r;
	if (!found)
		return error_set(f, -ENOENT, "there is no region 0x%llx+0x%llx",
				 (unsigned long long)at->guest_address,
				 (unsigned long long)at->size);
	keep_all(memory, true);
	found->keep = false;
	return exchange(memory, NULL, device, f);
}
