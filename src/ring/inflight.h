/*
 * The record of requests in flight: which chains of a split ring were taken and not yet shown as
 * used, in memory that outlives this process, in the layout of the vhost-user specification
 * ("Inflight I/O tracking").
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

/* The three steps. `num` is the ring's, `used` the used index. */
void inflight_take(struct inflight_record *record, uint16_t head, uint64_t counter);
/* Takes back the last take. */
void inflight_untake(struct inflight_record *record, uint16_t head);
void inflight_complete(struct inflight_record *record, uint16_t head);
void inflight_publish(struct inflight_record *record, uint16_t num, uint16_t batch, uint16_t used);

/*
 * After a restart, with the used index that the driver sees: clears what was used. Returns how many
 * chains are left and the highest counter, or -EINVAL: the record does not belong to this ring.
 */
int inflight_recover(struct inflight_record *record, uint16_t num, uint16_t used,
		     uint64_t *counter);

/* A place in the order of submission. Begin with {0}. */
struct inflight_cursor {
	uint64_t counter;
	uint32_t head; /* 1 + head; 0: before all */
};
/* The next head after the cursor, which moves on; -1: there is none. */
int inflight_next(const struct inflight_record *record, uint16_t num,
		  struct inflight_cursor *cursor);

#endif
