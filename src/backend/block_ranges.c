/*
 * Ranges that requests change: see block_ranges.h.
 *
 * A range that arrives counts the conflicting ones that are there, and each of them takes itself
 * off that count when it leaves. So no range overtakes a conflicting one, and none starves. Whole
 * blocks conflict with nothing but partial ones, so where all is aligned the list that is searched
 * is empty.
 */
#include "backend/block_ranges.h"

#include <stddef.h>

void block_ranges_init(struct block_ranges *ranges)
{
	*ranges = (struct block_ranges){0};
	pthread_mutex_init(&ranges->lock, NULL);
}

void block_ranges_destroy(struct block_ranges *ranges)
{
	pthread_mutex_destroy(&ranges->lock);
}

static struct block_range **list_of(struct block_ranges *ranges, const struct block_range *range)
{
	return range->exclusive ? &ranges->exclusive : &ranges->shared;
}

static bool overlap(const struct block_range *a, const struct block_range *b)
{
	return a->begin < b->end && b->begin < a->end;
}

static unsigned count_overlaps(const struct block_range *list, const struct block_range *range)
{
	unsigned n = 0;

	for (; list; list = list->next)
		n += overlap(list, range);
	return n;
}

bool block_ranges_enter(struct block_ranges *ranges, struct block_range *range)
{
	struct block_range **list = list_of(ranges, range);
	bool waits;

	pthread_mutex_lock(&ranges->lock);
	range->number = ranges->count++;
	range->before = count_overlaps(ranges->exclusive, range);
	if (range->exclusive)
		range->before += count_overlaps(ranges->shared, range);
	range->previous = NULL;
	range->next = *list;
	if (range->next)
		range->next->previous = range;
	*list = range;
	waits = range->before > 0;
	ranges->waiting += waits;
	pthread_mutex_unlock(&ranges->lock);
	return !waits;
}

/* One that came earlier has gone. */
static void tell(struct block_ranges *ranges, struct block_range *list,
		 const struct block_range *gone)
{
	for (; list; list = list->next) {
		if (list->number < gone->number || !overlap(list, gone) || --list->before)
			continue;
		ranges->waiting--;
		list->granted(list);
	}
}

static void leave(struct block_ranges *ranges, struct block_range *range)
{
	if (range->next)
		range->next->previous = range->previous;
	if (range->previous)
		range->previous->next = range->next;
	else
		*list_of(ranges, range) = range->next;
	if (!ranges->waiting)
		return;
	tell(ranges, ranges->exclusive, range);
	if (range->exclusive)
		tell(ranges, ranges->shared, range);
}

void block_ranges_leave(struct block_ranges *ranges, struct block_range *range)
{
	pthread_mutex_lock(&ranges->lock);
	leave(ranges, range);
	pthread_mutex_unlock(&ranges->lock);
}

bool block_ranges_give_up(struct block_ranges *ranges, struct block_range *range)
{
	bool waits;

	pthread_mutex_lock(&ranges->lock);
	waits = range->before > 0;
	if (waits) {
		ranges->waiting--;
		leave(ranges, range);
	}
	pthread_mutex_unlock(&ranges->lock);
	return waits;
}
