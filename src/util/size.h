/* Sizes as people write them: 512, 4K, 64M, 1.5G, 1T (binary multiples, as QEMU reads them). */
#ifndef UVDPA_UTIL_SIZE_H
#define UVDPA_UTIL_SIZE_H

#include <stdint.h>

/* Parses the whole of `text` into bytes. Returns 0, -EINVAL (not a size) or -ERANGE (over 2^63-1).
 */
int size_parse(const char *text, uint64_t *bytes);

/* Writes the shortest exact form ("64M", "1000B"), at most 32 bytes with its NUL. Returns `buffer`.
 */
char *size_format(uint64_t bytes, char buffer[32]);

#endif
