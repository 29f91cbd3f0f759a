/* What a thread does between two looks at a word that another one is about to change. */
#ifndef UVDPA_UTIL_RELAX_H
#define UVDPA_UTIL_RELAX_H

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
