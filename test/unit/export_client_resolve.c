/*
 * How a client's memory is found out: by the message that brings it and not by a worker, without
 * the device's lock, in as many steps as the client has mappings, and with the client's rights at
 * that kind. (Linked with openat and lseek wrapped.)
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backends.h"
#include "device/device_internal.h"
#include "client/memory.h"
#include "export/inprocess/inprocess.h"
#include "client/process.h"
#include "runtime/runtime_internal.h"
#include "lib/page.h"
#include "memory/client.h"
#include "memory/space.h"
#include "model/models.h"
#include "wire/vhost.h"

#define PAGE page_size() /* at most 64 KiB */

/* --- What the code under test calls ----------------------------------------------------------- */

static void (*before_open)(void); /* once */
static unsigned rewinds;

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
off64_t __real_lseek64(int fd, off64_t offset, int whence);
off64_t __wrap_lseek64(int fd, off64_t offset, int whence);

int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	void (*now)(void) = before_open;

	before_open = NULL;
	if (now)
		now();
	return __real_openat64(dir, name, flags);
}

off64_t __wrap_lseek64(int fd, off64_t offset, int whence)
{
	rewinds++;
	return __real_lseek64(fd, offset, whence);
}

/* --- This process as its own client ----------------------------------------------------------- */

static struct process *process;
static struct client_memory *memory;
static uint8_t *area;
static int memfd;

static int setup(void **state)
{
	struct error err = {0};

	memfd = memfd_create("client", MFD_CLOEXEC);
	if (process_open(getpid(), getuid(), &process, &err) || ftruncate(memfd, 64 * PAGE))
		return -1;
	memory = client_memory_new(process);
	area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	return !memory || area == MAP_FAILED;
}

static int teardown(void **state)
{
	client_memory_free(memory);
	process_unref(process);
	munmap(area, 2 * PAGE);
	close(memfd);
	return 0;
}

static bool is_mapped(bool writable)
{
	struct window w;
	bool mapped;

	assert_int_equal(memory->ops->map(memory, (uintptr_t)area, 2 * PAGE, writable, &w), 0);
	mapped = w.host != NULL;
	memory->ops->unmap(memory, &w);
	return mapped;
}

static void make_read_only(void)
{
	mprotect(area, 2 * PAGE, PROT_READ);
}

static void make_private(void)
{
	mmap(area, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, memfd, 0);
}

static void move_in_file(void)
{
	mmap(area, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd, PAGE);
}

/*
 * The server opens a file with its own rights for a mapping that it has read of. What the client
 * puts there in between may be one that it has fewer rights to.
 */
static void rights_are_those_of_now(void **state)
{
	void (*const tricks[])(void) = {make_read_only, make_private, move_in_file};

	for (size_t i = 0; i < sizeof(tricks) / sizeof(tricks[0]); i++) {
		assert_true(is_mapped(true));
		before_open = tricks[i];
		assert_false(is_mapped(true));
		assert_null(before_open); /* it was there */
		mmap(area, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memfd, 0);
	}
	/* who wants to read only needs no more */
	before_open = make_read_only;
	assert_true(is_mapped(false) || !before_open);
	mprotect(area, 2 * PAGE, PROT_READ | PROT_WRITE);
}

/* One part of the client's memory over many of its mappings, in a row that none merges. */
static void many_mappings_are_read_together(void **state)
{
	enum { MANY = 700 };
	uint8_t *many = mmap(NULL, MANY * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	static struct window w[MANY + 8];
	int n;

	for (unsigned i = 0; i < MANY; i++)
		assert_ptr_not_equal(mmap(many + i * PAGE, PAGE, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_FIXED, memfd, (63 - i % 64) * PAGE),
				     MAP_FAILED);
	rewinds = 0;
	n = memory->ops->map_many(memory, (uintptr_t)many, MANY * PAGE, true, w, MANY + 8);
	assert_int_equal(n, MANY);
	assert_in_range(rewinds, 1, 2); /* once before the files are open, once after */
	for (int i = 0; i < n; i++) {
		assert_int_equal(w[i].uaddr, (uintptr_t)many + (unsigned)i * PAGE);
		assert_int_equal(w[i].size, PAGE);
		assert_true(!w[i].host || w[i].host[0] == many[i * PAGE]);
		memory->ops->unmap(memory, &w[i]);
	}
	/* a few of them */
	assert_int_equal(
		memory->ops->map_many(memory, (uintptr_t)many + 5, 3 * PAGE, true, w, MANY), 4);
	for (int i = 0; i < 4; i++)
		memory->ops->unmap(memory, &w[i]);
	/* a hole before and behind */
	munmap(many, PAGE);
	munmap(many + 2 * PAGE, (MANY - 2) * PAGE);
	assert_int_equal(memory->ops->map_many(memory, (uintptr_t)many, 3 * PAGE, true, w, MANY),
			 3);
	assert_null(w[0].host);
	assert_int_equal(w[2].size, PAGE);
	memory->ops->unmap(memory, &w[1]);
	munmap(many + PAGE, PAGE);
}

/* --- Through an export ---------------------------------------------------------------------------
 */

static struct runtime *runtime;
static unsigned maps, maps_locked;
static uint8_t ram[64 * 65536];

static int count_map(struct client_memory *m, uint64_t uaddr, uint64_t size, bool writable,
		     struct window *out)
{
	maps++;
	if (runtime_try_lock(runtime))
		runtime_unlock(runtime);
	else
		maps_locked++;
	*out = (struct window){.uaddr = uaddr, .size = size, .host = ram + uaddr};
	return 0;
}

static void count_unmap(struct client_memory *m, struct window *w)
{
}

static void message(struct inprocess *export, uint32_t type, uint64_t iova, uint64_t size)
{
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2,
				 .iotlb = {.type = (uint8_t)type,
					   .iova = iova,
					   .size = size,
					   .uaddr = iova,
					   .perm = VHOST_ACCESS_RW}};

	assert_int_equal(inprocess_write(export, &m, sizeof(m)), sizeof(m));
}

/* Nobody who has the lock, and no worker, ever finds out how memory is reached. */
static void found_out_without_the_lock(void **state)
{
	static const struct client_memory_ops ops = {.map = count_map, .unmap = count_unmap};
	struct client_memory counted = {.ops = &ops};
	struct inprocess_options options = {.memory = &counted};
	struct runtime_options r = {
		.device = {.name = "d", .queue_size = 64, .asids = 1, .suspend_timeout_ms = 5000}};
	struct blk_options blk = {.queues = 1, .queue_size = 64};
	struct inprocess *export;
	struct block *block;
	struct model *model;
	struct segment segment;
	uint8_t status = 0;

	assert_int_equal(block_memory_open(1 << 20, &block, NULL), 0);
	assert_int_equal(blk_new(&blk, block, &model, NULL), 0);
	assert_int_equal(runtime_new(&r, model, &runtime, NULL), 0);
	assert_int_equal(inprocess_open(runtime, &options, &export, NULL), 0);
	assert_int_equal(inprocess_ioctl(export, VHOST_SET_OWNER, NULL), 0);
	message(export, VHOST_IOTLB_UPDATE, 0, PAGE);
	message(export, VHOST_IOTLB_BATCH_BEGIN, 0, 0);
	message(export, VHOST_IOTLB_UPDATE, PAGE, PAGE);
	message(export, VHOST_IOTLB_BATCH_END, 0, 0);
	assert_int_equal(maps, 2);
	/* the device forgets them, and is given all of them again with the next change */
	assert_int_equal(inprocess_ioctl(export, VHOST_VDPA_SET_STATUS, &status), 0);
	message(export, VHOST_IOTLB_INVALIDATE, PAGE, PAGE);
	assert_int_equal(maps, 4);
	assert_int_equal(inprocess_ioctl(export, VHOST_VDPA_SET_STATUS, &status), 0);
	message(export, VHOST_IOTLB_BATCH_BEGIN, 0, 0);
	message(export, VHOST_IOTLB_UPDATE, PAGE, PAGE);
	message(export, VHOST_IOTLB_BATCH_END, 0, 0);
	assert_true(maps >= 6);
	maps = 0;
	assert_int_equal(space_translate(spaces_get(runtime_lock(runtime), 0), PAGE, 8, SPACE_READ,
					 &segment, 1),
			 1);
	runtime_unlock(runtime);
	assert_int_equal(maps, 0);
	assert_int_equal(maps_locked, 0);
	inprocess_close(export);
	runtime_free(runtime);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rights_are_those_of_now, setup, teardown),
		cmocka_unit_test_setup_teardown(many_mappings_are_read_together, setup, teardown),
		cmocka_unit_test(found_out_without_the_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
