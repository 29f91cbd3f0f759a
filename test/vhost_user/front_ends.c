/*
 * What front ends of other programs say, in their order: libblkio, which Debian 12 does not have
 * (so its messages are played back here, from what its source says that it needs), and the two
 * things in which DPDK's virtio-user is content with less than the specification (the program
 * itself is tried in test/guest/run_testpmd).
 */
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/logged.h"
#include "vhost_user/session.h"

#define BIT(n)	    (1ull << (n))
#define QUEUES_AT   0x100000ull
#define BUFFERS_AT  0x40000000ull
#define BUFFERS	    0x10000u
#define PATIENCE_MS 60000

/* --- libblkio ----------------------------------------------------------------------------------
 */

static void say(int fd, uint32_t request, const void *payload, uint32_t size)
{
	struct front_message m = {.request = request, .flags = VHOST_USER_VERSION, .size = size};

	if (size)
		memcpy(&m.payload, payload, size);
	assert_int_equal(front_send(fd, &m), 0);
}

static uint64_t ask(int fd, uint32_t request)
{
	struct front_message m = {.request = request,
				  .flags = VHOST_USER_VERSION | VHOST_USER_NEED_REPLY},
			     answer;

	/* asked for an answer of its own, the flag changes nothing: there is one, not two */
	assert_int_equal(front_send(fd, &m), 0);
	assert_int_equal(front_receive(fd, &answer), 0);
	assert_int_equal(answer.request, request);
	assert_int_equal(answer.size, 8);
	return answer.payload.u64;
}

static void region(int fd, uint32_t request, uint64_t at, uint64_t size, int file)
{
	struct vhost_user_single_region r = {
		.region = {.guest_address = at, .size = size, .user_address = at}};

	assert_int_equal(front_ack(fd, request, &r, sizeof(r), &file, 1), 0);
}

/* As libblkio connects: features come before the protocol's, and no STATUS. Returns the socket. */
static int blkio_connect(const char *path)
{
	const uint64_t needed = BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
				BIT(VHOST_USER_PROTOCOL_F_CONFIG) |
				BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	int fd = front_connect(path);
	struct front_message answer;
	uint64_t features, protocol;

	say(fd, VHOST_USER_SET_OWNER, NULL, 0);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	features = answer.payload.u64;
	assert_true(features & BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	features &= BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_F_VERSION_1) |
		    BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ);
	say(fd, VHOST_USER_SET_FEATURES, &features, 8);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0, &answer), 0);
	assert_int_equal(answer.payload.u64 & needed, needed);
	protocol = answer.payload.u64 & (needed | BIT(VHOST_USER_PROTOCOL_F_MQ));
	say(fd, VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, 8);
	assert_int_equal(ask(fd, VHOST_USER_GET_QUEUE_NUM), 2);
	assert_true(ask(fd, VHOST_USER_GET_MAX_MEM_SLOTS) >= 8);
	return fd;
}

/* Its idea of the config space is longer than ours may be: all of it is answered. */
static void blkio_config(int fd)
{
	union vhost_user_payload p = {.config = {.size = 96}};
	struct front_message m = {.request = VHOST_USER_GET_CONFIG,
				  .flags = VHOST_USER_VERSION | VHOST_USER_NEED_REPLY,
				  .size = VHOST_USER_CONFIG_HEADER + 96,
				  .payload = p},
			     answer;
	uint64_t capacity;

	assert_int_equal(front_send(fd, &m), 0);
	assert_int_equal(front_receive(fd, &answer), 0);
	assert_int_equal(answer.size, VHOST_USER_CONFIG_HEADER + 96);
	memcpy(&capacity, answer.payload.config.bytes, 8);
	assert_int_equal(capacity, (16 << 20) / 512);
}

static void blkio_ring(int fd, struct uvdpa_memory *memory, struct uvdpa_queue *queue)
{
	struct vhost_vring_state state = {.num = 64};
	struct vhost_vring_addr addr = {0};
	struct uvdpa_queue_areas a;
	int kick = uvdpa_queue_kick_fd(queue), call = uvdpa_queue_call_fd(queue);

	uvdpa_queue_areas(queue, &a);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_NUM, &state, 8, NULL, 0), 0);
	state.num = 0;
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_BASE, &state, 8, NULL, 0), 0);
	addr.desc_user_addr = uvdpa_memory_iova(memory, a.desc);
	addr.avail_user_addr = uvdpa_memory_iova(memory, a.avail);
	addr.used_user_addr = uvdpa_memory_iova(memory, a.used);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, &call, 1), 0);
	state.num = 1;
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_ENABLE, &state, 8, NULL, 0), 0);
}

/* One request whose data lies in a region of its own. */
static void transfer(struct uvdpa_memory *memory, struct uvdpa_queue *queue, uint32_t type)
{
	struct virtio_blk_outhdr *header = uvdpa_memory_alloc(memory, sizeof(*header), 16);
	unsigned char *status = uvdpa_memory_alloc(memory, 1, 1);
	struct uvdpa_segment segments[3] = {
		{.iova = uvdpa_memory_iova(memory, header), .len = sizeof(*header)},
		{.iova = BUFFERS_AT + 4096, .len = 4096, .writable = type == VIRTIO_BLK_T_IN},
		{.iova = uvdpa_memory_iova(memory, status), .len = 1, .writable = 1},
	};
	struct uvdpa_completion done;

	*header = (struct virtio_blk_outhdr){.type = type, .sector = 8};
	*status = 0xff;
	assert_int_equal(uvdpa_queue_add(queue, segments, 3, 0, 1), 0);
	assert_true(uvdpa_queue_submit(queue) >= 0);
	assert_int_equal(uvdpa_queue_wait(queue, PATIENCE_MS), 1);
	assert_int_equal(uvdpa_queue_poll(queue, &done, 1), 1);
	assert_int_equal(*status, VIRTIO_BLK_S_OK);
}

/* Buffers come and go while the rings run. */
static void libblkio(void **state)
{
	struct uvdpa_error e = {0};
	struct uvdpa_memory *memory;
	struct uvdpa_queue *queue;
	struct disk disk;
	unsigned char *data;
	int fd, file;

	disk_open(&disk, &(struct disk_options){.queues = 2});
	assert_int_equal(
		uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20, .iova = QUEUES_AT},
				 &memory, &e),
		0);
	assert_int_equal(
		uvdpa_queue_new(memory, &(struct uvdpa_queue_options){.size = 64}, &queue, &e), 0);
	fd = blkio_connect(disk.path);
	blkio_config(fd);
	region(fd, VHOST_USER_ADD_MEM_REG, QUEUES_AT, 1 << 20, uvdpa_memory_fd(memory));
	blkio_ring(fd, memory, queue);
	for (unsigned i = 0; i < 10; i++) {
		file = memfd_create("buffers", MFD_CLOEXEC);
		assert_int_equal(ftruncate(file, BUFFERS), 0);
		data = mmap(NULL, BUFFERS, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		assert_true(data != MAP_FAILED);
		region(fd, VHOST_USER_ADD_MEM_REG, BUFFERS_AT, BUFFERS, file);
		memset(data + 4096, (int)i + 1, 4096);
		transfer(memory, queue, VIRTIO_BLK_T_OUT);
		memset(data + 4096, 0, 4096);
		transfer(memory, queue, VIRTIO_BLK_T_IN);
		assert_int_equal(data[4096], i + 1);
		assert_int_equal(data[8191], i + 1);
		/* the descriptor that it sends along is of no use, and no harm */
		region(fd, VHOST_USER_REM_MEM_REG, BUFFERS_AT, BUFFERS, file);
		munmap(data, BUFFERS);
		close(file);
	}
	close(fd);
	uvdpa_queue_free(queue);
	uvdpa_memory_free(memory);
	disk_close(&disk);
}

/* --- DPDK ----------------------------------------------------------------------------------------
 */

/* A packed ring that starts at `base`; where it says that it stands. */
static uint32_t start_packed(const struct disk *disk, uint32_t base)
{
	const uint64_t features = BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_F_VERSION_1) |
				  BIT(VIRTIO_F_RING_PACKED);
	int fd = front_connect(disk->path), file = memfd_create("ring", MFD_CLOEXEC);
	int kick = eventfd(0, EFD_CLOEXEC);
	struct vhost_vring_state state = {.num = 64};
	struct vhost_vring_addr addr = {.desc_user_addr = QUEUES_AT,
					.avail_user_addr = QUEUES_AT + 0x1000,
					.used_user_addr = QUEUES_AT + 0x2000};
	uint64_t protocol = BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
			    BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	struct front_message answer;

	assert_int_equal(ftruncate(file, 0x10000), 0);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_FEATURES, NULL, 0, &answer), 0);
	say(fd, VHOST_USER_SET_PROTOCOL_FEATURES, &protocol, 8);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_FEATURES, &features, 8, NULL, 0), 0);
	region(fd, VHOST_USER_ADD_MEM_REG, QUEUES_AT, 0x10000, file);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_NUM, &state, 8, NULL, 0), 0);
	state.num = base;
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_BASE, &state, 8, NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1), 0);
	state.num = 1;
	assert_int_equal(front_ack(fd, VHOST_USER_SET_VRING_ENABLE, &state, 8, NULL, 0), 0);
	assert_int_equal(front_ask(fd, VHOST_USER_GET_VRING_BASE, &state, 8, &answer), 0);
	close(fd);
	close(file);
	close(kick);
	return answer.payload.state.num;
}

/* The driver's half of a packed position alone; both halves mean what they say. */
static void half_positions(void **state)
{
	struct disk disk;

	disk_open(&disk, &(struct disk_options){.packed = true});
	assert_int_equal(start_packed(&disk, 0x8000), 0x80008000);
	assert_int_equal(start_packed(&disk, 0x8007), 0x80078007);
	assert_int_equal(start_packed(&disk, 0x80058005), 0x80058005);
	disk_close(&disk);
}

static void write_one(struct session *s, struct uvdpa_blk *blk, unsigned char *data,
		      uint64_t cookie)
{
	memset(data, (int)cookie, 4096);
	assert_int_equal(uvdpa_blk_write(blk, 8 * cookie, data, 4096, cookie), 0);
	assert_int_equal(uvdpa_blk_finish(blk, cookie, PATIENCE_MS), 0);
}

/* A server that came back is told that the ring begins at 0, and the ring says otherwise. */
static void stale_base(void **state)
{
	struct uvdpa_error e = {0};
	struct uvdpa_blk *blk;
	struct session s;
	struct disk disk;
	unsigned char *data;

	disk_open(&disk, &(struct disk_options){0});
	session_init(&s, 1 << 20);
	s.without_record = true;
	session_start(&s, disk.path, 0);
	assert_int_equal(uvdpa_blk_new(s.memory, s.queue, 16, &blk, &e), 0);
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	for (uint64_t i = 1; i <= 200; i++) /* the ring has 128 */
		write_one(&s, blk, data, i);
	session_hang_up(&s);
	logged_forget();
	session_start(&s, disk.path, 0);
	write_one(&s, blk, data, 201);
	assert_int_equal(session_stop(&s), 201);
	assert_true(logged("queue 0: base 0 cannot be"));
	session_hang_up(&s);
	logged_forget();
	session_start(&s, disk.path, 201);
	write_one(&s, blk, data, 202);
	assert_false(logged("cannot be"));
	uvdpa_blk_free(blk);
	session_free(&s);
	disk_close(&disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libblkio),
		cmocka_unit_test(half_positions),
		cmocka_unit_test(stale_base),
	};

	logged_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
