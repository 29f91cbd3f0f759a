/* The record: see inflight.h. */
#include "ring/inflight.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static_assert(sizeof(struct inflight_desc) == 16, "an entry has 16 bytes");
static_assert(sizeof(struct inflight_record) == 16, "the head has 16 bytes");

/* Another process may look at any time, and ours may die at any time: single accesses, in order. */
#define LOAD(field)	    __atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define STORE(field, value) __atomic_store_n(&(field), (value), __ATOMIC_RELEASE)

size_t inflight_size(uint16_t num)
{
	size_t size = sizeof(struct inflight_record) + num * sizeof(struct inflight_desc);

	return (size + INFLIGHT_ALIGNMENT - 1) & ~(size_t)(INFLIGHT_ALIGNMENT - 1);
}

void inflight_clear(struct inflight_record *record, uint16_t num)
{
	for (unsigned i = 0; i < num; i++)
		STORE(record->desc[i].inflight, 0);
	STORE(record->features, 0);
	STORE(record->desc_num, num);
	STORE(record->last_batch_head, 0);
	STORE(record->used_idx, 0);
	STORE(record->version, INFLIGHT_VERSION);
}

bool inflight_fits(const struct inflight_record *record, uint16_t num)
{
	return LOAD(record->version) == INFLIGHT_VERSION && LOAD(record->desc_num) == num &&
	       !LOAD(record->features);
}

void inflight_take(struct inflight_record *record, uint16_t head, uint64_t counter)
{
	STORE(record->desc[head].counter, counter);
	STORE(record->desc[head].inflight, 1);
}

void inflight_unpop(struct inflight_record *record, uint16_t head)
{
	STORE(record->desc[head].inflight, 0);
}

void inflight_complete(struct inflight_record *record, uint16_t head)
{
	STORE(record->desc[head].next, LOAD(record->last_batch_head));
	STORE(record->last_batch_head, head);
}

/* The last `batch` heads of the list are no longer in flight. */
static void clear_batch(struct inflight_record *record, uint16_t num, uint16_t batch)
{
	uint16_t head = LOAD(record->last_batch_head);

	for (; batch && head < num; batch--) {
		STORE(record->desc[head].inflight, 0);
		head = LOAD(record->desc[head].next);
	}
}

void inflight_flush_used(struct inflight_record *record, uint16_t num, uint16_t batch,
			 uint16_t used)
{
	clear_batch(record, num, batch);
	STORE(record->used_idx, used);
}

bool inflight_touched(const struct inflight_record *record, uint16_t num)
{
	for (unsigned i = 0; i < num; i++)
		if (LOAD(record->desc[i].counter) || LOAD(record->desc[i].inflight) == 1)
			return true;
	return false;
}

int inflight_recover(struct inflight_record *record, uint16_t num, uint16_t used, uint64_t *counter)
{
	uint16_t lag = (uint16_t)(used - LOAD(record->used_idx));
	int left = 0;

	*counter = 0;
	for (unsigned i = 0; i < num; i++)
		left += LOAD(record->desc[i].inflight) == 1;
	if (left && lag > num)
		return -EINVAL;
	if (left)
		clear_batch(record, num, lag);
	STORE(record->used_idx, used);
	left = 0;
	for (unsigned i = 0; i < num; i++) {
		uint64_t at = LOAD(record->desc[i].counter);

		if (LOAD(record->desc[i].inflight) != 1)
			continue;
		left++;
		if (at > *counter)
			*counter = at;
	}
	return left;
}

static bool is_before(uint64_t counter, uint32_t head, const struct inflight_cursor *than)
{
	return counter < than->counter || (counter == than->counter && head < than->head);
}

/* The next of those that are in flight, by whatever `look` says of entry i. */
static int next(const void *record, uint16_t num, struct inflight_cursor *cursor,
		bool (*look)(const void *record, uint32_t i, uint64_t *counter))
{
	struct inflight_cursor best = {0};

	/* Looked through once per chain, which is fine for what happens once after a crash. */
	for (uint32_t i = 1; i <= num; i++) {
		uint64_t counter;

		if (!look(record, i - 1, &counter))
			continue;
		if (cursor->head && (is_before(counter, i, cursor) ||
				     (counter == cursor->counter && i == cursor->head)))
			continue;
		if (!best.head || is_before(counter, i, &best))
			best = (struct inflight_cursor){.counter = counter, .head = i};
	}
	if (!best.head)
		return -1;
	*cursor = best;
	return (int)best.head - 1;
}

static bool look_split(const void *arg, uint32_t i, uint64_t *counter)
{
	const struct inflight_record *record = arg;

	*counter = LOAD(record->desc[i].counter);
	return LOAD(record->desc[i].inflight) == 1;
}

int inflight_next(const struct inflight_record *record, uint16_t num,
		  struct inflight_cursor *cursor)
{
	return next(record, num, cursor, look_split);
}

/* --- Packed rings -------------------------------------------------------------------------------
 */

static_assert(sizeof(struct inflight_packed_desc) == 32, "an entry has 32 bytes");
static_assert(sizeof(struct inflight_packed) == 32, "the head has 32 bytes");
static_assert(offsetof(struct inflight_packed, version) ==
		      offsetof(struct inflight_record, version),
	      "the same beginning");

size_t inflight_packed_size(uint16_t num)
{
	size_t size = sizeof(struct inflight_packed) + num * sizeof(struct inflight_packed_desc);

	return (size + INFLIGHT_ALIGNMENT - 1) & ~(size_t)(INFLIGHT_ALIGNMENT - 1);
}

/* All entries are free, one behind the other. */
static void link_free(struct inflight_packed *record, uint16_t num)
{
	for (uint16_t i = 0; i < num; i++)
		STORE(record->desc[i].next, (uint16_t)(i + 1));
	STORE(record->free_head, 0);
	STORE(record->old_free_head, 0);
}

void inflight_packed_begin(struct inflight_packed *record, uint16_t num, uint16_t used, bool wrap)
{
	for (unsigned i = 0; i < num; i++) {
		STORE(record->desc[i].inflight, 0);
		STORE(record->desc[i].counter, 0);
	}
	link_free(record, num);
	STORE(record->used_idx, used);
	STORE(record->old_used_idx, used);
	STORE(record->used_wrap, wrap);
	STORE(record->old_used_wrap, wrap);
}

void inflight_packed_clear(struct inflight_packed *record, uint16_t num)
{
	inflight_packed_begin(record, num, 0, true);
	STORE(record->features, 0);
	STORE(record->desc_num, num);
	STORE(record->version, INFLIGHT_VERSION);
}

bool inflight_packed_touched(const struct inflight_packed *record, uint16_t num)
{
	for (unsigned i = 0; i < num; i++)
		if (LOAD(record->desc[i].counter) || LOAD(record->desc[i].inflight) == 1)
			return true;
	return false;
}

bool inflight_packed_torn(const struct inflight_packed *record, uint16_t *index, bool *wrap)
{
	*index = LOAD(record->old_used_idx);
	*wrap = LOAD(record->old_used_wrap) == 1;
	return LOAD(record->used_idx) != *index || (LOAD(record->used_wrap) == 1) != *wrap;
}

static void settle_batch(struct inflight_packed *record, bool shown)
{
	if (shown) {
		STORE(record->old_free_head, LOAD(record->free_head));
		STORE(record->old_used_idx, LOAD(record->used_idx));
		STORE(record->old_used_wrap, LOAD(record->used_wrap));
	} else {
		STORE(record->free_head, LOAD(record->old_free_head));
		STORE(record->used_idx, LOAD(record->old_used_idx));
		STORE(record->used_wrap, LOAD(record->old_used_wrap));
	}
}

/* What is free is not in flight. False: the list has no end. */
static bool clear_free(struct inflight_packed *record, uint16_t num)
{
	uint16_t at = LOAD(record->free_head);
	unsigned n = 0;

	for (; at < num && n <= num; n++) {
		STORE(record->desc[at].inflight, 0);
		at = LOAD(record->desc[at].next);
	}
	return n <= num;
}

int inflight_packed_recover(struct inflight_packed *record, uint16_t num, bool shown,
			    struct inflight_packed_place *place)
{
	unsigned entries = 0;
	int left = 0;
	bool sound;

	settle_batch(record, shown);
	sound = clear_free(record, num);
	*place = (struct inflight_packed_place){.used = LOAD(record->used_idx),
						.wrap = LOAD(record->used_wrap) == 1};
	for (unsigned i = 0; i < num; i++) {
		uint64_t at = LOAD(record->desc[i].counter);
		uint16_t length = LOAD(record->desc[i].num);

		if (at > place->counter)
			place->counter = at;
		if (LOAD(record->desc[i].inflight) != 1)
			continue;
		left++;
		entries += length;
		sound = sound && length;
	}
	if (place->used >= num || (left && (!sound || entries > num)))
		return -EINVAL;
	if (!left)
		link_free(record, num); /* whatever it was */
	place->entries = (uint16_t)entries;
	return left;
}

int inflight_packed_put(struct inflight_packed *record, uint16_t num,
			const struct inflight_packed_desc *desc, bool first, bool last,
			uint64_t counter)
{
	uint16_t entry = LOAD(record->old_free_head), at = LOAD(record->free_head);

	if (entry >= num || at >= num)
		return -EINVAL;
	if (first) {
		STORE(record->desc[entry].num, 0);
		STORE(record->desc[entry].counter, counter);
		STORE(record->desc[entry].inflight, 1);
	}
	if (last)
		STORE(record->desc[entry].last, at);
	STORE(record->desc[entry].num, (uint16_t)(LOAD(record->desc[entry].num) + 1));
	STORE(record->desc[at].addr, desc->addr);
	STORE(record->desc[at].len, desc->len);
	STORE(record->desc[at].id, desc->id);
	STORE(record->desc[at].flags, desc->flags);
	STORE(record->free_head, LOAD(record->desc[at].next));
	if (last)
		STORE(record->old_free_head, LOAD(record->free_head));
	return entry;
}

struct inflight_packed_desc inflight_packed_get(const struct inflight_packed *record,
						uint16_t entry)
{
	const struct inflight_packed_desc *from = &record->desc[entry];

	return (struct inflight_packed_desc){.next = LOAD(from->next),
					     .num = LOAD(from->num),
					     .id = LOAD(from->id),
					     .flags = LOAD(from->flags),
					     .len = LOAD(from->len),
					     .addr = LOAD(from->addr)};
}

void inflight_packed_unpop(struct inflight_packed *record, uint16_t entry)
{
	STORE(record->desc[entry].inflight, 0);
	STORE(record->free_head, entry);
	STORE(record->old_free_head, entry);
}

void inflight_packed_complete(struct inflight_packed *record, uint16_t num, uint16_t entry)
{
	uint16_t last = LOAD(record->desc[entry].last);

	if (last < num)
		STORE(record->desc[last].next, LOAD(record->free_head));
	STORE(record->free_head, entry);
}

void inflight_packed_move_used(struct inflight_packed *record, uint16_t used, bool wrap)
{
	STORE(record->used_idx, used);
	STORE(record->used_wrap, wrap);
}

void inflight_packed_flushed(struct inflight_packed *record, uint16_t num)
{
	uint16_t end = LOAD(record->old_free_head), at = LOAD(record->free_head), last;

	for (unsigned n = 0; n < num && at != end && at < num; n++) {
		STORE(record->desc[at].inflight, 0);
		last = LOAD(record->desc[at].last);
		at = last < num ? LOAD(record->desc[last].next) : end;
	}
	settle_batch(record, true);
}

static bool look_packed(const void *arg, uint32_t i, uint64_t *counter)
{
	const struct inflight_packed *record = arg;

	*counter = LOAD(record->desc[i].counter);
	return LOAD(record->desc[i].inflight) == 1;
}

int inflight_packed_next(const struct inflight_packed *record, uint16_t num,
			 struct inflight_cursor *cursor)
{
	return next(record, num, cursor, look_packed);
}
