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
 * A slot with `base` 0 is free. Registration fills size and flag first and
 * stores base last (release); removal clears base. The thread that faults uses
 * the window it faults in, so that window cannot be removed meanwhile: whatever
 * slot the handler finds for its address stays valid. A slot that changes hands
 * while the handler looks at it is for another address, which the second look
 * at base sorts out.
 *
 * A repair must not fail, or one client ends the process for all. It replaces
 * the whole window, so that it takes no mapping more than there was (a page in
 * the middle would make two more). Yet the kernel refuses any mapping at all to
 * a process that has sysctl_max_map_count of them (do_mmap), and splits what it
 * had merged with a neighbour: so mappings are kept to be given up then.
 * Memory that the kernel would have to promise (vm.overcommit_memory=2) may be
 * refused, too; then a part of a file of our own is mapped, for which nothing
 * is promised: the part at the window's own address, which no other window has.
 */
#include "client/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLOTS_PER_BLOCK 256

struct guard_window {
	_Atomic uintptr_t base; /* 0: free */
	_Atomic size_t size;
	_Atomic(_Atomic bool *) lost;
	struct guard_window *next_free; /* under `changing` */
	_Atomic bool in_zeros;		/* repaired with a part of `zeros` */
};

struct block {
	_Atomic(struct block *) next;
	struct guard_window slots[SLOTS_PER_BLOCK];
};

/*
 * Mappings to give up. A repair needs two more at most (the middle of three that the kernel has
 * merged); as many threads as there are pairs can need them at once, before the next window comes
 * and they are made anew.
 */
#define SPARES 32

static _Atomic(struct block *) blocks;
static struct guard_window *first_free; /* under `changing` */
static _Atomic size_t watched;
static pthread_mutex_t changing = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static _Atomic(void *) spares[SPARES];
static _Atomic int zeros = -1; /* a file that is as long as addresses are, and empty */

/* Async-signal-safe: system calls only. */
static bool put_zeros(struct guard_window *slot, uintptr_t base, size_t size)
{
	if (mmap((void *)base, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED)
		return true;
	atomic_store(&slot->in_zeros, true);
	return mmap((void *)base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		    atomic_load(&zeros), (off_t)base) != MAP_FAILED;
}

/* False: there is none left. */
static bool give_up_spare(void)
{
	for (unsigned i = 0; i < SPARES; i++) {
		void *spare = atomic_exchange(&spares[i], NULL);

		if (spare)
			return !munmap(spare, 1);
	}
	return false;
}

/* Puts zeros where the window was. */
static bool repair(struct guard_window *slot, uintptr_t base)
{
	size_t size = atomic_load(&slot->size);

	while (!put_zeros(slot, base, size))
		if (!give_up_spare())
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
			return repair(slot, base);
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

static void make_spares(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (unsigned i = 0; i < SPARES; i++) {
		void *spare;

		if (atomic_load(&spares[i]))
			continue;
		/* all at the file's beginning, so that the kernel merges none with its neighbour */
		spare = mmap(NULL, page, PROT_NONE, MAP_SHARED, atomic_load(&zeros), 0);
		if (spare != MAP_FAILED)
			atomic_store(&spares[i], spare);
	}
}

static void drop_spares(void)
{
	while (give_up_spare())
		;
	close(atomic_exchange(&zeros, -1));
}

/* Makes everything that a repair may need. Returns 0 or a negative errno. */
static int install(void)
{
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	int file = memfd_create("uvdpa-zeros", MFD_CLOEXEC), r;

	sigemptyset(&action.sa_mask);
	if (file < 0)
		return -errno;
	if (ftruncate(file, INT64_MAX & ~(off_t)(sysconf(_SC_PAGESIZE) - 1)) ||
	    sigaction(SIGBUS, &action, &previous)) {
		r = -errno;
		close(file);
		return r;
	}
	atomic_store(&zeros, file);
	return 0;
}

static void uninstall(void)
{
	struct sigaction current;

	/* Whoever came after us may call us: then ours has to stay. */
	if (!sigaction(SIGBUS, NULL, &current) && (current.sa_flags & SA_SIGINFO) &&
	    current.sa_sigaction == on_sigbus)
		sigaction(SIGBUS, &previous, NULL);
	drop_spares();
}

/* Takes a free slot, out of a new block if need be. */
static struct guard_window *take_slot(void)
{
	struct guard_window *slot = first_free;
	struct block *b;

	if (!slot) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return NULL;
		for (size_t i = 0; i + 1 < SLOTS_PER_BLOCK; i++)
			b->slots[i].next_free = &b->slots[i + 1];
		b->next = atomic_load(&blocks);
		atomic_store(&blocks, b);
		slot = &b->slots[0];
	}
	first_free = slot->next_free;
	return slot;
}

struct guard_window *guard_watch(void *base, size_t size, _Atomic bool *lost)
{
	struct guard_window *slot;
	bool ready;

	pthread_mutex_lock(&changing);
	ready = atomic_load(&watched) || install() == 0;
	slot = ready ? take_slot() : NULL;
	if (slot) {
		make_spares();
		atomic_store(&slot->size, size);
		atomic_store(&slot->lost, lost);
		atomic_store(&slot->in_zeros, false);
		atomic_store(&slot->base, (uintptr_t)base);
		atomic_fetch_add(&watched, 1);
	} else if (ready && !atomic_load(&watched)) {
		uninstall();
	}
	pthread_mutex_unlock(&changing);
	return slot;
}

void guard_forget(struct guard_window *window)
{
	pthread_mutex_lock(&changing);
	if (atomic_load(&window->in_zeros))
		fallocate(atomic_load(&zeros), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)atomic_load(&window->base), (off_t)atomic_load(&window->size));
	atomic_store(&window->base, 0);
	window->next_free = first_free;
	first_free = window;
	if (atomic_fetch_sub(&watched, 1) == 1)
		uninstall();
	pthread_mutex_unlock(&changing);
}

size_t guard_windows(void)
{
	return atomic_load(&watched);
}
