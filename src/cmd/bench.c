/*
 * uvdpa bench: how fast a disk is, and how long it stands still when it is suspended or moved
 * under load.
 *
 * One thread keeps the requests in flight (traffic.h); this one suspends, resumes and moves, and
 * takes the times as a client sees them: around the whole call.
 */
#include "cmd/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cmd/embed.h"
#include "cmd/ferry.h"
#include "cmd/traffic.h"
#include "cmd/verb.h"
#include "util/args.h"
#include "util/log.h"
#include "util/size.h"

#define PATIENCE_MS 15000

static void help(FILE *to)
{
	fputs("Measures a disk: requests as fast as it takes them and, on demand, how long it\n"
	      "stands still when it is suspended, or moves to another device, under this load.\n"
	      "\n"
	      "Usage: uvdpa bench TARGET [--rw WHAT] [--bs SIZE] [--depth N] [--seconds S]\n"
	      "                   [--suspends N] [--handover TARGET [--moves N]] [--every MS]\n"
	      "                   [--pid PID] [--json]\n"
	      "\n"
	      "TARGET is a vhost-vdpa file (DIR/vdpa/NAME of 'uvdpa serve', /dev/vhost-vdpa-N), a\n"
	      "vhost-user socket, or the keys of a device (blk,name=n,null=1T), which is then in\n"
	      "this process.\n"
	      "\n"
	      "  --rw WHAT          randread (default), randwrite, mix, read, write: WRITES "
	      "DESTROY\n"
	      "                     what is on the disk\n"
	      "  --bs SIZE          bytes of a request (4096)\n"
	      "  --depth N          requests in flight (128)\n"
	      "  --seconds S        how long (5); with --suspends or --moves: until these are "
	      "done\n"
	      "  --suspends N       suspend and resume so often, and tell what that takes\n"
	      "  --handover TARGET  move to this device and back\n"
	      "  --moves N          so often (100)\n"
	      "  --every MS         from one suspension, or move, to the next (5)\n"
	      "  --pid PID          the server's, for its CPU time; for files of 'uvdpa serve' it\n"
	      "                     is found out\n"
	      "  --json             print one object instead of a table; times are in us\n"
	      "\n"
	      "Exit status: 0 done, 1 not done, or requests failed; one line says why.\n",
	      to);
}

struct bench {
	struct bench_options o;
	struct bench_result *result;
	struct embed *embedded[2];
	struct ferry ferry;
	struct traffic *traffic;
	pthread_t thread;
	atomic_bool stop, ended;
	struct fault fault; /* of the thread */
};

static double now(clockid_t clock)
{
	struct timespec t = {0};

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* --- Targets ---------------------------------------------------------------------------------- */

static int open_target(struct bench *b, unsigned i, struct fault *f)
{
	const char *target = b->o.targets[i];
	struct uvdpa_error error;
	int r;

	if (strncmp(target, "blk,", 4) == 0) {
		r = embed_open(target, &b->embedded[i], &b->ferry.devices[i], f);
		if (r < 0)
			fault_prefix(f, "%s", target);
	} else {
		r = uvdpa_driver_open(target, 0, &b->ferry.devices[i], &error);
		if (r < 0)
			fault(f, r, "%s", error.text);
	}
	if (r == 0)
		b->ferry.count = i + 1;
	return r;
}

/* The process id in DIR/lock, for a target DIR/vdpa/NAME; 0 if there is none. */
static uint64_t find_server(const char *target)
{
	const char *name = strrchr(target, '/');
	char path[4200], text[24] = "";
	FILE *file;

	if (!name || strlen(target) > 4096)
		return 0;
	snprintf(path, sizeof(path), "%.*s/../lock", (int)(name - target), target);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	fclose(file);
	return strtoull(text, NULL, 10);
}

/* CPU time of the server so far; negative: unknown. */
static double server_cpu(const struct bench *b)
{
	clockid_t clock;
	struct timespec t;

	if (b->o.pid == 0 || clock_getcpuclockid((pid_t)b->o.pid, &clock) != 0 ||
	    clock_gettime(clock, &t) < 0)
		return -1;
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- The load's thread ------------------------------------------------------------------------ */

static void *run_load(void *arg)
{
	struct bench *b = arg;

	traffic_run(b->traffic, &b->stop, &b->fault);
	atomic_store(&b->ended, true);
	return NULL;
}

static int make_load(struct bench *b, struct fault *f)
{
	struct traffic_options load = {
		.block_size = b->o.block_size,
		.depth = b->o.depth,
		.write_percent = b->o.write_percent,
		.sequential = b->o.sequential,
		.seed = 1,
	};
	const struct ferry_options ferry = {
		.depth = load.depth, .data_size = traffic_memory_size(&load), .indirect = true};
	int r = ferry_start(&b->ferry, &ferry, f);

	if (r < 0)
		return r;
	load.blocks = b->ferry.config.capacity * 512 / load.block_size;
	load.chain_flags = ferry_chain_flags(&b->ferry, &ferry);
	if (load.blocks == 0)
		return fault(f, -EINVAL, "%s has only %" PRIu64 " bytes", b->o.targets[0],
			     b->ferry.config.capacity * 512);
	if (load.write_percent && b->ferry.config.read_only)
		return fault(f, -EROFS, "%s is read-only", b->o.targets[0]);
	return traffic_new(&load, &b->ferry, &b->traffic, f);
}

/* Until so many more requests are done. */
static int more_done(struct bench *b, uint64_t count, struct fault *f)
{
	uint64_t end = traffic_done(b->traffic) + count;

	for (unsigned i = 0; i < PATIENCE_MS * 10; i++) {
		if (traffic_done(b->traffic) >= end)
			return 0;
		if (atomic_load(&b->ended))
			return fault(f, -EIO, "the load ended");
		usleep(100);
	}
	return fault(f, -ETIMEDOUT, "no request was done for %d s", PATIENCE_MS / 1000);
}

/* --- Suspensions and moves -------------------------------------------------------------------- */

static int suspend_once(struct bench *b, struct fault *f)
{
	struct uvdpa_driver *drv = b->ferry.devices[0];
	uint64_t begin = now_ns(), suspended, end;
	int r = uvdpa_driver_suspend(drv);

	suspended = now_ns();
	if (r < 0)
		return fault(f, r, "%s: SUSPEND: %s", b->o.targets[0], strerror(-r));
	r = uvdpa_driver_resume(drv);
	end = now_ns();
	if (r < 0)
		return fault(f, r, "%s: RESUME: %s", b->o.targets[0], strerror(-r));
	histogram_add(&b->result->suspend, suspended - begin);
	histogram_add(&b->result->resume, end - suspended);
	return 0;
}

static int move_once(struct bench *b, struct fault *f)
{
	struct uvdpa_handover_times times;
	int r;

	traffic_take_gap(b->traffic);
	r = ferry_move(&b->ferry, &times, f);
	/* more than were in flight: at least one of these was begun by the new device */
	if (r == 0)
		r = more_done(b, b->o.depth + 1, f);
	if (r < 0)
		return r;
	moves_add(&b->result->moves, &times, traffic_take_gap(b->traffic));
	b->result->moved++;
	return 0;
}

static void show_progress(const struct bench *b, double left)
{
	static double last;
	double t = now(CLOCK_MONOTONIC);

	if (t - last < 0.5 || !isatty(STDERR_FILENO))
		return;
	last = t;
	fprintf(stderr, "\r  %" PRIu64 " requests", traffic_done(b->traffic));
	if (b->o.suspends || b->o.targets[1])
		fprintf(stderr, ", %" PRIu64 " suspends, %" PRIu64 " moves   ",
			b->result->suspend.count, b->result->moved);
	else
		fprintf(stderr, ", %.0f s to go   ", left);
}

static int disturb(struct bench *b, struct fault *f)
{
	uint64_t todo = b->o.targets[1] ? b->o.moves : b->o.suspends;
	int r = more_done(b, b->o.depth, f);

	for (uint64_t i = 0; i < todo && r == 0; i++) {
		usleep(b->o.every_ms * 1000);
		r = more_done(b, 1, f);
		if (r == 0)
			r = b->o.targets[1] ? move_once(b, f) : suspend_once(b, f);
		show_progress(b, 0);
	}
	return r;
}

static int just_wait(struct bench *b, struct fault *f)
{
	double end = now(CLOCK_MONOTONIC) + b->o.seconds, left;

	while ((left = end - now(CLOCK_MONOTONIC)) > 0) {
		if (atomic_load(&b->ended))
			return fault(f, -EIO, "the load ended");
		usleep(left > 0.1 ? 100000 : (useconds_t)(left * 1e6));
		show_progress(b, left);
	}
	return 0;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int measure(struct bench *b, struct fault *f)
{
	struct bench_result *result = b->result;
	double begin = now(CLOCK_MONOTONIC), server = server_cpu(b);
	double client = now(CLOCK_PROCESS_CPUTIME_ID);
	int r = pthread_create(&b->thread, NULL, run_load, b);

	if (r)
		return fault(f, -r, "cannot start a thread: %s", strerror(r));
	r = b->o.suspends || b->o.targets[1] ? disturb(b, f) : just_wait(b, f);
	atomic_store(&b->stop, true);
	pthread_join(b->thread, NULL);
	result->seconds = now(CLOCK_MONOTONIC) - begin;
	result->client_cpu = now(CLOCK_PROCESS_CPUTIME_ID) - client;
	result->server_cpu = server < 0 ? -1 : server_cpu(b) - server;
	result->requests = traffic_done(b->traffic);
	result->errors = traffic_errors(b->traffic);
	result->latency = *traffic_latency(b->traffic);
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (b->fault.code) {
		*f = b->fault;
		r = f->code;
	}
	return r;
}

static int run_bench(struct bench *b, struct fault *f)
{
	int r = open_target(b, 0, f);

	if (r == 0 && b->o.targets[1])
		r = open_target(b, 1, f);
	if (r == 0)
		r = make_load(b, f);
	if (r == 0 && b->o.pid == 0)
		b->o.pid = find_server(b->o.targets[0]);
	if (r == 0)
		r = measure(b, f);
	ferry_stop(&b->ferry);
	traffic_free(b->traffic);
	embed_free(b->embedded[0]);
	embed_free(b->embedded[1]);
	return r;
}

/* --- Words ------------------------------------------------------------------------------------ */

static int set_rw(struct bench_options *o, const char *rw, struct fault *f)
{
	static const struct {
		const char *name;
		unsigned write_percent;
		bool sequential;
	} kinds[] = {{"randread", 0, false},
		     {"randwrite", 100, false},
		     {"mix", 50, false},
		     {"read", 0, true},
		     {"write", 100, true}};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(rw, kinds[i].name) != 0)
			continue;
		o->rw = kinds[i].name;
		o->write_percent = kinds[i].write_percent;
		o->sequential = kinds[i].sequential;
		return 0;
	}
	return fault(f, -EINVAL, "--rw %s: it is randread, randwrite, mix, read or write", rw);
}

struct texts {
	const char *rw, *bs, *depth, *seconds, *suspends, *moves, *every, *pid;
};

static int set_numbers(struct bench_options *o, const struct texts *t, struct fault *f)
{
	const struct {
		const char *name, *text;
		uint64_t min, max, initial, *to;
	} numbers[] = {
		{"suspends", t->suspends, 1, 10000000, 0, &o->suspends},
		{"moves", t->moves, 1, 10000000, 100, &o->moves},
		{"pid", t->pid, 1, 4194304, 0, &o->pid},
	};
	uint64_t n;
	int r = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == 0; i++) {
		*numbers[i].to = numbers[i].initial;
		if (numbers[i].text)
			r = args_number(numbers[i].name, numbers[i].text, numbers[i].min,
					numbers[i].max, numbers[i].to, f);
	}
	if (r == 0) {
		r = args_number("depth", t->depth ? t->depth : "128", 1, 32768, &n, f);
		o->depth = (unsigned)n;
	}
	if (r == 0) {
		r = args_number("seconds", t->seconds ? t->seconds : "5", 1, 1000000, &n, f);
		o->seconds = (double)n;
	}
	if (r == 0) {
		r = args_number("every", t->every ? t->every : "5", 0, 100000, &n, f);
		o->every_ms = (unsigned)n;
	}
	return r;
}

static int check_options(struct bench_options *o, const struct texts *t, struct fault *f)
{
	uint64_t size;
	int r = set_rw(o, t->rw ? t->rw : "randread", f);

	if (r == 0)
		r = set_numbers(o, t, f);
	if (r < 0)
		return r;
	if (size_parse(t->bs ? t->bs : "4096", &size) < 0 || size % 512 || size < 512 ||
	    size > 1 << 20)
		return fault(f, -EINVAL, "--bs %s: it is a multiple of 512, up to 1M", t->bs);
	o->block_size = (uint32_t)size;
	if (t->moves && !o->targets[1])
		return fault(f, -EINVAL, "--moves: where to? Give --handover TARGET, too");
	if (o->targets[1] && o->suspends)
		return fault(f, -EINVAL,
			     "--suspends and --handover: one at a time, a move suspends as well");
	if (o->targets[1] && strcmp(o->targets[0], o->targets[1]) == 0)
		return fault(f, -EINVAL, "--handover %s: that is the device itself", o->targets[1]);
	return 0;
}

static int parse(int argc, char **argv, struct bench_options *o, struct fault *f)
{
	struct texts t = {0};
	const struct arg table[] = {
		{"rw", 0, ARG_TEXT, &t.rw},
		{"bs", 0, ARG_TEXT, &t.bs},
		{"depth", 0, ARG_TEXT, &t.depth},
		{"seconds", 0, ARG_TEXT, &t.seconds},
		{"suspends", 0, ARG_TEXT, &t.suspends},
		{"handover", 0, ARG_TEXT, &o->targets[1]},
		{"moves", 0, ARG_TEXT, &t.moves},
		{"every", 0, ARG_TEXT, &t.every},
		{"pid", 0, ARG_TEXT, &t.pid},
		{"json", 0, ARG_FLAG, &o->json},
		{NULL},
	};
	struct arg_list words = {o->targets, 0, 1};
	int r = args_parse(argc, argv, table, &words, f);

	if (r == 0 && words.count == 0)
		r = fault(f, -EINVAL, "usage: uvdpa bench TARGET (see uvdpa bench --help)");
	return r ? r : check_options(o, &t, f);
}

static int run(int argc, char **argv)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct fault f = {0};
	int r;

	if (b)
		b->result = calloc(1, sizeof(*b->result));
	if (!b || !b->result) {
		free(b);
		return EXIT_REFUSED;
	}
	log_set_level(LOG_LEVEL_WARNING);
	r = parse(argc, argv, &b->o, &f);
	if (r == 0)
		r = run_bench(b, &f);
	if (r == 0)
		(b->o.json ? bench_print_json : bench_print)(&b->o, b->result, stdout);
	if (r == 0 && b->result->errors)
		r = fault(&f, -EIO, "%" PRIu64 " requests failed", b->result->errors);
	free(b->result);
	free(b);
	return r < 0 ? complain(&f) : EXIT_OK;
}

const struct verb verb_bench = {
	.name = "bench",
	.summary = "measure a disk, and how long it stands still",
	.help = help,
	.run = run,
};
