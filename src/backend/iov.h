/* Arithmetic on lists of buffers. */
#ifndef UVDPA_BACKEND_IOV_H
#define UVDPA_BACKEND_IOV_H

#include <stdint.h>
#include <sys/uio.h>

/*
 * Puts the bytes [skip, skip + size) of `from` into `to`, which has room for `count` entries.
 * Returns how many entries that took; fewer bytes if `from` ends before.
 */
unsigned iov_slice(struct iovec *to, const struct iovec *from, unsigned count, uint64_t skip,
		   uint64_t size);

/* Zeroes everything from byte `skip` on. */
void iov_zero(const struct iovec *iov, unsigned count, uint64_t skip);

#endif
