/*
 * Which directories are trusted. What belongs to other users is tried as root only: an ordinary
 * user cannot make it.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <cmocka.h>

#include "util/trusted.h"

#define STRANGER 54321 /* a user and a group that nobody is */

static char folder[] = "/tmp/uvdpa-trusted-XXXXXX";

/* A path below the folder. Good until the second call after this one. */
static const char *below(const char *name)
{
	static char paths[2][PATH_MAX];
	static unsigned turn;
	char *path = paths[turn++ % 2];

	snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return path;
}

static void make(const char *name, mode_t mode)
{
	assert_int_equal(mkdir(below(name), 0700), 0);
	assert_int_equal(chmod(below(name), mode), 0);
}

static void give_away(const char *name)
{
	assert_int_equal(lchown(below(name), STRANGER, (gid_t)-1), 0);
}

static void link_to(const char *text, const char *name)
{
	assert_int_equal(symlink(text, below(name)), 0);
}

/* Opened, and it is `target`. */
static void taken(const char *path, const char *target)
{
	struct error f = {0};
	struct stat here, there;
	int fd = trusted_dir(path, &f);

	if (fd < 0)
		fail_msg("%s: %s", path, f.text);
	assert_int_equal(fstat(fd, &here), 0);
	assert_int_equal(lstat(target, &there), 0);
	assert_int_equal(here.st_ino, there.st_ino);
	close(fd);
}

static void refused(const char *path, int error, const char *says)
{
	struct error f = {0};
	int fd = trusted_dir(path, &f);

	if (fd != error)
		fail_msg("%s: %d instead of %d (%s)", path, fd, error, f.text);
	if (!strstr(f.text, says))
		fail_msg("%s: '%s' does not say '%s'", path, f.text, says);
}

static void ours(void **state)
{
	struct stat st;

	taken(below("new"), below("new"));
	assert_int_equal(stat(below("new"), &st), 0);
	assert_int_equal(st.st_mode & 0777 & ~0755u, 0);
	taken(below("new/"), below("new"));
	taken(below("new//deeper/"), below("new/deeper"));
	taken(below("new/deeper/."), below("new/deeper"));
	taken(below("new/deeper/.."), below("new"));
	assert_int_equal(chdir(folder), 0);
	taken("new/deeper", below("new/deeper"));
	taken("new/../other", below("other"));
	taken(".", folder);
	assert_int_equal(chdir("/"), 0);
	refused(below("none/at/all"), -ENOENT, "none: No such file");
	close(open(below("file"), O_CREAT | O_WRONLY, 0600));
	refused(below("file"), -ENOTDIR, "file is no directory");
	refused(below("file/x"), -ENOTDIR, "file is no directory");
}

static void links(void **state)
{
	char name[300];

	make("real", 0755);
	make("real/inner", 0755);
	link_to("real", "relative");
	link_to(below("real"), "absolute");
	link_to("absolute/inner/../..", "winding");
	link_to("real/new", "dangling");
	link_to("loop", "loop");
	link_to("/", "root");
	taken(below("relative"), below("real"));
	taken(below("absolute/inner"), below("real/inner"));
	taken(below("winding/relative/inner"), below("real/inner"));
	taken(below("dangling"), below("real/new"));
	snprintf(name, sizeof(name), "root%s", folder);
	taken(below(name), folder);
	refused(below("loop"), -ELOOP, "too many symbolic links");
	memset(name, 'x', 256);
	name[256] = '\0';
	refused(below(name), -ENAMETOOLONG, "too long");
}

static void others_can_write(void **state)
{
	make("open", 0777);
	refused(below("open"), -EPERM, "others may write to");
	refused(below("open/inner"), -EPERM, "open (mode 0777)");
	/* sticky: others' names may be there, but ours are safe */
	make("sticky", 01777);
	refused(below("sticky"), -EPERM, "chmod go-w it");
	taken(below("sticky/inner"), below("sticky/inner"));
	link_to("open/inner", "through");
	refused(below("through"), -EPERM, "open (mode 0777)");
}

static void groups(void **state)
{
	/* linux/posix_acl_xattr.h: owner, STRANGER, group, mask, others */
	const struct {
		uint32_t version;
		struct {
			uint16_t tag, permissions;
			uint32_t id;
		} entries[5];
	} list = {2, {{1, 7, -1u}, {2, 7, STRANGER}, {4, 0, -1u}, {16, 7, -1u}, {32, 0, -1u}}};

	if (geteuid()) {
		print_message("as root only: groups of others\n");
		return;
	}
	make("group", 0775);
	taken(below("group"), below("group")); /* of root's */
	if (setxattr(below("group"), "system.posix_acl_access", &list, sizeof(list), 0) == 0)
		refused(below("group"), -EPERM, "others may write to");
	else
		print_message("no access lists on this file system\n");
	make("group2", 0775);
	assert_int_equal(chown(below("group2"), (uid_t)-1, STRANGER), 0);
	refused(below("group2"), -EPERM, "others may write to");
	assert_int_equal(chmod(below("group2"), 0755), 0);
	taken(below("group2"), below("group2"));
}

static void of_others(void **state)
{
	if (geteuid()) {
		print_message("as root only: directories and links of others\n");
		return;
	}
	make("theirs", 0755);
	give_away("theirs");
	refused(below("theirs"), -EPERM, "theirs belongs to user 54321");
	make("theirs/inner", 0755);
	refused(below("theirs/inner"), -EPERM, "theirs belongs to user 54321");
	/* what an attacker can do in /tmp */
	make("tmp", 01777);
	make("etc", 0755);
	link_to("../etc", "tmp/u");
	give_away("tmp/u");
	refused(below("tmp/u"), -EPERM, "u is a symbolic link of user 54321");
	refused(below("tmp/u/new"), -EPERM, "u is a symbolic link of user 54321");
	assert_int_equal(access(below("etc/new"), F_OK), -1);
}

/* The same as an ordinary user. */
static void users_own_directories(void **state)
{
	make("mine", 0755);
	if (geteuid() || seteuid(STRANGER)) {
		print_message("as root only: being somebody else\n");
		return;
	}
	refused(below("mine"), -EACCES, "Permission denied");
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(folder, 0755), 0);
	assert_int_equal(seteuid(STRANGER), 0);
	refused(below("mine"), -EPERM, "choose a directory of your own");
	refused(below("new"), -EACCES, "cannot make the directory");
	assert_int_equal(seteuid(0), 0);
	give_away("mine");
	assert_int_equal(seteuid(STRANGER), 0);
	taken(below("mine/new"), below("mine/new"));
	assert_int_equal(seteuid(0), 0);
}

static int set_up(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	return remove(path);
}

static int tear_down(void **state)
{
	int r = nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);

	memset(folder + sizeof(folder) - 7, 'X', 6);
	return r;
}

#define WITH_FOLDER(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FOLDER(ours),   WITH_FOLDER(links),     WITH_FOLDER(others_can_write),
		WITH_FOLDER(groups), WITH_FOLDER(of_others), WITH_FOLDER(users_own_directories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
