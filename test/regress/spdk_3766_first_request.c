/*
 * SPDK #3766: the very first request of a device's life was in flight when the server was killed.
 * Used index and record's used index are both 0 then, and entry 0 is the one that counts: a server
 * that takes zeroes for "nothing there" loses it. It is done again here.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"

static char path[64] = "/tmp/uvdpa-3766-XXXXXX";

static pid_t start_server(const struct block_fault_options *trouble)
{
	struct disk disk;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_set_level(LOG_LEVEL_WARNING);
	disk_open(&disk, &(struct disk_options){.path = path, .trouble = trouble});
	for (;;)
		pause();
}

static void end_server(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* The record says that entry 0 is in flight: the server has it. */
static bool is_taken(const struct session *s)
{
	uint8_t inflight = 0;

	return pread(s->inflight_fd, &inflight, 1, 16) == 1 && inflight == 1;
}

int main(void)
{
	const struct block_fault_options never = {.never_every = 1};
	struct uvdpa_error error = {0};
	struct session s;
	struct uvdpa_blk *blk = NULL;
	void *data;
	pid_t server;
	int r;

	close(mkstemp(path));
	unlink(path);
	session_init(&s, 1 << 20);
	if (uvdpa_blk_new(s.memory, s.queue, 4, &blk, &error) < 0)
		return 1;
	data = uvdpa_memory_alloc(s.memory, 4096, 4096);
	server = start_server(&never);
	session_start(&s, path, 0);
	if (!data || uvdpa_blk_read(blk, 0, data, 4096, 1) < 0)
		return 1;
	uvdpa_queue_submit(s.queue);
	while (!is_taken(&s))
		usleep(1000);
	end_server(server);
	session_hang_up(&s);
	server = start_server(NULL);
	session_start(&s, path, 0);
	r = uvdpa_blk_finish(blk, 1, 5000);
	printf("first request after the restart: %s\n", r == 0 ? "done" : "lost");
	end_server(server);
	uvdpa_blk_free(blk);
	session_free(&s);
	unlink(path);
	return r != 0;
}
