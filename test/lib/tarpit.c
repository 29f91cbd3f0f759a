/* A file system that does not answer: see tarpit.h. */
#define FUSE_USE_VERSION 35
#include "lib/tarpit.h"

#include <fcntl.h>
#include <fuse3/fuse_lowlevel.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned opened;

static struct stat attributes(fuse_ino_t ino)
{
	return (struct stat){.st_ino = ino,
			     .st_mode = ino == 1 ? S_IFDIR | 0755 : S_IFREG | 0666,
			     .st_nlink = 1,
			     .st_size = TARPIT_SIZE};
}

static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char *name)
{
	struct fuse_entry_param entry = {.ino = 2, .attr = attributes(2)};

	fuse_reply_entry(request, &entry);
}

static void on_getattr(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
	struct stat st = attributes(ino);

	if (ino == 1 || !opened)
		fuse_reply_attr(request, &st, 0);
}

static void on_open(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
	if (!opened++)
		fuse_reply_open(request, info);
}

static void on_read(fuse_req_t request, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *info)
{
}

static void on_flush(fuse_req_t request, fuse_ino_t ino, struct fuse_file_info *info)
{
}

static void on_statfs(fuse_req_t request, fuse_ino_t ino)
{
}

static void serve_tarpit(const char *at, int report)
{
	static const struct fuse_lowlevel_ops ops = {.lookup = on_lookup,
						     .getattr = on_getattr,
						     .open = on_open,
						     .read = on_read,
						     .flush = on_flush,
						     .statfs = on_statfs};
	struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
	struct fuse_session *session;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fuse_opt_add_arg(&args, "tarpit");
	session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!session || fuse_session_mount(session, at) || write(report, "m", 1) != 1)
		_exit(1);
	close(report);
	fuse_session_loop(session);
	_exit(0);
}

/* Whether it is mounted. */
static bool start(struct tarpit *tarpit)
{
	int report[2];
	char said = 0;

	if (!mkdtemp(tarpit->dir) || pipe(report))
		return false;
	tarpit->pid = fork();
	if (!tarpit->pid) {
		close(report[0]);
		serve_tarpit(tarpit->dir, report[1]);
	}
	close(report[1]);
	if (read(report[0], &said, 1) != 1)
		waitpid(tarpit->pid, NULL, 0);
	close(report[0]);
	return said == 'm';
}

bool tarpit_open(struct tarpit *tarpit)
{
	char name[64];

	*tarpit = (struct tarpit){.dir = "/tmp/uvdpa-tarpit-XXXXXX", .file = -1};
	if (start(tarpit)) {
		snprintf(name, sizeof(name), "%s/mem", tarpit->dir);
		tarpit->file = open(name, O_RDWR | O_CLOEXEC);
		return tarpit->file >= 0;
	}
	rmdir(tarpit->dir);
	return false;
}

void tarpit_close(struct tarpit *tarpit)
{
	kill(tarpit->pid, SIGKILL); /* from then on the kernel answers */
	waitpid(tarpit->pid, NULL, 0);
	close(tarpit->file);
	umount2(tarpit->dir, MNT_DETACH);
	rmdir(tarpit->dir);
}
