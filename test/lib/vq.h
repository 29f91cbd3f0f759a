/*
 * The driver's side of a split virtqueue, straight from the specification
 * (virtio 1.3, 2.7) and sharing nothing with ring/ or driver/: a mistake that
 * both made would otherwise be invisible. It writes raw words, right or wrong.
 */
#ifndef UVDPA_TEST_VQ_H
#define UVDPA_TEST_VQ_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/ram.h"

enum { D_NEXT = 1, D_WRITE = 2, D_INDIRECT = 4 };

struct vq {
	struct ram *ram;
	uint16_t num;
	uint64_t desc, avail, used; /* IOVAs */
	uint16_t next_avail;	    /* the available index as the driver keeps it */
	uint16_t next_used;	    /* used entries consumed so far */
};

struct vq_used {
	uint32_t id, len;
};

/* Lays the three areas out from `iova` on. Returns the first IOVA behind them. */
uint64_t vq_init(struct vq *vq, struct ram *ram, uint16_t num, uint64_t iova);

/* Both sides' indices start at `base`, as after SET_VRING_BASE. */
void vq_start_at(struct vq *vq, uint16_t base);

void vq_desc(struct vq *vq, uint16_t index, uint64_t addr, uint32_t len, uint16_t flags,
	     uint16_t next);
/* A descriptor anywhere in memory (an indirect table). */
void vq_desc_at(struct ram *ram, uint64_t iova, uint64_t addr, uint32_t len, uint16_t flags,
		uint16_t next);

/* Makes one head available. vq_announce sets the index alone, to anything. */
void vq_offer(struct vq *vq, uint16_t head);
void vq_announce(struct vq *vq, uint16_t index);

/* Whether the device asked to be kicked for what was made available since `old`. */
bool vq_wants_kick(const struct vq *vq, uint16_t old, bool event_idx);

/* The next used element, if the device published one. */
bool vq_take_used(struct vq *vq, struct vq_used *used);
uint16_t vq_used_index(const struct vq *vq);
uint16_t vq_used_flags(const struct vq *vq);
uint16_t vq_avail_event(const struct vq *vq);
void vq_set_used_event(struct vq *vq, uint16_t value);
void vq_set_avail_flags(struct vq *vq, uint16_t value);

#endif
