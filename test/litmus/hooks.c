/*
 * What gcc's -fsanitize=thread has compiled code call (libsanitizer/tsan/tsan_interface.h), for the
 * model instead of the sanitizer. What is not in the model's memory is done as it is.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model.h"

void __tsan_init(void);
void __tsan_init(void)
{
}

void __tsan_func_entry(void *caller);
void __tsan_func_entry(void *caller)
{
}

void __tsan_func_exit(void);
void __tsan_func_exit(void)
{
}

/* Plain accesses, which follow. */
#define PLAIN(name, size)                                       \
	void __tsan_##name##read##size(void *at);               \
	void __tsan_##name##read##size(void *at)                \
	{                                                       \
		if (model_has(at))                              \
			model_load(at, size, __ATOMIC_RELAXED); \
	}                                                       \
	void __tsan_##name##write##size(void *at);              \
	void __tsan_##name##write##size(void *at)               \
	{                                                       \
		if (model_has(at))                              \
			model_will_store(at, size);             \
	}

PLAIN(, 1)
PLAIN(, 2)
PLAIN(, 4)
PLAIN(, 8)
PLAIN(, 16)
PLAIN(unaligned_, 2)
PLAIN(unaligned_, 4)
PLAIN(unaligned_, 8)
PLAIN(unaligned_, 16)

void __tsan_read_range(void *at, size_t size);
void __tsan_read_range(void *at, size_t size)
{
	if (model_has(at))
		model_load(at, size, __ATOMIC_RELAXED);
}

void __tsan_write_range(void *at, size_t size);
void __tsan_write_range(void *at, size_t size)
{
	if (model_has(at))
		model_will_store(at, size);
}

/*
 * A copy has no order within itself, by aligned words of up to 8 bytes. As nobody can tell when
 * each was loaded, the other thread may go on only before the first.
 */
static size_t word_at(const uint8_t *at, size_t size)
{
	size_t n = 8;

	while (n > size || (uintptr_t)at % n)
		n /= 2;
	return n;
}

void *__real_memcpy(void *to, const void *from, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size);
void *__wrap_memcpy(void *to, const void *from, size_t size)
{
	bool loads = model_has(from), stores = model_has(to);
	const uint8_t *source = from;
	uint8_t *target = to;

	if (!loads && !stores)
		return __real_memcpy(to, from, size);
	if (loads)
		model_may_switch();
	for (size_t n; size; source += n, target += n, size -= n) {
		n = word_at(loads ? source : target, size);
		if (loads)
			model_get(source, n, __ATOMIC_RELAXED);
		if (stores)
			model_will_store(target, n);
		__real_memcpy(target, source, n);
	}
	return to;
}

void *__real_memmove(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size);
void *__wrap_memmove(void *to, const void *from, size_t size)
{
	if (!model_has(from) && !model_has(to))
		return __real_memmove(to, from, size);
	return __wrap_memcpy(to, from, size); /* nothing overlaps here */
}

/* Atomic accesses, which are made here. */
#define SWAP(bits, name, expression)                                                               \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, \
						    int order);                                    \
	uint##bits##_t __tsan_atomic##bits##_##name(volatile uint##bits##_t *at, uint##bits##_t v, \
						    int order)                                     \
	{                                                                                          \
		uint##bits##_t old;                                                                \
                                                                                                   \
		if (!model_has(at)) {                                                              \
			old = *at;                                                                 \
			*at = (uint##bits##_t)(expression);                                        \
			return old;                                                                \
		}                                                                                  \
		old = (uint##bits##_t)model_before_swap(at, sizeof(*at), order);                   \
		model_swap(at, (uint##bits##_t)(expression), sizeof(*at), order);                  \
		return old;                                                                        \
	}

static void elsewhere(unsigned bits, uint64_t value)
{
	if (bits == 8 && !value && model_is_running())
		model_locks(true);
}

#define ATOMIC(bits)                                                                               \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order);   \
	uint##bits##_t __tsan_atomic##bits##_load(const volatile uint##bits##_t *at, int order)    \
	{                                                                                          \
		if (model_has(at))                                                                 \
			model_load(at, sizeof(*at), order);                                        \
		return *at;                                                                        \
	}                                                                                          \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t v,            \
					 int order);                                               \
	void __tsan_atomic##bits##_store(volatile uint##bits##_t *at, uint##bits##_t v, int order) \
	{                                                                                          \
		if (model_has(at))                                                                 \
			model_store(at, v, sizeof(*at), order);                                    \
		else                                                                               \
			elsewhere(bits, v);                                                        \
		if (!model_has(at))                                                                \
			*at = v;                                                                   \
	}                                                                                          \
	SWAP(bits, fetch_or, old | v)                                                              \
	SWAP(bits, fetch_and, old &v)                                                              \
	SWAP(bits, fetch_add, old + v)                                                             \
	int __tsan_atomic##bits##_compare_exchange_strong(                                         \
		volatile uint##bits##_t *at, uint##bits##_t *expected, uint##bits##_t wanted,      \
		int order, int failed);                                                            \
	int __tsan_atomic##bits##_compare_exchange_strong(                                         \
		volatile uint##bits##_t *at, uint##bits##_t *expected, uint##bits##_t wanted,      \
		int order, int failed)                                                             \
	{                                                                                          \
		bool same = *at == *expected; /* nothing of this is in the model's memory */       \
                                                                                                   \
		if (same)                                                                          \
			*at = wanted;                                                              \
		else                                                                               \
			*expected = *at;                                                           \
		return same;                                                                       \
	}

ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)
SWAP(16, exchange, v)
SWAP(32, exchange, v)
SWAP(64, exchange, v)

/* A byte elsewhere is a lock: who finds it taken waits. */
uint8_t __tsan_atomic8_exchange(volatile uint8_t *at, uint8_t v, int order);
uint8_t __tsan_atomic8_exchange(volatile uint8_t *at, uint8_t v, int order)
{
	uint8_t old = *at;

	if (model_has(at)) {
		old = (uint8_t)model_before_swap(at, 1, order);
		model_swap(at, v, 1, order);
		return old;
	}
	*at = v;
	if (!model_is_running())
		return old;
	if (old)
		model_spins();
	else
		model_locks(false);
	return old;
}

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	if (model_is_running())
		model_fence(order);
}

void __tsan_atomic_signal_fence(int order);
void __tsan_atomic_signal_fence(int order)
{
}
