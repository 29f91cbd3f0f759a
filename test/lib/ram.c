/* Guest memory for tests: see ram.h. */
#include "lib/ram.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/page.h"

static struct ram *ram_of(struct client_memory *memory)
{
	return (struct ram *)(void *)memory; /* its first member */
}

static bool inside(const struct ram *ram, uint64_t uaddr, uint64_t size)
{
	return uaddr >= ram->uaddr && size <= ram->size && uaddr - ram->uaddr <= ram->size - size;
}

/* Another view of the same pages, for one window only. */
static uint8_t *alias(const struct ram *ram, uint64_t offset, uint64_t size, bool writable)
{
	uint64_t delta = offset % page_size();
	uint8_t *view = mmap(NULL, delta + size, PROT_READ | (writable ? PROT_WRITE : 0),
			     MAP_SHARED, ram->fd, (off_t)(offset - delta));

	assert(view != MAP_FAILED);
	return view + delta;
}

static int ram_map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
		   struct window *out)
{
	struct ram *ram = ram_of(memory);
	uint64_t offset = uaddr - ram->uaddr, left;
	bool mapped = ram->kind != RAM_COPIED;

	if (ram->map_error)
		return ram->map_error;
	*out = (struct window){.uaddr = uaddr, .size = size};
	if (!inside(ram, uaddr, 1))
		return 0; /* nothing there: accesses tell */
	if (size > ram->size - offset)
		size = ram->size - offset;
	if (ram->kind == RAM_MIXED) {
		left = ram->region - offset % ram->region;
		size = size < left ? size : left;
		mapped = offset / ram->region % 2 == 0;
	}
	out->size = size;
	if (!mapped)
		return 0;
	out->host =
		ram->kind == RAM_DIRECT ? ram->bytes + offset : alias(ram, offset, size, writable);
	ram->maps++;
	return 0;
}

static void ram_unmap(struct client_memory *memory, struct window *window)
{
	struct ram *ram = ram_of(memory);
	uint64_t delta = (window->uaddr - ram->uaddr) % page_size();

	if (!window->host)
		return;
	ram->unmaps++;
	if (ram->kind != RAM_DIRECT)
		munmap(window->host - delta, delta + window->size);
}

static int ram_read(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	struct ram *ram = ram_of(memory);

	ram->reads++;
	if (ram->hook)
		ram->hook(ram->hook_arg);
	if (ram->vanished || !inside(ram, uaddr, size))
		return -EFAULT;
	if (ram->hook && ram->pause > uaddr && ram->pause - uaddr < size) {
		size_t n = (size_t)(ram->pause - uaddr);

		memcpy(to, ram->bytes + (uaddr - ram->uaddr), n);
		ram->hook(ram->hook_arg);
		to = (uint8_t *)to + n;
		uaddr += n;
		size -= n;
	}
	memcpy(to, ram->bytes + (uaddr - ram->uaddr), size);
	return 0;
}

static int ram_write(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	struct ram *ram = ram_of(memory);

	ram->writes++;
	if (ram->hook)
		ram->hook(ram->hook_arg);
	if (size == 2 && (uaddr & 3) == 2)
		ram->torn++;
	if (ram->vanished || !inside(ram, uaddr, size))
		return -EFAULT;
	memcpy(ram->bytes + (uaddr - ram->uaddr), from, size);
	return 0;
}

static const struct client_memory_ops ram_ops = {
	.map = ram_map,
	.unmap = ram_unmap,
	.read = ram_read,
	.write = ram_write,
};

void ram_init(struct ram *ram, enum ram_kind kind, uint64_t size)
{
	memset(ram, 0, sizeof(*ram));
	ram->memory.ops = &ram_ops;
	ram->kind = kind;
	ram->size = size;
	ram->uaddr = UINT64_C(0x7f0000000000);
	ram->iova = 0x100000;
	ram->region = 4096;
	ram->fd = memfd_create("ram", MFD_CLOEXEC);
	assert(ram->fd >= 0);
	if (ftruncate(ram->fd, (off_t)size) < 0)
		abort();
	ram->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
	assert(ram->bytes != MAP_FAILED);
}

void ram_destroy(struct ram *ram)
{
	munmap(ram->bytes, ram->size);
	close(ram->fd);
	free(ram->frozen);
	memset(ram, 0, sizeof(*ram));
}

void *ram_at(struct ram *ram, uint64_t iova, uint64_t size)
{
	assert(inside(ram, iova - ram->iova + ram->uaddr, size));
	return ram->bytes + (iova - ram->iova);
}

void ram_freeze(struct ram *ram)
{
	if (!ram->frozen)
		ram->frozen = malloc(ram->size);
	assert(ram->frozen);
	memcpy(ram->frozen, ram->bytes, ram->size);
}

int64_t ram_changed(const struct ram *ram)
{
	if (!memcmp(ram->frozen, ram->bytes, ram->size))
		return -1;
	for (uint64_t i = 0;; i++)
		if (ram->frozen[i] != ram->bytes[i])
			return (int64_t)i;
}
