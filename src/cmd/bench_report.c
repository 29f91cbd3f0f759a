/* What `uvdpa bench` tells: as a table, and as JSON. */
#include "cmd/bench.h"

#include <inttypes.h>
#include <jansson.h>

static const struct {
	const char *name, *key;
	double percent;
} columns[] = {
	{"p50", "p50", 50}, {"p90", "p90", 90}, {"p99", "p99", 99}, {"p99.9", "p99_9", 99.9}};

#define COLUMNS (sizeof(columns) / sizeof(columns[0]))

static double us(uint64_t ns)
{
	return (double)ns / 1000;
}

static double per_request(double cpu, const struct bench_result *r)
{
	return r->requests ? cpu * 1e6 / (double)r->requests : 0;
}

static void print_row(FILE *to, const char *name, const struct histogram *h)
{
	fprintf(to, "  %-38s %8" PRIu64, name, h->count);
	for (size_t i = 0; i < COLUMNS; i++)
		fprintf(to, " %8.1f", us(histogram_percentile(h, columns[i].percent)));
	fprintf(to, " %8.1f\n", us(h->max));
}

static void print_requests(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	double rate = (double)r->requests / r->seconds;

	fprintf(to, "  requests %" PRIu64 ", failed %" PRIu64 "; %.0f per second, %.1f MiB/s\n",
		r->requests, r->errors, rate, rate * o->block_size / 1048576);
}

static double mpps(uint64_t frames, const struct bench_result *r)
{
	return (double)frames / r->seconds / 1e6;
}

static void print_frames(const struct bench_result *r, FILE *to)
{
	uint64_t sent = r->requests - r->received;

	fprintf(to,
		"  frames sent %" PRIu64 ", %.3f Mpps; received %" PRIu64
		", %.3f Mpps; bad %" PRIu64 "\n",
		sent, mpps(sent, r), r->received, mpps(r->received, r), r->errors);
}

/* What the threads do while nothing has come back. */
static void print_waiting(const struct bench_options *o, FILE *to)
{
	if (o->poll)
		fputs(", polling", to);
	else if (o->poll_us)
		fprintf(to, ", polling %" PRIu32 " us at most", o->poll_us);
	else
		fputs(", sleeping", to);
}

static void print_rates(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	fprintf(to, "%s: %s of %u bytes, %u %squeue%s%s, depth %u", o->targets[0], o->rw->name,
		o->block_size, o->queues, o->packed ? "packed " : "", o->rw->net ? " pair" : "",
		o->queues > 1 ? "s" : "", o->depth);
	print_waiting(o, to);
	fprintf(to, ", %.1f s\n", r->seconds);
	if (o->rw->net)
		print_frames(r, to);
	else
		print_requests(o, r, to);
	fprintf(to, "  CPU per %s: driver %.3f us", o->rw->net ? "frame" : "request",
		per_request(r->client_cpu, r));
	if (r->server_cpu >= 0)
		fprintf(to, ", server %.3f us", per_request(r->server_cpu, r));
	fputs("\n\n", to);
}

void bench_print(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	print_rates(o, r, to);
	fprintf(to, "  %-38s %8s", "us", "count");
	for (size_t i = 0; i < COLUMNS; i++)
		fprintf(to, " %8s", columns[i].name);
	fprintf(to, " %8s\n", "max");
	print_row(to, o->rw->net ? "frame sent" : "request", &r->latency);
	if (r->suspend.count) {
		print_row(to, "SUSPEND", &r->suspend);
		print_row(to, "RESUME", &r->resume);
	}
	for (unsigned i = 0; r->moved && i < MOVE_STEPS; i++)
		print_row(to, moves_step_text(i), &r->moves.steps[i]);
}

static json_t *percentiles(const struct histogram *h)
{
	json_t *object = json_pack("{s:I}", "count", (json_int_t)h->count);

	for (size_t i = 0; i < COLUMNS; i++)
		json_object_set_new(object, columns[i].key,
				    json_real(us(histogram_percentile(h, columns[i].percent))));
	json_object_set_new(object, "max", json_real(us(h->max)));
	return object;
}

static json_t *steps(const struct moves *moves)
{
	json_t *object = json_object();

	for (unsigned i = 0; i < MOVE_STEPS; i++)
		json_object_set_new(object, moves_step_name(i), percentiles(&moves->steps[i]));
	return object;
}

void bench_print_json(const struct bench_options *o, const struct bench_result *r, FILE *to)
{
	json_t *root = json_pack(
		"{s:s, s:s, s:i, s:i, s:i, s:b, s:b, s:s, s:f, s:I, s:I, s:f, s:f, s:o, s:o}",
		"target", o->targets[0], "rw", o->rw->name, "block_size", (int)o->block_size,
		"depth", (int)o->depth, "queues", (int)o->queues, "poll", (int)o->poll, "packed",
		(int)o->packed, "memory", o->copied ? "copied" : "mapped", "seconds", r->seconds,
		"requests", (json_int_t)r->requests, "errors", (json_int_t)r->errors, "iops",
		(double)r->requests / r->seconds, "driver_cpu_us", per_request(r->client_cpu, r),
		"server_cpu_us",
		r->server_cpu < 0 ? json_null() : json_real(per_request(r->server_cpu, r)),
		"request_us", percentiles(&r->latency));

	json_object_set_new(root, "poll_us",
			    o->poll ? json_null() : json_integer((json_int_t)o->poll_us));
	if (o->rw->net) {
		json_object_set_new(root, "tx_mpps", json_real(mpps(r->requests - r->received, r)));
		json_object_set_new(root, "rx_mpps", json_real(mpps(r->received, r)));
	}
	if (r->suspend.count) {
		json_object_set_new(root, "suspend_us", percentiles(&r->suspend));
		json_object_set_new(root, "resume_us", percentiles(&r->resume));
	}
	if (r->moved)
		json_object_set_new(root, "moves_us", steps(&r->moves));
	json_dumpf(root, to, JSON_INDENT(2));
	fputc('\n', to);
	json_decref(root);
}
