/* Errors that a person reads: see fault.h. */
#include "util/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *f, int code, const char *format, ...)
{
	va_list args;

	assert(code < 0);
	if (!f)
		return code;
	f->code = code;
	va_start(args, format);
	vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	return code;
}

int error_prefix(struct error *f, const char *format, ...)
{
	char old[sizeof(f->text)];
	va_list args;
	int n;

	assert(f && f->code < 0);
	memcpy(old, f->text, sizeof(old));
	va_start(args, format);
	n = vsnprintf(f->text, sizeof(f->text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(f->text))
		snprintf(f->text + n, sizeof(f->text) - (size_t)n, ": %s", old);
	return f->code;
}
