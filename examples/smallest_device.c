/*
 * The smallest device: an entropy source (virtio 1.3, 5.4) of your own, served
 * as a vhost-vdpa file. A model says what its requests mean; rings, suspension,
 * address spaces and the file come with the house.
 *
 *	smallest_device DIR      serves DIR/rng until it is interrupted
 */
#include <linux/virtio_ids.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>

#include "export/fuse/fuse.h"
#include "runtime/runtime.h"
#include "model/model.h"

static uint64_t rng_features(struct model *model)
{
	return 0; /* none of its own: the device adds the rings' */
}

static unsigned rng_queue_count(struct model *model)
{
	return 1;
}

static void rng_config_read(struct model *model, uint8_t *config)
{
}

/* One chain: fill what the driver gave us, and say how much that was. */
static void rng_handle(struct model *model, struct request *request)
{
	uint8_t bytes[256];
	size_t size =
		request->chain.writable < sizeof(bytes) ? request->chain.writable : sizeof(bytes);

	if (getrandom(bytes, size, 0) != (ssize_t)size ||
	    chain_write(&request->chain, 0, bytes, size) < 0)
		request_refuse(request, "the buffer cannot be written");
	else
		request_complete(request, (uint32_t)size);
}

static void rng_destroy(struct model *model)
{
}

static const struct model_ops rng_ops = {
	.name = "rng",
	.device_id = VIRTIO_ID_RNG,
	.features = rng_features,
	.queue_count = rng_queue_count,
	.config_read = rng_config_read,
	.handle = rng_handle,
	.destroy = rng_destroy,
};

int main(int argc, char **argv)
{
	struct runtime_options options = {
		.device = {
			.name = "rng", .queue_size = 64, .asids = 1, .suspend_timeout_ms = 1000}};
	struct model rng = {&rng_ops};
	struct fuse_export *export;
	struct runtime *runtime;
	struct error why = {0};
	sigset_t stop;
	int number;

	sigemptyset(&stop);
	sigaddset(&stop, SIGINT);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (argc != 2 || runtime_new(&options, &rng, &runtime, &why) < 0 ||
	    fuse_export_new(argv[1], &(struct fuse_export_options){0}, &export, &why) < 0 ||
	    fuse_export_add(export, "rng", runtime, &(struct vdpa_options){0}, &why) < 0 ||
	    fuse_export_start(export, &why) < 0)
		return fprintf(stderr, "smallest_device: %s\n", why.code ? why.text : "name a DIR"),
		       1;
	sigwait(&stop, &number);
	fuse_export_stop(export);
	fuse_export_free(export);
	runtime_free(runtime);
	return 0;
}
