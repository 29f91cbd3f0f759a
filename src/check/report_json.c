/*
 * The report in JSON. docs/check-report.schema.json has its form; whoever changes what is there
 * already raises VERSION.
 */
#include <stdio.h>
#include <string.h>

#include "check/report_internal.h"
#include "wire/vhost_user.h"

#define VERSION 1

static unsigned number; /* of the next element */

/* As much of UTF-8 as we print is ASCII; what a device sends us is bytes. */
static void quote(const char *text)
{
	putchar('"');
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
	putchar('"');
}

static void string(const char *name, const char *text, const char *after)
{
	printf("\"%s\": ", name);
	quote(text);
	printf("%s", after);
}

static const char *words(const char *sentence)
{
	const char *text = sentence_words(sentence);

	return text ? text : "";
}

void report_json_facts(const struct check_case *k)
{
	char needs[200], class[2] = {k->class, 0};

	string("id", k->id, ", ");
	string("group", k->group, ", ");
	string("clause", k->clause, ", ");
	string("basis", basis_word(case_basis(k, false)), ", ");
	string("clause_words", words(k->clause), ", ");
	string("user", case_sentence(k, true), ", ");
	string("user_words", words(case_sentence(k, true)), ", ");
	string("user_basis", basis_word(case_basis(k, true)), ", ");
	string("class", class, ", ");
	string("needs", case_needs_words(k->needs, needs, sizeof(needs)), ", ");
	string("what", k->what, "");
}

static void begin(const struct check *c, unsigned count)
{
	const struct facts *f = &c->facts[0];

	number = 0;
	printf("{\"version\": %d, ", VERSION);
	string("target", c->targets[0].name, ", ");
	if (c->options->target_count > 1)
		string("other", c->targets[1].name, ", ");
	printf("\"device_id\": %u, \"queues\": %u, \"queue_size\": %u, \"features\": \"0x%llx\", "
	       "\"backend_features\": \"0x%llx\", ",
	       f->device_id, f->vqs, f->ring_max, (unsigned long long)f->features,
	       (unsigned long long)f->backend);
	if (target_is_socket(c))
		printf("\"offered\": \"0x%llx\", \"protocol_offered\": \"0x%llx\", ",
		       (unsigned long long)c->wire->features,
		       (unsigned long long)c->wire->protocol);
	printf("\"seed\": %llu, \"cases\": [\n", (unsigned long long)c->options->seed);
}

static void lines_of(const char *name, const struct wire *wire)
{
	printf(", \"%s\": [", name);
	for (unsigned i = 0; wire_line(wire, i); i++) {
		printf("%s", i ? ", " : "");
		quote(wire_line(wire, i));
	}
	printf("]");
}

static void finding_of(const struct check *c)
{
	const struct outcome *o = c->out;
	char again[600];

	report_reproduction(c, c->kase, again, sizeof(again));
	printf(", ");
	string("expected", o->expected, ", ");
	string("seen", o->seen, ", ");
	string("by", o->by, ", ");
	string("requirement", report_requirement(o), ", ");
	string("reproduce", again, "");
	if (o->root[0])
		printf(", ");
	if (o->root[0])
		string("root", o->root, "");
	lines_of("messages", c->wire);
	printf(", ");
	string("rings", o->rings, "");
}

static void one(const struct check *c)
{
	const struct outcome *o = c->out;

	printf("%s  {", number++ ? ",\n" : "");
	report_json_facts(c->kase);
	printf(", ");
	string("result", report_verdict(o->verdict), "");
	printf(", \"ms\": %.1f", (double)o->ns / 1e6);
	if (o->rounds)
		printf(", \"rounds\": %u, \"bad_rounds\": %u", o->rounds, o->bad);
	if (report_is_finding(o))
		finding_of(c);
	if (o->verdict == VERDICT_SKIPPED) {
		printf(", ");
		string("reason", o->seen, "");
	}
	if (o->notes[0]) {
		printf(", ");
		string("notes", o->notes, "");
	}
	printf("}");
}

static void print_findings(void)
{
	const struct finding *f;

	printf("\n], \"findings\": [");
	for (size_t i = 0; (f = findings_get(i)); i++) {
		printf("%s\n  {", i ? "," : "");
		string("severity", finding_severity(f), ", ");
		string("root", f->out.root[0] ? f->out.root : f->out.expected, ", ");
		string("by", f->out.by, ", ");
		string("requirement", report_requirement(&f->out), ", \"cases\": [");
		for (size_t k = 0; k < f->count; k++)
			printf("%s\"%s\"", k ? ", " : "", f->cases[k]->id);
		printf("]}");
	}
	printf("]");
}

/* How many messages of which kind went over a socket. */
static void print_messages(const struct wire *wire)
{
	bool first = true;

	printf(", \"messages\": {");
	for (unsigned i = 0; i < WIRE_REQUESTS; i++) {
		if (!wire->sent[i])
			continue;
		printf("%s\"%s\": %lu", first ? "" : ", ", wire->names[i], wire->sent[i]);
		first = false;
	}
	printf("}");
}

static void end(const struct check *c, const struct check_sum *s)
{
	print_findings();
	if (target_is_socket(c))
		print_messages(c->wire);
	printf(", \"kept\": %u, \"broken\": %u, \"differs\": %u, \"skipped\": %u, "
	       "\"seconds\": %.2f}\n",
	       s->kept, s->broken, s->differs, s->skipped, (double)s->ns / 1e9);
}

const struct report report_json = {begin, one, end};
