/*
 * Fuzz target: what clients have for memory, over the real /proc, and what they do to it: files
 * that shrink and grow, huge pages, memory that nobody else has, mappings that become read-only or
 * another file's, and files of a FUSE file system that answers nothing. This process is the client
 * of a disk behind the vhost-vdpa export, and the front end of another whose regions are such
 * files.
 *
 * Checked, besides what sanitizers see: nothing waits for that file system; what the client may
 * only read is never written; when both are gone nothing of theirs is mapped or watched.
 *
 * An input is a sequence of steps: a byte that says which (enum step), then what it needs.
 */
#include "fuzz.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/backends.h"
#include "device/device_internal.h"
#include "client/map.h"
#include "client/memory.h"
#include "client/guard.h"
#include "export/inprocess/inprocess.h"
#include "client/process.h"
#include "export/vhost_user/memory.h"
#include "runtime/runtime.h"
#include "lib/tarpit.h"
#include "memory/space.h"
#include "model/models.h"
#include "util/log.h"
#include "wire/vhost.h"

#define PAGE	   4096u
#define SLOT	   (2u << 20) /* of the client's memory: a huge page */
#define SLOTS	   8u
#define FILE_PAGES 64u
#define MAX_STEPS  200
#define GUARDED	   'g'

enum step { PLACE, PROTECT, RESIZE, MESSAGE, ACCESS, WIPE, REGION, REGION_GONE, STEPS };
enum file { SHRINKS, OTHER, READ_ONLY, HUGE, TARPIT, FILES };

static int files[FILES]; /* -1: there can be none here */
static int guarded;	 /* what READ_ONLY is, to be looked at */
static uint8_t *area;	 /* the client's memory */
static struct tarpit tarpit;
/* Slots that messages have named; and of these, such as became the tarpit's afterwards. */
static bool named[SLOTS], turned[SLOTS];
static struct runtime *runtime[2]; /* of the client, and of the front end */
static struct process *process;
static struct client_memory *memory;
static struct inprocess *export;
static struct vu_memory *regions;

static void end_tarpit(void)
{
	if (files[TARPIT] >= 0)
		tarpit_close(&tarpit);
}

static void make_files(void)
{
	char name[32];

	for (unsigned i = 0; i < FILES; i++)
		files[i] = -1;
	if (tarpit_open(&tarpit))
		files[TARPIT] = tarpit.file;
	atexit(end_tarpit);
	files[SHRINKS] = memfd_create("shrinks", MFD_CLOEXEC);
	files[OTHER] = memfd_create("other", MFD_CLOEXEC);
	files[HUGE] = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (files[HUGE] >= 0 && ftruncate(files[HUGE], SLOT) < 0)
		files[HUGE] = -1;
	guarded = memfd_create("guarded", MFD_CLOEXEC);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", guarded);
	files[READ_ONLY] = open(name, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; i < FILE_PAGES; i++)
		if (pwrite(guarded, (char[]){GUARDED}, 1, i * PAGE) != 1)
			abort();
	assert(ftruncate(guarded, FILE_PAGES * PAGE) == 0);
}

static struct runtime *make_disk(const char *name)
{
	const struct runtime_options options = {
		.device = {.name = name, .queue_size = 64, .asids = 1, .suspend_timeout_ms = 5000}};
	const struct blk_options blk = {.queues = 1, .queue_size = 64};
	struct runtime *made;
	struct block *block;
	struct model *model;
	int error = block_memory_open(1 << 20, &block, NULL) ||
		    blk_new(&blk, block, &model, NULL) || runtime_new(&options, model, &made, NULL);

	assert(!error);
	return error ? NULL : made;
}

static void make_world(void)
{
	uint8_t *room;

	log_set_level(LOG_LEVEL_ERROR);
	make_files();
	room = mmap(NULL, (SLOTS + 1) * SLOT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(room != MAP_FAILED);
	area = (uint8_t *)(((uintptr_t)room + SLOT - 1) & ~(uintptr_t)(SLOT - 1));
	runtime[0] = make_disk("client");
	runtime[1] = make_disk("front");
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Maps something in a slot, over what is there. */
static void place(struct food *food)
{
	unsigned slot = eat_byte(food) % SLOTS, what = eat_byte(food) % (FILES + 2);
	unsigned pages = eat_byte(food) % FILE_PAGES + 1, at = eat_byte(food) % FILE_PAGES;
	bool shared = eat_byte(food) % 4 != 0;
	int fd = what < FILES ? files[what] : -1;
	int flags = MAP_FIXED | (shared ? MAP_SHARED : MAP_PRIVATE) | (fd < 0 ? MAP_ANONYMOUS : 0);
	size_t size = what == HUGE && fd >= 0 ? SLOT : pages * PAGE;

	if (what == FILES + 1) { /* a hole */
		mmap(area + slot * SLOT, SLOT, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
		return;
	}
	turned[slot] |= what == TARPIT && named[slot];
	mmap(area + slot * SLOT, size,
	     shared && what == READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE, flags, fd,
	     what == HUGE ? 0 : (off_t)(at * PAGE));
}

static void protect(struct food *food)
{
	unsigned slot = eat_byte(food) % SLOTS, pages = eat_byte(food) % FILE_PAGES + 1;

	mprotect(area + slot * SLOT, pages * PAGE,
		 eat_byte(food) % 2 ? PROT_READ : PROT_READ | PROT_WRITE);
}

static void resize(struct food *food)
{
	unsigned which = eat_byte(food) % 2, pages = eat_byte(food) % (FILE_PAGES + 1);

	if (ftruncate(files[which], pages * PAGE) < 0)
		abort();
}

/* A part of the client's memory, mostly of one slot, sometimes of a few, sometimes beyond. */
static uint64_t eat_part(struct food *food, uint64_t *size)
{
	uint64_t at = (uintptr_t)area + eat_byte(food) % (SLOTS + 1) * SLOT;

	at += eat_byte(food) % FILE_PAGES * PAGE + eat_byte(food) % 4 * 1000;
	*size = (uint64_t)eat_u16(food) << eat_byte(food) % 8;
	return at;
}

static bool touches(unsigned slot, uint64_t at, uint64_t size)
{
	uint64_t start = (uintptr_t)area + slot * SLOT;

	return at < start + SLOT && at + size > start;
}

static void message(struct food *food)
{
	static const uint8_t types[] = {VHOST_IOTLB_UPDATE, VHOST_IOTLB_UPDATE,
					VHOST_IOTLB_INVALIDATE, VHOST_IOTLB_BATCH_BEGIN,
					VHOST_IOTLB_BATCH_END};
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2};
	uint64_t size;

	m.iotlb.type = types[eat_byte(food) % sizeof(types)];
	m.iotlb.perm = eat_byte(food) % 3 + 1;
	m.iotlb.iova = m.iotlb.uaddr = eat_part(food, &size);
	m.iotlb.size = size;
	for (unsigned i = 0; i < SLOTS; i++)
		named[i] |= touches(i, m.iotlb.uaddr, size);
	inprocess_write(export, &m, sizeof(m));
}

/*
 * Whether copying there could wait for the tarpit: what was copied memory when it was found out and
 * then became the tarpit's keeps that client's own device waiting, and nobody can tell beforehand.
 */
static bool may_wait(uint64_t at, uint64_t size)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (turned[i] && touches(i, at, size))
			return true;
	return false;
}

static void touch(struct space *space, const struct segment *s, bool write)
{
	static uint8_t bytes[16 * PAGE];
	size_t size = s->size < sizeof(bytes) ? s->size : sizeof(bytes);

	if (s->host && write)
		memset(s->host, 'w', s->size);
	else if (s->host)
		for (uint64_t i = 0; i < s->size; i += 512)
			bytes[0] ^= ((volatile uint8_t *)s->host)[i];
	else if (may_wait(s->iova, s->size))
		return;
	else if (write)
		space_write(space, s->iova, bytes, size);
	else
		space_read(space, s->iova, bytes, size);
}

/* What a request does to its buffers. */
static void access_memory(struct food *food)
{
	struct segment segments[32];
	unsigned which = eat_byte(food) % 2;
	bool write = eat_byte(food) % 2;
	uint64_t size, at = eat_part(food, &size);
	struct space *space = spaces_get(runtime_lock(runtime[which]), 0);
	int n = space ? space_translate(space, which ? at - (uintptr_t)area : at, size,
					write ? SPACE_WRITE : SPACE_READ, segments, 32)
		      : 0;

	for (int i = 0; i < n; i++)
		touch(space, &segments[i], write);
	runtime_unlock(runtime[which]);
}

static void wipe(void)
{
	uint8_t status = 0;

	inprocess_ioctl(export, VHOST_VDPA_SET_STATUS, &status);
}

/* A region of the front end: in guest memory where the client's would be. */
static void region(struct food *food, bool gone)
{
	unsigned which = eat_byte(food) % FILES;
	struct vhost_user_region at;
	struct error err;

	at.guest_address = eat_part(food, &at.size) - (uintptr_t)area;
	at.user_address = at.guest_address + (1ull << 40);
	at.mmap_offset = eat_byte(food) % FILE_PAGES * 512ull;
	if (files[which] < 0)
		return;
	if (gone)
		vu_memory_set(regions, NULL, NULL, 0, runtime_lock(runtime[1]), &err);
	else
		vu_memory_add(regions, &at, files[which], runtime_lock(runtime[1]), &err);
	runtime_unlock(runtime[1]);
}

static void step(struct food *food)
{
	switch ((enum step)(eat_byte(food) % STEPS)) {
	case PLACE:
		return place(food);
	case PROTECT:
		return protect(food);
	case RESIZE:
		return resize(food);
	case MESSAGE:
		return message(food);
	case ACCESS:
		return access_memory(food);
	case WIPE:
		return wipe();
	case REGION:
		return region(food, false);
	case REGION_GONE:
	case STEPS:
		return region(food, true);
	}
}

/* --- A life ----------------------------------------------------------------------------------- */

static void begin(void)
{
	struct inprocess_options options = {0};
	int r = process_open(getpid(), getuid(), &process, NULL);

	assert(r == 0);
	memory = client_memory_new(process);
	options.memory = memory;
	if (r || inprocess_open(runtime[0], &options, &export, NULL) ||
	    inprocess_ioctl(export, VHOST_SET_OWNER, NULL))
		abort();
	regions = vu_memory_new();
	r = device_set_client(runtime_lock(runtime[1]), vu_memory_client(regions));
	runtime_unlock(runtime[1]);
	assert(r == 0);
	for (unsigned i = 0; i < 2; i++)
		if (ftruncate(files[i], FILE_PAGES * PAGE))
			abort();
	memset(named, 0, sizeof(named));
	memset(turned, 0, sizeof(turned));
	mmap(area, SLOTS * SLOT, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void end(void)
{
	char byte = 0;

	inprocess_close(export);
	client_memory_free(memory);
	process_unref(process);
	device_set_client(runtime_lock(runtime[1]), NULL);
	runtime_unlock(runtime[1]);
	vu_memory_free(regions);
	assert(guard_windows() == 0 && client_maps_total() == 0);
	for (unsigned i = 0; i < FILE_PAGES; i++)
		assert(pread(guarded, &byte, 1, i * PAGE) == 1 && byte == GUARDED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct food food = {data, size};

	if (!area)
		make_world();
	begin();
	for (unsigned i = 0; i < MAX_STEPS && food.left; i++)
		step(&food);
	end();
	return 0;
}
