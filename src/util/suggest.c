/* Nearest word by edit distance: see suggest.h. */
#include "util/suggest.h"

#include <stddef.h>
#include <string.h>

#define WORD_MAX 32

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Levenshtein distance of two words of at most WORD_MAX bytes. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[WORD_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	for (size_t j = 0; j <= nb; j++)
		row[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned diagonal = row[0];

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			unsigned above = row[j];

			row[j] =
				least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[nb];
}

const char *suggest(const char *word, const char *const *known)
{
	const char *best = NULL;
	unsigned best_distance = 3; /* farther than two edits is not a slip of the finger */

	if (strlen(word) > WORD_MAX)
		return NULL;
	for (; *known; known++) {
		unsigned d = strlen(*known) > WORD_MAX ? 99 : distance(word, *known);

		if (d < best_distance && d < strlen(word)) {
			best = *known;
			best_distance = d;
		}
	}
	return best;
}
