/* Base64: see base64.h. */
#include "util/base64.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *bytes, size_t size)
{
	char *text = malloc((size + 2) / 3 * 4 + 1), *at = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		size_t n = size - i < 3 ? size - i : 3;
		uint32_t bits = (uint32_t)bytes[i] << 16;

		if (n > 1)
			bits |= (uint32_t)bytes[i + 1] << 8;
		if (n > 2)
			bits |= bytes[i + 2];
		*at++ = digits[bits >> 18];
		*at++ = digits[bits >> 12 & 63];
		*at++ = n > 1 ? digits[bits >> 6 & 63] : '=';
		*at++ = n > 2 ? digits[bits & 63] : '=';
	}
	*at = '\0';
	return text;
}

/* -1: not a digit. */
static int value(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* Four characters to one to three bytes. Returns how many, 0: nonsense. */
static unsigned decode_group(const char *text, bool last, uint8_t *bytes)
{
	unsigned n = 3;
	uint32_t bits = 0;

	if (last && text[3] == '=')
		n = text[2] == '=' ? 1 : 2;
	for (unsigned i = 0; i < 4; i++) {
		int v = i <= n ? value(text[i]) : 0;

		if (v < 0)
			return 0;
		bits = bits << 6 | (uint32_t)v;
	}
	/* what the last digit says beyond the last byte has to be 0: one text per content */
	if (bits & ((1u << (8 * (3 - n))) - 1))
		return 0;
	for (unsigned i = 0; i < n; i++)
		bytes[i] = (uint8_t)(bits >> (16 - 8 * i));
	return n;
}

uint8_t *base64_decode(const char *text, size_t *size)
{
	size_t length = strlen(text), used = 0;
	uint8_t *bytes = length % 4 ? NULL : malloc(length / 4 * 3 + 1);

	for (size_t i = 0; bytes && i < length; i += 4) {
		unsigned n = decode_group(text + i, i + 4 == length, bytes + used);

		if (!n) {
			free(bytes);
			return NULL;
		}
		used += n;
	}
	*size = used;
	return bytes;
}
