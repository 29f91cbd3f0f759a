/* Base64 (RFC 4648, section 4): bytes in JSON. */
#ifndef UVDPA_UTIL_BASE64_H
#define UVDPA_UTIL_BASE64_H

#include <stddef.h>
#include <stdint.h>

/* The text, NUL-terminated; the caller frees it. NULL: no memory. */
char *base64_encode(const uint8_t *bytes, size_t size);

/* The bytes; the caller frees them. NULL: not base64 (padding is demanded), or no memory. */
uint8_t *base64_decode(const char *text, size_t *size);

#endif
