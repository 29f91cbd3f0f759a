/* CRC-32: zlib's. */
#include "util/crc.h"

#include <zlib.h>

uint32_t crc_of(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(0, bytes, size);
}
