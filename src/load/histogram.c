/* Percentiles in fixed room: see histogram.h. */
#include "load/histogram.h"

/*
 * Values below 64 have a bucket each. Above, the position of the highest bit chooses the octave
 * and the six bits after it the step.
 */
static unsigned bucket_of(uint64_t value)
{
	unsigned top, octave, bucket;

	if (value < HISTOGRAM_STEPS)
		return (unsigned)value;
	top = 63 - (unsigned)__builtin_clzll(value);
	octave = top - 5;
	bucket = octave * HISTOGRAM_STEPS + (unsigned)(value >> (top - 6)) - HISTOGRAM_STEPS;
	if (bucket >= HISTOGRAM_OCTAVES * HISTOGRAM_STEPS)
		return HISTOGRAM_OCTAVES * HISTOGRAM_STEPS - 1;
	return bucket;
}

/* The largest value that goes into a bucket. */
static uint64_t top_of(unsigned bucket)
{
	unsigned octave = bucket / HISTOGRAM_STEPS, step = bucket % HISTOGRAM_STEPS;

	if (octave == 0)
		return step;
	return ((uint64_t)(HISTOGRAM_STEPS + step + 1) << (octave - 1)) - 1;
}

void histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	if (value > h->max)
		h->max = value;
	h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *h, const struct histogram *from)
{
	h->count += from->count;
	if (from->max > h->max)
		h->max = from->max;
	for (unsigned i = 0; i < HISTOGRAM_OCTAVES * HISTOGRAM_STEPS; i++)
		h->buckets[i] += from->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t)((double)h->count * percent / 100.0 + 0.999999), seen = 0;

	if (h->count == 0)
		return 0;
	if (rank == 0)
		rank = 1;
	for (unsigned i = 0; i < HISTOGRAM_OCTAVES * HISTOGRAM_STEPS; i++) {
		seen += h->buckets[i];
		if (seen >= rank)
			return top_of(i) < h->max ? top_of(i) : h->max;
	}
	return h->max;
}
