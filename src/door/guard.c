/*
 * The SIGBUS guard: see guard.h.
 *
 * Theory of operation
 * -------------------
 * The handler may run in any thread at any instruction, so it can neither take
 * a lock nor meet freed memory. The registry is therefore a list of blocks of
 * slots that only grows:
 *
 *     blocks -> [slot slot slot ...] -> [slot slot ...] -> NULL
 *
 * A slot with `base` 0 is free. Registration fills size, page size and flag
 * first and stores base last (release); removal clears base. The thread that
 * faults uses the window it faults in, so that window cannot be removed
 * meanwhile: whatever slot the handler finds for its address stays valid. A
 * slot that changes hands while the handler looks at it is for another address,
 * which the second look at base sorts out.
 */
#include "door/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS_PER_BLOCK 256

struct guard_window {
	_Atomic uintptr_t base; /* 0: free */
	_Atomic size_t size;
	_Atomic size_t page_size;
	_Atomic(_Atomic bool *) lost;
};

struct block {
	_Atomic(struct block *) next;
	struct guard_window slots[SLOTS_PER_BLOCK];
};

static _Atomic(struct block *) blocks;
static _Atomic size_t watched;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static unsigned installed; /* times, under `changing` */
static struct sigaction previous;

/* Puts zeros where the page of `address` was. Async-signal-safe: one system call. */
static bool repair(const struct guard_window *slot, uintptr_t base, uintptr_t address)
{
	size_t page_size = atomic_load(&slot->page_size);
	uintptr_t page = address & ~(uintptr_t)(page_size - 1);
	size_t size = page_size;

	if (page < base)
		page = base;
	if (base + atomic_load(&slot->size) - page < size)
		size = base + atomic_load(&slot->size) - page;
	if (mmap((void *)page, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	atomic_store(atomic_load(&slot->lost), true);
	return true;
}

static bool repair_address(uintptr_t address)
{
	for (struct block *b = atomic_load(&blocks); b; b = atomic_load(&b->next)) {
		for (size_t i = 0; i < SLOTS_PER_BLOCK; i++) {
			struct guard_window *slot = &b->slots[i];
			uintptr_t base = atomic_load(&slot->base);

			if (!base || address < base || address - base >= atomic_load(&slot->size) ||
			    atomic_load(&slot->base) != base)
				continue;
			return repair(slot, base, address);
		}
	}
	return false;
}

/* Not ours: as if this handler had never been installed. */
static void pass_on(int number, siginfo_t *info, void *context)
{
	struct sigaction fallback = {.sa_handler = SIG_DFL};

	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(number, info, context);
		return;
	}
	if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
		previous.sa_handler(number);
		return;
	}
	/* Returning repeats the access, which then ends the process; a sent signal is sent again.
	 */
	sigaction(SIGBUS, &fallback, NULL);
	if (info->si_code <= 0)
		raise(SIGBUS);
}

static void on_sigbus(int number, siginfo_t *info, void *context)
{
	int saved = errno;
	bool repaired = info->si_code > 0 && repair_address((uintptr_t)info->si_addr);

	errno = saved;
	if (!repaired)
		pass_on(number, info, context);
}

int guard_install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int r = 0;

	sigemptyset(&action.sa_mask);
	pthread_mutex_lock(&changing);
	if (!installed && sigaction(SIGBUS, &action, &previous))
		r = -errno;
	else
		installed++;
	pthread_mutex_unlock(&changing);
	return r;
}

void guard_uninstall(void)
{
	struct sigaction current;

	pthread_mutex_lock(&changing);
	/* Whoever came after us may call us: then ours has to stay. */
	if (!--installed && !sigaction(SIGBUS, NULL, &current) && (current.sa_flags & SA_SIGINFO) &&
	    current.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &previous, NULL);
	pthread_mutex_unlock(&changing);
}

/* A free slot, in a new block if need be. */
static struct guard_window *find_free(void)
{
	_Atomic(struct block *) *link = &blocks;
	struct block *b;

	while ((b = atomic_load(link))) {
		for (size_t i = 0; i < SLOTS_PER_BLOCK; i++)
			if (!atomic_load(&b->slots[i].base))
				return &b->slots[i];
		link = &b->next;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	atomic_store(link, b);
	return &b->slots[0];
}

struct guard_window *guard_watch(void *base, size_t size, size_t page_size, _Atomic bool *lost)
{
	struct guard_window *slot;

	pthread_mutex_lock(&changing);
	slot = find_free();
	if (slot) {
		atomic_store(&slot->size, size);
		atomic_store(&slot->page_size, page_size);
		atomic_store(&slot->lost, lost);
		atomic_store(&slot->base, (uintptr_t)base);
		atomic_fetch_add(&watched, 1);
	}
	pthread_mutex_unlock(&changing);
	return slot;
}

void guard_forget(struct guard_window *window)
{
	pthread_mutex_lock(&changing);
	atomic_store(&window->base, 0);
	atomic_fetch_sub(&watched, 1);
	pthread_mutex_unlock(&changing);
}

size_t guard_windows(void)
{
	return atomic_load(&watched);
}
