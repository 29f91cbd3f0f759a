/* Opening and closing a connection, and what it knows about itself. */
#include "driver/connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/error.h"
#include "driver/vhost_user.h"

const char *uvdpa_driver_version(void)
{
	return UVDPA_DRIVER_VERSION;
}

/* Asks what is needed before anything else, and takes ownership. */
static int probe(struct uvdpa_driver *drv, unsigned flags, struct uvdpa_error *error)
{
	uint32_t count;
	int r = uvdpa_get_device_id(drv, &drv->device_id);

	if (r < 0)
		return drv_error(error, r, "%s: not a vhost-vdpa device: GET_DEVICE_ID: %s",
				 drv->name, strerror(-r));
	r = uvdpa_get_vqs_count(drv, &count);
	if (r < 0)
		return drv_error(error, r, "%s: GET_VQS_COUNT: %s", drv->name, strerror(-r));
	drv->queue_count = count < DRV_MAX_QUEUES ? count : DRV_MAX_QUEUES;
	drv->queues = calloc(drv->queue_count ? drv->queue_count : 1, sizeof(*drv->queues));
	drv->announced = calloc(drv->queue_count ? drv->queue_count : 1, sizeof(*drv->announced));
	if (!drv->queues || !drv->announced)
		return drv_error(error, -ENOMEM, "%s: no memory for %u queues", drv->name,
				 drv->queue_count);
	if (flags & UVDPA_OPEN_UNOWNED)
		return 0;
	r = uvdpa_set_owner(drv);
	if (r < 0)
		return drv_error(error, r, "%s: SET_OWNER: %s", drv->name, drv_reason(drv, r));
	return 0;
}

static void release(struct uvdpa_driver *drv)
{
	free(drv->queues);
	free(drv->announced);
	free(drv->name);
	free(drv);
}

static int connect_to(const struct uvdpa_transport *ops, void *ctx, const char *name,
		      unsigned flags, struct uvdpa_driver **out, struct uvdpa_error *error)
{
	struct uvdpa_driver *drv = calloc(1, sizeof(*drv));
	int r;

	if (drv)
		drv->name = strdup(name);
	if (!drv || !drv->name) {
		free(drv);
		return drv_error(error, -ENOMEM, "%s: no memory for a connection", name);
	}
	drv->ops = ops;
	drv->ctx = ctx;
	r = probe(drv, flags, error);
	if (r < 0) {
		release(drv);
		return r;
	}
	*out = drv;
	return 0;
}

int uvdpa_driver_open_transport(const struct uvdpa_transport *ops, void *ctx, const char *name,
				unsigned flags, struct uvdpa_driver **drv,
				struct uvdpa_error *error)
{
	if (flags & ~UVDPA_OPEN_UNOWNED)
		return drv_error(error, -EINVAL, "%s: open flags 0x%x mean nothing here", name,
				 flags);
	return connect_to(ops, ctx, name, flags, drv, error);
}

int uvdpa_driver_open(const char *path, unsigned flags, struct uvdpa_driver **drv,
		      struct uvdpa_error *error)
{
	const struct uvdpa_open_options options = {.flags = flags};

	return uvdpa_driver_open_with(path, &options, drv, error);
}

int uvdpa_driver_open_with(const char *path, const struct uvdpa_open_options *options,
			   struct uvdpa_driver **drv, struct uvdpa_error *error)
{
	unsigned flags = options->flags;
	bool is_socket = drv_vhost_user_is(path);
	const struct uvdpa_transport *ops;
	void *ctx;
	int r;

	if (flags & ~(UVDPA_OPEN_UNOWNED | UVDPA_OPEN_READ_ONLY))
		return drv_error(error, -EINVAL, "%s: open flags 0x%x are unknown", path, flags);
	if (is_socket)
		r = drv_vhost_user_open(path, options, &ops, &ctx, error);
	else
		r = drv_file_open(path, flags & UVDPA_OPEN_READ_ONLY, &ops, &ctx, error);
	if (r < 0)
		return r;
	r = connect_to(ops, ctx, path, flags, drv, error);
	if (r < 0)
		ops->close(ctx);
	else if (is_socket)
		(*drv)->peer = drv_vhost_user_peer(ctx);
	return r;
}

int uvdpa_driver_open_socket(int fd, const char *name, unsigned flags, struct uvdpa_driver **drv,
			     struct uvdpa_error *error)
{
	const struct uvdpa_open_options options = {.flags = flags};
	const struct uvdpa_transport *ops;
	void *ctx;
	int r;

	if (flags & ~UVDPA_OPEN_UNOWNED) {
		close(fd);
		return drv_error(error, -EINVAL, "%s: open flags 0x%x mean nothing here", name,
				 flags);
	}
	r = drv_vhost_user_take(fd, name, &options, &ops, &ctx, error);
	if (r < 0)
		return r;
	r = connect_to(ops, ctx, name, flags, drv, error);
	if (r < 0)
		ops->close(ctx);
	return r;
}

void uvdpa_driver_close(struct uvdpa_driver *drv)
{
	if (!drv)
		return;
	/* the device first: it must not see its memory go */
	if (drv->ops->close)
		drv->ops->close(drv->ctx);
	drv_detach_all(drv);
	drv_forget_maps(drv);
	release(drv);
}

const char *uvdpa_driver_lost(struct uvdpa_driver *drv)
{
	return drv_vhost_user_lost(drv);
}

const char *drv_reason(struct uvdpa_driver *drv, int r)
{
	const char *lost = r == -ECONNRESET ? uvdpa_driver_lost(drv) : NULL;

	return lost ? lost : strerror(-r);
}

const char *uvdpa_driver_name(const struct uvdpa_driver *drv)
{
	return drv->name;
}

uint32_t uvdpa_driver_device_id(const struct uvdpa_driver *drv)
{
	return drv->device_id;
}

pid_t uvdpa_driver_peer(const struct uvdpa_driver *drv)
{
	return drv->peer;
}

uint64_t uvdpa_driver_features(const struct uvdpa_driver *drv)
{
	return drv->features;
}

uint64_t uvdpa_driver_backend_features(const struct uvdpa_driver *drv)
{
	return drv->backend_features;
}

int uvdpa_driver_is_suspended(const struct uvdpa_driver *drv)
{
	return drv->suspended;
}

struct uvdpa_queue *uvdpa_driver_queue(const struct uvdpa_driver *drv, unsigned index)
{
	return index < drv->queue_count ? drv->queues[index] : NULL;
}
