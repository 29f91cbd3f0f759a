/*
 * The record of requests in flight: which chains of a ring were taken and not yet shown as used, in
 * memory that outlives this process, in the two layouts of the vhost-user specification ("Inflight
 * I/O tracking"). First the split one; the packed one is below.
 *
 * Theory of operation
 * -------------------
 *   take       desc[head].counter = ++counter; then desc[head].inflight = 1
 *   complete   desc[head].next = last_batch_head; then last_batch_head = head
 *   publish    the ring's used index moves (by n); then the last n heads of that list get
 *              inflight = 0; then used_idx = the used index
 *
 * Whoever dies between two of these steps leaves either a chain that is recorded and not used (done
 * again), or one that is used and still recorded: then used_idx lags behind the used index by the
 * length of the batch, and recovery clears those first. What is left is done again in the order of
 * counters. What was taken altogether is what was used and what is left, so that the available
 * index goes on at used index + number left, whatever base the front end could know. No value of
 * used index or counter means "nothing was ever taken": with both indices 0, entry 0 counts like
 * any other.
 *
 * The memory is shared with the front end: everything read from it is a hint that is checked. It
 * can make us do the driver's requests again, or not, or break the ring; no more.
 */
#ifndef UVDPA_RING_INFLIGHT_H
#define UVDPA_RING_INFLIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight_desc {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct inflight_record {
	uint64_t features; /* 0 */
	uint16_t version;  /* 1; 0: not initialised */
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct inflight_desc desc[];
};

#define INFLIGHT_VERSION   1
#define INFLIGHT_ALIGNMENT 64u

/* Bytes of one queue's record, with what keeps the next one aligned. */
size_t inflight_size(uint16_t num);
/* Nothing is in flight. Also for a record whose driver reset the device. */
void inflight_clear(struct inflight_record *record, uint16_t num);
/* Whether a record is one of `num` entries that this code can go on with. */
bool inflight_fits(const struct inflight_record *record, uint16_t num);

/* The three steps. `num` is the ring's, which may have fewer entries than the record; `used` the
 * used index. */
void inflight_take(struct inflight_record *record, uint16_t head, uint64_t counter);
/* Takes back the last take. */
void inflight_unpop(struct inflight_record *record, uint16_t head);
void inflight_complete(struct inflight_record *record, uint16_t head);
void inflight_flush_used(struct inflight_record *record, uint16_t num, uint16_t batch,
			 uint16_t used);

/* Whether something was ever taken. */
bool inflight_touched(const struct inflight_record *record, uint16_t num);
/*
 * After a restart, with the used index that the driver sees: clears what was used. Returns how many
 * chains are left and the highest counter, or -EINVAL: the record does not belong to this ring.
 */
int inflight_recover(struct inflight_record *record, uint16_t num, uint16_t used,
		     uint64_t *counter);

/*
 * The packed layout. What a chain was made of would be overwritten by used descriptors, so that the
 * record has copies: an entry per descriptor of the ring, those of a chain linked by `next`, as are
 * those that are free.
 *
 *   take       the chain's copies go into the first free entries; its first has inflight = 1 and
 * the counter; then free_head moves behind them, and old_free_head to the same: it is taken
 *   complete   the chain's entries go back to the front of the free list: free_head moves
 *   show       used_idx moves; then the ring's descriptor is marked used; then the batch gets
 *              inflight = 0, and the old_ fields follow: it is over
 *
 * A chain is taken only while nothing is completed and not shown, since old_free_head is the end of
 * both. Whoever dies leaves old_ fields that lag behind: recovery looks whether the ring's
 * descriptor was marked, and goes on from the new fields or back to the old ones. All that is in
 * the free list then is not in flight. Where the ring was is what was used and the lengths of the
 * chains that are left; a record that nothing was ever taken with leaves that to the base.
 */
struct inflight_packed_desc {
	uint8_t inflight, padding;
	uint16_t next, last, num;
	uint64_t counter;
	uint16_t id, flags;
	uint32_t len;
	uint64_t addr;
};

struct inflight_packed {
	uint64_t features;	    /* as above */
	uint16_t version, desc_num; /* as above */
	uint16_t free_head, old_free_head;
	uint16_t used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap;
	uint8_t padding[10];
	struct inflight_packed_desc desc[];
};

size_t inflight_packed_size(uint16_t num);
/* Nothing is in flight, and nothing ever was. */
void inflight_packed_clear(struct inflight_packed *record, uint16_t num);
/* Nor was it in a ring of `num` entries, which may be a part of the record, that begins at this
 * used position. */
void inflight_packed_begin(struct inflight_packed *record, uint16_t num, uint16_t used, bool wrap);

/* Whether something was ever taken. */
bool inflight_packed_touched(const struct inflight_packed *record, uint16_t num);
/* Whether the last batch may be unfinished; then, which of the ring's descriptors tells. */
bool inflight_packed_torn(const struct inflight_packed *record, uint16_t *index, bool *wrap);
/*
 * After a restart; `shown`: that descriptor is marked as used. -EINVAL: that is no record. Else how
 * many chains are left, and:
 */
struct inflight_packed_place {
	uint16_t used; /* the used position */
	bool wrap;
	uint16_t entries; /* descriptors of the chains that are left */
	uint64_t counter; /* the highest */
};
int inflight_packed_recover(struct inflight_packed *record, uint16_t num, bool shown,
			    struct inflight_packed_place *place);

/*
 * The steps. put: one descriptor of a chain after the other. Returns the chain's entry, or -EINVAL:
 * somebody else has written into the record. unpop: the last chain.
 */
int inflight_packed_put(struct inflight_packed *record, uint16_t num,
			const struct inflight_packed_desc *desc, bool first, bool last,
			uint64_t counter);
void inflight_packed_unpop(struct inflight_packed *record, uint16_t entry);
/* An entry below `num`, each of its members loaded once: somebody else may be writing to it. */
struct inflight_packed_desc inflight_packed_get(const struct inflight_packed *record,
						uint16_t entry);
void inflight_packed_complete(struct inflight_packed *record, uint16_t num, uint16_t entry);
void inflight_packed_move_used(struct inflight_packed *record, uint16_t used, bool wrap);
void inflight_packed_flushed(struct inflight_packed *record, uint16_t num);

/* A place in the order of submission. Begin with {0}. */
struct inflight_cursor {
	uint64_t counter;
	uint32_t head; /* 1 + head; 0: before all */
};
/* The next head after the cursor, which moves on; -1: there is none. */
int inflight_next(const struct inflight_record *record, uint16_t num,
		  struct inflight_cursor *cursor);
/* Likewise, the next entry that a chain begins with. */
int inflight_packed_next(const struct inflight_packed *record, uint16_t num,
			 struct inflight_cursor *cursor);

#endif
