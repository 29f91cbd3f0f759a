/*
 * Cases in processes.
 *
 * The case's process leads a process group, so that what it forks ends with it, and dies with its
 * parent. Its outcome lies in shared memory: what it has written is there however it ends. A
 * process that does not end by its deadline is killed; one that does not even end then (stuck in
 * the device's ioctl, uninterruptible) is left behind, and the rest of the cases are skipped: the
 * device has no second user.
 */
#include "check/run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/case.h"
#include "check/basis.h"
#include "check/report.h"
#include "check/restart.h"
#include "check/rig.h"
#include "check/wire.h"

/* After SIGKILL: how long until a process counts as stuck. */
#define STUCK_MS 3000

struct shared {
	struct outcome out;
	struct facts facts[2];
	struct wire wire;
	struct servers servers;
};

_Noreturn static void be_child(struct check *c, void (*body)(struct check *c))
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	body(c);
	kept(c);
}

/* Whether the process ends within the time; its status if so. */
static bool wait_for(pid_t pid, int milliseconds, int *status)
{
	int64_t end = check_now() + (int64_t)milliseconds * 1000000;
	struct pollfd p = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

	if (p.fd >= 0) {
		while (poll(&p, 1, (int)((end - check_now()) / 1000000) + 1) < 0 &&
		       errno == EINTR && check_now() < end)
			;
		close(p.fd);
		end = 0;
	}
	for (;;) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return true;
		if (check_now() > end)
			return false;
		check_sleep(500);
	}
}

static void judge_hang(struct outcome *out, unsigned deadline)
{
	out->verdict = VERDICT_BROKEN;
	snprintf(out->expected, sizeof(out->expected), "the device answers (S10)");
	snprintf(out->seen, sizeof(out->seen), "no answer within %u s: %s", deadline, out->doing);
}

static void judge_death(struct outcome *out, int status)
{
	if (WIFEXITED(status) && out->verdict != VERDICT_NONE)
		return;
	out->verdict = VERDICT_BROKEN;
	snprintf(out->expected, sizeof(out->expected), "the checker lives through the case");
	if (WIFSIGNALED(status))
		snprintf(out->seen, sizeof(out->seen), "its process died of signal %d (%s): %s",
			 WTERMSIG(status), strsignal(WTERMSIG(status)), out->doing);
	else
		snprintf(out->seen, sizeof(out->seen), "its process ended with status %d: %s",
			 WEXITSTATUS(status), out->doing);
}

bool check_isolate(struct check *c, void (*body)(struct check *c), unsigned deadline)
{
	int64_t begin = check_now();
	int status = 0;
	bool ended;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		c->out->verdict = VERDICT_SKIPPED;
		snprintf(c->out->seen, sizeof(c->out->seen), "cannot fork: %s", strerror(errno));
		return true;
	}
	if (pid == 0)
		be_child(c, body);
	ended = wait_for(pid, (int)deadline * 1000, &status);
	if (ended) {
		judge_death(c->out, status);
	} else {
		judge_hang(c->out, deadline);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		ended = wait_for(pid, STUCK_MS, &status);
	}
	kill(-pid, SIGKILL); /* what the case has forked */
	c->out->ns = check_now() - begin;
	return ended;
}

static void probe_first(struct check *c)
{
	target_probe(c, &c->targets[0], &c->facts[0]);
}

static void probe_second(struct check *c)
{
	/* the rig of a probe is that of the device whose facts come first */
	struct check other = *c;

	other.targets = &c->targets[1];
	other.facts = &c->facts[1];
	target_probe(&other, &c->targets[1], &c->facts[1]);
}

/* A body needs a case for its class. */
static const struct check_case probe_case = {
	.id = "probe", .group = "probe", .clause = "", .what = "asking the device", .class = 'M'};

static int probe(struct check *c, struct shared *s, struct error *f)
{
	for (unsigned i = 0; i < c->options->target_count; i++) {
		const char *name = c->targets[i].name;
		int killed;

		memset(&s->out, 0, sizeof(s->out));
		c->kase = &probe_case;
		if (!check_isolate(c, i ? probe_second : probe_first, c->options->deadline) ||
		    (s->out.verdict == VERDICT_BROKEN && s->facts[i].device_id == 0))
			return error_set(f, -EIO, "%s: cannot be tried: expected that %s; %s", name,
					 s->out.expected, s->out.seen);
		killed = restart_reap(&s->servers);
		if (killed)
			return error_set(f, -EIO,
					 "%s: the server ended by signal %d when it was asked "
					 "what it is",
					 name, killed);
		if (s->facts[i].trouble[0])
			return error_set(f, -EIO, "%s", s->facts[i].trouble);
		if (s->facts[i].device_id == 0)
			return error_set(f, -EIO, "%s: a device of id 0, which is none", name);
	}
	return 0;
}

static void run_body(struct check *c)
{
	c->kase->run(c);
}

static uint64_t seed_of(uint64_t seed, const char *id)
{
	for (; *id; id++)
		seed = (seed ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
	return seed;
}

/*
 * How the device is found after a case. A case that leaves it unwell must not turn those after it
 * broken: they are skipped, as far as they need what is gone.
 */
enum health {
	HEALTH_GOOD,
	HEALTH_IDLE, /* opens, and does no work any more */
	HEALTH_BUSY, /* has another user, or has not let go of the last one */
	HEALTH_GONE, /* does not open */
};

struct run {
	struct check *c;
	struct check_sum *sum;
	enum health health;
	const char *since; /* the case after which it was so */
	char why[400];
};

/* Ends as kept if the device opens; what is wrong otherwise is in `seen`, skipped if it is busy. */
static void health_open(struct check *c)
{
	struct uvdpa_error error = {0};
	struct uvdpa_driver *drv = NULL;

	doing(c, "opening %s again", c->targets[0].name);
	if (target_open(c, &c->targets[0], 0, &drv, &error) == 0) {
		uvdpa_driver_close(drv);
		return;
	}
	if (error.code == -EBUSY)
		skip(c, "%s", error.text);
	broken(c, "", "%s", error.text);
}

static void health_work(struct check *c)
{
	struct rig rig;

	rig_set_up(c, &rig, &(struct rig_options){0});
	if (load_run(&rig, 1, c->options->patience) < 0)
		broken(c, "", "a request is not done within %u ms", c->options->patience);
}

/* One of these two, in a process of its own; the outcome of the case before is kept. */
static enum health health_check(struct run *run, void (*body)(struct check *c), enum health unwell)
{
	static const struct check_case health_case = {.id = "health",
						      .group = "health",
						      .clause = "",
						      .what = "after a case",
						      .class = 'M'};
	struct check *c = run->c;
	const struct check_case *kase = c->kase;
	struct outcome before = *c->out;
	struct wire wire = *c->wire;
	enum health health = HEALTH_GOOD;

	memset(c->out, 0, sizeof(*c->out));
	c->kase = &health_case;
	if (!check_isolate(c, body, c->options->deadline) || c->out->verdict == VERDICT_BROKEN)
		health = unwell;
	else if (c->out->verdict == VERDICT_SKIPPED)
		health = HEALTH_BUSY;
	snprintf(run->why, sizeof(run->why), "%.390s", c->out->seen);
	*c->out = before;
	wire_restore(c->wire, &wire);
	c->kase = kase;
	return health;
}

/* A device that is gone after a case that found nothing wrong was ended by it. */
static void check_health(struct run *run)
{
	struct check *c = run->c;
	struct outcome *out = c->out;

	run->health = health_check(run, health_open, HEALTH_GONE);
	if (run->health == HEALTH_GOOD && out->verdict == VERDICT_BROKEN && c->facts->served)
		run->health = health_check(run, health_work, HEALTH_IDLE);
	run->since = c->kase->id;
	if (run->health != HEALTH_GONE || out->verdict == VERDICT_BROKEN)
		return;
	out->verdict = VERDICT_BROKEN;
	snprintf(out->by, sizeof(out->by), "virtio 2.7");
	snprintf(out->expected, sizeof(out->expected), "the device is there after the case");
	snprintf(out->seen, sizeof(out->seen), "%s", run->why);
}

/* Why a case makes no sense any more; NULL: it does. */
static const char *unwell(const struct run *run, const struct check_case *kase)
{
	static char text[500];
	const char *what = "cannot be opened";

	if (run->health == HEALTH_GOOD ||
	    (run->health == HEALTH_IDLE && !(kase->needs & NEED_LOAD)))
		return NULL;
	if (run->health == HEALTH_IDLE)
		what = "does no work";
	else if (run->health == HEALTH_BUSY)
		what = "is busy: it has not let go of the checker, or another client has it";
	snprintf(text, sizeof(text), "since case %s the device %s (%s)", run->since, what,
		 run->why);
	return text;
}

static void count(struct check_sum *sum, const struct outcome *out)
{
	sum->kept += out->verdict == VERDICT_KEPT;
	sum->broken += out->verdict == VERDICT_BROKEN;
	sum->skipped += out->verdict == VERDICT_SKIPPED;
	sum->differs += out->verdict == VERDICT_DIFFERS;
	sum->noted += out->verdict == VERDICT_KEPT && out->notes[0];
}

/* A server that --restart has started may end with its connection, but not by a signal. */
static bool judge_servers(struct run *run)
{
	struct outcome *out = run->c->out;
	int killed = restart_reap(run->c->servers);

	/* its sockets are closed before the shell that waits for it knows */
	for (unsigned i = 0; i < 300 && !killed && run->c->wire->lost[0] && run->c->servers->count;
	     i++) {
		check_sleep(10000);
		killed = restart_reap(run->c->servers);
	}
	if (!killed || killed == SIGTERM)
		return false;
	out->verdict = VERDICT_BROKEN;
	snprintf(out->by, sizeof(out->by), "virtio 2.7");
	snprintf(out->expected, sizeof(out->expected), "the server lives through the case");
	snprintf(out->seen, sizeof(out->seen), "it ended by signal %d (%s)", killed,
		 strsignal(killed));
	return true;
}

/* Whatever the case was about: the back end has ended the connection, or fallen silent. */
static void judge_lost(struct check *c)
{
	struct outcome *out = c->out;
	char seen[sizeof(out->seen)];

	snprintf(seen, sizeof(seen), "%s, while trying whether %.350s", c->wire->lost,
		 out->expected);
	snprintf(out->seen, sizeof(out->seen), "%s", seen);
	snprintf(out->by, sizeof(out->by), "vhost-user messages");
	snprintf(out->expected, sizeof(out->expected),
		 "the back end answers, and keeps the connection");
}

/*
 * On a socket only what virtio and the vhost-user document say is broken; and what the driver
 * library has answered by itself is nobody's merit.
 */
static void judge_socket(struct check *c, bool killed)
{
	struct outcome *out = c->out;

	if (!target_is_socket(c)) {
		snprintf(out->by, sizeof(out->by), "%s", c->kase->clause);
		return;
	}
	if (!out->by[0])
		snprintf(out->by, sizeof(out->by), "%s", case_sentence(c->kase, true));
	if (out->verdict == VERDICT_BROKEN && c->wire->lost[0] && !killed &&
	    strcmp(out->by, "robustness"))
		judge_lost(c);
	if (out->verdict == VERDICT_BROKEN && !basis_is_must(sentence_basis(out->by), true))
		out->verdict = VERDICT_DIFFERS;
	if (out->verdict != VERDICT_KEPT || c->wire->own || c->kase->needs & NEED_SOCKET)
		return;
	out->verdict = VERDICT_SKIPPED;
	snprintf(out->seen, sizeof(out->seen),
		 "nothing of it goes over the socket: the driver library answers it");
}

/* One case, from its needs to its report. */
static void run_case(struct run *run, const struct check_case *kase)
{
	struct check *c = run->c;
	const char *why = unwell(run, kase);

	if (!why)
		why = target_lacks(c, kase->needs);
	if (!why)
		why = socket_lacks(c, kase);
	memset(c->out, 0, sizeof(*c->out));
	wire_begin(c->wire);
	c->kase = kase;
	c->random = seed_of(c->options->seed, kase->id);
	if (why) {
		c->out->verdict = VERDICT_SKIPPED;
		snprintf(c->out->seen, sizeof(c->out->seen), "%s", why);
	} else if (check_isolate(c, run_body, c->options->deadline + c->options->seconds)) {
		check_health(run);
		judge_socket(c, judge_servers(run));
	} else {
		run->health = HEALTH_GONE;
		run->since = kase->id;
		snprintf(run->why, sizeof(run->why), "a process is stuck in it");
	}
	count(run->sum, c->out);
	report_case(c);
}

static void run_all(struct check *c, struct check_sum *sum)
{
	struct run run = {.c = c, .sum = sum};
	const struct check_case *cases;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++)
		if (check_options_selects(c->options, &cases[i]))
			run_case(&run, &cases[i]);
}

static unsigned count_selected(const struct check_options *options)
{
	const struct check_case *cases;
	unsigned n = 0;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++)
		n += check_options_selects(options, &cases[i]);
	return n;
}

/* A slow device is not a broken one: a case works through some hundreds of requests. */
static void allow_time(struct check_options *o, const struct facts *f)
{
	uint64_t ms = f->request_us < 1000 ? 0 : f->request_us;

	o->deadline += (unsigned)(ms * 2000 / 1000000);
	o->answer_ms += (unsigned)(ms * 2 * LOAD_SLOTS / 1000);
}

int check_run(const struct check_options *options, const struct target *targets,
	      struct check_sum *sum, struct error *f)
{
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int64_t begin = check_now();
	struct check_options own = *options;
	struct check c = {.options = &own, .targets = targets};
	int r;

	memset(sum, 0, sizeof(*sum));
	if (s == MAP_FAILED) {
		error_set(f, -errno, "check: no memory: %s", strerror(errno));
		return 2;
	}
	c.out = &s->out;
	c.facts = s->facts;
	c.wire = &s->wire;
	c.servers = &s->servers;
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	r = probe(&c, s, f);
	if (r == 0) {
		allow_time(&own, &s->facts[0]);
		report_begin(&c, count_selected(options));
		run_all(&c, sum);
		sum->ns = check_now() - begin;
		report_end(&c, sum);
	}
	restart_end(&s->servers);
	munmap(s, sizeof(*s));
	if (r < 0)
		return 2;
	if (sum->broken)
		return 1;
	if (sum->differs)
		return 3;
	if (sum->kept == 0) {
		error_set(f, -ENOTSUP, "%s: no case could run: see the reasons above",
			  targets[0].name);
		return 2;
	}
	return 0;
}
