/*
 * The memory of a client process: see client_memory.h.
 *
 * What can be mapped: a shared mapping of a file (memfd, hugetlbfs, shm, a
 * plain file, shared anonymous memory), as far as the client's own mapping
 * goes. Its file offset and protection are taken from /proc/PID/maps, and the
 * same part of the file is mapped here. Whatever the client does to its mapping
 * afterwards, the file's contents are what both sides see; if it truncates the
 * file, the guard (door/guard.h) answers.
 *
 * Everything else is copied through /proc/PID/mem: private anonymous memory
 * (QEMU's default RAM), private file mappings (what is written there belongs to
 * the client alone), and addresses where nothing is, so that the access, not
 * the mapping, finds out.
 */
#include "door/client_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "door/guard.h"
#include "door/process.h"

#define HUGETLBFS_TYPE 0x958458f6 /* HUGETLBFS_MAGIC of linux/magic.h */

struct process_memory {
	struct client_memory memory;
	struct process *process;
};

/* A window's mapping here, which begins at a page boundary. */
struct mapping {
	void *base;
	size_t size;
	struct guard_window *guard;
};

static struct process_memory *process_memory(struct client_memory *memory)
{
	return (struct process_memory *)memory;
}

/* Files of hugetlbfs can be mapped only in their own pages; statfs says how large those are. */
static uint64_t page_size_of(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && (unsigned long)fs.f_type == HUGETLBFS_TYPE && fs.f_bsize > 0)
		return (uint64_t)fs.f_bsize;
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Maps file bytes [offset, offset + size) and has them watched. `host` is where `offset` is. */
static int map_file(struct client_memory *memory, int fd, uint64_t offset, uint64_t size,
		    bool writable, struct window *out)
{
	uint64_t page = page_size_of(fd), start = offset & ~(page - 1);
	uint64_t length = (offset + size - start + page - 1) & ~(page - 1);
	struct mapping *mapping = malloc(sizeof(*mapping));

	if (!mapping)
		return -ENOMEM;
	mapping->size = length;
	mapping->base = mmap(NULL, length, writable ? PROT_READ | PROT_WRITE : PROT_READ,
			     MAP_SHARED, fd, (off_t)start);
	if (mapping->base == MAP_FAILED) {
		free(mapping);
		return -ENOENT;
	}
	/* A guest's memory has no place in our core dumps, nor in children. */
	madvise(mapping->base, length, MADV_DONTDUMP);
	madvise(mapping->base, length, MADV_DONTFORK);
	mapping->guard = guard_watch(mapping->base, length, page, &memory->lost);
	if (!mapping->guard) {
		munmap(mapping->base, length);
		free(mapping);
		return -ENOMEM;
	}
	out->host = (uint8_t *)mapping->base + (offset - start);
	out->cookie = mapping;
	return 0;
}

static int map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	struct process *process = process_memory(memory)->process;
	struct process_vma vma;
	int fd, r;

	*out = (struct window){.uaddr = uaddr, .size = size};
	if (process_find_vma(process, uaddr, &vma))
		return 0;
	if (out->size > vma.end - uaddr)
		out->size = vma.end - uaddr;
	fd = process_open_vma(process, &vma, writable);
	if (fd < 0)
		return 0;
	r = map_file(memory, fd, vma.offset + (uaddr - vma.start), out->size, writable, out);
	close(fd);
	return r == -ENOMEM ? r : 0;
}

static void unmap(struct client_memory *memory, struct window *window)
{
	struct mapping *mapping = window->cookie;

	if (!mapping)
		return;
	guard_forget(mapping->guard);
	munmap(mapping->base, mapping->size);
	free(mapping);
}

static int copy_in(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	return process_read(process_memory(memory)->process, uaddr, to, size);
}

static int copy_out(struct client_memory *memory, uint64_t uaddr, const void *from, size_t size)
{
	return process_write(process_memory(memory)->process, uaddr, from, size);
}

struct client_memory *client_memory_new(struct process *process)
{
	static const struct client_memory_ops ops = {
		.map = map, .unmap = unmap, .read = copy_in, .write = copy_out};
	struct process_memory *memory;

	memory = calloc(1, sizeof(*memory));
	if (!memory || guard_install()) {
		free(memory);
		return NULL;
	}
	memory->memory.ops = &ops;
	memory->process = process_ref(process);
	return &memory->memory;
}

void client_memory_free(struct client_memory *memory)
{
	if (!memory)
		return;
	guard_uninstall();
	process_unref(process_memory(memory)->process);
	free(memory);
}
