/*
 * What a workload may see: see workload.h.
 *
 * For each block: `acked`, the generation of the last write that completed well, and `sent`, that
 *of the last write sent. At most one write per block is in flight, so sent is acked or acked + 1,
 * except after a failed write, whose effect is unknown until the next one completes. Reads may
 * overlap a write. A read that was sent when the block had acked = a and completes when it has
 * sent = s may see, sector by sector, any generation from a to s, and nothing else.
 *
 *	write g+1     |---------------|
 *	read 1     |------|               g or g+1
 *	read 2          |--------|        g or g+1
 *	read 3                         |--|   g+1 only: it was acknowledged before
 *
 * Reads 1 and 2 may even find bytes of both in one sector: a disk in the page cache does not change
 * by sectors.
 *
 * Blocks that no write was ever sent to say nothing, unless the disk was blank: then they are zero.
 */
#include "load/workload_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/pattern.h"

void workload_problem(struct workload *w, const char *format, ...)
{
	va_list args;

	if (w->problem[0])
		return;
	va_start(args, format);
	vsnprintf(w->problem, sizeof(w->problem), format, args);
	va_end(args);
}

bool workload_is_known(const struct workload *w, uint32_t block)
{
	const struct cell *cell = &w->cells[block];

	return cell->acked != 0 || (w->o.blank && cell->sent == 0);
}

static void count_verdict(struct workload *w, enum pattern_verdict verdict)
{
	switch (verdict) {
	case PATTERN_GOOD:
		break;
	case PATTERN_STALE:
		w->counts.stale++;
		break;
	case PATTERN_MISPLACED:
		w->counts.misplaced++;
		break;
	case PATTERN_CORRUPT:
	case PATTERN_UNFILLED:
		w->counts.corrupt++;
		break;
	}
}

/* A block of a blank disk that nobody wrote to. */
static void judge_blank(struct workload *w, uint32_t block, const unsigned char *data)
{
	for (uint32_t i = 0; i < w->o.block_size; i++) {
		if (data[i] == 0)
			continue;
		w->counts.corrupt++;
		workload_problem(w, "block %u byte %u: 0x%02x where nobody ever wrote", block, i,
				 data[i]);
		return;
	}
}

/* Whether a sector that is not whole was being written while it was read: that is allowed. */
static bool is_torn(const struct pattern *expected, enum pattern_verdict verdict, uint32_t low,
		    const unsigned char *sector)
{
	return verdict == PATTERN_CORRUPT && low < expected->generation &&
	       pattern_is_mixture(expected, low, sector);
}

void workload_judge(struct workload *w, uint32_t block, uint32_t low, const unsigned char *data)
{
	struct pattern expected = {
		.instance = w->o.seed, .block = block, .generation = w->cells[block].sent};
	struct pattern found;

	if (expected.generation == 0) {
		judge_blank(w, block, data);
		return;
	}
	for (; expected.sector < w->o.block_size / PATTERN_SECTOR; expected.sector++) {
		const unsigned char *sector = data + expected.sector * PATTERN_SECTOR;
		enum pattern_verdict verdict = pattern_judge(&expected, low, sector, &found);

		if (verdict == PATTERN_GOOD || is_torn(&expected, verdict, low, sector))
			continue;
		count_verdict(w, verdict);
		workload_problem(w,
				 "block %u sector %u: %s: it says block %llu generation %u, "
				 "expected generation %u to %u",
				 block, expected.sector, pattern_verdict_name(verdict),
				 (unsigned long long)found.block, found.generation, low,
				 expected.generation);
		return;
	}
}

int workload_check_file(struct workload *w, int fd, uint32_t *checked)
{
	unsigned char *data = malloc(w->o.block_size);
	int r = data ? 0 : -ENOMEM;

	*checked = 0;
	for (uint32_t block = 0; r == 0 && block < w->o.blocks; block++) {
		uint64_t at =
			w->o.first_sector * PATTERN_SECTOR + (uint64_t)block * w->o.block_size;
		ssize_t n;

		if (!workload_is_known(w, block))
			continue;
		n = pread(fd, data, w->o.block_size, (off_t)at);
		if (n != (ssize_t)w->o.block_size) {
			r = n < 0 ? -errno : -EIO;
			break;
		}
		workload_judge(w, block, w->cells[block].acked, data);
		(*checked)++;
	}
	free(data);
	return r;
}
