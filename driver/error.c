/* Errors that a person reads: see error.h. */
#include "driver/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

int drv_error(struct uvdpa_error *error, int code, const char *format, ...)
{
	va_list args;

	assert(code < 0);
	if (!error)
		return code;
	error->code = code;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return code;
}
