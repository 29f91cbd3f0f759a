/*
 * Names of unix sockets: who may connect from the first kind on, what is in the way, and what
 * others put in a new socket's place while it is made (bind() is wrapped, so that "while" is always
 * the worst kind).
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/unixname.h"

static char folder[] = "/tmp/uvdpa-unixname-XXXXXX";
static char path[64], other[64];

/* What somebody else does to `path` right after it was bound. */
static void (*meanwhile)(void);
static mode_t mode_at_birth;

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);

static struct stat look(const char *at)
{
	struct stat st = {0};

	lstat(at, &st);
	return st;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
	int r = __real_bind(fd, address, size);

	if (r < 0)
		return r;
	mode_at_birth = look(path).st_mode & 07777;
	if (meanwhile)
		meanwhile();
	return 0;
}

static const struct unixname_access for_group = {.mode = 0660, .group = (gid_t)-1};

static int bind_stream(struct unixname *name, struct error *f)
{
	return unixname_bind(path, SOCK_STREAM, &for_group, name, f);
}

static void make_file(const char *at)
{
	int fd = open(at, O_CREAT | O_EXCL | O_WRONLY, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static int make_socket(const char *at)
{
	struct sockaddr_un to;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_int_equal(unixname_address(at, &to, NULL), 0);
	assert_int_equal(__real_bind(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(chmod(at, 0600), 0);
	return fd;
}

static void access_is_set(void **state)
{
	const gid_t group = geteuid() ? getegid() : 7;
	const struct unixname_access access = {.mode = 0620, .group = group};
	struct unixname name;
	int fd = unixname_bind(path, SOCK_STREAM, &access, &name, NULL);

	assert_true(fd >= 0);
	assert_int_equal(mode_at_birth, 0);
	assert_int_equal(look(path).st_mode, S_IFSOCK | 0620);
	assert_int_equal(look(path).st_gid, group);
	unixname_remove(&name);
	assert_int_equal(look(path).st_mode, 0);
	close(fd);
	fd = unixname_bind(path, SOCK_DGRAM, NULL, &name, NULL);
	assert_true(fd >= 0);
	assert_int_not_equal(look(path).st_mode & 0600, 0);
	unixname_remove(&name);
	close(fd);
}

/* --- Swapped while it is made ------------------------------------------------------------------
 */

static void put_link(void)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
}

static void put_other(void)
{
	assert_int_equal(rename(other, path), 0);
}

static void put_hard_link(void)
{
	assert_int_equal(unlink(path), 0);
	assert_int_equal(link(other, path), 0);
}

static void take_away(void)
{
	assert_int_equal(unlink(path), 0);
}

/* Refused, and what is at `at` has the mode that it had. */
static void refused_untouched(void (*swap)(void), const char *at)
{
	struct unixname name = {0};
	struct error f;

	meanwhile = swap;
	assert_int_equal(bind_stream(&name, &f), -ESTALE);
	meanwhile = NULL;
	assert_non_null(strstr(f.text, "somebody else changes the directory"));
	assert_string_equal(name.path, "");
	if (at)
		assert_int_equal(look(at).st_mode & 07777, 0600);
}

static void link_to_a_file(void **state)
{
	make_file(other);
	refused_untouched(put_link, other);
	assert_true(S_ISLNK(look(path).st_mode));
}

static void another_file(void **state)
{
	make_file(other);
	refused_untouched(put_other, path);
}

static void another_socket(void **state)
{
	int fd = make_socket(other);

	refused_untouched(put_other, path);
	close(fd);
}

static void hard_link_to_a_socket(void **state)
{
	int fd = make_socket(other);

	refused_untouched(put_hard_link, other);
	/* even of a socket that lets nobody in */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(chmod(other, 0), 0);
	meanwhile = put_hard_link;
	assert_int_equal(bind_stream(&(struct unixname){0}, NULL), -ESTALE);
	meanwhile = NULL;
	assert_int_equal(look(other).st_mode & 07777, 0);
	close(fd);
}

static void gone(void **state)
{
	refused_untouched(take_away, NULL);
}

/* --- In the way --------------------------------------------------------------------------------
 */

static void refused_because(int error, const char *says)
{
	struct unixname name;
	struct error f;

	assert_int_equal(bind_stream(&name, &f), error);
	if (!strstr(f.text, says))
		fail_msg("'%s' does not say '%s'", f.text, says);
}

static void things_in_the_way(void **state)
{
	int fd = make_socket(other), accepted;

	/* a link is not followed, wherever it leads */
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(symlink(other, path), 0);
	refused_because(-EEXIST, "is no socket");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	accepted = accept(fd, NULL, NULL);
	assert_int_equal(accepted, -1);
	assert_int_equal(unlink(path), 0);
	/* who listens keeps the name */
	assert_int_equal(rename(other, path), 0);
	refused_because(-EADDRINUSE, "listens there");
	/* who is gone does not */
	close(fd);
	fd = bind_stream(&(struct unixname){0}, NULL);
	assert_true(fd >= 0);
	assert_int_equal(look(path).st_mode, S_IFSOCK | 0660);
	close(fd);
	assert_int_equal(unlink(path), 0);
	make_file(path);
	refused_because(-EEXIST, "is no socket");
}

static void removes_its_own_only(void **state)
{
	struct unixname name;
	int fd = bind_stream(&name, NULL);

	assert_true(fd >= 0);
	make_file(other);
	put_other();
	unixname_remove(&name);
	assert_true(S_ISREG(look(path).st_mode));
	close(fd);
}

static void without_a_folder(void **state)
{
	struct unixname name;
	int fd;

	assert_int_equal(chdir(folder), 0);
	fd = unixname_bind("s", SOCK_STREAM, &for_group, &name, NULL);
	assert_true(fd >= 0);
	assert_int_equal(look(path).st_mode, S_IFSOCK | 0660);
	unixname_remove(&name);
	assert_int_equal(look(path).st_mode, 0);
	close(fd);
	assert_int_equal(chdir("/"), 0);
}

static int set_up(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/s", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	return 0;
}

static int tear_down(void **state)
{
	unlink(path);
	unlink(other);
	if (rmdir(folder))
		return -1;
	memset(folder + sizeof(folder) - 7, 'X', 6);
	return 0;
}

#define WITH_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(access_is_set),	    WITH_FOLDER(link_to_a_file),
		WITH_FOLDER(another_file),	    WITH_FOLDER(another_socket),
		WITH_FOLDER(hard_link_to_a_socket), WITH_FOLDER(gone),
		WITH_FOLDER(things_in_the_way),	    WITH_FOLDER(removes_its_own_only),
		WITH_FOLDER(without_a_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
