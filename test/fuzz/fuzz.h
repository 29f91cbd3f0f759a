/* What a fuzz target is: one function, called by libFuzzer or by replay.c. */
#ifndef UVDPA_TEST_FUZZ_H
#define UVDPA_TEST_FUZZ_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input being eaten: past its end everything is 0. */
struct food {
	const uint8_t *data;
	size_t left;
};

static inline void eat(struct food *food, void *to, size_t size)
{
	size_t n = size < food->left ? size : food->left;

	memset(to, 0, size);
	if (n)
		memcpy(to, food->data, n);
	food->data += n;
	food->left -= n;
}

static inline uint8_t eat_byte(struct food *food)
{
	uint8_t n;

	eat(food, &n, 1);
	return n;
}

static inline uint16_t eat_u16(struct food *food)
{
	uint16_t n;

	eat(food, &n, sizeof(n));
	return n;
}

#endif
