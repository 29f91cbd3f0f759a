/* An open vhost-vdpa file: how it comes and goes (vhost_vdpa_open, vhost_vdpa_release). */
#include "export/vdpa/vdpa.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "export/vdpa/vdpa_internal.h"
#include "util/log.h"

int vdpa_file_open(struct runtime *runtime, const struct vdpa_options *options,
		   const struct device_owner *who, struct vdpa_file **out, struct error *err)
{
	struct vdpa_file *file;
	int r = runtime_acquire(runtime, who, err);

	if (r)
		return r;
	file = calloc(1, sizeof(*file));
	if (!file) {
		runtime_release(runtime);
		return error_set(err, -ENOMEM, "no memory for an open file");
	}
	file->runtime = runtime;
	file->device = runtime_lock(runtime);
	device_forget_choices(file->device);
	runtime_unlock(runtime);
	file->options = *options;
	file->fork_from_owner = 1;
	*out = file;
	return 0;
}

/* The device is as new and reaches nothing any more: the last of the client goes. */
static void dispose(struct vdpa_file *file)
{
	device_set_client(file->device, NULL);
	if (file->owner)
		file->owner->ops->free(file->owner);
	iotlb_free(file);
	runtime_release(file->runtime);
	free(file);
}

/* Runtime locked. */
static void on_gone(void *arg, int result)
{
	struct vdpa_file *file = arg;
	device_done done = file->released;
	void *done_arg = file->released_arg;

	assert(result == 0 || result == -ETIMEDOUT);
	file->released = NULL;
	if (result && done)
		log_warning(device_name(file->device),
			    "the client left, but the backend keeps its requests: the device stays "
			    "busy until it gives them back");
	/* Requests still point into the client's memory, so that stays. Each try has its deadline.
	 */
	if (result) {
		runtime_owner_stuck(file->runtime);
		device_reset(file->device, EV_DRIVER_GONE, runtime_now_ms(), on_gone, file);
	} else {
		dispose(file);
	}
	if (done)
		done(done_arg, result);
}

void vdpa_file_release(struct vdpa_file *file, device_done done, void *arg)
{
	struct runtime *runtime = file->runtime;

	file->released = done;
	file->released_arg = arg;
	runtime_owner_closing(runtime);
	device_reset(runtime_lock(runtime), EV_DRIVER_GONE, runtime_now_ms(), on_gone, file);
	runtime_unlock(runtime);
}
