/* Reports that go into files: JUnit's XML for CI systems, Markdown for a bug report. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/report_internal.h"

/* JUnit's element has the sums in its first line: what comes before the end is kept. */
static char *cases_xml;
static size_t cases_size;
static FILE *body;

static void xml(FILE *to, const char *text)
{
	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		if (ch == '<' || ch == '>' || ch == '&' || ch == '"')
			fprintf(to, "&#%u;", ch);
		else if (ch == '\n' || (ch >= 32 && ch < 127))
			fputc(ch, to);
		else
			fputc('?', to); /* XML has no way to say the others */
	}
}

static void junit_begin(const struct check *c, unsigned count)
{
	body = open_memstream(&cases_xml, &cases_size);
}

static void junit_finding(const struct check *c)
{
	const struct outcome *o = c->out;
	char again[600];

	report_reproduction(c, c->kase, again, sizeof(again));
	fprintf(body, ">\n    <failure type=\"");
	xml(body, o->by);
	fprintf(body, "\" message=\"");
	xml(body, o->expected);
	fprintf(body, "\">");
	xml(body, o->by);
	fprintf(body, ": ");
	xml(body, report_requirement(o));
	fprintf(body, "\nseen: ");
	xml(body, o->seen);
	fprintf(body, "\nagain: ");
	xml(body, again);
	for (unsigned i = 0; wire_line(c->wire, i); i++) {
		fprintf(body, "\n");
		xml(body, wire_line(c->wire, i));
	}
	fprintf(body, "\n");
	xml(body, o->rings);
	fprintf(body, "</failure>\n  </testcase>\n");
}

/* What is not owed is no failure: it is told among the output. */
static void junit_case(const struct check *c)
{
	const struct outcome *o = c->out;

	if (!body)
		return;
	fprintf(body, "  <testcase classname=\"uvdpa.check.%s\" name=\"", c->kase->group);
	xml(body, c->kase->id);
	fprintf(body, " ");
	xml(body, c->kase->what);
	fprintf(body, "\" time=\"%.3f\"", (double)o->ns / 1e9);
	if (o->verdict == VERDICT_BROKEN) {
		junit_finding(c);
		return;
	}
	fprintf(body, ">\n");
	if (o->verdict == VERDICT_SKIPPED) {
		fprintf(body, "    <skipped message=\"");
		xml(body, o->seen);
		fprintf(body, "\"/>\n");
	} else if (o->verdict == VERDICT_DIFFERS || o->notes[0]) {
		fprintf(body, "    <system-out>");
		if (o->verdict == VERDICT_DIFFERS)
			fprintf(body, "differs from what is not owed: ");
		xml(body, o->verdict == VERDICT_DIFFERS ? o->seen : o->notes);
		fprintf(body, "</system-out>\n");
	}
	fprintf(body, "  </testcase>\n");
}

static void junit_end(const struct check *c, const struct check_sum *s)
{
	if (!body)
		return;
	fclose(body);
	body = NULL;
	printf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"uvdpa check ");
	xml(stdout, c->targets[0].name);
	printf("\" tests=\"%u\" failures=\"%u\" skipped=\"%u\" time=\"%.3f\">\n",
	       s->kept + s->broken + s->skipped + s->differs, s->broken, s->skipped,
	       (double)s->ns / 1e9);
	fwrite(cases_xml, 1, cases_size, stdout);
	printf("</testsuite>\n");
	free(cases_xml);
	cases_xml = NULL;
}

const struct report report_junit = {junit_begin, junit_case, junit_end};

/* Markdown --------------------------------------------------------------------------------- */

static void markdown_begin(const struct check *c, unsigned count)
{
	const struct facts *f = &c->facts[0];

	printf("# `uvdpa check` on %s\n\nvirtio device %u, %u queues of up to %u entries, ",
	       c->targets[0].name, f->device_id, f->vqs, f->ring_max);
	if (target_is_socket(c))
		printf("offers features `0x%llx`, protocol features `0x%llx`.\n",
		       (unsigned long long)c->wire->features,
		       (unsigned long long)c->wire->protocol);
	else
		printf("features `0x%llx`, backend features `0x%llx`.\n",
		       (unsigned long long)f->features, (unsigned long long)f->backend);
}

static void markdown_finding(const struct check *c, const struct finding *f, size_t number)
{
	char again[600];

	report_reproduction(c, f->kase, again, sizeof(again));
	printf("\n## %zu. %s (%s)\n\n", number, f->out.root[0] ? f->out.root : f->out.expected,
	       finding_severity(f));
	printf("- requirement: %s (%s)\n", report_requirement(&f->out), f->out.by);
	printf("- expected: %s\n- seen: %s\n- cases:", f->out.expected, f->out.seen);
	for (size_t i = 0; i < f->count; i++)
		printf(" %s", f->cases[i]->id);
	printf("\n- again: `%s`\n", again);
	if (!wire_line(&f->wire, 0) && !f->out.rings[0])
		return;
	printf("\nThe last messages and the rings of %s:\n\n", f->kase->id);
	for (unsigned i = 0; wire_line(&f->wire, i); i++)
		printf("    %s\n", wire_line(&f->wire, i));
	report_lines("    ", f->out.rings);
}

static void markdown_end(const struct check *c, const struct check_sum *s)
{
	printf("\n%u kept, %u broken, %u differ from what is not owed, %u skipped in %.1f s.\n",
	       s->kept, s->broken, s->differs, s->skipped, (double)s->ns / 1e9);
	for (size_t i = 0; findings_get(i); i++)
		markdown_finding(c, findings_get(i), i + 1);
}

const struct report report_markdown = {markdown_begin, NULL, markdown_end};
