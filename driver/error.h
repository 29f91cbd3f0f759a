/* Filling a struct uvdpa_error: the driver tower's counterpart of util/fault.h, for its public
 * type. */
#ifndef UVDPA_DRIVER_ERROR_H
#define UVDPA_DRIVER_ERROR_H

#include "uvdpa/driver.h"

/* Fills `error` (unless NULL) and returns `code`, which is negative. */
int drv_error(struct uvdpa_error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
