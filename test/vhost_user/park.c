/*
 * A disk whose backend takes 5 s for a request is given to another server under a verified load:
 * its requests are parked, handed over and done there, long before this one could have done them.
 *
 *	park UVDPA record|state [ROUNDS]		5 rounds otherwise
 *
 * record: GET_VRING_BASE, and the record of requests in flight goes along
 * (GET_VRING_BASE_INFLIGHT). state: an operator suspends with --on-timeout park, saves here and
 * restores there.
 *
 * The deadline of both is DEADLINE; what is printed is how long a hand-over took, from asking the
 * one server to stand still to the first request that the other one completes, and how much of it
 * was waiting for the standstill.
 */
#include <fcntl.h>
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
#include "vhost_user/session.h"
#include "vhost_user/user.h"

#define DEADLINE "1000"
#define DEPTH	 32
#define ROUNDS	 100

static char dir[] = "/tmp/uvdpa-vu-park-XXXXXX";
static char image[64], state_file[64], output[64], places[2][64], sockets[2][96];
static const char *const names[2] = {"slow", "fast"};
static const char *program;
static pid_t servers[2];

struct figures {
	unsigned handed_over, refused;
	int64_t still[ROUNDS], whole[ROUNDS]; /* us */
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* The first server is slow. */
static void start_server(unsigned i)
{
	char device[300];

	snprintf(places[i], sizeof(places[i]), "%s/%u", dir, i);
	snprintf(sockets[i], sizeof(sockets[i]), "%s/%s.sock", places[i], names[i]);
	snprintf(device, sizeof(device),
		 "blk,name=%s,share=on,file=%s,suspend-timeout=" DEADLINE "%s", names[i], image,
		 i ? "" : ",on-timeout=park,fault.hold-us=5000000");
	servers[i] = fork();
	if (servers[i])
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	execl(program, program, "serve", "--dir", places[i], "--device", device, (char *)NULL);
	_exit(127);
}

/* `uvdpa VERB NAME [FILE] --dir PLACE`, where the operator may have to wait for the front end to
 * go. */
static bool operate(unsigned i, const char *verb, const char *file)
{
	const char *words[] = {program, verb, names[i], "--dir", places[i], file, NULL};
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		int fd = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		dup2(fd, STDOUT_FILENO);
		execv(program, (char *const *)(uintptr_t)words);
		_exit(127);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* Requests that the slow server has taken, as `uvdpa status --json` says it. */
static unsigned taken(void)
{
	static const char key[] = "\"in_flight\":";
	char line[4096];
	unsigned n = 0;
	FILE *status;

	if (!operate(0, "status", "--json"))
		return 0;
	status = fopen(output, "re");
	while (status && fgets(line, sizeof(line), status)) {
		const char *at = strstr(line, key);

		if (at)
			n += (unsigned)strtoul(at + strlen(key), NULL, 10); /* a line a queue */
	}
	if (status)
		fclose(status);
	return n;
}

static bool work(struct workload *w, uint64_t requests)
{
	uint64_t end = workload_done(w) + requests;

	while (workload_done(w) < end)
		if (workload_step(w) < 0)
			return false;
	return true;
}

/* A disk that is busy for longer than that, on a machine that is: the ring runs on, and again. */
static int stop_ring(struct session *s, struct workload *w, struct figures *f)
{
	int64_t base = session_stop(s);

	for (unsigned i = 0; base == -2 && i < 60; i++) {
		f->refused++;
		if (workload_step(w) < 0)
			return -1;
		base = session_stop(s);
	}
	return (int)base;
}

/* The ring's base, or -1; for the state it is in there. */
static int stand_still(struct session *s, struct workload *w, struct figures *f, bool by_state)
{
	if (!by_state)
		return stop_ring(s, w, f);
	for (unsigned i = 0; i < 60 && !operate(0, "suspend", NULL); i++)
		f->refused++;
	return operate(0, "save", state_file) && operate(1, "restore", state_file) ? 0 : -1;
}

/* From the slow server to the other, and back when it has nothing in flight. */
static bool round_trip(struct session *s, struct workload *w, bool by_state, struct figures *f,
		       unsigned i)
{
	uint64_t done;
	int64_t begin;
	int base;

	/* nothing comes back, unless this takes five seconds */
	do
		if (workload_step(w) < 0)
			return false;
	while (taken() < DEPTH);
	done = workload_done(w);
	f->handed_over += workload_in_flight(w);
	begin = now_us();
	base = stand_still(s, w, f, by_state);
	f->still[i] = now_us() - begin;
	if (base < 0)
		return false;
	session_hang_up(s);
	s->without_base = by_state;
	session_start(s, sockets[1], (uint16_t)base);
	s->without_base = false;
	while (workload_done(w) == done)
		if (workload_step(w) < 0)
			return false;
	f->whole[i] = now_us() - begin;
	if (!work(w, 200))
		return false;
	base = stop_ring(s, w, f);
	session_hang_up(s);
	if (base < 0 || (by_state && !operate(0, "resume", NULL)))
		return false;
	session_start(s, sockets[0], (uint16_t)base);
	return true;
}

static int compare(const void *a, const void *b)
{
	return (*(const int64_t *)a > *(const int64_t *)b) -
	       (*(const int64_t *)a < *(const int64_t *)b);
}

static bool judge(struct session *s, struct workload *w, struct figures *f, unsigned rounds,
		  bool good, const char *how)
{
	const struct workload_counts *c = workload_counts(w);
	int64_t still[ROUNDS], whole[ROUNDS];

	if (good) { /* what is in flight now goes over, too, and all that was ever written is read
		     */
		int base = stand_still(s, w, f, !strcmp(how, "state"));

		session_hang_up(s);
		s->without_base = !strcmp(how, "state");
		session_start(s, sockets[1], (uint16_t)base);
		good = workload_verify(w, 60000) >= 0 && workload_is_clean(w);
	}
	memcpy(still, f->still, sizeof(still));
	memcpy(whole, f->whole, sizeof(whole));
	qsort(still, rounds, sizeof(still[0]), compare);
	qsort(whole, rounds, sizeof(whole[0]), compare);
	printf("park: %s by=%s deadline_ms=" DEADLINE " rounds=%u requests=%llu handed_over=%u "
	       "refused=%u lost=%llu duplicated=%llu corrupt=%llu standstill_ms_p50=%lld max=%lld "
	       "blackout_ms_p50=%lld max=%lld\n",
	       good ? "PASS" : "FAIL", how, rounds,
	       (unsigned long long)(c->reads + c->writes + c->flushes), f->handed_over, f->refused,
	       (unsigned long long)c->lost, (unsigned long long)c->duplicated,
	       (unsigned long long)(c->corrupt + c->misplaced + c->stale),
	       (long long)still[rounds / 2] / 1000, (long long)still[rounds - 1] / 1000,
	       (long long)whole[rounds / 2] / 1000, (long long)whole[rounds - 1] / 1000);
	if (!good && workload_first_problem(w))
		printf("%s\n", workload_first_problem(w));
	return good;
}

static void end_servers(void)
{
	for (unsigned i = 0; i < 2; i++)
		server_end(servers[i], places[i]);
	unlink(state_file);
	unlink(output);
	unlink(image);
	rmdir(dir);
}

static int run(const char *how, unsigned rounds)
{
	const struct workload_options options = {.lost_after = 60000,
						 .blocks = 2048,
						 .depth = DEPTH,
						 .write_percent = 60,
						 .flush_every = 50,
						 .seed = 7};
	static struct figures figures;
	bool by_state = !strcmp(how, "state"), good = true;
	struct workload *w = NULL;
	struct error f = {0};
	struct session s;

	session_init(&s, 4 << 20);
	s.without_record = by_state;
	if (by_state)
		s.protocol_off = 1ull << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
				 1ull << VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT;
	if (workload_new(&options, s.memory, s.queue, &w, &f) < 0) {
		fprintf(stderr, "%s\n", f.text);
		return 1;
	}
	session_start(&s, sockets[0], 0);
	for (unsigned i = 0; i < rounds && good; i++)
		good = round_trip(&s, w, by_state, &figures, i);
	good = judge(&s, w, &figures, rounds, good, how);
	workload_free(w);
	session_free(&s);
	return !good;
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 5;
	int fd, r;

	if (argc < 3 || !rounds || rounds > ROUNDS)
		return 2;
	if (access("/dev/fuse", R_OK | W_OK) < 0) {
		printf("no usable /dev/fuse, which uvdpa serve needs\n");
		return 77;
	}
	program = argv[1];
	if (!mkdtemp(dir))
		return 1;
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	snprintf(state_file, sizeof(state_file), "%s/state", dir);
	fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 16 << 20) < 0)
		return 1;
	close(fd);
	start_server(0);
	start_server(1);
	r = run(argv[2], rounds);
	end_servers();
	return r;
}
