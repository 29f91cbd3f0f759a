/*
 * Which file systems are memory, or answer at least, before a file of theirs is opened: opening a
 * file of FUSE waits for whoever has that file system, the client perhaps.
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

#include "client/map.h"
#include "client/process_internal.h"

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

/* What is known of a file system by its mounts. */
enum seen { SEEN_NOWHERE, SEEN_MEMORY, SEEN_LOCAL, SEEN_ASKING };

static enum seen judge(const char *type)
{
	static const struct {
		const char *begins;
		enum seen seen;
	} types[] = {
		{"tmpfs ", SEEN_MEMORY}, {"hugetlbfs ", SEEN_MEMORY}, {"fuse", SEEN_ASKING},
		{"nfs", SEEN_ASKING},	 {"cifs ", SEEN_ASKING},      {"smb3 ", SEEN_ASKING},
		{"9p ", SEEN_ASKING},	 {"ceph ", SEEN_ASKING},      {"afs ", SEEN_ASKING},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strncmp(type, types[i].begins, strlen(types[i].begins)))
			return types[i].seen;
	return SEEN_LOCAL;
}

/* "36 35 0:31 /root /point options [optional ...] - type source options" (proc(5)) */
static enum seen look_at(const char *line, uint64_t device)
{
	const char *type = strstr(line, " - ");
	unsigned maj, min;

	if (!type || sscanf(line, "%*u %*u %u:%u", &maj, &min) != 2 || makedev(maj, min) != device)
		return SEEN_NOWHERE;
	return judge(type + 3);
}

static enum seen look_in(int dir, const char *name, uint64_t device)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "re");
	enum seen seen = SEEN_NOWHERE;
	char line[4096];

	if (!file && fd >= 0)
		close(fd);
	/* the rest of a longer line is no line of a mount */
	while (file && !seen && fgets(line, sizeof(line), file))
		seen = look_at(line, device);
	if (file)
		fclose(file);
	return seen;
}

static enum seen look(const struct process *process, uint64_t device)
{
	enum seen seen = look_in(process->dir, "mountinfo", device);

	return seen ? seen : look_in(AT_FDCWD, "/proc/self/mountinfo", device);
}

bool process_sees_memory(const struct process *process, uint64_t device)
{
	return is_own(device) || client_map_allows_device(device) ||
	       look(process, device) == SEEN_MEMORY;
}

bool process_sees_answer(const struct process *process, uint64_t device)
{
	enum seen seen;

	if (is_own(device) || client_map_allows_device(device))
		return true;
	seen = look(process, device);
	/* mounted nowhere that we see: it has a block device of its own, or it is none to wait for
	 */
	return seen == SEEN_NOWHERE ? major(device) != 0 : seen != SEEN_ASKING;
}
