/* A device inside this process: see inproc_device.h. */
#include "serve/inproc_device.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/parts.h"
#include "serve/spec.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"

struct inproc_device {
	struct device_spec spec;
	struct runtime *runtime;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl, .write = inprocess_write, .close = inprocess_close};

static int connect_driver(struct inproc_device *inproc_device, struct uvdpa_driver **drv,
			  struct error *f)
{
	const struct inprocess_options options = {0};
	struct inprocess *export;
	struct uvdpa_error error;
	int r = inprocess_open(inproc_device->runtime, &options, &export, f);

	if (r < 0)
		return r;
	r = uvdpa_driver_open_transport(&transport, export, inproc_device->spec.name, 0, drv,
					&error);
	if (r < 0) {
		inprocess_close(export);
		return error_set(f, r, "%s", error.text);
	}
	return 0;
}

/* As a server with this one device would. */
static int open_alone(struct inproc_device *inproc_device, struct error *f)
{
	const struct spec_list list = {&inproc_device->spec, 1};
	struct packet *end = NULL;
	struct server server = {.specs = &inproc_device->spec,
				.runtimes = &inproc_device->runtime,
				.ends = &end,
				.count = 1};
	int r = spec_list_check(&list, f);

	return r ? r : parts_open(&server, 0, f);
}

int inproc_device_open(const char *spec, struct inproc_device **out, struct uvdpa_driver **drv,
		       struct error *f)
{
	struct inproc_device *inproc_device = calloc(1, sizeof(*inproc_device));
	int r;

	if (!inproc_device)
		return error_set(f, -ENOMEM, "out of memory");
	r = spec_parse(spec, &inproc_device->spec, f);
	if (r < 0) {
		free(inproc_device);
		return r;
	}
	r = open_alone(inproc_device, f);
	if (r == 0)
		r = connect_driver(inproc_device, drv, f);
	if (r < 0) {
		inproc_device_free(inproc_device);
		return r;
	}
	*out = inproc_device;
	return 0;
}

void inproc_device_free(struct inproc_device *inproc_device)
{
	if (!inproc_device)
		return;
	if (inproc_device->runtime)
		runtime_free(inproc_device->runtime);
	spec_free(&inproc_device->spec);
	free(inproc_device);
}
