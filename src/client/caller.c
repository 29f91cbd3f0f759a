/*
 * Callers in other processes: see caller.h.
 *
 * FUSE names the calling thread, not its process, so the process is found out
 * once and remembered: asking whether the thread of the next call is in there
 * is much cheaper than opening the process again.
 */
#include "client/caller.h"

#include <errno.h>
#include <stdlib.h>

#include "client/memory.h"
#include "client/process.h"
#include "util/log.h"

struct process_owner {
	struct owner owner;
	struct process *process;
};

static struct process_caller *of(struct caller *caller)
{
	return (struct process_caller *)caller;
}

/* The caller's process, opened when it is first needed. */
static int reach(struct process_caller *caller, struct process **process)
{
	struct process *found;
	struct error err;
	int r;

	if (*caller->known && process_has_thread(*caller->known, caller->tid)) {
		*process = *caller->known;
		return 0;
	}
	r = process_open(caller->tid, caller->uid, &found, &err);
	if (r) {
		if (!*caller->logged)
			log_warning(caller->name, "%s", err.text);
		*caller->logged = true;
		return r;
	}
	process_unref(*caller->known);
	*caller->known = *process = found;
	return 0;
}

static int caller_read(struct caller *caller, uint64_t from, void *to, size_t size)
{
	struct process *process;

	return reach(of(caller), &process) ? -EFAULT : process_read(process, from, to, size);
}

static int caller_write(struct caller *caller, uint64_t to, const void *from, size_t size)
{
	struct process *process;

	return reach(of(caller), &process) ? -EFAULT : process_write(process, to, from, size);
}

static int caller_get_fd(struct caller *caller, int fd)
{
	struct process *process;
	int r = reach(of(caller), &process);

	return r ? r : process_get_fd(process, fd);
}

static bool owner_is(struct owner *owner, struct caller *caller)
{
	return process_has_thread(((struct process_owner *)owner)->process, of(caller)->tid);
}

static void owner_free(struct owner *owner)
{
	client_memory_free(owner->memory);
	process_unref(((struct process_owner *)owner)->process);
	free(owner);
}

static int caller_own(struct caller *caller, struct owner **out)
{
	static const struct owner_ops ops = {.is = owner_is, .free = owner_free};
	struct process_owner *owner;
	struct process *process;
	int r = reach(of(caller), &process);

	if (r)
		return r;
	owner = calloc(1, sizeof(*owner));
	if (!owner)
		return -ENOMEM;
	owner->owner.ops = &ops;
	owner->owner.memory = client_memory_new(process);
	if (!owner->owner.memory) {
		free(owner);
		return -ENOMEM;
	}
	owner->process = process_ref(process);
	*out = &owner->owner;
	return 0;
}

void process_caller_init(struct process_caller *caller, pid_t tid, uid_t uid, const char *name,
			 struct process **known, bool *logged)
{
	static const struct caller_ops ops = {.read = caller_read,
					      .write = caller_write,
					      .get_fd = caller_get_fd,
					      .own = caller_own};

	*caller = (struct process_caller){.caller = {&ops},
					  .tid = tid,
					  .uid = uid,
					  .name = name,
					  .known = known,
					  .logged = logged};
}
