/*
 * The life-cycle table: every cell against an expectation that was written from
 * the contract and not from the table, and what must hold for all cells.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "device/lifecycle.h"

/*
 * A row per state, a word per event:
 *
 *   .          taken, nothing happens
 *   !ERRNO     refused
 *   NEXT+fx    goes to NEXT (two letters) with effects:
 *              s stop  c cancel  f fail waiters  a answer waiters  x clear  n needs reset
 *              t thaw  g start ("go")  z freeze  r answer reset  q fail reset  p park
 */
static const char *const states[STATE_COUNT] = {"re", "ne", "rd", "ru", "sg", "sd", "rs", "br"};
static const char letters[] = "scfaxntgzrqp"; /* by bit */

static const char *const expected[STATE_COUNT][EV_COUNT] = {
	/* clang-format off */
	/* NEGOTIATE FEATURES_OK DRIVER_OK HOLD RELEASE DRAINED PARK DEADLINE DRIVER_RESET DRIVER_GONE OPERATOR_RESET BREAK */
	[STATE_RESET] = {"ne", "rd", "ru+g", "re+a", ".", ".", ".", ".", "re+xr", "re+xr", "re+r", "."},
	[STATE_NEGOTIATING] = {".", "rd", "ru+g", "ne+a", ".", ".", ".", ".", "rs+s", "rs+s", "br+nr", "."},
	[STATE_READY] = {"!EINVAL", ".", "ru+g", "rd+a", ".", ".", ".", ".", "rs+s", "rs+s", "br+nr", "."},
	[STATE_RUNNING] = {"!EINVAL", "!EINVAL", ".", "sg+s", ".", ".", ".", ".", "rs+sc", "rs+sc", "br+scnr", "br+scn"},
	[STATE_SUSPENDING] = {"!EINVAL", "!EINVAL", ".", ".", "ru+fg", "sd+za", "sg+p", "ru+fg", "rs+scf", "rs+scf", "br+scfnr", "br+scfn"},
	[STATE_SUSPENDED] = {"!EINVAL", "!EINVAL", ".", "sd+a", "ru+tg", ".", ".", ".", "rs+s", "rs+s", "!EBUSY", "!EBUSY"},
	[STATE_RESETTING] = {"!EBUSY", "!EBUSY", "!EBUSY", ".", ".", "re+xtar", ".", "br+fnq", ".", ".", "!EBUSY", "."},
	[STATE_BROKEN] = {".", ".", ".", "!EIO", ".", ".", ".", ".", "rs+sc", "rs+sc", "br+r", "."},
	/* clang-format on */
};

static struct lifecycle_step parse(enum device_state state, const char *word)
{
	struct lifecycle_step step = {.next = state};

	if (*word == '.')
		return step;
	if (*word == '!') {
		step.refusal = !strcmp(word, "!EINVAL")	 ? -EINVAL
			       : !strcmp(word, "!EBUSY") ? -EBUSY
			       : !strcmp(word, "!EIO")	 ? -EIO
							 : -EOPNOTSUPP;
		return step;
	}
	for (unsigned s = 0; s < STATE_COUNT; s++)
		if (!strncmp(states[s], word, 2))
			step.next = s;
	for (const char *c = word + 2; *c; c++)
		if (*c != '+')
			step.effects |= 1u << (strchr(letters, *c) - letters);
	return step;
}

#define FOR_EACH_CELL                                       \
	for (enum device_state s = 0; s < STATE_COUNT; s++) \
		for (enum device_event e = 0; e < EV_COUNT; e++)

static void every_cell(void **state)
{
	FOR_EACH_CELL
	{
		struct lifecycle_step is = lifecycle_step(s, e), should = parse(s, expected[s][e]);

		if (is.next != should.next || is.effects != should.effects ||
		    is.refusal != should.refusal)
			fail_msg(
				"%s, %s: goes to %s with effects 0x%x, refusal %d; expected \"%s\"",
				lifecycle_state_name(s), lifecycle_event_name(e),
				lifecycle_state_name(is.next), is.effects, is.refusal,
				expected[s][e]);
	}
}

static void refusals_have_no_effects(void **state)
{
	FOR_EACH_CELL
	{
		struct lifecycle_step step = lifecycle_step(s, e);

		assert_true(step.next < STATE_COUNT);
		assert_true(step.refusal <= 0);
		if (!step.refusal)
			continue;
		assert_int_equal(step.next, s);
		assert_int_equal(step.effects, 0);
	}
}

static void names(void **state)
{
	for (unsigned i = 0; i < STATE_COUNT; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(lifecycle_state_name(i), lifecycle_state_name(k));
	for (unsigned i = 0; i < EV_COUNT; i++)
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(lifecycle_event_name(i), lifecycle_event_name(k));
	assert_null(lifecycle_state_name(STATE_COUNT));
	assert_null(lifecycle_event_name(EV_COUNT));
}

/* Which states can be reached from `from`, as bits. */
static unsigned reachable(enum device_state from)
{
	unsigned seen = 1u << from, before;

	do {
		before = seen;
		FOR_EACH_CELL
		{
			if (seen & (1u << s))
				seen |= 1u << lifecycle_step(s, e).next;
		}
	} while (seen != before);
	return seen;
}

static void every_state_reaches_every_state(void **state)
{
	for (unsigned s = 0; s < STATE_COUNT; s++)
		assert_int_equal(reachable(s), (1u << STATE_COUNT) - 1);
}

/* S2: chains are taken in RUNNING only. Entering it starts, leaving it stops. */
static void only_running_takes_chains(void **state)
{
	FOR_EACH_CELL
	{
		struct lifecycle_step step = lifecycle_step(s, e);
		bool enters = step.next == STATE_RUNNING && s != STATE_RUNNING;
		bool leaves = step.next != STATE_RUNNING && s == STATE_RUNNING;

		assert_int_equal(enters, !!(step.effects & FX_START));
		if (leaves)
			assert_true(step.effects & FX_STOP);
	}
}

/* S3, S10: SUSPENDED is entered by draining only, and those who wait hear of every way out. */
static void suspension_is_a_barrier(void **state)
{
	FOR_EACH_CELL
	{
		struct lifecycle_step step = lifecycle_step(s, e);

		if (step.next == STATE_SUSPENDED && s != STATE_SUSPENDED) {
			assert_int_equal(s, STATE_SUSPENDING);
			assert_int_equal(e, EV_DRAINED);
			assert_true(step.effects & FX_ANSWER_WAITERS);
		}
		assert_int_equal(!!(step.effects & FX_FREEZE),
				 step.next == STATE_SUSPENDED && s == STATE_SUSPENDING);
		if (s == STATE_SUSPENDING && step.next != s)
			assert_true(step.effects & (FX_ANSWER_WAITERS | FX_FAIL_WAITERS));
		assert_false((step.effects & FX_ANSWER_WAITERS) &&
			     (step.effects & FX_FAIL_WAITERS));
	}
}

/* S11: only release, reset and the driver's end lead out of SUSPENDED. */
static void what_ends_a_suspension(void **state)
{
	for (enum device_event e = 0; e < EV_COUNT; e++) {
		bool ends = lifecycle_step(STATE_SUSPENDED, e).next != STATE_SUSPENDED;

		assert_int_equal(ends,
				 e == EV_RELEASE || e == EV_DRIVER_RESET || e == EV_DRIVER_GONE);
	}
}

/* S5: nothing is announced while suspended; what was held is applied on every way out. */
static void quiet_while_suspended(void **state)
{
	FOR_EACH_CELL
	{
		struct lifecycle_step step = lifecycle_step(s, e);

		if (s == STATE_SUSPENDED && step.next == s)
			assert_false(step.effects &
				     (FX_NEEDS_RESET | FX_THAW | FX_START | FX_CLEAR));
		if (s == STATE_SUSPENDED && step.next == STATE_RUNNING)
			assert_true(step.effects & FX_THAW);
		if (step.next == STATE_RESET && s == STATE_RESETTING)
			assert_true(step.effects & FX_THAW);
	}
}

/* S13: a reset is answered at once, refused, or waited for; and RESET is always clean. */
static void resets(void **state)
{
	static const enum device_event all[] = {EV_DRIVER_RESET, EV_DRIVER_GONE, EV_OPERATOR_RESET};
	const unsigned told = FX_ANSWER_RESET | FX_FAIL_RESET;

	for (enum device_state s = 0; s < STATE_COUNT; s++) {
		for (unsigned i = 0; i < 3; i++) {
			struct lifecycle_step step = lifecycle_step(s, all[i]);

			assert_true(step.refusal || (step.effects & told) ||
				    step.next == STATE_RESETTING);
			if (all[i] != EV_OPERATOR_RESET) /* a driver is never refused */
				assert_int_equal(step.refusal, 0);
		}
	}
	FOR_EACH_CELL
	{
		struct lifecycle_step step = lifecycle_step(s, e);

		if (s == STATE_RESETTING && step.next != s)
			assert_true(step.effects & told);
		if (s != STATE_RESET && step.next == STATE_RESET)
			assert_true(step.effects & FX_CLEAR);
		if (s != STATE_BROKEN && step.next == STATE_BROKEN)
			assert_true(step.effects & FX_NEEDS_RESET);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell),
		cmocka_unit_test(refusals_have_no_effects),
		cmocka_unit_test(names),
		cmocka_unit_test(every_state_reaches_every_state),
		cmocka_unit_test(only_running_takes_chains),
		cmocka_unit_test(suspension_is_a_barrier),
		cmocka_unit_test(what_ends_a_suspension),
		cmocka_unit_test(quiet_while_suspended),
		cmocka_unit_test(resets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
