/*
 * kill -9: a server is killed at any kind under load, started again, and the front end connects
 * again. Everything that was not acknowledged is done again, nothing acknowledged is lost.
 *
 *	crash [ROUNDS [without-record | packed]]		60 rounds otherwise
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load/workload.h"
#include "util/log.h"
#include "vhost_user/disk.h"
#include "vhost_user/session.h"

static char dir[] = "/tmp/uvdpa-vu-crash-XXXXXX";
static char path[64], image[64];
static bool packed;

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A server in a process of its own; every other request of it takes a while. */
static pid_t start_server(void)
{
	const struct block_fault_options trouble = {.delay_us = 700, .delay_every = 2};
	struct disk disk;
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	log_set_level(LOG_LEVEL_WARNING);
	disk_open(&disk,
		  &(struct disk_options){
			  .file = image, .path = path, .trouble = &trouble, .packed = packed});
	for (;;)
		pause();
}

/* The socket's name stays: the next server finds that nobody answers there. */
static void kill_server(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int compare(const void *a, const void *b)
{
	return (*(const int64_t *)a > *(const int64_t *)b) -
	       (*(const int64_t *)a < *(const int64_t *)b);
}

/* Works until `us` have passed; true if something goes wrong. */
static bool work(struct workload *w, int64_t us)
{
	int64_t end = now_us() + us;

	while (now_us() < end)
		if (workload_step(w) < 0)
			return true;
	return false;
}

/* From the kill to the first completion of the next server. */
static int64_t recover(struct session *s, struct workload *w, pid_t *server)
{
	int64_t begin = now_us();
	uint64_t done = workload_done(w);

	kill_server(*server);
	session_hang_up(s);
	*server = start_server();
	/* what a VMM knows then: the used index (QEMU: virtio_queue_restore_last_avail_idx) */
	session_start(s, path, uvdpa_queue_base(s->queue));
	while (workload_done(w) == done)
		if (workload_step(w) < 0)
			break;
	return now_us() - begin;
}

int main(int argc, char **argv)
{
	bool with_record = argc < 3 || strcmp(argv[2], "without-record");
	const struct workload_options options = {.lost_after = with_record ? 10000 : 1000,
						 .blocks = 2048,
						 .depth = 32,
						 .write_percent = 60,
						 .flush_every = 50,
						 .seed = 5};
	unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 60, redone = 0;
	const struct workload_counts *counts;
	struct workload *w = NULL;
	struct error f = {0};
	struct session s;
	int64_t *times = calloc(rounds + 1, sizeof(*times));
	pid_t server;
	bool bad = false;

	if (!times || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(image, sizeof(image), "%s/image", dir);
	if (truncate(image, 16 << 20) < 0 && !fopen(image, "we"))
		return 1;
	if (truncate(image, 16 << 20) < 0)
		return 1;
	packed = argc > 2 && !strcmp(argv[2], "packed");
	if (packed)
		session_init_packed(&s, 4 << 20);
	else
		session_init(&s, 4 << 20);
	s.without_record = !with_record;
	if (workload_new(&options, s.memory, s.queue, &w, &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		return 1;
	}
	server = start_server();
	session_start(&s, path, uvdpa_queue_base(s.queue));
	srand(1);
	for (unsigned i = 0; i < rounds && !bad; i++) {
		bad = work(w, 1000 + rand() % 20000);
		redone += workload_in_flight(w);
		if (!bad)
			times[i] = recover(&s, w, &server);
	}
	bad = bad || workload_verify(w, 10000) < 0 || !workload_is_clean(w);
	counts = workload_counts(w);
	qsort(times, rounds, sizeof(*times), compare);
	printf("crash: %s kills=%u requests=%llu in_flight_at_kills=%u lost=%llu duplicated=%llu "
	       "corrupt=%llu stale=%llu recovery_us_p50=%lld max=%lld\n",
	       bad ? "FAIL" : "PASS", rounds,
	       (unsigned long long)(counts->reads + counts->writes + counts->flushes), redone,
	       (unsigned long long)counts->lost, (unsigned long long)counts->duplicated,
	       (unsigned long long)(counts->corrupt + counts->misplaced),
	       (unsigned long long)counts->stale, (long long)times[rounds / 2],
	       (long long)times[rounds - 1]);
	if (bad && workload_first_problem(w))
		printf("%s\n", workload_first_problem(w));
	kill_server(server);
	workload_free(w);
	session_free(&s);
	unlink(path);
	unlink(image);
	rmdir(dir);
	free(times);
	return bad;
}
