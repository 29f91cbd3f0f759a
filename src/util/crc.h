/* CRC-32, as of gzip and zlib. */
#ifndef UVDPA_UTIL_CRC_H
#define UVDPA_UTIL_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc_of(const void *bytes, size_t size);

#endif
