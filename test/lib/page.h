/* The page size of the machine that a test runs on: 4096 bytes, or, on arm64, perhaps 16 or 64 KiB.
 */
#ifndef UVDPA_TEST_PAGE_H
#define UVDPA_TEST_PAGE_H

#include <stddef.h>
#include <unistd.h>

static inline size_t page_size(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

#endif
