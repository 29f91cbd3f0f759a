/* A device inside this process: see embed.h. */
#include "serve/embed.h"

#include <errno.h>
#include <stdlib.h>

#include "serve/parts.h"
#include "serve/spec.h"
#include "export/inprocess/inprocess.h"
#include "runtime/runtime.h"

struct embed {
	struct device_spec spec;
	struct runtime *runtime;
};

static const struct uvdpa_transport transport = {
	.ioctl = inprocess_ioctl, .write = inprocess_write, .close = inprocess_close};

static int connect_driver(struct embed *embed, struct uvdpa_driver **drv, struct fault *f)
{
	const struct inprocess_options options = {0};
	struct inprocess *export;
	struct uvdpa_error error;
	int r = inprocess_open(embed->runtime, &options, &export, f);

	if (r < 0)
		return r;
	r = uvdpa_driver_open_transport(&transport, export, embed->spec.name, 0, drv, &error);
	if (r < 0) {
		inprocess_close(export);
		return fault(f, r, "%s", error.text);
	}
	return 0;
}

/* As a server with this one device would. */
static int open_alone(struct embed *embed, struct fault *f)
{
	const struct spec_list list = {&embed->spec, 1};
	struct packet *end = NULL;
	struct server server = {
		.specs = &embed->spec, .runtimes = &embed->runtime, .ends = &end, .count = 1};
	int r = spec_list_check(&list, f);

	return r ? r : parts_open(&server, 0, f);
}

int embed_open(const char *spec, struct embed **out, struct uvdpa_driver **drv, struct fault *f)
{
	struct embed *embed = calloc(1, sizeof(*embed));
	int r;

	if (!embed)
		return fault(f, -ENOMEM, "out of memory");
	r = spec_parse(spec, &embed->spec, f);
	if (r < 0) {
		free(embed);
		return r;
	}
	r = open_alone(embed, f);
	if (r == 0)
		r = connect_driver(embed, drv, f);
	if (r < 0) {
		embed_free(embed);
		return r;
	}
	*out = embed;
	return 0;
}

void embed_free(struct embed *embed)
{
	if (!embed)
		return;
	if (embed->runtime)
		runtime_free(embed->runtime);
	spec_free(&embed->spec);
	free(embed);
}
