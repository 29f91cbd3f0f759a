/*
 * The checker can fail: each of the sham's faults is caught by the case meant for it, and the sham
 * without a fault keeps every case.
 *
 *	check_mutants           a few seconds; the correct device: 10 rounds of each racing case
 *	CHECK_ROUNDS=100 ...    the correct device: 100 rounds
 *	check_mutants FAULT     only that one, with what the checker saw
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "check/case.h"
#include "check/options.h"
#include "check/run.h"
#include "sham.h"

static const struct mutant {
	enum sham_fault err;
	const char *what;
	const char *caught_by;
} mutants[] = {
	{SHAM_TAKES_ONE_MORE, "takes one more descriptor after suspend", "S2-1"},
	{SHAM_GOES_ON, "does not stop at all", "KS05"},
	{SHAM_KICK_STARTS, "is started by a kick while suspended", "S2-1"},
	{SHAM_REBIND_STARTS, "is started by binding a kick eventfd", "S2-7"},
	{SHAM_ENABLE_STARTS, "is started by an enable while suspended", "KS16"},
	{SHAM_DRIVER_OK_STARTS, "is started by DRIVER_OK written again", "S11-3"},
	{SHAM_BATCH_STARTS, "is started by an IOTLB batch", "S11-4"},
	{SHAM_WRITES_USED, "writes a used entry while suspended", "S4-1"},
	{SHAM_WRITES_EVENT, "writes the available event while suspended", "S4-3"},
	{SHAM_WRITES_FLAGS, "writes the used flags while suspended", "S4-3"},
	{SHAM_WRITES_BUFFER, "writes a buffer while suspended", "S4-1"},
	{SHAM_UNMAP_WRITES, "writes a buffer when it is unmapped while suspended", "KS23"},
	{SHAM_CALLS_LATE, "notifies late, after suspend has returned", "S3-2"},
	{SHAM_CALLS_ON_KICK, "sends calls while suspended", "S5-1"},
	{SHAM_CONFIG_CALL, "sends a config call while suspended", "S5-3"},
	{SHAM_CONFIG_CHANGES, "changes config space while suspended", "S5-3"},
	{SHAM_NO_CONFIG, "refuses config reads while suspended", "S7-1"},
	{SHAM_STATUS_SHOWS, "shows the suspension in the status", "KS10"},
	{SHAM_NO_WAIT, "does not wait for what is in flight", "S3-1"},
	{SHAM_NO_CALL, "drops the call for what it finished last", "S3-2"},
	{SHAM_HALF_DONE, "publishes before the data is there", "S3-3"},
	{SHAM_SECOND_TOGGLES, "resumes at a second suspend", "S9-1"},
	{SHAM_SECOND_FAILS, "refuses a second suspend", "S9-1"},
	{SHAM_SECOND_HURRIES, "lets a second suspend return before the first is done", "S9-3"},
	{SHAM_NESTS, "wants as many resumes as suspends", "S9-2"},
	{SHAM_HANGS, "never answers suspend", "S10-1"},
	{SHAM_THIRD_STATE, "fails suspend, and stands still", "S10-1"},
	{SHAM_EARLY, "suspends before DRIVER_OK", "S1-2"},
	{SHAM_NOT_OFFERED, "can suspend and does not offer it", "KB01"},
	{SHAM_LOSES_QUEUED, "forgets kicks at a second suspend", "S8-6"},
	{SHAM_BASE_HIGH, "answers a base that is one too high", "S6-2"},
	{SHAM_BASE_LOW, "answers a base that is one too low", "S6-2"},
	{SHAM_BASE_MOVES, "moves the base when asked", "S6-1"},
	{SHAM_BASE_15_BITS, "keeps 15 bits of the base", "S6-3"},
	{SHAM_BASE_IGNORED, "ignores the base it is given", "S12-1"},
	{SHAM_BASE_FROM_ZERO, "starts every ring at 0", "S12-7"},
	{SHAM_FORGETS_KICK_BEFORE, "forgets a kick right before suspend", "S8-1"},
	{SHAM_FORGETS_KICK_DURING, "forgets a kick while suspended", "S8-3"},
	{SHAM_FORGETS_ENABLE, "forgets an enable while suspended", "S8-4"},
	{SHAM_FORGETS_CALLS, "sends no calls after resume", "S11-6"},
	{SHAM_REPEATS_ONE, "does a request again after resume", "S11-1"},
	{SHAM_SKIPS_ONE, "loses a request at resume", "S11-1"},
	{SHAM_RESUME_RESTARTS, "starts its rings anew at resume", "S11-1"},
	{SHAM_RESET_KEEPS_SUSPENDED, "stays suspended over a reset", "S13-1"},
	{SHAM_CLOSE_KEEPS_SUSPENDED, "stays suspended when its driver goes", "KS21"},
	{SHAM_RESET_KEEPS_BASE, "keeps its bases over a reset", "KS18"},
	{SHAM_RESET_STILL_WRITES, "calls on after a reset", "S13-3"},
	{SHAM_ANYBODY, "takes calls about queues from anybody", "KC03"},
	{SHAM_ADDR_WHILE_RUNNING, "takes ring addresses while it runs", "KV04"},
	{SHAM_STATUS_DOWN, "lets status bits be taken away", "KF03"},
	{SHAM_OVERLAP, "takes mappings that overlap", "KI07"},
	{SHAM_WRITES_READ_ONLY, "writes to what is mapped for reading", "KI22"},
	{SHAM_OVERRUNS, "writes one byte too many", "R09"},
	{SHAM_LENGTH, "counts its bytes wrongly", "R02"},
	{SHAM_NO_FLIP, "does not flip its wrap counters", "P01"},
	{SHAM_STALE_LAP, "takes descriptors of the lap before for new ones", "P04"},
	{SHAM_USED_FLAGS_INVERTED, "marks descriptors used for the other lap", "R02p"},
	{SHAM_ONE_EACH, "moves on by one descriptor for each chain", "R02p"},
	{SHAM_BASE_NO_WRAP, "answers a packed base without the used wrap counter", "P02"},
	{SHAM_BASE_HALF, "answers half a packed base", "P03"},
	{SHAM_BASE_FIRST_LAP, "starts every packed ring with a wrap counter of 1", "P01"},
	{SHAM_TAKES_ONE_MORE, "takes one more chain after suspend, packed", "S2-1p"},
	{SHAM_WRITES_USED, "writes a used descriptor while suspended", "S4-1p"},
	{SHAM_WRITES_EVENT, "writes its event suppression area while suspended", "S4-3p"},
	{SHAM_NO_WAIT, "does not wait for what is in flight, packed", "S3-1p"},
	{SHAM_BASE_15_BITS, "loses the wrap counter when it suspends", "S6-3p"},
	{SHAM_BASE_FROM_ZERO, "starts every packed ring at 0", "S12-7p"},
	{SHAM_SWAPS, "takes in order and uses the other way round", "R21"},
	{SHAM_SWAPS, "takes in order and uses the other way round, packed", "R21p"},
	{SHAM_RESUME_SWAPS, "loses the order at resume", "S11-8"},
	{SHAM_RESUME_SWAPS, "loses the order at resume, packed", "S11-8p"},
	{SHAM_RESTORE_SWAPS, "loses the order when it starts at a base", "S12-8"},
	{SHAM_RESTORE_SWAPS, "loses the order when it starts at a base, packed", "S12-8p"},
	{SHAM_NO_WAIT, "finishes requests when their memory is gone", "S3-4"},
	{SHAM_NO_WAIT, "finishes requests when their memory is gone, packed", "S3-4p"},
	{SHAM_KICK_FAILS_SUSPEND, "fails a suspend with a kick under way", "S8-9"},
	{SHAM_RESET_NO_WAIT, "goes on with what is in flight at a reset", "F11"},
	{SHAM_WRITES_TABLE, "writes into indirect tables", "R22"},
	{SHAM_STOP_STOPS_ALL, "stops all rings with one", "R23"},
	{SHAM_ZERO_ENDS_KICKS, "hears no kick after a write of 0", "R24"},
	{SHAM_CONFIG_TAKES_ALL, "lets its capacity be written", "C06"},
	{SHAM_CONFIG_NO_OFFSET, "reads config space from its beginning", "C02"},
};
#define TRIES	5
#define MUTANTS (sizeof(mutants) / sizeof(mutants[0]))

static unsigned from_environment(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* A device in memory that the case's process and we have each for ourselves after the fork. */
static struct sham *new_sham(enum sham_fault err)
{
	struct sham *s = malloc(sizeof(*s));

	if (!s)
		exit(99);
	sham_init(s, err);
	return s;
}

static int run(const struct check_options *o, enum sham_fault err, struct check_sum *sum)
{
	struct sham *shams[2] = {new_sham(err), new_sham(err)};
	const struct target targets[2] = {{"sham", sham_open, shams[0]},
					  {"other", sham_open, shams[1]}};
	struct error f = {0};
	int r = check_run(o, targets, sum, &f);

	if (r == 2)
		printf("# %s\n", f.text);
	free(shams[0]);
	free(shams[1]);
	return r;
}

static void options_for(struct check_options *o, const char *only, enum check_format format)
{
	check_options_init(o);
	o->rounds = 40;
	o->seconds = 1;
	o->deadline = 2;
	o->patience = 600;
	o->scratch = true;
	o->target_count = 2;
	o->format = format;
	if (only)
		o->only[o->only_count++] = only;
}

/*
 * Is it caught? The case has to be kept by the correct device, which main() sees to. Many of the
 * faults are races, and a case has a second to meet them: on a machine that has other things to do
 * than to let our threads meet, it gets that second up to TRIES times, each with a seed of its own.
 */
static int try_mutant(const struct mutant *m, enum check_format format)
{
	struct check_options o;
	struct check_sum sum = {0};
	unsigned tries = 0;
	int r = 0;

	options_for(&o, m->caught_by, format);
	while (r == 0 && tries++ < TRIES) {
		o.seed += tries;
		r = run(&o, m->err, &sum);
	}
	printf("%s - %s: a device that %s (%.1f s, try %u)\n", r == 1 ? "ok" : "not ok",
	       m->caught_by, m->what, (double)sum.ns / 1e9, r == 1 ? tries : TRIES);
	return r != 1;
}

static int try_correct(void)
{
	struct check_options o;
	struct check_sum sum;
	int r;

	options_for(&o, NULL, FORMAT_TAP);
	o.rounds = from_environment("CHECK_ROUNDS", 10);
	o.seconds = from_environment("CHECK_SECONDS", o.rounds > 10 ? 60 : 1);
	o.deadline = 60;
	o.patience = 4000;
	r = run(&o, SHAM_CORRECT, &sum);
	printf("%s - a correct device: %u kept, %u broken, %u skipped in %.1f s, %u rounds\n",
	       r ? "not ok" : "ok", sum.kept, sum.broken, sum.skipped, (double)sum.ns / 1e9,
	       o.rounds);
	return r != 0;
}

int main(int argc, char **argv)
{
	unsigned missed = 0;

	for (size_t i = 0; i < MUTANTS; i++) {
		if (argc > 1 && (unsigned)strtoul(argv[1], NULL, 10) == mutants[i].err)
			return try_mutant(&mutants[i], FORMAT_TABLE);
		if (argc == 1)
			missed += (unsigned)try_mutant(&mutants[i], FORMAT_NONE);
	}
	printf("%zu mutants, %zu caught\n", MUTANTS, MUTANTS - missed);
	return try_correct() || missed ? 1 : 0;
}
