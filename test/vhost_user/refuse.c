/*
 * Messages that are wrong: each gets an error acknowledged or the connection closed, and a line in
 * the log that says why; of each no descriptor and no mapping is left, and the next client is
 * served as if nothing had been. Wrong at the wrong time, rather: refuse_order.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vhost_user/front.h"
#include "vhost_user/refusing.h"

static void hangs_up(const struct front_message *m, const char *says)
{
	refusing_hang_up(m, says);
}

static void is_refused(uint32_t request, const void *payload, uint32_t size, const int *fds,
		       unsigned fd_count, int error, const char *says)
{
	refusing_error(request, payload, size, fds, fd_count, error, says);
}

static void test_headers(void **state)
{
	static const struct {
		struct front_message m;
		const char *says;
	} wrong[] = {
		{{.request = VHOST_USER_GET_FEATURES, .flags = 0}, "version 0 of the protocol"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 2}, "version 2 of the protocol"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 3}, "version 3 of the protocol"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 1 | VHOST_USER_REPLY},
		 "message 1 has flags 0x5"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 1 | 0x10}, "has flags 0x11"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 0x80000001}, "flags 0x80000001"},
		{{.request = 0, .flags = 1}, "request 0 is not spoken"},
		{{.request = VHOST_USER_REQUEST_COUNT, .flags = 1}, "is not spoken"},
		{{.request = UINT32_MAX, .flags = 1}, "request 4294967295 is not spoken"},
		{{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = UINT32_MAX},
		 "says that 4294967295 bytes follow"},
		{{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 4096},
		 "says that 4096 bytes follow"},
		{{.request = VHOST_USER_GET_FEATURES, .flags = 1, .size = 8},
		 "GET_FEATURES with 8 bytes"},
		{{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 4},
		 "SET_FEATURES with 4 bytes"},
		{{.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 0},
		 "SET_FEATURES with 0 bytes"},
		{{.request = VHOST_USER_SET_VRING_ADDR, .flags = 1, .size = 39},
		 "SET_VRING_ADDR with 39 bytes"},
		{{.request = VHOST_USER_SET_MEM_TABLE, .flags = 1, .size = 4},
		 "SET_MEM_TABLE with 4 bytes"},
		{{.request = VHOST_USER_GET_CONFIG, .flags = 1, .size = 11},
		 "GET_CONFIG with 11 bytes"},
		{{.request = VHOST_USER_GET_CONFIG, .flags = 1, .size = 20},
		 "GET_CONFIG of 0 bytes in a message of 20"},
		{{.request = VHOST_USER_GET_CONFIG,
		  .flags = 1,
		  .size = 20,
		  .payload.config = {.size = 9}},
		 "GET_CONFIG of 9 bytes"},
		{{.request = VHOST_USER_GET_CONFIG,
		  .flags = 1,
		  .size = 20,
		  .payload.config = {.size = UINT32_MAX}},
		 "GET_CONFIG of 4294967295 bytes"},
		{{.request = VHOST_USER_SET_CONFIG,
		  .flags = 1,
		  .size = 20,
		  .payload.config = {.size = 8, .flags = 2}},
		 "SET_CONFIG of 8 bytes"},
		{{.request = VHOST_USER_SET_STATUS, .flags = 1, .size = 1},
		 "SET_STATUS with 1 bytes"},
		{{.request = VHOST_USER_GET_INFLIGHT_FD, .flags = 1, .size = 16},
		 "GET_INFLIGHT_FD with 16 bytes"},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		hangs_up(&wrong[i].m, wrong[i].says);
}

static void test_descriptor_counts(void **state)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct front_message m = {.request = VHOST_USER_GET_FEATURES, .flags = 1, .fd_count = 1};

	for (unsigned i = 0; i < VHOST_USER_MAX_FDS + 2; i++)
		m.fds[i] = event;
	hangs_up(&m, "GET_FEATURES with 1 descriptors");
	m = (struct front_message){.request = VHOST_USER_SET_MEM_TABLE, .flags = 1, .size = 8 + 32};
	m.payload.memory.count = 1; /* and no descriptor */
	hangs_up(&m, "of 1 regions with 0 descriptors");
	m.payload.memory.count = 0;
	m.fd_count = 1;
	m.fds[0] = event;
	hangs_up(&m, "of 0 regions with 1 descriptors");
	m.payload.memory.count = 9;
	m.fd_count = 8;
	hangs_up(&m, "of 9 regions with 8 descriptors");
	m.payload.memory.count = UINT32_MAX;
	hangs_up(&m, "of 4294967295 regions");
	m.fd_count = VHOST_USER_MAX_FDS + 2;
	for (unsigned i = 0; i < VHOST_USER_MAX_FDS + 2; i++)
		m.fds[i] = event;
	hangs_up(&m, "more than 8 descriptors");
	m = (struct front_message){.request = VHOST_USER_SET_VRING_KICK, .flags = 1, .size = 8};
	/* neither a descriptor nor the flag that says so */
	hangs_up(&m, "ring 0x0 with 0 descriptors");
	m.payload.u64 = VHOST_USER_VRING_NOFD;
	m.fd_count = 1;
	m.fds[0] = event;
	hangs_up(&m, "ring 0x100 with 1 descriptors"); /* both */
	m = (struct front_message){.request = VHOST_USER_ADD_MEM_REG, .flags = 1, .size = 40};
	hangs_up(&m, "ADD_MEM_REG with 0 descriptors");
	m = (struct front_message){.request = VHOST_USER_SET_LOG_BASE, .flags = 1, .size = 16};
	hangs_up(&m, "SET_LOG_BASE with 0 descriptors");
	m = (struct front_message){.request = VHOST_USER_SET_INFLIGHT_FD, .flags = 1, .size = 24};
	hangs_up(&m, "SET_INFLIGHT_FD with 0 descriptors");
	close(event);
}

/* The server has read all that was sent: what comes next comes apart. */
static void wait_read(int fd)
{
	int left = 1;

	while (left > 0 && ioctl(fd, SIOCOUTQ, &left) == 0)
		usleep(1000);
	assert_int_equal(left, 0);
}

/* Descriptors in the middle of a message, and a message that never ends. */
static void test_pieces(void **state)
{
	struct front_message m = {.request = VHOST_USER_SET_FEATURES, .flags = 1, .size = 8},
			     answer;
	int event = eventfd(0, EFD_CLOEXEC), fd;
	struct front_message ask = {.request = VHOST_USER_GET_QUEUE_NUM, .flags = 1};

	refusing_begin();
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	assert_int_equal(front_send_bytes(fd, &m, 5, NULL, 0), 0);
	wait_read(fd);
	assert_int_equal(front_send_bytes(fd, (char *)&m + 5, 10, &event, 1), 0);
	assert_int_equal(front_receive(fd, &answer), -1);
	close(fd);
	refusing_says("descriptors in the middle of a message");
	refusing_settle();
	/* byte by byte is fine */
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(front_send_bytes(fd, (char *)&ask + i, 1, NULL, 0), 0);
	assert_int_equal(front_receive(fd, &answer), 0);
	assert_int_equal(answer.payload.u64, 2);
	/* half a message, and gone */
	assert_int_equal(front_send_bytes(fd, &m, 14, NULL, 0), 0);
	close(fd);
	refusing_settle();
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
		int fd;

		refusing_begin();
		fd = front_connect(refusing_path());
		assert_int_equal(front_send(fd, &m), 0);
		assert_int_equal(front_receive(fd, &answer), -1);
		close(fd);
		refusing_says("without the protocol feature that it belongs to");
		refusing_settle();
	}
	is_refused(VHOST_USER_SET_PROTOCOL_FEATURES, (uint64_t[]){1ull << 63}, 8, NULL, 0, EINVAL,
		   "protocol features 0x8000000000000000 were not offered");
	is_refused(VHOST_USER_SET_FEATURES, (uint64_t[]){1ull << 63}, 8, NULL, 0, EINVAL,
		   "features 0x8000000000000000 were not offered");
	is_refused(VHOST_USER_SET_FEATURES, (uint64_t[]){1ull << VIRTIO_F_ACCESS_PLATFORM}, 8, NULL,
		   0, EINVAL, "features 0x200000000 were not offered");
}

static void test_rings(void **state)
{
	struct vhost_vring_state s = {.index = 2, .num = 16};
	struct vhost_vring_addr a = {.index = 2};
	static const char no_event[] = "ring 0: the descriptor is no eventfd";
	int pipes[2], event = eventfd(0, EFD_CLOEXEC), tcp;

	assert_int_equal(pipe(pipes), 0);
	is_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0, EINVAL,
		   "there is no ring 2: the device has 2");
	is_refused(VHOST_USER_SET_VRING_BASE, &s, sizeof(s), NULL, 0, EINVAL, "there is no ring 2");
	is_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, EINVAL, "no ring 2");
	is_refused(VHOST_USER_SET_VRING_ENABLE, (uint32_t[]){UINT32_MAX, 1}, 8, NULL, 0, EINVAL,
		   "no ring 4294967295");
	is_refused(VHOST_USER_VRING_KICK, (uint32_t[]){2, 0}, 8, NULL, 0, EINVAL, "no ring 2");
	s.index = 0;
	for (unsigned i = 0; i < 5; i++) {
		s.num = (const uint32_t[]){0, 3, 512, 65536, UINT32_MAX}[i];
		is_refused(VHOST_USER_SET_VRING_NUM, &s, sizeof(s), NULL, 0, EINVAL,
			   "a power of two up to 256 is possible");
	}
	a.index = 0;
	a.flags = 2;
	is_refused(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), NULL, 0, EINVAL,
		   "flags 0x2 are unknown");
	s = (struct vhost_vring_state){.index = 0, .num = 7};
	is_refused(VHOST_USER_SET_VRING_ENABLE, &s, sizeof(s), NULL, 0, EINVAL,
		   "SET_VRING_ENABLE 7");
	/* descriptors that are no eventfds could block or end a worker */
	is_refused(VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, pipes, 1, EINVAL, no_event);
	is_refused(VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, pipes + 1, 1, EINVAL, no_event);
	is_refused(VHOST_USER_SET_VRING_ERR, (uint64_t[]){1}, 8, pipes + 1, 1, EINVAL,
		   "ring 1: the descriptor is no eventfd");
	is_refused(VHOST_USER_SET_VRING_CALL, (uint64_t[]){2}, 8, &event, 1, EINVAL, "no ring 2");
	is_refused(VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &event, 1, EINVAL, "not a socket");
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	is_refused(VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &tcp, 1, EINVAL, "not a unix socket");
	close(tcp);
	close(pipes[0]);
	close(pipes[1]);
	close(event);
}

static void test_regions(void **state)
{
	int memory = memfd_create("test", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	int read_only, both[2], fd;
	char name[32];
	struct vhost_user_single_region r;
	struct vhost_user_memory table = {.count = 2};
	static const struct {
		struct vhost_user_region region;
		const char *says;
	} wrong[] = {
		{{0, 0, 0x1000, 0}, "region 0x0+0x0 (file offset 0x0) is impossible"},
		{{0, 0x3000, 0x1000, 0}, "ends after its file, which has 0x2000"},
		{{0, 0x1000, 0x1000, 0x2000}, "ends after its file"},
		{{UINT64_MAX - 5, 0x1000, 0x1000, 0}, "is impossible"}, /* wraps */
		{{0, 0x1000, UINT64_MAX - 5, 0}, "is impossible"},	/* likewise */
		{{0, 0x1000, 0x1000, UINT64_MAX - 5}, "is impossible"}, /* likewise */
		{{0, UINT64_MAX, 0x1000, 0}, "is impossible"},
		{{0, 1ull << 62, 0x1000, 0}, "ends after its file"},
	};

	assert_int_equal(ftruncate(memory, 0x2000), 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		r = (struct vhost_user_single_region){.region = wrong[i].region};
		is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1, EINVAL,
			   wrong[i].says);
	}
	r.region = (struct vhost_user_region){0, 0x1000, 0x1000, 0};
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &event, 1, EINVAL,
		   "its descriptor is no file of memory");
	is_refused(VHOST_USER_REM_MEM_REG, &r, sizeof(r), NULL, 0, ENOENT,
		   "there is no region 0x0+0x1000");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", memory);
	read_only = open(name, O_RDONLY | O_CLOEXEC);
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &read_only, 1, EACCES,
		   "cannot be mapped: Permission denied");
	close(read_only);
	read_only = open("/dev/null", O_RDWR | O_CLOEXEC);
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &read_only, 1, EINVAL,
		   "its descriptor is no file of memory");
	close(read_only);
	read_only = open("/tmp", O_RDONLY | O_CLOEXEC);
	is_refused(VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &read_only, 1, EINVAL,
		   "its descriptor is no file of memory");
	close(read_only);
	table.regions[0] = table.regions[1] = r.region;
	both[0] = both[1] = memory;
	is_refused(VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, both, 2, EINVAL,
		   "regions 0 and 1 overlap");
	/* the second of them is wrong: the first does not stay */
	table.regions[1] = (struct vhost_user_region){0x10000, 0x4000, 0x10000, 0};
	is_refused(VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, both, 2, EINVAL,
		   "region 0x10000+0x4000 ends after its file");
	refusing_begin();
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), EEXIST);
	r.region.guest_address = 0x8000; /* the same user addresses */
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &memory, 1), EEXIST);
	r.region.guest_address = 0;
	assert_int_equal(front_ack(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r), &memory, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_REM_MEM_REG, &r, sizeof(r), NULL, 0), ENOENT);
	close(fd);
	refusing_settle();
	close(memory);
	close(event);
}

/* A client that asks and never reads: its own answers wait, the export does not. */
static void test_never_reads(void **state)
{
	struct front_message m = {.request = VHOST_USER_GET_FEATURES, .flags = 1};
	int fd;

	refusing_begin();
	fd = front_connect(refusing_path());
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	while (front_send_bytes(fd, &m, 12, NULL, 0) == 0)
		;
	usleep(20000); /* the export is at it, and stuck with this client's answers */
	close(fd);
	refusing_settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),	    cmocka_unit_test(test_descriptor_counts),
		cmocka_unit_test(test_pieces),	    cmocka_unit_test(test_not_negotiated),
		cmocka_unit_test(test_rings),	    cmocka_unit_test(test_regions),
		cmocka_unit_test(test_never_reads),
	};

	return cmocka_run_group_tests(tests, refusing_set_up, refusing_tear_down);
}
