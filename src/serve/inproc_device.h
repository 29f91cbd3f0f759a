/*
 * A device inside this process, with a driver's connection to it: for machines where no file
 * can be served.
 */
#ifndef UVDPA_SERVE_INPROC_DEVICE_H
#define UVDPA_SERVE_INPROC_DEVICE_H

#include "util/error.h"
#include "uvdpa/driver.h"

struct inproc_device;

/*
 * `spec` is what --device would have. On success the driver is connected; close it before
 * inproc_device_free(), which accepts NULL.
 */
int inproc_device_open(const char *spec, struct inproc_device **inproc_device,
		       struct uvdpa_driver **drv, struct error *f);
void inproc_device_free(struct inproc_device *inproc_device);

#endif
