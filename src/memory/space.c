/* Address spaces: see space.h for the theory. */
#include "memory/space.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "memory/client.h"

/* How the regions of one entry are reached, in address order and without gaps. */
struct piece {
	uint64_t offset; /* from the entry's start */
	uint64_t id;	 /* see struct space_region */
	struct window window;
};

struct pieces {
	unsigned count;
	struct piece piece[];
};

/* More regions than this in one mapping: the rest is copied. */
#define PIECES_MAX   4096
#define PIECES_LEAST 4

struct entry {
	uint64_t start, last, uaddr;
	struct pieces *_Atomic pieces; /* NULL until first used */
	uint8_t perm;
	bool fresh; /* in a staged table: added since the batch began */
};

/* Sorted by address, never overlapping. */
struct table {
	struct entry *entries;
	unsigned count, room;
};

struct retired {
	struct retired *next;
	struct pieces *pieces;
	uint64_t generation; /* the first in which nobody can find them */
};

struct space {
	struct space_facts facts; /* the first member */
	struct client_memory *memory;
	struct table now;    /* what translations see */
	struct table staged; /* what add and remove work on within a batch */
	bool staging;
	void (*gone)(void *arg, uint64_t id); /* NULL: nobody wants to know */
	void *gone_arg;
	_Atomic unsigned hint; /* index of the last hit in `now`: a guess, always checked */
};

/* Stretches are numbered for good, over all spaces. */
static _Atomic uint64_t next_id = 1;

/* A place in the client's memory. */
struct rundir {
	struct segment segment;
	uint64_t uaddr;
	bool barred;
};

struct space *space_new(struct client_memory *memory)
{
	struct space *space = calloc(1, sizeof(*space));

	assert(memory);
	if (space)
		space->memory = memory;
	return space;
}

static void pieces_free(struct client_memory *memory, struct pieces *pieces)
{
	for (unsigned i = 0; i < pieces->count; i++)
		memory->ops->unmap(memory, &pieces->piece[i].window);
	free(pieces);
}

/* The same of pieces that could be found. */
static void pieces_end(struct space *space, struct pieces *pieces)
{
	for (unsigned i = 0; space->gone && i < pieces->count; i++)
		if (pieces->piece[i].window.host)
			space->gone(space->gone_arg, pieces->piece[i].id);
	pieces_free(space->memory, pieces);
}

/* Frees an entry's windows when no request can be using them; until then keeps them aside. */
static void retire(struct space *space, struct entry *entry)
{
	struct pieces *pieces = atomic_load(&entry->pieces);
	struct retired *retired;

	if (!pieces)
		return;
	retired = malloc(sizeof(*retired));
	if (!retired)
		return; /* out of memory: leaking a mapping is the lesser evil */
	retired->pieces = pieces;
	retired->generation = space->facts.generation;
	retired->next = space->facts.retired;
	space->facts.retired = retired;
}

void space_reap(struct space *space, uint64_t oldest)
{
	struct retired **link = &space->facts.retired;

	while (*link) {
		struct retired *retired = *link;

		if (retired->generation > oldest) {
			link = &retired->next;
			continue;
		}
		*link = retired->next;
		pieces_end(space, retired->pieces);
		free(retired);
	}
}

void space_free(struct space *space)
{
	if (!space)
		return;
	space_commit(space);
	space_remove(space, 0, 0);
	space_reap(space, UINT64_MAX);
	free(space->now.entries);
	free(space->staged.entries);
	free(space);
}

/* Index of the first entry whose last address is at or after `iova`. */
static unsigned lower_bound(const struct table *table, uint64_t iova)
{
	unsigned low = 0, high = table->count;

	while (low < high) {
		unsigned middle = low + (high - low) / 2;

		if (table->entries[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct table *table, unsigned wanted)
{
	unsigned room = table->room ? table->room : 16;
	struct entry *entries;

	while (room < wanted)
		room *= 2;
	if (room == table->room)
		return 0;
	entries = realloc(table->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	table->entries = entries;
	table->room = room;
	return 0;
}

int space_begin(struct space *space)
{
	int r;

	if (space->staging)
		return 0;
	r = make_room(&space->staged, space->now.count);
	if (r < 0)
		return r;
	if (space->now.count)
		memcpy(space->staged.entries, space->now.entries,
		       space->now.count * sizeof(struct entry));
	space->staged.count = space->now.count;
	space->staging = true;
	return 0;
}

/* Takes over the windows that workers have made since the batch began; retires the unused. */
void space_commit(struct space *space)
{
	struct table old = space->now;
	unsigned at = 0;

	if (!space->staging)
		return;
	space->staging = false;
	space->facts.generation++;
	for (unsigned i = 0; i < old.count; i++) {
		struct entry *entry = &old.entries[i];

		while (at < space->staged.count && space->staged.entries[at].start < entry->start)
			at++;
		if (at < space->staged.count && !space->staged.entries[at].fresh &&
		    space->staged.entries[at].start == entry->start)
			atomic_store(&space->staged.entries[at].pieces,
				     atomic_load(&entry->pieces));
		else
			retire(space, entry);
	}
	for (unsigned i = 0; i < space->staged.count; i++)
		space->staged.entries[i].fresh = false;
	space->now = space->staged;
	space->staged = old;
}

int space_add(struct space *space, uint64_t iova, uint64_t size, uint64_t uaddr, uint8_t perm)
{
	return space_add_resolved(space, iova, size, uaddr, perm, NULL);
}

int space_add_resolved(struct space *space, uint64_t iova, uint64_t size, uint64_t uaddr,
		       uint8_t perm, struct pieces *pieces)
{
	struct table *table = space->staging ? &space->staged : &space->now;
	uint64_t last = iova + size - 1;
	struct entry *entry;
	unsigned at;
	int r;

	if (!size || last < iova || uaddr + size - 1 < uaddr)
		return -EINVAL;
	at = lower_bound(table, iova);
	if (at < table->count && table->entries[at].start <= last)
		return -EEXIST;
	if (table->count >= SPACE_MAX_ENTRIES)
		return -ENOSPC;
	r = make_room(table, table->count + 1);
	if (r < 0)
		return r;
	entry = &table->entries[at];
	memmove(entry + 1, entry, (table->count - at) * sizeof(*entry));
	memset(entry, 0, sizeof(*entry));
	entry->start = iova;
	entry->last = last;
	entry->uaddr = uaddr;
	entry->perm = perm;
	entry->fresh = space->staging;
	atomic_store(&entry->pieces, pieces);
	table->count++;
	space->facts.generation++;
	return 0;
}

unsigned space_remove(struct space *space, uint64_t iova, uint64_t size)
{
	struct table *table = space->staging ? &space->staged : &space->now;
	uint64_t last = iova + size - 1; /* wraps as in vhost_iotlb_del_range: 0, 0 is everything */
	unsigned from = lower_bound(table, iova), to;

	space->facts.generation++;
	for (to = from; to < table->count && table->entries[to].start <= last; to++) {
		struct entry *entry = &table->entries[to];

		if (!space->staging)
			retire(space, entry);
		else if (entry->fresh) /* nobody has found it; of the others at commit */
			space_drop(space->memory, atomic_load(&entry->pieces));
	}
	if (to > from)
		memmove(&table->entries[from], &table->entries[to],
			(table->count - to) * sizeof(struct entry));
	table->count -= to - from;
	return to - from;
}

unsigned space_entries(const struct space *space)
{
	return (space->staging ? &space->staged : &space->now)->count;
}

bool space_lost(const struct space *space)
{
	return atomic_load_explicit(&space->memory->lost, memory_order_relaxed);
}

/* Finds the entry that holds `iova`, or NULL. */
static struct entry *find(struct space *space, uint64_t iova)
{
	unsigned at = atomic_load_explicit(&space->hint, memory_order_relaxed);
	struct entry *entry;

	if (at < space->now.count) {
		entry = &space->now.entries[at];
		if (entry->start <= iova && iova <= entry->last)
			return entry;
	}
	at = lower_bound(&space->now, iova);
	if (at >= space->now.count || space->now.entries[at].start > iova)
		return NULL;
	atomic_store_explicit(&space->hint, at, memory_order_relaxed);
	return &space->now.entries[at];
}

/* So many regions are asked for at once. */
#define ASK_MAX 1024

/*
 * Adds one region; behind a copied one another is part of it: a client may have any number of
 * mappings there.
 */
static int pieces_add(struct pieces **pieces, uint64_t offset, const struct window *window)
{
	struct pieces *p = *pieces;
	struct window *last = p->count ? &p->piece[p->count - 1].window : NULL;

	if (last && !last->host && !window->host && last->barred == window->barred) {
		last->size += window->size;
		return 0;
	}
	/* room grows by doubling: count is a power of two when it is used up */
	if (p->count >= PIECES_LEAST && !(p->count & (p->count - 1))) {
		p = realloc(p, sizeof(*p) + 2 * (size_t)p->count * sizeof(struct piece));
		if (!p)
			return -ENOMEM;
		*pieces = p;
	}
	p->piece[p->count++] = (struct piece){
		.offset = offset,
		.id = atomic_fetch_add_explicit(&next_id, 1, memory_order_relaxed),
		.window = *window,
	};
	return 0;
}

/* Asks the client memory about the next regions, up to ASK_MAX. Returns how many, or -ENOMEM. */
static int ask(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
	       struct window *windows)
{
	int n = 1;

	if (memory->ops->map_many)
		n = memory->ops->map_many(memory, uaddr, size, writable, windows, ASK_MAX);
	else if (memory->ops->map(memory, uaddr, size, writable, windows) < 0)
		n = -ENOMEM;
	assert(n && n <= ASK_MAX);
	return n;
}

/* Adds what was asked, which begins at `offset`. Returns where it ends, 0: memory is short. */
static uint64_t pieces_add_all(struct client_memory *memory, struct pieces **pieces,
			       uint64_t offset, const struct window *windows, int count)
{
	for (int i = 0; i < count; i++) {
		struct window window = windows[i];

		assert(window.size);
		if (!pieces_add(pieces, offset, &window)) {
			offset += window.size;
			continue;
		}
		for (; i < count; i++) {
			window = windows[i];
			memory->ops->unmap(memory, &window);
		}
		return 0;
	}
	return offset;
}

struct pieces *space_resolve(struct client_memory *memory, uint64_t uaddr, uint64_t size,
			     uint8_t perm)
{
	struct pieces *pieces = malloc(sizeof(*pieces) + PIECES_LEAST * sizeof(struct piece));
	struct window *windows = malloc(ASK_MAX * sizeof(*windows));
	uint64_t offset = 0;

	if (pieces)
		pieces->count = 0;
	while (pieces && windows && offset < size) {
		int n = 1;

		windows[0] = (struct window){.uaddr = uaddr + offset, .size = size - offset};
		if (pieces->count < PIECES_MAX)
			n = ask(memory, uaddr + offset, size - offset, perm & SPACE_WRITE, windows);
		offset = pieces_add_all(memory, &pieces, offset, windows, n);
		if (n < 0 || !offset)
			break;
	}
	free(windows);
	if (pieces && windows && offset >= size)
		return pieces;
	if (pieces)
		pieces_free(memory, pieces);
	return NULL;
}

void space_drop(struct client_memory *memory, struct pieces *pieces)
{
	if (pieces)
		pieces_free(memory, pieces);
}

/* The pieces of an entry, made now if need be. Workers may race for it: one wins. */
static struct pieces *entry_pieces(struct space *space, struct entry *entry)
{
	struct pieces *seen = NULL, *mine;

	seen = atomic_load_explicit(&entry->pieces, memory_order_acquire);
	if (seen)
		return seen;
	mine = space_resolve(space->memory, entry->uaddr, entry->last - entry->start + 1,
			     entry->perm);
	if (!mine)
		return NULL;
	if (atomic_compare_exchange_strong(&entry->pieces, &seen, mine))
		return mine;
	pieces_free(space->memory, mine);
	return seen;
}

static const struct piece *find_piece(const struct pieces *pieces, uint64_t offset)
{
	unsigned low = 0, high = pieces->count;

	while (high - low > 1) {
		unsigned middle = low + (high - low) / 2;

		if (pieces->piece[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return &pieces->piece[low];
}

/* Translates the beginning of [iova, iova + size): as much of it as is in one region. */
static int locate(struct space *space, uint64_t iova, uint64_t size, enum space_access access,
		  struct rundir *place)
{
	struct entry *entry = find(space, iova);
	const struct pieces *pieces;
	const struct piece *piece;
	uint64_t offset, left;

	if (!entry)
		return -EFAULT;
	if (!(entry->perm & access))
		return -EACCES;
	pieces = entry_pieces(space, entry);
	if (!pieces)
		return -ENOMEM;
	offset = iova - entry->start;
	piece = find_piece(pieces, offset);
	left = piece->window.size - (offset - piece->offset);
	place->segment.iova = iova;
	place->segment.size = size < left ? size : left;
	place->segment.host =
		piece->window.host ? piece->window.host + (offset - piece->offset) : NULL;
	place->uaddr = entry->uaddr + offset;
	place->barred = piece->window.barred;
	return 0;
}

int space_translate(struct space *space, uint64_t iova, uint64_t size, enum space_access access,
		    struct segment *segments, unsigned max)
{
	unsigned count = 0;

	if (size && iova + size - 1 < iova)
		return -EINVAL;
	while (size) {
		struct rundir place;
		int r = locate(space, iova, size, access, &place);

		if (r < 0)
			return r;
		if (count >= max)
			return -E2BIG;
		segments[count++] = place.segment;
		iova += place.segment.size;
		size -= place.segment.size;
	}
	return (int)count;
}

void space_keep(struct space *space, struct space_cache *cache, uint64_t iova)
{
	struct entry *entry = find(space, iova);
	const struct pieces *pieces = entry ? entry_pieces(space, entry) : NULL;
	const struct piece *piece;

	if (!pieces)
		return;
	piece = find_piece(pieces, iova - entry->start);
	if (!piece->window.host)
		return;
	cache->hits[1] = cache->hits[0];
	cache->hits[0] = (struct space_hit){.iova = entry->start + piece->offset,
					    .size = piece->window.size,
					    .host = piece->window.host,
					    .access = entry->perm};
}

bool space_find_region(struct space *space, uint64_t iova, struct space_region *region)
{
	struct entry *entry = find(space, iova);
	const struct pieces *pieces = entry ? entry_pieces(space, entry) : NULL;
	const struct piece *piece;

	if (!pieces)
		return false;
	piece = find_piece(pieces, iova - entry->start);
	*region = (struct space_region){piece->id, piece->window.host, piece->window.size};
	return region->host;
}

void space_on_gone(struct space *space, void (*gone)(void *arg, uint64_t id), void *arg)
{
	space->gone = gone;
	space->gone_arg = arg;
}

/* Copies one region: into `to`, or, where that is NULL, from `from`. */
static int copy_region(struct space *space, const struct rundir *place, uint8_t *to,
		       const uint8_t *from)
{
	struct client_memory *memory = space->memory;
	uint64_t size = place->segment.size;

	if (place->barred)
		return -EFAULT;
	if (!place->segment.host)
		return to ? memory->ops->read(memory, place->uaddr, to, size)
			  : memory->ops->write(memory, place->uaddr, from, size);
	if (to)
		memcpy(to, place->segment.host, size);
	else if (from) /* said for the compiler */
		memcpy(place->segment.host, from, size);
	return 0;
}

static int copy(struct space *space, uint64_t iova, uint8_t *to, const uint8_t *from, size_t size)
{
	for (size_t done = 0; done < size;) {
		struct rundir place;
		int r = locate(space, iova + done, size - done, to ? SPACE_READ : SPACE_WRITE,
			       &place);

		if (r == 0)
			r = copy_region(space, &place, to ? to + done : NULL,
					from ? from + done : NULL);
		if (r < 0)
			return r;
		done += place.segment.size;
	}
	return 0;
}

int space_read(struct space *space, uint64_t iova, void *to, size_t size)
{
	return copy(space, iova, to, NULL, size);
}

int space_write(struct space *space, uint64_t iova, const void *from, size_t size)
{
	return copy(space, iova, NULL, from, size);
}
