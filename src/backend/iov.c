/* Lists of buffers: see iov.h. */
#include "backend/iov.h"

#include <string.h>

unsigned iov_slice(struct iovec *to, const struct iovec *from, unsigned count, uint64_t skip,
		   uint64_t size)
{
	unsigned used = 0;

	for (unsigned i = 0; i < count && size > 0; i++) {
		uint64_t n = from[i].iov_len;

		if (skip >= n) {
			skip -= n;
			continue;
		}
		n -= skip;
		if (n > size)
			n = size;
		to[used].iov_base = (uint8_t *)from[i].iov_base + skip;
		to[used++].iov_len = n;
		size -= n;
		skip = 0;
	}
	return used;
}

void iov_zero(const struct iovec *iov, unsigned count, uint64_t skip)
{
	for (unsigned i = 0; i < count; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		memset((uint8_t *)iov[i].iov_base + skip, 0, iov[i].iov_len - skip);
		skip = 0;
	}
}
