/*
 * Memory that never answers: a front end or client whose memory is a file of a FUSE file system of
 * its own. Neither an export's thread nor a device's lock ever waits for it, and the server ends.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/memory.h"
#include "client/process.h"
#include "lib/tarpit.h"
#include "vhost_user/disk.h"
#include "vhost_user/front.h"
#include "vhost_user/logged.h"

#define SKIP   77
#define MEMORY 0x10000000

static struct disk disk;

/* One message with the file: refused, or the connection is ended. 0: as it should be. */
static int offer(int file, uint32_t request, const void *payload, uint32_t size)
{
	int fd = front_connect(disk.path), r;

	front_greet(fd, NULL);
	r = (int)front_ack(fd, request, payload, size, &file, 1);
	close(fd);
	return (r == EINVAL || r == -1) && logged_soon("its descriptor is no file of memory") ? 0
											      : 1;
}

static int offer_to_front(int file)
{
	const struct vhost_user_region region = {0, TARPIT_SIZE, MEMORY, 0};
	const struct vhost_user_single_region one = {.region = region};
	const struct vhost_user_memory table = {.count = 1, .regions = {region}};
	const struct vhost_user_log log = {.mmap_size = 4096};
	const struct vhost_user_inflight record = {
		.mmap_size = 65536, .queues = 1, .queue_size = 64};
	int r = 0;

	logged_forget();
	r |= offer(file, VHOST_USER_ADD_MEM_REG, &one, sizeof(one));
	logged_forget();
	r |= offer(file, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(region)) << 1;
	logged_forget();
	r |= offer(file, VHOST_USER_SET_LOG_BASE, &log, sizeof(log)) << 2;
	logged_forget();
	r |= offer(file, VHOST_USER_SET_INFLIGHT_FD, &record, sizeof(record)) << 3;
	return r;
}

/* The same file as a client's mapping: it is found out to be none for us, and not opened. */
static int offer_as_mapping(int file)
{
	void *area = mmap(NULL, TARPIT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	struct client_memory *memory;
	struct process *process;
	struct window w;
	int r;

	if (area == MAP_FAILED || process_open(getpid(), getuid(), &process, NULL))
		return 16;
	memory = client_memory_new(process);
	r = memory->ops->map(memory, (uintptr_t)area, TARPIT_SIZE, true, &w) || w.host || !w.barred
		    ? 32
		    : 0;
	memory->ops->unmap(memory, &w);
	client_memory_free(memory);
	process_unref(process);
	munmap(area, TARPIT_SIZE);
	return r;
}

int main(void)
{
	struct tarpit tarpit;
	int r;

	if (!tarpit_open(&tarpit)) {
		puts("skipped: no FUSE file system can be mounted here");
		return SKIP;
	}
	logged_begin();
	disk_open(&disk, &(struct disk_options){0});
	r = offer_to_front(tarpit.file) | offer_as_mapping(tarpit.file);
	disk_close(&disk);
	printf("offered, refused, and ended: %s (%d)\n", r ? "WRONG" : "ok", r);
	if (r)
		logged_print();
	tarpit_close(&tarpit);
	return r != 0;
}
