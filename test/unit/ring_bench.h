/*
 * A ring on a workbench: memory, a space over it, the driver's side and the
 * ring's. Cases run over each kind of memory, so that mapped and copied rings
 * are shown to behave the same, and at a base just before the 16-bit indices
 * wrap as well as at 0.
 */
#ifndef UVDPA_TEST_RING_BENCH_H
#define UVDPA_TEST_RING_BENCH_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "lib/ram.h"
#include "lib/vq.h"
#include "memory/space.h"
#include "ring/ring.h"
#include "wire/vhost.h"

#define NUM	 8u
#define RAM_SIZE UINT64_C(0x40000)
#define SEGMENTS 16
#define EVENT	 (1ull << VIRTIO_RING_F_EVENT_IDX)
#define INDIRECT (1ull << VIRTIO_RING_F_INDIRECT_DESC)

struct bench {
	struct ram ram;
	struct space *space;
	struct vq vq;
	struct ring ring;
	struct chain chain;
	struct segment segments[SEGMENTS];
	struct ring_prefetch prefetch;
	uint64_t buffer; /* IOVA of scratch memory for buffers, 16 pages */
	uint16_t base;
};

static inline void start(struct bench *b, uint64_t features, uint16_t base)
{
	struct ring_setup setup = {.num = b->vq.num,
				   .desc = b->vq.desc,
				   .driver = b->vq.avail,
				   .device = b->vq.used,
				   .base = base,
				   .told = true,
				   .features = features};

	b->base = base;
	vq_start_at(&b->vq, base);
	ring_init(&b->ring);
	assert_int_equal(ring_start(&b->ring, &setup, b->space), 0);
}

static inline struct bench *bench_new(enum ram_kind kind, uint64_t features, uint16_t base)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	ram_init(&b->ram, kind, RAM_SIZE);
	b->ram.region = 80; /* RAM_MIXED: every area is in several pieces */
	b->space = space_new(&b->ram.memory);
	assert_non_null(b->space);
	assert_int_equal(space_add(b->space, b->ram.iova, RAM_SIZE, b->ram.uaddr, 3), 0);
	b->buffer = b->ram.iova + 0x10000;
	vq_init(&b->vq, &b->ram, NUM, b->ram.iova + 0x1000);
	b->chain.segments = b->segments;
	b->chain.max_segments = SEGMENTS;
	start(b, features, base);
	return b;
}

static inline void bench_free(struct bench *b)
{
	space_free(b->space);
	ram_destroy(&b->ram);
	free(b);
}

/* Runs a case over all memories, at both bases, without and with reading ahead. */
static inline void everywhere(void (*one)(struct bench *b), uint64_t features)
{
	static const uint16_t bases[] = {0, 65534};

	for (enum ram_kind kind = RAM_MAPPED; kind <= RAM_MIXED; kind++) {
		for (unsigned i = 0; i < 4; i++) {
			struct bench *b = bench_new(kind, features, bases[i % 2]);

			if (i / 2)
				b->ring.setup.prefetch = &b->prefetch;
			one(b);
			assert_int_equal(b->ram.torn, 0); /* the driver sees no half of an index */
			bench_free(b);
		}
	}
}

static inline enum ring_pop_result pop(struct bench *b)
{
	return ring_pop(&b->ring, &b->chain);
}

/* A one-buffer readable chain in descriptor `index`. */
static inline void offer_one(struct bench *b, uint16_t index)
{
	vq_desc(&b->vq, index, b->buffer + 32u * index, 16, 0, 0);
	vq_offer(&b->vq, index);
}

#endif
