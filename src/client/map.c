/*
 * Mapping a client's files: see client_map.h.
 *
 * How many: a client always gets what honest ones need (MAPS_ASSURED: more than the regions that a
 * vhost-user front end may have), and more while less than a quarter of the process's mappings is
 * used so. A hundred clients that take all they get leave enough for those that come after them,
 * and for the process itself.
 */
#include "client/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "client/guard.h"

#define HUGETLBFS_TYPE 0x958458f6 /* HUGETLBFS_MAGIC of linux/magic.h */
#define MAPS_ASSURED   520u
#define PLACES_MAX     32

static _Atomic unsigned total;

/* What the operator allows: file systems, and (if not 0) devices. Written before exports are open.
 */
static struct rundir {
	uint64_t device;
	bool is_device; /* the number is the file's own, not its file system's */
} places[PLACES_MAX];
static unsigned place_count;

/* --- Which files ------------------------------------------------------------------------------
 */

/* What is known of a file without asking its file system (which its owner may be). */
static int look(int fd, struct statx *st)
{
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_SIZE, st)
		       ? -errno
		       : 0;
}

bool client_map_allows_device(uint64_t device)
{
	for (unsigned i = 0; i < place_count; i++)
		if (!places[i].is_device && places[i].device == device)
			return true;
	return false;
}

static bool is_in_place(const struct statx *st)
{
	uint64_t system = makedev(st->stx_dev_major, st->stx_dev_minor);
	uint64_t device = makedev(st->stx_rdev_major, st->stx_rdev_minor);

	for (unsigned i = 0; i < place_count; i++)
		if (places[i].is_device && S_ISCHR(st->stx_mode) && places[i].device == device)
			return true;
	return S_ISREG(st->stx_mode) && client_map_allows_device(system);
}

int client_map_allowed(int fd)
{
	struct statx st;

	/* Only shmem and hugetlbfs have seals, be it none (linux: memfd_file_seals_ptr). */
	if (fcntl(fd, F_GET_SEALS) >= 0)
		return 0;
	if (errno == EBADF)
		return -EBADF;
	return look(fd, &st) == 0 && is_in_place(&st) ? 0 : -EINVAL;
}

int client_map_allow(const char *path, struct error *f)
{
	struct stat st;

	if (stat(path, &st))
		return error_set(f, -errno, "%s: %s", path, strerror(errno));
	if (place_count == PLACES_MAX)
		return error_set(f, -ENOSPC, "%s: more than %d places", path, PLACES_MAX);
	places[place_count++] = (struct rundir){
		.device = S_ISCHR(st.st_mode) ? st.st_rdev : st.st_dev,
		.is_device = S_ISCHR(st.st_mode),
	};
	return 0;
}

/* --- How many ---------------------------------------------------------------------------------
 */

static unsigned max_map_count = 65530; /* linux: DEFAULT_MAX_MAP_COUNT */

static void read_max_map_count(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (file && fscanf(file, "%u", &max_map_count) != 1)
		max_map_count = 65530;
	if (file)
		fclose(file);
}

/* Counts one more, if there may be one. */
static bool take(struct client_maps *maps)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	unsigned mine = atomic_fetch_add(&maps->count, 1), all = atomic_fetch_add(&total, 1);

	pthread_once(&once, read_max_map_count);
	if (mine < MAPS_ASSURED ? all < max_map_count / 2
				: mine < max_map_count / 16 && all < max_map_count / 4)
		return true;
	atomic_fetch_sub(&maps->count, 1);
	atomic_fetch_sub(&total, 1);
	return false;
}

static void give_back(struct client_maps *maps)
{
	atomic_fetch_sub(&maps->count, 1);
	atomic_fetch_sub(&total, 1);
}

unsigned client_maps_total(void)
{
	return atomic_load(&total);
}

/* --- Mapping ----------------------------------------------------------------------------------
 */

/* Files of hugetlbfs can be mapped only in their own pages; statfs says how large those are. */
static uint64_t page_size_of(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && (unsigned long)fs.f_type == HUGETLBFS_TYPE && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Maps file bytes [start, start + size), whole pages, and has them watched. */
static int map_pages(struct client_map *map, int fd, uint64_t start, bool writable)
{
	int r;

	map->base = mmap(NULL, map->size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
			 fd, (off_t)start);
	if (map->base == MAP_FAILED)
		return -errno;
	/* A guest's memory has no place in our core dumps, nor in children. */
	madvise(map->base, map->size, MADV_DONTDUMP);
	madvise(map->base, map->size, MADV_DONTFORK);
	map->guard = guard_watch(map->base, map->size, map->maps->lost);
	if (map->guard)
		return 0;
	r = -ENOMEM;
	munmap(map->base, map->size);
	return r;
}

int client_map(struct client_map *out, struct client_maps *maps, int fd, uint64_t offset,
	       uint64_t size, bool writable)
{
	struct client_map map = {.maps = maps};
	int r = client_map_allowed(fd);
	uint64_t page, start;

	*out = (struct client_map){0};
	if (r < 0)
		return r;
	page = page_size_of(fd);
	start = offset & ~(page - 1);
	if (!size || offset + size < size || offset + size > INT64_MAX - page)
		return -EOVERFLOW;
	map.size = (offset + size - start + page - 1) & ~(page - 1);
	if (!take(maps))
		return -ENOSPC;
	r = map_pages(&map, fd, start, writable);
	if (r < 0) {
		give_back(maps);
		return r;
	}
	map.at = map.base + (offset - start);
	*out = map;
	return 0;
}

void client_unmap(struct client_map *map)
{
	if (!map->at)
		return;
	guard_forget(map->guard);
	munmap(map->base, map->size);
	give_back(map->maps);
	*map = (struct client_map){0};
}

/* A negative errno of client_map in words. */
static int in_words(int error, const char *what, struct error *f)
{
	switch (error) {
	case -EINVAL:
		return error_set(f, error,
				 "%s: its descriptor is no file of memory (memfd, shared memory, "
				 "hugetlbfs); the file system of another could keep the server "
				 "waiting. To trust it: uvdpa serve --client-files PATH",
				 what);
	case -ENOSPC:
		return error_set(
			f, error,
			"%s: this client has as many mappings as it gets (vm.max_map_count)", what);
	default:
		return error_set(f, error, "%s cannot be mapped: %s", what, strerror(-error));
	}
}

int client_map_promised(struct client_map *map, struct client_maps *maps, int fd, uint64_t offset,
			uint64_t size, const char *what, struct error *f)
{
	struct statx st;
	int r;

	*map = (struct client_map){0};
	if (!size || offset + size < size)
		return error_set(f, -EINVAL, "%s of 0x%llx bytes at 0x%llx", what,
				 (unsigned long long)size, (unsigned long long)offset);
	r = client_map_allowed(fd);
	if (r == 0)
		r = look(fd, &st);
	if (r < 0)
		return in_words(r, what, f);
	if (S_ISREG(st.stx_mode) && st.stx_size < offset + size)
		return error_set(f, -EINVAL, "%s ends after its file, which has 0x%llx bytes", what,
				 (unsigned long long)st.stx_size);
	r = client_map(map, maps, fd, offset, size, true);
	return r < 0 ? in_words(r, what, f) : 0;
}
