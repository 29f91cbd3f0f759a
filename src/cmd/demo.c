/*
 * uvdpa demo: a disk is used without a pause while it moves between two servers, and every
 * request is accounted for.
 *
 *	server a  ---+                        +--- workload: 64 reads and writes in flight,
 *	             +--- the driver's queue -+    every block with its number and generation
 *	server b  ---+    (moves)             +--- this thread: moves the queue to and fro
 *	    |
 *	one image, which is read back at the end, through the device and past it
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "load/moves.h"
#include "load/session.h"
#include "cmd/sandbox.h"
#include "cmd/verb.h"
#include "load/workload.h"
#include "util/args.h"
#include "util/log.h"

#define IMAGE_SIZE	  (UINT64_C(256) << 20)
#define BLOCK_SIZE	  4096
#define BLOCKS		  ((uint32_t)(IMAGE_SIZE / BLOCK_SIZE))
#define DEPTH		  64
#define REQUESTS_PER_MOVE 2000 /* at least so many between two moves */
#define PATIENCE_MS	  15000

static void help(FILE *to)
{
	fputs("Shows a disk that moves: two servers share one image of 256 MiB, a driver keeps 64\n"
	      "random reads and writes in flight, and again and again suspends the device, reads\n"
	      "where its queue stands, and goes on from there with the other one. Every block "
	      "says\n"
	      "which one it is and how new it is, so anything lost, done twice or damaged shows.\n"
	      "\n"
	      "Usage: uvdpa demo [--moves N] [--door files|inprocess] [--packed]\n"
	      "                  [--keys KEY=VALUE,...]\n"
	      "\n"
	      "  --moves N         how often to move (100)\n"
	      "  --door files      serve files, in two processes; fails where that cannot be\n"
	      "  --door inprocess  two devices inside this process\n"
	      "                    default: files and, where they cannot be served, inprocess\n"
	      "  --packed          over packed virtqueues\n"
	      "  --keys KEYS       more keys of 'uvdpa serve --device' for both devices, such as\n"
	      "                    fault.delay-us=500\n"
	      "\n"
	      "All happens in a temporary folder below $TMPDIR or /tmp, which is removed at the\n"
	      "end. The last line is the verdict, 'demo: PASS ...' or 'demo: FAIL ...'.\n"
	      "Exit status: 0 passed, 1 failed.\n",
	      to);
}

struct demo {
	unsigned long moves;
	unsigned long moved;
	const char *export; /* NULL: whatever works */
	sigset_t signals;
	bool interrupted;

	struct sandbox sandbox;
	struct load_session session;
	struct workload *load;
	pthread_t thread;
	bool running;
	atomic_bool stop;
	atomic_int result; /* of the workload; negative: it ended */
	int64_t began, ended;
	uint64_t done; /* requests between these */
	struct moves times;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Whether somebody wants this to end. Signals are taken here and nowhere else. */
static bool is_interrupted(struct demo *demo)
{
	const struct timespec at_once = {0};

	if (!demo->interrupted && sigtimedwait(&demo->signals, NULL, &at_once) > 0)
		demo->interrupted = true;
	return demo->interrupted;
}

/* --- The workload's thread -------------------------------------------------------------------- */

static void *run_load(void *arg)
{
	struct demo *demo = arg;

	atomic_store(&demo->result, workload_run(demo->load, &demo->stop, 0));
	return NULL;
}

static int start_load(struct demo *demo, struct error *f)
{
	const struct workload_options options = {
		.blocks = BLOCKS,
		.block_size = BLOCK_SIZE,
		.depth = DEPTH,
		.write_percent = 50,
		.seed = (uint64_t)now_ns(),
		.blank = true,
	};
	const struct load_session_options session = {.depth = DEPTH,
						     .packed = demo->sandbox.packed,
						     .data_size = workload_memory_size(&options)};
	int r = load_session_start(&demo->session, &session, f);

	if (r == 0)
		r = workload_new(&options, demo->session.memory, demo->session.queues[0],
				 &demo->load, f);
	if (r < 0)
		return r;
	demo->began = now_ns();
	r = pthread_create(&demo->thread, NULL, run_load, demo);
	if (r)
		return error_set(f, -r, "cannot start a thread: %s", strerror(r));
	demo->running = true;
	return 0;
}

static void stop_load(struct demo *demo)
{
	if (!demo->running)
		return;
	atomic_store(&demo->stop, true);
	pthread_join(demo->thread, NULL);
	demo->running = false;
	demo->ended = now_ns();
	demo->done = workload_done(demo->load);
}

/* Waits until so many more requests are done. */
static int more_done(struct demo *demo, uint64_t count, struct error *f)
{
	uint64_t end = workload_done(demo->load) + count;

	for (unsigned i = 0; i < PATIENCE_MS * 5; i++) {
		if (workload_done(demo->load) >= end)
			return 0;
		if (atomic_load(&demo->result) < 0)
			return error_set(f, -EIO, "the workload stopped");
		if (is_interrupted(demo))
			return error_set(f, -EINTR, "interrupted");
		usleep(200);
	}
	return error_set(f, -ETIMEDOUT, "no request was done for %d s", PATIENCE_MS / 1000);
}

/* --- The moves -------------------------------------------------------------------------------- */

static void show_progress(const struct demo *demo)
{
	bool terminal = isatty(STDOUT_FILENO), last = demo->moved == demo->moves;

	if (!terminal && !last && demo->moved % 25)
		return;
	printf("%s  move %lu of %lu: %" PRIu64 " requests done%s", terminal ? "\r" : "",
	       demo->moved, demo->moves, workload_done(demo->load), terminal && !last ? "" : "\n");
	fflush(stdout);
}

static int move_once(struct demo *demo, struct error *f)
{
	struct uvdpa_handover_times times;
	int r = more_done(demo, REQUESTS_PER_MOVE, f);

	if (r < 0)
		return r;
	workload_take_gap(demo->load);
	r = load_session_move(&demo->session, &times, f);
	/* more than were in flight: at least one of these was begun by the new device */
	if (r == 0)
		r = more_done(demo, DEPTH + 1, f);
	if (r == 0)
		moves_add(&demo->times, &times, workload_take_gap(demo->load));
	return r;
}

static int move_about(struct demo *demo, struct error *f)
{
	int r = 0;

	while (r == 0 && demo->moved < demo->moves) {
		r = move_once(demo, f);
		if (r < 0) {
			error_prefix(f, "move %lu", demo->moved + 1);
			break;
		}
		demo->moved++;
		show_progress(demo);
	}
	return r;
}

/* --- The end ---------------------------------------------------------------------------------- */

/* Reads everything back, through the device and past it. */
static int look_back(struct demo *demo, struct error *f)
{
	uint32_t checked = 0;
	int fd, r;

	printf("  reading back %u blocks through the device\n", BLOCKS);
	fflush(stdout);
	r = workload_verify(demo->load, PATIENCE_MS);
	if (r < 0)
		return error_set(f, r, "reading back: %s", strerror(-r));
	fd = open(demo->sandbox.image, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(f, -errno, "%s: %s", demo->sandbox.image, strerror(errno));
	r = workload_check_file(demo->load, fd, &checked);
	close(fd);
	if (r < 0)
		return error_set(f, r, "%s: %s", demo->sandbox.image, strerror(-r));
	printf("  compared %u blocks of the image itself\n", checked);
	if (checked != BLOCKS)
		return error_set(f, -EIO, "only %u of %u blocks could be compared", checked,
				 BLOCKS);
	return 0;
}

static void print_table(const struct demo *demo)
{
	const struct workload_counts *c = workload_counts(demo->load);
	const struct histogram *h = workload_latency(demo->load);
	double seconds = (double)(demo->ended - demo->began) / 1e9;

	printf("\n  %lu moves in %.1f s, %.0f requests per second, reads and writes at once: "
	       "%d\n\n",
	       demo->moved, seconds, (double)demo->done / seconds, DEPTH);
	moves_print(&demo->times, stdout);
	printf("  %-40s %8.1f %8.1f %8.1f\n\n", "a request, from sending to completion",
	       (double)histogram_percentile(h, 50) / 1000,
	       (double)histogram_percentile(h, 99) / 1000, (double)h->max / 1000);
	printf("  reads %" PRIu64 ", writes %" PRIu64 ", failed %" PRIu64 ", lost %" PRIu64
	       ", stale %" PRIu64 ", duplicated %" PRIu64 ", misplaced %" PRIu64
	       ", corrupt %" PRIu64 "\n\n",
	       c->reads, c->writes, c->errors, c->lost, c->stale, c->duplicated, c->misplaced,
	       c->corrupt + c->broken);
}

/* The one line. What a lost write leaves behind is stale; what is misplaced is corrupt, too. */
static int verdict(const struct demo *demo, const struct error *f)
{
	static const struct workload_counts none;
	const struct workload_counts *c = demo->load ? workload_counts(demo->load) : &none;
	const struct histogram *h = &demo->times.steps[MOVE_BLACKOUT];
	bool good = f->code == 0 && demo->load && workload_is_clean(demo->load) &&
		    demo->moved == demo->moves;

	fflush(stdout);
	if (f->code)
		fprintf(stderr, "demo: %s\n", f->text);
	if (demo->load && workload_first_problem(demo->load))
		fprintf(stderr, "demo: %s\n", workload_first_problem(demo->load));
	printf("demo: %s moves=%lu requests=%" PRIu64 " lost=%" PRIu64 " duplicated=%" PRIu64
	       " corrupt=%" PRIu64 " blackout_us_p50=%" PRIu64 " p99=%" PRIu64 " max=%" PRIu64 "\n",
	       good ? "PASS" : "FAIL", demo->moved, demo->load ? workload_done(demo->load) : 0,
	       c->lost + c->stale, c->duplicated, c->corrupt + c->misplaced + c->broken,
	       histogram_percentile(h, 50) / 1000, histogram_percentile(h, 99) / 1000,
	       h->max / 1000);
	fflush(stdout);
	return good ? EXIT_OK : EXIT_REFUSED;
}

/* --- All of it -------------------------------------------------------------------------------- */

static int choose_export(struct demo *demo, struct error *f)
{
	int r;

	if (demo->export && strcmp(demo->export, "files") && strcmp(demo->export, "inprocess"))
		return error_set(f, -EINVAL, "--door %s: it is files or inprocess", demo->export);
	if (demo->export && demo->export[0] == 'i') {
		demo->sandbox.in_process = true;
		return 0;
	}
	r = sandbox_can_serve(&demo->sandbox, f);
	if (r == 0 || demo->export)
		return r;
	demo->sandbox.in_process = true;
	printf("demo: no files can be served here (%s),\n"
	       "demo: so both devices are inside this process\n",
	       f->text);
	return 0;
}

static int play(struct demo *demo, struct error *f)
{
	int r = sandbox_make(&demo->sandbox, f);

	if (r == 0)
		r = choose_export(demo, f);
	if (r < 0)
		return r;
	printf("demo: two %s over one image of 256 MiB, %d requests in flight, %lu moves\n",
	       demo->sandbox.in_process ? "devices in this process" : "serving processes", DEPTH,
	       demo->moves);
	fflush(stdout);
	r = sandbox_open(&demo->sandbox, IMAGE_SIZE, demo->session.devices, f);
	demo->session.count = demo->session.devices[0] ? (demo->session.devices[1] ? 2 : 1) : 0;
	if (r == 0)
		r = start_load(demo, f);
	if (r == 0)
		r = move_about(demo, f);
	stop_load(demo);
	if (r == 0)
		r = look_back(demo, f);
	if (demo->ended)
		print_table(demo);
	return r;
}

/* Signals wait until they are asked for, so that whatever they interrupt is cleaned up. */
static void hold_signals(struct demo *demo)
{
	sigemptyset(&demo->signals);
	sigaddset(&demo->signals, SIGINT);
	sigaddset(&demo->signals, SIGTERM);
	sigaddset(&demo->signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &demo->signals, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int run_demo(struct demo *demo)
{
	struct error f = {0}, late = {0};
	int r;

	hold_signals(demo);
	log_set_level(LOG_LEVEL_WARNING);
	if (play(demo, &f) == 0)
		f.code = 0;
	load_session_stop(&demo->session);
	if (sandbox_close(&demo->sandbox, &late) < 0 && f.code == 0)
		f = late;
	r = verdict(demo, &f);
	workload_free(demo->load);
	return r;
}

static int run(int argc, char **argv)
{
	struct demo *demo = calloc(1, sizeof(*demo));
	const char *moves = NULL;
	const struct arg table[] = {
		{"moves", 0, ARG_TEXT, &moves},
		{"door", 0, ARG_TEXT, demo ? &demo->export : NULL},
		{"packed", 0, ARG_FLAG, demo ? &demo->sandbox.packed : NULL},
		{"keys", 0, ARG_TEXT, demo ? &demo->sandbox.keys : NULL},
		{NULL},
	};
	struct arg_list words = {0};
	uint64_t number = 100;
	struct error f;
	int r;

	if (!demo)
		return EXIT_REFUSED;
	r = args_parse(argc, argv, table, &words, &f);
	if (r == 0 && moves)
		r = args_number("moves", moves, 1, 1000000, &number, &f);
	demo->moves = number;
	r = r < 0 ? complain(&f) : run_demo(demo);
	free(demo);
	return r;
}

const struct verb verb_demo = {
	.name = "demo",
	.summary = "move a disk under load, and account for every request",
	.help = help,
	.run = run,
};
