/*
 * Stamped sectors: see pattern.h.
 *
 *	0   magic
 *	8   instance
 *	16  block
 *	24  generation (32 bits), sector (32 bits)
 *	32  60 words of a pattern seeded with all of the above
 *
 * The pattern is the checksum: it is made again from what the header says and compared.
 */
#include "load/pattern.h"

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

const char *pattern_verdict_name(enum pattern_verdict verdict)
{
	static const char *const names[] = {"good", "corrupt", "stale", "misplaced", "not filled"};

	return names[verdict];
}

void pattern_write(const struct pattern *pattern, unsigned char sector[PATTERN_SECTOR])
{
	uint64_t state = pattern->instance;

	store_le64(sector, MAGIC);
	store_le64(sector + 8, pattern->instance);
	store_le64(sector + 16, pattern->block);
	store_le32(sector + 24, pattern->generation);
	store_le32(sector + 28, pattern->sector);
	state = mix(&state) ^ pattern->block;
	state = mix(&state) ^ load_le64(sector + 24);
	for (unsigned i = 32; i < PATTERN_SECTOR; i += 8)
		store_le64(sector + i, mix(&state));
}

void pattern_poison(void *buf, uint32_t len)
{
	memset(buf, POISON, len);
}

static bool is_poison(const unsigned char sector[PATTERN_SECTOR])
{
	for (unsigned i = 0; i < PATTERN_SECTOR; i++)
		if (sector[i] != POISON)
			return false;
	return true;
}

enum pattern_verdict pattern_judge(const struct pattern *expected, uint32_t low,
				   const unsigned char sector[PATTERN_SECTOR],
				   struct pattern *found)
{
	unsigned char whole[PATTERN_SECTOR];

	found->instance = load_le64(sector + 8);
	found->block = load_le64(sector + 16);
	found->generation = load_le32(sector + 24);
	found->sector = load_le32(sector + 28);
	if (is_poison(sector))
		return PATTERN_UNFILLED;
	pattern_write(found, whole);
	if (memcmp(whole, sector, PATTERN_SECTOR) != 0 || found->instance != expected->instance)
		return PATTERN_CORRUPT;
	if (found->block != expected->block || found->sector != expected->sector)
		return PATTERN_MISPLACED;
	if (found->generation < low)
		return PATTERN_STALE;
	return found->generation <= expected->generation ? PATTERN_GOOD : PATTERN_CORRUPT;
}

bool pattern_is_mixture(const struct pattern *expected, uint32_t low,
			const unsigned char sector[PATTERN_SECTOR])
{
	unsigned char whole[PATTERN_SECTOR];
	bool explained[PATTERN_SECTOR] = {false};
	struct pattern pattern = *expected;
	unsigned left = PATTERN_SECTOR;

	for (unsigned i = 0; i < 16 && pattern.generation >= low; i++, pattern.generation--) {
		pattern_write(&pattern, whole);
		for (unsigned b = 0; b < PATTERN_SECTOR; b++) {
			if (explained[b] || whole[b] != sector[b])
				continue;
			explained[b] = true;
			left--;
		}
		if (!pattern.generation)
			break;
	}
	return left == 0;
}
