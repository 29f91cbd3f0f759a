/*
 * The memory of a client process: see client_memory.h.
 *
 * What can be mapped: a shared mapping of a memory file (memfd, hugetlbfs, shm,
 * shared anonymous memory; see client/map.h), as far as the client's own
 * mapping goes. Its file offset and protection are taken from /proc/PID/maps, and the
 * same part of the file is mapped here. Whatever the client does to its mapping
 * afterwards, the file's contents are what both sides see; if it truncates the
 * file, the guard (client/guard.h) answers.
 *
 * Everything else is copied through /proc/PID/mem: private anonymous memory
 * (QEMU's default RAM), private file mappings (what is written there belongs to
 * the client alone), and addresses where nothing is, so that the access, not
 * the mapping, finds out.
 *
 * Not even that is done with the pages of a file whose file system asks somebody
 * (FUSE, a network): they come when that one answers, and whoever touches them
 * waits for as long. To the device nothing is there.
 */
#include "client/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "client/map.h"
#include "client/process_internal.h"

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

/* The client's mappings in a part of its memory, and what is made of them. */
struct survey {
	struct process_memory *memory;
	uint64_t at, end; /* what is left of the part */
	bool writable;
	struct window *windows;
	unsigned count, max;
};

/* The next region, up to `end`: copied, be it that it is mapped afterwards. NULL: there is no
 * room. */
static struct window *add_window(struct survey *survey, uint64_t end)
{
	struct window *window = &survey->windows[survey->count];

	if (survey->count == survey->max || survey->at >= end)
		return NULL;
	survey->count++;
	*window = (struct window){.uaddr = survey->at, .size = end - survey->at};
	survey->at = end;
	return window;
}

/* The region that one mapping of the client is, after the hole before it. */
static int add_vma(struct survey *survey, const struct process_vma *vma)
{
	struct process *process = survey->memory->process;
	uint64_t start, end = vma->end < survey->end ? vma->end : survey->end;
	struct window *window;
	int fd, r;

	if (vma->start > survey->at && !add_window(survey, vma->start))
		return 0;
	start = survey->at;
	window = add_window(survey, end);
	if (window && vma->inode && !process_sees_answer(process, vma->device)) {
		window->barred = true;
		return 0;
	}
	fd = window ? process_open_vma(process, vma, survey->writable) : -ENOENT;
	if (fd < 0)
		return 0;
	r = map_file(survey->memory, fd, vma->offset + (start - vma->start), end - start,
		     survey->writable, window);
	close(fd);
	return r == -ENOMEM ? r : 0; /* what is not mapped is copied */
}

static void unmap(struct client_memory *memory, struct window *window);

static void drop(struct survey *survey, struct window *window)
{
	unmap(&survey->memory->memory, window);
	window->host = NULL;
	window->cookie = NULL;
}

/* What was found before its file was open may have been something else then: see process_maps.c. */
static int verify(struct survey *survey, const struct process_vma *vmas, unsigned count,
		  struct process_vma *now, uint64_t uaddr)
{
	int found = 0;
	bool any = false;

	for (unsigned i = 0; i < survey->count; i++)
		any |= survey->windows[i].host != NULL;
	if (any)
		found = process_find_vmas(survey->memory->process, uaddr, survey->at - uaddr, now,
					  count);
	for (unsigned i = 0, v = 0; any && i < survey->count; i++) {
		struct window *window = &survey->windows[i];

		while (v < count && vmas[v].end <= window->uaddr)
			v++;
		if (window->host &&
		    (found < 0 || !process_still_has(now, (unsigned)found, &vmas[v])))
			drop(survey, window);
	}
	return found < 0 ? found : 0;
}

static int map_many(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
		    struct window *out, unsigned max)
{
	struct survey survey = {.memory = process_memory(memory),
				.at = uaddr,
				.end = uaddr + size,
				.writable = writable,
				.windows = out,
				.max = max};
	struct process_vma *vmas;
	int found, r;

	if (survey.end < uaddr) { /* there is no mapping up there */
		out[0] = (struct window){.uaddr = uaddr, .size = size};
		return 1;
	}
	vmas = calloc(2 * (size_t)max, sizeof(*vmas));
	found = vmas ? process_find_vmas(survey.memory->process, uaddr, size, vmas, max) : -ENOMEM;
	r = found < 0 ? found : 0;
	for (int i = 0; !r && i < found; i++)
		r = add_vma(&survey, &vmas[i]);
	/* behind the last one there is nothing, if that was the last one */
	if (!r && found < (int)max)
		add_window(&survey, survey.end);
	if (!r)
		r = verify(&survey, vmas, (unsigned)found, vmas + max, uaddr);
	free(vmas);
	for (unsigned i = 0; r && i < survey.count; i++)
		drop(&survey, &out[i]);
	return r ? r : (int)survey.count;
}

static int map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *out)
{
	int r = map_many(memory, uaddr, size, writable, out, 1);

	return r < 0 ? r : 0;
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
	static const struct client_memory_ops ops = {.map = map,
						     .map_many = map_many,
						     .unmap = unmap,
						     .read = copy_in,
						     .write = copy_out};
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
