/*
 * Messages that are wrong: each gets an error acknowledged or the connection closed, the next
 * client is served as if nothing had been, and nothing is left behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/front.h"

static struct disk disk;

static int set_up(void **state)
{
	disk_open(&disk, &(struct disk_options){.queues = 2});
	return 0;
}

static int tear_down(void **state)
{
	disk_close(&disk);
	return 0;
}

/* The server is alive and takes the next client. */
static void check_alive(void)
{
	int fd = front_connect(disk.path);

	assert_true(front_greet(fd, NULL) & (1ull << VIRTIO_F_VERSION_1));
	close(fd);
}

/* Sends one message to a fresh connection and expects it to be closed. */
static void hangs_up(const struct front_message *m)
{
	struct front_message answer;
	int fd = front_connect(disk.path);

	front_greet(fd, NULL);
	assert_int_equal(front_send(fd, m), 0);
	assert_int_equal(front_receive(fd, &answer), -1);
	close(fd);
	check_alive();
}

/* Sends one message to a fresh connection and expects that error, and that it is still served. */
static void is_refused(uint32_t request, const void *payload, uint32_t size, const int *fds,
		       unsigned fd_count, int error)
{
	struct front_message answer;
	int fd = front_connect(disk.path);

	front_greet(fd, NULL);
	assert_int_equal(front_ack(fd, request, payload, size, fds, fd_count), error);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	close(fd);
}

static void test_headers(void **state)
{
	const struct front_message wrong[] = {
		{.request = VHOST_USER_GET_FEATURES, .flags = 0},
		{.request = VHOST_USER_GET_FEATURES, .flags = 2},
		{.request = VHOST_USER_GET_FEATURES, .flags = 3},
		{.request = VHOST_USER_GET_FEATURES, .flags = 1 | VHOST_USER_REPLY},
		{.request = VHOST_USER_GET_FEATURES, .flags = 1 | 0x10},
		{.request = VHOST_USER_GET_FEATURES, .flags = 0x80000001},
		{.request = 0, .flags = 1},
		{.request = 44, .flags = 1},
		{.request = UINT32_MAX, .flags = 1},
		{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = UINT32_MAX},
		{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 4096},
		{.request = VHOST_USER_GET_FEATURES, .flags = 1, .size = 8},
		{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 4},
		{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 0},
		{.request = VHOST_USER_SET_VRING_ADDR, .flags = 1, .size = 39},
		{.request = VHOST_USER_SET_MEM_TABLE, .flags = 1, .size = 4},
		{.request = VHOST_USER_GET_CONFIG, .flags = 1, .size = 11},
		{.request = VHOST_USER_GET_CONFIG, .flags = 1, .size = 20},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		hangs_up(&wrong[i]);
}

static void test_descriptor_counts(void **state)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct front_message m = {.request = VHOST_USER_GET_FEATURES, .flags = 1, .fd_count = 1};

	for (unsigned i = 0; i < VHOST_USER_MAX_FDS + 2; i++)
		m.fds[i] = event;
	hangs_up(&m);
	m = (struct front_message){.request = VHOST_USER_SET_MEM_TABLE, .flags = 1, .size = 8 + 32};
	m.payload.memory.count = 1; /* and no descriptor */
	hangs_up(&m);
	m.payload.memory.count = 0;
	m.fd_count = 1;
	m.fds[0] = event;
	hangs_up(&m);
	m.payload.memory.count = 9;
	m.fd_count = 8;
	hangs_up(&m);
	m.fd_count = VHOST_USER_MAX_FDS + 2;
	for (unsigned i = 0; i < VHOST_USER_MAX_FDS + 2; i++)
		m.fds[i] = event;
	hangs_up(&m);
	m = (struct front_message){.request = VHOST_USER_SET_VRING_KICK, .flags = 1, .size = 8};
	hangs_up(&m); /* neither a descriptor nor the flag that says so */
	m.payload.u64 = VHOST_USER_VRING_NOFD;
	m.fd_count = 1;
	m.fds[0] = event;
	hangs_up(&m); /* both */
	m = (struct front_message){.request = VHOST_USER_ADD_MEM_REG, .flags = 1, .size = 40};
	hangs_up(&m);
	close(event);
}

/* Descriptors in the middle of a message, and a message that never ends. */
static void test_pieces(void **state)
{
	struct front_message m = {.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 8},
			     answer;
	int event = eventfd(0, EFD_CLOEXEC), fd = front_connect(disk.path);
	struct front_message ask = {.request = VHOST_USER_GET_QUEUE_NUM, .flags = 1};

	front_greet(fd, NULL);
	assert_int_equal(front_send_bytes(fd, &m, 5, NULL, 0), 0);
	usleep(5000);
	assert_int_equal(front_send_bytes(fd, (char *)&m + 5, 10, &event, 1), 0);
	assert_int_equal(front_receive(fd, &answer), -1);
	close(fd);
	/* byte by byte is fine */
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(front_send_bytes(fd, (char *)&ask + i, 1, NULL, 0), 0);
	assert_int_equal(front_receive(fd, &answer), 0);
	assert_int_equal(answer.payload.u64, 2);
	/* half a message, and gone */
	assert_int_equal(front_send_bytes(fd, &m, 14, NULL, 0), 0);
	close(fd);
	check_alive();
	close(event);
}

/* What was not negotiated is not spoken. */
static void test_not_negotiated(void **state)
{
	const uint32_t requests[] = {VHOST_USER_GET_STATUS, VHOST_USER_GET_MAX_MEM_SLOTS,
				     VHOST_USER_RESET_DEVICE};
	struct front_message answer;

	for (unsigned i = 0; i < 3; i++) {
		struct front_message m = {.request = requests[i], .flags = 1};
		int fd = front_connect(disk.path);

		assert_int_equal(front_send(fd, &m), 0);
		assert_int_equal(front_receive(fd, &answer), -1);
		close(fd);
	}
	is_refused(VHOST_USER_SET_PROTOCOL_FEATURES, (uint64_t[]){1ull << 63}, 8, NULL, 0, EINVAL);
	is_refused(VHOST_USER_SET_FEATURES, (uint64_t[]){1ull << 63}, 8, NULL, 0, EINVAL);
	is_refused(VHOST_USER_SET_FEATURES, (uint64_t[]){1ull << VIRTIO_F_ACCESS_PLATFORM}, 8, NULL,
		   0, EINVAL);
}

static void test_rings(void **state)
{
	struct vhost_vring_state s = {.index = 2, .num = 16};
	struct vhost_vring_addr a = {.index = 2};
	int pipes[2], event = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(pipe(pipes), 0);
	is_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0, EINVAL);
	is_refused(VHOST_USER_SET_VRING_BASE, &s, sizeof(s), NULL, 0, EINVAL);
	is_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, EINVAL);
	s.index = 0;
	for (unsigned i = 0; i < 5; i++) {
		s.num = (const uint32_t[]){0, 3, 512, 65536, UINT32_MAX}[i];
		is_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0, EINVAL);
	}
	a.index = 0;
	a.flags = 2;
	is_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, EINVAL);
	s = (struct vhost_vring_state){.index = 0, .num = 7};
	is_refused(VHOST_USER_SET_VRING_ENABLE, &s, sizeof(s), NULL, 0, EINVAL);
	/* descriptors that are no eventfds could block or end a worker */
	is_refused(VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, pipes, 1, EINVAL);
	is_refused(VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, pipes + 1, 1, EINVAL);
	is_refused(VHOST_USER_SET_VRING_ERR, (uint64_t[]){1}, 8, pipes + 1, 1, EINVAL);
	is_refused(VHOST_USER_SET_VRING_CALL, (uint64_t[]){2}, 8, &event, 1, EINVAL);
	is_refused(VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &event, 1, EINVAL);
	close(pipes[0]);
	close(pipes[1]);
	close(event);
}

static void test_regions(void **state)
{
	int memory = memfd_create("test", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int read_only, both[2], fd;
	struct vhost_user_single_region r;
	struct vhost_user_memory table = {.count = 2};
	static const struct vhost_user_region wrong[] = {
		{0, 0, 0x1000, 0},		     /* no bytes */
		{0, 0x3000, 0x1000, 0},		     /* ends after the file */
		{0, 0x1000, 0x1000, 0x2000},	     /* likewise */
		{UINT64_MAX - 5, 0x1000, 0x1000, 0}, /* wraps */
		{0, 0x1000, UINT64_MAX - 5, 0},	     /* wraps */
		{0, 0x1000, 0x1000, UINT64_MAX - 5}, /* wraps */
		{0, UINT64_MAX, 0x1000, 0},	     /* absurd */
	};

	assert_int_equal(ftruncate(memory, 0x2000), 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		r = (struct vhost_user_single_region){.region = wrong[i]};
		is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1, EINVAL);
	}
	r.region = (struct vhost_user_region){0, 0x1000, 0x1000, 0};
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &event, 1, EINVAL);
	is_refused(VHOST_USER_REM_MEM_REG, &r, sizeof(r), NULL, 0, ENOENT);
	read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &read_only, 1, EACCES);
	close(read_only);
	table.regions[0] = table.regions[1] = r.region;
	both[0] = both[1] = memory;
	is_refused(VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, both, 2, EINVAL);
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), EEXIST);
	r.region.guest_address = 0x8000; /* the same user addresses */
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), EEXIST);
	r.region.guest_address = 0;
	assert_int_equal(front_ack(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r), &memory, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r), NULL, 0), ENOENT);
	close(fd);
	close(memory);
	close(event);
}

/* A client that asks and never reads: its own answers wait, the door does not. */
static void test_never_reads(void **state)
{
	struct front_message m = {.request = VHOST_USER_GET_FEATURES, .flags = 1};
	int fd = front_connect(disk.path);

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (front_send_bytes(fd, &m, 12, NULL, 0) == 0)
		;
	usleep(20000); /* the door is at it, and stuck with this client's answers */
	close(fd);
	check_alive();
}

static void test_nothing_left(void **state)
{
	unsigned fds, maps;

	check_alive();
	usleep(50000);
	fds = count_fds();
	maps = count_maps();
	for (unsigned i = 0; i < 3; i++) {
		test_descriptor_counts(state);
		test_regions(state);
		test_rings(state);
	}
	for (unsigned i = 0; i < 100 && count_fds() != fds; i++)
		usleep(20000);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_maps(), maps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),	    cmocka_unit_test(test_descriptor_counts),
		cmocka_unit_test(test_pieces),	    cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_rings),	    cmocka_unit_test(test_regions),
		cmocka_unit_test(test_never_reads), cmocka_unit_test(test_nothing_left),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
