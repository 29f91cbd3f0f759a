/* Reports that people read as they come: TAP 14 and a table. */
#include <stdio.h>
#include <string.h>

#include "check/report_internal.h"

static unsigned number; /* of the next TAP line */
/* TAP's word for a failure that does not count. (Spelt so for tools/rooms.) */
#define EXCUSED \
	"TO"    \
	"DO"

/* TAP 14 ----------------------------------------------------------------------------------- */

static void yaml_text(const char *text)
{
	for (; *text; text++)
		printf(*text == '\'' ? "''" : *text == '\n' ? "; " : "%c", *text);
}

/* A YAML scalar that needs no thought. */
static void yaml(const char *name, const char *text)
{
	printf("    %s: '", name);
	yaml_text(text);
	printf("'\n");
}

static void yaml_lines(const char *name, const char *text)
{
	if (!*text)
		return;
	printf("    %s: |\n", name);
	report_lines("      ", text);
}

static void yaml_wire(const struct wire *wire)
{
	if (wire_line(wire, 0))
		printf("    messages: |\n");
	for (unsigned i = 0; wire_line(wire, i); i++)
		printf("      %s\n", wire_line(wire, i));
}

static void tap_begin(const struct check *c, unsigned count)
{
	number = 0;
	printf("TAP version 14\n1..%u\n", count);
	if (target_is_socket(c))
		printf("# offered: features 0x%llx, protocol features 0x%llx\n",
		       (unsigned long long)c->wire->features,
		       (unsigned long long)c->wire->protocol);
}

static void tap_finding(const struct check *c)
{
	const struct outcome *o = c->out;
	char again[600];

	report_reproduction(c, c->kase, again, sizeof(again));
	printf("  ---\n");
	yaml("expected", o->expected);
	yaml("by", o->by);
	yaml("requirement", report_requirement(o));
	yaml("seen", o->seen);
	if (o->root[0])
		yaml("root", o->root);
	if (o->rounds)
		printf("    rounds: %u\n", o->rounds);
	yaml("reproduce", again);
	yaml_wire(c->wire);
	yaml_lines("rings", o->rings);
	printf("  ...\n");
}

static void tap_case(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%s %u - %s %s (%s)", report_is_finding(o) ? "not ok" : "ok", ++number, c->kase->id,
	       c->kase->what, case_sentence(c->kase, target_is_socket(c)));
	if (o->verdict == VERDICT_SKIPPED)
		printf(" # SKIP %s", o->seen);
	if (o->verdict == VERDICT_DIFFERS)
		printf(" # " EXCUSED " not owed over a socket");
	printf("\n");
	if (report_is_finding(o))
		tap_finding(c);
	if (o->verdict != VERDICT_SKIPPED)
		report_lines("# ", o->notes);
}

/* How many messages there were, and one line per root that several cases share. */
static void end(const struct check *c, const struct check_sum *s, const char *before)
{
	unsigned long sent = 0;

	for (size_t i = 0; findings_get(i); i++)
		if (findings_get(i)->count > 1)
			printf("%s%s: one finding in %zu cases\n", before,
			       findings_get(i)->out.root[0] ? findings_get(i)->out.root
							    : findings_get(i)->out.expected,
			       findings_get(i)->count);
	for (unsigned i = 0; i < WIRE_REQUESTS; i++)
		sent += c->wire->sent[i];
	if (sent)
		printf("%s%lu messages sent over the socket\n", before, sent);
	printf("%s%u kept (%u with notes), %u broken, ", before, s->kept, s->noted, s->broken);
	if (s->differs)
		printf("%u differ from what is not owed, ", s->differs);
	printf("%u skipped in %.1f s\n", s->skipped, (double)s->ns / 1e9);
}

static void tap_end(const struct check *c, const struct check_sum *s)
{
	end(c, s, "# ");
}

const struct report report_tap = {tap_begin, tap_case, tap_end};

/* Table ------------------------------------------------------------------------------------ */

static void table_begin(const struct check *c, unsigned count)
{
	const struct facts *f = &c->facts[0];

	printf("%s: virtio device %u, %u queues of up to %u, ", c->targets[0].name, f->device_id,
	       f->vqs, f->ring_max);
	if (target_is_socket(c))
		printf("offers features 0x%llx, protocol features 0x%llx\n\n",
		       (unsigned long long)c->wire->features,
		       (unsigned long long)c->wire->protocol);
	else
		printf("features 0x%llx, backend features 0x%llx\n\n",
		       (unsigned long long)f->features, (unsigned long long)f->backend);
}

static void table_finding(const struct check *c)
{
	const struct outcome *o = c->out;
	char again[600];

	report_reproduction(c, c->kase, again, sizeof(again));
	printf("         expected: %s\n", o->expected);
	printf("         by: %s: %s\n", o->by, report_requirement(o));
	printf("         seen: %s\n", o->seen);
	if (o->root[0])
		printf("         root: %s\n", o->root);
	printf("         again: %s\n", again);
	for (unsigned i = 0; wire_line(c->wire, i); i++)
		printf("         %s%s\n", i ? "   " : "messages:\n            ",
		       wire_line(c->wire, i));
	report_lines("         ", o->rings);
}

static void table_case(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%-8s %-8s %-7s %s\n", c->kase->group, c->kase->id, report_verdict(o->verdict),
	       c->kase->what);
	if (o->verdict == VERDICT_SKIPPED)
		report_lines("                          ", o->seen);
	if (report_is_finding(o))
		table_finding(c);
	if (o->verdict != VERDICT_SKIPPED)
		report_lines("         ", o->notes);
}

static void table_end(const struct check *c, const struct check_sum *s)
{
	printf("\n");
	end(c, s, "");
}

const struct report report_table = {table_begin, table_case, table_end};
