/*
 * The file export and its clients' lives: who may have a device, what happens
 * when clients fork, die or lie, and that nothing of them is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/fuse_client.h"
#include "export/target.h"

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

static void one_opener(void **state) /* KC01, KC02 */
{
	uint8_t status = 1;
	int fd = open_device("disk", O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(open_device("disk", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(ioctl(fd, VHOST_VDPA_SET_STATUS, &status), 0);
	assert_int_equal(ioctl(fd, VHOST_VDPA_SUSPEND), 0);
	assert_int_equal(write(fd, &status, 1), -1);
	assert_int_equal(errno, EBADF);
	close(fd);
	fd = open_device("disk", O_RDWR | O_TRUNC);
	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, VHOST_VDPA_GET_STATUS, &status), 0);
	assert_int_equal(status, 0);
	close(fd);
}

static void file_operations(void **state) /* KI20, and docs/uapi.md for the rest */
{
	int fd = open_device("disk", O_RDWR), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLIN};
	struct pollfd look = {.fd = fd, .events = POLLIN | POLLOUT};
	char bytes[72] = {0};

	assert_int_equal(read(fd, bytes, sizeof(bytes)), -1);
	assert_int_equal(errno, EINVAL);
	assert_int_equal(poll(&look, 1, 0), 1);
	assert_int_equal(look.revents, POLLIN | POLLOUT);
	assert_int_equal(lseek(fd, 0, SEEK_SET), -1);
	assert_int_equal(errno, ESPIPE);
	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
	assert_ptr_equal(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
	assert_int_equal(errno, ENODEV);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	close(epoll);
	close(fd);
}

/* KI18, and a message that lies across pages: the kernel hands it over in one piece all the same.
 */
static void messages_in_pieces(void **state)
{
	struct target *t = *state;
	struct vhost_msg_v2 m = {.type = VHOST_IOTLB_MSG_V2};
	uint8_t *pages =
		mmap(NULL, 73 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)(intptr_t)t->handle;
	struct iovec pieces[72],
		three[] = {{&m, 4}, {(uint8_t *)&m + 4, 13}, {(uint8_t *)&m + 17, 55}};

	assert_int_equal(t_owner(t), 0);
	m.iotlb = (struct vhost_iotlb_msg){.iova = 0x1000,
					   .size = 0x1000,
					   .uaddr = 0x10000,
					   .perm = 3,
					   .type = VHOST_IOTLB_UPDATE};
	assert_int_equal(writev(fd, three, 3), 72);
	for (size_t cut = 1; cut < 72; cut++) {
		m.iotlb.iova += 0x1000;
		memcpy(pages + 4096 - cut, &m, sizeof(m));
		assert_int_equal(write(fd, pages + 4096 - cut, sizeof(m)), 72);
	}
	m.iotlb.iova += 0x1000;
	for (size_t i = 0; i < 72; i++) {
		pieces[i] = (struct iovec){pages + 4096 * i + i, 1};
		memcpy(pieces[i].iov_base, (uint8_t *)&m + i, 1);
	}
	assert_int_equal(writev(fd, pieces, 72), 72);
	munmap(pages, 73 * 4096);
}

/* What the directory shows, and that owner and mode can be given away. */
static void directory(void **state)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/disk", server.mount);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(chmod(path, 0660), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(chmod(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/none", server.mount);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(open(path, O_CREAT | O_RDWR, 0600), -1);
	assert_int_equal(rmdir(server.mount), -1);
}

static int in_child(struct target *t, int (*what)(struct target *t))
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(-what(t));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static int child_set_num(struct target *t)
{
	return t_num(t, VHOST_SET_VRING_NUM, 0, 64);
}

static int child_map(struct target *t)
{
	return (int)t_msg(t, 0, VHOST_IOTLB_UPDATE, 1ull << 40, 4096, 1 << 20, 3);
}

static void children_are_strangers(void **state) /* KC06 */
{
	struct target *t = *state;

	t_up(t);
	assert_int_equal(in_child(t, t_suspend), 0);
	assert_int_equal(t_addr(t, 0, t->vq[0].desc, t->vq[0].avail, t->vq[0].used), 0);
	assert_int_equal(in_child(t, child_set_num), -EPERM);
	assert_int_equal(in_child(t, child_map), -EFAULT);
	assert_int_equal(in_child(t, t_owner), -EBUSY);
	assert_int_equal(in_child(t, t_resume), 0);
	t_post(t, 0);
	t_kick(t, 0);
	assert_true(t_used(t, 0, 1));
}

static void close_and_open_under_load(void **state)
{
	for (int i = 0; i < 30; i++) {
		assert_int_equal(target_setup(state, i % 3 ? "disk" : "slow"), 0);
		t_up(*state);
		for (int k = 0; k < 8; k++)
			t_post(*state, k % 2);
		t_kick(*state, 0);
		t_kick(*state, 1);
		target_teardown(state);
	}
}

static void kinds_of_memory(void **state)
{
	char name[] = "/tmp/uvdpa-door-mem-XXXXXX";
	int memfd = memfd_create("guest", MFD_CLOEXEC), file = mkstemp(name);
	int huge = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	const struct {
		int flags, fd;
	} kinds[] = {
		{MAP_PRIVATE | MAP_ANONYMOUS, -1},
		{MAP_SHARED | MAP_ANONYMOUS, -1},
		{MAP_SHARED, memfd},
		{MAP_PRIVATE, memfd},
		{MAP_SHARED, file},
		{MAP_SHARED, huge},
	};

	unlink(name);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t size = kinds[i].fd == huge && huge >= 0 ? 2 << 20 : TARGET_RAM;
		uint8_t *bytes;

		if (kinds[i].fd < 0 && !(kinds[i].flags & MAP_ANONYMOUS))
			continue;
		if (kinds[i].fd >= 0)
			assert_int_equal(ftruncate(kinds[i].fd, (off_t)size), 0);
		bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, kinds[i].flags, kinds[i].fd, 0);
		if (bytes == MAP_FAILED) { /* no huge pages to be had */
			print_message("no memory of kind %zu here: %s\n", i, strerror(errno));
			continue;
		}
		use_memory(bytes);
		munmap(bytes, size);
	}
	close(memfd);
	close(file);
	if (huge >= 0)
		close(huge);
}

/* A client's truncated memory breaks that client's device, and nothing else. */
static void truncated_memory(void **state)
{
	int memfd = memfd_create("guest", MFD_CLOEXEC);
	void *mine, *others;
	struct target *t;
	uint8_t *bytes;

	assert_int_equal(ftruncate(memfd, TARGET_RAM), 0);
	bytes = mmap(NULL, TARGET_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	assert_int_equal(target_setup(&mine, "disk"), 0);
	assert_int_equal(target_setup(&others, "once"), 0);
	t = mine;
	target_move_ram(t, bytes);
	t_up(t);
	t_up(others);
	t_post(t, 0);
	t_kick(t, 0);
	assert_true(t_used(t, 0, 1));
	assert_int_equal(ftruncate(memfd, 0), 0);
	t_kick(t, 0);
	for (int i = 0; i < 500 && !(t_get_status(t) & 0x40); i++)
		nap(10000000);
	assert_int_equal(t_get_status(t), 0x4f);
	t_post(others, 0);
	t_kick(others, 0);
	assert_true(t_used(others, 0, 1));
	assert_int_equal(t_status(t, 0), 0);
	/* teardown writes to nothing of it */
	target_teardown(&mine);
	target_teardown(&others);
	munmap(bytes, TARGET_RAM);
	close(memfd);
}

/* A client that is killed somewhere in its life. */
static void short_life(const char *device, unsigned seed)
{
	struct target *t;
	void *state;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	srandom(seed);
	if (target_setup(&state, device))
		_exit(1);
	t = state;
	for (;;) {
		t_up(t);
		for (unsigned i = 0; i < 20; i++) {
			t_post(t, random() % 2);
			t_kick(t, random() % 2);
			if (random() % 4 == 0)
				t_suspend(t);
			if (random() % 3 == 0)
				t_resume(t);
		}
		if (random() % 2)
			t_status(t, 0);
		target_teardown(&state);
		if (target_setup(&state, device))
			_exit(2);
		t = state;
	}
}

static bool nothing_left(struct fuse_server_holds before)
{
	struct fuse_server_holds now = {0};

	for (int i = 0; i < 300; i++) {
		now = fuse_server_holds(&server);
		if (now.fds == before.fds && now.maps == before.maps &&
		    now.threads == before.threads)
			return true;
		nap(10000000);
	}
	print_message("fds %u -> %u, maps %u -> %u, threads %u -> %u\n", before.fds, now.fds,
		      before.maps, now.maps, before.threads, now.threads);
	return false;
}

static void killed_any_time(void **state)
{
	static const char *const devices[] = {"disk", "slow", "stuck"};
	struct fuse_server_holds before = {0};

	for (unsigned i = 0; i < 150; i++) {
		const char *device = devices[i % 3];
		pid_t pid = fork();
		int fd, status;

		if (!pid)
			short_life(device, i);
		nap(1000 + (random() % 20000) * 1000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		/* At once somebody else's. */
		fd = open_device(device, O_RDWR);
		if (fd < 0)
			fail_msg("%s after a kill: %s", device, strerror(errno));
		close(fd);
		if (i == 30) { /* by now all threads that it may need have been made */
			nap(200000000);
			before = fuse_server_holds(&server);
		}
	}
	assert_true(nothing_left(before));
}

/* The backend keeps a request for ever: the device stays busy, everything else goes on. */
static void stubborn_backend(void **state)
{
	struct target *t;
	void *mine;

	assert_int_equal(target_setup(&mine, "mule"), 0);
	t = mine;
	t_up(t);
	t_post(t, 0);
	t_kick(t, 0);
	while (t_suspend(t) == 0)
		t_resume(t);
	target_teardown(&mine);
	assert_int_equal(open_device("mule", O_RDWR), -1);
	assert_int_equal(errno, EBUSY);
	close_and_open(state);
}

TARGET_SETUP(disk)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_opener),
		cmocka_unit_test(file_operations),
		TARGET_TEST(messages_in_pieces, disk),
		cmocka_unit_test(directory),
		TARGET_TEST(children_are_strangers, disk),
		cmocka_unit_test(close_and_open),
		cmocka_unit_test(close_and_open_under_load),
		cmocka_unit_test(kinds_of_memory),
		cmocka_unit_test(truncated_memory),
		cmocka_unit_test(killed_any_time),
		cmocka_unit_test(stubborn_backend),
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
