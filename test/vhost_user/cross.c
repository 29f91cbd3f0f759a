/*
 * S12 over exports: a driver that works on the vhost-vdpa file of one server goes on over the
 * vhost-user socket of another, and back, under a verified load.
 *
 *	cross UVDPA|- [MOVES [packed]]		100 moves otherwise, over split rings
 *
 * Without a usable /dev/fuse the vhost-vdpa end is a device in this process.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/session.h"
#include "load/workload.h"
#include "export/inprocess/inprocess.h"
#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/user.h"

#define DEPTH 64

static char dir[] = "/tmp/uvdpa-vu-cross-XXXXXX";
static char image[64], places[2][64], paths[2][96];
static pid_t servers[2];
static bool packed;
static atomic_bool stop;

static pid_t start_server(const char *program, const char *place, const char *extra)
{
	char device[160];
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(device, sizeof(device), "blk,name=disk0,share=on,file=%s%s", image, extra);
	execl(program, program, "serve", "--dir", place, "--device", device, (char *)NULL);
	_exit(127);
}

/* Opens a device as soon as its server has it. */
static int open_when_there(const char *path, struct uvdpa_driver **drv)
{
	struct uvdpa_error error = {0};
	int r = -1;

	for (unsigned i = 0; r < 0 && i < 2000; i++) {
		r = uvdpa_driver_open(path, 0, drv, &error);
		if (r < 0)
			usleep(5000);
	}
	if (r < 0)
		fprintf(stderr, "%s\n", error.text);
	return r;
}

static bool has_fuse(void)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Both ends by their servers: [0] is the file, [1] the socket. */
static int open_served(const char *program, struct load_session *session)
{
	for (unsigned i = 0; i < 2; i++) {
		snprintf(places[i], sizeof(places[i]), "%s/%u", dir, i);
		servers[i] = start_server(program, places[i], packed ? ",packed=on" : "");
	}
	snprintf(paths[0], sizeof(paths[0]), "%s/vdpa/disk0", places[0]);
	snprintf(paths[1], sizeof(paths[1]), "%s/disk0.sock", places[1]);
	for (unsigned i = 0; i < 2; i++)
		if (open_when_there(paths[i], &session->devices[i]) < 0)
			return -1;
	return 0;
}

static const struct uvdpa_transport in_process = {inprocess_ioctl, inprocess_write,
						  inprocess_close};

static int open_here(struct disk disks[2], struct load_session *session)
{
	struct inprocess_options options = {0};
	struct inprocess *export = NULL;
	struct uvdpa_error error = {0};
	struct error f = {0};

	for (unsigned i = 0; i < 2; i++)
		disk_open(&disks[i], &(struct disk_options){.file = image, .packed = packed});
	if (inprocess_open(disks[0].runtime, &options, &export, &f) < 0 ||
	    uvdpa_driver_open_transport(&in_process, export, "in this process", 0,
					&session->devices[0], &error) < 0)
		return -1;
	return uvdpa_driver_open(disks[1].path, 0, &session->devices[1], &error);
}

static void *run(void *arg)
{
	workload_run(arg, &stop, 0);
	return NULL;
}

/* Moves under load, so that something is done between any two. Returns how many came off. */
static unsigned move(struct load_session *session, struct workload *w, unsigned moves)
{
	struct uvdpa_handover_times times;
	struct error f = {0};
	pthread_t thread;
	unsigned done = 0;

	if (pthread_create(&thread, NULL, run, w))
		return 0;
	for (; done < moves; done++) {
		uint64_t before = workload_done(w);

		for (unsigned i = 0; workload_done(w) < before + 200 && i < 2000; i++)
			usleep(1000);
		if (load_session_move(session, &times, &f) < 0) {
			fprintf(stderr, "move %u: %s\n", done, f.text);
			break;
		}
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	return done;
}

static int judge(struct workload *w, unsigned moves, unsigned done, const char *how)
{
	const struct workload_counts *c;
	bool good = done == moves && workload_verify(w, 10000) >= 0 && workload_is_clean(w);

	c = workload_counts(w);
	printf("cross: %s ends=%s moves=%u requests=%llu lost=%llu duplicated=%llu corrupt=%llu\n",
	       good ? "PASS" : "FAIL", how, done,
	       (unsigned long long)(c->reads + c->writes + c->flushes), (unsigned long long)c->lost,
	       (unsigned long long)c->duplicated,
	       (unsigned long long)(c->corrupt + c->misplaced + c->stale));
	if (!good && workload_first_problem(w))
		printf("%s\n", workload_first_problem(w));
	return good ? 0 : 1;
}

static void end_servers(void)
{
	for (unsigned i = 0; i < 2; i++)
		server_end(servers[i], places[i]);
}

int main(int argc, char **argv)
{
	const struct workload_options load = {
		.blocks = 2048, .depth = DEPTH, .write_percent = 50, .flush_every = 100, .seed = 3};
	const struct load_session_options options = {
		.depth = DEPTH, .packed = argc > 3, .data_size = workload_memory_size(&load)};
	unsigned moves = argc > 2 ? (unsigned)atoi(argv[2]) : 100;
	struct disk disks[2] = {0};
	struct load_session session = {.count = 2};
	struct workload *w = NULL;
	struct error f = {0};
	bool served = argc > 1 && argv[1][0] != '-' && has_fuse();
	int r = 1, fd;

	packed = options.packed;
	log_set_level(LOG_LEVEL_WARNING);
	if (!mkdtemp(dir))
		return 1;
	snprintf(image, sizeof(image), "%s/image", dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 16 << 20) < 0)
		return 1;
	close(fd);
	if ((served ? open_served(argv[1], &session) : open_here(disks, &session)) < 0)
		goto out;
	if (load_session_start(&session, &options, &f) < 0 ||
	    workload_new(&load, session.memory, session.queues[0], &w, &f) < 0)
		fprintf(stderr, "%s\n", f.text);
	else
		r = judge(w, moves, move(&session, w, moves), served ? "served" : "in-process");
	workload_free(w);
out:
	load_session_stop(&session);
	end_servers();
	for (unsigned i = 0; !served && i < 2; i++)
		disk_close(&disks[i]);
	unlink(image);
	rmdir(dir);
	return r;
}
