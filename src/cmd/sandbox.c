/* Where a demonstration takes place: see sandbox.h. */
#include "cmd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/inproc_device.h"
#include "export/fuse/fuse.h"

#define READY_MS 15000

int sandbox_make(struct sandbox *sandbox, struct error *f)
{
	const char *base = getenv("TMPDIR");
	int used;

	used = snprintf(sandbox->dir, sizeof(sandbox->dir), "%s/uvdpa-demo-XXXXXX",
			base && base[0] == '/' ? base : "/tmp");
	if (used < 0 || (size_t)used >= sizeof(sandbox->dir) || !mkdtemp(sandbox->dir)) {
		sandbox->dir[0] = '\0';
		return error_set(f, -errno, "cannot make a temporary folder below %.60s: %s",
				 base ? base : "/tmp",
				 (size_t)used >= sizeof(sandbox->dir) ? "its name is too long"
								      : strerror(errno));
	}
	return 0;
}

int sandbox_can_serve(const struct sandbox *sandbox, struct error *f)
{
	const struct fuse_export_options options = {0};
	struct fuse_export *export;
	char path[96];
	int r;

	snprintf(path, sizeof(path), "%s/try", sandbox->dir);
	if (access("/dev/fuse", R_OK | W_OK) < 0)
		return error_set(f, -errno, "/dev/fuse: %s", strerror(errno));
	r = fuse_export_new(path, &options, &export, f);
	if (r < 0)
		return r;
	r = fuse_export_start(export, f);
	if (r == 0)
		fuse_export_stop(export);
	fuse_export_free(export);
	return r;
}

static int make_image(struct sandbox *sandbox, uint64_t size, struct error *f)
{
	int fd, r = 0;

	snprintf(sandbox->image, sizeof(sandbox->image), "%s/disk.img", sandbox->dir);
	fd = open(sandbox->image, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(f, -errno, "cannot make %s: %s", sandbox->image, strerror(errno));
	if (ftruncate(fd, (off_t)size) < 0)
		r = error_set(f, -errno, "cannot make %s: %s", sandbox->image, strerror(errno));
	close(fd);
	return r;
}

/* One device in a process of its own. */
static int open_served(struct sandbox *sandbox, unsigned i, const char *spec,
		       struct uvdpa_driver **drv, struct error *f)
{
	struct child *server = &sandbox->servers[i];
	char path[112], dir[96];
	struct uvdpa_error error;
	int r;

	snprintf(dir, sizeof(dir), "%s/%c", sandbox->dir, 'a' + (int)i);
	r = child_start(server, dir, spec, f);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/vdpa/disk0", dir);
	r = child_wait(server, path, READY_MS, f);
	if (r < 0)
		return r;
	r = uvdpa_driver_open(path, 0, drv, &error);
	return r < 0 ? error_set(f, r, "%s", error.text) : 0;
}

/* What --device would have for one of the two. */
static int make_spec(const struct sandbox *sandbox, unsigned i, char *spec, size_t size,
		     struct error *f)
{
	const char *name = sandbox->in_process ? (i ? "disk-b" : "disk-a") : "disk0";
	int used = snprintf(spec, size, "blk,name=%s,file=%s,share=on%s%s%s", name, sandbox->image,
			    sandbox->packed ? ",packed=on" : "", sandbox->keys ? "," : "",
			    sandbox->keys ? sandbox->keys : "");

	/* a comma of the path would end the value */
	if (strchr(sandbox->image, ','))
		return error_set(f, -EINVAL, "%s: a folder with a comma will not do", sandbox->dir);
	if (used < 0 || (size_t)used >= size)
		return error_set(f, -EINVAL, "--keys: that is too long");
	return 0;
}

int sandbox_open(struct sandbox *sandbox, uint64_t size, struct uvdpa_driver *devices[2],
		 struct error *f)
{
	char spec[512];
	int r = make_image(sandbox, size, f);

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		r = make_spec(sandbox, i, spec, sizeof(spec), f);
		if (r == 0 && sandbox->in_process)
			r = inproc_device_open(spec, &sandbox->embedded[i], &devices[i], f);
		else if (r == 0)
			r = open_served(sandbox, i, spec, &devices[i], f);
	}
	return r;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	remove(path);
	return 0;
}

int sandbox_close(struct sandbox *sandbox, struct error *f)
{
	int r = 0;

	for (unsigned i = 0; i < 2; i++) {
		int stopped = child_stop(&sandbox->servers[i], r ? NULL : f);

		r = r ? r : stopped;
		inproc_device_free(sandbox->embedded[i]);
		sandbox->embedded[i] = NULL;
	}
	if (sandbox->dir[0])
		nftw(sandbox->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	sandbox->dir[0] = '\0';
	return r;
}
