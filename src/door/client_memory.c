/*
 * The memory of a client process: see client_memory.h.
 *
 * What can be mapped: a shared mapping of a memory file (memfd, hugetlbfs, shm,
 * shared anonymous memory; see door/client_map.h), as far as the client's own
 * mapping goes. Its file offset and protection are taken from /proc/PID/maps, and the
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
#include <unistd.h>

#include "door/client_map.h"
#include "door/process.h"

struct process_memory {
	struct client_memory memory;
	struct client_maps maps;
	struct process *process;
};

static struct process_memory *process_memory(struct client_memory *memory)
{
	return (struct process_memory *)memory;
}

/* Maps file bytes [offset, offset + size). `host` is where `offset` is. */
static int map_file(struct process_memory *memory, int fd, uint64_t offset, uint64_t size,
		    bool writable, struct window *out)
{
	struct client_map *mapping = malloc(sizeof(*mapping));
	int r;

	if (!mapping)
		return -ENOMEM;
	r = client_map(mapping, &memory->maps, fd, offset, size, writable);
	if (r < 0) {
		free(mapping);
		return r;
	}
	out->host = mapping->at;
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
	r = map_file(process_memory(memory), fd, vma.offset + (uaddr - vma.start), out->size,
		     writable, out);
	close(fd);
	return r == -ENOMEM ? r : 0; /* what is not mapped is copied */
}

static void unmap(struct client_memory *memory, struct window *window)
{
	struct client_map *mapping = window->cookie;

	if (!mapping)
		return;
	client_unmap(mapping);
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
	if (!memory)
		return NULL;
	memory->memory.ops = &ops;
	memory->maps.lost = &memory->memory.lost;
	memory->process = process_ref(process);
	return &memory->memory;
}

void client_memory_free(struct client_memory *memory)
{
	if (!memory)
		return;
	process_unref(process_memory(memory)->process);
	free(memory);
}
