/*
 * Standing still: what must not change while a device is suspended, remembered and compared.
 *
 * The arena is compared byte for byte, so that the rings, their flags and event words, the buffers
 * and the canaries between them are all watched at once. The driver's own writes are made before
 * still_take(), never between it and still_check().
 */
#ifndef UVDPA_CHECK_STILL_H
#define UVDPA_CHECK_STILL_H

#include "check/rig.h"

enum still_watch {
	STILL_BASE = 1,	   /* no descriptor is taken, no base moves (S2, S6) */
	STILL_USED = 2,	   /* used indexes stand (S2) */
	STILL_MEMORY = 4,  /* no byte of the arena changes (S4) */
	STILL_CALLS = 8,   /* no call eventfd is signalled (S5) */
	STILL_CONFIG = 16, /* no config call, no config space changes (S5) */
	STILL_ALL = 31,
};

struct still {
	unsigned watch;
	uint8_t *memory;
	uint32_t base[RIG_MAX_QUEUES];
	uint32_t used[RIG_MAX_QUEUES];
	uint8_t config[256];
	uint32_t config_size;
};

/* Remembers; drains the call eventfds first. */
void still_take(struct rig *rig, struct still *s, unsigned watch);
/* Compares; broken() names the clause. `when`: what was done meanwhile. */
void still_check(struct rig *rig, struct still *s, const char *when);
/* take; sleep; check. */
void still_watch(struct rig *rig, unsigned watch, unsigned microseconds, const char *when);
/* Every base is its ring's used index: what was taken is finished (S3, S6). */
void still_finished(struct rig *rig, const char *when);

#endif
