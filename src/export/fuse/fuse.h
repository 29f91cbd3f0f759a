/*
 * The vhost-vdpa file export: a small file system (FUSE) with one file per
 * device. Whoever opens such a file finds what /dev/vhost-vdpa-N would be: all
 * ioctls, IOTLB messages by write, one opener at a time. Needs /dev/fuse and
 * either root or fusermount3.
 */
#ifndef UVDPA_EXPORT_FUSE_FUSE_H
#define UVDPA_EXPORT_FUSE_FUSE_H

#include <sys/types.h>

#include "export/vdpa/vdpa.h"
#include "util/error.h"

struct fuse_export;
struct runtime;

struct fuse_export_options {
	mode_t mode; /* of the device files, which belong to who runs this process; 0: 0600 */
	gid_t gid;   /* their group; 0 or (gid_t)-1: this process's */
};

/* Whether there can be such files here, in principle: 0 or a negative errno with the error filled.
 */
int fuse_export_possible(struct error *err);

/*
 * Checks the mount point, which is made if its parent exists. A dead process's mount there is
 * removed; -EBUSY: a live one, named in the error.
 */
int fuse_export_new(const char *mountpoint, const struct fuse_export_options *options,
		    struct fuse_export **export, struct error *err);

/* Before start. The runtime outlives the export. -EEXIST, -EINVAL (no file could have that name).
 */
int fuse_export_add(struct fuse_export *export, const char *name, struct runtime *runtime,
		    const struct vdpa_options *options, struct error *err);

/* Mounts and serves, with threads of its own. */
int fuse_export_start(struct fuse_export *export, struct error *err);

/*
 * Unmounts; clients that are still there are gone for their devices. Returns 0, or -EBUSY: a client
 * holds one of our threads in its own memory (userfaultfd): neither export nor runtimes may be
 * freed.
 */
int fuse_export_stop(struct fuse_export *export);
/* An export that is stopped, or was never started. */
void fuse_export_free(struct fuse_export *export);

/* Threads at work now: for tests that look for leaks. */
unsigned fuse_export_threads(struct fuse_export *export);

/* Makes a mount point ready as fuse_export_new does: 0, -EBUSY if a live server has it, or an
 * errno.
 */
int fuse_mount_prepare(const char *mountpoint, struct error *err);
/* Takes a mount away, lazily, as root or through fusermount3. */
int fuse_mount_remove(const char *mountpoint);

#endif
