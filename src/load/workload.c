/*
 * The workload: see workload.h.
 * What a read may bring is in workload_judge.c.
 *
 * A completion must have its status byte written: the driver sets it to a value that no device
 * answers. One that has not is of a request that the device did not do, as when it completes the
 * former user of a descriptor a second time.
 */
#include "load/workload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load/pattern.h"
#include "load/workload_internal.h"
#include "uvdpa/driver.h"

#define BATCH 64

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* xorshift: the same seed makes the same choices. */
static uint32_t choose(struct workload *w, uint32_t below)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random >> 32) * below >> 32);
}

/* Life --------------------------------------------------------------------------------------- */

static void set_defaults(struct workload_options *o)
{
	o->block_size = o->block_size ? o->block_size : 4096;
	o->depth = o->depth ? o->depth : 64;
	o->lost_after = o->lost_after ? o->lost_after : 10000;
}

uint64_t workload_memory_size(const struct workload_options *options)
{
	struct workload_options o = *options;

	set_defaults(&o);
	return (uint64_t)o.depth * ((uint64_t)o.block_size + 64) + 8192;
}

static int check_options(const struct workload_options *o, struct error *f)
{
	if (o->blocks == 0)
		return error_set(f, -EINVAL, "workload: the region has no blocks");
	if (o->block_size % PATTERN_SECTOR || o->block_size > 1 << 20)
		return error_set(f, -EINVAL,
				 "workload: block size %u is not a multiple of 512 up to 1048576",
				 o->block_size);
	if (o->depth > 65536)
		return error_set(f, -EINVAL, "workload: a depth of %u is more than 65536",
				 o->depth);
	if (o->write_percent > 100)
		return error_set(f, -EINVAL, "workload: %u per cent writes", o->write_percent);
	return 0;
}

/* The requests' buffers, from the arena. */
static int get_buffers(struct workload *w, struct error *f)
{
	struct uvdpa_error error;
	int r = uvdpa_blk_new(w->memory, w->queue, w->o.depth, &w->blk, &error);

	if (r < 0)
		return error_set(f, r, "workload: %s", error.text);
	for (unsigned i = 0; i < w->o.depth; i++) {
		w->slots[i].buf = uvdpa_memory_alloc(w->memory, w->o.block_size, PATTERN_SECTOR);
		if (!w->slots[i].buf)
			return error_set(f, -ENOSPC,
					 "workload: the arena has no room for %u buffers of %u",
					 w->o.depth, w->o.block_size);
		w->free[w->free_count++] = w->o.depth - 1 - i;
	}
	return 0;
}

int workload_new(const struct workload_options *options, struct uvdpa_memory *memory,
		 struct uvdpa_queue *queue, struct workload **out, struct error *f)
{
	struct workload_options o = *options;
	struct workload *w;
	int r;

	set_defaults(&o);
	r = check_options(&o, f);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(f, -ENOMEM, "workload: no memory");
	w->o = o;
	w->memory = memory;
	w->queue = queue;
	w->random = o.seed * 2 + 1;
	w->cells = calloc(o.blocks, sizeof(*w->cells));
	w->slots = calloc(o.depth, sizeof(*w->slots));
	w->free = calloc(o.depth, sizeof(*w->free));
	if (!w->cells || !w->slots || !w->free)
		r = error_set(f, -ENOMEM, "workload: no memory for a table of %u blocks", o.blocks);
	else
		r = get_buffers(w, f);
	if (r < 0) {
		workload_free(w);
		return r;
	}
	*out = w;
	return 0;
}

void workload_free(struct workload *w)
{
	if (!w)
		return;
	uvdpa_blk_free(w->blk);
	free(w->cells);
	free(w->slots);
	free(w->free);
	free(w);
}

/* Sending ------------------------------------------------------------------------------------ */

static uint64_t sector_of(const struct workload *w, uint32_t block)
{
	return w->o.first_sector + (uint64_t)block * (w->o.block_size / PATTERN_SECTOR);
}

static void pattern_block(struct workload *w, struct slot *s, uint32_t generation)
{
	struct pattern pattern = {
		.instance = w->o.seed, .block = s->block, .generation = generation};

	for (; pattern.sector < w->o.block_size / PATTERN_SECTOR; pattern.sector++)
		pattern_write(&pattern, s->buf + pattern.sector * PATTERN_SECTOR);
}

static int send_write(struct workload *w, unsigned number, uint32_t block)
{
	struct cell *cell = &w->cells[block];
	struct slot *s = &w->slots[number];
	int r;

	s->block = block;
	s->low = cell->sent + 1;
	pattern_block(w, s, s->low);
	r = uvdpa_blk_write(w->blk, sector_of(w, block), s->buf, w->o.block_size, number);
	if (r < 0)
		return r;
	s->kind = SLOT_WRITE;
	cell->sent = s->low;
	cell->writing = true;
	return 0;
}

static int send_read(struct workload *w, unsigned number, uint32_t block)
{
	struct slot *s = &w->slots[number];
	int r;

	s->block = block;
	s->low = w->cells[block].acked;
	pattern_poison(s->buf, w->o.block_size);
	r = uvdpa_blk_read(w->blk, sector_of(w, block), s->buf, w->o.block_size, number);
	if (r == 0)
		s->kind = SLOT_READ;
	return r;
}

static int send_flush(struct workload *w, unsigned number)
{
	int r = uvdpa_blk_flush(w->blk, number);

	if (r == 0)
		w->slots[number].kind = SLOT_FLUSH;
	return r;
}

/*
 * Chooses a block and what to do with it. Blocks without contents are written first, and a block
 * being written is only read; -EAGAIN after some tries that hit nothing but blocks in their first
 * write.
 */
static int send_any(struct workload *w, unsigned number)
{
	if (w->o.flush_every && w->sent_count % w->o.flush_every == w->o.flush_every - 1)
		return send_flush(w, number);
	for (unsigned tries = 0; tries < 16; tries++) {
		uint32_t block = choose(w, w->o.blocks);
		const struct cell *cell = &w->cells[block];

		if (cell->acked == 0 && cell->writing)
			continue;
		if (!cell->writing && (cell->acked == 0 || choose(w, 100) < w->o.write_percent))
			return send_write(w, number, block);
		return send_read(w, number, block);
	}
	return -EAGAIN;
}

/* After a send: takes the slot, unless nothing was sent for want of room. */
static int take_slot(struct workload *w, int r, int64_t now)
{
	if (r < 0)
		return r;
	w->slots[w->free[--w->free_count]].start = now;
	w->sent_count++;
	return 0;
}

static int fill_up(struct workload *w)
{
	int64_t now = now_ns();

	while (w->free_count > 0) {
		int r = take_slot(w, send_any(w, w->free[w->free_count - 1]), now);

		if (r == -EAGAIN || r == -ENOSPC)
			break;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Collecting --------------------------------------------------------------------------------- */

static void count_kind(struct workload *w, enum slot_kind kind)
{
	if (kind == SLOT_READ)
		w->counts.reads++;
	else if (kind == SLOT_WRITE)
		w->counts.writes++;
	else
		w->counts.flushes++;
}

/* One completion; gives its slot back. */
static void settle(struct workload *w, const struct uvdpa_blk_completion *c, int64_t now)
{
	struct slot *s = &w->slots[c->cookie];
	struct cell *cell = &w->cells[s->block];

	histogram_add(&w->latency, (uint64_t)(now - s->start));
	if (c->status == UVDPA_BLK_S_UNWRITTEN) {
		w->counts.duplicated++;
		workload_problem(w, "block %u: completed without having been done (no status)",
				 s->block);
	} else if (c->status != 0) {
		w->counts.errors++;
		workload_problem(w, "block %u: the device answered status %u", s->block, c->status);
	} else {
		count_kind(w, s->kind);
		if (s->kind == SLOT_READ)
			workload_judge(w, s->block, s->low, s->buf);
		if (s->kind == SLOT_WRITE)
			cell->acked = s->low;
	}
	if (s->kind == SLOT_WRITE)
		cell->writing = false;
	s->kind = SLOT_FREE;
	w->free[w->free_count++] = (unsigned)c->cookie;
}

static void note_gap(struct workload *w, int64_t now)
{
	uint64_t gap = w->last ? (uint64_t)(now - w->last) : 0;
	uint64_t old = atomic_load(&w->gap);

	while (gap > old && !atomic_compare_exchange_weak(&w->gap, &old, gap))
		;
	w->last = now;
}

static int broken(struct workload *w, int r)
{
	enum uvdpa_queue_break how = uvdpa_queue_broken(w->queue);

	if (how == UVDPA_QUEUE_NOT_IN_FLIGHT)
		w->counts.duplicated++;
	else if (how != UVDPA_QUEUE_OK)
		w->counts.broken++;
	workload_problem(w, "the ring: %s",
			 uvdpa_queue_error(w->queue) ? uvdpa_queue_error(w->queue) : "?");
	return r;
}

/* Collects everything there is. The number, or -EPROTO. */
static int collect(struct workload *w)
{
	struct uvdpa_blk_completion c[BATCH];
	int total = 0, n;

	do {
		int64_t now;

		n = uvdpa_blk_poll(w->blk, c, BATCH);
		if (n < 0)
			return broken(w, n);
		if (n == 0)
			break;
		now = now_ns();
		note_gap(w, now);
		for (int i = 0; i < n; i++)
			settle(w, &c[i], now);
		atomic_fetch_add(&w->done, (uint64_t)n);
		total += n;
	} while (n == BATCH);
	return total;
}

/* Counts requests older than `limit` ns. */
static int find_lost(struct workload *w, int64_t limit)
{
	int64_t now = now_ns();
	int r = 0;

	for (unsigned i = 0; i < w->o.depth; i++) {
		const struct slot *s = &w->slots[i];

		if (s->kind == SLOT_FREE || now - s->start < limit)
			continue;
		w->counts.lost++;
		workload_problem(w, "block %u: a %s did not complete in %lld ms", s->block,
				 s->kind == SLOT_READ	 ? "read"
				 : s->kind == SLOT_WRITE ? "write"
							 : "flush",
				 (long long)((now - s->start) / 1000000));
		r = -ETIMEDOUT;
	}
	return r;
}

/* Running ------------------------------------------------------------------------------------ */

int workload_step(struct workload *w)
{
	int n = collect(w), r;

	if (n < 0)
		return n;
	r = fill_up(w);
	if (r == -EPROTO)
		return broken(w, r); /* found while the last completions were taken */
	if (r < 0)
		return r;
	r = uvdpa_queue_submit(w->queue);
	if (r < 0)
		return r;
	return n > 0 ? n : find_lost(w, (int64_t)w->o.lost_after * 1000000);
}

/* Sleeps a while for completions; 0 unless something is really wrong. */
static int rest(struct workload *w, int timeout_ms)
{
	int r = uvdpa_queue_wait(w->queue, timeout_ms);

	if (r == -EPROTO)
		return broken(w, r);
	return r < 0 && r != -EINTR ? r : 0;
}

int workload_run(struct workload *w, const atomic_bool *stop, uint64_t requests)
{
	uint64_t end = workload_done(w) + requests;

	while (!(stop && atomic_load(stop)) && (requests == 0 || workload_done(w) < end)) {
		int n = workload_step(w);

		if (n == 0)
			n = rest(w, 20);
		if (n < 0)
			return n;
	}
	return 0;
}

int workload_drain(struct workload *w, int timeout_ms)
{
	int64_t end = now_ns() + (int64_t)timeout_ms * 1000000;

	for (;;) {
		int n = collect(w);

		if (n < 0)
			return n;
		if (w->free_count == w->o.depth)
			return 0;
		if (n == 0 && now_ns() >= end)
			return find_lost(w, 0);
		n = rest(w, 20);
		if (n < 0)
			return n;
	}
}

/* Reads the blocks whose contents are known from *next on, as many as fit. */
static int send_verifying(struct workload *w, uint32_t *next)
{
	int64_t now = now_ns();
	int r;

	for (; *next < w->o.blocks && w->free_count > 0; (*next)++) {
		if (!workload_is_known(w, *next))
			continue;
		r = take_slot(w, send_read(w, w->free[w->free_count - 1], *next), now);
		if (r == -ENOSPC)
			break;
		if (r < 0)
			return r == -EPROTO ? broken(w, r) : r;
	}
	r = uvdpa_queue_submit(w->queue);
	return r < 0 ? r : 0;
}

int workload_verify(struct workload *w, int timeout_ms)
{
	int r = workload_drain(w, timeout_ms);
	uint32_t next = 0;

	while (r == 0 && next < w->o.blocks) {
		r = send_verifying(w, &next);
		if (r == 0)
			r = workload_drain(w, timeout_ms);
	}
	return r;
}

/* Looking ------------------------------------------------------------------------------------ */

const struct workload_counts *workload_counts(const struct workload *w)
{
	return &w->counts;
}

bool workload_is_clean(const struct workload *w)
{
	const struct workload_counts *c = &w->counts;

	return !(c->errors | c->lost | c->duplicated | c->corrupt | c->misplaced | c->stale |
		 c->broken);
}

const char *workload_first_problem(const struct workload *w)
{
	return w->problem[0] ? w->problem : NULL;
}

const struct histogram *workload_latency(const struct workload *w)
{
	return &w->latency;
}

unsigned workload_in_flight(const struct workload *w)
{
	return w->o.depth - w->free_count;
}

uint64_t workload_done(const struct workload *w)
{
	return atomic_load(&w->done);
}

uint64_t workload_take_gap(struct workload *w)
{
	return atomic_exchange(&w->gap, 0);
}
