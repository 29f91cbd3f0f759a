/*
 * Tries every rule (rules.c) in all executions that the model has of it; and once more without each
 * kind of order that it needs, which has to show.
 *
 *   litmus [RULE...]
 */
#include <stdio.h>
#include <string.h>

#include "litmus.h"
#include "rig.h"

static const uint64_t features_of[RULE_LAYOUTS] = {
	[RULE_SPLIT] = 0,
	[RULE_SPLIT_EVENT] = 1ull << VIRTIO_RING_F_EVENT_IDX,
	[RULE_PACKED] = 1ull << VIRTIO_F_RING_PACKED,
	[RULE_PACKED_EVENT] = 1ull << VIRTIO_F_RING_PACKED | 1ull << VIRTIO_RING_F_EVENT_IDX,
};
static const char *const layout_names[RULE_LAYOUTS] = {"split", "split, event index", "packed",
						       "packed, event index"};
static const char *const kind_names[RIG_KINDS] = {"mapped", "in stretches", "copied"};
static const char *const ends[MODEL_THREADS] = {"device", "driver"};

static struct model_result try(const struct rule *rule, enum rule_layout layout,
			       enum rig_memory kind, unsigned end, unsigned without)
{
	struct model_program program = {.memory = rig_memory,
					.size = sizeof(rig_memory),
					.state = &rig,
					.state_size = sizeof(rig),
					.threads = {rule->threads[0], rule->threads[1]},
					.holds = rule->holds};
	struct model_result result;

	program.without[end] = without;
	rig_set_up(kind, features_of[layout], !rule->threads[1]);
	if (rule->set_up)
		rule->set_up();
	result = model_run(&program);
	rig_tear_down();
	return result;
}

/* Each kind of order that an end needs, taken away. Returns how many were not missed. */
static unsigned try_without(const struct rule *rule, enum rule_layout layout, enum rig_memory kind)
{
	static const char *const names[] = {"full fences", "releases", "acquires"};
	unsigned bad = 0;

	for (unsigned end = 0; end < MODEL_THREADS; end++)
		for (unsigned i = 0; i < 3; i++) {
			if (!(rule->needs[end] & 1u << i) ||
			    !try(rule, layout, kind, end, 1u << i).holds)
				continue;
			printf("FAILED: %s holds without the %s's %s: nothing was tried\n",
			       rule->name, ends[end], names[i]);
			bad++;
		}
	return bad;
}

static unsigned try_all(const struct rule *rule)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < RULE_LAYOUTS * RIG_KINDS; i++) {
		enum rule_layout layout = i / RIG_KINDS;
		enum rig_memory kind = i % RIG_KINDS;
		struct model_result result;

		if (!(rule->layouts & 1u << layout) || !(rule->kinds & 1u << kind))
			continue;
		result = try(rule, layout, kind, 0, 0);
		printf("%s (%s, %s): %s %lu executions\n", rule->name, layout_names[layout],
		       kind_names[kind],
		       result.holds ? "holds in all" : "FAILED: broken in the last of",
		       result.executions);
		bad += !result.holds + try_without(rule, layout, kind);
	}
	return bad;
}

int main(int argc, char **argv)
{
	unsigned bad = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (const struct rule *rule = rules; rule->name; rule++) {
		bool wanted = argc < 2;

		for (int i = 1; i < argc; i++)
			wanted |= !strcmp(argv[i], rule->name);
		if (wanted)
			bad += try_all(rule);
	}
	return bad ? 1 : 0;
}
