/*
 * A device inside this process, with a driver's connection to it: for machines where no file
 * can be served.
 */
#ifndef UVDPA_CMD_EMBED_H
#define UVDPA_CMD_EMBED_H

#include "util/fault.h"
#include "uvdpa/driver.h"

struct embed;

/*
 * `spec` is what --device would have. On success the driver is connected; close it before
 * embed_free(), which accepts NULL.
 */
int embed_open(const char *spec, struct embed **embed, struct uvdpa_driver **drv, struct fault *f);
void embed_free(struct embed *embed);

#endif
