/* Marking: see dirty.h. */
#include "memory/dirty.h"

void dirty_mark(struct dirty_log *log, uint64_t address, uint64_t size)
{
	uint64_t page = address / DIRTY_PAGE, last;

	if (!size)
		return;
	last = (address + (size - 1)) / DIRTY_PAGE;
	for (; page <= last; page++) {
		uint8_t bit = (uint8_t)(1u << (page % 8));

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
