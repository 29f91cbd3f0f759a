/*
 * Stamped sectors: contents that say where they belong and how new they are, so that whatever
 * is read can be judged without a copy of what was written.
 */
#ifndef UVDPA_CMD_STAMP_H
#define UVDPA_CMD_STAMP_H

#include <stdbool.h>
#include <stdint.h>

#define STAMP_SECTOR 512

/* What a sector says. */
struct stamp {
	uint64_t instance; /* of the run: other runs leave their marks on the same disk */
	uint64_t block;
	uint32_t generation;
	uint32_t sector; /* within the block */
};

enum stamp_verdict {
	STAMP_GOOD,	 /* in its place, whole, of a generation that is allowed */
	STAMP_CORRUPT,	 /* not what any write ever said */
	STAMP_STALE,	 /* whole, of an older generation than allowed */
	STAMP_MISPLACED, /* whole, of another block */
	STAMP_UNFILLED,	 /* still the poison: nobody wrote here */
};

const char *stamp_verdict_name(enum stamp_verdict verdict);

/* Fills a sector: header, and a pattern that depends on every field of it. */
void stamp_write(const struct stamp *stamp, unsigned char sector[STAMP_SECTOR]);

/* Fills `len` bytes with what no stamp begins with. */
void stamp_poison(void *buf, uint32_t len);

/*
 * Judges a sector that ought to be `expected`, of generation `low` to expected->generation. `found`
 * gets what it says it is, where it says anything.
 */
enum stamp_verdict stamp_judge(const struct stamp *expected, uint32_t low,
			       const unsigned char sector[STAMP_SECTOR], struct stamp *found);

/*
 * Whether every byte is that of some generation from `low` to expected->generation: what a read may
 * see while the sector is being written, since neither virtio nor the page cache makes a sector
 * change as one. Looks at 16 generations at most.
 */
bool stamp_is_mixture(const struct stamp *expected, uint32_t low,
		      const unsigned char sector[STAMP_SECTOR]);

#endif
