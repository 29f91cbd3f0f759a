/* Mapping what a front end shares: see vhost_user_shared.h. */
#include "door/vhost_user_shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "door/guard.h"

int vu_shared_map(struct vu_shared *shared, int fd, uint64_t offset, uint64_t size,
		  _Atomic bool *lost, const char *what, struct fault *f)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = offset & ~(page - 1);
	struct stat st;

	if (!size || offset + size < size || offset + size > INT64_MAX)
		return fault(f, -EINVAL, "%s of 0x%llx bytes at 0x%llx", what,
			     (unsigned long long)size, (unsigned long long)offset);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset + size)
		return fault(f, -EINVAL, "%s: its descriptor is no file that has 0x%llx bytes",
			     what, (unsigned long long)(offset + size));
	shared->mapped = offset + size - start;
	shared->base =
		mmap(NULL, shared->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
	if (shared->base == MAP_FAILED) {
		shared->base = NULL;
		return fault(f, -errno, "%s cannot be mapped: %s", what, strerror(errno));
	}
	shared->guard = guard_watch(shared->base, shared->mapped, page, lost);
	if (!shared->guard) {
		munmap(shared->base, shared->mapped);
		shared->base = NULL;
		return fault(f, -ENOMEM, "no memory for %s", what);
	}
	shared->at = shared->base + (offset - start);
	return 0;
}

void vu_shared_unmap(struct vu_shared *shared)
{
	if (!shared->base)
		return;
	guard_forget(shared->guard);
	munmap(shared->base, shared->mapped);
	*shared = (struct vu_shared){0};
}
