/*
 * The arena: one mapping that holds rings and data, handed out from the bottom.
 *
 * It has one device address for good, since rings are full of such addresses, and
 * counts its users, since it outlives connections and queues in any order.
 */
#include "driver/arena.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/error.h"

/* Above 4 GiB, so that an address cut to 32 bits shows; not a multiple of much. */
#define DEFAULT_IOVA (UINT64_C(0x100000000) + 0x10000)

/* All shared arenas of the process: transports that send files find them by address. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct uvdpa_memory *all;

static void enlist(struct uvdpa_memory *memory)
{
	pthread_mutex_lock(&all_lock);
	memory->next = all;
	all = memory;
	pthread_mutex_unlock(&all_lock);
}

static void delist(struct uvdpa_memory *memory)
{
	pthread_mutex_lock(&all_lock);
	for (struct uvdpa_memory **link = &all; *link; link = &(*link)->next)
		if (*link == memory) {
			*link = memory->next;
			break;
		}
	pthread_mutex_unlock(&all_lock);
}

int drv_arena_find(uint64_t address, uint64_t size, uint64_t *offset)
{
	int fd = -EFAULT;

	pthread_mutex_lock(&all_lock);
	for (const struct uvdpa_memory *m = all; m; m = m->next) {
		uint64_t base = (uint64_t)(uintptr_t)m->base;

		if (address < base || size > m->size || address - base > m->size - size)
			continue;
		*offset = address - base;
		fd = m->fd;
		break;
	}
	pthread_mutex_unlock(&all_lock);
	return fd;
}

static size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int check_options(const struct uvdpa_memory_options *options, struct uvdpa_error *error)
{
	size_t page = page_size();

	if (options->size == 0 || options->size > SIZE_MAX / 2)
		return drv_error(error, -EINVAL, "memory: a size of %zu bytes cannot be had",
				 options->size);
	if (options->kind != UVDPA_MEMORY_SHARED && options->kind != UVDPA_MEMORY_PRIVATE)
		return drv_error(error, -EINVAL, "memory: kind %d is unknown", (int)options->kind);
	if (options->iova % page)
		return drv_error(error, -EINVAL, "memory: iova 0x%llx is not a multiple of %zu",
				 (unsigned long long)options->iova, page);
	if (options->iova > UINT64_MAX - options->size - page)
		return drv_error(error, -EINVAL, "memory: iova 0x%llx plus %zu bytes wraps around",
				 (unsigned long long)options->iova, options->size);
	return 0;
}

/* Fills base and fd. */
static int map_arena(struct uvdpa_memory *memory, enum uvdpa_memory_kind kind)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;
	void *base;

	memory->fd = -1;
	if (kind == UVDPA_MEMORY_SHARED) {
		flags = MAP_SHARED;
		memory->fd = memfd_create("uvdpa-driver", MFD_CLOEXEC);
		if (memory->fd < 0)
			return -errno;
		if (ftruncate(memory->fd, (off_t)memory->size) < 0)
			return -errno;
	}
	base = mmap(NULL, memory->size, PROT_READ | PROT_WRITE, flags, memory->fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	memory->base = base;
	return 0;
}

int uvdpa_memory_new(const struct uvdpa_memory_options *options, struct uvdpa_memory **out,
		     struct uvdpa_error *error)
{
	size_t page = page_size();
	struct uvdpa_memory *memory;
	int r = check_options(options, error);

	if (r < 0)
		return r;
	memory = calloc(1, sizeof(*memory));
	if (!memory)
		return drv_error(error, -ENOMEM, "memory: no memory for an arena");
	memory->references = 1;
	memory->size = (options->size + page - 1) / page * page;
	memory->iova = options->iova ? options->iova : DEFAULT_IOVA;
	r = map_arena(memory, options->kind);
	if (r < 0) {
		drv_memory_put(memory);
		return drv_error(error, r, "memory: cannot get %zu bytes: %s", options->size,
				 strerror(-r));
	}
	if (memory->fd >= 0)
		enlist(memory);
	*out = memory;
	return 0;
}

struct uvdpa_memory *drv_memory_get(struct uvdpa_memory *memory)
{
	assert(memory->references > 0);
	memory->references++;
	return memory;
}

void drv_memory_put(struct uvdpa_memory *memory)
{
	assert(memory->references > 0);
	if (--memory->references > 0)
		return;
	if (memory->fd >= 0)
		delist(memory);
	if (memory->base)
		munmap(memory->base, memory->size);
	if (memory->fd >= 0)
		close(memory->fd);
	free(memory);
}

void uvdpa_memory_free(struct uvdpa_memory *memory)
{
	if (memory)
		drv_memory_put(memory);
}

void *uvdpa_memory_alloc(struct uvdpa_memory *memory, size_t size, size_t align)
{
	size_t start;

	if (align == 0 || (align & (align - 1)) || align > page_size())
		return NULL;
	start = (memory->used + align - 1) & ~(align - 1);
	if (start > memory->size || size > memory->size - start)
		return NULL;
	memory->used = start + size;
	return memory->base + start;
}

size_t uvdpa_memory_mark(const struct uvdpa_memory *memory)
{
	return memory->used;
}

void uvdpa_memory_rewind(struct uvdpa_memory *memory, size_t mark)
{
	assert(mark <= memory->used);
	memory->used = mark;
}

void *uvdpa_memory_base(const struct uvdpa_memory *memory)
{
	return memory->base;
}

size_t uvdpa_memory_size(const struct uvdpa_memory *memory)
{
	return memory->size;
}

int uvdpa_memory_fd(const struct uvdpa_memory *memory)
{
	return memory->fd;
}

uint64_t uvdpa_memory_iova(const struct uvdpa_memory *memory, const void *ptr)
{
	return memory->iova + (uint64_t)((const unsigned char *)ptr - memory->base);
}

void *uvdpa_memory_ptr(const struct uvdpa_memory *memory, uint64_t iova, size_t len)
{
	uint64_t offset = iova - memory->iova;

	if (iova < memory->iova || offset > memory->size || len > memory->size - offset)
		return NULL;
	return memory->base + offset;
}
