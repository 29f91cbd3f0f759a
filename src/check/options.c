/* Reading the words of `uvdpa check`. */
#include "check/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/case.h"
#include "util/suggest.h"

enum {
	OPT_LIST = 256,
	OPT_ONLY,
	OPT_PACKED,
	OPT_ROUNDS,
	OPT_SECONDS,
	OPT_SEED,
	OPT_SCRATCH,
	OPT_FORMAT,
	OPT_CONTROL,
	OPT_DEADLINE,
	OPT_TYPE,
	OPT_RESTART,
	OPT_LOSSLESS
};

static const struct option long_options[] = {
	{"list", no_argument, NULL, OPT_LIST},
	{"only", required_argument, NULL, OPT_ONLY},
	{"packed", no_argument, NULL, OPT_PACKED},
	{"rounds", required_argument, NULL, OPT_ROUNDS},
	{"seconds", required_argument, NULL, OPT_SECONDS},
	{"seed", required_argument, NULL, OPT_SEED},
	{"scratch", no_argument, NULL, OPT_SCRATCH},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"control", required_argument, NULL, OPT_CONTROL},
	{"deadline", required_argument, NULL, OPT_DEADLINE},
	{"type", required_argument, NULL, OPT_TYPE},
	{"restart", required_argument, NULL, OPT_RESTART},
	{"lossless", no_argument, NULL, OPT_LOSSLESS},
	{"help", no_argument, NULL, 'h'},
	{0},
};

void check_options_usage(FILE *to)
{
	fputs("usage: uvdpa check [options] TARGET [OTHER]\n"
	      "\n"
	      "Tries whether a vhost-vdpa device keeps the suspend contract and answers as Linux "
	      "does.\n"
	      "TARGET is a path: /dev/vhost-vdpa-N, a file of `uvdpa serve`, or a vhost-user "
	      "socket,\n"
	      "which owes what virtio and the vhost-user document say. OTHER is a second device\n"
	      "of the same kind, for the restore cases. The device is taken over and reset, many "
	      "times;\n"
	      "its data is only read.\n"
	      "\n"
	      "  --list             print the cases and end\n"
	      "  --only ID|GROUP    only these (again, or with commas, for more)\n"
	      "  --packed           only the cases on packed rings (ids ending with a p, and "
	      "P01...)\n"
	      "  --rounds N         racing cases try N times (default 20)\n"
	      "  --seconds N        but one racing case no longer than N seconds (default 2)\n"
	      "  --seed N           seed of every random choice (default 1)\n"
	      "  --deadline N       seconds after which a case that hangs is broken (default 20)\n"
	      "  --scratch          the device's data may be overwritten\n"
	      "  --control DIR      where the device's control socket is (uvdpa's own devices)\n"
	      "  --type KIND        what is behind a socket: net, blk, fs or a virtio device id\n"
	      "  --lossless         frames sent over a socket have to come back, all of them\n"
	      "  --restart COMMAND  starts the server again ($SOCKET) where nobody listens any "
	      "more\n"
	      "  --format F         tap, table, json, junit or markdown\n"
	      "                     (default: a table on a terminal, else tap)\n"
	      "\n"
	      "exit status: 0 kept, 1 broken, 2 could not run, 3 a socket differs from the "
	      "suspend\n"
	      "contract, and breaks nothing that it owes\n",
	      to);
}

void check_options_init(struct check_options *o)
{
	memset(o, 0, sizeof(*o));
	o->rounds = 20;
	o->seconds = 2;
	o->deadline = 20;
	o->patience = 4000;
	o->answer_ms = 10000;
	o->seed = 1;
}

static int read_number(const char *name, const char *text, uint64_t most, uint64_t *value,
		       struct error *f)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || *value > most)
		return error_set(f, -EINVAL, "check: --%s %s: not a number up to %llu", name, text,
				 (unsigned long long)most);
	return 0;
}

static int read_unsigned(const char *name, const char *text, unsigned *to, struct error *f)
{
	uint64_t value = 0;
	int r = read_number(name, text, 1000000, &value, f);

	if (r == 0 && value == 0)
		return error_set(f, -EINVAL, "check: --%s 0: at least 1", name);
	*to = (unsigned)value;
	return r;
}

static int read_format(const char *text, enum check_format *format, struct error *f)
{
	static const char *const names[] = {"table", "tap", "json", "junit", "markdown", NULL};
	const char *near;

	for (unsigned i = 0; names[i]; i++) {
		if (strcmp(text, names[i]) == 0) {
			*format = (enum check_format)(FORMAT_TABLE + i);
			return 0;
		}
	}
	near = suggest(text, names);
	return error_set(f, -EINVAL,
			 "check: --format %s: there are table, tap, json, junit and markdown%s%s%s",
			 text, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static int read_type(const char *text, uint32_t *device_id, struct error *f)
{
	static const char *const names[] = {"net", "blk", "fs", NULL};
	static const uint32_t ids[] = {1, 2, 26}; /* virtio 5 */
	uint64_t number = 0;

	for (unsigned i = 0; names[i]; i++) {
		*device_id = ids[i];
		if (strcmp(text, names[i]) == 0)
			return 0;
	}
	if (read_number("type", text, UINT32_MAX, &number, f) < 0 || !number)
		return error_set(f, -EINVAL,
				 "check: --type %s: net, blk, fs, or a virtio device id", text);
	*device_id = (uint32_t)number;
	return 0;
}

static int unknown_case(const char *word, struct error *f)
{
	const char *near = case_suggest(word);

	return error_set(f, -EINVAL, "check: --only %s: there is no such case or group%s%s%s", word,
			 near ? "; did you mean '" : "", near ? near : "",
			 near ? "'?" : "; --list shows them");
}

/* Splits at commas, in place: argv is ours to write. */
static int read_only(struct check_options *o, char *text, struct error *f)
{
	char *rest = text, *word;

	while ((word = strsep(&rest, ","))) {
		if (!case_find(word) && !case_group_exists(word))
			return unknown_case(word, f);
		if (o->only_count == CHECK_MAX_ONLY)
			return error_set(f, -EINVAL, "check: --only: more than %d words",
					 CHECK_MAX_ONLY);
		o->only[o->only_count++] = word;
	}
	return 0;
}

static int read_option(struct check_options *o, int option, char *text, struct error *f)
{
	switch (option) {
	case OPT_LIST:
		o->list = true;
		return 0;
	case OPT_PACKED:
		o->packed = true;
		return 0;
	case OPT_SCRATCH:
		o->scratch = true;
		return 0;
	case OPT_CONTROL:
		o->control = text;
		return 0;
	case OPT_ONLY:
		return read_only(o, text, f);
	case OPT_ROUNDS:
		return read_unsigned("rounds", text, &o->rounds, f);
	case OPT_SECONDS:
		return read_unsigned("seconds", text, &o->seconds, f);
	case OPT_DEADLINE:
		return read_unsigned("deadline", text, &o->deadline, f);
	case OPT_SEED:
		return read_number("seed", text, UINT64_MAX, &o->seed, f);
	case OPT_TYPE:
		return read_type(text, &o->device_id, f);
	case OPT_RESTART:
		o->restart = text;
		return 0;
	case OPT_LOSSLESS:
		o->lossless = true;
		return 0;
	case OPT_FORMAT:
		return read_format(text, &o->format, f);
	default:
		assert(option == 'h');
		o->help = true;
		return 0;
	}
}

/* What getopt_long() did not take: ':' where a value is missing, else no option of ours. */
static int refuse_option(int option, const char *text, struct error *f)
{
	const char *known[sizeof(long_options) / sizeof(long_options[0])] = {NULL};
	const char *near;
	char name[32];

	if (option == ':')
		return error_set(f, -EINVAL, "check: option %s needs a value", text);
	for (unsigned i = 0; long_options[i].name; i++)
		known[i] = long_options[i].name;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(text, "="), text);
	near = strncmp(text, "--", 2) == 0 ? suggest(name + 2, known) : NULL;
	return error_set(f, -EINVAL, "check: no such option as %s%s%s%s", text,
			 near ? "; did you mean --" : "", near ? near : "",
			 near ? "?" : "; see uvdpa check --help");
}

int check_options_parse(struct check_options *o, int argc, char **argv, struct error *f)
{
	int option, r;

	check_options_init(o);
	optind = 0; /* starts anew: the verb's words are an argv of their own */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		r = option == '?' || option == ':' ? refuse_option(option, argv[optind - 1], f)
						   : read_option(o, option, optarg, f);
		if (r < 0)
			return r;
	}
	for (; optind < argc; optind++) {
		if (o->target_count == 2)
			return error_set(f, -EINVAL, "check: %s: two TARGETs are the most",
					 argv[optind]);
		o->targets[o->target_count++] = argv[optind];
	}
	if (!o->list && !o->help && o->target_count == 0)
		return error_set(f, -EINVAL,
				 "check: which TARGET? A path such as /dev/vhost-vdpa-0; "
				 "see uvdpa check --help");
	return 0;
}

bool check_options_selects(const struct check_options *o, const struct check_case *kase)
{
	if (o->packed && !(kase->needs & NEED_PACKED))
		return false;
	if (o->only_count == 0)
		return true;
	for (unsigned i = 0; i < o->only_count; i++)
		if (strcasecmp(o->only[i], kase->id) == 0 ||
		    strcasecmp(o->only[i], kase->group) == 0)
			return true;
	return false;
}
