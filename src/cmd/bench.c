/*
 * uvdpa bench: how fast a disk or a network card is, and how long it stands still when it is
 * suspended or moved under load. The words are here; bench_run.c measures, bench_report.c tells.
 */
#include "cmd/bench.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "load/session.h"
#include "cmd/verb.h"
#include "util/args.h"
#include "util/log.h"
#include "util/size.h"

static void help(FILE *to)
{
	fputs("Measures a disk or a network card: requests as fast as it takes them and, on "
	      "demand,\n"
	      "how long it stands still when it is suspended, or moves to another device, under "
	      "this\n"
	      "load.\n"
	      "\n"
	      "Usage: uvdpa bench TARGET [--rw WHAT] [--bs SIZE] [--depth N] [--queues N]\n"
	      "                   [--packed] [--poll | --poll-us N] [--memory mapped|copied]\n"
	      "                   [--seconds S]\n"
	      "                   [--suspends N | --suspend-every MS]\n"
	      "                   [--handover TARGET [--moves N]] [--every MS] [--pid PID] "
	      "[--json]\n"
	      "\n"
	      "TARGET is a vhost-vdpa file (DIR/vdpa/NAME of 'uvdpa serve', /dev/vhost-vdpa-N), a\n"
	      "vhost-user socket, or the keys of a device (blk,name=n,null=1T or\n"
	      "net,name=n,null=on), which is then in this process.\n"
	      "\n"
	      "  --rw WHAT          randread (default), randwrite, mix, read, write: WRITES "
	      "DESTROY\n"
	      "                     what is on the disk. Network cards: tx (default), rx, txrx\n"
	      "  --bs SIZE          bytes of a request (4096), or of a frame (64)\n"
	      "  --depth N          requests in flight in each queue (128)\n"
	      "  --queues N         queues, or pairs of them, each with a thread of its own (1)\n"
	      "  --packed           packed virtqueues: refused where the device offers none\n"
	      "  --poll             the threads never sleep: they look for completions all the "
	      "time\n"
	      "  --poll-us N        they look for completions for N us at most before they sleep, "
	      "as\n"
	      "                     long as that helps (64); 0: they sleep at once\n"
	      "  --memory WHAT      of rings and data: mapped (default), a memfd that the server "
	      "maps,\n"
	      "                     or copied, private as QEMU's RAM is by default (not over "
	      "sockets)\n"
	      "  --seconds S        how long (5); with --suspends or --moves: until these are "
	      "done\n"
	      "  --suspends N       suspend and resume so often, and tell what that takes\n"
	      "  --suspend-every MS the same as often as fits into --seconds\n"
	      "  --handover TARGET  move to this device and back\n"
	      "  --moves N          so often (100)\n"
	      "  --every MS         from one suspension, or move, to the next (5)\n"
	      "  --pid PID          the server's, for its CPU time; for sockets, and for files of\n"
	      "                     'uvdpa serve', it is found out\n"
	      "  --json             print one object instead of a table; times are in us\n"
	      "\n"
	      "SIGINT (Ctrl-C) and SIGTERM end it early, and it prints what it has measured.\n"
	      "Exit status: 0 done, 1 not done, interrupted, or requests failed; one line says\n"
	      "why.\n",
	      to);
}

/* --- Words ------------------------------------------------------------------------------------ */

static int set_rw(struct bench_options *o, const char *rw, struct error *f)
{
	for (const struct bench_rw *kind = bench_kinds; rw && kind->name; kind++)
		if (strcmp(rw, kind->name) == 0)
			o->rw = kind;
	if (rw && !o->rw)
		return error_set(
			f, -EINVAL,
			"--rw %s: it is randread, randwrite, mix, read or write; for network "
			"cards tx, rx or txrx",
			rw);
	return 0;
}

struct texts {
	const char *rw, *bs, *depth, *queues, *seconds, *suspends, *suspend_every, *moves, *every,
		*pid, *memory, *poll_us;
};

static int set_numbers(struct bench_options *o, const struct texts *t, struct error *f)
{
	uint64_t depth, queues, seconds, every, suspend_every, poll_us;
	const struct {
		const char *name, *text;
		uint64_t min, max, initial, *to;
	} numbers[] = {
		{"depth", t->depth, 1, 32768, 128, &depth},
		{"queues", t->queues, 1, SESSION_QUEUES, 1, &queues},
		{"seconds", t->seconds, 1, 1000000, 5, &seconds},
		{"every", t->every, 0, 100000, 5, &every},
		{"suspend-every", t->suspend_every, 1, 100000, 0, &suspend_every},
		{"suspends", t->suspends, 1, 10000000, 0, &o->suspends},
		{"moves", t->moves, 1, 10000000, 100, &o->moves},
		{"poll-us", t->poll_us, 0, 1000000, UVDPA_QUEUE_POLL_US, &poll_us},
		{"pid", t->pid, 1, 4194304, 0, &o->pid},
	};
	int r = 0;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]) && r == 0; i++) {
		*numbers[i].to = numbers[i].initial;
		if (numbers[i].text)
			r = args_number(numbers[i].name, numbers[i].text, numbers[i].min,
					numbers[i].max, numbers[i].to, f);
	}
	o->depth = (unsigned)depth;
	o->queues = (unsigned)queues;
	o->seconds = (double)seconds;
	o->every_ms = (unsigned)every;
	o->suspend_every = (unsigned)suspend_every;
	o->poll_us = (uint32_t)poll_us;
	return r;
}

static bool is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int set_memory(struct bench_options *o, const char *memory, struct error *f)
{
	o->copied = memory && strcmp(memory, "copied") == 0;
	if (memory && !o->copied && strcmp(memory, "mapped") != 0)
		return error_set(f, -EINVAL, "--memory %s: it is mapped or copied", memory);
	for (unsigned i = 0; o->copied && i < 2 && o->targets[i]; i++)
		if (is_socket(o->targets[i]))
			return error_set(
				f, -EINVAL,
				"--memory copied: %s is a socket, whose server maps it all; "
				"use the device's file",
				o->targets[i]);
	return 0;
}

static int check_options(struct bench_options *o, const struct texts *t, struct error *f)
{
	uint64_t size;
	int r = set_rw(o, t->rw, f);

	if (r == 0)
		r = set_memory(o, t->memory, f);
	if (r == 0)
		r = set_numbers(o, t, f);
	if (r < 0)
		return r;
	if (t->bs && (size_parse(t->bs, &size) < 0 || size == 0 || size > 1 << 20))
		return error_set(f, -EINVAL, "--bs %s: it is a number of bytes, up to 1M", t->bs);
	o->block_size = t->bs ? (uint32_t)size : 0;
	if (t->moves && !o->targets[1])
		return error_set(f, -EINVAL, "--moves: where to? Give --handover TARGET, too");
	if (o->targets[1] && (o->suspends || o->suspend_every))
		return error_set(f, -EINVAL,
				 "--%s and --handover: one at a time, a move suspends as well",
				 o->suspends ? "suspends" : "suspend-every");
	if (o->suspends && o->suspend_every)
		return error_set(f, -EINVAL,
				 "--suspends and --suspend-every: so many, or so often?");
	if (o->poll && t->poll_us)
		return error_set(f, -EINVAL, "--poll and --poll-us: for ever, or so long?");
	if (o->targets[1] && strcmp(o->targets[0], o->targets[1]) == 0)
		return error_set(f, -EINVAL, "--handover %s: that is the device itself",
				 o->targets[1]);
	return 0;
}

static int parse(int argc, char **argv, struct bench_options *o, struct error *f)
{
	struct texts t = {0};
	const struct arg table[] = {
		{"rw", 0, ARG_TEXT, &t.rw},
		{"bs", 0, ARG_TEXT, &t.bs},
		{"depth", 0, ARG_TEXT, &t.depth},
		{"queues", 0, ARG_TEXT, &t.queues},
		{"poll", 0, ARG_FLAG, &o->poll},
		{"poll-us", 0, ARG_TEXT, &t.poll_us},
		{"packed", 0, ARG_FLAG, &o->packed},
		{"memory", 0, ARG_TEXT, &t.memory},
		{"seconds", 0, ARG_TEXT, &t.seconds},
		{"suspend-every", 0, ARG_TEXT, &t.suspend_every},
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
		r = error_set(f, -EINVAL, "usage: uvdpa bench TARGET (see uvdpa bench --help)");
	return r ? r : check_options(o, &t, f);
}

static int run(int argc, char **argv)
{
	struct bench_result *result = calloc(1, sizeof(*result));
	struct bench_options o = {0};
	struct error f = {0};
	int r;

	if (!result)
		return EXIT_REFUSED;
	log_set_level(LOG_LEVEL_WARNING);
	r = parse(argc, argv, &o, &f);
	if (r == 0)
		r = bench_measure(&o, result, &f);
	if (r == 0)
		(o.json ? bench_print_json : bench_print)(&o, result, stdout);
	if (r == 0 && result->interrupted)
		r = error_set(&f, -EINTR, "interrupted: the figures are of the %.1f s until then",
			      result->seconds);
	if (r == 0 && result->errors)
		r = error_set(&f, -EIO, "%" PRIu64 " requests failed", result->errors);
	free(result);
	return r < 0 ? complain(&f) : EXIT_OK;
}

const struct verb verb_bench = {
	.name = "bench",
	.summary = "measure a device, and how long it stands still",
	.help = help,
	.run = run,
};
