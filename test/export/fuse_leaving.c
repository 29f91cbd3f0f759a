/*
 * A file is opened while the client of another export leaves, which takes as long as the test
 * likes: the opening waits for that and for nothing else, and the export can stop meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/devices.h"
#include "export/fuse/fuse.h"
#include "runtime/runtime.h"

struct bench {
	char dir[40], file[60];
	struct fuse_export *export;
	struct runtime *runtime;
};

/* As an export says whose client is gone, once it was asked. */
static enum owner_state leaves(void *asked)
{
	*(_Atomic bool *)asked = true;
	return OWNER_CLOSING;
}

static void begin(struct bench *b)
{
	const struct test_device *device = test_device_find("disk");
	const struct vdpa_options vdpa = test_device_options(device);
	const struct fuse_export_options options = {0};
	struct error f;

	snprintf(b->dir, sizeof(b->dir), "/tmp/uvdpa-leaving-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->file, sizeof(b->file), "%s/disk", b->dir);
	if (fuse_export_new(b->dir, &options, &b->export, &f)) {
		printf("skipped: %s\n", f.text);
		exit(77);
	}
	b->runtime = test_device_run(device);
	assert_int_equal(fuse_export_add(b->export, "disk", b->runtime, &vdpa, &f), 0);
	if (fuse_export_start(b->export, &f)) {
		printf("skipped: %s\n", f.text);
		exit(77);
	}
}

static void end(struct bench *b)
{
	fuse_export_free(b->export);
	runtime_free(b->runtime);
	rmdir(b->dir);
}

/* The device is being left; a child opens its file. Returns when the export has asked about it. */
static pid_t open_meanwhile(struct bench *b)
{
	static _Atomic bool asked;
	const struct device_owner first = {.who = "the first", .look = leaves, .arg = &asked};
	struct error f;
	pid_t pid;

	asked = false;
	assert_int_equal(runtime_acquire(b->runtime, &first, &f), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close_range(3, UINT_MAX, 0); /* who has /dev/fuse open is a server, too */
		_exit(open(b->file, O_RDWR | O_CLOEXEC) < 0 ? errno : 0);
	}
	while (!asked)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	return pid;
}

static int opened(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void opens_when_the_first_has_left(void **state)
{
	struct bench b;
	pid_t pid;

	begin(&b);
	for (unsigned i = 0; i < 20; i++) {
		pid = open_meanwhile(&b);
		runtime_release(b.runtime);
		assert_int_equal(opened(pid), 0);
		while (runtime_owner_check(b.runtime, &(struct error){0})) /* the child's end */
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	pid = open_meanwhile(&b);
	runtime_owner_stuck(b.runtime);
	assert_int_equal(opened(pid), EBUSY);
	assert_int_equal(fuse_export_stop(b.export), 0);
	end(&b);
}

static void stops_meanwhile(void **state)
{
	struct bench b;
	pid_t pid;

	begin(&b);
	pid = open_meanwhile(&b);
	assert_int_equal(fuse_export_stop(b.export), 0);
	assert_int_not_equal(opened(pid), 0);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_when_the_first_has_left),
		cmocka_unit_test(stops_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
