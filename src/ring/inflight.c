/* The record: see inflight.h. */
#include "ring/inflight.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>

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

void inflight_untake(struct inflight_record *record, uint16_t head)
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

void inflight_publish(struct inflight_record *record, uint16_t num, uint16_t batch, uint16_t used)
{
	clear_batch(record, num, batch);
	STORE(record->used_idx, used);
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

int inflight_next(const struct inflight_record *record, uint16_t num,
		  struct inflight_cursor *cursor)
{
	struct inflight_cursor best = {0};

	/* Looked through once per chain, which is fine for what happens once after a crash. */
	for (uint32_t i = 1; i <= num; i++) {
		uint64_t counter = LOAD(record->desc[i - 1].counter);

		if (LOAD(record->desc[i - 1].inflight) != 1)
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
