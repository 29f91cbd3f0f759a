/*
 * The vhost-vdpa uAPI, whoever carries it: one open file on one device, and
 * what each ioctl and each message to it does. A front export (FUSE, in-process)
 * brings the caller (client/caller.h) and the bytes; it calls in for one request
 * of a file at a time, as the kernel's device mutex would have it.
 *
 * Results, errnos and their order are the kernel's (drivers/vhost/vdpa.c and
 * vhost.c); where they are not, docs/uapi.md says so and why.
 */
#ifndef UVDPA_EXPORT_VDPA_VDPA_H
#define UVDPA_EXPORT_VDPA_VDPA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "device/device.h"
#include "client/caller.h"
#include "util/error.h"

struct device_owner;
struct runtime;
struct vdpa_file;

struct vdpa_options {
	bool kernel_uapi; /* uapi=kernel: nothing but the kernel's own numbers (S1) */
	bool log;	  /* log=on: VHOST_F_LOG_ALL and SET_LOG_BASE, which the kernel has not */
};

/*
 * What open(2) does. Returns 0, or a negative errno with the error filled; -EBUSY: somebody else
 * has the device (runtime/runtime.h: runtime_acquire). The runtime outlives the file.
 */
int vdpa_file_open(struct runtime *runtime, const struct vdpa_options *options,
		   const struct device_owner *who, struct vdpa_file **file, struct error *err);

/*
 * What close(2) does; the file is gone for the caller. done is called once, with 0 or -ETIMEDOUT:
 * the backend keeps requests, the device stays claimed until it gives them back.
 */
void vdpa_file_release(struct vdpa_file *file, device_done done, void *arg);

struct vdpa_call {
	unsigned cmd;
	uint64_t arg;	/* an address in the caller, mostly */
	const void *in; /* what is there, as far as it is known already; may be NULL */
	size_t in_size;
};

/*
 * Called exactly once per ioctl, perhaps before vdpa_file_ioctl returns and perhaps with the
 * runtime's lock held: it must not call the device. `out` is to be stored at arg.
 */
typedef void (*vdpa_reply)(void *arg, int result, const void *out, size_t out_size);

void vdpa_file_ioctl(struct vdpa_file *file, struct caller *caller, const struct vdpa_call *call,
		     vdpa_reply reply, void *arg);

/* An IOTLB message. Returns 72 (also when fewer or more were given, as the kernel), or an errno. */
ssize_t vdpa_file_write(struct vdpa_file *file, struct caller *caller, const void *message,
			size_t size);

/* The table, for who prints or checks it: the row's name, NULL after the last. */
const char *vdpa_call_name(unsigned index, unsigned *cmd);

#endif
