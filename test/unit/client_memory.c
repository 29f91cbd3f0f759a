/*
 * A client's memory, seen from another process: mapped where it is a shared
 * file, copied where not, and harmless when it goes away.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/map.h"
#include "client/memory.h"
#include "client/guard.h"
#include "client/process.h"
#include "lib/page.h"

#define AREA (64 * 1024)

enum { MEMFD, MEMFD_PRIVATE, MEMFD_READ_ONLY, ANON, ANON_SHARED, FILE_BACKED, OTHER, AREAS };

/* A client: a child that maps one area of each kind, fills it with its kind's letter, and waits. */
struct client {
	pid_t pid;
	int to, from; /* one byte makes it do something; one byte says done */
	uint8_t *area[AREAS];
	int memfd;
	struct process *process;
	struct client_memory *memory;
};

static void client_obey(struct client *c)
{
	char order;

	while (read(c->to, &order, 1) == 1) {
		if (order == 't' && ftruncate(c->memfd, (off_t)page_size()))
			_exit(1);
		if (order == 'e')
			execl("/bin/sleep", "sleep", "1000", (char *)NULL);
		if (order == 's')
			c->area[MEMFD][5]++;
		if (write(c->from, "+", 1) != 1)
			_exit(1);
	}
	_exit(0);
}

static uint8_t *make_area(int kind, int memfd, int file, int other)
{
	int shared = kind == MEMFD || kind == MEMFD_READ_ONLY || kind == ANON_SHARED ||
		     kind == FILE_BACKED || kind == OTHER;
	int fd = kind == FILE_BACKED		       ? file
		 : kind == OTHER		       ? other
		 : kind == ANON || kind == ANON_SHARED ? -1
						       : memfd;
	uint8_t *area =
		mmap(NULL, AREA, kind == MEMFD_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE,
		     (shared ? MAP_SHARED : MAP_PRIVATE) | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);

	assert_ptr_not_equal(area, MAP_FAILED);
	if (kind != MEMFD_READ_ONLY)
		memset(area, 'a' + kind, AREA);
	return area;
}

static int client_start(void **state)
{
	struct client *c = calloc(1, sizeof(*c));
	char name[] = "/tmp/uvdpa-unit-XXXXXX";
	int to[2], from[2], file = mkstemp(name), other = memfd_create("other", MFD_CLOEXEC);

	assert_true(file >= 0 && !unlink(name) && !ftruncate(file, AREA));
	assert_true(other >= 0 && !ftruncate(other, AREA));
	assert_true(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
	c->memfd = memfd_create("client", MFD_CLOEXEC);
	assert_true(c->memfd >= 0 && !ftruncate(c->memfd, AREA));
	/* Mapped before the fork, so that both sides know the addresses. */
	for (int kind = 0; kind < AREAS; kind++)
		c->area[kind] = make_area(kind, c->memfd, file, other);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		c->to = to[0];
		c->from = from[1];
		client_obey(c);
	}
	c->to = to[1];
	c->from = from[0];
	close(to[0]);
	close(from[1]);
	close(file);
	close(other);
	close(c->memfd);
	for (int kind = 0; kind < AREAS; kind++)
		munmap(c->area[kind], AREA);
	*state = c;
	return 0;
}

static void client_kill(struct client *c)
{
	if (c->pid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
	}
	c->pid = 0;
}

static int client_end(void **state)
{
	struct client *c = *state;

	client_memory_free(c->memory);
	process_unref(c->process);
	client_kill(c);
	close(c->to);
	close(c->from);
	free(c);
	return 0;
}

static void client_do(struct client *c, char order)
{
	char done;

	assert_int_equal(write(c->to, &order, 1), 1);
	assert_int_equal(read(c->from, &done, 1), 1);
}

/* Skips where the ptrace rules do not let one process into its own child. */
static void client_open(struct client *c)
{
	struct error err = {0};
	int r = process_open(c->pid, getuid(), &c->process, &err);

	if (r == -EPERM) {
		print_message("skipped: %s\n", err.text);
		skip();
	}
	assert_int_equal(r, 0);
	c->memory = client_memory_new(c->process);
	assert_non_null(c->memory);
}

static struct window window_of(struct client *c, int kind, uint64_t offset, uint64_t size,
			       bool writable)
{
	struct window w = {0};

	assert_int_equal(c->memory->ops->map(c->memory, (uintptr_t)c->area[kind] + offset, size,
					     writable, &w),
			 0);
	assert_int_equal(w.uaddr, (uintptr_t)c->area[kind] + offset);
	assert_true(w.size >= 1 && w.size <= size);
	return w;
}

static void memfd_is_mapped(void **state)
{
	struct client *c = *state;
	struct window w;

	client_open(c);
	w = window_of(c, MEMFD, 3, AREA - 3, true);
	assert_non_null(w.host);
	assert_int_equal(w.size, AREA - 3);
	w.host[2] = 'x'; /* the client adds one to its byte 5 */
	client_do(c, 's');
	assert_int_equal(w.host[2], 'y');
	assert_int_equal(guard_windows(), 1);
	c->memory->ops->unmap(c->memory, &w);
	assert_int_equal(guard_windows(), 0);
}

static void windows_end_where_mappings_end(void **state)
{
	struct client *c = *state;
	struct window w;

	client_open(c);
	w = window_of(c, OTHER, AREA - 100, 1 << 30, true);
	assert_non_null(w.host);
	assert_true(w.size <= AREA);
	assert_int_equal(w.host[99], 'a' + OTHER);
	c->memory->ops->unmap(c->memory, &w);
}

static void private_memory_is_copied(void **state)
{
	static const int kinds[] = {ANON, MEMFD_PRIVATE};
	struct client *c = *state;

	client_open(c);
	for (size_t i = 0; i < 2; i++) {
		struct window w = window_of(c, kinds[i], 0, AREA, true);
		char bytes[9000];

		assert_null(w.host);
		assert_int_equal(c->memory->ops->read(c->memory, w.uaddr + 4090, bytes, 9000), 0);
		assert_int_equal(bytes[8999], 'a' + kinds[i]);
		assert_int_equal(c->memory->ops->write(c->memory, w.uaddr + 4095, "hi", 2), 0);
		assert_int_equal(c->memory->ops->read(c->memory, w.uaddr + 4094, bytes, 4), 0);
		assert_int_equal(bytes[1], 'h');
		assert_int_equal(bytes[2], 'i');
		c->memory->ops->unmap(c->memory, &w);
	}
}

/* Whoever has a file's file system keeps who touches a page of it waiting for as long as he likes.
 */
static void only_memory_files_are_mapped(void **state)
{
	struct client *c = *state;
	struct error err = {0};
	struct window w;
	char byte = 0;

	client_open(c);
	w = window_of(c, FILE_BACKED, 0, AREA, true);
	if (w.host) {
		print_message("skipped: /tmp is memory here\n");
		c->memory->ops->unmap(c->memory, &w);
		skip();
	}
	assert_int_equal(c->memory->ops->read(c->memory, w.uaddr + 77, &byte, 1), 0);
	assert_int_equal(byte, 'a' + FILE_BACKED);
	c->memory->ops->unmap(c->memory, &w);
	assert_int_equal(client_map_allow("/nowhere", &err), -ENOENT);
	assert_int_equal(client_map_allow("/tmp", &err), 0);
	w = window_of(c, FILE_BACKED, 0, AREA, true);
	assert_non_null(w.host);
	assert_int_equal(w.host[77], 'a' + FILE_BACKED);
	c->memory->ops->unmap(c->memory, &w);
}

static void shared_anonymous_memory_works(void **state)
{
	struct client *c = *state;
	struct window w;
	char byte = 0;

	client_open(c);
	w = window_of(c, ANON_SHARED, 0, AREA, true);
	/* Mapped with privileges, copied without: the contents are the same. */
	if (w.host)
		byte = (char)w.host[77];
	else
		assert_int_equal(c->memory->ops->read(c->memory, w.uaddr + 77, &byte, 1), 0);
	assert_int_equal(byte, 'a' + ANON_SHARED);
	c->memory->ops->unmap(c->memory, &w);
}

/* What the client may only read is never written for it, whatever rights the server has. */
static void read_only_stays_read_only(void **state)
{
	struct client *c = *state;
	struct window w;

	client_open(c);
	w = window_of(c, MEMFD_READ_ONLY, 0, AREA, true);
	assert_null(w.host);
	assert_int_equal(c->memory->ops->write(c->memory, w.uaddr, "x", 1), -EFAULT);
	c->memory->ops->unmap(c->memory, &w);
	w = window_of(c, MEMFD_READ_ONLY, 0, AREA, false);
	assert_non_null(w.host);
	c->memory->ops->unmap(c->memory, &w);
}

static void nothing_there(void **state)
{
	static const uint64_t nowhere[] = {0, 1, 4096, UINT64_MAX - 5, 1ull << 63};
	struct client *c = *state;
	char byte;

	client_open(c);
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct window w;

		assert_int_equal(c->memory->ops->map(c->memory, nowhere[i], 5, true, &w), 0);
		assert_null(w.host);
		assert_int_equal(c->memory->ops->read(c->memory, nowhere[i], &byte, 1), -EFAULT);
		assert_int_equal(c->memory->ops->write(c->memory, nowhere[i], &byte, 1), -EFAULT);
		c->memory->ops->unmap(c->memory, &w);
	}
}

static void truncation_reads_zeros_and_is_told(void **state)
{
	struct client *c = *state;
	struct window w, other;

	client_open(c);
	w = window_of(c, MEMFD, 0, AREA, true);
	other = window_of(c, OTHER, 0, AREA, true);
	client_do(c, 't');
	assert_int_equal(w.host[100], 'a' + MEMFD_PRIVATE - 1);
	assert_false(c->memory->lost);
	assert_int_equal(((volatile uint8_t *)w.host)[2 * page_size() + 7], 0);
	assert_true(c->memory->lost);
	/* the whole window at once: no mapping more than before */
	assert_int_equal(((volatile uint8_t *)w.host)[0], 0);
	w.host[2 * page_size() + 7] = 1; /* repaired: stores are harmless */
	w.host[AREA - 1] = 1;
	assert_int_equal(other.host[8192], 'a' + OTHER);
	c->memory->ops->unmap(c->memory, &w);
	c->memory->ops->unmap(c->memory, &other);
}

static void the_dead_are_noticed(void **state)
{
	struct client *c = *state;
	uint64_t where = (uintptr_t)c->area[ANON];
	struct window w;
	char byte;

	client_open(c);
	assert_true(process_has_thread(c->process, c->pid));
	assert_false(process_has_thread(c->process, getpid()));
	w = window_of(c, MEMFD, 0, AREA, true);
	client_kill(c);
	assert_false(process_has_thread(c->process, process_pid(c->process)));
	assert_int_equal(process_read(c->process, where, &byte, 1), -EFAULT);
	assert_int_equal(process_write(c->process, where, "x", 1), -EFAULT);
	assert_true(process_get_fd(c->process, 0) < 0);
	assert_int_equal(w.host[9], 'a' + MEMFD); /* the file lives on */
	c->memory->ops->unmap(c->memory, &w);
	w = window_of(c, MEMFD, 0, AREA, true);
	assert_null(w.host);
}

/* The number is the same, the program is not: nothing of it may be touched. */
static void exec_ends_it(void **state)
{
	struct client *c = *state;
	char byte, done;

	client_open(c);
	assert_int_equal(process_read(c->process, (uintptr_t)c->area[ANON], &byte, 1), 0);
	assert_int_equal(write(c->to, "e", 1), 1);
	assert_int_equal(read(c->from, &done, 1), 0); /* closed by exec */
	assert_false(process_has_thread(c->process, c->pid));
	assert_int_equal(process_read(c->process, (uintptr_t)c->area[ANON], &byte, 1), -EFAULT);
}

static void strangers_are_refused(void **state)
{
	struct process *p = NULL;
	struct error err = {0};

	assert_int_equal(process_open(0, 0, &p, &err), -EPERM);
	assert_non_null(strstr(err.text, "pid namespace"));
	assert_int_equal(process_open(getpid(), getuid() + 1, &p, &err), -ESRCH);
	assert_int_equal(process_open(0x7fffffff, 0, &p, &err), -ESRCH);
	assert_null(p);
}

/* Files of hugetlbfs can be mapped in their own pages only, wherever the window begins. */
static void huge_pages_are_mapped(void **state)
{
	const size_t huge = 2 << 20;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	_Atomic bool lost = false;
	struct client_maps maps = {.lost = &lost};
	struct client_map map;
	struct client_memory *memory;
	struct process *process;
	struct window w;
	uint8_t *area;

	area = fd < 0 || ftruncate(fd, (off_t)(2 * huge))
		       ? MAP_FAILED
		       : mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (area == MAP_FAILED) {
		print_message("skipped: no huge pages here (vm.nr_hugepages): %s\n",
			      strerror(errno));
		close(fd);
		skip();
	}
	memset(area, 'h', 2 * huge);
	area[huge + 5000] = 'x';
	assert_int_equal(process_open(getpid(), getuid(), &process, NULL), 0);
	memory = client_memory_new(process);
	assert_int_equal(memory->ops->map(memory, (uintptr_t)area + huge + 4999, 77, true, &w), 0);
	assert_non_null(w.host);
	assert_int_equal(w.size, 77);
	assert_int_equal(w.host[1], 'x');
	w.host[2] = 'y';
	assert_int_equal(area[huge + 5001], 'y');
	memory->ops->unmap(memory, &w);
	client_memory_free(memory);
	process_unref(process);
	/* the log and the record of a front end may lie there as well, and may go */
	assert_int_equal(client_map_promised(&map, &maps, fd, huge + 64, 100, "the log", NULL), 0);
	assert_int_equal(map.size, huge);
	map.at[99] = 'l';
	assert_int_equal(area[huge + 64 + 99], 'l');
	assert_int_equal(ftruncate(fd, (off_t)huge), 0);
	assert_int_equal(((volatile uint8_t *)map.at)[99], 0);
	assert_true(lost);
	client_unmap(&map);
	munmap(area, 2 * huge);
	close(fd);
}

static void descriptors_are_duplicated(void **state)
{
	struct client *c = *state;
	int fd;

	client_open(c);
	assert_int_equal(process_get_fd(c->process, -1), -EBADF);
	assert_int_equal(process_get_fd(c->process, 1 << 20), -EBADF);
	fd = process_get_fd(c->process, 0);
	assert_true(fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
	close(fd);
}

/*
 * A file shrinks while this process has as many mappings as it may have. In a child: nobody else is
 * to lack them.
 */
static int shrink_without_mappings(void)
{
	int fd = memfd_create("shrinks", 0);
	_Atomic bool lost = false;
	struct client_maps maps = {.lost = &lost};
	struct client_map map;
	uint8_t *before = NULL;

	signal(SIGBUS, SIG_DFL); /* the test library has one, too */
	if (ftruncate(fd, AREA) || client_map(&map, &maps, fd, 0, AREA, true))
		return 1;
	memset(map.at, 1, AREA);
	/* every second one the same: none is merged with its neighbour */
	for (unsigned i = 0;; i++) {
		uint8_t *p = mmap(NULL, 4096, i % 2 ? PROT_NONE : PROT_READ,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			break;
		before = p;
	}
	if (!before || ftruncate(fd, 0))
		return 2;
	for (unsigned i = 0; i < AREA; i += 4096)
		if (((volatile uint8_t *)map.at)[i])
			return 3;
	memset(map.at, 2, AREA);
	return lost ? 0 : 4;
}

static void repair_without_mappings(void **state)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(shrink_without_mappings());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(WIFSIGNALED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What one client may have is bounded, and what it has leaves enough for the others. */
static void mappings_are_bounded(void **state)
{
	enum { MANY = 8192 };
	static struct client_map map[MANY], other;
	_Atomic bool lost = false;
	struct client_maps mine = {.lost = &lost}, theirs = {.lost = &lost};
	int fd = memfd_create("many", MFD_CLOEXEC);
	unsigned got = 0;

	assert_int_equal(ftruncate(fd, (off_t)page_size()), 0);
	while (got < MANY && client_map(&map[got], &mine, fd, 0, page_size(), true) == 0)
		got++;
	assert_in_range(got, 520, MANY - 1);
	assert_int_equal(client_map(&map[got], &mine, fd, 0, page_size(), true), -ENOSPC);
	assert_int_equal(client_map(&other, &theirs, fd, 0, page_size(), true), 0);
	client_unmap(&map[--got]);
	assert_int_equal(client_map(&map[got++], &mine, fd, 0, page_size(), true), 0);
	while (got)
		client_unmap(&map[--got]);
	client_unmap(&other);
	assert_int_equal(client_maps_total(), 0);
	assert_int_equal(guard_windows(), 0);
	close(fd);
}

/* With the last window the handler goes, too, whoever had it. */
static void handler_goes_with_the_windows(void **state)
{
	struct sigaction before, during, after;
	_Atomic bool lost = false;
	static uint8_t page[4096];
	struct guard_window *one, *two;

	sigaction(SIGBUS, NULL, &before);
	one = guard_watch(page, 2048, &lost);
	two = guard_watch(page + 2048, 2048, &lost);
	sigaction(SIGBUS, NULL, &during);
	guard_forget(one);
	sigaction(SIGBUS, NULL, &after);
	assert_ptr_equal(after.sa_sigaction, during.sa_sigaction);
	guard_forget(two);
	sigaction(SIGBUS, NULL, &after);
	assert_ptr_not_equal(during.sa_sigaction, before.sa_sigaction);
	assert_ptr_equal(after.sa_sigaction, before.sa_sigaction);
}

/* A SIGBUS that is none of ours ends the process as it always did. */
static void foreign_faults_still_kill(void **state)
{
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		int fd = memfd_create("foreign", 0);
		volatile uint8_t *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
		static uint8_t own[4096];
		static _Atomic bool lost;

		signal(SIGBUS, SIG_DFL); /* the test library has one, too */
		guard_watch(own, 4096, &lost);
		_exit(p[0]);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

int main(void)
{
#define WITH_CLIENT(f) cmocka_unit_test_setup_teardown(f, client_start, client_end)
	const struct CMUnitTest tests[] = {
		WITH_CLIENT(memfd_is_mapped),
		WITH_CLIENT(windows_end_where_mappings_end),
		WITH_CLIENT(private_memory_is_copied),
		WITH_CLIENT(only_memory_files_are_mapped),
		WITH_CLIENT(shared_anonymous_memory_works),
		WITH_CLIENT(read_only_stays_read_only),
		WITH_CLIENT(nothing_there),
		WITH_CLIENT(truncation_reads_zeros_and_is_told),
		WITH_CLIENT(the_dead_are_noticed),
		WITH_CLIENT(exec_ends_it),
		WITH_CLIENT(descriptors_are_duplicated),
		cmocka_unit_test(huge_pages_are_mapped),
		cmocka_unit_test(strangers_are_refused),
		cmocka_unit_test(repair_without_mappings),
		cmocka_unit_test(mappings_are_bounded),
		cmocka_unit_test(handler_goes_with_the_windows),
		cmocka_unit_test(foreign_faults_still_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
