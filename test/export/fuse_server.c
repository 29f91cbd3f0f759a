/* A serving process for tests: see fuse_server.h. */
#include "export/fuse_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "export/devices.h"
#include "export/fuse/fuse.h"
#include "runtime/runtime.h"

/* The server process: ready is told 'r', or why not; stop says when. */
static int serve(const char *mount, int ready, int stop)
{
	const struct fuse_export_options options = {0};
	struct runtime *runtimes[16];
	struct fuse_export *export;
	struct error err;
	char byte;
	int r = fuse_export_new(mount, &options, &export, &err);

	for (unsigned i = 0; !r && i < test_device_count; i++) {
		struct vdpa_options vdpa = test_device_options(&test_devices[i]);

		runtimes[i] = test_device_run(&test_devices[i]);
		r = fuse_export_add(export, test_devices[i].name, runtimes[i], &vdpa, &err);
	}
	if (!r)
		r = fuse_export_start(export, &err);
	if (write(ready, r ? err.text : "r", r ? strlen(err.text) : 1) < 0 || r)
		return 1;
	close(ready);
	while (read(stop, &byte, 1) < 0)
		;
	if (fuse_export_stop(export))
		return 3;
	fuse_export_free(export);
	for (unsigned i = 0; i < test_device_count; i++)
		runtime_free(runtimes[i]);
	return 0;
}

void fuse_server_start(struct fuse_server *server)
{
	int ready[2], stop[2];
	char said[500];
	ssize_t n;

	snprintf(server->dir, sizeof(server->dir), "/tmp/uvdpa-door-XXXXXX");
	if (!mkdtemp(server->dir) || pipe2(ready, O_CLOEXEC) || pipe2(stop, O_CLOEXEC))
		abort();
	snprintf(server->mount, sizeof(server->mount), "%s/vdpa", server->dir);
	server->pid = fork();
	if (!server->pid) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(stop[1]);
		_exit(serve(server->mount, ready[1], stop[0]));
	}
	close(ready[1]);
	close(stop[0]);
	server->stop = stop[1];
	n = read(ready[0], said, sizeof(said) - 1);
	close(ready[0]);
	if (n == 1 && said[0] == 'r')
		return;
	fuse_server_stop(server);
	said[n > 0 ? n : 0] = '\0';
	printf("skipped: %s\n", n > 0 ? said : "the server died");
	exit(n > 0 ? 77 : 1);
}

int fuse_server_stop(struct fuse_server *server)
{
	int status = 0;

	close(server->stop);
	waitpid(server->pid, &status, 0);
	rmdir(server->mount);
	rmdir(server->dir);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static unsigned entries(pid_t pid, const char *what)
{
	char path[64];
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, what);
	dir = opendir(path);
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

/* Mappings of files only: what malloc and thread stacks do is their own affair. */
static unsigned file_maps(pid_t pid)
{
	char line[4096];
	unsigned n = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/%d/maps", (int)pid);
	file = fopen(line, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, "/memfd:") || strstr(line, "/tmp/") || strstr(line, "/dev/zero"))
			n++;
	if (file)
		fclose(file);
	return n;
}

struct fuse_server_holds fuse_server_holds(const struct fuse_server *server)
{
	return (struct fuse_server_holds){.fds = entries(server->pid, "fd"),
					  .maps = file_maps(server->pid),
					  .threads = entries(server->pid, "task")};
}
