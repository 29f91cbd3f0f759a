/* Many small reads in few: see space_gather in space.h. */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "memory/space.h"

/*
 * What a read costs is the call and, in it, looking up each page; bytes cost next to nothing. A
 * call is dearer than a page, so that a piece joins those before it if it brings no more than one
 * page.
 */
#define PAGE	    UINT64_C(4096)
#define WINDOW_SIZE 8192u

/* The order in which pieces lie in memory. Mostly they come that way. */
static void sort(const struct space_piece *pieces, uint8_t *order, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		unsigned at = i;

		for (; at && pieces[order[at - 1]].iova > pieces[i].iova; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}

static uint64_t last_of(const struct space_piece *piece)
{
	return piece->iova + piece->size - 1;
}

/* How many of those in `order` make up the next window, and its last byte. */
static unsigned find_window(const struct space_piece *pieces, const uint8_t *order, unsigned count,
			    uint64_t *last)
{
	uint64_t first = pieces[order[0]].iova;
	unsigned n;

	*last = last_of(&pieces[order[0]]);
	for (n = 1; n < count; n++) {
		uint64_t next = last_of(&pieces[order[n]]);

		if (next < pieces[order[n]].iova || next - first >= WINDOW_SIZE ||
		    next / PAGE > *last / PAGE + 1)
			break;
		if (next > *last)
			*last = next;
	}
	return n;
}

static void read_alone(struct space *space, struct space_piece *piece)
{
	piece->done = last_of(piece) >= piece->iova &&
		      space_read(space, piece->iova, piece->to, piece->size) == 0;
}

/* Reads all of a window, and hands out what was asked for. */
static bool read_window(struct space *space, struct space_piece *pieces, const uint8_t *order,
			unsigned count, uint64_t last)
{
	uint64_t first = pieces[order[0]].iova;
	uint8_t window[WINDOW_SIZE];

	if (last < first || last - first >= WINDOW_SIZE ||
	    space_read(space, first, window, last - first + 1) < 0)
		return false;
	for (unsigned i = 0; i < count; i++) {
		struct space_piece *piece = &pieces[order[i]];

		memcpy(piece->to, window + (piece->iova - first), piece->size);
		piece->done = true;
	}
	return true;
}

void space_gather(struct space *space, struct space_piece *pieces, unsigned count)
{
	uint8_t order[SPACE_GATHER_MAX];
	unsigned n;

	assert(count <= SPACE_GATHER_MAX);
	sort(pieces, order, count);
	for (unsigned at = 0; at < count; at += n) {
		uint64_t last;

		n = find_window(pieces, order + at, count - at, &last);
		if (n > 1 && read_window(space, pieces, order + at, n, last))
			continue;
		for (unsigned i = 0; i < n; i++)
			read_alone(space, &pieces[order[at + i]]);
	}
}
