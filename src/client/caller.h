/*
 * Whoever makes a call through a vhost-vdpa-shaped export, and whoever owns the
 * open file: the parts of the kernel's world (the caller's memory, its
 * descriptors, its identity) that an export has to bring.
 */
#ifndef UVDPA_CLIENT_CALLER_H
#define UVDPA_CLIENT_CALLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct caller;
struct client_memory;
struct owner;
struct process;

struct caller_ops {
	/* Copy from and to the caller's memory. Return 0 or -EFAULT. */
	int (*read)(struct caller *caller, uint64_t from, void *to, size_t size);
	int (*write)(struct caller *caller, uint64_t to, const void *from, size_t size);
	/* A duplicate of the caller's descriptor. -EBADF: it has no such; -EPERM: not for us. */
	int (*get_fd)(struct caller *caller, int fd);
	/* SET_OWNER: returns 0 with the owner made, or a negative errno. */
	int (*own)(struct caller *caller, struct owner **owner);
};
struct caller {
	const struct caller_ops *ops;
};

struct owner_ops {
	/* Whether the caller lives in the owner's address space (kernel: vhost_dev_check_owner). */
	bool (*is)(struct owner *owner, struct caller *caller);
	/* Nothing of the owner's memory is mapped any more. */
	void (*free)(struct owner *owner);
};
struct owner {
	const struct owner_ops *ops;
	struct client_memory *memory;
};

/* A caller in another process, known by thread id. Lives as long as its call. */
struct process_caller {
	struct caller caller;
	pid_t tid;
	uid_t uid;
	const char *name; /* of the device, for the log */
	struct process *
		*known; /* the process of the last call: mostly the same one. May be replaced */
	bool *logged;	/* whether the log has heard why a process cannot be reached */
};

void process_caller_init(struct process_caller *caller, pid_t tid, uid_t uid, const char *name,
			 struct process **known, bool *logged);

#endif
