/*
 * What a case says: the outcome, which lives in memory shared with the process that judges, and the
 * functions by which a case fills it.
 *
 * broken() and skip() end the case's process on the spot: there is nothing to clean up that the
 * kernel does not clean up for a process that exits (a device's file is released; threads end).
 */
#ifndef UVDPA_CHECK_VERDICT_H
#define UVDPA_CHECK_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct check_case;
struct check_options;
struct facts;
struct target;
struct servers;
struct wire;

enum verdict {
	VERDICT_NONE,
	VERDICT_KEPT,
	VERDICT_BROKEN,
	VERDICT_SKIPPED,
	VERDICT_DIFFERS, /* broken, but the device does not owe it (basis.h) */
};

/* Shared between the case's process and the runner. */
struct outcome {
	enum verdict verdict;
	char expected[300];
	char by[100];	 /* the sentence that it breaks; "": the case's */
	char root[160];	 /* what is behind it, where that is known; "": the expectation */
	char rings[900]; /* how the rings looked, where a finding was made; lines */
	char seen[600];	 /* or the reason for skipping */
	char notes[600]; /* differences from Linux, device-defined answers; lines */
	char doing[160]; /* where the case is, for when it never comes back */
	unsigned rounds; /* of a racing case */
	unsigned bad;	 /* rounds in which it broke, for cases that count instead of ending */
	int64_t ns;
};

/* What a case has in hands. */
struct check {
	const struct check_case *kase;
	const struct check_options *options;
	const struct target *targets; /* targets[0] is the one under test */
	struct facts *facts;	      /* of targets[0]; those of the other follow */
	struct outcome *out;
	struct wire *wire;	 /* what goes over a socket; shared */
	struct servers *servers; /* started by --restart; shared */
	uint64_t random;	 /* state of check_random() */
	bool opened;		 /* by this case, in its process: now nobody else has it */
};

_Noreturn void broken(struct check *c, const char *expected, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same for what is owed by another sentence than the case's, whichever that is. */
_Noreturn void broken_by(struct check *c, const char *sentence, const char *expected,
			 const char *format, ...) __attribute__((format(printf, 4, 5)));
/* A call that nobody needs. virtio allows it (2.7.7): on a socket it is a note. */
void spurious(struct check *c, const char *expected, const char *seen);
/* What a finding that may follow comes of, if that is known. */
void root(struct check *c, const char *sentence, const char *text);
_Noreturn void skip(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Kept, now. */
_Noreturn void kept(struct check *c);

/* Notes. "differs from Linux: ..." and "device-defined: ...". Each text once. */
void differs(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void defined(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Where the case is. */
void doing(struct check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "0", "72", "EBUSY". In one of a few static buffers. */
const char *answer(long r);

/*
 * A call answered `got` where `expected` is right. Otherwise: in a case of class K a note and
 * false, in others broken. Returns whether it was right.
 */
bool want(struct check *c, long got, long expected, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* The same with a second answer that is right on the devices that `whose` names (told in a note).
 */
bool want_or(struct check *c, long got, long expected, long other, const char *whose,
	     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Pseudo-random, from --seed and the case's id: the same in every run. */
uint32_t check_random(struct check *c, uint32_t below);

/* A descriptor number that is closed, and stays so whatever else is opened. */
int check_closed_fd(void);

/* Time. */
int64_t check_now(void); /* ns, monotonic */
void check_sleep(unsigned microseconds);

/*
 * Rounds of a racing case: `for (rounds_begin(c, &r); rounds_more(c, &r);)`. Ends after --rounds or
 * --seconds, whichever is first, but not before the third round.
 */
struct rounds {
	unsigned done;
	int64_t end;
};
void rounds_begin(struct check *c, struct rounds *r);
bool rounds_more(struct check *c, struct rounds *r);

#endif
