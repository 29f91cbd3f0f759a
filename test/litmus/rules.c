/*
 * The rules of order between the two ends of a ring, each as two threads that do what its ends do,
 * and a sentence that has to be true of what they found.
 *
 *   used       who sees a completion sees what was written for it, and its length
 *   available  who sees a chain sees its descriptors and what the driver wrote
 *   kick       either the driver kicks, or the device that goes to sleep sees the chain
 *   call       either the device calls, or the driver that goes to sleep sees the completion
 *   dirty      who clears a mark and reads the page has what was written before the mark, or finds
 *              it marked again (dirty.h)
 *   marks      two devices that mark pages of one byte of a log that is copied lose none
 *   record     whoever dies, whenever: each chain is either used or found by its successor
 */
#include "litmus.h"

#include <string.h>

#include "rig.h"

static const uint16_t written[2] = {0x1111, 0x2222};

/* --- used --------------------------------------------------------------------------------------
 */

static void two_taken(void)
{
	rig_add(0, true);
	rig_add(1, true);
	rig.queue.ring->publish(&rig.queue);
	rig.taken = rig_pop(0);
	rig.taken += rig_pop(1);
}

static void complete_two(void)
{
	for (unsigned i = 0; i < 2; i++) {
		chain_write(&rig.chains[i], 0, &written[i], 2);
		ring_complete(&rig.ring, &rig.chains[i], 2);
	}
	ring_flush_used(&rig.ring);
}

static void collect(void)
{
	struct uvdpa_completion completions[2];
	int n = rig.queue.ring->poll(&rig.queue, completions, 2);

	for (int i = 0; i < n; i++)
		rig.wrong |= completions[i].written != 2 || completions[i].cookie != (unsigned)i ||
			     *rig_data((unsigned)i) != written[i];
}

static bool nothing_wrong(void)
{
	return rig.taken == 2 && !rig.wrong && !rig.queue.broken && !rig.ring.broken;
}

static void two_taken_plain(void)
{
	rig_add(0, true);
	rig_add(1, true);
	rig.queue.ring->publish(&rig.queue);
	rig.taken = ring_take_batch(&rig.ring, SPACE_WRITE, rig.plain, 2);
}

static void complete_two_plain(void)
{
	static const uint32_t lengths[2] = {2, 2};

	for (unsigned i = 0; i < 2; i++)
		memcpy(rig.plain[i].host, &written[i], 2);
	ring_complete_batch(&rig.ring, rig.plain, lengths, 2);
	ring_flush_used(&rig.ring);
}

/* --- available ---------------------------------------------------------------------------------
 */

static void make_available(void)
{
	for (unsigned i = 0; i < 2; i++) {
		*rig_data(i) = written[i];
		rig_add(i, false);
	}
	rig.queue.ring->publish(&rig.queue);
}

static void take(void)
{
	for (unsigned i = 0; i < 2 && rig_pop(i); i++) {
		uint16_t found = 0;

		rig.wrong |= rig.chains[i].readable != 2 ||
			     chain_read(&rig.chains[i], 0, &found, 2) < 0 || found != written[i];
	}
}

static void take_batch(void)
{
	unsigned n = ring_take_batch(&rig.ring, SPACE_READ, rig.plain, 2);

	for (unsigned i = 0; i < n; i++) {
		uint16_t found;

		memcpy(&found, rig.plain[i].host, 2);
		rig.wrong |= rig.plain[i].size != 2 || found != written[i];
	}
}

static bool none_wrong(void)
{
	return !rig.wrong && !rig.ring.broken;
}

/* --- kick and call -----------------------------------------------------------------------------
 */

/* The device last said that it wants no kicks, or one that is long past. */
static void device_awake(void)
{
	ring_enable_notify(&rig.ring);
	ring_disable_notify(&rig.ring);
	rig_cycle();
	rig_cycle();
}

static void device_sleeps(void)
{
	rig.device_saw = ring_enable_notify(&rig.ring);
}

static void driver_submits(void)
{
	rig_add(0, true);
	rig.queue.ring->publish(&rig.queue);
	rig.driver_saw = rig.queue.ring->kick_wanted(&rig.queue);
}

static bool one_saw(void)
{
	return rig.device_saw || rig.driver_saw;
}

static void driver_awake(void)
{
	rig.queue.ring->arm(&rig.queue, false);
	rig_cycle();
	rig_cycle();
	rig_add(0, true);
	rig.queue.ring->publish(&rig.queue);
	rig_pop(0);
}

static void device_completes(void)
{
	ring_complete(&rig.ring, &rig.chains[0], 2);
	rig.device_saw = ring_flush_used(&rig.ring);
}

static void driver_sleeps(void)
{
	rig.queue.ring->arm(&rig.queue, true);
	rig.driver_saw = rig.queue.ring->pending(&rig.queue) > 0;
}

/* --- dirty -------------------------------------------------------------------------------------
 */

/* Logged as page 3; marked before. */
static void marked_before(void)
{
	rig_memory[RIG_BITS] = 1 << 3;
	for (unsigned i = 0; i < 2; i++) {
		struct dirty_log *log = &rig.logs[i];

		log->bits = (_Atomic uint8_t *)(rig_memory + RIG_BITS);
		log->pages = 8;
		if (rig.kind != RIG_COPIED)
			continue;
		log->memory = rig_client();
		log->uaddr = RIG_BITS;
	}
}

static void write_and_mark(void)
{
	*rig_data(0) = written[0];
	dirty_mark(&rig.logs[0], 3 * DIRTY_PAGE, 2);
}

/* As any VMM does it; its own side of the rule. */
static void clear_and_read(void)
{
	atomic_fetch_and_explicit((_Atomic uint8_t *)(rig_memory + RIG_BITS), 0,
				  memory_order_seq_cst);
	atomic_thread_fence(memory_order_seq_cst);
	rig.copy = *rig_data(0);
}

static bool copied_or_marked(void)
{
	return rig.copy == written[0] || rig_memory[RIG_BITS] & 1 << 3;
}

/* The same of the used index, written by a ring. */
static void marked_ring(void)
{
	two_taken();
	marked_before();
	ring_set_log(&rig.ring, NULL, &rig.logs[0], 3 * DIRTY_PAGE);
}

static void clear_and_read_index(void)
{
	clear_and_read();
	rig.copy = *(volatile uint16_t *)(void *)(rig_memory + RIG_DEVICE + 2);
}

static bool index_or_mark(void)
{
	return rig.copy == 2 || rig_memory[RIG_BITS] & 1 << 3;
}

static void mark_first(void)
{
	dirty_mark(&rig.logs[0], 1 * DIRTY_PAGE, 1);
}

static void mark_second(void)
{
	dirty_mark(&rig.logs[1], 2 * DIRTY_PAGE, 1);
}

static bool all_marked(void)
{
	return rig_memory[RIG_BITS] == (1 << 1 | 1 << 2 | 1 << 3);
}

/* --- record ------------------------------------------------------------------------------------
 */

static void two_offered(void)
{
	rig_add(0, true);
	rig_add(1, true);
	rig.queue.ring->publish(&rig.queue);
}

/* Two are taken, and come back the other way round. */
static void take_and_complete(void)
{
	rig_pop(0);
	rig_pop(1);
	for (unsigned i = 2; i-- > 0;) {
		ring_complete(&rig.ring, &rig.chains[i], 2);
		ring_flush_used(&rig.ring);
	}
}

static bool each_used_or_found(void)
{
	struct ring_setup setup = rig_ring_setup(rig.ring.setup.features, true);
	struct uvdpa_completion completions[2];
	unsigned seen[2] = {0, 0};
	int used = rig.queue.ring->poll(&rig.queue, completions, 2);

	for (int i = 0; i < used; i++)
		seen[completions[i].cookie]++;
	/* what a front end knows of a split ring whose back end is gone */
	if (!rig.ring.packed)
		setup.base = rig.queue.used->idx;
	if (used < 0 || ring_start(&rig.ring, &setup, rig.space) < 0)
		return false;
	while (rig_pop(0))
		seen[(rig.segments[0][0].iova - RIG_IOVA - RIG_DATA) / 2]++;
	return seen[0] == 1 && seen[1] == 1 && !rig.ring.broken;
}

/* -----------------------------------------------------------------------------------------------
 */

enum { FENCE = WITHOUT_FENCE, RELEASE = WITHOUT_RELEASE, ACQUIRE = WITHOUT_ACQUIRE };
enum {
	MAPPED = 1 << RIG_MAPPED,
	COPIED = 1 << RIG_COPIED,
	ALL = MAPPED | COPIED | 1 << RIG_STRETCHES,
};
enum {
	SPLIT = 1 << RULE_SPLIT,
	PACKED = 1 << RULE_PACKED,
	BOTH = SPLIT | PACKED,
	EVENTS = BOTH | 1 << RULE_SPLIT_EVENT | 1 << RULE_PACKED_EVENT,
};

const struct rule rules[] = {
	{"used", BOTH, ALL, two_taken, {complete_two, collect}, nothing_wrong, {RELEASE, ACQUIRE}},
	{"used, by the batch",
	 BOTH,
	 MAPPED,
	 two_taken_plain,
	 {complete_two_plain, collect},
	 nothing_wrong,
	 {RELEASE, ACQUIRE}},
	{"available", BOTH, ALL, NULL, {take, make_available}, none_wrong, {ACQUIRE, RELEASE}},
	{"available, by the batch",
	 BOTH,
	 MAPPED,
	 NULL,
	 {take_batch, make_available},
	 none_wrong,
	 {ACQUIRE, RELEASE}},
	{"kick",
	 EVENTS,
	 ALL,
	 device_awake,
	 {device_sleeps, driver_submits},
	 one_saw,
	 {FENCE, FENCE}},
	{"call",
	 EVENTS,
	 ALL,
	 driver_awake,
	 {device_completes, driver_sleeps},
	 one_saw,
	 {FENCE, FENCE}},
	{"dirty",
	 SPLIT,
	 MAPPED | COPIED,
	 marked_before,
	 {write_and_mark, clear_and_read},
	 copied_or_marked,
	 {FENCE, FENCE}},
	{"dirty, of a ring",
	 SPLIT,
	 ALL,
	 marked_ring,
	 {complete_two, clear_and_read_index},
	 index_or_mark,
	 {FENCE, FENCE}},
	{"marks",
	 SPLIT,
	 MAPPED | COPIED,
	 marked_before,
	 {mark_first, mark_second},
	 all_marked,
	 {0, 0}},
	{"record",
	 BOTH,
	 ALL,
	 two_offered,
	 {take_and_complete, NULL},
	 each_used_or_found,
	 {RELEASE, 0}},
	{0},
};
