/*
 * An error is an error that a person will read: a negative errno, and one line
 * that says what was wrong, where, and what to do. Functions that can fail for
 * a reason worth telling take a `struct error *` (which may be NULL).
 */
#ifndef UVDPA_UTIL_ERROR_H
#define UVDPA_UTIL_ERROR_H

struct error {
	int code; /* negative errno; 0: nothing went wrong */
	char text[400];
};

/* Fills `f` (unless NULL) and returns `code`, so that `return fault(f, -EINVAL, ...)` reads well.
 */
int error_set(struct error *f, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "WORDS: " before the text of an error that is already set. Returns f's code. */
int error_prefix(struct error *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
