/*
 * Client mode (connect=): the front end listens and the server comes to it. Each side goes and
 * comes back, in either order, and the disk is used in between.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "uvdpa/driver.h"
#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/user.h"

#define RECONNECT_MS 20
#define PATIENCE_MS  60000

static char folder[64], path[96];

static int set_up(void **state)
{
	snprintf(folder, sizeof(folder), "/tmp/uvdpa-vu-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/front", folder);
	return 0;
}

static int tear_down(void **state)
{
	rmdir(folder);
	return 0;
}

static int start_listening(void)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static void stop_listening(int fd)
{
	unlink(path);
	close(fd);
}

static int accept_server(int listener)
{
	struct pollfd look = {.fd = listener, .events = POLLIN};
	int fd;

	assert_int_equal(poll(&look, 1, PATIENCE_MS), 1);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* The server may turn itself away, as long as it has not let go of the one before; it comes again.
 */
static void open_driver(struct user *u, int listener, struct uvdpa_error *e)
{
	int r = -1;

	for (unsigned i = 0; r < 0 && i < 100; i++)
		r = uvdpa_driver_open_socket(accept_server(listener), path, 0, &u->drv, e);
	must(r, e);
}

static void user_start(struct user *u, int listener)
{
	struct uvdpa_error e = {0};

	memset(u, 0, sizeof(*u));
	open_driver(u, listener, &e);
	assert_string_equal(uvdpa_driver_name(u->drv), path);
	user_begin(u, 0, 4096);
}

/* Writes `mark`, after having read what the last one wrote. */
static void use(struct user *u, unsigned char last, unsigned char mark)
{
	assert_int_equal(uvdpa_blk_read(u->blk, 8, u->data, 4096, 1), 0);
	assert_int_equal(uvdpa_blk_finish(u->blk, 1, PATIENCE_MS), 0);
	assert_int_equal(u->data[0], last);
	assert_int_equal(u->data[4095], last);
	memset(u->data, mark, 4096);
	assert_int_equal(uvdpa_blk_write(u->blk, 8, u->data, 4096, 2), 0);
	assert_int_equal(uvdpa_blk_finish(u->blk, 2, PATIENCE_MS), 0);
}

static struct disk_options options(void)
{
	return (struct disk_options){.path = path, .reconnect_ms = RECONNECT_MS};
}

/* The server is first and waits; front ends come and go, with and without a socket in between. */
static void front_ends_come_and_go(void **state)
{
	struct disk_options o = options();
	unsigned char mark = 0;
	struct disk disk;
	struct user u;
	int listener;

	disk_open(&disk, &o);
	for (unsigned i = 0; i < 3; i++) {
		listener = start_listening();
		for (unsigned k = 0; k < 3; k++, mark++) {
			user_start(&u, listener);
			use(&u, mark, mark + 1);
			user_end(&u);
		}
		stop_listening(listener);
	}
	disk_close(&disk);
}

/* A front end sees its server hang up, and the next one come. */
static void servers_come_and_go(void **state)
{
	char image[] = "/tmp/uvdpa-vu-image-XXXXXX";
	struct disk_options o = options();
	struct uvdpa_blk_completion done;
	int listener = start_listening(), fd = mkstemp(image);
	struct disk disk;
	struct user u;

	assert_true(fd >= 0 && ftruncate(fd, 1 << 20) == 0);
	o.file = image;
	for (unsigned char mark = 0; mark < 3; mark++) {
		disk_open(&disk, &o);
		user_start(&u, listener);
		use(&u, mark, mark + 1);
		disk_close(&disk);
		/* what is asked of a server that is gone is answered by nobody */
		assert_int_equal(uvdpa_blk_read(u.blk, 8, u.data, 4096, 3), 0);
		assert_true(uvdpa_queue_submit(u.queue) >= 0);
		assert_int_equal(uvdpa_blk_poll(u.blk, &done, 1), 0);
		assert_true(uvdpa_driver_reset(u.drv) < 0);
		user_end(&u);
	}
	stop_listening(listener);
	close(fd);
	unlink(image);
}

/*
 * A front end that hangs up at once is not asked again at once: the server would do nothing else.
 * The clock starts before the first attempt, so a busy machine makes this longer, never shorter.
 */
static void attempts_have_a_distance(void **state)
{
	struct disk_options o = options();
	int listener = start_listening();
	struct disk disk;
	uint64_t began = runtime_now_ms();

	disk_open(&disk, &o);
	for (unsigned i = 0; i < 6; i++)
		close(accept_server(listener));
	assert_true(runtime_now_ms() - began >= 5 * RECONNECT_MS);
	stop_listening(listener);
	disk_close(&disk);
}

/* A device that somebody has by another export is not offered to the front end meanwhile. */
static void not_while_it_is_taken(void **state)
{
	struct disk_options o = options();
	struct pollfd look = {.fd = start_listening(), .events = POLLIN};
	struct error f = {0};
	unsigned attempts = 0;
	struct disk disk;
	struct user u;

	disk_open(&disk, &o);
	close(accept_server(look.fd));
	/* the export lets go of the device when it has seen that */
	while (runtime_acquire(disk.runtime, &(struct device_owner){.who = "another export"}, &f) <
	       0) {
		if (poll(&look, 1, 0) > 0)
			close(accept_server(look.fd));
		usleep(1000);
	}
	/* one attempt may have been under way */
	for (; attempts < 2 && poll(&look, 1, 5 * RECONNECT_MS) > 0; attempts++)
		close(accept_server(look.fd));
	assert_true(attempts < 2);
	runtime_release(disk.runtime);
	user_start(&u, look.fd);
	use(&u, 0, 1);
	user_end(&u);
	stop_listening(look.fd);
	disk_close(&disk);
}

static void names(void **state)
{
	struct vhost_user_options o = {.client = true};
	struct disk_options with = options();
	struct vhost_user *export = NULL;
	struct error f = {0};
	struct disk disk;
	char name[200];

	disk_open(&disk, &with);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	o.path = name;
	assert_int_equal(vhost_user_open(&o, disk.runtime, &export, &f), -ENAMETOOLONG);
	assert_non_null(strstr(f.text, "107 bytes"));
	disk_close(&disk);
}

static void nothing_is_left(void **state)
{
	struct holdings before = holdings_now();

	front_ends_come_and_go(state);
	servers_come_and_go(state);
	attempts_have_a_distance(state);
	assert_true(holdings_return_to(&before));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(front_ends_come_and_go),
		cmocka_unit_test(servers_come_and_go),
		cmocka_unit_test(attempts_have_a_distance),
		cmocka_unit_test(not_while_it_is_taken),
		cmocka_unit_test(names),
		cmocka_unit_test(nothing_is_left),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
