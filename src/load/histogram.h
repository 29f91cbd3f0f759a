/*
 * Durations, counted: percentiles of any number of samples in fixed room, to within 1.6 per cent.
 * The largest sample is kept exactly.
 */
#ifndef UVDPA_LOAD_HISTOGRAM_H
#define UVDPA_LOAD_HISTOGRAM_H

#include <stdint.h>

/* 64 linear steps in each power of two of nanoseconds, up to 2^40 (18 minutes). */
#define HISTOGRAM_STEPS	  64
#define HISTOGRAM_OCTAVES 36

struct histogram {
	uint64_t count;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_OCTAVES * HISTOGRAM_STEPS];
};

void histogram_add(struct histogram *h, uint64_t value);

/* Adds all of `from` to `h`. */
void histogram_merge(struct histogram *h, const struct histogram *from);

/* The value that `percent` (0 to 100) of the samples do not exceed; 0 if there are none. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
