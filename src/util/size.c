/* Sizes with suffixes: see size.h. */
#include "util/size.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char suffixes[] = "BKMGTPE";

/* Returns the power of 1024 that `c` stands for, or -1. */
static int suffix_power(char c)
{
	const char *p = c ? strchr(suffixes, toupper((unsigned char)c)) : NULL;

	return p ? (int)(p - suffixes) : -1;
}

int size_parse(const char *text, uint64_t *bytes)
{
	char *end;
	long double number;
	int power = 0;

	if (!isdigit((unsigned char)text[0]) ||
	    (text[0] == '0' && tolower((unsigned char)text[1]) == 'x'))
		return -EINVAL;
	errno = 0;
	number = strtold(text, &end);
	if (*end) {
		power = suffix_power(*end);
		if (power < 0 || end[1])
			return -EINVAL;
	}
	for (; power > 0; power--)
		number *= 1024;
	if (errno || number > (long double)INT64_MAX)
		return -ERANGE;
	*bytes = (uint64_t)number;
	return (long double)*bytes == number ? 0 : -EINVAL;
}

char *size_format(uint64_t bytes, char buffer[32])
{
	int power = 0;

	while (bytes && bytes % 1024 == 0 && suffixes[power + 1]) {
		bytes /= 1024;
		power++;
	}
	snprintf(buffer, 32, "%llu%c", (unsigned long long)bytes, suffixes[power]);
	return buffer;
}
