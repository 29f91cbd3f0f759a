/*
 * Key=value texts as QEMU writes them: "blk,name=disk0,file=a,,b": items are
 * separated by commas, and a comma in a value is doubled.
 */
#ifndef UVDPA_UTIL_KEYVAL_H
#define UVDPA_UTIL_KEYVAL_H

#include "util/error.h"

#define KEYVALS_MAX 48

struct keyvals {
	char *text; /* what keys and values point into */
	struct {
		const char *key, *value;
	} items[KEYVALS_MAX];
	unsigned count;
};

/*
 * `first_key`: what a first item without "=" is the value of ("type"); NULL: none. Returns 0,
 * -ENOMEM, or -EINVAL with the error filled: an item without "=", an empty key or value, a key
 * given twice, too many items.
 */
int keyvals_parse(struct keyvals *keyvals, const char *text, const char *first_key,
		  struct error *err);
void keyvals_free(struct keyvals *keyvals);

#endif
