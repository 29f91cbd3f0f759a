/*
 * Ranges of a disk that requests are about to change, of all its channels. Who reads a block,
 * changes a part of it and writes it back is alone with it meanwhile; the others may be there
 * together. Nobody sleeps: who has to wait is told when it has its turn.
 */
#ifndef UVDPA_BACKEND_BLOCK_RANGES_H
#define UVDPA_BACKEND_BLOCK_RANGES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct block_range {
	uint64_t begin, end; /* bytes, [begin, end) */
	bool exclusive;
	/* It had to wait and has its turn. Any thread; the lock is held, so nothing of here is
	 * called. */
	void (*granted)(struct block_range *range);

	/* Of block_ranges.c. */
	struct block_range *next, *previous;
	uint64_t number; /* in order of arrival */
	unsigned before; /* conflicting ones that came earlier and are still there */
};

struct block_ranges {
	pthread_mutex_t lock;
	struct block_range *shared,
		*exclusive; /* those that have their turn, and those that wait */
	uint64_t count;
	unsigned waiting;
};

void block_ranges_init(struct block_ranges *ranges);
void block_ranges_destroy(struct block_ranges *ranges);
/* Whether it is the range's turn at once; otherwise `granted` is called. Turns are in order of
 * arrival. */
bool block_ranges_enter(struct block_ranges *ranges, struct block_range *range);
void block_ranges_leave(struct block_ranges *ranges, struct block_range *range);
/* Leaves if the range still waits. Returns whether it did: `granted` will not be called any more.
 */
bool block_ranges_give_up(struct block_ranges *ranges, struct block_range *range);

#endif
