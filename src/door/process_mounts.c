/*
 * Which file systems are memory, before a file of theirs is opened: opening a file of FUSE waits
 * for whoever has that file system, the client perhaps.
 *
 * The kernel's own (of memfd and shared anonymous memory, of huge pages) are known by a file that
 * we make there. Others are mounted, in our name space or the client's, and the kernel says of what
 * type they are. The numbers of file systems are the whole machine's; one that ends while we look
 * can pass its number on, and so client_map_allowed judges the open file.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "door/client_map.h"
#include "door/process_internal.h"

/* Sizes of huge pages that Linux knows: 64 KiB to 16 GiB. */
#define HUGE_SHIFT_MIN 16
#define HUGE_SHIFT_MAX 34

static uint64_t own[2 + HUGE_SHIFT_MAX - HUGE_SHIFT_MIN];
static unsigned own_count;

static void add_own(unsigned flags)
{
	int fd = memfd_create("uvdpa", MFD_CLOEXEC | flags);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st))
		own[own_count++] = st.st_dev;
	close(fd);
}

static void find_own(void)
{
	add_own(0);
	for (unsigned shift = HUGE_SHIFT_MIN; shift <= HUGE_SHIFT_MAX; shift++)
		add_own(MFD_HUGETLB | shift << MAP_HUGE_SHIFT);
}

static bool is_own(uint64_t device)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_own);
	for (unsigned i = 0; i < own_count; i++)
		if (own[i] == device)
			return true;
	return false;
}

/* "36 35 0:31 /root /point options [optional ...] - type source options" (proc(5)) */
static bool is_memory_at(const char *line, uint64_t device)
{
	const char *type = strstr(line, " - ");
	unsigned maj, min;

	return type && sscanf(line, "%*u %*u %u:%u", &maj, &min) == 2 &&
	       makedev(maj, min) == device &&
	       (!strncmp(type + 3, "tmpfs ", 6) || !strncmp(type + 3, "hugetlbfs ", 10));
}

static bool is_mounted_memory(int dir, const char *name, uint64_t device)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	bool found = false;
	char line[4096];

	if (!file && fd >= 0)
		close(fd);
	/* the rest of a longer line is no line of a mount */
	while (file && !found && fgets(line, sizeof(line), file))
		found = is_memory_at(line, device);
	if (file)
		fclose(file);
	return found;
}

bool process_sees_memory(const struct process *process, uint64_t device)
{
	return is_own(device) || client_map_allows_device(device) ||
	       is_mounted_memory(process->dir, "mountinfo", device) ||
	       is_mounted_memory(AT_FDCWD, "/proc/self/mountinfo", device);
}
