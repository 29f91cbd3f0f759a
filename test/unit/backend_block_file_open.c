/* Opening files: every way in which a path can be wrong, and growing. */
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend_support.h"

static char dir[] = "/tmp/uvdpa-open-XXXXXX";

/* A name in the test's folder; with size >= 0 as a file of that size. */
static const char *path_of(const char *name, off_t size)
{
	static char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (size >= 0) {
		fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, size), 0);
		close(fd);
	}
	return path;
}

static int open_file(const char *path, bool read_only, bool direct, struct block **block,
		     struct error *f)
{
	return block_file_open(&(struct block_file_options){path, read_only, direct}, block, f);
}

static void expect_refusal(const char *path, int code, const char *word)
{
	struct error f = {0};
	struct block *block;

	assert_int_equal(open_file(path, false, false, &block, &f), code);
	assert_int_equal(f.code, code);
	if (!strstr(f.text, word) || !strstr(f.text, path))
		fail_msg("\"%s\" should name %s and say: %s", f.text, path, word);
}

static void wrong_paths(void **state)
{
	expect_refusal(path_of("missing", -1), -ENOENT, "create");
	expect_refusal(dir, -EISDIR, "directory");
	expect_refusal("/dev/null", -EINVAL, "neither");
	expect_refusal(path_of("empty", 0), -EINVAL, "empty");
	expect_refusal(path_of("odd", 1000), -EINVAL, "multiple of 512");
	expect_refusal(path_of("tiny", 100), -EINVAL, "multiple of 512");
	path_of("pipe", -1);
	assert_int_equal(mkfifo(path_of("pipe", -1), 0600), 0);
	expect_refusal(path_of("pipe", -1), -EINVAL, "neither");
}

/* Root may open everything: this part needs an ordinary user for a kind. */
static void no_permission(void **state)
{
	const char *path = path_of("private", 4096);
	struct error f = {0};
	struct block *block;

	assert_int_equal(chmod(path, 0), 0);
	if (geteuid() == 0) {
		assert_int_equal(chmod(dir, 0711), 0);
		assert_int_equal(seteuid(65534), 0);
	}
	assert_int_equal(open_file(path, false, false, &block, &f), -EACCES);
	assert_non_null(strstr(f.text, "readonly=on"));
	assert_int_equal(open_file(path, true, false, &block, &f), -EACCES);
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
}

static void limits(void **state)
{
	struct block *block;

	assert_int_equal(open_file(path_of("disk", 1 << 20), false, false, &block, NULL), 0);
	assert_int_equal(block->limits.size, 1 << 20);
	assert_int_equal(block->limits.block_size, 512);
	assert_int_equal(block->limits.memory_alignment, 1);
	assert_true(block->limits.discard && block->limits.write_zeroes);
	block_close(block);
	assert_int_equal(open_file(path_of("disk", -1), true, false, &block, NULL), 0);
	assert_true(block->limits.read_only);
	assert_false(block->limits.discard || block->limits.write_zeroes);
	block_close(block);
}

static void direct_needs_whole_blocks(void **state)
{
	struct error f = {0};
	struct block *block;
	int error = open_file(path_of("disk", 1 << 20), false, true, &block, &f);

	if (error) { /* a file system without O_DIRECT: then that is what it says */
		assert_non_null(strstr(f.text, "direct=on"));
		return;
	}
	assert_true(block->limits.block_size >= 512);
	assert_true(block->limits.memory_alignment >= 1);
	block_close(block);
}

static void growing(void **state)
{
	const char *path = path_of("growing", 4096);
	struct error f = {0};
	struct block *block;
	struct stat st;

	assert_int_equal(open_file(path, false, false, &block, NULL), 0);
	assert_int_equal(block_resize(block, 8192, &f), 0);
	assert_int_equal(block->limits.size, 8192);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(block_resize(block, 4096, &f), -EINVAL);
	/* Somebody else has made it bigger already: nothing is cut off. */
	assert_int_equal(truncate(path, 65536), 0);
	assert_int_equal(block_resize(block, 16384, &f), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 65536);
	block_close(block);
	assert_int_equal(open_file(path, true, false, &block, NULL), 0);
	assert_int_equal(block_resize(block, 1 << 20, &f), -EROFS);
	assert_non_null(strstr(f.text, "read-only"));
	assert_int_equal(block->limits.size, 65536);
	block_close(block);
}

/* As container runtimes do it: io_uring_setup fails with `error` from now on. */
static int forbid_io_uring(int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = code};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* In a process of its own, which leaves with 0 if opening was refused with good advice. */
static int open_without_io_uring(int error)
{
	const char *path = path_of("disk", 1 << 20);
	struct error f = {0};
	struct block *block;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (forbid_io_uring(error))
			_exit(77);
		if (open_file(path, false, false, &block, &f) != -error)
			_exit(1);
		_exit(strstr(f.text, "io_uring") && strstr(f.text, "container") ? 0 : 2);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void no_io_uring(void **state)
{
	int status = open_without_io_uring(EPERM);

	if (status == 77) {
		print_message("io_uring cannot be forbidden here\n");
		return;
	}
	assert_int_equal(status, 0);
	assert_int_equal(open_without_io_uring(ENOSYS), 0);
}

static int clean_up(void **state)
{
	static const char *const names[] = {"empty",   "odd",  "tiny",	 "pipe",
					    "private", "disk", "growing"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i], -1));
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_paths), cmocka_unit_test(no_permission),
		cmocka_unit_test(limits),      cmocka_unit_test(direct_needs_whole_blocks),
		cmocka_unit_test(growing),     cmocka_unit_test(no_io_uring),
	};
	struct block *block;
	struct error f = {0};

	if (!mkdtemp(dir))
		leave_skipped("no folder in /tmp");
	if (open_file(path_of("disk", 4096), false, false, &block, &f)) {
		clean_up(NULL);
		leave_skipped(f.text);
	}
	block_close(block);
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
