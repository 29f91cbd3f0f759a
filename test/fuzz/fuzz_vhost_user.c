/*
 * Fuzz target: what a vhost-user front end says, from hello to goodbye, over a real socket to a
 * real export with a disk of nulls behind it.
 *
 * Checked, besides what sanitizers see: the export answers the next client whatever the last one
 * said, and of that one no region, window or descriptor is left.
 *
 * An input is a sequence of messages: request, flags, descriptors (low half: how many, high half:
 * of which kind), size (16 bits), payload. The memory that descriptors name holds a ring with a
 * request in it, so that an input that sets everything up right gets it served.
 */
#include "fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backend/backends.h"
#include "client/guard.h"
#include "export/vhost_user/vhost_user.h"
#include "export/vhost_user/memory.h"
#include "runtime/runtime.h"
#include "model/models.h"
#include "util/bytes.h"
#include "util/log.h"
#include "wire/vhost_user.h"

#define MEMORY	     0x10000
#define MAX_MESSAGES 64
#define MAX_FDS	     10

enum { KIND_MEMORY, KIND_EVENT, KIND_SOCKET, KIND_SMALL, KIND_PIPE, KINDS };

static char path[64];
static int kinds[KINDS], spare[2];

/* Descriptor table at 0, available ring at 0x1000, used ring at 0x2000, a read of sector 0. */
static void fill_memory(int fd)
{
	uint8_t *m = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert(m != MAP_FAILED);
	memset(m, 0, MEMORY);
	for (unsigned i = 0; i < 3; i++) {
		store_le64(m + 16 * i, 0x4000 + 0x1000 * i);
		store_le32(m + 16 * i + 8, i == 1 ? 512 : i ? 1 : 16);
		store_le16(m + 16 * i + 12, (uint16_t)((i < 2) | (i ? 2 : 0)));
		store_le16(m + 16 * i + 14, (uint16_t)(i + 1));
	}
	store_le16(m + 0x1002, 1);
	munmap(m, MEMORY);
}

static void make_kinds(void)
{
	int pipes[2], r = pipe(pipes);

	assert(r == 0);
	kinds[KIND_PIPE] = pipes[1];
	kinds[KIND_MEMORY] = memfd_create("fuzz", 0);
	kinds[KIND_SMALL] = memfd_create("fuzz", 0);
	kinds[KIND_EVENT] = eventfd(0, EFD_NONBLOCK);
	r = socketpair(AF_UNIX, SOCK_STREAM, 0, spare);
	assert(r == 0);
	kinds[KIND_SOCKET] = spare[1];
	r = ftruncate(kinds[KIND_MEMORY], MEMORY) | ftruncate(kinds[KIND_SMALL], 100);
	assert(r == 0);
	(void)r;
}

static void forget_name(void)
{
	unlink(path);
}

static void serve(void)
{
	const struct runtime_options options = {
		.device = {
			.name = "fuzz", .queue_size = 16, .asids = 1, .suspend_timeout_ms = 1000}};
	const struct blk_options blk = {.queues = 2, .queue_size = 16};
	struct vhost_user_options export = {.path = path};
	struct vhost_user *opened;
	struct runtime *runtime;
	struct model *model;
	struct block *block;
	int r;

	log_set_level(LOG_LEVEL_ERROR);
	snprintf(path, sizeof(path), "/tmp/uvdpa-fuzz-%d.sock", (int)getpid());
	r = block_null_open(1 << 20, &block, NULL);
	assert(!r);
	r = blk_new(&blk, block, &model, NULL);
	assert(!r);
	r = runtime_new(&options, model, &runtime, NULL);
	assert(!r);
	r = vhost_user_open(&export, runtime, &opened, NULL);
	assert(!r);
	(void)r;
	atexit(forget_name);
}

static int connect_to(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), r;

	memcpy(at.sun_path, path, strlen(path) + 1);
	r = connect(fd, (struct sockaddr *)&at, sizeof(at));
	assert(r == 0);
	(void)r;
	return fd;
}

static int send_bytes(int fd, const void *bytes, size_t size, const int *fds, unsigned count)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr header = {.msg_iov = &iov, .msg_iovlen = 1};
	union {
		char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
		struct cmsghdr align;
	} control;

	memset(&control, 0, sizeof(control));
	if (count) {
		header.msg_control = control.bytes;
		header.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size ? 0 : -1;
}

/* One message of the input. False: the export takes no more. */
static int send_message(int fd, struct food *food)
{
	uint8_t request = eat_byte(food), flags = eat_byte(food), which = eat_byte(food);
	uint8_t bytes[12 + 1024] = {0};
	struct vhost_user_header head = {.request = request, .flags = flags};
	unsigned count = which & 15;
	int fds[MAX_FDS];
	size_t size;

	head.size = eat_u16(food);
	size = head.size < 1024 ? head.size : 1024;
	memcpy(bytes, &head, sizeof(head));
	eat(food, bytes + 12, size);
	count = count < MAX_FDS ? count : MAX_FDS;
	for (unsigned i = 0; i < count; i++)
		fds[i] = kinds[(which >> 4) % KINDS];
	return send_bytes(fd, bytes, 12 + size, fds, count);
}

/* The export is alive, and has nothing of whoever was there before. */
static void check_clean(int fd)
{
	struct vhost_user_header head = {.request = VHOST_USER_GET_FEATURES, .flags = 1};
	uint8_t answer[20];
	ssize_t n;

	send_bytes(fd, &head, sizeof(head), NULL, 0);
	n = recv(fd, answer, sizeof(answer), MSG_WAITALL);
	assert(n == sizeof(answer));
	assert(vu_memory_mapped() == 0);
	assert(guard_windows() == 0);
	(void)n;
}

/* Descriptors of the kinds that messages carry or the export makes; the fuzzer has files and pipes
 * of its own.
 */
static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned n = 0;

	while ((entry = readdir(dir))) {
		char to[64] = "";

		if (readlinkat(dirfd(dir), entry->d_name, to, sizeof(to) - 1) > 0)
			n += !strncmp(to, "/memfd:", 7) || !strncmp(to, "socket:", 7) ||
			     !strncmp(to, "anon_inode:", 11);
	}
	closedir(dir);
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct food food = {data, size};
	static unsigned inputs, descriptors;
	uint8_t rest[4096];
	int fd;

	if (!inputs++) {
		make_kinds();
		serve();
	}
	fd = connect_to();
	check_clean(fd);
	if (inputs % 64 == 2) {
		assert(!descriptors || descriptors == count_fds());
		descriptors = count_fds();
	}
	fill_memory(kinds[KIND_MEMORY]);
	for (unsigned i = 0; i < MAX_MESSAGES && food.left; i++)
		if (send_message(fd, &food) < 0)
			break;
	shutdown(fd, SHUT_WR);
	while (recv(fd, rest, sizeof(rest), 0) > 0)
		;
	close(fd);
	return 0;
}
