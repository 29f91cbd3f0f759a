/*
 * Runs lives from seeds (sim.h), or shows that the simulation notices faults.
 *
 *     sim [--seed N] [--count N] [--steps N] [--plant NAME] [--trace]
 *     sim --plants        every fault that can be planted has to be noticed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "util/log.h"

static struct sim sim; /* large */

static int usage(void)
{
	fprintf(stderr, "usage: sim [--seed N] [--count N] [--steps N] [--plant NAME] [--trace]\n"
			"       sim --plants\n");
	return 2;
}

static enum plant plant_of(const char *name)
{
	for (enum plant plant = 0; plant < PLANT_COUNT; plant++)
		if (!strcmp(plant_name(plant), name))
			return plant;
	return PLANT_COUNT;
}

static void complain(const struct sim_options *options)
{
	printf("FAILED at step %u: %s\n", sim.step, sim.why);
	printf("again: sim --seed %llu --steps %u%s%s --trace\n", (unsigned long long)options->seed,
	       options->steps, options->plant ? " --plant " : "",
	       options->plant ? plant_name(options->plant) : "");
}

static int run(struct sim_options options, unsigned count)
{
	uint64_t posted = 0, completed = 0, failed = 0, abandoned = 0;
	unsigned crashes = 0, moves = 0, suspends = 0, timeouts = 0, resets = 0, drains = 0,
		 parked = 0;

	for (unsigned i = 0; i < count; i++, options.seed++) {
		if (!sim_run(&sim, &options)) {
			complain(&options);
			return 1;
		}
		posted += sim.guest.posted;
		completed += sim.guest.completed;
		failed += sim.guest.failed;
		abandoned += sim.guest.abandoned;
		crashes += sim.crashes;
		moves += sim.moves;
		suspends += sim.suspends;
		timeouts += sim.timeouts;
		resets += sim.resets;
		drains += sim.drains;
		parked += sim.parked;
	}
	printf("%u lives: %llu requests (%llu failed by the disk, %llu given up in resets), "
	       "%u suspends, %u of them late, %u kills, %u moves, %u requests parked, %u resets, "
	       "%u times at "
	       "rest\n",
	       count, (unsigned long long)posted, (unsigned long long)failed,
	       (unsigned long long)abandoned, suspends, timeouts, crashes, moves, parked, resets,
	       drains);
	if (posted == completed + abandoned && posted)
		return 0;
	printf("%llu requests are unaccounted for\n",
	       (unsigned long long)(posted - completed - abandoned));
	return 1;
}

/* A fault that could be planted in that many lives and was never noticed is a hole in here. */
static int run_plants(void)
{
	unsigned bad = 0;

	for (enum plant plant = 1; plant < PLANT_COUNT; plant++) {
		unsigned planted = 0, noticed = 0, false_alarms = 0;
		char why[300] = "";

		for (uint64_t seed = 1; seed <= 30; seed++) {
			struct sim_options options = {.seed = seed, .steps = 2000, .plant = plant};
			bool good = sim_run(&sim, &options);

			planted += sim.planted;
			noticed += sim.planted && !good;
			false_alarms += !sim.planted && !good;
			if (!good)
				memcpy(why, sim.why, sizeof(why));
		}
		printf("%-16s planted in %2u lives, noticed in %2u; for example: %s\n",
		       plant_name(plant), planted, noticed, why);
		/* Some faults are healed by what comes after: an overwritten sector, another kick.
		 */
		bad += !planted || noticed * 10 < planted || false_alarms;
	}
	return bad != 0;
}

int main(int argc, char **argv)
{
	struct sim_options options = {.seed = 1, .steps = 2000};
	unsigned count = 1;

	log_set_level(LOG_LEVEL_ERROR);
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--plants"))
			return run_plants();
		if (!strcmp(argv[i], "--trace")) {
			options.trace = true;
			continue;
		}
		if (i + 1 >= argc)
			return usage();
		if (!strcmp(argv[i], "--seed"))
			options.seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--count"))
			count = (unsigned)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--steps"))
			options.steps = (unsigned)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--plant"))
			options.plant = plant_of(argv[++i]);
		else
			return usage();
	}
	if (options.plant >= PLANT_COUNT)
		return usage();
	return run(options, count);
}
