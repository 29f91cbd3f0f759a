/* Reports: TAP 14, table, JSON. */
#include "cmd/check/report.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/check/case.h"

static unsigned number; /* of the next TAP line or JSON element */

static enum check_format format_of(const struct check_options *o)
{
	if (o->format != FORMAT_AUTO)
		return o->format;
	return isatty(STDOUT_FILENO) ? FORMAT_TABLE : FORMAT_TAP;
}

/* Words ------------------------------------------------------------------------------------ */

static const char *verdict_word(enum verdict v)
{
	static const char *const words[] = {"none", "kept", "broken", "skipped"};

	return words[v];
}

static const char *class_words(char class)
{
	return class == CASE_KERNEL   ? "a habit of Linux"
	       : class == CASE_DEVICE ? "the device decides"
				      : "must";
}

static void print_reproduction(const struct check *c)
{
	printf("uvdpa check %s", c->targets[0].name);
	if (c->options->target_count > 1)
		printf(" %s", c->targets[1].name);
	printf(" --only %s --seed %llu --rounds %u", c->kase->id,
	       (unsigned long long)c->options->seed, c->options->rounds);
	if (c->options->scratch)
		printf(" --scratch");
	if (c->options->control)
		printf(" --control %s", c->options->control);
}

/* A text of several lines, each with what goes before it. */
static void print_lines(const char *before, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		printf("%s%.*s\n", before, (int)n, text);
		text += n + (text[n] == '\n');
	}
}

/* JSON ------------------------------------------------------------------------------------- */

/* As much of UTF-8 as we print is ASCII; what a device sends us is bytes. */
static void json_string(const char *name, const char *text, const char *after)
{
	printf("\"%s\": \"", name);
	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		if (ch == '"' || ch == '\\')
			printf("\\%c", ch);
		else if (ch == '\n')
			printf("\\n");
		else if (ch < 32 || ch > 126)
			printf("\\u%04x", ch);
		else
			putchar(ch);
	}
	printf("\"%s", after);
}

static void json_begin(const struct check *c)
{
	const struct facts *f = &c->facts[0];

	printf("{");
	json_string("target", c->targets[0].name, ", ");
	if (c->options->target_count > 1)
		json_string("other", c->targets[1].name, ", ");
	printf("\"device_id\": %u, \"queues\": %u, \"features\": \"0x%llx\", "
	       "\"backend_features\": \"0x%llx\", \"seed\": %llu, \"cases\": [\n",
	       f->device_id, f->vqs, (unsigned long long)f->features,
	       (unsigned long long)f->backend, (unsigned long long)c->options->seed);
}

static void json_facts(const struct check_case *k)
{
	char needs[200];
	char class[2] = {k->class, 0};

	json_string("id", k->id, ", ");
	json_string("group", k->group, ", ");
	json_string("clause", k->clause, ", ");
	json_string("class", class, ", ");
	json_string("needs", case_needs_words(k->needs, needs, sizeof(needs)), ", ");
	json_string("what", k->what, "");
}

static void json_case(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%s  {", number++ ? ",\n" : "");
	json_facts(c->kase);
	printf(", ");
	json_string("result", verdict_word(o->verdict), "");
	printf(", \"ms\": %.1f", (double)o->ns / 1e6);
	if (o->rounds)
		printf(", \"rounds\": %u, \"bad_rounds\": %u", o->rounds, o->bad);
	if (o->verdict == VERDICT_BROKEN) {
		printf(", ");
		json_string("expected", o->expected, ", ");
		json_string("seen", o->seen, "");
	}
	if (o->verdict == VERDICT_SKIPPED) {
		printf(", ");
		json_string("reason", o->seen, "");
	}
	if (o->notes[0]) {
		printf(", ");
		json_string("notes", o->notes, "");
	}
	printf("}");
}

static void json_end(const struct check_sum *s)
{
	printf("\n], \"kept\": %u, \"broken\": %u, \"skipped\": %u, \"seconds\": %.2f}\n", s->kept,
	       s->broken, s->skipped, (double)s->ns / 1e9);
}

/* TAP 14 ----------------------------------------------------------------------------------- */

/* A YAML scalar that needs no thought. */
static void yaml(const char *name, const char *text)
{
	printf("    %s: '", name);
	for (; *text; text++)
		printf(*text == '\'' ? "''" : *text == '\n' ? "; " : "%c", *text);
	printf("'\n");
}

static void tap_case(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%s %u - %s %s (%s)", o->verdict == VERDICT_BROKEN ? "not ok" : "ok", ++number,
	       c->kase->id, c->kase->what, c->kase->clause);
	if (o->verdict == VERDICT_SKIPPED)
		printf(" # SKIP %s", o->seen);
	printf("\n");
	if (o->verdict == VERDICT_BROKEN) {
		printf("  ---\n");
		yaml("expected", o->expected);
		yaml("by", c->kase->clause);
		yaml("seen", o->seen);
		if (o->rounds)
			printf("    rounds: %u\n", o->rounds);
		printf("    reproduce: '");
		print_reproduction(c);
		printf("'\n  ...\n");
	}
	if (o->verdict != VERDICT_SKIPPED)
		print_lines("# ", o->notes);
}

/* Table ------------------------------------------------------------------------------------ */

static void table_begin(const struct check *c)
{
	const struct facts *f = &c->facts[0];

	printf("%s: virtio device %u, %u queues of up to %u, features 0x%llx, backend features "
	       "0x%llx\n\n",
	       c->targets[0].name, f->device_id, f->vqs, f->ring_max,
	       (unsigned long long)f->features, (unsigned long long)f->backend);
}

static void table_case(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%-8s %-8s %-7s %s\n", c->kase->group, c->kase->id, verdict_word(o->verdict),
	       c->kase->what);
	if (o->verdict == VERDICT_SKIPPED)
		print_lines("                          ", o->seen);
	if (o->verdict == VERDICT_BROKEN) {
		printf("         expected: %s (%s)\n         seen: %s\n         again: ",
		       o->expected, c->kase->clause, o->seen);
		print_reproduction(c);
		printf("\n");
	}
	if (o->verdict != VERDICT_SKIPPED)
		print_lines("         ", o->notes);
}

/* ------------------------------------------------------------------------------------------ */

void report_begin(const struct check *c, unsigned count)
{
	number = 0;
	if (c->options->format == FORMAT_NONE)
		return;
	switch (format_of(c->options)) {
	case FORMAT_JSON:
		json_begin(c);
		break;
	case FORMAT_TAP:
		printf("TAP version 14\n1..%u\n", count);
		break;
	default:
		table_begin(c);
	}
	fflush(stdout);
}

void report_case(const struct check *c)
{
	if (c->options->format == FORMAT_NONE)
		return;
	switch (format_of(c->options)) {
	case FORMAT_JSON:
		json_case(c);
		break;
	case FORMAT_TAP:
		tap_case(c);
		break;
	default:
		table_case(c);
	}
	fflush(stdout);
}

void report_end(const struct check *c, const struct check_sum *s)
{
	enum check_format format = format_of(c->options);

	if (format == FORMAT_NONE)
		return;
	if (format == FORMAT_JSON) {
		json_end(s);
	} else {
		printf("%s%u kept (%u with notes), %u broken, %u skipped in %.1f s\n",
		       format == FORMAT_TAP ? "# " : "\n", s->kept, s->noted, s->broken, s->skipped,
		       (double)s->ns / 1e9);
	}
	fflush(stdout);
}

static void list_case(const struct check_case *k)
{
	char needs[200];

	case_needs_words(k->needs, needs, sizeof(needs));
	printf("%-8s %-8s %c  %s [%s]%s%s\n", k->group, k->id, k->class, k->what, k->clause,
	       needs[0] ? " needs: " : "", needs);
}

void report_list(const struct check_options *options)
{
	const struct check_case *cases;
	bool json = options->format == FORMAT_JSON;
	unsigned shown = 0;
	size_t count;

	cases = cases_all(&count);
	for (size_t i = 0; i < count; i++) {
		if (!check_options_selects(options, &cases[i]))
			continue;
		if (json) {
			printf("%s{", shown ? ",\n " : "[");
			json_facts(&cases[i]);
			printf("}");
		} else {
			list_case(&cases[i]);
		}
		shown++;
	}
	if (json)
		printf("%s]\n", shown ? "" : "[");
	else
		printf("%u cases; M: must, K: %s, D: %s\n", shown, class_words(CASE_KERNEL),
		       class_words(CASE_DEVICE));
}
