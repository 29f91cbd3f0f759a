/* Marking: see dirty.h. */
#include "memory/dirty.h"

#include "memory/client.h"

/* One for all logs: several devices of a client may have the same, and then share its bytes. */
static atomic_flag busy = ATOMIC_FLAG_INIT;

/* Sets a bit in memory that is reached by copying only. Returns 0 or -EFAULT. */
static int mark_copied(struct dirty_log *log, uint64_t page, uint8_t bit)
{
	struct client_memory *memory = log->memory;
	uint64_t at = log->uaddr + page / 8;
	uint8_t byte;
	int r;

	while (atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		;
	r = memory->ops->read(memory, at, &byte, sizeof(byte));
	if (r == 0 && !(byte & bit)) {
		byte |= bit;
		r = memory->ops->write(memory, at, &byte, sizeof(byte));
	}
	atomic_flag_clear_explicit(&busy, memory_order_release);
	return r;
}

void dirty_mark(struct dirty_log *log, uint64_t address, uint64_t size)
{
	uint64_t page = address / DIRTY_PAGE, last;

	if (!size)
		return;
	last = (address + (size - 1)) / DIRTY_PAGE;
	/*
	 * What was written is seen by others before the look at the bit. Else the look may come
	 * first, to a bit that is cleared next, by somebody who then reads the page as it was
	 * before.
	 */
	atomic_thread_fence(memory_order_seq_cst);
	for (; page <= last; page++) {
		uint8_t bit = (uint8_t)(1u << (page % 8));

		if (log->memory) {
			if (mark_copied(log, page, bit) < 0)
				atomic_fetch_add_explicit(&log->beyond, 1, memory_order_relaxed);
			continue;
		}
		if (page >= log->pages) {
			atomic_fetch_add_explicit(&log->beyond, 1, memory_order_relaxed);
			return;
		}
		/* A look first: most marks are for pages that are marked already. */
		if (atomic_load_explicit(&log->bits[page / 8], memory_order_relaxed) & bit)
			continue;
		atomic_fetch_or_explicit(&log->bits[page / 8], bit, memory_order_release);
	}
}
