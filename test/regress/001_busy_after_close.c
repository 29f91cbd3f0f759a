/*
 * 001_busy_after_close UVDPA: who had a device is gone when its close() has returned, or when it
 * was killed and waited for: whoever opens the device after that must not be told that it is busy,
 * whether by the export that the other came by or by another one.
 *
 * Ours was, now and then: a file's client left, the next one came by the socket (or the other way
 * round), and the export that lost a client had not heard of it yet, or was resetting the device.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "export/fuse/fuse.h"
#include "vhost_user/user.h"

/* Devices of one client. By default the kernel has 12 RELEASEs on their way at most. */
#define MANY 40

static const char *uvdpa;

struct served {
	char dir[64], log[80];
	pid_t pid;
};

static void nap(long ns)
{
	nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* --- The server ------------------------------------------------------------------------------- */

/* What a backend does not give back stays allocated to the end, which is no leak to complain of. */
static void forgive_leaks(void)
{
	const char *have = getenv("ASAN_OPTIONS");
	char options[512];

	snprintf(options, sizeof(options), "%s:detect_leaks=0", have ? have : "");
	setenv("ASAN_OPTIONS", options, 1);
}

static void run_server(const struct served *s, const char *const *devices)
{
	const char *words[8 + 2 * MANY] = {uvdpa, "serve", "-v", "--dir", s->dir};
	unsigned n = 5;
	int log = open(s->log, O_CREAT | O_WRONLY | O_APPEND, 0600);

	for (; *devices; devices++) {
		words[n++] = "--device";
		words[n++] = *devices;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	forgive_leaks();
	dup2(log, STDERR_FILENO);
	execv(uvdpa, (char **)words);
	_exit(127);
}

static void show_log(const struct served *s)
{
	char text[4096];
	FILE *log = fopen(s->log, "re");

	while (log && fgets(text, sizeof(text), log))
		fputs(text, stdout);
	if (log)
		fclose(log);
}

static void serve(struct served *s, const char *const *devices)
{
	char path[80];

	snprintf(s->dir, sizeof(s->dir), "/tmp/uvdpa-busy-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->log, sizeof(s->log), "%s.log", s->dir);
	snprintf(path, sizeof(path), "%s/control", s->dir);
	s->pid = fork();
	if (!s->pid)
		run_server(s, devices);
	assert_true(s->pid > 0);
	while (access(path, F_OK) != 0) {
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
			show_log(s);
			printf("skipped: no files are served here\n");
			exit(77);
		}
		nap(5000000);
	}
}

static void remove_dir(const char *dir)
{
	DIR *entries = opendir(dir);
	struct dirent *entry;

	while (entries && (entry = readdir(entries)))
		unlinkat(dirfd(entries), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
	if (entries)
		closedir(entries);
	rmdir(dir);
}

/* Ends the server by a signal; returns how it ended. */
static int end(struct served *s, int with)
{
	char mount[80];
	int status;

	kill(s->pid, with);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	if (with == SIGTERM && status)
		show_log(s);
	snprintf(mount, sizeof(mount), "%s/vdpa", s->dir);
	fuse_mount_remove(mount);
	remove_dir(s->dir);
	unlink(s->log);
	return status;
}

static bool log_says(const struct served *s, const char *what, const char *name)
{
	char line[1024];
	bool found = false;
	FILE *log = fopen(s->log, "re");

	assert_non_null(log);
	while (!found && fgets(line, sizeof(line), log))
		found = strstr(line, what) && strstr(line, name);
	fclose(log);
	return found;
}

/* --- Its clients ------------------------------------------------------------------------------ */

/* By which export: in the four orders of two clients, bit 0 is the first one's, bit 1 the second's.
 */
enum by { FILES, SOCKETS };
#define ORDERS 4

static const char *path_of(const struct served *s, const char *device, enum by by)
{
	static char path[128];

	snprintf(path, sizeof(path), by == FILES ? "%s/vdpa/%s" : "%s/%s.sock", s->dir, device);
	return path;
}

static int try(const struct served *s, const char *device, enum by by, struct user *u)
{
	struct uvdpa_error error = {0};
	int r;

	memset(u, 0, sizeof(*u));
	r = uvdpa_driver_open(path_of(s, device, by), 0, &u->drv, &error);
	if (r < 0 && r != -EBUSY)
		print_message("%s\n", error.text);
	return r;
}

static void wait_for(struct user *u, uint64_t cookie)
{
	struct uvdpa_blk_completion done = {.cookie = cookie + 1};
	int r = 0;

	while (r >= 0 && done.cookie != cookie) {
		r = uvdpa_blk_poll(u->blk, &done, 1);
		if (r == 0)
			nap(100000);
	}
	assert_int_equal(r, 1);
}

/* Has a device, with every other request in flight: the third one's end says that of the second. */
static void use(struct user *u)
{
	user_begin(u, 0, 65536);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(uvdpa_blk_read(u->blk, 0, u->data, 512, i), 0);
	assert_true(uvdpa_queue_submit(u->queue) >= 0);
	wait_for(u, 2);
}

static void begin(const struct served *s, const char *device, enum by by, struct user *u)
{
	assert_int_equal(try(s, device, by, u), 0);
	use(u);
}

static void open_and_close(const struct served *s, const char *device, enum by by)
{
	struct user u;
	int r = try(s, device, by, &u);

	if (r < 0)
		fail_msg("%s: %s", path_of(s, device, by), strerror(-r));
	uvdpa_driver_close(u.drv);
}

/* In a child: has a device until it is killed, and suspends it if it is told to. */
static pid_t holder(const struct served *s, const char *device, enum by by, bool suspends)
{
	int ready[2];
	struct user u;
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (try(s, device, by, &u) < 0)
			_exit(1);
		use(&u);
		if (write(ready[1], "r", 1) != 1)
			_exit(1);
		if (suspends)
			uvdpa_driver_suspend(u.drv);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void kill_and_wait(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* In a child: opens a device and ends with what errno open() gave. */
static pid_t opener(const struct served *s, const char *device, enum by by)
{
	struct user u;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(-try(s, device, by, &u));
}

static int opened(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

/* --- The server that the first tests share ---------------------------------------------------- */

static struct served shared;

static int start_shared(void **state)
{
	static const char *const devices[] = {
		"blk,name=disk,null=1M,fault.delay-us=2000,fault.delay-every=2",
#define KEPT "fault.never-every=2,fault.stubborn=on,suspend-timeout=100"
		"blk,name=kept0,null=1M," KEPT, "blk,name=kept1,null=1M," KEPT,
		"blk,name=kept2,null=1M," KEPT, NULL};

	serve(&shared, devices);
	return 0;
}

static int end_shared(void **state)
{
	int status = end(&shared, SIGTERM);

	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void after_a_close(void **state)
{
	struct user u;

	for (unsigned i = 0; i < 200; i++) {
		begin(&shared, "disk", i & 1, &u);
		user_end(&u);
		open_and_close(&shared, "disk", i >> 1 & 1);
	}
}

static void after_a_kill(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		kill_and_wait(holder(&shared, "disk", i & 1, false));
		open_and_close(&shared, "disk", i >> 1 & 1);
	}
}

/* The server runs again only when the first client is gone and the second one has come. */
static void server_hears_late(void **state)
{
	pid_t first, second;

	open_and_close(&shared, "disk", FILES); /* now the kernel knows that we take no FLUSH */
	for (unsigned i = 0; i < 5 * ORDERS; i++) {
		first = holder(&shared, "disk", i & 1, false);
		kill(shared.pid, SIGSTOP);
		kill_and_wait(first);
		second = opener(&shared, "disk", i >> 1 & 1);
		nap(20000000);
		kill(shared.pid, SIGCONT);
		assert_int_equal(opened(second), 0);
	}
}

/* Whoever comes second while the first one lives is told at once, however often. */
static void beside_a_living_one(void **state)
{
	struct user first, second;

	for (unsigned i = 0; i < 5 * ORDERS; i++) {
		begin(&shared, "disk", i & 1, &first);
		assert_int_equal(try(&shared, "disk", i >> 1 & 1, &second), -EBUSY);
		wait_for(&first, 7);
		user_end(&first);
	}
	assert_true(
		log_says(&shared, "not opened: device 'disk' is in use by", "a vhost-vdpa file"));
	assert_true(log_says(&shared, "not opened: device 'disk' is in use by", "front end"));
	assert_true(log_says(&shared, "turned away: device 'disk' is in use", "a vhost-vdpa file"));
}

/* The backend keeps what the first one asked for: the second one is told so in the end. */
static void device_that_keeps_requests(void **state)
{
	static const struct {
		const char *name;
		enum by first, second;
	} cases[] = {{"kept0", FILES, FILES}, {"kept1", FILES, SOCKETS}, {"kept2", SOCKETS, FILES}};
	char what[64];
	struct user u;

	for (unsigned i = 0; i < 3; i++) {
		const char *name = cases[i].name;

		begin(&shared, name, cases[i].first, &u);
		user_end(&u);
		assert_int_equal(try(&shared, name, cases[i].second, &u), -EBUSY);
		snprintf(what, sizeof(what), "%s: device '%s' was left by",
			 cases[i].second == FILES ? "not opened" : "turned away", name);
		assert_true(log_says(&shared, what, "has not given"));
	}
}

/* --- Servers of their own --------------------------------------------------------------------- */

/* More files than the kernel sends RELEASEs of at once by default; the last one is opened first. */
static void many_at_once(void **state)
{
	const char *devices[MANY + 1] = {0};
	char words[MANY][32], path[120];
	int fds[MANY], names[MANY];
	struct served many;
	pid_t pid;

	for (unsigned i = 0; i < MANY; i++) {
		snprintf(words[i], sizeof(words[i]), "blk,name=d%u,null=1M", i);
		devices[i] = words[i];
	}
	serve(&many, devices);
	open_and_close(&many, "d0", FILES);   /* now the kernel knows that we take no FLUSH */
	for (unsigned i = 0; i < MANY; i++) { /* by these no name has to be looked up */
		snprintf(path, sizeof(path), "%s/vdpa/d%u", many.dir, i);
		names[i] = open(path, O_PATH | O_CLOEXEC);
		assert_true(names[i] >= 0);
		fds[i] = open(path, O_RDWR | O_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", names[MANY - 1]);
	kill(many.pid, SIGSTOP);
	for (unsigned i = 0; i < MANY; i++)
		close(fds[i]);
	pid = fork();
	if (!pid)
		_exit(open(path, O_RDWR | O_CLOEXEC) < 0 ? errno : 0);
	nap(20000000);
	kill(many.pid, SIGCONT);
	assert_int_equal(opened(pid), 0);
	for (unsigned i = 0; i < MANY; i++)
		close(names[i]);
	assert_int_equal(end(&many, SIGTERM), 0);
}

#define LONG "blk,null=1M,fault.never-every=2,fault.stubborn=on,suspend-timeout="

/* Who waits for a device that would take ten minutes can be killed. */
static void killed_while_it_waits(void **state)
{
	static const char *const devices[] = {LONG "600000,name=a", LONG "600000,name=b", NULL};
	struct served s;
	struct user u;
	pid_t pid;

	serve(&s, devices);
	for (unsigned i = 0; i < 2; i++) {
		begin(&s, i ? "b" : "a", i ? SOCKETS : FILES, &u);
		user_end(&u);
		pid = opener(&s, i ? "b" : "a", FILES);
		nap(50000000);
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		kill_and_wait(pid);
	}
	end(&s, SIGKILL);
}

/* The first one is in a call that takes ten minutes. That is no reason for the second one to wait.
 */
static void beside_a_long_call(void **state)
{
	static const char *const devices[] = {LONG "600000,name=a", NULL};
	struct served s;
	pid_t pid;

	serve(&s, devices);
	pid = holder(&s, "a", FILES, true);
	while (!log_says(&s, "a: RUNNING -> SUSPENDING", ""))
		nap(1000000);
	assert_int_equal(opened(opener(&s, "a", FILES)), -EBUSY);
	assert_int_equal(opened(opener(&s, "a", SOCKETS)), -EBUSY);
	end(&s, SIGKILL);
	kill_and_wait(pid);
}

/* A server that is told to end does so while somebody waits. */
static void server_ends_meanwhile(void **state)
{
	static const char *const devices[] = {LONG "1500,name=a", LONG "1500,name=b",
					      LONG "1500,name=c", NULL};
	static const char *const names[] = {"a", "b", "c"};
	struct served s;
	struct user u;
	pid_t pids[3];

	serve(&s, devices);
	for (unsigned i = 0; i < 3; i++) {
		begin(&s, names[i], i == 1 ? SOCKETS : FILES, &u);
		user_end(&u);
		pids[i] = opener(&s, names[i], i == 2 ? SOCKETS : FILES);
	}
	nap(50000000);
	assert_int_equal(end(&s, SIGTERM), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_not_equal(opened(pids[i]), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest with_shared[] = {
		cmocka_unit_test(after_a_close),
		cmocka_unit_test(after_a_kill),
		cmocka_unit_test(server_hears_late),
		cmocka_unit_test(beside_a_living_one),
		cmocka_unit_test(device_that_keeps_requests),
	};
	const struct CMUnitTest others[] = {
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(killed_while_it_waits),
		cmocka_unit_test(beside_a_long_call),
		cmocka_unit_test(server_ends_meanwhile),
	};

	uvdpa = argv[1];
	return cmocka_run_group_tests(with_shared, start_shared, end_shared) +
	       cmocka_run_group_tests(others, NULL, NULL);
}
