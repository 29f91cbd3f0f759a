/* A server in a process of its own: see child.h. */
#include "cmd/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "export/fuse/fuse.h"

#define PATIENCE_MS 15000

/* In the new process. Ends with it, or becomes the server. */
static void become_server(const struct child *child, const char *spec, pid_t parent)
{
	char *argv[] = {"uvdpa",    "serve",	  "--dir", (char *)child->dir,
			"--device", (char *)spec, NULL};
	int log = open(child->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	sigset_t none;

	if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		_exit(126);
	/* ^C is for who started us; the server is told by a SIGTERM, whatever happens */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv("/proc/self/exe", argv);
	_exit(127);
}

int child_start(struct child *child, const char *dir, const char *spec, struct error *f)
{
	pid_t parent = getpid();
	int used = snprintf(child->dir, sizeof(child->dir), "%s", dir);

	if (used < 0 || (size_t)used >= sizeof(child->dir))
		return error_set(f, -ENAMETOOLONG, "%.40s...: too long for a server's directory",
				 dir);
	snprintf(child->log, sizeof(child->log), "%s.log", child->dir);
	child->pid = fork();
	if (child->pid < 0) {
		child->pid = 0;
		child->dir[0] = '\0';
		return error_set(f, -errno, "cannot start a process: %s", strerror(errno));
	}
	if (child->pid == 0)
		become_server(child, spec, parent);
	return 0;
}

/* The last line that it said, for a fault. */
static void last_words(const struct child *child, char *text, size_t size)
{
	char line[250];
	FILE *log = fopen(child->log, "re");

	snprintf(text, size, "it said nothing");
	while (log && fgets(line, sizeof(line), log)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0])
			snprintf(text, size, "%s", line);
	}
	if (log)
		fclose(log);
}

/* Whether it has ended. */
static bool has_ended(struct child *child)
{
	if (child->pid && waitpid(child->pid, &child->status, WNOHANG) == child->pid)
		child->pid = 0;
	return child->pid == 0;
}

int child_wait(struct child *child, const char *path, int timeout_ms, struct error *f)
{
	char said[256];
	struct stat st;

	for (int ms = 0; ms < timeout_ms; ms += 5) {
		bool ended = has_ended(child);

		if (ended) {
			last_words(child, said, sizeof(said));
			return error_set(f, -EIO, "the server of %s ended: %s", child->dir, said);
		}
		if (stat(path, &st) == 0)
			return 0;
		usleep(5000);
	}
	last_words(child, said, sizeof(said));
	return error_set(f, -ETIMEDOUT, "the server of %s does not come up: %s", child->dir, said);
}

int child_stop(struct child *child, struct error *f)
{
	char path[128], said[256];

	if (child->dir[0] == '\0')
		return 0;
	if (child->pid)
		kill(child->pid, SIGTERM);
	for (int ms = 0; ms < PATIENCE_MS && !has_ended(child); ms += 5)
		usleep(5000);
	if (child->pid) {
		kill(child->pid, SIGKILL);
		waitpid(child->pid, &child->status, 0);
	}
	last_words(child, said, sizeof(said));
	snprintf(path, sizeof(path), "%s/vdpa", child->dir);
	child->pid = 0;
	child->dir[0] = '\0';
	if (WIFEXITED(child->status) && WEXITSTATUS(child->status) == 0)
		return 0;
	fuse_mount_remove(path); /* of a dead server; there may be none */
	return error_set(f, -EIO, "the server of %s did not end well (status 0x%x): %s", path,
			 (unsigned)child->status, said);
}
