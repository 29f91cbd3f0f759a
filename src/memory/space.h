/*
 * An address space: what the IOTLB messages of one ASID have mapped, and the
 * translation of I/O virtual addresses (IOVA) into host pointers.
 *
 * Theory of operation
 * -------------------
 * The space is a table of entries sorted by address, never overlapping:
 *
 *     entry   [start ........ last] -> uaddr, perm
 *     pieces  [ mapped ][ copied ][ mapped ]         made at first use
 *
 * An entry knows only the client's address. At its first use the client memory
 * is asked how each region of it is reachable; the answer (the pieces) is
 * published with one atomic store, so workers need no lock. QEMU maps ROMs that
 * no descriptor ever names: those are never looked at.
 *
 * Who writes what: entries change only while no worker is in a pass (the host
 * excludes them), pieces only through that one store. `generation` grows with
 * every change, so that whoever caches a translation knows when it is stale.
 *
 * A removed entry may still be in use by requests in flight. Its windows are
 * therefore retired, not unmapped, until space_reap() is told that no request
 * older than the removal is left.
 *
 * The rules of add and remove are the kernel's (drivers/vhost/iotlb.c and
 * vhost_vdpa_process_iotlb_update): any overlap refuses, a removal takes whole
 * entries, and [0, size 0) removes everything.
 */
#ifndef UVDPA_MEMORY_SPACE_H
#define UVDPA_MEMORY_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_memory;
struct retired;

/* What workers look at for every request; the first member of a space. */
struct space_facts {
	uint64_t generation;
	struct retired *retired;
};

struct space;

/* Access wanted, and granted by an entry's perm: VHOST_ACCESS_RO and VHOST_ACCESS_WO. */
enum space_access { SPACE_READ = 1, SPACE_WRITE = 2 };

/* As many entries as Linux allows (vhost_vdpa.max_iotlb_entries). */
#define SPACE_MAX_ENTRIES 2048

/* A region of an I/O buffer, translated. host NULL: reach it with space_read and space_write. */
struct segment {
	uint8_t *host;
	uint64_t iova;
	uint64_t size; /* bytes, never 0 */
};

/* `memory` outlives the space. Returns NULL when memory is short. */
struct space *space_new(struct client_memory *memory);

/* Unmaps everything: no request may be in flight. */
void space_free(struct space *space);

/*
 * Maps [iova, iova + size) to `uaddr`. Returns 0, -EINVAL (size 0, or the
 * range wraps), -EEXIST (overlap), -ENOSPC (table full) or -ENOMEM.
 */
int space_add(struct space *space, uint64_t iova, uint64_t size, uint64_t uaddr, uint8_t perm);

/*
 * What an entry finds out at its first use, found out before: how its regions are reached. That
 * may take time, and wait for the client's system (it may have many mappings, and keep others from
 * looking at them), which nobody who holds a lock or is in a pass should. Any thread. NULL: memory
 * is short.
 */
struct pieces;
struct pieces *space_resolve(struct client_memory *memory, uint64_t uaddr, uint64_t size,
			     uint8_t perm);
/* If it was not added. NULL is fine. */
void space_drop(struct client_memory *memory, struct pieces *pieces);
/* As space_add, with the answer of space_resolve for the same memory, range and perm; takes it over
 * if it returns 0. NULL: it is found out at first use. */
int space_add_resolved(struct space *space, uint64_t iova, uint64_t size, uint64_t uaddr,
		       uint8_t perm, struct pieces *pieces);

/* Removes every entry that touches [iova, iova + size - 1], modulo 2^64. Returns how many. */
unsigned space_remove(struct space *space, uint64_t iova, uint64_t size);

/*
 * Between begin and commit, add and remove work on a staged copy of the table and translations see
 * the old one, so that a mapping replaced within a batch is never seen missing. A begin inside a
 * begun batch does nothing, nor does a commit outside one. begin returns 0 or -ENOMEM.
 */
int space_begin(struct space *space);
void space_commit(struct space *space);

/* Grows with every change of the table. */
static inline uint64_t space_generation(const struct space *space)
{
	return ((const struct space_facts *)space)->generation;
}

/* Whether removed windows wait to be unmapped. */
static inline bool space_has_retired(const struct space *space)
{
	return ((const struct space_facts *)space)->retired != NULL;
}

unsigned space_entries(const struct space *space);

/*
 * Unmaps what was removed before generation `oldest`, the generation in which the oldest request
 * still in flight was translated (UINT64_MAX: none is in flight).
 */
void space_reap(struct space *space, uint64_t oldest);

/*
 * Translates [iova, iova + size) for `access` into at most `max` segments.
 * Returns their number, or -EFAULT (not mapped), -EACCES (mapped without the
 * permission), -E2BIG (more than `max` pieces), -EINVAL (wraps), -ENOMEM.
 */
int space_translate(struct space *space, uint64_t iova, uint64_t size, enum space_access access,
		    struct segment *segments, unsigned max);

/*
 * Where the last translations of one user (a ring) hit: mapped regions, whole. Requests of one
 * guest lie in one or two of them, so that most translations need no search. What is kept is good
 * for one generation of the space; its user begins anew ({0}) with the next.
 */
struct space_cache {
	struct space_hit {
		uint64_t iova, size; /* size 0: nothing is kept */
		uint8_t *host;
		unsigned access; /* granted */
	} hits[2];
};

/* The host address of all of [iova, iova + size), size not 0; NULL: nothing kept has it. */
static inline uint8_t *space_cached(const struct space_cache *cache, uint64_t iova, uint64_t size,
				    enum space_access access)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct space_hit *hit = &cache->hits[i];
		uint64_t offset = iova - hit->iova;

		if (offset < hit->size && size <= hit->size - offset && hit->access & access)
			return hit->host + offset;
	}
	return NULL;
}

/* Keeps the region that `iova` is in, if that is mapped. */
void space_keep(struct space *space, struct space_cache *cache, uint64_t iova);

/*
 * A mapped region of the client's memory, whole. Its number is never used again: whoever keeps
 * something about a region cannot mistake another one for it that lies where it was.
 */
struct space_region {
	uint64_t id;
	uint8_t *host;
	uint64_t size;
};

/* The region that `iova` is in. False: it is none, only copied or not mapped at all. */
bool space_find_region(struct space *space, uint64_t iova, struct space_region *region);

/*
 * Before a region that somebody may have found is unmapped, and no request is in it any more,
 * `gone` is called; by whoever removes or reaps.
 */
void space_on_gone(struct space *space, void (*gone)(void *arg, uint64_t id), void *arg);

/* Copies between the driver's memory and here. Return 0 or the errors of space_translate. */
int space_read(struct space *space, uint64_t iova, void *to, size_t size);
int space_write(struct space *space, uint64_t iova, const void *from, size_t size);

/*
 * Pieces of the driver's memory that are wanted at once. Where they lie near each other they are
 * fetched together, with what is between them, which is thrown away: many small reads of memory
 * that is copied cost as many system calls. A piece that cannot be read is not `done`, and no
 * error: who wants it reads it alone and is told why not. One that is done was readable, all of it.
 */
struct space_piece {
	uint64_t iova;
	uint32_t size; /* not 0 */
	bool done;
	void *to;
};

#define SPACE_GATHER_MAX 64
void space_gather(struct space *space, struct space_piece *pieces, unsigned count);

/* Whether mapped memory went away under us (a truncated file): nothing here can be trusted. */
bool space_lost(const struct space *space);

#endif
