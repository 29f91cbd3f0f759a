/* The vhost-vdpa file export: how it comes up and goes down. See fuse.h and fuse_internal.h. */
#include "export/fuse/fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export/fuse/fuse_internal.h"
#include "util/log.h"

/* How long a request at work may take before the mount goes away under it, and after that. */
#define STOP_POLITE_SECONDS 2
#define STOP_FINAL_SECONDS  30

/* What libfuse said last, for faults: it prints its reasons and returns -1. */
static _Thread_local char said[256];

static void libfuse_says(enum fuse_log_level level, const char *format, va_list args)
{
	size_t n;

	vsnprintf(said, sizeof(said), format, args);
	n = strlen(said);
	if (n && said[n - 1] == '\n')
		said[n - 1] = '\0';
	log_trace(NULL, "libfuse: %s", said);
}

int fuse_export_possible(struct error *err)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return error_set(
			err, -errno,
			"vhost-vdpa files need /dev/fuse, which is not there: load the module "
			"(modprobe fuse), or pass the device into the container");
	return error_set(err, -errno, "vhost-vdpa files need /dev/fuse, which cannot be opened: %s",
			 strerror(errno));
}

int fuse_export_new(const char *mountpoint, const struct fuse_export_options *options,
		    struct fuse_export **out, struct error *err)
{
	struct fuse_export *export;
	int r = fuse_export_possible(err);

	if (!r)
		r = fuse_mount_prepare(mountpoint, err);
	if (r)
		return r;
	export = calloc(1, sizeof(*export));
	if (export)
		export->mountpoint = realpath(mountpoint, NULL);
	if (!export || !export->mountpoint) {
		free(export);
		return error_set(err, -ENOMEM, "%s: no memory", mountpoint);
	}
	export->options = *options;
	export->stop_fd = export->relief_fd = -1;
	export->ready_last = &export->ready;
	clock_gettime(CLOCK_REALTIME, &export->made);
	pthread_mutex_init(&export->receiving, NULL);
	pthread_mutex_init(&export->threads_lock, NULL);
	pthread_mutex_init(&export->ready_lock, NULL);
	pthread_cond_init(&export->ready_changed, NULL);
	*out = export;
	return 0;
}

static bool good_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= DEVICE_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

int fuse_export_add(struct fuse_export *export, const char *name, struct runtime *runtime,
		    const struct vdpa_options *options, struct error *err)
{
	const struct fuse_export_options *o = &export->options;
	struct node *node, **more;

	if (!good_name(name))
		return error_set(err, -EINVAL, "'%s' cannot be the name of a file", name);
	for (unsigned i = 0; i < export->node_count; i++)
		if (!strcmp(export->nodes[i]->name, name))
			return error_set(err, -EEXIST, "two devices are called '%s'", name);
	more = realloc(export->nodes, (export->node_count + 1) * sizeof(*more));
	if (more)
		export->nodes = more;
	node = more ? calloc(1, sizeof(*node)) : NULL;
	if (!node)
		return error_set(err, -ENOMEM, "%s: no memory", name);
	node->export = export;
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->ino = FIRST_INO + export->node_count;
	node->runtime = runtime;
	node->options = *options;
	node->mode = o->mode ? o->mode : 0600;
	node->uid = geteuid();
	node->gid = !o->gid || o->gid == (gid_t)-1 ? getegid() : o->gid;
	fifo_init(&node->fifo);
	export->nodes[export->node_count++] = node;
	return 0;
}

static bool is_for_others(const struct fuse_export *export)
{
	return export->options.mode & 0077;
}

/* What may help who cannot mount. */
static const char *mount_hint(const struct fuse_export *export)
{
	if (!geteuid())
		return "";
	return is_for_others(export) ? " (others get at files only if /etc/fuse.conf has the line "
				       "user_allow_other; or leave out --mode)"
				     : " (is fusermount3 installed? package fuse3)";
}

static int make_session(struct fuse_export *export, struct error *err)
{
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	char options[128];
	int r;

	/*
	 * Others may use a device file if its mode says so. Root may offer that; who is not root
	 * may if /etc/fuse.conf says so, and else is told that he may not, not left with files that
	 * nobody can open.
	 */
	snprintf(options, sizeof(options), "fsname=uvdpa:%d,subtype=uvdpa,default_permissions%s",
		 (int)getpid(), geteuid() == 0 || is_for_others(export) ? ",allow_other" : "");
	r = fuse_opt_add_arg(&args, "uvdpa") || fuse_opt_add_arg(&args, "-o") ||
	    fuse_opt_add_arg(&args, options);
	fuse_set_log_func(libfuse_says);
	said[0] = '\0';
	if (!r)
		export->session =
			fuse_session_new(&args, &fuse_export_ops, sizeof(fuse_export_ops), export);
	fuse_opt_free_args(&args);
	if (!export->session)
		return error_set(err, -ENOMEM, "%s: libfuse would not start: %s",
				 export->mountpoint, said);
	return 0;
}

int fuse_export_start(struct fuse_export *export, struct error *err)
{
	int fd, r = make_session(export, err);

	if (r)
		return r;
	if (fuse_session_mount(export->session, export->mountpoint)) {
		r = error_set(err, -EPERM, "%s cannot be mounted: %s%s", export->mountpoint, said,
			      mount_hint(export));
		fuse_session_destroy(export->session);
		export->session = NULL;
		return r;
	}
	/* Nobody may block in read(2): that could not be woken when the export stops. */
	fd = fuse_session_fd(export->session);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	r = threads_start(export, err);
	if (r)
		fuse_export_stop(export);
	return r;
}

/* The clients do not know yet that their files are closed; their devices do. */
static void release_all(struct fuse_export *export)
{
	unsigned nodes = fuse_export_threads(export) ? export->node_count : 0;

	for (unsigned i = 0; i < nodes; i++) {
		struct fuse_request *request = fuse_release_request(export->nodes[i]);

		request_stop_waiting(export->nodes[i]);
		if (request && fifo_put(request))
			executor_submit(export, request);
	}
}

int fuse_export_stop(struct fuse_export *export)
{
	uint64_t one = 1;

	if (!export->session)
		return 0;
	atomic_store(&export->stopping, true);
	if (export->stop_fd >= 0 && write(export->stop_fd, &one, sizeof(one)) < 0)
		log_trace(NULL, "%s: stopping twice", export->mountpoint);
	/* Whoever gets the lock after us sees that it is over, and leaves the session alone. */
	pthread_mutex_lock(&export->receiving);
	fuse_session_exit(export->session);
	pthread_mutex_unlock(&export->receiving);
	release_all(export);
	threads_wait_idle(export, STOP_POLITE_SECONDS);
	atomic_store(&export->gone, true);
	fuse_session_unmount(export->session);
	if (!threads_wait_idle(export, STOP_FINAL_SECONDS) || threads_stop(export)) {
		log_error(NULL, "%s: a client keeps one of our threads waiting in its memory",
			  export->mountpoint);
		return -EBUSY;
	}
	fuse_session_destroy(export->session);
	export->session = NULL;
	return 0;
}

void fuse_export_free(struct fuse_export *export)
{
	if (!export)
		return;
	for (unsigned i = 0; i < export->node_count; i++) {
		pthread_mutex_destroy(&export->nodes[i]->fifo.lock);
		free(export->nodes[i]);
	}
	if (export->stop_fd >= 0)
		close(export->stop_fd);
	if (export->relief_fd >= 0)
		close(export->relief_fd);
	pthread_mutex_destroy(&export->receiving);
	pthread_mutex_destroy(&export->threads_lock);
	pthread_mutex_destroy(&export->ready_lock);
	pthread_cond_destroy(&export->ready_changed);
	free(export->buffer.mem);
	free(export->threads);
	free(export->nodes);
	free(export->mountpoint);
	free(export);
}

unsigned fuse_export_threads(struct fuse_export *export)
{
	unsigned n;

	pthread_mutex_lock(&export->threads_lock);
	n = export->thread_count;
	pthread_mutex_unlock(&export->threads_lock);
	return n;
}
