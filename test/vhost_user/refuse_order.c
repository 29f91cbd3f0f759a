/*
 * Messages that are well formed and come at the wrong time, or name what cannot be: rings that are
 * started too early or lie nowhere, changes while rings run, logs and records that do not fit. As
 * in refuse.c each leaves an error or a closed connection, a line in the log, and nothing else.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "vhost_user/refusing.h"
#include "vhost_user/session.h"

#define BIT(n)	    (1ull << (n))
#define GUEST	    0x100000ull
#define USER	    0x7f0000000000ull
#define MEMORY	    0x10000u
#define PATIENCE_MS 60000

/* A ring as a front end describes it; what is 0 is not sent. */
struct wrong_ring {
	uint32_t num, base;
	uint64_t desc, avail, used;
	int error;
	const char *says;
};

static const struct wrong_ring wrong_rings[] = {
	{.desc = USER,
	 .avail = USER + 0x4000,
	 .used = USER + 0x5000,
	 .error = EINVAL,
	 .says = "ring 0 is started without a size"},
	{.num = 64, .error = EINVAL, .says = "ring 0 is started without addresses"},
	{.num = 64,
	 .desc = 16,
	 .avail = 2,
	 .used = 4,
	 .error = EFAULT,
	 .says = "ring 0 at 0x10 is not in any region"},
	{.num = 64,
	 .desc = USER,
	 .avail = USER + MEMORY,
	 .used = USER + 0x5000,
	 .error = EFAULT,
	 .says = "ring 0 at 0x7f0000010000 is not in any region"},
	{.num = 64,
	 .desc = USER,
	 .avail = USER + 0x4000,
	 .used = UINT64_MAX - 3,
	 .error = EFAULT,
	 .says = "ring 0 at 0xfffffffffffffffc is not in any region"},
	{.num = 64,
	 .desc = USER + 8,
	 .avail = USER + 0x4000,
	 .used = USER + 0x5000,
	 .error = EINVAL,
	 .says = "ring 0 at 0x7f0000000008 is misaligned"},
	{.num = 64,
	 .desc = USER,
	 .avail = USER + 0x4001,
	 .used = USER + 0x5000,
	 .error = EINVAL,
	 .says = "ring 0 at 0x7f0000004001 is misaligned"},
	{.num = 64,
	 .desc = USER,
	 .avail = USER + 0x4000,
	 .used = USER + 0x5002,
	 .error = EINVAL,
	 .says = "ring 0 at 0x7f0000005002 is misaligned"},
	{.num = 64,
	 .base = 65536,
	 .desc = USER,
	 .avail = USER + 0x4000,
	 .used = USER + 0x5000,
	 .error = EINVAL,
	 .says = "SET_VRING_ENABLE failed: Invalid argument"},
};

static int64_t state_message(int fd, uint32_t request, uint32_t num)
{
	struct vhost_vring_state state = {.num = num};

	return front_ack(fd, request, &state, sizeof(state), NULL, 0);
}

/* Memory, and the ring up to its kick. */
static void describe(int fd, const struct wrong_ring *ring, int memory, int kick)
{
	struct vhost_user_single_region region = {
		.region = {.guest_address = GUEST, .size = MEMORY, .user_address = USER}};
	struct vhost_vring_addr addr = {.desc_user_addr = ring->desc,
					.avail_user_addr = ring->avail,
					.used_user_addr = ring->used};
	uint64_t features = BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_F_VERSION_1);

	assert_int_equal(front_ack(fd, VHOST_USER_SET_FEATURES, &features, 8, NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &region, sizeof(region), &memory, 1),
			 0);
	if (ring->num)
		assert_int_equal(state_message(fd, VHOST_USER_SET_VRING_NUM, ring->num), 0);
	if (ring->base)
		assert_int_equal(state_message(fd, VHOST_USER_SET_VRING_BASE, ring->base), 0);
	if (ring->desc)
		assert_int_equal(
			front_ack(fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1), 0);
}

static int make_memory(void)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, MEMORY), 0);
	return fd;
}

static void rings_that_cannot_start(void **state)
{
	int memory = make_memory(), kick = eventfd(0, EFD_CLOEXEC);

	for (unsigned i = 0; i < sizeof(wrong_rings) / sizeof(wrong_rings[0]); i++) {
		struct front_message answer;
		int fd;

		refusing_begin();
		fd = front_connect(refusing_path());
		front_greet(fd, NULL);
		describe(fd, &wrong_rings[i], memory, kick);
		assert_int_equal(state_message(fd, VHOST_USER_SET_VRING_ENABLE, 1),
				 wrong_rings[i].error);
		refusing_says(wrong_rings[i].says);
		/* the connection lives on, and a ring that did not start can be stopped */
		assert_int_equal(
			front_ask(fd, VHOST_USER_GET_VRING_BASE, (uint32_t[]){0, 0}, 8, &answer),
			0);
		close(fd);
		refusing_settle();
	}
	close(memory);
	close(kick);
}

/* A ring that begins within a region and ends behind it: nothing beyond is touched. */
static void ring_longer_than_its_region(void **state)
{
	const struct wrong_ring ring = {.num = 256,
					.desc = USER + MEMORY - 16,
					.avail = USER + 0x4000,
					.used = USER + 0x5000};
	uint64_t one = 1, status = 15;
	int memory = make_memory(), kick = eventfd(0, EFD_CLOEXEC), fd;
	uint16_t *avail;

	avail = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0x4000);
	assert_true(avail != MAP_FAILED);
	avail[1] = 1; /* a chain that begins with descriptor 7, which lies nowhere */
	avail[2] = 7;
	munmap(avail, 4096);
	refusing_begin();
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	describe(fd, &ring, memory, kick);
	assert_int_equal(state_message(fd, VHOST_USER_SET_VRING_ENABLE, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_STATUS, (uint64_t[]){11}, 8, NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_STATUS, &status, 8, NULL, 0), 0);
	assert_int_equal(write(kick, &one, 8), 8);
	refusing_says("queue 0");
	close(fd);
	refusing_settle();
	close(memory);
	close(kick);
}

/* What a ring's set-up was stays while it runs. */
static void changes_while_running(void **state)
{
	struct vhost_vring_addr addr = {.desc_user_addr = 64};
	struct vhost_user_inflight inflight;
	struct uvdpa_error e = {0};
	struct uvdpa_blk *blk;
	struct session s;
	uint64_t features;
	void *data;
	int other;

	session_init(&s, 1 << 20);
	refusing_begin();
	session_start(&s, refusing_path(), 0);
	inflight = s.inflight;
	features = s.features & ~BIT(VIRTIO_BLK_F_FLUSH);
	assert_int_equal(state_message(s.fd, VHOST_USER_SET_VRING_NUM, 64), EBUSY);
	refusing_says("SET_VRING_NUM of ring 0 while it runs");
	assert_int_equal(state_message(s.fd, VHOST_USER_SET_VRING_BASE, 1), EBUSY);
	refusing_says("SET_VRING_BASE of ring 0 while it runs");
	assert_int_equal(front_ack(s.fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0),
			 EBUSY);
	refusing_says("SET_VRING_ADDR of ring 0 while it runs");
	assert_int_equal(front_ack(s.fd, VHOST_USER_SET_FEATURES, &features, 8, NULL, 0), EBUSY);
	refusing_says("other features while rings are started");
	assert_int_equal(front_ack(s.fd, VHOST_USER_SET_INFLIGHT_FD, &inflight, sizeof(inflight),
				   &s.inflight_fd, 1),
			 0); /* the same again */
	other = memfd_create("another record", MFD_CLOEXEC);
	assert_int_equal(ftruncate(other, (off_t)inflight.mmap_size), 0);
	assert_int_equal(
		front_ack(s.fd, VHOST_USER_SET_INFLIGHT_FD, &inflight, sizeof(inflight), &other, 1),
		EBUSY);
	close(other);
	refusing_says("SET_INFLIGHT_FD while rings are started");
	/* none of which has disturbed it */
	assert_int_equal(uvdpa_blk_new(s.memory, s.queue, 4, &blk, &e), 0);
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	assert_int_equal(uvdpa_blk_read(blk, 0, data, 4096, 1), 0);
	assert_int_equal(uvdpa_blk_finish(blk, 1, PATIENCE_MS), 0);
	assert_int_equal(session_stop(&s), 1);
	session_hang_up(&s);
	close(s.inflight_fd); /* it is one more than there was */
	s.inflight_fd = -1;
	refusing_settle();
	uvdpa_blk_free(blk);
	session_free(&s);
}

static void logs(void **state)
{
	struct front_message m = {.request = VHOST_USER_SET_LOG_BASE,
				  .flags = 1,
				  .size = sizeof(struct vhost_user_log),
				  .fd_count = 1};
	int event = eventfd(0, EFD_CLOEXEC), file = make_memory();
	static const struct {
		struct vhost_user_log log;
		const char *says;
	} wrong[] = {
		{{.mmap_size = 0}, "the dirty log of 0x0 bytes"},
		{{.mmap_size = UINT64_MAX}, "a log of 0xffffffffffffffff bytes does not fit"},
		{{.mmap_size = MEMORY + 1}, "ends after its file, which has 0x10000 bytes"},
		{{.mmap_size = 4096, .mmap_offset = MEMORY},
		 "ends after its file, which has 0x10000 bytes"},
		{{.mmap_size = 4096, .mmap_offset = UINT64_MAX - 5}, "the dirty log of 0x1000"},
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		m.fds[0] = file;
		m.payload.log = wrong[i].log;
		refusing_hang_up(&m, wrong[i].says);
	}
	m.fds[0] = event;
	m.payload.log = (struct vhost_user_log){.mmap_size = 4096};
	refusing_hang_up(&m, "the dirty log: its descriptor is no file");
	close(event);
	close(file);
}

static void records(void **state)
{
	struct front_message m = {.request = VHOST_USER_GET_INFLIGHT_FD,
				  .flags = 1,
				  .size = sizeof(struct vhost_user_inflight)};
	struct vhost_user_inflight fits = {.mmap_size = 0x8000, .queues = 1, .queue_size = 64};
	int event = eventfd(0, EFD_CLOEXEC), file = make_memory();
	static const struct {
		struct vhost_user_inflight in;
		const char *says;
	} wrong[] = {
		{{.mmap_size = 0x8000, .queues = 3, .queue_size = 64}, "a record of 3 queues"},
		{{.mmap_size = 0x8000, .queues = 0, .queue_size = 64}, "a record of 0 queues"},
		{{.mmap_size = 0x8000, .queues = 1, .queue_size = 512}, "with 512 entries"},
		{{.mmap_size = 16, .queues = 1, .queue_size = 64}, "SET_INFLIGHT_FD of 0x10 bytes"},
		{{.mmap_size = 0x8000, .mmap_offset = 1, .queues = 1, .queue_size = 64},
		 "SET_INFLIGHT_FD of 0x8000 bytes at 0x1"},
		{{.mmap_size = MEMORY + 64, .queues = 1, .queue_size = 64}, "ends after its file"},
		{{.mmap_size = UINT64_MAX, .queues = 1, .queue_size = 64},
		 "the record of requests"},
	};

	m.payload.inflight = (struct vhost_user_inflight){.queues = UINT16_MAX, .queue_size = 64};
	refusing_hang_up(&m, "a record of 65535 queues");
	m.payload.inflight = (struct vhost_user_inflight){.queues = 1, .queue_size = UINT16_MAX};
	refusing_hang_up(&m, "with 65535 entries");
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		refusing_error(VHOST_USER_SET_INFLIGHT_FD, &wrong[i].in, sizeof(wrong[i].in), &file,
			       1, EINVAL, wrong[i].says);
	refusing_error(VHOST_USER_SET_INFLIGHT_FD, &fits, sizeof(fits), &event, 1, EINVAL,
		       "the record of requests: its descriptor is no file");
	/* a record of another version: the word after the features */
	assert_int_equal(pwrite(file, (uint16_t[]){7}, 2, 8), 2);
	refusing_error(VHOST_USER_SET_INFLIGHT_FD, &fits, sizeof(fits), &file, 1, EINVAL,
		       "the record of queue 0 has version 7");
	close(event);
	close(file);
}

static void config_and_status(void **state)
{
	union vhost_user_payload p = {.config = {.offset = 200, .size = 8}};
	struct front_message answer;
	int fd;

	refusing_error(VHOST_USER_SET_CONFIG, &p, VHOST_USER_CONFIG_HEADER + 8, NULL, 0, EINVAL,
		       "SET_CONFIG at 200: beyond the config space");
	p.config.offset = UINT32_MAX;
	refusing_error(VHOST_USER_SET_CONFIG, &p, VHOST_USER_CONFIG_HEADER + 8, NULL, 0, EINVAL,
		       "SET_CONFIG at 4294967295");
	refusing_error(VHOST_USER_SET_STATUS, (uint64_t[]){256}, 8, NULL, 0, EINVAL,
		       "status 0x100");
	refusing_begin();
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	/* the protocol's way to say no to a question */
	assert_int_equal(
		front_ask(fd, VHOST_USER_GET_CONFIG, &p, VHOST_USER_CONFIG_HEADER + 8, &answer), 0);
	assert_int_equal(answer.size, 0);
	close(fd);
	refusing_settle();
}

static void too_many_regions(void **state)
{
	struct vhost_user_single_region r = {.region = {.size = 4096}};
	int file = make_memory(), fd;

	refusing_begin();
	fd = front_connect(refusing_path());
	front_greet(fd, NULL);
	for (unsigned i = 0; i < 513; i++) {
		r.region.guest_address = r.region.user_address = (i + 1) * 0x10000ull;
		assert_int_equal(front_ack(fd, VHOST_USER_ADD_MEM_REG, &r, sizeof(r), &file, 1),
				 i < 512 ? 0 : ENOSPC);
	}
	refusing_says("more than 512 regions");
	close(fd);
	refusing_settle();
	close(file);
}

/* Who comes second is turned away and told nothing; the first does not notice. */
static void second_client(void **state)
{
	struct front_message answer, ask = {.request = VHOST_USER_GET_FEATURES, .flags = 1};
	int first, second;

	refusing_begin();
	first = front_connect(refusing_path());
	front_greet(first, NULL);
	for (unsigned i = 0; i < 3; i++) {
		second = front_connect(refusing_path());
		front_send(second, &ask); /* it may be closed already */
		assert_int_equal(front_receive(second, &answer), -1);
		close(second);
		refusing_says("a second vhost-user front end was turned away: the device has "
			      "vhost-user front end, pid");
		assert_int_equal(front_ask(first, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	}
	close(first);
	refusing_settle();
}

/* RESET_DEVICE of a running device: rings are stopped and disabled, and can be set up again. */
static void reset_and_again(void **state)
{
	struct front_message answer;
	struct uvdpa_error e = {0};
	struct uvdpa_blk *blk;
	struct session s;
	void *data;
	int kick;

	session_init(&s, 1 << 20);
	s.without_record = true;
	refusing_begin();
	session_start(&s, refusing_path(), 0);
	kick = uvdpa_queue_kick_fd(s.queue);
	assert_int_equal(uvdpa_blk_new(s.memory, s.queue, 4, &blk, &e), 0);
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	for (uint64_t i = 1; i <= 5; i++) {
		assert_int_equal(uvdpa_blk_read(blk, 0, data, 4096, i), 0);
		assert_int_equal(uvdpa_blk_finish(blk, i, PATIENCE_MS), 0);
		assert_int_equal(front_ack(s.fd, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
		assert_int_equal(
			front_ask(s.fd, VHOST_USER_GET_VRING_BASE, (uint32_t[]){0, 0}, 8, &answer),
			0);
		/* as QEMU goes on after a reset of its machine, but with the ring where it was */
		session_send_features(&s, s.features);
		assert_int_equal(state_message(s.fd, VHOST_USER_SET_VRING_NUM, SESSION_RING), 0);
		assert_int_equal(state_message(s.fd, VHOST_USER_SET_VRING_BASE, (uint32_t)i), 0);
		session_send_addr(&s);
		assert_int_equal(
			front_ack(s.fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1),
			0);
		assert_int_equal(state_message(s.fd, VHOST_USER_SET_VRING_ENABLE, 1), 0);
	}
	assert_int_equal(session_stop(&s), 5);
	session_hang_up(&s);
	refusing_settle();
	uvdpa_blk_free(blk);
	session_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rings_that_cannot_start),
		cmocka_unit_test(ring_longer_than_its_region),
		cmocka_unit_test(changes_while_running),
		cmocka_unit_test(logs),
		cmocka_unit_test(records),
		cmocka_unit_test(config_and_status),
		cmocka_unit_test(too_many_regions),
		cmocka_unit_test(second_client),
		cmocka_unit_test(reset_and_again),
	};

	return cmocka_run_group_tests(tests, refusing_set_up, refusing_tear_down);
}
