/*
 * What `uvdpa bench` measures.
 *
 * A thread per queue keeps the requests in flight (traffic.h); the first thread suspends, resumes
 * and moves meanwhile, and takes the times as a client sees them: around the whole call.
 */
#include "cmd/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "serve/inproc_device.h"
#include "load/session.h"
#include "load/traffic.h"

#define PATIENCE_MS 15000

struct bench;

/* One queue's requests, and their thread. */
struct load {
	struct bench *bench;
	struct traffic *traffic;
	pthread_t thread;
	bool running;
	struct error err;
};

struct bench {
	struct bench_options o;
	struct bench_result *result;
	struct inproc_device *embedded[2];
	struct load_session session;
	struct load loads[SESSION_QUEUES];
	atomic_bool stop, ended;
};

/* Somebody wants to see the figures now. */
static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
	interrupted = 1;
}

/* While it is measured; the second signal ends the process as ever. */
static void take_signals(void)
{
	const struct sigaction action = {.sa_handler = interrupt,
					 .sa_flags = SA_RESTART | SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static void leave_signals(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
}

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

static int open_target(struct bench *b, unsigned i, struct error *f)
{
	const char *target = b->o.targets[i];
	struct uvdpa_error error;
	int r;

	if (strncmp(target, "blk,", 4) == 0 || strncmp(target, "net,", 4) == 0) {
		r = inproc_device_open(target, &b->embedded[i], &b->session.devices[i], f);
		if (r < 0)
			error_prefix(f, "%s", target);
	} else {
		r = uvdpa_driver_open(target, 0, &b->session.devices[i], &error);
		if (r < 0)
			error_set(f, r, "%s", error.text);
	}
	if (r == 0)
		b->session.count = i + 1;
	return r;
}

/* The process id in DIR/lock, for a target DIR/vdpa/NAME; 0 if there is none. */
static uint64_t find_lock(const char *target)
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

/* The process that serves: the socket's other end, or the holder of the directory's lock. */
static uint64_t find_server(const struct bench *b)
{
	pid_t peer = uvdpa_driver_peer(b->session.devices[0]);

	if (b->embedded[0])
		return 0;
	return peer > 0 ? (uint64_t)peer : find_lock(b->o.targets[0]);
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
	struct load *load = arg;

	traffic_run(load->traffic, &load->bench->stop, &load->err);
	atomic_store(&load->bench->ended, true);
	return NULL;
}

static uint64_t done(const struct bench *b)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < b->o.queues; i++)
		sum += traffic_done(b->loads[i].traffic);
	return sum;
}

/* The longest of all queues. */
static uint64_t take_gap(struct bench *b)
{
	uint64_t longest = 0;

	for (unsigned i = 0; i < b->o.queues; i++) {
		uint64_t gap = traffic_take_gap(b->loads[i].traffic);

		longest = gap > longest ? gap : longest;
	}
	return longest;
}

const struct bench_rw bench_kinds[] = {
	{.name = "randread"},
	{.name = "randwrite", .write_percent = 100},
	{.name = "mix", .write_percent = 50},
	{.name = "read", .sequential = true},
	{.name = "write", .write_percent = 100, .sequential = true},
	{.name = "tx", .net = true, .send = true},
	{.name = "rx", .net = true, .receive = true},
	{.name = "txrx", .net = true, .send = true, .receive = true},
	{NULL},
};

/* What was not said depends on what the target is. */
static int choose_rw(struct bench_options *o, bool net, struct error *f)
{
	const struct bench_rw *fits = bench_kinds;

	while (fits->net != net)
		fits++;
	o->rw = o->rw ? o->rw : fits;
	o->block_size = o->block_size ? o->block_size : net ? 64 : 4096;
	if (o->rw->net != net)
		return error_set(f, -EINVAL, "--rw %s: that is for %s, and %s is a %s", o->rw->name,
				 net ? "disks" : "network cards", o->targets[0],
				 net ? "network card" : "disk");
	if (net && (o->block_size < 60 || o->block_size > 9014))
		return error_set(f, -EINVAL, "--bs %u: a frame has 60 to 9014 bytes",
				 o->block_size);
	if (!net && (o->block_size % 512 || o->block_size > 1 << 20))
		return error_set(f, -EINVAL, "--bs %u: it is a multiple of 512, up to 1M",
				 o->block_size);
	return 0;
}

/* As the library wants it. */
static uint32_t poll_us(const struct bench_options *o)
{
	return o->poll_us ? o->poll_us : UVDPA_QUEUE_POLL_NEVER;
}

static int make_disk_load(struct bench *b, struct error *f)
{
	struct traffic_options load = {
		.block_size = b->o.block_size,
		.depth = b->o.depth,
		.write_percent = b->o.rw->write_percent,
		.sequential = b->o.rw->sequential,
		.poll = b->o.poll,
	};
	const struct load_session_options session = {.depth = load.depth,
						     .queues = b->o.queues,
						     .packed = b->o.packed,
						     .copied = b->o.copied,
						     .poll_us = poll_us(&b->o),
						     .data_size = traffic_memory_size(&load),
						     .indirect = true};
	int r = load_session_start(&b->session, &session, f);

	if (r < 0)
		return r;
	load.blocks = b->session.config.capacity * 512 / load.block_size;
	load.chain_flags = load_session_chain_flags(&b->session, &session);
	if (load.blocks == 0)
		return error_set(f, -EINVAL, "%s has only %" PRIu64 " bytes", b->o.targets[0],
				 b->session.config.capacity * 512);
	if (load.write_percent && b->session.config.read_only)
		return error_set(f, -EROFS, "%s is read-only", b->o.targets[0]);
	for (unsigned i = 0; i < b->o.queues && r == 0; i++) {
		load.seed = i + 1;
		r = traffic_new(&load, &b->session, i, &b->loads[i].traffic, f);
	}
	return r;
}

static int make_net_load(struct bench *b, struct error *f)
{
	const struct net_traffic_options load = {.frame_size = b->o.block_size,
						 .depth = b->o.depth,
						 .send = b->o.rw->send,
						 .receive = b->o.rw->receive,
						 .poll = b->o.poll};
	const struct load_session_options session = {.depth = load.depth,
						     .queues = b->o.queues,
						     .packed = b->o.packed,
						     .copied = b->o.copied,
						     .poll_us = poll_us(&b->o),
						     .data_size = traffic_net_memory_size(&load)};
	int r = load_session_start(&b->session, &session, f);

	for (unsigned i = 0; i < b->o.queues && r == 0; i++)
		r = traffic_net_new(&load, &b->session, i, &b->loads[i].traffic, f);
	return r;
}

static int make_load(struct bench *b, struct error *f)
{
	bool net = load_session_is_net(&b->session);
	int r = choose_rw(&b->o, net, f);

	for (unsigned i = 0; i < b->o.queues; i++)
		b->loads[i].bench = b;
	if (r < 0)
		return r;
	return net ? make_net_load(b, f) : make_disk_load(b, f);
}

/* Until so many more requests are done, or it is interrupted. */
static int more_done(struct bench *b, uint64_t count, struct error *f)
{
	uint64_t end = done(b) + count;

	for (unsigned i = 0; i < PATIENCE_MS * 10; i++) {
		if (done(b) >= end || interrupted)
			return 0;
		if (atomic_load(&b->ended))
			return error_set(f, -EIO, "the load ended");
		usleep(100);
	}
	return error_set(f, -ETIMEDOUT, "no request was done for %d s", PATIENCE_MS / 1000);
}

/* --- Suspensions and moves -------------------------------------------------------------------- */

static int suspend_once(struct bench *b, struct error *f)
{
	struct uvdpa_driver *drv = b->session.devices[0];
	uint64_t begin = now_ns(), suspended, end;
	int r = uvdpa_driver_suspend(drv);

	suspended = now_ns();
	if (r < 0)
		return error_set(f, r, "%s: SUSPEND: %s", b->o.targets[0], strerror(-r));
	r = uvdpa_driver_resume(drv);
	end = now_ns();
	if (r < 0)
		return error_set(f, r, "%s: RESUME: %s", b->o.targets[0], strerror(-r));
	histogram_add(&b->result->suspend, suspended - begin);
	histogram_add(&b->result->resume, end - suspended);
	return 0;
}

static int move_once(struct bench *b, struct error *f)
{
	struct uvdpa_handover_times times;
	int r;

	take_gap(b);
	r = load_session_move(&b->session, &times, f);
	/* more than were in flight: at least one of these was begun by the new device */
	if (r == 0)
		r = more_done(b, b->o.depth * b->o.queues + 1, f);
	if (r < 0)
		return r;
	moves_add(&b->result->moves, &times, take_gap(b));
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
	fprintf(stderr, "\r  %" PRIu64 " requests", done(b));
	if (b->o.suspends || b->o.suspend_every || b->o.targets[1])
		fprintf(stderr, ", %" PRIu64 " suspends, %" PRIu64 " moves   ",
			b->result->suspend.count, b->result->moved);
	else
		fprintf(stderr, ", %.0f s to go   ", left);
}

static int disturb(struct bench *b, struct error *f)
{
	uint64_t todo = b->o.targets[1] ? b->o.moves : b->o.suspends;
	int r = more_done(b, b->o.depth, f);

	for (uint64_t i = 0; i < todo && r == 0 && !interrupted; i++) {
		usleep(b->o.every_ms * 1000);
		r = more_done(b, 1, f);
		if (r == 0 && !interrupted)
			r = b->o.targets[1] ? move_once(b, f) : suspend_once(b, f);
		show_progress(b, 0);
	}
	return r;
}

/* For as long as it was asked, suspending now and then where that was asked, too. */
static int just_wait(struct bench *b, struct error *f)
{
	double end = now(CLOCK_MONOTONIC) + b->o.seconds, left;
	double pause = b->o.suspend_every ? b->o.suspend_every / 1000.0 : 0.1;
	int r = 0;

	while (r == 0 && !interrupted && (left = end - now(CLOCK_MONOTONIC)) > 0) {
		if (atomic_load(&b->ended))
			return error_set(f, -EIO, "the load ended");
		usleep((useconds_t)((left > pause ? pause : left) * 1e6));
		if (b->o.suspend_every)
			r = more_done(b, 1, f);
		if (r == 0 && b->o.suspend_every && !interrupted)
			r = suspend_once(b, f);
		show_progress(b, left);
	}
	return r;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int start_loads(struct bench *b, struct error *f)
{
	for (unsigned i = 0; i < b->o.queues; i++) {
		struct load *load = &b->loads[i];
		int r = pthread_create(&load->thread, NULL, run_load, load);

		if (r)
			return error_set(f, -r, "cannot start a thread: %s", strerror(r));
		load->running = true;
	}
	return 0;
}

/* Ends the threads and adds up what they found. 0, or the first fault of them. */
static int stop_loads(struct bench *b, struct error *f)
{
	struct bench_result *result = b->result;
	int r = 0;

	atomic_store(&b->stop, true);
	for (unsigned i = 0; i < b->o.queues; i++) {
		struct load *load = &b->loads[i];

		if (!load->running)
			continue;
		pthread_join(load->thread, NULL);
		result->requests += traffic_done(load->traffic);
		result->errors += traffic_errors(load->traffic);
		result->received += traffic_received(load->traffic);
		histogram_merge(&result->latency, traffic_latency(load->traffic));
		if (load->err.code && r == 0) {
			*f = load->err;
			r = f->code;
		}
	}
	return r;
}

static int measure(struct bench *b, struct error *f)
{
	struct bench_result *result = b->result;
	double begin = now(CLOCK_MONOTONIC), server = server_cpu(b);
	double client = now(CLOCK_PROCESS_CPUTIME_ID);
	struct error late = {0};
	int r;

	take_signals();
	r = start_loads(b, f);

	if (r == 0 && (b->o.suspends || b->o.targets[1]))
		r = disturb(b, f);
	else if (r == 0)
		r = just_wait(b, f);
	if (stop_loads(b, &late) < 0) {
		*f = late;
		r = f->code;
	}
	leave_signals();
	result->interrupted = interrupted;
	result->seconds = now(CLOCK_MONOTONIC) - begin;
	result->client_cpu = now(CLOCK_PROCESS_CPUTIME_ID) - client;
	result->server_cpu = server < 0 ? -1 : server_cpu(b) - server;
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	return r;
}

static int measure_target(struct bench *b, struct error *f)
{
	int r = open_target(b, 0, f);

	if (r == 0 && b->o.targets[1])
		r = open_target(b, 1, f);
	if (r == 0)
		r = make_load(b, f);
	if (r == 0 && b->o.pid == 0)
		b->o.pid = find_server(b);
	if (r == 0)
		r = measure(b, f);
	load_session_stop(&b->session);
	for (unsigned i = 0; i < b->o.queues; i++)
		traffic_free(b->loads[i].traffic);
	inproc_device_free(b->embedded[0]);
	inproc_device_free(b->embedded[1]);
	return r;
}

int bench_measure(struct bench_options *options, struct bench_result *result, struct error *f)
{
	struct bench *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return error_set(f, -ENOMEM, "out of memory");
	b->o = *options;
	b->result = result;
	r = measure_target(b, f);
	*options = b->o;
	free(b);
	return r;
}
