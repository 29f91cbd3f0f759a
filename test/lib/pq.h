/*
 * The driver's side of a packed virtqueue, straight from the specification
 * (virtio 1.3, 2.8); as vq.h, it shares nothing with ring/ or driver/.
 */
#ifndef UVDPA_TEST_PQ_H
#define UVDPA_TEST_PQ_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/ram.h"

#define PQ_IDS 64u

struct pq_buffer {
	uint64_t addr;
	uint32_t len;
	uint16_t flags; /* D_WRITE, D_INDIRECT */
};

struct pq {
	struct ram *ram;
	uint16_t num;
	uint64_t desc, driver, device; /* IOVAs */
	uint16_t next_avail, next_used;
	bool avail_wrap, used_wrap;
	uint16_t added;		 /* descriptors since the last thought about kicking */
	uint16_t length[PQ_IDS]; /* descriptors of a chain, by its id */
};

/* Lays the areas out from `iova` on. Returns the first IOVA behind them. */
uint64_t pq_init(struct pq *pq, struct ram *ram, uint16_t num, uint64_t iova);
/* Both sides begin at this entry; nothing is there yet. */
void pq_start_at(struct pq *pq, uint16_t index, bool wrap);
/* As vhost encodes where the driver's next available entry is, with nothing in flight. */
uint32_t pq_base(const struct pq *pq);

/* Makes a chain available; its first descriptor's flags are the last thing written. */
void pq_offer(struct pq *pq, uint16_t id, const struct pq_buffer *buffers, unsigned count);
/* Whether the device wants a kick for what was offered since the last call. */
bool pq_wants_kick(struct pq *pq);
/* The next used chain, if there is one. An id that is not out: *id is returned as it is. */
bool pq_take_used(struct pq *pq, uint16_t *id, uint32_t *len);
bool pq_has_used(const struct pq *pq);
/* From when on interrupts are wanted: after `later` more used descriptors (event index), or never.
 */
void pq_want_calls(struct pq *pq, bool event_idx, uint16_t later);
void pq_no_calls(struct pq *pq);

#endif
