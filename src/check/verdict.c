/* Filling an outcome, and the small things that every case uses. */
#include "check/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check/case.h"
#include "check/options.h"
#include "check/rig.h"
#include "check/target.h"

_Noreturn static void end(struct check *c, enum verdict verdict)
{
	c->out->verdict = verdict;
	if (verdict == VERDICT_BROKEN)
		rings_show(c->out->rings, sizeof(c->out->rings));
	_exit(0);
}

void broken(struct check *c, const char *expected, const char *format, ...)
{
	va_list args;

	snprintf(c->out->expected, sizeof(c->out->expected), "%s", expected);
	va_start(args, format);
	vsnprintf(c->out->seen, sizeof(c->out->seen), format, args);
	va_end(args);
	end(c, VERDICT_BROKEN);
}

void broken_by(struct check *c, const char *sentence, const char *expected, const char *format, ...)
{
	va_list args;

	if (!c->out->root[0])
		snprintf(c->out->by, sizeof(c->out->by), "%s", sentence);
	snprintf(c->out->expected, sizeof(c->out->expected), "%s", expected);
	va_start(args, format);
	vsnprintf(c->out->seen, sizeof(c->out->seen), format, args);
	va_end(args);
	end(c, VERDICT_BROKEN);
}

void spurious(struct check *c, const char *expected, const char *seen)
{
	if (!target_is_socket(c))
		broken(c, expected, "%s", seen);
	defined(c, "expected that %s: %s, which virtio allows", expected, seen);
}

void root(struct check *c, const char *sentence, const char *text)
{
	snprintf(c->out->by, sizeof(c->out->by), "%s", sentence);
	snprintf(c->out->root, sizeof(c->out->root), "%s", text);
}

void skip(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->out->seen, sizeof(c->out->seen), format, args);
	va_end(args);
	end(c, VERDICT_SKIPPED);
}

void kept(struct check *c)
{
	end(c, VERDICT_KEPT);
}

/* One note per line, each once, as many as fit. */
static void add_note(struct check *c, const char *prefix, const char *format, va_list args)
{
	char line[300];
	size_t used = strlen(c->out->notes);
	int n = snprintf(line, sizeof(line), "%s: ", prefix);

	vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
	if (strstr(c->out->notes, line) || used + strlen(line) + 2 > sizeof(c->out->notes))
		return;
	snprintf(c->out->notes + used, sizeof(c->out->notes) - used, "%s%s", used ? "\n" : "",
		 line);
}

void differs(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(c, "differs from Linux", format, args);
	va_end(args);
}

void defined(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_note(c, "device-defined", format, args);
	va_end(args);
}

void doing(struct check *c, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->out->doing, sizeof(c->out->doing), format, args);
	va_end(args);
}

const char *answer(long r)
{
	static char buffers[8][32];
	static unsigned next;
	char *b = buffers[next++ % 8];
	const char *name = r < 0 ? strerrorname_np((int)-r) : NULL;

	if (name)
		snprintf(b, sizeof(buffers[0]), "%s", name);
	else
		snprintf(b, sizeof(buffers[0]), "%ld", r);
	return b;
}

static bool judge(struct check *c, long got, long expected, const char *call)
{
	char text[300];

	if (got == expected)
		return true;
	if (c->kase->class == CASE_KERNEL) {
		differs(c, "%s answers %s there, %s here", call, answer(expected), answer(got));
		return false;
	}
	snprintf(text, sizeof(text), "%s answers %s", call, answer(expected));
	broken(c, text, "%s", answer(got));
}

bool want(struct check *c, long got, long expected, const char *format, ...)
{
	char call[160];
	va_list args;

	va_start(args, format);
	vsnprintf(call, sizeof(call), format, args);
	va_end(args);
	return judge(c, got, expected, call);
}

bool want_or(struct check *c, long got, long expected, long other, const char *whose,
	     const char *format, ...)
{
	char call[160];
	va_list args;

	va_start(args, format);
	vsnprintf(call, sizeof(call), format, args);
	va_end(args);
	if (got == other && got != expected) {
		defined(c, "%s answers %s, as %s", call, answer(got), whose);
		return false;
	}
	return judge(c, got, expected, call);
}

/* splitmix64: nothing hangs on its quality, only on being the same for the same seed. */
uint32_t check_random(struct check *c, uint32_t below)
{
	uint64_t z = c->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return below ? (uint32_t)((z ^ z >> 31) % below) : 0;
}

int check_closed_fd(void)
{
	int low = open("/", O_RDONLY | O_CLOEXEC), high = fcntl(low, F_DUPFD_CLOEXEC, 700);

	close(low);
	close(high);
	return high < 0 ? 1 << 20 : high;
}

int64_t check_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void check_sleep(unsigned microseconds)
{
	struct timespec t = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

void rounds_begin(struct check *c, struct rounds *r)
{
	r->done = 0;
	r->end = check_now() + (int64_t)c->options->seconds * 1000000000;
}

bool rounds_more(struct check *c, struct rounds *r)
{
	if (r->done >= c->options->rounds || (r->done >= 3 && check_now() > r->end))
		return false;
	c->out->rounds = ++r->done;
	return true;
}
