/*
 * A virtqueue as the device sees it: one small interface over the two layouts,
 * split (virtio 1.3, 2.7) and packed (2.8).
 *
 * Life: ring_init once; ring_start with the driver's addresses and the base;
 * then, from one worker only, pop, complete and publish; ring_stop. Between
 * stop and start everything lives in the base alone.
 *
 * What goes wrong is either the driver's nonsense (the ring is broken: the
 * reason sticks until the next start) or memory that is not mapped (yet).
 */
#ifndef UVDPA_RING_RING_H
#define UVDPA_RING_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "memory/dirty.h"
#include "ring/chain.h"
#include "ring/inflight.h"
#include "util/error.h"

/* With IN_ORDER (virtio 1.3, 2.7.9, 2.8.14): a chain that came back, perhaps before its turn. */
struct ring_used {
	uint16_t head, entries, entry;
	uint32_t written;
	bool writable; /* the chain has a writable part ... */
	bool full;     /* ... all of which was written; or it has none */
	bool done;     /* the entry is in use */
};

struct ring_setup {
	uint16_t num;			/* entries: see ring_size_fits */
	uint64_t desc, driver, device;	/* IOVAs of descriptor, available and used area */
	uint32_t base;			/* as SET_VRING_BASE has it */
	bool base_unset;		/* nobody set it: it is the layout's first */
	bool told;			/* the driver was called for all that it was shown so far */
	uint64_t features;		/* acknowledged */
	struct inflight_record *record; /* in the ring's layout; NULL: none is kept */
	/*
	 * Split only: heads of chains that were taken before `base` and never shown as used, to be
	 * taken again in this order before any other. They stay until ring_stop. What a record
	 * holds is newer.
	 */
	const uint16_t *resubmit_list;
	unsigned resubmit_count;
	/*
	 * For VIRTIO_F_IN_ORDER: as many as the ring has entries, up to a power of two; NULL: in
	 * any order.
	 */
	struct ring_used *reorder;
	struct ring_prefetch
		*prefetch; /* the ring's until ring_stop; NULL: nothing is prefetched */
};

enum ring_pop_result {
	RING_EMPTY,    /* nothing there */
	RING_CHAIN,    /* one chain taken */
	RING_UNMAPPED, /* the ring's own memory is not mapped: nothing was taken */
	RING_BROKEN,   /* nonsense: see ring_reason() */
};

struct ring_area {     /* one of the three areas, as the ring reaches it */
	uint8_t *host; /* NULL: by copying */
	uint64_t iova;
	uint32_t size;
};

/*
 * Of areas that are reached by copying, where every access is a system call, whole parts are copied
 * at once: entries of the available ring that the driver has published and cannot take back, an
 * indirect table, and used entries on their way out. (Split; tables: packed, too.)
 */
#define RING_COPY_ENTRIES 64
#define RING_COPY_TABLE	  32

struct ring_copies {
	uint16_t heads[RING_COPY_ENTRIES];
	uint16_t heads_at, heads_count; /* from which available index on, and how many */
	uint8_t used[RING_COPY_ENTRIES * 8];
	unsigned used_count; /* that are still to be written: the last before ring.used */
	uint8_t table[RING_COPY_TABLE * 16];
};

/* A descriptor as it lies in memory, whichever the layout. */
struct ring_raw {
	uint64_t addr, rest;
};

/* What was prefetched of so many chains (packed: descriptors): see ahead.c. */
#define RING_PREFETCH	    32
#define RING_PREFETCH_NEAR  4 /* descriptors of one chain mostly lie side by side */
#define RING_PREFETCH_TABLE 6 /* entries that there is room for, for each */

struct ring_prefetch {
	struct ring_prefetch_chain {
		uint16_t head, near_count;
		uint16_t table_at;
		uint32_t table_size; /* bytes; 0: there is none */
		uint64_t table_iova, header_iova;
		struct ring_raw near[RING_PREFETCH_NEAR]; /* from the chain's first descriptor on */
		struct chain_prefetch header;
	} chains[RING_PREFETCH];
	uint8_t tables[RING_PREFETCH * RING_PREFETCH_TABLE * sizeof(struct ring_raw)];
};

struct ring {
	struct ring_setup setup;
	struct space *space;
	uint64_t generation; /* of the space, when the areas were resolved */
	struct ring_area desc, driver, device;
	struct space_cache cache; /* of the same generation: where buffers and tables were found */
	uint16_t last_avail;	  /* next available entry to take (packed: descriptor) */
	uint16_t seen_avail;	  /* the driver's available index when last looked at */
	uint16_t used;		  /* next used entry (packed: descriptor) to write */
	uint16_t flushed;	  /* used index the driver can see */
	uint16_t signalled;	  /* used index at the last notification decision */
	/* Packed: the two wrap counters, and the used descriptor that publish will reveal. */
	bool avail_wrap, used_wrap;
	uint16_t batch_slot, batch_flags, batch_id;
	uint16_t batch_entries; /* descriptors used since the last publish */
	bool signal_pending; /* shown before the publish (be it by a process before us), and to be
				told */
	bool placed;	     /* its memory was there, and it is settled where the ring goes on */
	bool base_refused;   /* setup.base cannot be: the ring goes on elsewhere */
	/* In order: turns given at taking and due at completing; the last used entry since then. */
	uint16_t next_seq, due_seq, turn_mask;
	bool tail_full; /* there is one, and it can stand for more chains: */
	uint16_t tail, tail_flags;
	/* With a record: what a process before us took and did not finish is taken again first. */
	unsigned resubmit;	       /* chains still to take again: from `again`, ... */
	const uint16_t *resubmit_list; /* ... or NULL: from the record */
	struct inflight_cursor cursor;
	uint64_t counter;
	/* Dirty log: NULL while off. */
	struct dirty_log *data_log, *used_log;
	uint64_t used_log_at; /* what the first byte of the device area is logged as */
	bool packed, event_idx, indirect;
	bool started, resolved, broken;
	bool fast;	     /* resolved, and no area has to be copied */
	bool notify_enabled; /* the driver was last told to kick */
	struct error reason;
	struct ring_copies copies;
	/* Which positions setup.prefetch has, and whether anything has to be copied that it may
	 * have.
	 */
	uint16_t prefetch_at, prefetch_count;
	bool prefetch_wrap, copied;
};

/*
 * Whether a ring can have so many entries: a split one a power of two (virtio 1.3, 2.7), a packed
 * one any number (2.8.10.1), up to 32768.
 */
bool ring_size_fits(uint32_t num, uint64_t features);

void ring_init(struct ring *ring);

/*
 * Takes the setup over. Memory is first looked at by the first look, pop or arm: where the ring
 * goes on is settled then (see split.c, packed.c), and a driver whose ring does not begin at its
 * beginning is to be called once, as the next publish says, unless it was told. Returns 0 or
 * -EINVAL.
 */
int ring_start(struct ring *ring, const struct ring_setup *setup, struct space *space);
void ring_stop(struct ring *ring);

/*
 * Has what the ring and its chains write to guest memory marked from now on: `data` for buffers,
 * `used` for the device's own areas, the device area as if it lay at `used_at`. NULL: not.
 */
void ring_set_log(struct ring *ring, struct dirty_log *data, struct dirty_log *used,
		  uint64_t used_at);
/* Marks all that a chain's model may have written, for a chain that is never completed. */
void ring_mark_chain(struct ring *ring, const struct chain *chain);

/* What a chain is called in lists of chains to take again: its head; packed: its entry in the
 * record. */
static inline uint16_t ring_name(const struct ring *ring, const struct chain *chain)
{
	return ring->packed ? chain->entry : chain->head;
}

/*
 * Chains that were taken before a restart and are still to be taken again: not more than in flight.
 * With a record that nobody has looked into yet, 1: there may be some.
 */
unsigned ring_resubmits(const struct ring *ring);
/* Looks where a ring goes on, if nobody has since it was started. Nothing is taken. False: its
 * memory is not there to tell. */
bool ring_find_place(struct ring *ring);
/* Their heads, in order. There is room for as many as the ring has entries. Returns how many. */
unsigned ring_pending(const struct ring *ring, uint16_t *heads);
/*
 * Has a started ring take chains again that it took and that were not completed: as
 * ring_setup.resubmit_list, instead of all that it was to take again so far. Packed: with a record
 * only.
 */
void ring_resubmit(struct ring *ring, const uint16_t *heads, unsigned count);

/* Whether ring_pop would take a chain (which may turn out to be nonsense): the same results. */
enum ring_pop_result ring_look(struct ring *ring);

/*
 * Takes the next available chain into `chain`, whose `segments` and
 * `max_segments` the caller provides.
 */
enum ring_pop_result ring_pop(struct ring *ring, struct chain *chain);

/* Gives back the chain taken last, as if it had never been taken. Not after a complete. */
void ring_unpop(struct ring *ring, const struct chain *chain);

/* Writes the used element of a taken chain; the driver sees it at the next publish. */
void ring_complete(struct ring *ring, const struct chain *chain, uint32_t written);

/*
 * The same by the batch, for chains that are one mapped buffer (plain.c). Takes up to `max` of them
 * for `access`, until one is not like that, be it unusual or nonsense: ring_pop takes and judges
 * it. None are had of a ring that is copied, logged, recorded, or used in order. What was taken is
 * completed or given back before anything else is taken from the ring, in any case before control
 * gets to it.
 */
unsigned ring_take_batch(struct ring *ring, enum space_access access, struct batch_chain *batch,
			 unsigned max);
/* Gives back the last `count` of them. */
void ring_unpop_batch(struct ring *ring, unsigned count);
/* Writes their used elements; `written`: NULL, or for each how many bytes, which says that they are
 * writable. */
void ring_complete_batch(struct ring *ring, const struct batch_chain *batch,
			 const uint32_t *written, unsigned count);

/*
 * Shows everything completed to the driver, with one store. Returns whether
 * the driver wants a notification for it (virtio 1.3, 2.7.7 and 2.7.10).
 */
bool ring_flush_used(struct ring *ring);

/*
 * Asks the driver for kicks and looks once more: returns true if there is work after all (then go
 * on). ring_disable_notify is the opposite, while polling anyway.
 */
bool ring_enable_notify(struct ring *ring);
void ring_disable_notify(struct ring *ring);

/* Whether the driver's part of the ring is reached by system calls, as its memory is copied. */
static inline bool ring_costly(const struct ring *ring)
{
	return ring->copied;
}

/* How many chains are known to wait, at least (split). */
static inline unsigned ring_backlog(const struct ring *ring)
{
	return ring->packed ? 0 : (uint16_t)(ring->seen_avail - ring->last_avail);
}

/* The base of a ring that nothing was done in yet (linux: vhost_vring_ioctl's encoding). */
uint32_t ring_first_base(uint64_t features);

/* Where processing stands, as GET_VRING_BASE answers it. Meaningful also after ring_stop. */
uint32_t ring_base(const struct ring *ring);

/* Why the ring is broken; empty text if it is not. */
const char *ring_reason(const struct ring *ring);

#endif
