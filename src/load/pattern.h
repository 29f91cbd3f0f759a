/*
 * Stamped sectors: contents that say where they belong and how new they are, so that whatever
 * is read can be judged without a copy of what was written.
 */
#ifndef UVDPA_LOAD_PATTERN_H
#define UVDPA_LOAD_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#define PATTERN_SECTOR 512

/* What a sector says. */
struct pattern {
	uint64_t instance; /* of the run: other runs leave their marks on the same disk */
	uint64_t block;
	uint32_t generation;
	uint32_t sector; /* within the block */
};

enum pattern_verdict {
	PATTERN_GOOD,	   /* in its place, whole, of a generation that is allowed */
	PATTERN_CORRUPT,   /* not what any write ever said */
	PATTERN_STALE,	   /* whole, of an older generation than allowed */
	PATTERN_MISPLACED, /* whole, of another block */
	PATTERN_UNFILLED,  /* still the poison: nobody wrote here */
};

const char *pattern_verdict_name(enum pattern_verdict verdict);

/* Fills a sector: header, and a pattern that depends on every field of it. */
void pattern_write(const struct pattern *pattern, unsigned char sector[PATTERN_SECTOR]);

/* Fills `len` bytes with what no pattern begins with. */
void pattern_poison(void *buf, uint32_t len);

/*
 * Judges a sector that ought to be `expected`, of generation `low` to expected->generation. `found`
 * gets what it says it is, where it says anything.
 */
enum pattern_verdict pattern_judge(const struct pattern *expected, uint32_t low,
				   const unsigned char sector[PATTERN_SECTOR],
				   struct pattern *found);

/*
 * Whether every byte is that of some generation from `low` to expected->generation: what a read may
 * see while the sector is being written, since neither virtio nor the page cache makes a sector
 * change as one. Looks at 16 generations at most.
 */
bool pattern_is_mixture(const struct pattern *expected, uint32_t low,
			const unsigned char sector[PATTERN_SECTOR]);

#endif
