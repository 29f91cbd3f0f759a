/*
 * `writeback` of a disk over vhost-user (virtio 1.3, 5.2.5): what a guest sets counts at every
 * kind or is refused, and outlives what front ends do behind its back. QEMU passes a guest's
 * write on at once, SET_FEATURES only with DRIVER_OK; it stops a guest with SET_STATUS 0, and
 * repeats nothing.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "vhost_user/disk.h"
#include "vhost_user/session.h"

#define BIT(n)	  (1ull << (n))
#define AT	  offsetof(struct virtio_blk_config, wce)
#define MIGRATION 1
#define PLAIN \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_BLK_F_FLUSH) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define CHOOSES (PLAIN | BIT(VIRTIO_BLK_F_CONFIG_WCE))

static struct disk disk;
static int fd;

static int64_t set(size_t offset, const void *bytes, size_t size, uint32_t flags)
{
	union vhost_user_payload p = {
		.config = {.offset = (uint32_t)offset, .size = (uint32_t)size, .flags = flags}};

	memcpy(p.config.bytes, bytes, size);
	return front_ack(fd, VHOST_USER_SET_CONFIG, &p, VHOST_USER_CONFIG_HEADER + (uint32_t)size,
			 NULL, 0);
}

static int64_t set_mode(uint8_t mode)
{
	return set(AT, &mode, 1, 0);
}

static void get(uint8_t *config, uint32_t size)
{
	union vhost_user_payload p = {.config = {.size = size}};
	struct front_message answer;

	assert_int_equal(
		front_ask(fd, VHOST_USER_GET_CONFIG, &p, VHOST_USER_CONFIG_HEADER + size, &answer),
		0);
	assert_int_equal(answer.size, VHOST_USER_CONFIG_HEADER + size);
	memcpy(config, answer.payload.config.bytes, size);
}

static uint8_t mode(void)
{
	uint8_t config[AT + 1];

	get(config, sizeof(config));
	return config[AT];
}

static void say(uint32_t request, uint64_t value)
{
	assert_int_equal(front_ack(fd, request, &value, 8, NULL, 0), 0);
}

/* A front end of this process, as new as the device can tell. */
static void come(void)
{
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	assert_int_equal(set_mode(1), 0);
}

static int set_up(void **state)
{
	disk_open(&disk, &(struct disk_options){0});
	come();
	return 0;
}

static int tear_down(void **state)
{
	close(fd);
	disk_close(&disk);
	return 0;
}

static void run(uint64_t features)
{
	say(VHOST_USER_SET_FEATURES, features);
	say(VHOST_USER_SET_STATUS, 3);
	say(VHOST_USER_SET_STATUS, 0xf);
}

static void before_features(void **state)
{
	assert_int_equal(set_mode(0), 0);
	assert_int_equal(mode(), 0);
	run(CHOOSES);
	assert_int_equal(mode(), 0);
}

static void before_the_start(void **state)
{
	say(VHOST_USER_SET_FEATURES, CHOOSES);
	assert_int_equal(set_mode(0), 0);
	assert_int_equal(mode(), 0);
	say(VHOST_USER_SET_STATUS, 0xf);
	assert_int_equal(mode(), 0);
}

/* Stop and go on, and what a guest's own reset looks like from here. */
static void outlives_resets(void **state)
{
	run(CHOOSES);
	assert_int_equal(set_mode(0), 0);
	say(VHOST_USER_SET_STATUS, 0);
	assert_int_equal(mode(), 0);
	run(CHOOSES);
	assert_int_equal(mode(), 0);
	assert_int_equal(front_ack(fd, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0), 0);
	run(PLAIN); /* a firmware that does not know of modes */
	say(VHOST_USER_SET_STATUS, 0);
	run(CHOOSES);
	assert_int_equal(mode(), 0);
	assert_int_equal(set_mode(1), 0);
	assert_int_equal(mode(), 1);
}

static void not_negotiated(void **state)
{
	say(VHOST_USER_SET_FEATURES, PLAIN);
	assert_int_equal(set_mode(0), EINVAL);
	say(VHOST_USER_SET_STATUS, 0xf);
	assert_int_equal(set_mode(0), EINVAL);
	assert_int_equal(mode(), 1);
}

/* Rings run, are stopped one and all, and the disk stands still for its driver (S7). */
static void with_rings(void **state)
{
	struct session s;

	close(fd);
	session_init(&s, 1 << 20);
	s.features = CHOOSES;
	session_start(&s, disk.path, 0);
	fd = s.fd;
	assert_int_equal(set_mode(0), 0);
	assert_int_equal(mode(), 0);
	assert_int_equal(session_stop(&s), 0);
	assert_int_equal(mode(), 0);
	assert_int_equal(set_mode(1), 0);
	assert_int_equal(mode(), 1);
	assert_int_equal(set_mode(0), 0);
	/* other features than before are a reset */
	session_send_features(&s, CHOOSES | BIT(VIRTIO_BLK_F_SEG_MAX));
	assert_int_equal(mode(), 0);
	session_free(&s);
	come();
}

static void read_only_fields(void **state)
{
	uint8_t config[96], other;

	get(config, sizeof(config));
	for (size_t i = 0; i < sizeof(config); i++) {
		other = (uint8_t)~config[i];
		if (i == AT)
			continue;
		assert_int_equal(set(i, &other, 1, 0), EINVAL);
		assert_int_equal(set(i, &other, 1, MIGRATION), EINVAL);
		/* the document has it so for what is there already, too */
		assert_int_equal(set(i, &config[i], 1, 0), EINVAL);
		assert_int_equal(set(i, &config[i], 1, MIGRATION), 0);
	}
	config[AT] = 0;
	assert_int_equal(set(AT - 4, config + AT - 4, 8, 0), EINVAL);
	assert_int_equal(set(AT, config + AT, 2, 0), EINVAL);
	assert_int_equal(mode(), 1);
	/* a migration brings all of it */
	assert_int_equal(set(0, config, sizeof(config), MIGRATION), 0);
	assert_int_equal(mode(), 0);
	config[0] ^= 1;
	config[AT] = 1;
	assert_int_equal(set(0, config, sizeof(config), MIGRATION), EINVAL);
	assert_int_equal(mode(), 0);
}

/* QEMU connects again and believes what it was told; another process finds a new device. */
static void who_comes_back(void **state)
{
	int status;
	pid_t pid;

	assert_int_equal(set_mode(0), 0);
	close(fd);
	fd = front_connect(disk.path);
	front_greet(fd, NULL);
	assert_int_equal(mode(), 0);
	close(fd);
	pid = fork();
	if (pid == 0) {
		fd = front_connect(disk.path);
		front_greet(fd, NULL);
		_exit(mode());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 1 << 8);
	come();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(before_features), CASE(before_the_start), CASE(outlives_resets),
		CASE(not_negotiated),  CASE(with_rings),       CASE(read_only_fields),
		CASE(who_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
