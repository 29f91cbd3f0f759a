/* The vhost-vdpa file door: how it comes up and goes down. See fuse.h and fuse_internal.h. */
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

int fuse_door_possible(struct fault *fault_out)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return fault(fault_out, -errno,
			     "vhost-vdpa files need /dev/fuse, which is not there: load the module "
			     "(modprobe fuse), or pass the device into the container");
	return fault(fault_out, -errno,
		     "vhost-vdpa files need /dev/fuse, which cannot be opened: %s",
		     strerror(errno));
}

int fuse_door_new(const char *mountpoint, const struct fuse_door_options *options,
		  struct fuse_door **out, struct fault *fault_out)
{
	struct fuse_door *door;
	int r = fuse_door_possible(fault_out);

	if (!r)
		r = fuse_mount_prepare(mountpoint, fault_out);
	if (r)
		return r;
	door = calloc(1, sizeof(*door));
	if (door)
		door->mountpoint = realpath(mountpoint, NULL);
	if (!door || !door->mountpoint) {
		free(door);
		return fault(fault_out, -ENOMEM, "%s: no memory", mountpoint);
	}
	door->options = *options;
	door->stop_fd = door->relief_fd = -1;
	door->ready_last = &door->ready;
	clock_gettime(CLOCK_REALTIME, &door->made);
	pthread_mutex_init(&door->receiving, NULL);
	pthread_mutex_init(&door->threads_lock, NULL);
	pthread_mutex_init(&door->ready_lock, NULL);
	pthread_cond_init(&door->ready_changed, NULL);
	*out = door;
	return 0;
}

static bool good_name(const char *name)
{
	size_t n = strlen(name);

	return n && n <= DEVICE_NAME_MAX && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

int fuse_door_add(struct fuse_door *door, const char *name, struct runner *runner,
		  const struct vdpa_options *options, struct fault *fault_out)
{
	const struct fuse_door_options *o = &door->options;
	struct node *node, **more;

	if (!good_name(name))
		return fault(fault_out, -EINVAL, "'%s' cannot be the name of a file", name);
	for (unsigned i = 0; i < door->node_count; i++)
		if (!strcmp(door->nodes[i]->name, name))
			return fault(fault_out, -EEXIST, "two devices are called '%s'", name);
	more = realloc(door->nodes, (door->node_count + 1) * sizeof(*more));
	if (more)
		door->nodes = more;
	node = more ? calloc(1, sizeof(*node)) : NULL;
	if (!node)
		return fault(fault_out, -ENOMEM, "%s: no memory", name);
	node->door = door;
	snprintf(node->name, sizeof(node->name), "%s", name);
	node->ino = FIRST_INO + door->node_count;
	node->runner = runner;
	node->options = *options;
	node->mode = o->mode ? o->mode : 0600;
	node->uid = geteuid();
	node->gid = !o->gid || o->gid == (gid_t)-1 ? getegid() : o->gid;
	lane_init(&node->lane);
	door->nodes[door->node_count++] = node;
	return 0;
}

static bool is_for_others(const struct fuse_door *door)
{
	return door->options.mode & 0077;
}

/* What may help who cannot mount. */
static const char *mount_hint(const struct fuse_door *door)
{
	if (!geteuid())
		return "";
	return is_for_others(door) ? " (others get at files only if /etc/fuse.conf has the line "
				     "user_allow_other; or leave out --mode)"
				   : " (is fusermount3 installed? package fuse3)";
}

static int make_session(struct fuse_door *door, struct fault *fault_out)
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
		 (int)getpid(), geteuid() == 0 || is_for_others(door) ? ",allow_other" : "");
	r = fuse_opt_add_arg(&args, "uvdpa") || fuse_opt_add_arg(&args, "-o") ||
	    fuse_opt_add_arg(&args, options);
	fuse_set_log_func(libfuse_says);
	said[0] = '\0';
	if (!r)
		door->session =
			fuse_session_new(&args, &fuse_door_ops, sizeof(fuse_door_ops), door);
	fuse_opt_free_args(&args);
	if (!door->session)
		return fault(fault_out, -ENOMEM, "%s: libfuse would not start: %s",
			     door->mountpoint, said);
	return 0;
}

int fuse_door_start(struct fuse_door *door, struct fault *fault_out)
{
	int fd, r = make_session(door, fault_out);

	if (r)
		return r;
	if (fuse_session_mount(door->session, door->mountpoint)) {
		r = fault(fault_out, -EPERM, "%s cannot be mounted: %s%s", door->mountpoint, said,
			  mount_hint(door));
		fuse_session_destroy(door->session);
		door->session = NULL;
		return r;
	}
	/* Nobody may block in read(2): that could not be woken when the door stops. */
	fd = fuse_session_fd(door->session);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	r = threads_start(door, fault_out);
	if (r)
		fuse_door_stop(door);
	return r;
}

/* The clients do not know yet that their files are closed; their devices do. */
static void release_all(struct fuse_door *door)
{
	unsigned nodes = fuse_door_threads(door) ? door->node_count : 0;

	for (unsigned i = 0; i < nodes; i++) {
		struct job *job = fuse_release_job(door->nodes[i]);

		job_stop_waiting(door->nodes[i]);
		if (job && lane_put(job))
			executor_submit(door, job);
	}
}

int fuse_door_stop(struct fuse_door *door)
{
	uint64_t one = 1;

	if (!door->session)
		return 0;
	atomic_store(&door->stopping, true);
	if (door->stop_fd >= 0 && write(door->stop_fd, &one, sizeof(one)) < 0)
		log_trace(NULL, "%s: stopping twice", door->mountpoint);
	/* Whoever gets the lock after us sees that it is over, and leaves the session alone. */
	pthread_mutex_lock(&door->receiving);
	fuse_session_exit(door->session);
	pthread_mutex_unlock(&door->receiving);
	release_all(door);
	threads_wait_idle(door, STOP_POLITE_SECONDS);
	atomic_store(&door->gone, true);
	fuse_session_unmount(door->session);
	if (!threads_wait_idle(door, STOP_FINAL_SECONDS) || threads_stop(door)) {
		log_error(NULL, "%s: a client keeps one of our threads waiting in its memory",
			  door->mountpoint);
		return -EBUSY;
	}
	fuse_session_destroy(door->session);
	door->session = NULL;
	return 0;
}

void fuse_door_free(struct fuse_door *door)
{
	if (!door)
		return;
	for (unsigned i = 0; i < door->node_count; i++) {
		pthread_mutex_destroy(&door->nodes[i]->lane.lock);
		free(door->nodes[i]);
	}
	if (door->stop_fd >= 0)
		close(door->stop_fd);
	if (door->relief_fd >= 0)
		close(door->relief_fd);
	pthread_mutex_destroy(&door->receiving);
	pthread_mutex_destroy(&door->threads_lock);
	pthread_mutex_destroy(&door->ready_lock);
	pthread_cond_destroy(&door->ready_changed);
	free(door->buffer.mem);
	free(door->threads);
	free(door->nodes);
	free(door->mountpoint);
	free(door);
}

unsigned fuse_door_threads(struct fuse_door *door)
{
	unsigned n;

	pthread_mutex_lock(&door->threads_lock);
	n = door->thread_count;
	pthread_mutex_unlock(&door->threads_lock);
	return n;
}
