/*
 * The vhost-vdpa uAPI inside one process: for programs that embed a device, for
 * machines without /dev/fuse, and for tests. The caller is this process; its
 * addresses are ours.
 *
 * Calls block until they are answered, as the kernel's do. Several threads may
 * call at once; they take turns. Never call from a device's callback.
 */
#ifndef UVDPA_EXPORT_INPROCESS_INPROCESS_H
#define UVDPA_EXPORT_INPROCESS_INPROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include "export/vdpa/vdpa.h"

struct client_memory;
struct inprocess;

struct inprocess_options {
	struct vdpa_options vdpa;
	/* Where the addresses of IOTLB messages lead. NULL: to this process's memory, unchecked. */
	struct client_memory *memory;
};

/* Returns 0 or a negative errno with the error filled. The runtime outlives what was opened. */
int inprocess_open(struct runtime *runtime, const struct inprocess_options *options,
		   struct inprocess **export, struct error *err);

/* `export` is what inprocess_open gave. Return a negative errno instead of setting errno. */
int inprocess_ioctl(void *export, unsigned long cmd, void *arg);
ssize_t inprocess_write(void *export, const void *message, size_t size);
void inprocess_close(void *export);

#endif
