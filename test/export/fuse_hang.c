/*
 * The file export under clients that will not let go, and when it stops: nobody
 * can keep the server from serving others, nor from ending.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/fuse/fuse.h"
#include "export/fuse_client.h"
#include "lib/page.h"

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* A page of ours that nobody fills in: whoever touches it waits until the page is resolved. */
struct tarpit {
	int fd;
	uint8_t *page;
};

static bool tarpit_make(struct tarpit *pit)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};

	pit->fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (pit->fd < 0)
		return false;
	pit->page =
		mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	range.range.start = (uintptr_t)pit->page;
	range.range.len = page_size();
	return !ioctl(pit->fd, UFFDIO_API, &api) && !ioctl(pit->fd, UFFDIO_REGISTER, &range);
}

/* In a child: a request whose header is in a tarpit, so that the device's worker waits there. */
static void hang_worker(int report)
{
	const uint64_t iova = 1ull << 40;
	struct tarpit pit;
	struct target *t;
	void *state;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (target_setup(&state, "disk") || !tarpit_make(&pit)) {
		if (write(report, "n", 1) < 0)
			_exit(2);
		_exit(1);
	}
	t = state;
	t_up(t);
	t_msg(t, 0, VHOST_IOTLB_UPDATE, iova, 4096, (uintptr_t)pit.page, 3);
	t_post(t, 0);
	vq_desc(&t->vq[0], 0, iova, 16, 1, 1);
	t_kick(t, 0);
	if (write(report, "h", 1) != 1)
		_exit(1);
	pause();
	_exit(0);
}

/* Calls in a row, after which the server's reader does not sleep: its thread serves the next, too.
 */
static void set_up_in_a_row(int fd)
{
	uint8_t status[] = {0, 1, 3, 11};
	uint64_t features = 0;

	ioctl(fd, VHOST_SET_OWNER, NULL);
	ioctl(fd, VHOST_GET_FEATURES, &features);
	for (unsigned i = 0; i < 3; i++)
		ioctl(fd, VHOST_VDPA_SET_STATUS, &status[i]);
	ioctl(fd, VHOST_SET_FEATURES, &features);
	for (unsigned i = 0; i < 10; i++)
		ioctl(fd, VHOST_VDPA_SET_STATUS, &status[3]);
}

/* In a child: a call whose argument is in a tarpit, so that the server's thread waits there. */
static void hang_in(const char *device, int report)
{
	struct tarpit pit;
	int fd = open_device(device, O_RDWR), r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	r = fd >= 0 && tarpit_make(&pit);
	if (r && strcmp(device, "stuck") == 0)
		set_up_in_a_row(fd);
	if (write(report, r ? "h" : "n", 1) != 1 || !r)
		_exit(1);
	ioctl(fd, VHOST_VDPA_GET_CONFIG, pit.page);
	_exit(0);
}

/* Starts a client that hangs in a call, or (NULL) its disk's worker; 0: no userfaultfd here. */
static pid_t start_hanging(const char *device)
{
	int report[2];
	char said = 0;
	pid_t pid;

	assert_int_equal(pipe(report), 0);
	pid = fork();
	if (!pid && !device)
		hang_worker(report[1]);
	if (!pid)
		hang_in(device, report[1]);
	assert_int_equal(read(report[0], &said, 1), 1);
	close(report[0]);
	close(report[1]);
	if (said == 'h') {
		nap(50000000);
		return pid;
	}
	waitpid(pid, NULL, 0);
	return 0;
}

/*
 * Last of all: two clients hold two of the server's threads. Other devices are served, and when
 * the server stops, it gets its threads back.
 */
static void hanging_clients(void **state)
{
	pid_t one = start_hanging("slow"), two = one ? start_hanging("stuck") : 0;

	if (!one) {
		print_message("skipped: no userfaultfd here\n");
		skip();
	}
	use_memory(
		mmap(NULL, TARGET_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	close_and_open(state);
	kill(one, SIGKILL);
	close_and_open(state);
	assert_int_equal(fuse_server_stop(&server), 0);
	kill(two, SIGKILL);
	waitpid(one, NULL, 0);
	waitpid(two, NULL, 0);
	fuse_server_start(&server);
}

/* A device whose worker its client keeps waiting: others are served; it is back when they let go.
 */
static void hanging_worker(void **state)
{
	pid_t pid = start_hanging(NULL);
	void *mine;
	int fd;

	if (!pid) {
		print_message("skipped: no userfaultfd here\n");
		skip();
	}
	assert_int_equal(target_setup(&mine, "once"), 0);
	t_up(mine);
	t_post(mine, 0);
	t_kick(mine, 0);
	assert_true(t_used(mine, 0, 1));
	assert_int_equal(open_device("disk", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	t_post(mine, 0);
	t_kick(mine, 0);
	assert_true(t_used(mine, 0, 2));
	target_teardown(&mine);
	fd = open_device("disk", O_RDWR);
	assert_true(fd >= 0);
	close(fd);
	use_memory(
		mmap(NULL, TARGET_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void stop_under_clients(void **state)
{
	struct target *t;
	void *mine;
	uint8_t status;

	assert_int_equal(target_setup(&mine, "slow"), 0);
	t = mine;
	t_up(t);
	t_post(t, 0);
	t_kick(t, 0);
	assert_int_equal(fuse_server_stop(&server), 0);
	assert_true(t_ioctl(t, VHOST_VDPA_GET_STATUS, &status) < 0);
	target_teardown(&mine);
	fuse_server_start(&server);
}

static void live_and_dead_mounts(void **state)
{
	struct error err = {0};
	char pid[32];

	snprintf(pid, sizeof(pid), "process %d", (int)server.pid);
	assert_int_equal(fuse_mount_prepare(server.mount, &err), -EBUSY);
	assert_non_null(strstr(err.text, pid));
	kill(server.pid, SIGKILL);
	waitpid(server.pid, NULL, 0);
	assert_int_equal(open_device("disk", O_RDWR), -1);
	assert_int_equal(errno, ENOTCONN);
	assert_int_equal(fuse_mount_prepare(server.mount, &err), 0);
	assert_int_equal(rmdir(server.mount), 0);
	rmdir(server.dir);
	close(server.stop);
	fuse_server_start(&server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hanging_worker),
		cmocka_unit_test(stop_under_clients),
		cmocka_unit_test(hanging_clients),
		cmocka_unit_test(live_and_dead_mounts),
	};
	int failed;

	fuse_server_start(&server);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	if (fuse_server_stop(&server)) {
		fprintf(stderr, "the server did not end well\n");
		failed++;
	}
	return failed ? 1 : 0;
}
