/*
 * Stamped sectors: see stamp.h.
 *
 *	0   magic
 *	8   instance
 *	16  block
 *	24  generation (32 bits), sector (32 bits)
 *	32  60 words of a pattern seeded with all of the above
 *
 * The pattern is the checksum: it is made again from what the header says and compared.
 */
#include "load/stamp.h"

#include <stdbool.h>
#include <string.h>

#include "util/bytes.h"

#define MAGIC  UINT64_C(0x706d617473504455)
#define POISON 0xdb

/* One step of a 64-bit mixer: every bit of the seed reaches every bit of the word. */
static uint64_t mix(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

const char *stamp_verdict_name(enum stamp_verdict verdict)
{
	static const char *const names[] = {"good", "corrupt", "stale", "misplaced", "not filled"};

	return names[verdict];
}

void stamp_write(const struct stamp *stamp, unsigned char sector[STAMP_SECTOR])
{
	uint64_t state = stamp->instance;

	store_le64(sector, MAGIC);
	store_le64(sector + 8, stamp->instance);
	store_le64(sector + 16, stamp->block);
	store_le32(sector + 24, stamp->generation);
	store_le32(sector + 28, stamp->sector);
	state = mix(&state) ^ stamp->block;
	state = mix(&state) ^ load_le64(sector + 24);
	for (unsigned i = 32; i < STAMP_SECTOR; i += 8)
		store_le64(sector + i, mix(&state));
}

void stamp_poison(void *buf, uint32_t len)
{
	memset(buf, POISON, len);
}

static bool is_poison(const unsigned char sector[STAMP_SECTOR])
{
	for (unsigned i = 0; i < STAMP_SECTOR; i++)
		if (sector[i] != POISON)
			return false;
	return true;
}

enum stamp_verdict stamp_judge(const struct stamp *expected, uint32_t low,
			       const unsigned char sector[STAMP_SECTOR], struct stamp *found)
{
	unsigned char whole[STAMP_SECTOR];

	found->instance = load_le64(sector + 8);
	found->block = load_le64(sector + 16);
	found->generation = load_le32(sector + 24);
	found->sector = load_le32(sector + 28);
	if (is_poison(sector))
		return STAMP_UNFILLED;
	stamp_write(found, whole);
	if (memcmp(whole, sector, STAMP_SECTOR) != 0 || found->instance != expected->instance)
		return STAMP_CORRUPT;
	if (found->block != expected->block || found->sector != expected->sector)
		return STAMP_MISPLACED;
	if (found->generation < low)
		return STAMP_STALE;
	return found->generation <= expected->generation ? STAMP_GOOD : STAMP_CORRUPT;
}

bool stamp_is_mixture(const struct stamp *expected, uint32_t low,
		      const unsigned char sector[STAMP_SECTOR])
{
	unsigned char whole[STAMP_SECTOR];
	bool explained[STAMP_SECTOR] = {false};
	struct stamp stamp = *expected;
	unsigned left = STAMP_SECTOR;

	for (unsigned i = 0; i < 16 && stamp.generation >= low; i++, stamp.generation--) {
		stamp_write(&stamp, whole);
		for (unsigned b = 0; b < STAMP_SECTOR; b++) {
			if (explained[b] || whole[b] != sector[b])
				continue;
			explained[b] = true;
			left--;
		}
		if (!stamp.generation)
			break;
	}
	return left == 0;
}
