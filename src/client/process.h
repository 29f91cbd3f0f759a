/*
 * A client's process, held open: its memory and its file descriptors, for as
 * long as we need them and not a kind longer than they are the client's.
 *
 * /proc/PID/mem and /proc/PID/maps stay open. Both belong to the address space
 * that the process had when they were opened, so neither a number that is used
 * again nor an exec of another program (one with more rights, say) can lead us
 * into memory that was never offered. It is also why memory is copied with
 * pread and pwrite of that file, and not with process_vm_readv, which looks the
 * number up each time.
 */
#ifndef UVDPA_CLIENT_PROCESS_H
#define UVDPA_CLIENT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/error.h"

struct process;

/*
 * Opens the process that thread `tid` is part of. `uid` is the thread's file system uid as the
 * request told it ((uid_t)-1: not known): a thread that has another by now is another thread.
 * Returns 0; -EPERM: another pid namespace, or the ptrace rules forbid it; -ESRCH; -EMFILE;
 * -ENOMEM.
 */
int process_open(pid_t tid, uid_t uid, struct process **process, struct error *err);
struct process *process_ref(struct process *process);
void process_unref(struct process *process);

pid_t process_pid(const struct process *process);
/* Whether `tid` is a thread of the process, and the process has not run exec since. */
bool process_has_thread(const struct process *process, pid_t tid);

/* Whether a thread was killed and only its system call keeps it. False also if it cannot be seen.
 */
bool process_is_killed(pid_t tid);

/* Copy from and to its memory. Return 0, or -EFAULT: all or an error. */
int process_read(struct process *process, uint64_t from, void *to, size_t size);
int process_write(struct process *process, uint64_t to, const void *from, size_t size);

/* A duplicate of its descriptor `fd`, close-on-exec. -EBADF: it has no such; -EPERM. */
int process_get_fd(struct process *process, int fd);

/* A mapping of its address space: a line of /proc/PID/maps. */
struct process_vma {
	uint64_t start, end;
	uint64_t offset; /* in the file, bytes */
	uint64_t device, inode;
	bool readable, writable, shared;
};

/*
 * The mappings that [address, address + size) touches, in order, at most `max`. Returns how many,
 * or -ENOMEM. Takes as long as the process has mappings below, once.
 */
int process_find_vmas(struct process *process, uint64_t address, uint64_t size,
		      struct process_vma *vmas, unsigned max);

/*
 * Opens the file behind a shared mapping, so that it can be mapped here the same way. The file is
 * the mapping's for certain (device and inode are compared), if the process has the mapping when
 * the file is open: ask process_still_has before anything is done with it. -ENOENT: it cannot be
 * reached, or is no memory (client_map.h), whose file system might have to be waited for.
 */
int process_open_vma(struct process *process, const struct process_vma *vma, bool writable);
/* Whether the mapping, of an open file, is within those found since, with the same rights. */
bool process_still_has(const struct process_vma *now, unsigned count,
		       const struct process_vma *vma);

#endif
