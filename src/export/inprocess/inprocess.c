/* The vhost-vdpa uAPI inside one process: see inprocess.h. */
#include "export/inprocess/inprocess.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "runtime/runtime.h"
#include "memory/client.h"

struct inprocess {
	struct caller caller;
	struct client_memory *memory; /* the option; NULL: this process's */
	struct vdpa_file *file;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool busy;     /* one call at a time */
	bool answered; /* ... and this one has its answer: */
	struct answer {
		int result;
		uint8_t out[16];
		size_t out_size;
	} answer;
};

struct self_owner {
	struct owner owner;
	struct client_memory identity; /* this process's own memory */
	pid_t pid;
};

/*
 * Through the kernel, so that a bad address is an error and no crash. Where seccomp forbids the
 * call, plain memory access has to do.
 */
static int copy_self(uint64_t address, void *here, size_t size, bool out)
{
	struct iovec local = {here, size}, remote = {(void *)(uintptr_t)address, size};
	ssize_t n = out ? process_vm_writev(getpid(), &local, 1, &remote, 1, 0)
			: process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

	if (n == (ssize_t)size)
		return 0;
	if (n >= 0 || (errno != EPERM && errno != ENOSYS) || address < 4096)
		return -EFAULT;
	memcpy(out ? remote.iov_base : here, out ? here : remote.iov_base, size);
	return 0;
}

static int self_read(struct caller *caller, uint64_t from, void *to, size_t size)
{
	return copy_self(from, to, size, false);
}

static int self_write(struct caller *caller, uint64_t to, const void *from, size_t size)
{
	return copy_self(to, (void *)(uintptr_t)from, size, true);
}

static int self_get_fd(struct caller *caller, int fd)
{
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return r < 0 ? -errno : r;
}

static bool self_is_owner(struct owner *owner, struct caller *caller)
{
	return ((struct self_owner *)owner)->pid == getpid();
}

static void self_owner_free(struct owner *owner)
{
	free(owner);
}

/* The client's addresses are ours: one window as large as you like. */
static int identity_map(struct client_memory *memory, uint64_t uaddr, uint64_t size, bool writable,
			struct window *out)
{
	*out = (struct window){.uaddr = uaddr, .size = size, .host = (uint8_t *)(uintptr_t)uaddr};
	return 0;
}

static void identity_unmap(struct client_memory *memory, struct window *window)
{
}

static int identity_read(struct client_memory *memory, uint64_t uaddr, void *to, size_t size)
{
	return copy_self(uaddr, to, size, false);
}

static int identity_write(struct client_memory *memory, uint64_t uaddr, const void *from,
			  size_t size)
{
	return copy_self(uaddr, (void *)(uintptr_t)from, size, true);
}

static int self_own(struct caller *caller, struct owner **out)
{
	static const struct owner_ops ops = {.is = self_is_owner, .free = self_owner_free};
	static const struct client_memory_ops memory_ops = {.map = identity_map,
							    .unmap = identity_unmap,
							    .read = identity_read,
							    .write = identity_write};
	struct client_memory *memory = ((struct inprocess *)caller)->memory;
	struct self_owner *owner = calloc(1, sizeof(*owner));

	if (!owner)
		return -ENOMEM;
	owner->owner.ops = &ops;
	owner->identity.ops = &memory_ops;
	owner->owner.memory = memory ? memory : &owner->identity;
	owner->pid = getpid();
	*out = &owner->owner;
	return 0;
}

int inprocess_open(struct runtime *runtime, const struct inprocess_options *options,
		   struct inprocess **out, struct error *err)
{
	static const struct caller_ops caller_ops = {
		.read = self_read, .write = self_write, .get_fd = self_get_fd, .own = self_own};
	const struct device_owner who = {.who = "this process"};
	struct inprocess *export = calloc(1, sizeof(*export));
	int r;

	if (!export)
		return error_set(err, -ENOMEM, "no memory for an open device");
	export->caller.ops = &caller_ops;
	export->memory = options->memory;
	r = vdpa_file_open(runtime, &options->vdpa, &who, &export->file, err);
	if (r) {
		free(export);
		return r;
	}
	pthread_mutex_init(&export->lock, NULL);
	pthread_cond_init(&export->changed, NULL);
	*out = export;
	return 0;
}

static void begin(struct inprocess *export)
{
	pthread_mutex_lock(&export->lock);
	while (export->busy)
		pthread_cond_wait(&export->changed, &export->lock);
	export->busy = true;
	export->answered = false;
	pthread_mutex_unlock(&export->lock);
}

static struct answer end(struct inprocess *export)
{
	struct answer result;

	pthread_mutex_lock(&export->lock);
	while (!export->answered)
		pthread_cond_wait(&export->changed, &export->lock);
	result = export->answer;
	export->busy = false;
	pthread_cond_broadcast(&export->changed);
	pthread_mutex_unlock(&export->lock);
	return result;
}

static void answer(void *arg, int result, const void *out, size_t out_size)
{
	struct inprocess *export = arg;

	pthread_mutex_lock(&export->lock);
	export->answer = (struct answer){.result = result, .out_size = out_size};
	if (out_size)
		memcpy(export->answer.out, out, out_size);
	export->answered = true;
	pthread_cond_broadcast(&export->changed);
	pthread_mutex_unlock(&export->lock);
}

static void released(void *arg, int result)
{
	answer(arg, result, NULL, 0);
}

int inprocess_ioctl(void *export_arg, unsigned long cmd, void *arg)
{
	struct inprocess *export = export_arg;
	struct vdpa_call call = {.cmd = (unsigned)cmd, .arg = (uintptr_t)arg};
	struct answer a;

	begin(export);
	vdpa_file_ioctl(export->file, &export->caller, &call, answer, export);
	a = end(export);
	if (!a.result && a.out_size)
		return copy_self(call.arg, a.out, a.out_size, true);
	return a.result;
}

ssize_t inprocess_write(void *export_arg, const void *message, size_t size)
{
	struct inprocess *export = export_arg;
	ssize_t result;

	if (!size)
		return -EINVAL;
	begin(export);
	result = vdpa_file_write(export->file, &export->caller, message, size);
	answer(export, 0, NULL, 0);
	end(export);
	return result;
}

void inprocess_close(void *export_arg)
{
	struct inprocess *export = export_arg;

	begin(export);
	vdpa_file_release(export->file, released, export);
	end(export);
	pthread_cond_destroy(&export->changed);
	pthread_mutex_destroy(&export->lock);
	free(export);
}
