/*
 * Device state over vhost-user: saved from one disk, loaded into another, and what is refused. The
 * bytes are those of uvdpa-state(5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "device/state.h"
#include "uvdpa/driver.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"

#define SAVE   0u
#define LOAD   1u
#define FAILED 0x101u

static uint8_t bytes[STATE_MAX_BYTES];
static struct device_snapshot snapshot;

/* SET_DEVICE_STATE_FD with a pipe that nobody uses. The channel's descriptor, or minus the answer.
 */
static int transfer(int fd, uint32_t direction, uint32_t phase)
{
	struct front_message m = {.request = VHOST_USER_SET_DEVICE_STATE_FD,
				  .flags = VHOST_USER_VERSION,
				  .size = 8,
				  .fd_count = 1};
	struct front_message answer;
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	m.payload.transfer.direction = direction;
	m.payload.transfer.phase = phase;
	m.fds[0] = ends[direction == SAVE];
	assert_int_equal(front_send(fd, &m), 0);
	assert_int_equal(front_receive(fd, &answer), 0);
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(answer.size, 8);
	assert_int_equal(answer.fd_count, answer.payload.u64 ? 0 : 1);
	return answer.payload.u64 ? -(int)answer.payload.u64 : answer.fds[0];
}

static uint64_t check(int fd)
{
	struct front_message answer;

	assert_int_equal(front_ask(fd, VHOST_USER_CHECK_DEVICE_STATE, NULL, 0, &answer), 0);
	return answer.payload.u64;
}

static size_t save(int fd)
{
	int channel = transfer(fd, SAVE, 0);
	size_t size = 0;
	ssize_t n;

	assert_true(channel >= 0);
	while ((n = read(channel, bytes + size, 100)) > 0)
		size += (size_t)n;
	close(channel);
	assert_int_equal(check(fd), 0);
	return size;
}

/* Whether the device took it. */
static bool load(int fd, size_t size)
{
	int channel = transfer(fd, LOAD, 0);

	assert_true(channel >= 0);
	assert_int_equal(write(channel, bytes, size / 2), size / 2);
	assert_int_equal(write(channel, bytes + size / 2, size - size / 2), size - size / 2);
	close(channel);
	return check(fd) == 0;
}

static int greet(const char *path)
{
	int fd = front_connect(path);
	uint64_t protocol;

	assert_true(fd >= 0);
	front_greet(fd, &protocol);
	assert_true(protocol >> VHOST_USER_PROTOCOL_F_DEVICE_STATE & 1);
	return fd;
}

static bool is_restored(struct disk *disk)
{
	bool is = device_is_restored(runtime_lock(disk->runtime));

	runtime_unlock(disk->runtime);
	return is;
}

static void wait_unclaimed(struct disk *disk)
{
	char who[128];

	do {
		usleep(1000);
		runtime_owner(disk->runtime, who, sizeof(who));
	} while (who[0]);
}

/* Requests done here are not done there: the state says where the queue stands. */
static void moves(void **state)
{
	struct uvdpa_error error = {0};
	struct disk from, to;
	struct session s;
	struct uvdpa_blk *blk;
	struct error f;
	unsigned char *data;
	size_t size;
	int fd;

	disk_open(&from, &(struct disk_options){0});
	disk_open(&to, &(struct disk_options){0});
	session_init(&s, 1 << 20);
	session_start(&s, from.path, 0);
	assert_int_equal(uvdpa_blk_new(s.memory, s.queue, 16, &blk, &error), 0);
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	for (uint64_t i = 1; i <= 3; i++) {
		assert_int_equal(uvdpa_blk_write(blk, 8 * i, data, 4096, i), 0);
		assert_int_equal(uvdpa_blk_finish(blk, i, 5000), 0);
	}
	assert_int_equal(transfer(s.fd, SAVE, 0), -(int)FAILED); /* the ring runs */
	assert_int_equal(session_stop(&s), 3);
	size = save(s.fd);
	assert_int_equal(state_decode(bytes, size, &snapshot, &f), 0);
	assert_int_equal(snapshot.device_id, 2);
	assert_int_equal(snapshot.queues[0].base, 3);
	assert_true(snapshot.queues[0].ready);
	assert_int_equal(size, save(s.fd));

	fd = greet(to.path);
	assert_true(load(fd, size));
	assert_true(is_restored(&to));
	/* nobody has gone on from it: it can be saved as it is */
	assert_int_equal(size, save(fd));
	assert_int_equal(state_decode(bytes, size, &snapshot, &f), 0);
	assert_int_equal(snapshot.queues[0].base, 3);
	/* and it goes with its client */
	close(fd);
	wait_unclaimed(&to);
	assert_false(is_restored(&to));

	uvdpa_blk_free(blk);
	session_hang_up(&s);
	session_free(&s);
	disk_close(&from);
	disk_close(&to);
}

/* The server closes what is over in its own time. */
static void settle_fds(unsigned limit)
{
	for (unsigned i = 0; i < 500 && holdings_now().fds > limit; i++)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	assert_true(holdings_now().fds <= limit);
}

static void refused(void **state)
{
	struct disk disk, small;
	size_t size;
	int fd, channel;
	unsigned fds;

	disk_open(&disk, &(struct disk_options){0});
	disk_open(&small, &(struct disk_options){.size = 1 << 20});
	fd = greet(disk.path);
	size = save(fd); /* of a device that nobody has set up: there is little in it */
	assert_true(load(fd, size));
	assert_false(load(fd, 0));
	assert_false(load(fd, size - 1));
	bytes[size / 2] ^= 1;
	assert_false(load(fd, size));
	bytes[size / 2] ^= 1;
	assert_int_not_equal(check(fd), 0); /* nothing was transferred */
	assert_int_equal(transfer(fd, 2, 0), -(int)FAILED);
	assert_int_equal(transfer(fd, LOAD, 1), -(int)FAILED);
	assert_int_equal(transfer(fd, SAVE, 1), -(int)FAILED);
	/* another transfer, or none any more, ends the one before */
	fds = holdings_now().fds;
	for (unsigned i = 0; i < 20; i++)
		close(transfer(fd, LOAD, 0));
	settle_fds(fds + 1);
	/* as much as it likes to write, it does no harm */
	channel = transfer(fd, LOAD, 0);
	assert_int_equal(ftruncate(channel, 1ll << 40), 0);
	close(channel);
	assert_int_not_equal(check(fd), 0);
	settle_fds(fds);
	size = save(fd);
	close(fd);
	fd = greet(small.path);
	assert_false(load(fd, size)); /* another disk */
	assert_false(is_restored(&small));
	close(fd);
	disk_close(&disk);
	disk_close(&small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(moves),
		cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
