/* What moves took: see moves.h. */
#include "load/moves.h"

static const struct {
	const char *name, *text;
} steps[MOVE_STEPS] = {
	[MOVE_SUSPEND] = {"suspend", "SUSPEND"},
	[MOVE_BASES] = {"bases", "GET_VRING_BASE"},
	[MOVE_ATTACH] = {"attach", "SET_VRING_BASE, set-up of the target"},
	[MOVE_DRIVER_OK] = {"driver_ok", "DRIVER_OK on the target"},
	[MOVE_KICK] = {"kick", "kick"},
	[MOVE_RELEASE] = {"release", "reset of the source, after that"},
	[MOVE_ALL] = {"handover", "hand-over, from SUSPEND to kick"},
	[MOVE_BLACKOUT] = {"blackout", "blackout, as the requests saw it"},
};

const char *moves_step_name(enum move_step step)
{
	return steps[step].name;
}

const char *moves_step_text(enum move_step step)
{
	return steps[step].text;
}

void moves_add(struct moves *moves, const struct uvdpa_handover_times *t, uint64_t blackout)
{
	/* in the order of enum move_step; with a target prepared before, the first step begins
	 * there */
	const int64_t ends[] = {t->prepared,  t->suspended, t->bases,	t->attached,
				t->driver_ok, t->kicked,    t->released};

	for (unsigned i = 0; i < MOVE_ALL; i++)
		histogram_add(&moves->steps[i], (uint64_t)(ends[i + 1] - ends[i]));
	histogram_add(&moves->steps[MOVE_ALL], (uint64_t)(t->kicked - t->prepared));
	histogram_add(&moves->steps[MOVE_BLACKOUT], blackout);
}

void moves_print(const struct moves *moves, FILE *to)
{
	fprintf(to, "  %-40s %8s %8s %8s  (us)\n", "", "p50", "p99", "max");
	for (unsigned i = 0; i < MOVE_STEPS; i++) {
		const struct histogram *h = &moves->steps[i];

		fprintf(to, "  %-40s %8.1f %8.1f %8.1f\n", steps[i].text,
			(double)histogram_percentile(h, 50) / 1000,
			(double)histogram_percentile(h, 99) / 1000, (double)h->max / 1000);
	}
}
