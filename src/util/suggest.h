/* "Did you mean ...?": the nearest of some known words. */
#ifndef UVDPA_UTIL_SUGGEST_H
#define UVDPA_UTIL_SUGGEST_H

/*
 * Returns the entry of the NULL-terminated list `known` that is closest to
 * `word`, or NULL if none is near enough to be what was meant.
 */
const char *suggest(const char *word, const char *const *known);

#endif
